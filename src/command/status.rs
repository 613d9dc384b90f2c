//! `ringway status`: how a running Ringway and its backends fare.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use serde_json::Value as Json;

use crate::command::asking::Whom;
use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::table::Cell;
use crate::command::table::Colour;
use crate::command::table::Column;
use crate::command::table::Table;
use crate::telemetry::words::counted;

/// The answer needs no other thread.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    whom: Whom,
    /// Print the status as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let status = match arguments.whom.ask("status", PATIENCE) {
        Ok(status) => status,
        Err(exit) => return exit,
    };
    match arguments.json {
        true => print(&status.to_string()),
        false => print(&page(&status, diagnostics::wants_colour(std::io::stdout().is_terminal()))),
    }
}

fn page(status: &Json, in_colour: bool) -> String {
    let mut text = summary(status);
    for driver in list(&status["drivers"]) {
        text.push_str(&format!("{} on {}\n", some(&driver["workers"], "worker"), word(&driver["driver"])));
    }
    text.push_str(&format!("\n{}", listeners(&status["listeners"]).to_text(0, in_colour)));
    if !list(&status["certificates"]).is_empty() {
        text.push_str(&format!("\n{}", certificates(&status["certificates"]).to_text(0, in_colour)));
    }
    let broken_cas = list(&status["cas"]).iter().filter(|ca| !ca["broken"].is_null());
    for ca in broken_cas {
        text.push_str(&format!("\nCA {}: {}\n", word(&ca["name"]), broken(&ca["broken"])));
    }
    for group in list(&status["groups"]) {
        text.push_str(&format!(
            "\ngroup {}: {}, {}, {} in flight\n{}",
            word(&group["name"]),
            word(&group["algorithm"]),
            availability(word(&group["availability"])),
            number(&group["in_flight"]),
            backends(&group["backends"]).to_text(2, in_colour)
        ));
        for name in list(&group["unresolved"]) {
            text.push_str(&format!("  {} has no address yet\n", word(name)));
        }
    }
    if !list(&status["leaving"]).is_empty() {
        let backends = backends(&status["leaving"]).to_text(2, in_colour);
        text.push_str(&format!("\nbackends of groups that are no more\n{backends}"));
    }
    text
}

fn summary(status: &Json) -> String {
    let reloads = &status["reloads"];
    let last = match reloads["last"]["seconds"].as_u64() {
        Some(seconds) => format!(", the last {} {} ago", word(&reloads["last"]["outcome"]), span(seconds)),
        None => String::new(),
    };
    let limit = status["connections"]["limit"].as_u64();
    format!(
        "ringway {}, process {}, {}, up {}{}\n\
         epoch {}; reloads: {} succeeded, {} refused{last}\n\
         {}{}\n",
        word(&status["version"]),
        number(&status["pid"]),
        some(&status["workers"], "worker"),
        span(status["uptime_seconds"].as_u64().unwrap_or_default()),
        if status["stopping"] == true { ", stopping" } else { "" },
        number(&status["epoch"]),
        number(&reloads["succeeded"]),
        number(&reloads["refused"]),
        some(&status["connections"]["in_use"], "client connection"),
        limit.map(|limit| format!(" of at most {limit}")).unwrap_or_default(),
    )
}

fn listeners(listeners: &Json) -> Table {
    let mut table = Table::new(&[
        Column::Left("LISTENER"),
        Column::Left("PROTOCOL"),
        Column::Right("CONNECTIONS"),
        Column::Right("LIMIT"),
        Column::Left("ADDRESSES"),
    ]);
    for listener in list(listeners) {
        let addresses: Vec<_> = list(&listener["addresses"]).iter().map(word).collect();
        let is_leaving = listener["leaving"] == true;
        let cells = vec![
            word(&listener["name"]).into(),
            word(&listener["protocol"]).into(),
            number(&listener["connections"]["in_use"]).into(),
            number(&listener["connections"]["limit"]).into(),
            addresses.join(" ").into(),
        ];
        let remark = if is_leaving { "removed, its last connections end" } else { "" };
        table.add(cells, remark.to_owned());
    }
    table
}

fn certificates(certificates: &Json) -> Table {
    /// Names that fit into a line.
    const MAX_NAMES: usize = 2;
    let mut table = Table::new(&[
        Column::Left("CERTIFICATE"),
        Column::Left("EXPIRES"),
        Column::Left("SINCE"),
        Column::Left("LISTENERS"),
        Column::Left("NAMES"),
    ]);
    for certificate in list(certificates) {
        let words = |key: &str| list(&certificate[key]).iter().map(word).collect::<Vec<_>>();
        let names = words("names");
        let shown = match names.len().checked_sub(MAX_NAMES) {
            Some(more @ 1..) => format!("{} and {more} more", names[..MAX_NAMES].join(" ")),
            _ => names.join(" "),
        };
        let cells = vec![
            word(&certificate["name"]).into(),
            word(&certificate["not_after"]).into(),
            word(&certificate["since"]).into(),
            words("listeners").join(" ").into(),
            shown.into(),
        ];
        let is_broken = !certificate["broken"].is_null();
        table.add(cells, if is_broken { broken(&certificate["broken"]) } else { String::new() });
    }
    table
}

fn broken(broken: &Json) -> String {
    let errors: Vec<_> = list(&broken["errors"]).iter().map(word).collect();
    format!(
        "its files are broken since {}, this one still serves: {}",
        word(&broken["since"]),
        errors.join("; ")
    )
}

fn backends(backends: &Json) -> Table {
    let mut table = Table::new(&[
        Column::Left("BACKEND"),
        Column::Left("ROLE"),
        Column::Right("WEIGHT"),
        Column::Left("STATE"),
        Column::Right("FOR"),
        Column::Right("IN FLIGHT"),
        Column::Right("REQUESTS"),
        Column::Right("FAILURES"),
        Column::Right("CHANGES"),
    ]);
    for backend in list(backends) {
        let state = word(&backend["state"]);
        let cells = vec![
            word(&backend["address"]).into(),
            word(&backend["role"]).into(),
            number(&backend["weight"]).into(),
            Cell::coloured(state, colour(state)),
            backend["seconds"].as_u64().map_or("-".to_owned(), span).into(),
            number(&backend["in_flight"]).into(),
            number(&backend["requests"]).into(),
            number(&backend["failures"]).into(),
            number(&backend["changes"]).into(),
        ];
        table.add(cells, remark(backend));
    }
    table
}

/// Why a backend is not healthy, and until when.
fn remark(backend: &Json) -> String {
    let reason = backend["reason"].as_str().map(|reason| match backend["status"].as_u64() {
        Some(status) => format!("{reason} (status {status})"),
        None => reason.to_owned(),
    });
    let ejected =
        backend["ejected_until"].as_str().map(|until| format!("requests failed, out until {until}"));
    reason.into_iter().chain(ejected).collect::<Vec<_>>().join("; ")
}

fn colour(state: &str) -> Colour {
    match state {
        "healthy" => Colour::Green,
        "unhealthy" => Colour::Red,
        "initial" | "ejected" | "draining" => Colour::Yellow,
        _ => Colour::None,
    }
}

fn availability(word: &str) -> &str {
    match word {
        "active" => "active backends serve",
        "standby" => "standbys serve",
        "all_down" => "all backends are down",
        "nobody" => "no backend takes requests",
        other => other,
    }
}

/// Two units at most, so that a column of them stays narrow.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn word(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

/// A number and what it counts.
fn some(json: &Json, noun: &str) -> String {
    counted(json.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default(), noun)
}

fn number(json: &Json) -> String {
    json.as_u64().map_or("-".to_owned(), |number| number.to_string())
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
    fn a_page_shows_everything_within_a_hundred_columns() {
        let backend = |address: &str, state: &str, reason: Option<&str>| {
            json!({
                "address": address, "state": state, "reason": reason, "status": reason.map(|_| 503),
                "check": "healthy", "ejected_until": null, "since": null, "seconds": 11_532, "in_flight": 2,
                "requests": 1_234_567_890_u64, "failures": 3, "changes": 1, "role": "standby", "weight": 100,
            })
        };
        let mut gone = backend("10.0.0.9:1", "drained", None);
        gone["role"] = Json::Null;
        gone["weight"] = Json::Null;
        gone["ejected_until"] = "2026-11-21T08:48:37Z".into();
        let status = json!({
            "version": "0.1.0", "pid": 4711, "stopping": false, "uptime_seconds": 75, "epoch": 2, "workers": 2,
            "reloads": {"succeeded": 1, "refused": 0, "last": {"outcome": "reloaded", "seconds": 3}},
            "connections": {"in_use": 3, "limit": 14_904},
            "listeners": [
                {"name": "web", "protocol": "https", "addresses": ["0.0.0.0:443", "[::]:443"],
                 "connections": {"in_use": 3, "limit": null}, "leaving": false},
                {"name": "old", "protocol": "http", "addresses": ["0.0.0.0:80"],
                 "connections": {"in_use": 0, "limit": 5000}, "leaving": true},
            ],
            "groups": [{"name": "app", "algorithm": "weighted_round_robin", "availability": "active",
                "in_flight": 4, "backends": [
                    backend("192.168.100.111:65535", "healthy", None),
                    backend("10.0.0.2:80", "unhealthy", Some("RESPONSE_MISMATCH")),
                ]}],
            "leaving": [gone],
        });
        let text = page(&status, false);
        insta::assert_snapshot!("status_page", text);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(page(&status, true).contains("\x1b[31munhealthy\x1b[0m"));
    }
}
