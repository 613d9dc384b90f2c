//! A backend server group.

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::DESCRIPTION;
use crate::control::elb::fields::ENTERPRISE_PROJECT;
use crate::control::elb::fields::Field;
use crate::control::elb::fields::Form;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::Presence;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::fields::refused;
use crate::control::elb::objects::ElbKind;
use crate::control::elb::objects::ElbObject;
use crate::control::elb::objects::load_balancer::PROTECTION;
use crate::control::elb::store::ElbObjects;

pub(in crate::control::elb) const FIELDS: &[Field] = &[
    NAME,
    DESCRIPTION,
    ADMIN_STATE_UP,
    ENTERPRISE_PROJECT,
    fixed("protocol", Form::Word(&["HTTP", "HTTPS", "GRPC"]), Presence::Required),
    field("lb_algorithm", Form::Word(&["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"]), Presence::Required),
    fixed("loadbalancer_id", Form::Text, Presence::Nullable),
    // The listener that it becomes the default of, when it is made.
    fixed("listener_id", Form::Text, Presence::Nullable),
    fixed("type", Form::Word(&["instance", "ip", ""]), Presence::Default("\"\"")),
    fixed("vpc_id", Form::Text, Presence::Nullable),
    fixed("ip_version", Form::Word(&["dualstack", "v4", "v6"]), Presence::Default("\"dualstack\"")),
    field("session_persistence", Form::Table(PERSISTENCE), Presence::Nullable),
    field("slow_start", Form::Table(SLOW_START), Presence::Nullable),
    field("pool_health", Form::Table(POOL_HEALTH), Presence::Default("{}")),
    field("member_deletion_protection_enable", Form::Truth, Presence::Default("false")),
    field("protection_status", Form::Word(PROTECTION), Presence::Default("\"nonProtection\"")),
    field("protection_reason", Form::Text, Presence::Nullable),
    refused("any_port_enable", "is not taken with the protocols HTTP, HTTPS and GRPC"),
    refused("az_affinity", "is not taken: there are no availability zones"),
    refused("connection_drain", "is not taken with the protocols HTTP, HTTPS and GRPC"),
    refused("quic_cid_hash_strategy", "is not taken"),
    refused("public_border_group", "is not taken"),
];

const PERSISTENCE: &[Field] = &[
    field("type", Form::Word(&["HTTP_COOKIE", "APP_COOKIE", "SOURCE_IP"]), Presence::Required),
    field("cookie_name", Form::Text, Presence::Nullable),
    field("persistence_timeout", Form::Number(1, 1_440), Presence::Default("1440")),
];

const SLOW_START: &[Field] = &[
    field("enable", Form::Truth, Presence::Required),
    field("duration", Form::Number(30, 1_200), Presence::Default("30")),
];

const POOL_HEALTH: &[Field] =
    &[field("minimum_healthy_member_count", Form::Number(0, 1), Presence::Default("0"))];

/// Whether what it names is there and goes together.
///
/// # Errors
/// It names the attribute.
pub(in crate::control::elb) fn check(objects: &ElbObjects, pool: &ElbObject) -> Result<(), ElbFault> {
    if !pool.text("loadbalancer_id").is_empty() {
        objects.named(ElbKind::LoadBalancer, pool, "loadbalancer_id")?;
    }
    let has_home = ["loadbalancer_id", "listener_id", "type"].iter().any(|name| !pool.text(name).is_empty());
    if !has_home {
        let why = "is missing: name one of `loadbalancer_id`, `listener_id` and `type`";
        return Err(ElbFault::attribute("loadbalancer_id", why));
    }
    let Some(persistence) = pool.table("session_persistence") else { return Ok(()) };
    let is_by_application = persistence.get("type").is_some_and(|word| word == "APP_COOKIE");
    match (is_by_application, persistence.contains_key("cookie_name")) {
        (true, false) => {
            Err(ElbFault::attribute("session_persistence.cookie_name", "is missing: APP_COOKIE needs it"))
        }
        (false, true) => {
            Err(ElbFault::attribute("session_persistence.cookie_name", "goes with APP_COOKIE only"))
        }
        _ => Ok(()),
    }
}
