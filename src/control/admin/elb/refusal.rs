//! What stands against a change, in the words of the ELB API.

use crate::config::ObjectKey;
use crate::config::ObjectPath;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::RefusalKind;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::mapping;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object_set::ElbObjects;

/// Keys of the configuration, and the attributes that they were made of.
const ATTRIBUTES: [(&str, &str); 25] = [
    ("forwarded", "insert_headers"),
    ("address", "vip_address"),
    ("certificates", "default_tls_container_ref"),
    ("sni_match", "sni_match_algo"),
    ("tls_policy", "tls_ciphers_policy"),
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
    let of_first = refusal.faults.first().map(|fault| {
        let subject = subject(&fault.subject, objects);
        (
            format!("{subject}: {}; {}", fault.message, fault.help),
            fault.subject.key.as_deref().unwrap_or_default(),
        )
    });
    match refusal.kind {
        RefusalKind::Invalid => match of_first {
            Some((words, "chain" | "key" | "bundle")) => ElbFault::certificate(words),
            // Somebody else has the port.
            Some((words, "address")) => ElbFault::conflict(words),
            Some((words, _)) => ElbFault::bad_request(words),
            None => ElbFault::bad_request(format!("{}; {}", refusal.sentence, refusal.help)),
        },
        RefusalKind::Bind => ElbFault::conflict(format!("{}; {}", refusal.sentence, refusal.help)),
        RefusalKind::Busy => ElbFault::busy(format!("{}; {}", refusal.sentence, refusal.help)),
        _ => ElbFault::internal(format!("{}; {}", refusal.sentence, refusal.help)),
    }
}

/// The attribute of the object that a key of the configuration was made of.
fn subject(subject: &ObjectKey, objects: &ElbObjects) -> String {
    let key = subject.key.as_deref().unwrap_or_default();
    let key = if key.starts_with("forwarded.") { "forwarded" } else { key };
    let attribute =
        ATTRIBUTES.iter().find(|(known, _)| *known == key).map_or(key, |(_, attribute)| *attribute);
    let object = match &subject.object {
        Some(ObjectPath::Named { name, .. }) => described(name, objects),
        Some(ObjectPath::Backend { group, .. } | ObjectPath::HealthCheck { group }) => {
            described(group, objects)
        }
        None => "the configuration".to_owned(),
    };
    match attribute {
        "" => object,
        attribute => format!("attribute `{attribute}` of {object}"),
    }
}

/// An object by the name that it has in the configuration.
fn described(name: &str, objects: &ElbObjects) -> String {
    let found = ElbKind::ALL.into_iter().find_map(|kind| objects.find(kind, name));
    let pool = || {
        let of_listener = |listener: &crate::control::elb::object::ElbObject| {
            let pool = objects.find(ElbKind::Pool, listener.text("default_pool_id"))?;
            (mapping::group_name(listener, pool) == name).then_some(pool)
        };
        objects.of_kind(ElbKind::Listener).find_map(of_listener)
    };
    match found.or_else(pool) {
        Some(object) => format!("the {} {}", object.kind.noun(), object.id),
        None => format!("\"{name}\" of the configuration of this host"),
    }
}
