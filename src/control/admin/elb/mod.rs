//! The ELB API (v3) of Huawei Cloud at the admin address, for scripts and SDKs that were made for it.
//!
//! `docs/elb_api.md` says what is taken. A call becomes another set of objects, which the thread that reloads puts into
//! service and keeps, or refuses.

mod batch;
mod call;
mod described;
mod ip_lists;
mod master_slave;
mod query;
mod refusal;
mod relations;
mod routes;
mod status_tree;
mod surroundings;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value as Json;
use serde_json::json;

use crate::config::AdminRole;
use crate::control::admin::access::Actor;
use crate::control::admin::access::ActorSource;
use crate::control::admin::access::ApiClient;
use crate::control::admin::audit::Audit;
use crate::control::admin::audit::AuditedObject;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::elb::call::ElbAnswer;
use crate::control::admin::elb::call::ElbCall;
use crate::control::admin::elb::call::ElbService;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::control::admin::http::response::next_request_id;
use crate::control::credentials::admin_access::AdminAccess;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::signature::SignatureClaim;
use crate::control::elb::signature::SignatureFault;
use crate::control::elb::signature::SignedRequest;
use crate::net::clock::wall_now;

/// What answers signed calls.
pub(super) struct ElbFront(ElbService);

/// Whether a path is one of this API, while it is served.
pub(super) fn is_call(path: &str, access: &AdminAccess) -> bool {
    access.elb.is_some() && (path.starts_with(routes::ROOT) || path == routes::VERSIONS)
}

impl ElbFront {
    pub(super) fn new(server: Arc<CommandServer>) -> ElbFront {
        ElbFront(ElbService::new(server))
    }

    /// Looks at what a request says of itself before its content is read, and says where it comes from. What it may do is
    /// known only once its signature is verified.
    ///
    /// # Errors
    /// The answer to a client that is not known.
    pub(super) fn identify(
        request: &AdminRequest,
        client: &ApiClient,
        access: &AdminAccess,
    ) -> Result<Actor, AdminResponse> {
        let source = match client {
            ApiClient::Socket(_) => ActorSource::Socket,
            ApiClient::Clear(address) | ApiClient::Secured { address, .. } => ActorSource::Address(*address),
        };
        let field = |name: &str| request.field(name);
        let claimed = field("authorization").ok_or(SignatureFault::Missing).and_then(|authorization| {
            let claim = SignatureClaim::parse(&authorization)?;
            claim.check_terms(&signed(request, &field), wall_now().as_secs())?;
            let is_known = access.elb.as_ref().is_some_and(|elb| elb.keys.find(claim.access_key).is_some());
            if is_known { Ok(claim.access_key.to_owned()) } else { Err(SignatureFault::Mismatch) }
        });
        match claimed {
            Ok(name) => Ok(Actor { name, role: None, source }),
            Err(fault) => Err(answer(Err(ElbFault::signature(fault.words())), &next_request_id())),
        }
    }

    pub(super) fn answer(&self, request: &AdminRequest) -> AdminResponse {
        let request_id = next_request_id();
        answer(self.carry_out(request, &request_id), &request_id)
    }

    fn carry_out(&self, request: &AdminRequest, request_id: &str) -> ElbAnswer {
        let (_, access) = self.0.server.channels().admin_access.load();
        let elb = access.elb.as_ref().ok_or_else(ElbFault::no_such_call)?;
        let refused = |fault: SignatureFault| ElbFault::signature(fault.words());
        let field = |name: &str| request.field(name);
        let authorization = field("authorization").ok_or_else(|| refused(SignatureFault::Missing))?;
        let claim = SignatureClaim::parse(&authorization).map_err(refused)?;
        let key = elb.keys.find(claim.access_key).ok_or_else(|| refused(SignatureFault::Mismatch))?;
        let signed = signed(request, &field);
        claim.check_terms(&signed, wall_now().as_secs()).map_err(refused)?;
        claim.verify(&signed, &key.secret).map_err(refused)?;
        let actor = Actor { role: Some(key.role), ..request.actor.clone() };
        let call = ElbCall { service: &self.0, api: &elb.api, request, project: &key.project, actor: &actor };
        if request.is_read() {
            return routes::answer(&call);
        }
        if key.role < AdminRole::Write {
            let words = format!("the access key has the role {}, and this needs write", key.role.as_str());
            return Err(ElbFault::forbidden(words));
        }
        let mut audit = Audit::open(self.0.server.channels()).map_err(|unwritable| {
            ElbFault::conflict(format!("{}; {}", unwritable.sentence, unwritable.help))
        })?;
        let answer = routes::answer(&call);
        let status = answer.as_ref().map_or_else(|fault| fault.status, |(status, _)| *status);
        let object =
            answer.as_ref().ok().map(|(_, document)| described::audited(document)).unwrap_or_default();
        let audited = [AuditedObject { object, ..AuditedObject::default() }];
        audit.note_call((&actor, request), (request_id, status), &audited);
        answer
    }
}

fn signed<'r>(
    request: &'r AdminRequest,
    field: &'r dyn Fn(&str) -> Option<Cow<'r, str>>,
) -> SignedRequest<'r> {
    SignedRequest {
        method: &request.method,
        path: &request.path,
        query: &request.query,
        field,
        content: &request.content,
    }
}

/// The real service names the request in a field, and errors in their document, too.
fn answer(outcome: ElbAnswer, request_id: &str) -> AdminResponse {
    let (status, mut document) = outcome.unwrap_or_else(|fault| {
        let ElbFault { status, code, message } = fault;
        (status, json!({ "error_code": code, "error_msg": message }))
    });
    let answer = match status {
        204 => AdminResponse::new(204, "application/json", Vec::new()),
        _ => {
            document["request_id"] = Json::from(request_id);
            AdminResponse::json(status, &document)
        }
    };
    answer.with("X-Request-Id", request_id)
}
