//! What is at which path of the admin address, and of the unix socket when it is asked by HTTP.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use crate::config::AdminRole;
use crate::control::active_config::Channels;
use crate::control::admin::access::Actor;
use crate::control::admin::access::ApiClient;
use crate::control::admin::api;
use crate::control::admin::api::Api;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::console;
use crate::control::admin::elb;
use crate::control::admin::elb::ElbFront;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::control::metrics::exposition::MetricsFormat;

const INDEX: &str = "/metrics  metrics for Prometheus\n/livez    200 while the process runs\n/readyz   200 while it takes new \
    connections, else 503\n/status   the status as JSON\n/api/v1/  the management API\n/console/ the console, for a browser";

/// All pages.
pub(super) struct Pages {
    server: Arc<CommandServer>,
    api: Api,
    elb: ElbFront,
}

impl Pages {
    pub(super) fn new(server: &Arc<CommandServer>) -> Pages {
        Pages {
            server: Arc::clone(server),
            api: Api::new(Arc::clone(server)),
            elb: ElbFront::new(Arc::clone(server)),
        }
    }

    /// Finds out who asks, before the content of a request is read.
    ///
    /// # Errors
    /// The answer to a client that is not known, or has to come again because it would be asked for something else now.
    pub(super) fn identify(
        &self,
        request: &mut AdminRequest,
        client: &ApiClient,
    ) -> Result<(), AdminResponse> {
        let (generation, access) = self.channels().admin_access.load();
        if !client.is_current((generation, &access)) {
            let detail = "this address is secured otherwise now";
            return Err(AdminResponse::refusal(421, detail, "connect again"));
        }
        if elb::is_call(&request.path, &access) {
            request.actor = ElbFront::identify(request, client, &access)?;
            return Ok(());
        }
        let authorization = request.field("authorization");
        let actor = Actor::of(client, &access).with_token(authorization.as_deref(), &access);
        request.actor = actor.ok_or_else(|| unknown_client("this token is not known"))?;
        Ok(())
    }

    /// Answers also when making the answer panics.
    pub(super) fn answer_whatever_happens(&self, request: &AdminRequest) -> AdminResponse {
        let answer = catch_unwind(AssertUnwindSafe(|| self.answer(request)));
        answer.unwrap_or_else(|_| {
            AdminResponse::text(500, "a fault of Ringway's own, see standard error of the process")
        })
    }

    pub(super) fn channels(&self) -> &Channels {
        self.server.channels()
    }

    fn answer(&self, request: &AdminRequest) -> AdminResponse {
        if request.path.starts_with(api::ROOT) {
            return self.api.answer(request);
        }
        if elb::is_call(&request.path, &self.channels().admin_access.load().1) {
            return self.elb.answer(request);
        }
        if let Some(answer) = console::answer(request) {
            return answer;
        }
        if !request.is_read() {
            return AdminResponse::text(405, "only GET and HEAD are answered").with("Allow", "GET, HEAD");
        }
        match request.path.as_str() {
            "/livez" => return AdminResponse::text(200, "ok"),
            "/readyz" if self.server.is_ready() => return AdminResponse::text(200, "ok"),
            "/readyz" => return AdminResponse::text(503, "stopping"),
            _ => {}
        }
        if request.actor.role < Some(AdminRole::Read) {
            return unknown_client("this is answered to clients with a token only");
        }
        match request.path.as_str() {
            "/metrics" => {
                let format = MetricsFormat::accepted_by(&request.field("accept").unwrap_or_default());
                AdminResponse::new(200, format.content_type(), self.server.metrics(format))
            }
            "/status" => AdminResponse::json(200, &self.server.status()),
            "/" => AdminResponse::text(200, INDEX),
            _ => AdminResponse::text(404, INDEX),
        }
    }
}

/// RFC 6750 §3.
fn unknown_client(words: &str) -> AdminResponse {
    let help = "send Authorization: Bearer TOKEN, which `ringway token` makes";
    AdminResponse::refusal(401, words, help).with("WWW-Authenticate", "Bearer realm=\"ringway\"")
}
