//! `ports` of a `[[listener]]`: many ports at the same addresses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use serde_json::Value as Json;

use crate::config::ListenAddress;
use crate::config::check::address::ListenAddresses;
use crate::config::check::address::has_large_port;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;

/// Ranges of ports that a listener may name, as in the cloud products.
const MAX_RANGES: usize = 10;

/// Ports of a listener, counted once for each of its IP addresses. Each is a socket for each worker.
const MAX_PORTS: usize = 1_000;

/// A port, or two with a dash between them, as a regular expression.
const PORTS: &str = "^[0-9]{1,5}(-[0-9]{1,5})?$";

/// Every address that a listener accepts at.
pub(super) fn listen_addresses(section: &mut Section<'_, '_>) -> Vec<ListenAddress> {
    let ranges = section.read_present("ports", &PortRanges);
    let has_ports = ranges.is_some() || section.is_refused("ports");
    let kind = ListenAddresses { has_ports };
    let example = if has_ports { "address = \"0.0.0.0\"" } else { "address = \"0.0.0.0:8080\"" };
    let addresses = section.read_required("address", &kind, example).map(|(addresses, _)| addresses);
    match (ranges, addresses) {
        (Some((ranges, location)), Some(addresses)) => {
            expanded(&ranges, location, &addresses, section.report())
        }
        (None, Some(addresses)) if !has_ports => addresses,
        _ => Vec::new(),
    }
}

/// Each port at each address. It has the place of its range.
fn expanded(
    ranges: &[PortRange],
    location: Location,
    addresses: &[ListenAddress],
    report: &mut Report,
) -> Vec<ListenAddress> {
    let ports: usize = ranges.iter().map(|range| range.ports.len()).sum();
    if ports * addresses.len() > MAX_PORTS {
        let message = match addresses.len() {
            1 => format!("`ports` has {ports} ports"),
            several => format!("`ports` has {ports} ports, and `address` {several} addresses"),
        };
        let help =
            format!("allowed are up to {MAX_PORTS} ports of a listener, counted once for each address");
        report.error(location, message, help);
        return Vec::new();
    }
    let at = |address: &ListenAddress, range: &PortRange| {
        let (ip, location) = (address.address.ip(), range.location);
        let ports = range.ports.clone();
        ports.map(move |port| ListenAddress {
            address: SocketAddr::new(ip, port),
            dual_stack: false,
            location,
        })
    };
    addresses.iter().flat_map(|address| ranges.iter().flat_map(move |range| at(address, range))).collect()
}

/// Ports without a gap.
#[derive(Clone, Debug, PartialEq)]
struct PortRange {
    /// None is 0.
    ports: RangeInclusive<u16>,
    location: Location,
}

impl PortRange {
    fn show(&self) -> String {
        match (self.ports.start(), self.ports.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        }
    }
}

/// A port or a range of ports, or a list of them.
struct PortRanges;

impl Kind for PortRanges {
    type Value = Vec<PortRange>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let values = match &raw.kind {
            raw::Kind::Array(values) => values.as_slice(),
            _ => std::slice::from_ref(raw),
        };
        if !(1..=MAX_RANGES).contains(&values.len()) {
            let message = match values.len() {
                0 => format!("`{key}` is an empty list"),
                many => format!("`{key}` has {many} items"),
            };
            let help = format!("write \"8000-8010\", or a list of up to {MAX_RANGES} ports and ranges");
            report.error(raw.location, message, help);
            return None;
        }
        let mut ranges: Vec<PortRange> = Vec::with_capacity(values.len());
        for value in values {
            let range = port_range(key, value, report)?;
            let overlaps = |other: &&PortRange| {
                range.ports.start() <= other.ports.end() && other.ports.start() <= range.ports.end()
            };
            if let Some(other) = ranges.iter().find(overlaps) {
                let message = format!("`{key}` \"{}\" overlaps with \"{}\"", range.show(), other.show());
                report.error(value.location, message, "name each port once");
                return None;
            }
            ranges.push(range);
        }
        Some(ranges)
    }

    fn show(&self, value: &Self::Value) -> Json {
        match value.as_slice() {
            [only] => Json::String(only.show()),
            several => several.iter().map(|range| Json::String(range.show())).collect(),
        }
    }

    fn schema(&self) -> Json {
        schema::one_or_list(schema::pattern(PORTS))
    }
}

fn port_range(key: &str, raw: &raw::Value, report: &mut Report) -> Option<PortRange> {
    let raw::Kind::Text(text) = &raw.kind else {
        if let raw::Kind::Integer(port) = raw.kind {
            let message = format!("`{key}` must be text, not an integer");
            let help = match port {
                1..=65_535 => format!("write \"{port}\", in quotes"),
                _ => "write \"8000\" or \"8000-8010\"; ports are 1 to 65535".to_owned(),
            };
            report.error(raw.location, message, help);
            return None;
        }
        return refuse_kind(key, raw, "a port or a range of ports such as \"8000-8010\"", report);
    };
    if text.contains(',') {
        let items: Vec<String> =
            text.split(',').map(|item| format!("\"{}\"", item.trim().escape_debug())).collect();
        let message = format!("`{key}` \"{}\" is several ports in one text", text.escape_debug());
        report.error(raw.location, message, format!("write [{}]", items.join(", ")));
        return None;
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (problem, help) = match (port(first), port(last)) {
        (Ok(first), Ok(last)) if first <= last => {
            return Some(PortRange { ports: first..=last, location: raw.location });
        }
        (Ok(first), Ok(last)) => ("ends before it begins", format!("write \"{last}-{first}\"")),
        (Err(problem), _) | (_, Err(problem)) => {
            (problem, "write \"8000\" or \"8000-8010\"; ports are 1 to 65535".to_owned())
        }
    };
    report.error(raw.location, format!("`{key}` \"{}\" {problem}", text.escape_debug()), help);
    None
}

/// The problem completes "`ports` "x" …".
fn port(text: &str) -> Result<u16, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(0) if is_number => Err("has port 0"),
        Ok(port) if is_number => Ok(port),
        _ if is_number && has_large_port(&format!(":{text}")) => Err("has a port beyond 65535"),
        _ => Err("is neither a port nor a range of ports"),
    }
}
