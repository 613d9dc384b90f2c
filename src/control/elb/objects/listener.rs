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

const POLICIES: &[&str] = &[
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

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    DESCRIPTION,
    ADMIN_STATE_UP,
    TAGS,
    fixed("loadbalancer_id", ElbForm::Text, ElbPresence::Required),
    fixed("protocol", ElbForm::Word(&["HTTP", "HTTPS", "TERMINATED_HTTPS"]), ElbPresence::Required),
    fixed("protocol_port", ElbForm::Number(1, 65_535), ElbPresence::Required),
    field("default_pool_id", ElbForm::Text, ElbPresence::Nullable),
    field("default_tls_container_ref", ElbForm::Text, ElbPresence::Nullable),
    field("sni_container_refs", ElbForm::Texts, ElbPresence::Default("[]")),
    field("client_ca_tls_container_ref", ElbForm::Text, ElbPresence::Nullable),
    field(
        "sni_match_algo",
        ElbForm::Word(&["wildcard", "longest_suffix"]),
        ElbPresence::Default("\"wildcard\""),
    ),
    field("tls_ciphers_policy", ElbForm::Word(POLICIES), ElbPresence::Default("\"tls-1-2\"")),
    field("http2_enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("gzip_enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("connection", ElbForm::Number(0, 1_000_000), ElbPresence::Default("0")),
    field("cps", ElbForm::Number(0, 1_000_000), ElbPresence::Default("0")),
    field("keepalive_timeout", ElbForm::Number(0, 4_000), ElbPresence::Default("60")),
    field("client_timeout", ElbForm::Number(1, 300), ElbPresence::Default("60")),
    field("member_timeout", ElbForm::Number(1, 300), ElbPresence::Default("60")),
    field("enable_member_retry", ElbForm::Truth, ElbPresence::Default("true")),
    field("insert_headers", ElbForm::Table(INSERT_HEADERS), ElbPresence::Default("{}")),
    field("ipgroup", ElbForm::Table(ip_group::OF_LISTENER), ElbPresence::Nullable),
    // Whether policies are asked by their `priority`, and may ask for more than a host and a path.
    field("enhance_l7policy_enable", ElbForm::Truth, ElbPresence::Default("false")),
    // Kept and given back: they say what the real service does for other protocols, or in its console.
    field("transparent_client_ip_enable", ElbForm::Truth, ElbPresence::Default("true")),
    field("connection_limit", ElbForm::Number(-1, -1), ElbPresence::Default("-1")),
    field("protection_status", ElbForm::Word(PROTECTION), ElbPresence::Default("\"nonProtection\"")),
    field("protection_reason", ElbForm::Text, ElbPresence::Nullable),
    refused("security_policy_id", "is not taken: choose one of `tls_ciphers_policy`"),
    refused("proxy_protocol_enable", "is not taken"),
    refused("ssl_early_data_enable", "is not taken: early data can be repeated by whoever has seen it"),
    refused("quic_config", "is not taken"),
    refused("nat64_enable", "is not taken"),
    refused("port_ranges", "is not taken with the protocols HTTP and HTTPS"),
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

/// TERMINATED_HTTPS is an old word for HTTPS.
pub(in crate::control::elb) fn settle(attributes: &mut Map<String, Json>) {
    if attributes.get("protocol").and_then(Json::as_str) == Some("TERMINATED_HTTPS") {
        attributes.insert("protocol".to_owned(), Json::from("HTTPS"));
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
    let is_secured = listener.text("protocol") == "HTTPS";
    let of_port = |other: &&ElbObject| {
        other.id != listener.id
            && other.text("loadbalancer_id") == listener.text("loadbalancer_id")
            && other.number("protocol_port") == listener.number("protocol_port")
    };
    if let Some(other) = objects.of_kind(ElbKind::Listener).find(of_port) {
        let port = listener.number("protocol_port");
        return Err(ElbFault::conflict(format!(
            "`protocol_port` {port} is taken by the listener {}",
            other.id
        )));
    }
    if is_secured && listener.text("default_tls_container_ref").is_empty() {
        return Err(ElbFault::attribute(
            "default_tls_container_ref",
            "is missing: HTTPS needs a certificate",
        ));
    }
    check_certificates(objects, listener, is_secured)?;
    check_ip_groups(objects, listener)?;
    let pool = listener.text("default_pool_id");
    if pool.is_empty() { Ok(()) } else { pairs::check(objects, listener, ("default_pool_id", pool)) }
}

fn check_certificates(objects: &ElbObjects, listener: &ElbObject, is_secured: bool) -> Result<(), ElbFault> {
    let of_type = |name: &str, id: &str, wanted: &str| {
        if !is_secured {
            return Err(ElbFault::attribute(name, "needs the protocol HTTPS"));
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
