//! Listeners as tables of the configuration.

use serde_json::Value as Json;

use crate::control::elb::index::ElbIndex;
use crate::control::elb::mapping::names;
use crate::control::elb::mapping::names::ElbTerms;
use crate::control::elb::mapping::tables::Tables;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::ip_group;
use crate::control::elb::objects::listener;
use crate::control::elb::objects::policy;
use crate::control::elb::objects::protocols;

/// Headers that are on or off: the attribute, and the key of Ringway.
const PLAIN_HEADERS: [(&str, &str); 5] = [
    ("X-Forwarded-Host", "x_forwarded_host"),
    ("X-Forwarded-Proto", "x_forwarded_proto"),
    ("X-Forwarded-Port", "x_forwarded_port"),
    ("X-Forwarded-For-Port", "x_forwarded_for_port"),
    ("X-Real-IP", "x_real_ip"),
];

/// Headers that may have another name: the attribute that turns them on, that with the name, and the key of Ringway.
const NAMED_HEADERS: [(&str, &str, &str); 15] = [
    (
        "X-Forwarded-Clientcert-subjectdn-enable",
        "X-Forwarded-Clientcert-subjectdn-alias",
        "clientcert_subjectdn",
    ),
    (
        "X-Forwarded-Clientcert-issuerdn-enable",
        "X-Forwarded-Clientcert-issuerdn-alias",
        "clientcert_issuerdn",
    ),
    (
        "X-Forwarded-Clientcert-fingerprint-enable",
        "X-Forwarded-Clientcert-fingerprint-alias",
        "clientcert_fingerprint",
    ),
    (
        "X-Forwarded-Clientcert-clientverify-enable",
        "X-Forwarded-Clientcert-clientverify-alias",
        "clientcert_clientverify",
    ),
    (
        "X-Forwarded-Clientcert-serialnumber-enable",
        "X-Forwarded-Clientcert-serialnumber-alias",
        "clientcert_serialnumber",
    ),
    ("X-Forwarded-Clientcert-enable", "X-Forwarded-Clientcert-alias", "clientcert"),
    ("X-Forwarded-Clientcert-ciphers-enable", "X-Forwarded-Clientcert-ciphers-alias", "clientcert_ciphers"),
    ("X-Forwarded-Clientcert-end-enable", "X-Forwarded-Clientcert-end-alias", "clientcert_end"),
    ("X-Forwarded-TLS-Protocol", "X-Forwarded-TLS-Protocol-alias", "tls_protocol"),
    ("X-Forwarded-TLS-Cipher", "X-Forwarded-TLS-Cipher-alias", "tls_cipher"),
    ("X-Forwarded-Tls-Sni-enable", "X-Forwarded-Tls-Sni-alias", "tls_sni"),
    ("X-Forwarded-Tls-Alpn-Protocol-enable", "X-Forwarded-Tls-Alpn-Protocol-alias", "tls_alpn_protocol"),
    ("X-Forwarded-Tls-Ja3-enable", "X-Forwarded-Tls-Ja3-alias", "tls_ja3"),
    // It has no other name there.
    ("X-Forwarded-TLS-Certificate-ID", "", "tls_certificate_id"),
    ("X-Forwarded-Tls-Ja4-enable", "X-Forwarded-Tls-Ja4-alias", "tls_ja4"),
];

fn place(objects: &ElbObjects, listener: &ElbObject, terms: &ElbTerms<'_>, tables: &mut Tables) {
    let balancer = objects.find(ElbKind::LoadBalancer, listener.text("loadbalancer_id"));
    let of = |name| balancer.map(|balancer| balancer.text(name)).filter(|address| !address.is_empty());
    let named: Vec<&str> = [of("vip_address"), of("ipv6_vip_address")].into_iter().flatten().collect();
    let named = if named.is_empty() { vec![terms.default_address] } else { named };
    let port = listener.number("protocol_port");
    if port == 0 {
        let range = |(first, last): (i64, i64)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        tables.key("address", named);
        tables.key("ports", listener::ports(listener).into_iter().map(range).collect::<Vec<_>>());
        return;
    }
    let at = |address: &str| {
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    };
    tables.key("address", named.into_iter().map(at).collect::<Vec<_>>());
}

fn is_up(objects: &ElbObjects, listener: &ElbObject) -> bool {
    let balancer = objects.find(ElbKind::LoadBalancer, listener.text("loadbalancer_id"));
    listener.truth("admin_state_up") && balancer.is_some_and(|balancer| balancer.truth("admin_state_up"))
}

pub(super) fn tables(index: &ElbIndex<'_>, listener: &ElbObject, terms: &ElbTerms<'_>, tables: &mut Tables) {
    let objects = index.objects;
    let protocol = listener.text("protocol");
    let is_secured = protocols::is_secured(protocol);
    tables.header("[[listener]]");
    tables.key("name", listener.id.as_str());
    if !listener.text("name").is_empty() {
        tables.key("description", listener.text("name"));
    }
    tables.key("enabled", is_up(objects, listener));
    place(objects, listener, terms, tables);
    tables.key("protocol", protocol.to_ascii_lowercase());
    if is_secured {
        let default = [listener.text("default_tls_container_ref")];
        let all: Vec<&str> = default.into_iter().chain(listener.texts("sni_container_refs")).collect();
        tables.key("certificates", all);
        tables.key("sni_match", listener.text("sni_match_algo"));
        let tls_policy = match listener.text("security_policy_id") {
            "" => listener.text("tls_ciphers_policy").to_owned(),
            id => names::tls_policy_name(id),
        };
        tables.key("tls_policy", tls_policy);
    }
    if let Some(pool) = objects.find(ElbKind::Pool, listener.text("default_pool_id")) {
        tables.key("default_group", names::group_name(listener, pool));
    } else if needs_empty_group(listener) {
        tables.key("default_group", names::empty_group(listener));
    }
    access(listener, tables);
    tables.key("max_connections", listener.number("connection"));
    tables.key("connections_per_second", listener.number("cps"));
    tables.seconds("idle_timeout", listener.number("keepalive_timeout"));
    if !protocols::is_relayed(protocol) {
        request_keys(index, listener, tables);
        forwarded_table(objects, (listener, is_secured), tables);
    }
    let ca = listener.text("client_ca_tls_container_ref");
    if !ca.is_empty() {
        tables.header("[listener.client_auth]");
        tables.key("mode", "require");
        tables.key("ca", vec![ca]);
    }
}

/// Whether a listener leads nowhere, and has to lead somewhere.
pub(super) fn needs_empty_group(listener: &ElbObject) -> bool {
    protocols::is_relayed(listener.text("protocol")) && listener.text("default_pool_id").is_empty()
}

fn request_keys(index: &ElbIndex<'_>, listener: &ElbObject, tables: &mut Tables) {
    redirect(index, listener, tables);
    let protocol = listener.text("protocol");
    if protocol != "QUIC" {
        tables.key("http2", protocol == "HTTPS" && listener.truth("http2_enable"));
    }
    if let Some(table) = listener.table("quic_config")
        && table.get("enable_quic_upgrade") == Some(&Json::Bool(true))
    {
        tables.key("quic_listener", listener::quic_listener(listener).unwrap_or_default());
    }
    tables.key("compression", listener.truth("gzip_enable"));
    tables.seconds("client_header_timeout", listener.number("client_timeout"));
    tables.seconds("client_body_timeout", listener.number("client_timeout"));
}

/// The policy that takes every request is a key of the listener here.
fn redirect(index: &ElbIndex<'_>, listener: &ElbObject, tables: &mut Tables) {
    let mut policies = index.policies_of(&listener.id).iter();
    if let Some(policy) = policies.find(|one| one.text("action") == policy::TO_LISTENER)
        && policy.truth("admin_state_up")
    {
        tables.key("redirect_to", policy.text("redirect_listener_id"));
    }
}

fn access(listener: &ElbObject, tables: &mut Tables) {
    if !ip_group::is_on(listener) {
        return;
    }
    let is_black =
        listener.table("ipgroup").is_some_and(|table| table.get("type") == Some(&Json::from("black")));
    let groups: Vec<&str> = ip_group::of_listener(listener).collect();
    tables.key(if is_black { "deny" } else { "allow" }, groups);
}

fn forwarded_table(objects: &ElbObjects, (listener, is_secured): (&ElbObject, bool), tables: &mut Tables) {
    let Some(headers) = listener.table("insert_headers") else { return };
    let text = |name: &str| headers.get(name).and_then(Json::as_str);
    let is_on = |name: &str| headers.get(name).and_then(Json::as_bool) == Some(true);
    tables.header("[listener.forwarded]");
    tables.key("x_forwarded_for", text("X-Forwarded-For-Processing-Mode").unwrap_or("append"));
    for (attribute, key) in PLAIN_HEADERS {
        tables.key(key, is_on(attribute));
    }
    let balancer = objects.find(ElbKind::LoadBalancer, listener.text("loadbalancer_id"));
    if let Some(balancer) = balancer {
        if is_on("X-Forwarded-ELB-IP") {
            tables.key("x_forwarded_elb_ip", balancer.text("vip_address"));
        }
        if is_on("X-Forwarded-ELB-ID") {
            tables.key("x_forwarded_elb_id", balancer.id.as_str());
        }
    }
    let on = NAMED_HEADERS.into_iter().filter(|(attribute, ..)| is_secured && is_on(attribute));
    for (_, alias, key) in on {
        let value = text(alias).filter(|alias| !alias.is_empty()).map_or(Json::Bool(true), Json::from);
        tables.key(key, value);
    }
}
