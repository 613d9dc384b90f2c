//! A forwarding policy of a listener: where requests go that its rules take.

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::DESCRIPTION;
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
use crate::control::elb::objects::cors;
use crate::control::elb::objects::header_value;
use crate::control::elb::objects::pairs;

pub(in crate::control::elb) const TO_LISTENER: &str = "REDIRECT_TO_LISTENER";
pub(in crate::control::elb) const TO_POOL: &str = "REDIRECT_TO_POOL";
pub(in crate::control::elb) const TO_URL: &str = "REDIRECT_TO_URL";
const FIXED: &str = "FIXED_RESPONSE";

/// The last place that a policy can have.
pub(in crate::control::elb) const MAX_PRIORITY: i64 = 10_000;

/// Backend server groups that one policy leads to.
const MAX_POOLS: usize = 5;

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    DESCRIPTION,
    ADMIN_STATE_UP,
    fixed("listener_id", ElbForm::Text, ElbPresence::Required),
    fixed("action", ElbForm::Word(&[TO_POOL, TO_LISTENER, TO_URL, FIXED]), ElbPresence::Required),
    field("priority", ElbForm::Number(0, MAX_PRIORITY), ElbPresence::Nullable),
    field("redirect_listener_id", ElbForm::Text, ElbPresence::Nullable),
    field("redirect_pool_id", ElbForm::Text, ElbPresence::Nullable),
    field("redirect_pools_config", ElbForm::Tables(POOLS), ElbPresence::Default("[]")),
    field("redirect_pools_sticky_session_config", ElbForm::Table(STICKY), ElbPresence::Nullable),
    field("redirect_pools_extend_config", ElbForm::Table(EXTEND), ElbPresence::Nullable),
    field("redirect_url_config", ElbForm::Table(URL), ElbPresence::Nullable),
    field("fixed_response_config", ElbForm::Table(RESPONSE), ElbPresence::Nullable),
    refused("position", "is not taken: write `priority`"),
    refused("redirect_url", "is not taken: write `redirect_url_config`"),
];

const POOLS: &[ElbField] = &[
    field("pool_id", ElbForm::Text, ElbPresence::Required),
    field("weight", ElbForm::NumberText(0, 100), ElbPresence::Default("1")),
];

const STICKY: &[ElbField] = &[
    field("enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("timeout", ElbForm::Number(1, 1_440), ElbPresence::Default("1440")),
];

const EXTEND: &[ElbField] = &[
    field("rewrite_url_enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("rewrite_url_config", ElbForm::Table(REWRITE), ElbPresence::Nullable),
    field("insert_headers_config", ElbForm::Table(INSERTED), ElbPresence::Nullable),
    field("remove_headers_config", ElbForm::Table(REMOVED), ElbPresence::Nullable),
    field("traffic_limit_config", ElbForm::Table(LIMIT), ElbPresence::Nullable),
    field("cors_config", ElbForm::Table(cors::FIELDS), ElbPresence::Nullable),
    field("traffic_mirror_config", ElbForm::Table(MIRROR), ElbPresence::Nullable),
];

const MIRROR: &[ElbField] = &[
    field("target_ids", ElbForm::Texts, ElbPresence::Required),
    field("mirror_request_body_enable", ElbForm::Truth, ElbPresence::Default("true")),
];

/// What a policy says of where copies of its requests go.
const MIRROR_TARGETS: &str = "redirect_pools_extend_config.traffic_mirror_config.target_ids";

const REWRITE: &[ElbField] = &[
    field("host", ElbForm::Text, ElbPresence::Default("\"${host}\"")),
    field("path", ElbForm::Text, ElbPresence::Default("\"${path}\"")),
    field("query", ElbForm::Text, ElbPresence::Default("\"${query}\"")),
];

const INSERTED: &[ElbField] = &[field("configs", ElbForm::Tables(HEADER), ElbPresence::Required)];
const HEADER: &[ElbField] = &[
    field("key", ElbForm::Text, ElbPresence::Required),
    field("value_type", ElbForm::Word(VALUE_TYPES), ElbPresence::Required),
    field("value", ElbForm::Text, ElbPresence::Required),
];
const VALUE_TYPES: &[&str] = &["USER_DEFINED", "REFERENCE_HEADER", "SYSTEM_DEFINED"];

const REMOVED: &[ElbField] = &[field("configs", ElbForm::Tables(NAMES), ElbPresence::Required)];
const NAMES: &[ElbField] = &[field("key", ElbForm::Text, ElbPresence::Required)];

const LIMIT: &[ElbField] = &[
    field("qps", ElbForm::Number(0, 100_000), ElbPresence::Default("0")),
    field("per_source_ip_qps", ElbForm::Number(0, 100_000), ElbPresence::Default("0")),
    field("burst", ElbForm::Number(0, 100_000), ElbPresence::Default("0")),
];

const URL: &[ElbField] = &[
    field(
        "protocol",
        ElbForm::Word(&["${protocol}", "HTTP", "HTTPS"]),
        ElbPresence::Default("\"${protocol}\""),
    ),
    field("host", ElbForm::Text, ElbPresence::Default("\"${host}\"")),
    field("port", ElbForm::Text, ElbPresence::Default("\"${port}\"")),
    field("path", ElbForm::Text, ElbPresence::Default("\"${path}\"")),
    field("query", ElbForm::Text, ElbPresence::Default("\"${query}\"")),
    field("status_code", ElbForm::Word(&["301", "302", "303", "307", "308"]), ElbPresence::Required),
    refused("insert_headers_config", "is not taken with REDIRECT_TO_URL"),
    refused("remove_headers_config", "is not taken with REDIRECT_TO_URL"),
];

const RESPONSE: &[ElbField] = &[
    field("status_code", ElbForm::Digits(200, 599), ElbPresence::Required),
    field("content_type", ElbForm::Word(CONTENT_TYPES), ElbPresence::Default("\"text/plain\"")),
    field("message_body", ElbForm::Content, ElbPresence::Default("\"\"")),
    field("traffic_limit_config", ElbForm::Table(LIMIT), ElbPresence::Nullable),
    refused("insert_headers_config", "is not taken with FIXED_RESPONSE"),
    refused("remove_headers_config", "is not taken with FIXED_RESPONSE"),
];
const CONTENT_TYPES: &[&str] =
    &["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// What an action needs and takes of these attributes.
const OF_ACTIONS: [(&str, &[&str]); 6] = [
    ("redirect_listener_id", &[TO_LISTENER]),
    ("redirect_pool_id", &[TO_POOL]),
    ("redirect_pools_sticky_session_config", &[TO_POOL]),
    ("redirect_pools_extend_config", &[TO_POOL]),
    ("redirect_url_config", &[TO_URL]),
    ("fixed_response_config", &[FIXED]),
];

/// Whether what it says goes together.
///
/// # Errors
/// It names the attribute.
pub(in crate::control::elb) fn settle(attributes: &mut Map<String, Json>) -> Result<(), ElbFault> {
    let text = |name: &str| attributes.get(name).and_then(Json::as_str).unwrap_or_default();
    let several = attributes.get("redirect_pools_config").and_then(Json::as_array).map_or(0, Vec::len);
    let one = text("redirect_pool_id");
    if several > MAX_POOLS {
        return Err(ElbFault::attribute(
            "redirect_pools_config",
            format!("has more than {MAX_POOLS} groups"),
        ));
    }
    if text("action") == TO_POOL && one.is_empty() == (several == 0) {
        let why = "is missing, or stands beside `redirect_pools_config`: write one of the two";
        return Err(ElbFault::attribute("redirect_pool_id", why));
    }
    if text("action") != TO_POOL && several > 0 {
        return Err(ElbFault::attribute("redirect_pools_config", "goes with REDIRECT_TO_POOL only"));
    }
    for (name, actions) in OF_ACTIONS {
        let is_there = attributes.get(name).is_some_and(|value| !value.is_null() && value != "");
        match (is_there, actions.contains(&text("action"))) {
            (true, false) => {
                return Err(ElbFault::attribute(name, format!("goes with {} only", actions.join(" and "))));
            }
            (false, true) if actions != [TO_POOL] => {
                return Err(ElbFault::attribute(name, format!("is missing: {} needs it", text("action"))));
            }
            _ => {}
        }
    }
    check_extended(attributes)
}

fn check_extended(attributes: &Map<String, Json>) -> Result<(), ElbFault> {
    let table = |name: &str| attributes.get("redirect_pools_extend_config")?.get(name)?.as_object();
    if let Some(mirror) = table("traffic_mirror_config")
        && mirror.get("target_ids").and_then(Json::as_array).map_or(0, Vec::len) != 1
    {
        let why = "must name one backend server group: a request has one copy";
        return Err(ElbFault::attribute(MIRROR_TARGETS, why));
    }
    table("cors_config").map_or(Ok(()), cors::check)
}

/// The group that gets copies of its requests.
pub(in crate::control::elb) fn mirror(policy: &ElbObject) -> Option<&str> {
    let mirror = policy.table("redirect_pools_extend_config")?.get("traffic_mirror_config")?;
    mirror.get("target_ids")?.get(0)?.as_str()
}

/// The groups that it leads to, by requests or by copies of them.
pub(in crate::control::elb) fn pools(policy: &ElbObject) -> Vec<&str> {
    targets(policy).into_iter().chain(mirror(policy)).collect()
}

/// The groups that its requests go to.
fn targets(policy: &ElbObject) -> Vec<&str> {
    let one = policy.text("redirect_pool_id");
    if !one.is_empty() {
        return vec![one];
    }
    weighted(policy).map(|(pool, _)| pool).collect()
}

/// The groups among which it chooses by weight; none where it leads to one only.
pub(in crate::control::elb) fn weighted(policy: &ElbObject) -> impl Iterator<Item = (&str, i64)> {
    policy.tables("redirect_pools_config").filter_map(|table| {
        let pool = table.get("pool_id").and_then(Json::as_str)?;
        Some((pool, table.get("weight").and_then(Json::as_i64).unwrap_or(1)))
    })
}

/// Gives it the place that it did not ask for. Without `enhance_l7policy_enable`, its rules say where it stands.
///
/// # Errors
/// It has asked for one that it cannot have.
pub(in crate::control::elb) fn place(objects: &ElbObjects, policy: &mut ElbObject) -> Result<(), ElbFault> {
    let listener = objects.named(ElbKind::Listener, policy, "listener_id")?;
    let is_asked = !policy.attributes.get("priority").is_none_or(Json::is_null);
    let asked = policy.number("priority");
    let place = if policy.text("action") == TO_LISTENER {
        asked
    } else if !listener.truth("enhance_l7policy_enable") {
        if is_asked && asked != 1 {
            let why = "is not taken while `enhance_l7policy_enable` of the listener is false";
            return Err(ElbFault::attribute("priority", why));
        }
        1
    } else if is_asked {
        asked
    } else {
        let others = objects.policies_of(&listener.id).filter(|other| other.id != policy.id);
        others.map(|other| other.number("priority")).max().unwrap_or(0) + 1
    };
    if place > MAX_PRIORITY {
        return Err(ElbFault::attribute("priority", "is missing: another policy has the last one"));
    }
    policy.attributes.insert("priority".to_owned(), Json::from(place));
    Ok(())
}

/// Whether what it names is there and goes together.
///
/// # Errors
/// It names the attribute, or the policy that has its place.
pub(in crate::control::elb) fn check(objects: &ElbObjects, policy: &ElbObject) -> Result<(), ElbFault> {
    let listener = objects.named(ElbKind::Listener, policy, "listener_id")?;
    let protocol = listener.text("protocol");
    if !matches!(protocol, "HTTP" | "HTTPS" | "QUIC") {
        let why = format!("is a listener with the protocol {protocol}, which has no forwarding policies");
        return Err(ElbFault::attribute("listener_id", why));
    }
    check_place(objects, listener, policy)?;
    if policy.text("action") == TO_LISTENER {
        return check_redirect(objects, listener, policy);
    }
    for pool in targets(policy) {
        let name = if policy.text("redirect_pool_id").is_empty() {
            "redirect_pools_config"
        } else {
            "redirect_pool_id"
        };
        pairs::check(objects, listener, (name, pool))?;
    }
    if let Some(pool) = mirror(policy) {
        pairs::check(objects, listener, (MIRROR_TARGETS, pool))?;
    }
    check_headers(objects, listener, policy)
}

fn check_place(objects: &ElbObjects, listener: &ElbObject, policy: &ElbObject) -> Result<(), ElbFault> {
    let is_redirect = policy.text("action") == TO_LISTENER;
    let mut others = objects.policies_of(&listener.id).filter(|other| other.id != policy.id);
    let own = policy.number("priority");
    if is_redirect {
        return match others.find(|other| other.text("action") == TO_LISTENER) {
            Some(other) => {
                let message =
                    format!("the policy {} redirects all requests of the listener already", other.id);
                Err(ElbFault::conflict(message))
            }
            None => Ok(()),
        };
    }
    if own == 0 {
        return Err(ElbFault::attribute("priority", "is 0, which is for REDIRECT_TO_LISTENER only"));
    }
    let is_ordered = listener.truth("enhance_l7policy_enable");
    let is_taken =
        |other: &&ElbObject| other.text("action") != TO_LISTENER && other.number("priority") == own;
    match others.find(is_taken).filter(|_| is_ordered) {
        Some(other) => {
            Err(ElbFault::conflict(format!("`priority` {own} is that of the policy {} already", other.id)))
        }
        None => Ok(()),
    }
}

fn check_redirect(objects: &ElbObjects, listener: &ElbObject, policy: &ElbObject) -> Result<(), ElbFault> {
    let target = objects.named(ElbKind::Listener, policy, "redirect_listener_id")?;
    let name = "redirect_listener_id";
    if listener.text("protocol") != "HTTP" {
        return Err(ElbFault::attribute(
            "action",
            "is REDIRECT_TO_LISTENER, which is for listeners with HTTP",
        ));
    }
    if target.text("protocol") != "HTTPS" {
        return Err(ElbFault::attribute(name, "must be a listener with the protocol HTTPS"));
    }
    if target.text("loadbalancer_id") != listener.text("loadbalancer_id") {
        return Err(ElbFault::attribute(name, "is a listener of another load balancer"));
    }
    Ok(())
}

/// Whether there are such values for headers.
fn check_headers(objects: &ElbObjects, listener: &ElbObject, policy: &ElbObject) -> Result<(), ElbFault> {
    let balancer = objects.named(ElbKind::LoadBalancer, listener, "loadbalancer_id")?;
    let extend = policy.table("redirect_pools_extend_config");
    let inserted = extend.and_then(|extend| extend.get("insert_headers_config"));
    let headers = inserted.and_then(|inserted| inserted.get("configs")).and_then(Json::as_array);
    match headers.into_iter().flatten().find(|header| header_value::find(header, balancer).is_none()) {
        Some(header) => {
            let why = format!("is not known here: {}", header["value"]);
            let name = "redirect_pools_extend_config.insert_headers_config.configs.value";
            Err(ElbFault::attribute(name, why))
        }
        None => Ok(()),
    }
}
