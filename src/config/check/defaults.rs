//! `[defaults.listener]` and `[defaults.server_group]`: keys that tables of a kind need not repeat.

use crate::config::check::datagram_listener;
use crate::config::check::http3;
use crate::config::check::listener_tls;
use crate::config::check::relayed_group;
use crate::config::check::section::report_unknown;
use crate::config::check::section::table_of;
use crate::config::check::server_group;
use crate::config::check::stream_listener;
use crate::config::raw;
use crate::config::report::Report;

/// The tables that can have defaults, each with the keys that cannot: they tell one table from another.
pub(super) const TABLES: [(&str, &[&str]); 2] =
    [("listener", &["name", "ports", "address"]), ("server_group", &["name", "backend"])];

/// Keys of listeners that are of use whatever is spoken there. Where that is not HTTP, other defaults pass by but for those
/// that such listeners have of their own.
const OF_EVERY_LISTENER: [&str; 12] = [
    "enabled",
    "protocol",
    "default_group",
    "description",
    "tags",
    "deletion_protection",
    "modification_protection",
    "max_connections",
    "connections_per_second",
    "per_client",
    "allow",
    "deny",
];

/// The roots, with the defaults filled in where a table lacks a key. A default has the place where it stands.
pub(super) fn apply(roots: &[raw::Table], report: &mut Report) -> Option<Vec<raw::Table>> {
    let mut found = roots.iter().filter_map(|root| root.find("defaults"));
    let entry = found.next()?;
    if let Some(second) = found.next() {
        let first = report.place(entry.key_location);
        let message = format!("[defaults] is defined twice, first at {first}");
        report.error(second.key_location, message, "keep it in one of the files");
    }
    let defaults = table_of(entry, "[defaults.listener]", report)?;
    report_unknown(&defaults.entries, &TABLES.map(|(table, _)| table), "[defaults]", report);
    let mut filled = roots.to_vec();
    for (kind, own_keys) in TABLES {
        let Some(entry) = defaults.find(kind) else { continue };
        let Some(keys) = table_of(entry, &format!("[defaults.{kind}]"), report) else { continue };
        for entry in keys.entries.iter().filter(|entry| own_keys.contains(&entry.key.as_str())) {
            let message = format!("`{}` is each [[{kind}]]'s own", entry.key);
            report.error(entry.key_location, message, format!("write it in each [[{kind}]]"));
        }
        let keys: Vec<&raw::Entry> =
            keys.entries.iter().filter(|entry| !own_keys.contains(&entry.key.as_str())).collect();
        for table in filled.iter_mut().flat_map(|root| tables_of(root, kind)) {
            let fitting = keys.iter().copied().filter(|entry| fits(kind, table, entry));
            let fitting = fitting.filter_map(|entry| without_requests(table, entry)).collect();
            fill(table, fitting);
        }
    }
    Some(filled)
}

/// The tables of this kind below a root.
fn tables_of<'r>(root: &'r mut raw::Table, kind: &str) -> impl Iterator<Item = &'r mut raw::Table> {
    let entries = root.entries.iter_mut().filter(move |entry| entry.key == kind);
    let values = entries.flat_map(|entry| match &mut entry.value.kind {
        raw::Kind::Array(values) => values.as_mut_slice(),
        _ => &mut [],
    });
    values.filter_map(|value| match &mut value.kind {
        raw::Kind::Table(table) => Some(table),
        _ => None,
    })
}

/// The default, of `per_client` without what limits requests where a table relays; None if nothing is left.
fn without_requests(table: &raw::Table, default: &raw::Entry) -> Option<raw::Entry> {
    let mut default = default.clone();
    let is_relayed = table.find("protocol").is_some_and(|entry| match &entry.value.kind {
        raw::Kind::Text(text) => RELAYED.iter().any(|protocol| text.eq_ignore_ascii_case(protocol)),
        _ => false,
    });
    if let raw::Kind::Table(limits) = &mut default.value.kind
        && default.key == "per_client"
        && is_relayed
    {
        limits.entries.retain(|entry| !matches!(entry.key.as_str(), "requests_per_second" | "burst"));
        if limits.entries.is_empty() {
            return None;
        }
    }
    Some(default)
}

/// What listeners speak that look into no requests.
const RELAYED: [&str; 4] = ["tcp", "tls", "tcpssl", "udp"];

/// Whether a default is of use to a table: what is for HTTPS alone passes listeners without TLS by, and a redirect to
/// HTTPS those with it.
fn fits(kind: &str, table: &raw::Table, default: &raw::Entry) -> bool {
    let speaks = |protocols: &[&str]| {
        table.find("protocol").is_some_and(|entry| match &entry.value.kind {
            raw::Kind::Text(text) => protocols.iter().any(|protocol| text.eq_ignore_ascii_case(protocol)),
            _ => false,
        })
    };
    let is_https = speaks(&["https"]);
    let key = default.key.as_str();
    let is_datagrams = speaks(&["udp"]);
    let is_relayed = is_datagrams || speaks(&["tcp", "tls"]);
    if kind == "server_group" {
        let is_tls = key == "tls" && speaks(&["tls"]);
        if is_datagrams && relayed_group::OF_CONNECTIONS.contains(&key) {
            return false;
        }
        return match is_relayed {
            true => is_tls || !server_group::OF_REQUESTS.contains(&key),
            false => !relayed_group::OF_RELAYED.contains(&key),
        };
    }
    if is_relayed && OF_EVERY_LISTENER.contains(&key) {
        return true;
    }
    if is_datagrams {
        return datagram_listener::KEYS.contains(&key);
    }
    if is_relayed {
        let passes = |entry: &raw::Entry| matches!(entry.value.kind, raw::Kind::Boolean(true));
        let ends_tls = speaks(&["tls"]) && !table.find("passthrough").is_some_and(passes);
        let is_of_tls = stream_listener::TLS_KEYS.contains(&key)
            || listener_tls::KEYS.contains(&key) && key != "host_unlike_sni";
        return stream_listener::KEYS.contains(&key) || ends_tls && is_of_tls;
    }
    let is_quic = speaks(&["quic"]);
    if is_quic && http3::OF_TCP.contains(&key) {
        return false;
    }
    let is_for_https = listener_tls::KEYS.contains(&key)
        || listener_tls::HTTP3_KEYS.contains(&key)
        || matches!(key, "client_auth" | "hsts");
    let is_for_http = matches!(key, "redirect_to" | "redirect_spares_acme");
    if is_https || is_quic { !is_for_http } else { !is_for_https }
}

/// Adds the entries that a table lacks. Tables below it are filled in the same way.
fn fill(table: &mut raw::Table, defaults: Vec<raw::Entry>) {
    for default in defaults {
        let Some(own) = table.entries.iter_mut().find(|entry| entry.key == default.key) else {
            table.entries.push(default);
            continue;
        };
        if let (raw::Kind::Table(own), raw::Kind::Table(default)) = (&mut own.value.kind, default.value.kind)
        {
            fill(own, default.entries);
        }
    }
}
