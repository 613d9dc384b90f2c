//! What stands against a change, in the words of the ELB API.

use crate::config::ObjectKey;
use crate::config::ObjectPath;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::RefusalKind;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::index::ElbIndex;
use crate::control::elb::mapping::names;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;

/// Faults that are told of one change: an attribute may be at fault in many tables.
const MAX_TOLD: usize = 4;

/// What stands in a refusal of the kernel with EADDRNOTAVAIL, which comes as words.
const NO_SUCH_ADDRESS: &str = "(os error 99)";

/// Keys of the configuration, and the attributes that they were made of.
const ATTRIBUTES: [(&str, &str); 27] = [
    ("forwarded", "insert_headers"),
    ("address", "protocol_port"),
    ("certificates", "default_tls_container_ref"),
    ("sni_match", "sni_match_algo"),
    ("tls_policy", "tls_ciphers_policy"),
    ("versions", "protocols"),
    ("cipher_suites", "ciphers"),
    ("client_auth", "client_ca_tls_container_ref"),
    ("client_auth.ca", "client_ca_tls_container_ref"),
    ("default_group", "default_pool_id"),
    ("http2", "http2_enable"),
    ("compression", "gzip_enable"),
    ("max_connections", "connection"),
    ("connections_per_second", "cps"),
    ("idle_timeout", "keepalive_timeout"),
    ("client_header_timeout", "client_timeout"),
    ("client_body_timeout", "client_timeout"),
    ("response_timeout", "member_timeout"),
    ("algorithm", "lb_algorithm"),
    ("sticky.cookie", "session_persistence.cookie_name"),
    ("sticky.timeout", "session_persistence.persistence_timeout"),
    ("chain", "certificate"),
    ("bundle", "certificate"),
    ("key", "private_key"),
    ("health_check.path", "url_path"),
    ("health_check.host", "domain_name"),
    ("health_check.expect", "expected_codes"),
];

/// What the client is told. `objects` are those that were refused.
pub(super) fn fault(refusal: &ChangeRefusal, objects: &ElbObjects) -> ElbFault {
    let words = refusal.faults.iter().take(MAX_TOLD).map(|fault| {
        let subject = subject(&fault.subject, objects);
        format!("{subject}: {}; {}", fault.message, fault.help)
    });
    let words = words.collect::<Vec<_>>().join("; ");
    let of_first = refusal.faults.first().map(|fault| fault.subject.key.as_deref().unwrap_or_default());
    let of_first = of_first.map(|key| (words, key));
    match refusal.kind {
        RefusalKind::Invalid => match of_first {
            Some((words, "chain" | "key" | "bundle")) => ElbFault::certificate(words),
            // Somebody else has the port.
            Some((words, "address")) => ElbFault::conflict(words),
            Some((words, _)) => ElbFault::bad_request(words),
            None => ElbFault::bad_request(format!("{}; {}", refusal.sentence, refusal.help)),
        },
        RefusalKind::Bind => of_bind(refusal),
        RefusalKind::Busy => ElbFault::busy(format!("{}; {}", refusal.sentence, refusal.help)),
        _ => ElbFault::internal(format!("{}; {}", refusal.sentence, refusal.help)),
    }
}

/// This host refuses a socket: somebody else has the port, or the address is none of its own.
fn of_bind(refusal: &ChangeRefusal) -> ElbFault {
    // It says what to do by itself, behind the name of a listener that nobody has heard of yet.
    let sentence = &refusal.sentence;
    let words = sentence.find("cannot bind").map_or(sentence.as_str(), |start| &sentence[start..]);
    match sentence.contains(NO_SUCH_ADDRESS) {
        true => {
            let why = format!("of the load balancer is no address of this host any more: {words}");
            ElbFault::attribute("vip_address", why)
        }
        false => ElbFault::conflict(format!("attribute `protocol_port`: {words}")),
    }
}

/// The attribute of the object that a key of the configuration was made of.
fn subject(subject: &ObjectKey, objects: &ElbObjects) -> String {
    let key = subject.key.as_deref().unwrap_or_default();
    let key = if key.starts_with("forwarded.") { "forwarded" } else { key };
    let name = match &subject.object {
        Some(ObjectPath::Named { name, .. }) => name,
        Some(ObjectPath::Backend { group, .. } | ObjectPath::HealthCheck { group }) => group,
        None => return "the configuration".to_owned(),
    };
    let Some(object) = find(name, objects) else {
        return format!("\"{name}\" of the configuration of this host");
    };
    let attribute = match object.kind {
        ElbKind::Policy => of_policy(object, key),
        ElbKind::Listener if key == "tls_policy" && !object.text("security_policy_id").is_empty() => {
            "security_policy_id"
        }
        _ => ATTRIBUTES.iter().find(|(known, _)| *known == key).map_or(key, |(_, attribute)| *attribute),
    };
    let object = format!("the {} {}", object.kind.noun(), object.id);
    if attribute.is_empty() { object } else { format!("attribute `{attribute}` of {object}") }
}

/// Conditions are those of its rules, and what it does is said by one attribute for each action.
fn of_policy<'k>(policy: &ElbObject, key: &'k str) -> &'k str {
    let is_condition = key.starts_with("conditions")
        || ["host", "path", "method", "header", "query", "cookie", "source_ip"].contains(&key);
    match (key, policy.text("action")) {
        ("priority", _) => "priority",
        ("cors", _) => "redirect_pools_extend_config.cors_config",
        ("mirror", _) => "redirect_pools_extend_config.traffic_mirror_config",
        _ if is_condition => "rules",
        (_, "REDIRECT_TO_URL") => "redirect_url_config",
        (_, "FIXED_RESPONSE") => "fixed_response_config",
        (_, "REDIRECT_TO_POOL") if !policy.text("redirect_pool_id").is_empty() => {
            "redirect_pools_extend_config"
        }
        (_, "REDIRECT_TO_POOL") => "redirect_pools_config",
        _ => key,
    }
}

/// An object by the name that it has in the configuration.
fn find<'o>(name: &str, objects: &'o ElbObjects) -> Option<&'o ElbObject> {
    let found = ElbKind::ALL.into_iter().find_map(|kind| objects.find(kind, name));
    let pool = || {
        let index = ElbIndex::new(objects);
        let of_listener = |listener: &ElbObject| {
            let mut pools = index.pools_of(&listener.id).iter().copied();
            pools.find(|pool| names::group_name(listener, pool) == name)
        };
        objects.of_kind(ElbKind::Listener).find_map(of_listener)
    };
    let security_policy =
        || names::security_policy_of(name).and_then(|id| objects.find(ElbKind::SecurityPolicy, id));
    found.or_else(security_policy).or_else(pool)
}
