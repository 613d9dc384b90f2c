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
use std::sync::Arc;

use crate::config::AdminRole;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::call::KINDS_HELP;
use crate::control::admin::api::idempotency::KeptAnswers;
use crate::control::admin::api::idempotency::KeyUse;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::api::route::ApiRoute;
pub(super) use crate::control::admin::api::route::ROOT;
use crate::control::admin::api::routes::RouteMatch;
use crate::control::admin::audit::Audit;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::control::admin::http::response::next_request_id;

/// What calls are carried out by.
pub(super) struct Api {
    server: Arc<CommandServer>,
    kept: KeptAnswers,
}

impl Api {
    pub(super) fn new(server: Arc<CommandServer>) -> Api {
        Api { server, kept: KeptAnswers::default() }
    }

    pub(super) fn answer(&self, request: &AdminRequest) -> AdminResponse {
        let request_id = next_request_id();
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
        let mut may = authorize(request, route.role);
        if request.actor.is_anonymous() {
            // Whoever is not known would fill the audit.
            may?;
            may = Ok(());
        }
        let mut audit = Audit::open(self.server.channels())
            .map_err(|unwritable| ApiProblem::new(409, unwritable.sentence, unwritable.help))?;
        let answer = may
            .and_then(|()| check_parameters(route, request))
            .and_then(|()| check_conditions(route, request))
            .and_then(|()| self.once(route, &call));
        let status = answer.as_ref().map_or_else(|problem| problem.status, |answer| answer.status);
        audit.note_call((&request.actor, request), (request_id, status), &audited.borrow());
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

/// A condition that nobody looks at must not seem to hold.
fn check_conditions(route: &ApiRoute, request: &AdminRequest) -> Result<(), Box<ApiProblem>> {
    if request.field("if-match").is_some() && !route.is_of_one_object() {
        let help = "leave it out; in a change set, write if_match with each change";
        return Err(ApiProblem::new(400, "If-Match is not taken here", help));
    }
    if request.field("if-none-match").is_some() {
        let help = "leave it out: what is created must not be there anyway";
        return Err(ApiProblem::new(400, "If-None-Match is taken with GET only", help));
    }
    Ok(())
}
