//! Backend server groups as tables of the configuration.

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::index::ElbIndex;
use crate::control::elb::mapping::names;
use crate::control::elb::mapping::tables::Tables;
use crate::control::elb::object::ElbObject;
use crate::control::elb::objects::health_monitor;
use crate::control::elb::objects::protocols;

pub(super) fn tables(index: &ElbIndex<'_>, (listener, pool): (&ElbObject, &ElbObject), tables: &mut Tables) {
    tables.header("[[server_group]]");
    tables.key("name", names::group_name(listener, pool));
    if !pool.text("name").is_empty() {
        tables.key("description", pool.text("name"));
    }
    tables.key("enabled", pool.truth("admin_state_up"));
    let protocol = pool.text("protocol");
    let is_relayed = protocols::is_relayed_group(protocol);
    // What ends as QUIC at backends is datagrams here.
    tables.key("protocol", if protocol == "QUIC" { "udp".to_owned() } else { protocol.to_ascii_lowercase() });
    algorithm(pool, tables);
    if matches!(protocol, "HTTPS" | "TLS") {
        // What the real service does, too.
        tables.key("tls", serde_json::json!({ "verify": "off" }));
    }
    if !is_relayed {
        tables.seconds("response_timeout", listener.number("member_timeout"));
    }
    if listener.truth("proxy_protocol_enable") {
        tables.key("proxy_protocol", "v1");
    }
    let drain = pool.table("connection_drain").filter(|table| table.get("enable") == Some(&Json::Bool(true)));
    if let Some(drain) = drain {
        tables.seconds("drain_timeout", drain.get("timeout").and_then(Json::as_i64).unwrap_or(300));
    }
    tables.key("max_retries", i64::from(listener.truth("enable_member_retry")));
    let least = pool.table("pool_health").and_then(|health| health.get("minimum_healthy_member_count"));
    tables.key("when_all_down", if least.and_then(Json::as_i64) == Some(1) { "forward" } else { "fail" });
    if let Some(slow_start) =
        pool.table("slow_start").filter(|table| table.get("enable") == Some(&Json::Bool(true)))
    {
        tables.seconds("slow_start", slow_start.get("duration").and_then(Json::as_i64).unwrap_or(30));
    }
    let members = index.members_of(&pool.id);
    if members.is_empty() {
        tables.key("backend", Json::Array(Vec::new()));
    }
    for member in members {
        member_table(member, tables);
    }
    if let Some(monitor) = index.monitor_of(&pool.id).filter(|monitor| monitor.truth("admin_state_up")) {
        monitor_table(monitor, tables);
    }
    if let Some(persistence) = pool.table("session_persistence") {
        sticky_table(persistence, tables);
    }
}

fn algorithm(pool: &ElbObject, tables: &mut Tables) {
    let by_id = pool.text("lb_algorithm") == "QUIC_CID";
    if !by_id {
        tables.key("algorithm", pool.text("lb_algorithm"));
        return;
    }
    let strategy = pool.table("quic_cid_hash_strategy");
    let number = |name: &str, usual: i64| {
        strategy.and_then(|strategy| strategy.get(name)).and_then(Json::as_i64).unwrap_or(usual)
    };
    tables.key("algorithm", "consistent_hash");
    let part = serde_json::json!({ "offset": number("offset", 1), "length": number("len", 3) });
    tables.key("hash_key", serde_json::json!({ "quic_cid": part }));
}

/// A group without backends, for a listener that has to lead somewhere.
pub(super) fn empty_table(listener: &ElbObject, tables: &mut Tables) {
    let protocol = if listener.text("protocol") == "UDP" { "udp" } else { "tcp" };
    tables.header("[[server_group]]");
    tables.key("name", names::empty_group(listener));
    tables.key("protocol", protocol);
    tables.key("backend", Json::Array(Vec::new()));
}

fn member_table(member: &ElbObject, tables: &mut Tables) {
    tables.header("[[server_group.backend]]");
    tables.key("address", names::member_address(member));
    tables.key("weight", member.number("weight"));
    tables.key("enabled", member.truth("admin_state_up"));
    if member.text("role") == "slave" {
        tables.key("role", "standby");
    }
}

fn monitor_table(monitor: &ElbObject, tables: &mut Tables) {
    let protocol = monitor.text("type");
    tables.header("[server_group.health_check]");
    let word = if protocol == "UDP_CONNECT" { "udp".to_owned() } else { protocol.to_ascii_lowercase() };
    tables.key("protocol", word);
    tables.seconds("interval", monitor.number("delay"));
    tables.seconds("timeout", monitor.number("timeout"));
    tables.key("healthy_threshold", monitor.number("max_retries"));
    tables.key("unhealthy_threshold", monitor.number("max_retries_down"));
    tables.key("port", monitor.number("monitor_port"));
    if matches!(protocol, "TCP" | "UDP_CONNECT") {
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
