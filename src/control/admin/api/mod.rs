//! The management API: objects of the configuration, and what an operator does with them, below `/api/v1/`.
//!
//! `docs/api.md` describes it. A call is a row of [`routes::ROUTES`] and a function; the OpenAPI document is made of the
//! rows.

mod call;
mod objects;
mod openapi;
mod problem;
mod process;
mod route;
mod routes;
mod schemas;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::config::AdminRole;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::call::KINDS_HELP;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::api::route::ApiRoute;
pub(super) use crate::control::admin::api::route::ROOT;
use crate::control::admin::api::routes::RouteMatch;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;

/// What calls are carried out by.
pub(super) struct Api {
    server: Arc<CommandServer>,
    calls: AtomicU64,
}

impl Api {
    pub(super) fn new(server: Arc<CommandServer>) -> Api {
        Api { server, calls: AtomicU64::new(0) }
    }

    pub(super) fn answer(&self, request: &AdminRequest) -> AdminResponse {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let request_id = format!("{:x}-{number:x}", std::process::id());
        let answer = self.carry_out(request).unwrap_or_else(|problem| problem.answer(&request_id));
        answer.with("X-Request-ID", request_id)
    }

    fn carry_out(&self, request: &AdminRequest) -> ApiAnswer {
        let path = request.path.strip_prefix(ROOT).unwrap_or_default();
        let (route, kind, arguments) = match routes::find(&request.method, path) {
            RouteMatch::Found { route, kind, arguments } => (route, kind, arguments),
            RouteMatch::OtherMethods(allowed) => {
                let detail = format!("{} is not taken here", request.method.escape_debug());
                return Err(
                    ApiProblem::new(405, detail, format!("allowed are {allowed}")).with("Allow", allowed)
                );
            }
            RouteMatch::Nothing => {
                return Err(ApiProblem::new(404, "there is nothing at this path", KINDS_HELP));
            }
        };
        authorize(request, route.role)?;
        let call = ApiCall { server: &self.server, request, kind, arguments };
        check_parameters(route, request)?;
        (route.handler)(&call)
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
