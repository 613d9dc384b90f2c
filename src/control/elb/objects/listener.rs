//! A listener: a port of a load balancer.

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::DESCRIPTION;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::TAGS;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::fields::refused;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::ip_group;
use crate::control::elb::objects::load_balancer::PROTECTION;
use crate::control::elb::objects::pairs;
use crate::control::elb::objects::protocols;
use crate::control::elb::objects::security_policy;

/// Security policies that need no object.
pub(in crate::control::elb) const POLICIES: &[&str] = &[
    "tls-1-0",
    "tls-1-1",
    "tls-1-2",
    "tls-1-0-inherit",
    "tls-1-2-strict",
    "tls-1-0-with-1-3",
    "tls-1-2-fs-with-1-3",
    "tls-1-2-fs",
    "hybrid-policy-1-0",
    "tls-1-2-strict-no-cbc",
];

const PROTOCOLS: &[&str] = &["HTTP", "HTTPS", "TERMINATED_HTTPS", "TCP", "TLS", "UDP", "QUIC"];

/// Ranges of ports of one listener.
const MAX_RANGES: usize = 10;

const PORT_RANGE: &[ElbField] = &[
    field("start_port", ElbForm::Number(1, 65_535), ElbPresence::Required),
    field("end_port", ElbForm::Number(1, 65_535), ElbPresence::Required),
];

const QUIC_CONFIG: &[ElbField] = &[
    field("quic_listener_id", ElbForm::Text, ElbPresence::Required),
    field("enable_quic_upgrade", ElbForm::Truth, ElbPresence::Default("false")),
];

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    DESCRIPTION,
    ADMIN_STATE_UP,
    TAGS,
    fixed("loadbalancer_id", ElbForm::Text, ElbPresence::Required),
    fixed("protocol", ElbForm::Word(PROTOCOLS), ElbPresence::Required),
    fixed("protocol_port", ElbForm::Number(0, 65_535), ElbPresence::Default("0")),
    fixed("port_ranges", ElbForm::LongTables(PORT_RANGE, MAX_RANGES), ElbPresence::Default("[]")),
    field("default_pool_id", ElbForm::Text, ElbPresence::Nullable),
    field("default_tls_container_ref", ElbForm::Text, ElbPresence::Nullable),
    field("sni_container_refs", ElbForm::Texts, ElbPresence::Default("[]")),
    field("client_ca_tls_container_ref", ElbForm::Text, ElbPresence::Nullable),
    field(
        "sni_match_algo",
        ElbForm::Word(&["wildcard", "longest_suffix"]),
        ElbPresence::Default("\"wildcard\""),
    ),
    // One with TLS 1.3 for QUIC.
    field("tls_ciphers_policy", ElbForm::Word(POLICIES), ElbPresence::Nullable),
    // It counts in the place of that.
    field("security_policy_id", ElbForm::Text, ElbPresence::Nullable),
    field("http2_enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("gzip_enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("connection", ElbForm::Number(0, 1_000_000), ElbPresence::Default("0")),
    field("cps", ElbForm::Number(0, 1_000_000), ElbPresence::Default("0")),
    // Another one for what is relayed than for requests.
    field("keepalive_timeout", ElbForm::Number(0, 4_000), ElbPresence::Nullable),
    field("client_timeout", ElbForm::Number(1, 300), ElbPresence::Default("60")),
    field("member_timeout", ElbForm::Number(1, 300), ElbPresence::Default("60")),
    field("enable_member_retry", ElbForm::Truth, ElbPresence::Default("true")),
    field("insert_headers", ElbForm::Table(INSERT_HEADERS), ElbPresence::Default("{}")),
    field("proxy_protocol_enable", ElbForm::Truth, OFF),
    field("quic_config", ElbForm::Table(QUIC_CONFIG), ElbPresence::Nullable),
    field("ipgroup", ElbForm::Table(ip_group::OF_LISTENER), ElbPresence::Nullable),
    // Whether policies are asked by their `priority`, and may ask for more than a host and a path.
    field("enhance_l7policy_enable", ElbForm::Truth, ElbPresence::Default("false")),
    // Kept and given back: they say what the real service does for other protocols, or in its console.
    field("transparent_client_ip_enable", ElbForm::Truth, ElbPresence::Default("true")),
    field("connection_limit", ElbForm::Number(-1, -1), ElbPresence::Default("-1")),
    field("protection_status", ElbForm::Word(PROTECTION), ElbPresence::Default("\"nonProtection\"")),
    field("protection_reason", ElbForm::Text, ElbPresence::Nullable),
    refused("ssl_early_data_enable", "is not taken: early data can be repeated by whoever has seen it"),
    refused("nat64_enable", "is not taken"),
];

const OFF: ElbPresence = ElbPresence::Default("false");

/// As they are named on the wire. Of those with an alias, the alias counts while the header is on.
const INSERT_HEADERS: &[ElbField] = &[
    field(
        "X-Forwarded-For-Processing-Mode",
        ElbForm::Word(&["append", "remove", "preserve"]),
        ElbPresence::Default("\"append\""),
    ),
    field("X-Forwarded-Host", ElbForm::Truth, ElbPresence::Default("true")),
    field("X-Forwarded-Proto", ElbForm::Truth, OFF),
    field("X-Forwarded-Port", ElbForm::Truth, OFF),
    field("X-Real-IP", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-subjectdn-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-subjectdn-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Clientcert-issuerdn-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-issuerdn-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Clientcert-fingerprint-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-fingerprint-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Clientcert-clientverify-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-clientverify-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Clientcert-serialnumber-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-serialnumber-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Clientcert-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Clientcert-ciphers-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-ciphers-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Clientcert-end-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Clientcert-end-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-TLS-Protocol", ElbForm::Truth, OFF),
    field("X-Forwarded-TLS-Protocol-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-TLS-Cipher", ElbForm::Truth, OFF),
    field("X-Forwarded-TLS-Cipher-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Tls-Sni-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Tls-Sni-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Tls-Alpn-Protocol-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Tls-Alpn-Protocol-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Tls-Ja3-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Tls-Ja3-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-Tls-Ja4-enable", ElbForm::Truth, OFF),
    field("X-Forwarded-Tls-Ja4-alias", ElbForm::Text, ElbPresence::Nullable),
    field("X-Forwarded-ELB-IP", ElbForm::Truth, OFF),
    field("X-Forwarded-ELB-ID", ElbForm::Truth, OFF),
    field("X-Forwarded-For-Port", ElbForm::Truth, OFF),
    field("X-Forwarded-TLS-Certificate-ID", ElbForm::Truth, OFF),
];

/// TERMINATED_HTTPS is an old word for HTTPS, and the default of a time goes with the protocol.
///
/// # Errors
/// It names the attribute.
pub(in crate::control::elb) fn settle(attributes: &mut Map<String, Json>) -> Result<(), ElbFault> {
    if attributes.get("protocol").and_then(Json::as_str) == Some("TERMINATED_HTTPS") {
        attributes.insert("protocol".to_owned(), Json::from("HTTPS"));
    }
    let protocol = attributes.get("protocol").and_then(Json::as_str).unwrap_or_default();
    let is_relayed = protocols::is_relayed(protocol);
    let (least, usual) = if is_relayed { (10, 300) } else { (0, 60) };
    let timeout = attributes.get("keepalive_timeout").and_then(Json::as_i64).unwrap_or(usual);
    if timeout < least {
        let why = format!("must be a number from {least} to 4000 with the protocol {protocol}");
        return Err(ElbFault::attribute("keepalive_timeout", why));
    }
    if is_relayed {
        refuse_what_is_of_requests(protocol, attributes)?;
    }
    let policy = policy_of(protocol, attributes)?;
    attributes.insert("keepalive_timeout".to_owned(), Json::from(timeout));
    attributes.insert("tls_ciphers_policy".to_owned(), Json::from(policy));
    Ok(())
}

/// QUIC has TLS 1.3 (RFC 9001 §4.2), which the policy that others have by default does not offer.
fn policy_of(protocol: &str, attributes: &Map<String, Json>) -> Result<String, ElbFault> {
    let named = attributes.get("tls_ciphers_policy").and_then(Json::as_str);
    let is_quic = protocol == "QUIC";
    match named {
        None if is_quic => Ok("tls-1-2-fs-with-1-3".to_owned()),
        None => Ok("tls-1-2".to_owned()),
        Some(named) if is_quic && !named.ends_with("-with-1-3") => {
            Err(ElbFault::attribute("tls_ciphers_policy", "needs TLS 1.3 with the protocol QUIC"))
        }
        Some(named) => Ok(named.to_owned()),
    }
}

/// What is relayed is not looked into.
fn refuse_what_is_of_requests(protocol: &str, attributes: &Map<String, Json>) -> Result<(), ElbFault> {
    let fault =
        |name: &str| Err(ElbFault::attribute(name, format!("is not taken with the protocol {protocol}")));
    for (name, usual) in [
        ("http2_enable", Json::Bool(false)),
        ("gzip_enable", Json::Bool(false)),
        ("client_timeout", Json::from(60)),
        ("member_timeout", Json::from(60)),
        ("enable_member_retry", Json::Bool(true)),
        ("quic_config", Json::Null),
    ] {
        if attributes.get(name).is_some_and(|value| *value != usual) {
            return fault(name);
        }
    }
    let headers = attributes.get("insert_headers").and_then(Json::as_object);
    let is_on = |(name, value): &(&String, &Json)| *value == &Json::Bool(true) && *name != "X-Forwarded-Host";
    match headers.into_iter().flatten().find(is_on) {
        Some((name, _)) => fault(&format!("insert_headers.{name}")),
        None => Ok(()),
    }
}

/// Whether what it names is there and goes together.
///
/// # Errors
/// It names the attribute, or the listener that has the port.
pub(in crate::control::elb) fn check(objects: &ElbObjects, listener: &ElbObject) -> Result<(), ElbFault> {
    let balancer = objects.named(ElbKind::LoadBalancer, listener, "loadbalancer_id")?;
    let tells_address = listener.table("insert_headers").and_then(|table| table.get("X-Forwarded-ELB-IP"));
    if tells_address == Some(&Json::Bool(true)) && balancer.text("vip_address").is_empty() {
        let why = "needs `vip_address` of the load balancer";
        return Err(ElbFault::attribute("insert_headers.X-Forwarded-ELB-IP", why));
    }
    check_ports(objects, listener)?;
    let is_secured = protocols::is_secured(listener.text("protocol"));
    if is_secured && listener.text("default_tls_container_ref").is_empty() {
        let why = format!("is missing: {} needs a certificate", listener.text("protocol"));
        return Err(ElbFault::attribute("default_tls_container_ref", why));
    }
    if listener.truth("proxy_protocol_enable") && listener.text("protocol") != "TLS" {
        return Err(ElbFault::attribute("proxy_protocol_enable", "goes with the protocol TLS only"));
    }
    check_quic(objects, listener)?;
    check_certificates(objects, listener, is_secured)?;
    security_policy::check_use(objects, listener)?;
    check_ip_groups(objects, listener)?;
    let pool = listener.text("default_pool_id");
    if pool.is_empty() { Ok(()) } else { pairs::check(objects, listener, ("default_pool_id", pool)) }
}

/// The ports of a listener as ranges.
pub(in crate::control::elb) fn ports(listener: &ElbObject) -> Vec<(i64, i64)> {
    let port = listener.number("protocol_port");
    if port != 0 {
        return vec![(port, port)];
    }
    let number = |table: &Map<String, Json>, name: &str| table.get(name).and_then(Json::as_i64).unwrap_or(0);
    let ranges = listener.tables("port_ranges");
    ranges.map(|range| (number(range, "start_port"), number(range, "end_port"))).collect()
}

fn check_ports(objects: &ElbObjects, listener: &ElbObject) -> Result<(), ElbFault> {
    let (protocol, port) = (listener.text("protocol"), listener.number("protocol_port"));
    let (ports, has_ranges) = (ports(listener), listener.tables("port_ranges").next().is_some());
    match (port, has_ranges) {
        (0, false) => return Err(ElbFault::attribute("protocol_port", "is missing")),
        (1.., true) => {
            return Err(ElbFault::attribute("port_ranges", "need `protocol_port` to be 0, or not there"));
        }
        (0, true) if !protocols::is_relayed(protocol) => {
            let why = format!("are not taken with the protocol {protocol}");
            return Err(ElbFault::attribute("port_ranges", why));
        }
        _ => {}
    }
    let overlap = |one: &(i64, i64), other: &(i64, i64)| one.0 <= other.1 && other.0 <= one.1;
    let is_wrong = |(index, one): (usize, &(i64, i64))| {
        one.0 > one.1 || ports[..index].iter().any(|other| overlap(one, other))
    };
    if ports.iter().enumerate().any(is_wrong) {
        return Err(ElbFault::attribute("port_ranges", "must begin before they end, and not overlap"));
    }
    let is_of_datagrams = protocols::is_of_datagrams(protocol);
    let shares = |other: &&ElbObject| {
        other.id != listener.id
            && other.text("loadbalancer_id") == listener.text("loadbalancer_id")
            && protocols::is_of_datagrams(other.text("protocol")) == is_of_datagrams
            && self::ports(other).iter().any(|theirs| ports.iter().any(|own| overlap(own, theirs)))
    };
    match objects.of_kind(ElbKind::Listener).find(shares) {
        Some(other) => {
            let what =
                if port == 0 { "one of `port_ranges`".to_owned() } else { format!("`protocol_port` {port}") };
            Err(ElbFault::conflict(format!("{what} is taken by the listener {}", other.id)))
        }
        None => Ok(()),
    }
}

/// The listener of QUIC that clients of another one may change over to.
pub(in crate::control::elb) fn quic_listener(listener: &ElbObject) -> Option<&str> {
    listener.table("quic_config")?.get("quic_listener_id")?.as_str()
}

fn check_quic(objects: &ElbObjects, listener: &ElbObject) -> Result<(), ElbFault> {
    let Some(id) = quic_listener(listener) else { return Ok(()) };
    let found = objects.find(ElbKind::Listener, id).filter(|found| {
        found.text("protocol") == "QUIC" && found.text("loadbalancer_id") == listener.text("loadbalancer_id")
    });
    if listener.text("protocol") != "HTTPS" {
        return Err(ElbFault::attribute("quic_config", "goes with the protocol HTTPS only"));
    }
    match found {
        Some(_) => Ok(()),
        None => {
            let why = "must name a listener of the same load balancer with the protocol QUIC";
            Err(ElbFault::attribute("quic_config.quic_listener_id", why))
        }
    }
}

fn check_certificates(objects: &ElbObjects, listener: &ElbObject, is_secured: bool) -> Result<(), ElbFault> {
    let of_type = |name: &str, id: &str, wanted: &str| {
        if !is_secured {
            return Err(ElbFault::attribute(name, "needs the protocol HTTPS, TLS or QUIC"));
        }
        match objects.find(ElbKind::Certificate, id).filter(|found| found.project == listener.project) {
            Some(found) if found.text("type") == wanted => Ok(()),
            Some(_) => {
                Err(ElbFault::attribute(name, format!("must be a certificate with the type {wanted}")))
            }
            None => Err(ElbFault::attribute(name, format!("\"{}\" is no certificate", id.escape_debug()))),
        }
    };
    for (name, wanted) in [("default_tls_container_ref", "server"), ("client_ca_tls_container_ref", "client")]
    {
        let id = listener.text(name);
        if !id.is_empty() {
            of_type(name, id, wanted)?;
        }
    }
    listener.texts("sni_container_refs").try_for_each(|id| of_type("sni_container_refs", id, "server"))
}

fn check_ip_groups(objects: &ElbObjects, listener: &ElbObject) -> Result<(), ElbFault> {
    let is_known =
        |id: &&str| objects.find(ElbKind::IpGroup, id).is_some_and(|group| group.project == listener.project);
    let named: Vec<&str> = ip_group::of_listener(listener).collect();
    if listener.table("ipgroup").is_some() && named.is_empty() {
        return Err(ElbFault::attribute("ipgroup.ipgroup_id", "names no IP group"));
    }
    match named.iter().find(|id| !is_known(id)) {
        Some(id) => {
            let why = format!("names no IP group: \"{}\"", id.escape_debug());
            Err(ElbFault::attribute("ipgroup.ipgroup_id", why))
        }
        None => Ok(()),
    }
}
