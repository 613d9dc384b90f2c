//! `ringway status`: the state of a running Ringway and its backends.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;

use crate::command::admin_client::AdminEndpoint;
use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::status_tree::StatusTree;
use crate::command::status_tree::availability;
use crate::command::table::Cell;
use crate::command::table::Colour;
use crate::command::table::Column;
use crate::command::table::TextTable;
use crate::control::admin::status::AccessLogStatus;
use crate::control::admin::status::BackendStatus;
use crate::control::admin::status::BrokenFiles;
use crate::control::admin::status::CertificateStatus;
use crate::control::admin::status::DriverStatus;
use crate::control::admin::status::ListenerStatus;
use crate::control::admin::status::MaintenanceStatus;
use crate::control::admin::status::Status;
use crate::control::admin::status::Usage;
use crate::control::admin::status::protocol_label;
use crate::telemetry::words::counted;

/// The answer needs no other thread.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    endpoint: AdminEndpoint,
    /// Print the status as JSON.
    #[arg(long)]
    json: bool,
    /// Print listeners, rules, groups and backends as a tree, each with its operating status.
    #[arg(long)]
    tree: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let (json, status) = match arguments.endpoint.ask::<Status>("status", ANSWER_TIMEOUT) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let in_colour = || diagnostics::wants_colour(std::io::stdout().is_terminal());
    print(&match (arguments.tree, arguments.json) {
        (true, true) => StatusTree::of(&status).to_json(),
        (true, false) => StatusTree::of(&status).to_text(in_colour()),
        (false, true) => json.to_string(),
        (false, false) => page(&status, in_colour()),
    })
}

fn page(status: &Status, in_colour: bool) -> String {
    let mut text = summary(status);
    for DriverStatus { driver, workers } in &status.drivers {
        text.push_str(&format!("{} on {driver}\n", counted(*workers, "worker")));
    }
    for MaintenanceStatus { kind, name, seconds, .. } in &status.maintenance {
        let since = seconds.map(|seconds| format!(" for {}", span(seconds)));
        let kind = kind.replace('_', " ");
        text.push_str(&format!("{kind} {name} is in maintenance{}\n", since.unwrap_or_default()));
    }
    for AccessLogStatus { name, lines_dropped, .. } in &status.access_logs {
        if *lines_dropped > 0 {
            text.push_str(&format!("access log {name}: {lines_dropped} lines are lost since the start\n"));
        }
    }
    text.push_str(&format!("\n{}", listeners(&status.listeners).to_text(0, in_colour)));
    if status.listeners.iter().any(|listener| listener.relayed.is_some()) {
        text.push_str(&format!("\n{}", relays(&status.listeners).to_text(0, in_colour)));
    }
    if !status.certificates.is_empty() {
        text.push_str(&format!("\n{}", certificates(&status.certificates).to_text(0, in_colour)));
    }
    for ca in &status.cas {
        if let Some(broken) = &ca.broken {
            text.push_str(&format!("\nCA {}: {}\n", ca.name, self::broken(broken)));
        }
    }
    for group in &status.groups {
        text.push_str(&format!(
            "\ngroup {}: {}, {}, {} in flight{}\n{}",
            group.name,
            group.algorithm,
            availability(&group.availability),
            group.in_flight,
            group.queue.as_ref().map(queue).unwrap_or_default(),
            backends(&group.backends).to_text(2, in_colour)
        ));
        for name in &group.unresolved {
            text.push_str(&format!("  {name} has no address yet\n"));
        }
    }
    if !status.leaving.is_empty() {
        let backends = backends(&status.leaving).to_text(2, in_colour);
        text.push_str(&format!("\nbackends that are being removed\n{backends}"));
    }
    text
}

fn summary(status: &Status) -> String {
    let Status { version, pid, epoch, reloads, connections, .. } = status;
    let last = reloads.last.as_ref().and_then(|last| Some((&last.outcome, last.seconds?)));
    let last = last.map(|(outcome, seconds)| format!(", the last {outcome} {} ago", span(seconds)));
    let limit = connections.limit.map(|limit| format!(" of at most {limit}"));
    let before = status.predecessors.iter().map(|old| {
        let (connections, time) = (counted(old.connections, "client connection"), span(old.seconds));
        format!("old process {}: {connections} left, replaced {time} ago\n", old.pid)
    });
    format!(
        "ringway {version}, process {pid}, {}, up {}{}\n\
         config generation {epoch}; reloads: {} succeeded, {} refused{}\n\
         {}{}\n{}",
        counted(status.workers, "worker"),
        span(status.uptime_seconds),
        if status.stopping { ", stopping" } else { "" },
        reloads.succeeded,
        reloads.refused,
        last.unwrap_or_default(),
        counted(connections.in_use, "client connection"),
        limit.unwrap_or_default(),
        before.collect::<String>(),
    )
}

fn listeners(listeners: &[ListenerStatus]) -> TextTable {
    let mut table = TextTable::new(&[
        Column::Left("LISTENER"),
        Column::Left("PROTOCOL"),
        Column::Right("CONNECTIONS"),
        Column::Right("LIMIT"),
        Column::Right("REFUSED"),
        Column::Left("ADDRESSES"),
    ]);
    for listener in listeners {
        let cells = vec![
            (*listener.name).into(),
            protocol_label(&listener.protocol, listener.http3).into(),
            listener.connections.in_use.to_string().into(),
            or_dash(listener.connections.limit).into(),
            listener.refused.values().sum::<u64>().to_string().into(),
            listener.addresses.join(" ").into(),
        ];
        let leaving = match (listener.leaving, listener.disabled) {
            (true, _) => Some("removed, its last connections end".to_owned()),
            (false, true) => Some("disabled: it is not bound".to_owned()),
            (false, false) => None,
        };
        let http3 = listener.quic_listener.as_ref().map(|name| format!("HTTP/3 at the listener {name}"));
        let refused = listener.refused.iter().filter(|(_, count)| **count > 0);
        let refused = refused.map(|(reason, count)| format!("{count} {reason}"));
        table.add(cells, leaving.into_iter().chain(http3).chain(refused).collect::<Vec<_>>().join(", "));
    }
    table
}

/// What listeners have relayed since the start. Each counts connections, or sessions of UDP.
fn relays(listeners: &[ListenerStatus]) -> TextTable {
    let mut table = TextTable::new(&[
        Column::Left("RELAYED BY"),
        Column::Right("ACCEPTED"),
        Column::Right("ENDED"),
        Column::Right("FAILED"),
        Column::Right("BYTES IN"),
        Column::Right("BYTES OUT"),
        Column::Right("DATAGRAMS IN"),
        Column::Right("DATAGRAMS OUT"),
        Column::Right("LOST"),
    ]);
    for listener in listeners {
        let Some(relayed) = &listener.relayed else { continue };
        let bytes = listener.bytes.unwrap_or_default();
        let datagrams = listener.datagrams.as_ref();
        let lost = datagrams.map(|datagrams| datagrams.dropped.values().sum::<u64>());
        let cells = vec![
            (*listener.name).into(),
            or_dash(listener.accepted).into(),
            relayed.count.to_string().into(),
            relayed.failed.to_string().into(),
            bytes.received.to_string().into(),
            bytes.sent.to_string().into(),
            or_dash(datagrams.map(|datagrams| datagrams.received)).into(),
            or_dash(datagrams.map(|datagrams| datagrams.sent)).into(),
            or_dash(lost).into(),
        ];
        let dropped = datagrams.into_iter().flat_map(|datagrams| &datagrams.dropped);
        let dropped = dropped.filter(|(_, count)| **count > 0);
        let dropped = dropped.map(|(reason, count)| format!("{count} {reason}"));
        table.add(cells, dropped.collect::<Vec<_>>().join(", "));
    }
    table
}

fn certificates(certificates: &[CertificateStatus]) -> TextTable {
    /// Names that fit into a line.
    const MAX_NAMES: usize = 2;
    let mut table = TextTable::new(&[
        Column::Left("CERTIFICATE"),
        Column::Left("EXPIRES"),
        Column::Left("SINCE"),
        Column::Left("LISTENERS"),
        Column::Left("NAMES"),
    ]);
    for certificate in certificates {
        let names = &certificate.names;
        let shown = match names.len().checked_sub(MAX_NAMES) {
            Some(more @ 1..) => format!("{} and {more} more", names[..MAX_NAMES].join(" ")),
            _ => names.join(" "),
        };
        let cells = vec![
            (*certificate.name).into(),
            (*certificate.not_after).into(),
            (*certificate.since).into(),
            certificate.listeners.join(" ").into(),
            shown.into(),
        ];
        table.add(cells, certificate.broken.as_ref().map(broken).unwrap_or_default());
    }
    table
}

fn broken(broken: &BrokenFiles) -> String {
    let BrokenFiles { since, errors } = broken;
    format!("its files are broken since {since}, this one still serves: {}", errors.join("; "))
}

fn backends(backends: &[BackendStatus]) -> TextTable {
    let mut table = TextTable::new(&[
        Column::Left("BACKEND"),
        Column::Left("ROLE"),
        Column::Right("WEIGHT"),
        Column::Left("STATE"),
        Column::Right("SINCE"),
        Column::Right("IN FLIGHT"),
        Column::Right("REQUESTS"),
        Column::Right("FAILURES"),
        Column::Right("STATE CHANGES"),
    ]);
    for backend in backends {
        let cells = vec![
            (*backend.address).into(),
            backend.role.as_deref().unwrap_or_default().into(),
            or_dash(backend.weight).into(),
            Cell::coloured(&backend.state, colour(&backend.state)),
            backend.seconds.map_or("-".to_owned(), span).into(),
            backend.in_flight.to_string().into(),
            backend.requests.to_string().into(),
            backend.failures.to_string().into(),
            backend.changes.to_string().into(),
        ];
        table.add(cells, remark(backend));
    }
    table
}

/// Why a backend gets no requests or is not healthy, and until when.
pub(super) fn remark(backend: &BackendStatus) -> String {
    let reason = backend.reason.as_ref().map(|reason| match backend.status {
        Some(status) => format!("{reason} (status {status})"),
        None => reason.to_string(),
    });
    let drain = match backend.drain_reason.as_deref() {
        Some("weight") => Some("its weight is 0".to_owned()),
        // What was said by command follows.
        Some("command") | None => None,
        Some(other) => Some(other.to_owned()),
    };
    let runtime = backend.runtime.iter().flat_map(|runtime| {
        let drain = runtime.drain.then(|| "drained by command".to_owned());
        let weight = runtime
            .weight
            .map(|weight| format!("weight {weight} by command, {} as configured", runtime.configured_weight));
        drain.into_iter().chain(weight)
    });
    let ejected = backend.ejected_until.as_ref().map(|until| format!("requests failed, out until {until}"));
    drain.into_iter().chain(runtime).chain(reason).chain(ejected).collect::<Vec<_>>().join("; ")
}

pub(super) fn colour(state: &str) -> Colour {
    match state {
        "healthy" => Colour::Green,
        "unhealthy" => Colour::Red,
        "initial" | "ejected" | "draining" => Colour::Yellow,
        _ => Colour::None,
    }
}

/// How many requests wait for a backend with room.
fn queue(queue: &Usage) -> String {
    format!(", {} of at most {} waiting", queue.in_use, or_dash(queue.limit))
}

/// Two units at most, so that a column of them stays narrow.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

fn or_dash(number: Option<impl ToString>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_have_two_units() {
        let spans = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 950_400].map(span);
        assert_eq!(spans, ["0s", "59s", "1m0s", "59m59s", "1h0m", "23h59m", "1d0h", "11d0h"]);
    }

    #[test]
    fn a_page_shows_everything_within_110_columns() {
        let backend = |address: &str, state: &str, reason: Option<&str>| {
            json!({
                "address": address, "state": state, "reason": reason, "status": reason.map(|_| 503),
                "check": "healthy", "ejected_until": null, "since": null, "seconds": 11_532, "in_flight": 2,
                "requests": 1_234_567_890_u64, "failures": 3, "changes": 1, "role": "standby", "weight": 100,
            })
        };
        let mut gone = backend("10.0.0.9:1", "drained", None);
        gone["role"] = json!(null);
        gone["weight"] = json!(null);
        gone["ejected_until"] = "2026-11-21T08:48:37Z".into();
        let status = json!({
            "version": "0.1.0", "pid": 4711, "stopping": false, "uptime_seconds": 75, "epoch": 2, "workers": 2,
            "reloads": {"succeeded": 1, "refused": 0, "last": {"outcome": "reloaded", "seconds": 3}},
            "connections": {"in_use": 3, "limit": 14_904},
            "listeners": [
                {"name": "web", "protocol": "https", "addresses": ["0.0.0.0:443", "[::]:443"],
                 "connections": {"in_use": 3, "limit": null}, "leaving": false, "http3": true,
                 "refused": {"access_denied": 12, "tls_unknown_name": 0}},
                {"name": "dns", "protocol": "udp", "addresses": ["0.0.0.0:53"], "accepted": 120_345,
                 "connections": {"in_use": 7, "limit": null}, "refused": {},
                 "relayed": {"count": 120_338, "failed": 2, "retries": 2, "duration": {}},
                 "bytes": {"received": 7_654_321, "sent": 23_456_789_012_u64},
                 "datagrams": {"received": 125_000, "sent": 124_998, "dropped": {"send_queue_full": 2}}},
                {"name": "shop", "protocol": "https", "addresses": ["0.0.0.0:8443"], "quic_listener": "fast",
                 "refused": {"access_denied": 1}},
                {"name": "fast", "protocol": "quic", "addresses": ["0.0.0.0:8443"], "http3": true},
                {"name": "old", "protocol": "http", "addresses": ["0.0.0.0:80"],
                 "connections": {"in_use": 0, "limit": 5000}, "leaving": true},
            ],
            "groups": [{"name": "app", "algorithm": "weighted_round_robin", "availability": "active",
                "in_flight": 4, "backends": [
                    backend("192.168.100.111:65535", "healthy", None),
                    backend("10.0.0.2:80", "unhealthy", Some("RESPONSE_MISMATCH")),
                ]}],
            "maintenance": [
                {"kind": "rule", "name": "api", "since": null, "seconds": null},
                {"kind": "server_group", "name": "app", "since": "2026-11-21T08:48:37Z", "seconds": 75},
            ],
            "leaving": [gone],
        });
        let status: Status = serde_json::from_value(status).unwrap();
        let text = page(&status, false);
        insta::assert_snapshot!("status_page", text);
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        assert!(page(&status, true).contains("\x1b[31munhealthy\x1b[0m"));
    }
}
