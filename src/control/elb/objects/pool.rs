//! A backend server group.

use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::DESCRIPTION;
use crate::control::elb::fields::ENTERPRISE_PROJECT;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::fields::refused;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::load_balancer::PROTECTION;
use crate::control::elb::objects::protocols;

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    DESCRIPTION,
    ADMIN_STATE_UP,
    ENTERPRISE_PROJECT,
    fixed("protocol", ElbForm::Word(PROTOCOLS), ElbPresence::Required),
    field("lb_algorithm", ElbForm::Word(ALGORITHMS), ElbPresence::Required),
    fixed("loadbalancer_id", ElbForm::Text, ElbPresence::Nullable),
    // The listener that it becomes the default of, when it is made.
    fixed("listener_id", ElbForm::Text, ElbPresence::Nullable),
    fixed("type", ElbForm::Word(&["instance", "ip", ""]), ElbPresence::Default("\"\"")),
    fixed("vpc_id", ElbForm::Text, ElbPresence::Nullable),
    fixed("ip_version", ElbForm::Word(&["dualstack", "v4", "v6"]), ElbPresence::Default("\"dualstack\"")),
    field("session_persistence", ElbForm::Table(PERSISTENCE), ElbPresence::Nullable),
    field("slow_start", ElbForm::Table(SLOW_START), ElbPresence::Nullable),
    field("pool_health", ElbForm::Table(POOL_HEALTH), ElbPresence::Default("{}")),
    field("member_deletion_protection_enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("protection_status", ElbForm::Word(PROTECTION), ElbPresence::Default("\"nonProtection\"")),
    field("protection_reason", ElbForm::Text, ElbPresence::Nullable),
    fixed("any_port_enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("connection_drain", ElbForm::Table(DRAIN), ElbPresence::Nullable),
    field("quic_cid_hash_strategy", ElbForm::Table(QUIC_CID), ElbPresence::Nullable),
    refused("az_affinity", "is not taken: there are no availability zones"),
    refused("public_border_group", "is not taken"),
];

const PROTOCOLS: &[&str] = &["HTTP", "HTTPS", "GRPC", "TCP", "TLS", "UDP", "QUIC"];
const ALGORITHMS: &[&str] = &["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "QUIC_CID"];

const DRAIN: &[ElbField] = &[
    field("enable", ElbForm::Truth, ElbPresence::Required),
    field("timeout", ElbForm::Number(10, 4_000), ElbPresence::Default("300")),
];

const QUIC_CID: &[ElbField] = &[
    field("len", ElbForm::Number(1, 20), ElbPresence::Default("3")),
    field("offset", ElbForm::Number(0, 19), ElbPresence::Default("1")),
];

const PERSISTENCE: &[ElbField] = &[
    field("type", ElbForm::Word(&["HTTP_COOKIE", "APP_COOKIE", "SOURCE_IP"]), ElbPresence::Required),
    field("cookie_name", ElbForm::Text, ElbPresence::Nullable),
    field("persistence_timeout", ElbForm::Number(1, 1_440), ElbPresence::Default("1440")),
];

const SLOW_START: &[ElbField] = &[
    field("enable", ElbForm::Truth, ElbPresence::Required),
    field("duration", ElbForm::Number(30, 1_200), ElbPresence::Default("30")),
];

const POOL_HEALTH: &[ElbField] =
    &[field("minimum_healthy_member_count", ElbForm::Number(0, 1), ElbPresence::Default("0"))];

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
    check_relayed(pool)?;
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

/// What goes with groups of connections and datagrams only, or not with them.
fn check_relayed(pool: &ElbObject) -> Result<(), ElbFault> {
    let protocol = pool.text("protocol");
    let fault =
        |name: &str| Err(ElbFault::attribute(name, format!("is not taken with the protocol {protocol}")));
    let is_relayed = protocols::is_relayed_group(protocol);
    if pool.truth("any_port_enable") && !matches!(protocol, "TCP" | "UDP" | "QUIC") {
        return fault("any_port_enable");
    }
    if pool.table("connection_drain").is_some() && !is_relayed {
        return fault("connection_drain");
    }
    let by_id = pool.text("lb_algorithm") == "QUIC_CID";
    if by_id && protocol != "QUIC" {
        return fault("lb_algorithm");
    }
    if pool.table("quic_cid_hash_strategy").is_some() && !by_id {
        return Err(ElbFault::attribute("quic_cid_hash_strategy", "goes with `lb_algorithm` QUIC_CID only"));
    }
    let persistence = pool.table("session_persistence").and_then(|table| table.get("type"));
    if is_relayed && persistence.is_some_and(|kind| kind != "SOURCE_IP") {
        return fault("session_persistence.type");
    }
    if is_relayed
        && pool.table("slow_start").is_some_and(|table| table.get("enable") == Some(&Json::Bool(true)))
    {
        return fault("slow_start");
    }
    Ok(())
}
