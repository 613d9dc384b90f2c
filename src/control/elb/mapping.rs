//! From the objects of the ELB API to tables of the configuration, with every default of the API written out: those of
//! Ringway are others.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::toml_value;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::health_monitor;

/// Headers that are on or off: the attribute, and the key of Ringway.
const PLAIN_HEADERS: [(&str, &str); 4] = [
    ("X-Forwarded-Host", "x_forwarded_host"),
    ("X-Forwarded-Proto", "x_forwarded_proto"),
    ("X-Forwarded-Port", "x_forwarded_port"),
    ("X-Real-IP", "x_real_ip"),
];

/// Headers that may have another name: the attribute that turns them on, that with the name, and the key of Ringway.
const NAMED_HEADERS: [(&str, &str, &str); 14] = [
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
    ("X-Forwarded-Tls-Ja4-enable", "X-Forwarded-Tls-Ja4-alias", "tls_ja4"),
];

/// What the text of a configuration is made of.
pub struct ElbTerms<'t> {
    /// Where files of certificates are.
    pub folder: &'t Path,
    /// The address of load balancers that name none.
    pub default_address: &'t str,
}

/// A file that the text names.
#[derive(Debug, PartialEq, Eq)]
pub struct ElbFile {
    pub path: PathBuf,
    pub text: String,
}

/// Tables of the configuration as text, written from the top down.
struct Tables(String);

impl Tables {
    fn header(&mut self, header: &str) {
        self.0.push_str(&format!("\n{header}\n"));
    }

    fn key(&mut self, key: &str, value: impl Into<Json>) {
        self.0.push_str(&format!("{key} = {}\n", toml_value(&value.into())));
    }

    fn seconds(&mut self, key: &str, seconds: i64) {
        self.key(key, format!("{seconds}s"));
    }
}

/// The text that stands for all objects, without certificates that no listener names.
pub fn text(objects: &ElbObjects, terms: &ElbTerms<'_>) -> String {
    let head = "# Made of the objects of the ELB API, which replaces this file: change them there.\n";
    let mut tables = Tables(head.to_owned());
    for certificate in objects.of_kind(ElbKind::Certificate) {
        certificate_table(objects, certificate, terms, &mut tables);
    }
    for listener in objects.of_kind(ElbKind::Listener) {
        listener_tables(objects, listener, terms, &mut tables);
        if let Some(pool) = objects.find(ElbKind::Pool, listener.text("default_pool_id")) {
            group_tables(objects, (listener, pool), &mut tables);
        }
    }
    tables.0
}

/// How many backends the text has: those of a group stand there for each listener that leads to it.
pub fn backends(objects: &ElbObjects) -> usize {
    let pools = objects.of_kind(ElbKind::Listener).map(|listener| listener.text("default_pool_id"));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for member in objects.of_kind(ElbKind::Member) {
        *counts.entry(&member.owner).or_default() += 1;
    }
    pools.filter_map(|pool| counts.get(pool)).sum()
}

/// The files of the certificates that listeners name.
pub fn files(objects: &ElbObjects, terms: &ElbTerms<'_>) -> Vec<ElbFile> {
    let used = objects.of_kind(ElbKind::Certificate).filter(|certificate| is_used(objects, &certificate.id));
    let of_one = |certificate: &ElbObject| {
        let parts = [("certificate", "crt"), ("private_key", "key")];
        parts.map(|(attribute, ending)| {
            let text = certificate.text(attribute);
            let end = if text.ends_with('\n') { "" } else { "\n" };
            let path = file_path(certificate, ending, terms);
            (!text.is_empty()).then(|| ElbFile { path, text: format!("{text}{end}") })
        })
    };
    used.flat_map(of_one).flatten().collect()
}

/// Another name for each content: a file never changes under a configuration that names it.
fn file_path(certificate: &ElbObject, ending: &str, terms: &ElbTerms<'_>) -> PathBuf {
    let content = format!("{} {}", certificate.text("certificate"), certificate.text("private_key"));
    let mark = crate::policy::balance::hash_key::hash(content.as_bytes());
    terms.folder.join(format!("{}-{mark:016x}.{ending}", certificate.id))
}

fn is_used(objects: &ElbObjects, id: &str) -> bool {
    objects.of_kind(ElbKind::Listener).any(|listener| {
        let refs = [listener.text("default_tls_container_ref"), listener.text("client_ca_tls_container_ref")];
        refs.contains(&id) || listener.texts("sni_container_refs").any(|one| one == id)
    })
}

fn certificate_table(
    objects: &ElbObjects,
    certificate: &ElbObject,
    terms: &ElbTerms<'_>,
    tables: &mut Tables,
) {
    if !is_used(objects, &certificate.id) {
        return;
    }
    let path = |ending| file_path(certificate, ending, terms).display().to_string();
    if certificate.text("type") == "client" {
        tables.header("[[ca]]");
        tables.key("name", certificate.id.as_str());
        tables.key("bundle", path("crt"));
    } else {
        tables.header("[[certificate]]");
        tables.key("name", certificate.id.as_str());
        tables.key("chain", path("crt"));
        tables.key("key", path("key"));
    }
}

fn addresses(objects: &ElbObjects, listener: &ElbObject, terms: &ElbTerms<'_>) -> Vec<String> {
    let balancer = objects.find(ElbKind::LoadBalancer, listener.text("loadbalancer_id"));
    let of = |name| balancer.map(|balancer| balancer.text(name)).filter(|address| !address.is_empty());
    let named: Vec<&str> = [of("vip_address"), of("ipv6_vip_address")].into_iter().flatten().collect();
    let named = if named.is_empty() { vec![terms.default_address] } else { named };
    let port = listener.number("protocol_port");
    let at = |address: &str| {
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    };
    named.into_iter().map(at).collect()
}

fn is_up(objects: &ElbObjects, listener: &ElbObject) -> bool {
    let balancer = objects.find(ElbKind::LoadBalancer, listener.text("loadbalancer_id"));
    listener.truth("admin_state_up") && balancer.is_some_and(|balancer| balancer.truth("admin_state_up"))
}

fn listener_tables(objects: &ElbObjects, listener: &ElbObject, terms: &ElbTerms<'_>, tables: &mut Tables) {
    let is_secured = listener.text("protocol") == "HTTPS";
    tables.header("[[listener]]");
    tables.key("name", listener.id.as_str());
    if !listener.text("name").is_empty() {
        tables.key("description", listener.text("name"));
    }
    tables.key("enabled", is_up(objects, listener));
    tables.key("address", addresses(objects, listener, terms));
    tables.key("protocol", if is_secured { "https" } else { "http" });
    if is_secured {
        let default = [listener.text("default_tls_container_ref")];
        let all: Vec<&str> = default.into_iter().chain(listener.texts("sni_container_refs")).collect();
        tables.key("certificates", all);
        tables.key("sni_match", listener.text("sni_match_algo"));
        tables.key("tls_policy", listener.text("tls_ciphers_policy"));
    }
    if let Some(pool) = objects.find(ElbKind::Pool, listener.text("default_pool_id")) {
        tables.key("default_group", group_name(listener, pool));
    }
    tables.key("http2", is_secured && listener.truth("http2_enable"));
    tables.key("compression", listener.truth("gzip_enable"));
    tables.key("max_connections", listener.number("connection"));
    tables.key("connections_per_second", listener.number("cps"));
    tables.seconds("idle_timeout", listener.number("keepalive_timeout"));
    tables.seconds("client_header_timeout", listener.number("client_timeout"));
    tables.seconds("client_body_timeout", listener.number("client_timeout"));
    forwarded_table(listener, is_secured, tables);
    let ca = listener.text("client_ca_tls_container_ref");
    if !ca.is_empty() {
        tables.header("[listener.client_auth]");
        tables.key("mode", "require");
        tables.key("ca", vec![ca]);
    }
}

fn forwarded_table(listener: &ElbObject, is_secured: bool, tables: &mut Tables) {
    let Some(headers) = listener.table("insert_headers") else { return };
    let text = |name: &str| headers.get(name).and_then(Json::as_str);
    let is_on = |name: &str| headers.get(name).and_then(Json::as_bool) == Some(true);
    tables.header("[listener.forwarded]");
    tables.key("x_forwarded_for", text("X-Forwarded-For-Processing-Mode").unwrap_or("append"));
    for (attribute, key) in PLAIN_HEADERS {
        tables.key(key, is_on(attribute));
    }
    let on = NAMED_HEADERS.into_iter().filter(|(attribute, ..)| is_secured && is_on(attribute));
    for (_, alias, key) in on {
        let value = text(alias).filter(|alias| !alias.is_empty()).map_or(Json::Bool(true), Json::from);
        tables.key(key, value);
    }
}

/// Timeouts and retries belong to listeners there and to groups here, so that each pair of both is a group.
pub fn group_name(listener: &ElbObject, pool: &ElbObject) -> String {
    let of_listener: String = listener.id.chars().filter(|c| *c != '-').take(24).collect();
    format!("{}.{of_listener}", pool.id)
}

fn group_tables(objects: &ElbObjects, (listener, pool): (&ElbObject, &ElbObject), tables: &mut Tables) {
    tables.header("[[server_group]]");
    tables.key("name", group_name(listener, pool));
    if !pool.text("name").is_empty() {
        tables.key("description", pool.text("name"));
    }
    tables.key("enabled", pool.truth("admin_state_up"));
    tables.key("protocol", pool.text("protocol").to_ascii_lowercase());
    tables.key("algorithm", pool.text("lb_algorithm"));
    if pool.text("protocol") == "HTTPS" {
        // What the real service does, too.
        tables.key("tls", serde_json::json!({ "verify": "off" }));
    }
    tables.seconds("response_timeout", listener.number("member_timeout"));
    tables.key("max_retries", i64::from(listener.truth("enable_member_retry")));
    let least = pool.table("pool_health").and_then(|health| health.get("minimum_healthy_member_count"));
    tables.key("when_all_down", if least.and_then(Json::as_i64) == Some(1) { "forward" } else { "fail" });
    if let Some(slow_start) =
        pool.table("slow_start").filter(|table| table.get("enable") == Some(&Json::Bool(true)))
    {
        tables.seconds("slow_start", slow_start.get("duration").and_then(Json::as_i64).unwrap_or(30));
    }
    let members: Vec<&ElbObject> = objects.members_of(&pool.id).collect();
    if members.is_empty() {
        tables.key("backend", Json::Array(Vec::new()));
    }
    for member in members {
        member_table(member, tables);
    }
    if let Some(monitor) = objects.monitor_of(&pool.id).filter(|monitor| monitor.truth("admin_state_up")) {
        monitor_table(monitor, tables);
    }
    if let Some(persistence) = pool.table("session_persistence") {
        sticky_table(persistence, tables);
    }
}

fn member_table(member: &ElbObject, tables: &mut Tables) {
    tables.header("[[server_group.backend]]");
    tables.key("address", member_address(member));
    tables.key("weight", member.number("weight"));
    tables.key("enabled", member.truth("admin_state_up"));
}

/// As the configuration and the status name it.
pub fn member_address(member: &ElbObject) -> String {
    let (address, port) = (member.text("address"), member.number("protocol_port"));
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn monitor_table(monitor: &ElbObject, tables: &mut Tables) {
    let protocol = monitor.text("type");
    tables.header("[server_group.health_check]");
    tables.key("protocol", protocol.to_ascii_lowercase());
    tables.seconds("interval", monitor.number("delay"));
    tables.seconds("timeout", monitor.number("timeout"));
    tables.key("healthy_threshold", monitor.number("max_retries"));
    tables.key("unhealthy_threshold", monitor.number("max_retries_down"));
    tables.key("port", monitor.number("monitor_port"));
    if protocol == "TCP" {
        return;
    }
    if protocol != "GRPC" {
        tables.key("method", monitor.text("http_method"));
    }
    // The path of a call has two parts; without one it is that of the protocol for health checks.
    if protocol != "GRPC" || monitor.text("url_path") != "/" {
        tables.key("path", monitor.text("url_path"));
    }
    if !monitor.text("domain_name").is_empty() {
        tables.key("host", monitor.text("domain_name"));
    }
    tables.key("expect", health_monitor::expected(monitor).unwrap_or_default());
}

fn sticky_table(persistence: &Map<String, Json>, tables: &mut Tables) {
    let text = |name: &str| persistence.get(name).and_then(Json::as_str);
    let mode = text("type").unwrap_or_default();
    tables.header("[server_group.sticky]");
    tables.key("mode", mode);
    match text("cookie_name") {
        Some(name) => tables.key("cookie", name),
        None => {
            let minutes = persistence.get("persistence_timeout").and_then(Json::as_i64).unwrap_or(1_440);
            tables.seconds("timeout", minutes * 60);
        }
    }
}
