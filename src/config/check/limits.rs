//! `limit` of rules and `per_client` of listeners.

use serde_json::Value as Json;

use crate::config::PerClient;
use crate::config::RequestRates;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Size;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::report_unknown;
use crate::config::in_order;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// Requests or connections a second, and connections at a time, that a limit can be of.
const MAX_LIMIT: u32 = 1_000_000;

/// Bytes per second; 0: unlimited.
pub(super) const BANDWIDTH: Size = Size(0..=1 << 40);

const BANDWIDTH_KEY: &str = "bandwidth_bytes_per_second";

const RATE_KEYS: [&str; 3] = ["requests_per_second", "per_client_requests_per_second", "burst"];

const PER_CLIENT_KEYS: [&str; 5] =
    ["requests_per_second", "burst", "connections_per_second", "max_connections", BANDWIDTH_KEY];

/// A key that is there says something; a burst may be none.
fn number(name: &str) -> Integer {
    Integer(u32::from(name != "burst")..=MAX_LIMIT)
}

/// What a key of one of the tables takes.
fn schema_of(name: &'static str) -> (&'static str, Json) {
    (name, if name == BANDWIDTH_KEY { BANDWIDTH.schema() } else { number(name).schema() })
}

/// The values of these keys, 0 for those that are not there; at least one is.
fn read<const N: usize>(
    key: &str,
    raw: &raw::Value,
    names: [&str; N],
    report: &mut Report,
) -> Option<[u32; N]> {
    let raw::Kind::Table(table) = &raw.kind else {
        let example = format!("a table such as {{ {} = 100 }}", names.first().unwrap_or(&""));
        return refuse_kind(key, raw, &example, report);
    };
    report_unknown(&table.entries, &names, &format!("`{key}`"), report);
    let mut values = [0; N];
    let mut is_whole = true;
    for (name, value) in names.iter().zip(&mut values) {
        let Some(entry) = table.find(name).filter(|_| *name != BANDWIDTH_KEY) else { continue };
        match number(name).parse(name, &entry.value, report) {
            Some(read) => *value = read,
            None => is_whole = false,
        }
    }
    let is_known = table.entries.iter().all(|entry| names.contains(&entry.key.as_str()));
    (is_whole && is_known).then_some(values)
}

/// What [`request_rates`] takes.
pub(super) fn request_rates_schema() -> Json {
    schema::table(RATE_KEYS.map(schema_of), &[])
}

/// The value of `limit`; None after reporting what is wrong.
pub(super) fn request_rates(key: &str, raw: &raw::Value, report: &mut Report) -> Option<RequestRates> {
    let [requests_per_second, per_client_requests_per_second, burst] = read(key, raw, RATE_KEYS, report)?;
    let problem = match (requests_per_second, per_client_requests_per_second) {
        (0, 0) => "limits nothing",
        (1.., per_client) if per_client >= requests_per_second => {
            "lets each client have as much as all of them together"
        }
        _ => return Some(RequestRates { requests_per_second, per_client_requests_per_second, burst }),
    };
    let help = "write { requests_per_second = 100, per_client_requests_per_second = 10 }, or one of them";
    report.error(raw.location, format!("`{key}` {problem}"), help);
    None
}

/// `per_client` of a listener.
pub(super) struct PerClientTable;

impl Kind for PerClientTable {
    type Value = PerClient;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<PerClient> {
        let [requests_per_second, burst, connections_per_second, max_connections, _] =
            read(key, raw, PER_CLIENT_KEYS, report)?;
        let raw::Kind::Table(table) = &raw.kind else { return None };
        let bandwidth_bytes_per_second = match table.find(BANDWIDTH_KEY) {
            Some(entry) => BANDWIDTH.parse(BANDWIDTH_KEY, &entry.value, report)?,
            None => 0,
        };
        if burst > 0 && requests_per_second == 0 {
            let message = format!("`burst` of `{key}` has no effect without `requests_per_second`");
            report.error(raw.location, message, "add requests_per_second = 10");
            return None;
        }
        Some(PerClient {
            requests_per_second,
            burst,
            connections_per_second,
            max_connections,
            bandwidth_bytes_per_second,
        })
    }

    fn show(&self, value: &PerClient) -> Json {
        let PerClient { requests_per_second, burst, connections_per_second, max_connections, .. } = *value;
        let all = [
            ("requests_per_second", requests_per_second),
            ("burst", burst),
            ("connections_per_second", connections_per_second),
            ("max_connections", max_connections),
        ];
        let set = all.into_iter().filter(|(_, value)| *value > 0);
        let set = set.map(|(name, value)| (name, Json::from(value)));
        let bandwidth = Some(value.bandwidth_bytes_per_second).filter(|bytes| *bytes > 0);
        let bandwidth = bandwidth.map(|bytes| (BANDWIDTH_KEY, BANDWIDTH.show(&bytes)));
        Json::Object(in_order::object(set.chain(bandwidth)))
    }

    fn schema(&self) -> Json {
        schema::table(PER_CLIENT_KEYS.map(schema_of), &[])
    }
}

/// What requests beyond a limit are answered with.
pub(super) struct LimitStatus;

impl Kind for LimitStatus {
    type Value = u16;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<u16> {
        match raw.kind {
            raw::Kind::Integer(503) => Some(503),
            raw::Kind::Integer(429) => Some(429),
            raw::Kind::Integer(_) => {
                let message = format!("`{key}` is neither 503 nor 429");
                report.error(raw.location, message, "write 503, or 429");
                None
            }
            _ => refuse_kind(key, raw, "503 or 429", report),
        }
    }

    fn show(&self, value: &u16) -> Json {
        Json::from(*value)
    }

    fn schema(&self) -> Json {
        schema::numbers([503, 429])
    }
}
