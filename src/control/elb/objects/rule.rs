//! A rule of a forwarding policy: what must hold of a request.

use std::net::IpAddr;

use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::fields::refused;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::policy;

const TYPES: &[&str] = &["HOST_NAME", "PATH", "METHOD", "HEADER", "QUERY_STRING", "SOURCE_IP", "COOKIE"];

/// Those of which a policy has one.
const SINGLE: [&str; 4] = ["HOST_NAME", "PATH", "METHOD", "SOURCE_IP"];

/// Those that are about something with a name.
const NAMED: [&str; 3] = ["HEADER", "QUERY_STRING", "COOKIE"];

const METHODS: [&str; 7] = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"];

/// Conditions of all rules of a policy.
const MAX_CONDITIONS: usize = 10;
/// Characters of a value.
const MAX_VALUE: usize = 128;

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    ADMIN_STATE_UP,
    fixed("type", ElbForm::Word(TYPES), ElbPresence::Required),
    field("compare_type", ElbForm::Word(&["EQUAL_TO", "STARTS_WITH", "REGEX"]), ElbPresence::Required),
    field("key", ElbForm::Text, ElbPresence::Nullable),
    field("value", ElbForm::Text, ElbPresence::Nullable),
    field("conditions", ElbForm::Tables(CONDITION), ElbPresence::Default("[]")),
    refused("invert", "is not taken"),
];

const CONDITION: &[ElbField] = &[
    field("key", ElbForm::Text, ElbPresence::Default("\"\"")),
    field("value", ElbForm::Text, ElbPresence::Required),
];

/// The values that it compares with: any of them is enough.
pub(in crate::control::elb) fn values(rule: &ElbObject) -> Vec<&str> {
    let of_conditions: Vec<&str> =
        rule.tables("conditions").filter_map(|table| table.get("value").and_then(Json::as_str)).collect();
    if of_conditions.is_empty() { vec![rule.text("value")] } else { of_conditions }
}

/// The name of what it looks at: of a header, a parameter or a cookie.
pub(in crate::control::elb) fn key(rule: &ElbObject) -> &str {
    rule.tables("conditions").find_map(|table| table.get("key").and_then(Json::as_str)).unwrap_or_default()
}

/// Whether it goes with its policy, and its values with its type.
///
/// # Errors
/// It names the attribute, or the rule that says something of the same already.
pub(in crate::control::elb) fn check(objects: &ElbObjects, rule: &ElbObject) -> Result<(), ElbFault> {
    let kind = rule.text("type");
    let owner = objects.find(ElbKind::Policy, &rule.owner);
    let owner = owner.ok_or_else(|| ElbFault::missing(ElbKind::Policy.noun(), &rule.owner))?;
    if owner.text("action") == policy::TO_LISTENER {
        return Err(ElbFault::bad_request(
            "a policy with REDIRECT_TO_LISTENER takes every request, and no rules",
        ));
    }
    let others: Vec<&ElbObject> = objects.rules_of(&rule.owner).filter(|other| other.id != rule.id).collect();
    if let Some(other) = others.iter().find(|other| SINGLE.contains(&kind) && other.text("type") == kind) {
        return Err(ElbFault::conflict(format!("the policy has the rule {} for {kind} already", other.id)));
    }
    let conditions = values(rule).len() + others.iter().map(|other| values(other).len()).sum::<usize>();
    if conditions > MAX_CONDITIONS {
        let why = format!("of one policy are more than {MAX_CONDITIONS}");
        return Err(ElbFault::attribute("conditions", why));
    }
    if !rule.truth("admin_state_up") {
        return Err(ElbFault::attribute(
            "admin_state_up",
            "of a rule must be true: change that of its policy",
        ));
    }
    check_simple(objects, owner, rule)?;
    check_comparison(rule)?;
    check_key(rule)?;
    let name = if rule.text("value").is_empty() { "conditions" } else { "value" };
    let values = values(rule);
    if let Some(twice) = values.iter().enumerate().find(|(index, value)| values[..*index].contains(value)) {
        return Err(ElbFault::attribute("conditions", format!("have \"{}\" twice", twice.1.escape_debug())));
    }
    let fault = |why: String| ElbFault::attribute(name, why);
    values.iter().try_for_each(|value| check_value((kind, rule.text("compare_type")), value).map_err(fault))
}

/// Without `enhance_l7policy_enable`, a policy is about one host and one path.
fn check_simple(objects: &ElbObjects, policy: &ElbObject, rule: &ElbObject) -> Result<(), ElbFault> {
    let listener = objects.named(ElbKind::Listener, policy, "listener_id")?;
    if listener.truth("enhance_l7policy_enable") || is_simple(rule) {
        return Ok(());
    }
    let (name, what) = match rule.text("type") {
        "HOST_NAME" | "PATH" => ("conditions", "conditions need"),
        _ => ("type", "only HOST_NAME and PATH go without"),
    };
    Err(ElbFault::attribute(name, format!("cannot be so: {what} `enhance_l7policy_enable` of the listener")))
}

/// Whether it also goes with listeners without `enhance_l7policy_enable`.
pub(in crate::control::elb) fn is_simple(rule: &ElbObject) -> bool {
    matches!(rule.text("type"), "HOST_NAME" | "PATH") && rule.tables("conditions").next().is_none()
}

fn check_comparison(rule: &ElbObject) -> Result<(), ElbFault> {
    match (rule.text("type"), rule.text("compare_type")) {
        ("PATH", _) | (_, "EQUAL_TO") => Ok(()),
        (kind, _) => Err(ElbFault::attribute("compare_type", format!("must be EQUAL_TO with {kind}"))),
    }
}

/// Conditions of one rule are about the same, and have names where these are of use.
fn check_key(rule: &ElbObject) -> Result<(), ElbFault> {
    let kind = rule.text("type");
    if !rule.text("key").is_empty() {
        return Err(ElbFault::attribute("key", "is not taken: write `conditions`"));
    }
    let is_named = NAMED.contains(&kind);
    if is_named && rule.tables("conditions").next().is_none() {
        return Err(ElbFault::attribute("conditions", format!("are missing: {kind} needs them")));
    }
    let own = key(rule);
    let has_own = |table: &serde_json::Map<String, Json>| table.get("key").is_some_and(|key| key == own);
    if !rule.tables("conditions").all(has_own) {
        return Err(ElbFault::attribute("conditions.key", "must be the same in all conditions of a rule"));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match (is_named, own.is_empty()) {
        (true, true) => Err(ElbFault::attribute("conditions.key", format!("is missing: {kind} needs it"))),
        (false, false) => Err(ElbFault::attribute("conditions.key", format!("must be empty with {kind}"))),
        (true, false) if kind == "HEADER" && (own.len() > 40 || !own.bytes().all(is_name)) => {
            Err(ElbFault::attribute("conditions.key", "must have 1 to 40 letters, digits, `-` and `_`"))
        }
        _ => Ok(()),
    }
}

fn check_value((kind, comparison): (&str, &str), value: &str) -> Result<(), String> {
    if value.is_empty() || value.chars().count() > MAX_VALUE {
        return Err(format!("must have 1 to {MAX_VALUE} characters"));
    }
    match kind {
        "HOST_NAME" => {
            let name = value.strip_prefix("*.").unwrap_or(value);
            let is_good =
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
            let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
            (is_good && begins).then_some(()).ok_or_else(|| {
                "must be a name of a host, or one behind `*.`, of letters, digits, `-` and `.`".to_owned()
            })
        }
        "PATH" if comparison == "REGEX" => Ok(()),
        "PATH" if value.starts_with('/') && value.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        "PATH" => Err("must begin with a slash, and have visible ASCII characters".to_owned()),
        "METHOD" if METHODS.contains(&value) => Ok(()),
        "METHOD" => Err(format!("must be one of {}", METHODS.join(", "))),
        "SOURCE_IP" => {
            let (address, bits) = value.split_once('/').unwrap_or((value, "0"));
            let most = match address.parse() {
                Ok(IpAddr::V4(_)) => Some(32),
                Ok(IpAddr::V6(_)) => Some(128),
                Err(_) => None,
            };
            let bits = bits.parse::<u8>().ok();
            let is_good = bits.zip(most).is_some_and(|(bits, most)| bits <= most);
            is_good.then_some(()).ok_or_else(|| "must be a network such as 192.0.2.0/24".to_owned())
        }
        _ if value.chars().any(|c| c.is_whitespace() || c == '"' || c.is_control()) => {
            Err("must have no spaces and no quotation marks".to_owned())
        }
        _ => Ok(()),
    }
}
