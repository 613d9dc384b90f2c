//! The management API: objects of the configuration, and what an operator does with them, below `/api/v1/`.
//!
//! `docs/api.md` describes it. A call is a row of [`routes::ROUTES`] and a function; the OpenAPI document is made of the
//! rows.

mod archive;
mod call;
mod changes;
mod idempotency;
mod objects;
mod openapi;
mod problem;
mod process;
mod route;
mod routes;
mod runtime;
mod schemas;
mod shortcuts;

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::config::AdminRole;
use crate::control::active_config::Channels;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::call::AuditedObject;
use crate::control::admin::api::call::KINDS_HELP;
use crate::control::admin::api::idempotency::KeptAnswers;
use crate::control::admin::api::idempotency::KeyUse;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::api::route::ApiRoute;
pub(super) use crate::control::admin::api::route::ROOT;
use crate::control::admin::api::routes::RouteMatch;
use crate::control::admin::audit;
use crate::control::admin::audit::AuditLine;
use crate::control::admin::collect;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::net::clock::wall_now;
use crate::telemetry::operator::log_line;

/// What calls are carried out by.
pub(super) struct Api {
    server: Arc<CommandServer>,
    calls: AtomicU64,
    kept: KeptAnswers,
}

impl Api {
    pub(super) fn new(server: Arc<CommandServer>) -> Api {
        Api { server, calls: AtomicU64::new(0), kept: KeptAnswers::default() }
    }

    pub(super) fn answer(&self, request: &AdminRequest) -> AdminResponse {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let request_id = format!("{:x}-{number:x}", std::process::id());
        let answer =
            self.carry_out(request, &request_id).unwrap_or_else(|problem| problem.answer(&request_id));
        answer.with("X-Request-ID", request_id)
    }

    fn carry_out(&self, request: &AdminRequest, request_id: &str) -> ApiAnswer {
        let path = request.path.strip_prefix(ROOT).unwrap_or_default();
        let (route, kind, arguments) = match routes::find(&request.method, path) {
            RouteMatch::Found { route, kind, arguments } => (route, kind, arguments),
            RouteMatch::OtherMethods(allowed) => {
                let detail = format!("{} is not taken here", request.method.escape_debug());
                let problem = ApiProblem::new(405, detail, format!("allowed are {allowed}"));
                return Err(problem.with("Allow", allowed));
            }
            RouteMatch::Nothing => {
                return Err(ApiProblem::new(404, "there is nothing at this path", KINDS_HELP));
            }
        };
        let audited = RefCell::default();
        let call = ApiCall { server: &self.server, request, kind, arguments, audited: &audited };
        if !route.is_change() {
            authorize(request, route.role)?;
            check_parameters(route, request)?;
            return (route.handler)(&call);
        }
        let mut audit = Audit::open(self.server.channels())?;
        let answer = authorize(request, route.role)
            .and_then(|()| check_parameters(route, request))
            .and_then(|()| self.once(route, &call));
        let status = answer.as_ref().map_or_else(|problem| problem.status, |answer| answer.status);
        audit.note(request, (request_id, status), &audited.borrow());
        answer
    }

    /// A call that changes something, unless it was made before with the same key.
    fn once(&self, route: &ApiRoute, call: &ApiCall<'_>) -> ApiAnswer {
        let Some(key) = call.request.field("idempotency-key") else { return (route.handler)(call) };
        if let KeyUse::Answered(answer) = self.kept.begin(call.request, &key)? {
            return Ok(answer);
        }
        let answer = (route.handler)(call);
        match &answer {
            Ok(answer) => self.kept.end(call.request, &key, answer),
            Err(problem) => self.kept.end(call.request, &key, &problem.answer("")),
        }
        answer
    }
}

/// Where changes are written down.
struct Audit {
    /// None: nowhere.
    file: Option<File>,
}

impl Audit {
    /// What cannot be written down is not done.
    fn open(channels: &Channels) -> Result<Audit, Box<ApiProblem>> {
        let (_, access) = channels.admin_access.load();
        let Some(path) = &access.audit else { return Ok(Audit { file: None }) };
        let file = audit::open(path).map_err(|error| {
            let detail = format!("the change cannot be written down in {}: {error}", path.display());
            let help = "let the user of ringway write there (systemd: LogsDirectory=, ReadWritePaths=), or change admin.audit";
            ApiProblem::new(409, detail, help)
        })?;
        Ok(Audit { file: Some(file) })
    }

    fn note(&mut self, request: &AdminRequest, (request_id, status): (&str, u16), audited: &[AuditedObject]) {
        let Some(file) = &mut self.file else { return };
        let nothing = [AuditedObject::default()];
        let audited = if audited.is_empty() { &nothing } else { audited };
        for AuditedObject { object, before, after } in audited {
            let line = AuditLine {
                time: collect::rfc3339(wall_now()),
                request_id,
                actor: &request.actor.name,
                role: request.actor.role.map(AdminRole::as_str),
                source: request.actor.source.to_string(),
                method: &request.method,
                path: &request.path,
                object: Some(object.as_str()).filter(|text| !text.is_empty()),
                before: Some(before.as_str()).filter(|text| !text.is_empty()),
                after: Some(after.as_str()).filter(|text| !text.is_empty()),
                dry_run: request.parameter("dry_run").is_some_and(|value| value != "false"),
                status,
            };
            if let Err(error) = audit::write(file, &line) {
                log_line(&format!("error: a change cannot be written down in admin.audit: {error}"));
            }
        }
    }
}

/// RFC 9110 §15.5.2, §15.5.4: who is not known is asked who it is, who may not is told so.
fn authorize(request: &AdminRequest, role: AdminRole) -> Result<(), Box<ApiProblem>> {
    match request.actor.role {
        Some(held) if held >= role => Ok(()),
        Some(held) => {
            let detail = format!(
                "{} has the role {}, and this needs {}",
                request.actor.name,
                held.as_str(),
                role.as_str()
            );
            Err(ApiProblem::new(403, detail, "ask with a token that has this role, or over the unix socket"))
        }
        None => {
            let detail = "this is answered to clients with a token only";
            let help = "send `Authorization: Bearer TOKEN`; ringway token makes one";
            Err(ApiProblem::new(401, detail, help).with("WWW-Authenticate", "Bearer realm=\"ringway\""))
        }
    }
}

/// Refuses what is misspelled: `dryrun` must not change anything.
fn check_parameters(route: &ApiRoute, request: &AdminRequest) -> Result<(), Box<ApiProblem>> {
    let known = || route.parameters.iter().map(|parameter| parameter.name);
    match request.parameter_names().find(|name| !known().any(|known| known == *name)) {
        None => Ok(()),
        Some(unknown) => {
            let detail = format!("the parameter `{}` is not known here", unknown.escape_debug());
            let names: Vec<&str> = known().collect();
            let help = if names.is_empty() {
                "leave it out".to_owned()
            } else {
                format!("known are: {}", names.join(", "))
            };
            Err(ApiProblem::new(400, detail, help))
        }
    }
}
