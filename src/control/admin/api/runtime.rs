//! Calls that change for a while what takes requests: they outlive reloads and upgrades, and are in no file.

use serde::Deserialize;

use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::audit::AuditedObject;
use crate::control::admin::backend;
use crate::control::admin::http::response::AdminResponse;
use crate::control::admin::reply::document;
use crate::control::backend_order::BackendChange;
use crate::control::backend_order::BackendOrder;
use crate::control::backend_order::BackendRefusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightOrder {
    /// None: as configured.
    weight: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainOrder {
    drain: bool,
}

pub(super) fn weight(call: &ApiCall<'_>) -> ApiAnswer {
    let WeightOrder { weight } = call.parsed()?;
    change(call, BackendChange::Weight(weight))
}

pub(super) fn drain(call: &ApiCall<'_>) -> ApiAnswer {
    let DrainOrder { drain } = call.parsed()?;
    change(call, BackendChange::Drain(drain))
}

fn change(call: &ApiCall<'_>, change: BackendChange) -> ApiAnswer {
    let order =
        BackendOrder { group: call.argument(0).to_owned(), address: call.argument(1).to_owned(), change };
    let object = format!("server-groups/{}/backends/{}", order.group, order.address);
    call.audited.borrow_mut().push(AuditedObject { object, ..AuditedObject::default() });
    match backend::change(call.server.channels(), call.server.commands(), order) {
        Ok(reply) => Ok(AdminResponse::json(200, &document(&reply))),
        Err(refusal) => Err(problem(&refusal)),
    }
}

fn problem(refusal: &BackendRefusal) -> Box<ApiProblem> {
    let (status, help) = match refusal {
        BackendRefusal::Unknown(_) => (404, "GET /api/v1/server-groups lists what there is"),
        BackendRefusal::Invalid(_) => (422, "send a weight of 0 to 100, or null for the configured one"),
        BackendRefusal::Conflict(_) => (409, "change the configuration instead"),
        BackendRefusal::Unavailable(_) => (503, "try again in a moment"),
    };
    ApiProblem::new(status, refusal.to_string(), help)
}
