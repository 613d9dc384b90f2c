//! `[[server_group]]` and `[[server_group.backend]]`: where requests go.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::Algorithm;
use crate::config::Backend;
use crate::config::GroupProtocol;
use crate::config::ServerGroup;
use crate::config::check::address::BackendPlace;
use crate::config::check::group_tls;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Name;
use crate::config::check::kind::Time;
use crate::config::check::names::Known;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;

pub(super) fn server_group(table: &raw::Table, known: &Known<'_>, output: &mut Output) -> ServerGroup {
    let mut section = Section::element("server_group", table, output);
    let name = section.read_required("name", &Name, "name = \"app\"");
    let mut group = ServerGroup {
        location: name.as_ref().map_or(table.location, |(_, location)| *location),
        name: name.map(|(name, _)| name).unwrap_or_default(),
        protocol: section.read("protocol", &PROTOCOLS, GroupProtocol::Http),
        tls: None,
        algorithm: section.read("algorithm", &ALGORITHMS, Algorithm::WeightedRoundRobin),
        connect_timeout: section.read("connect_timeout", &milliseconds(10, 60_000), Duration::from_secs(5)),
        response_timeout: section.read(
            "response_timeout",
            &milliseconds(100, 900_000),
            Duration::from_secs(60),
        ),
        keepalive_timeout: section.read(
            "keepalive_timeout",
            &milliseconds(0, 4_000_000),
            Duration::from_secs(60),
        ),
        keepalive_connections: section.read("keepalive_connections", &Integer(0..=1_000_000), 1_024),
        max_retries: section.read("max_retries", &Integer(0..=10), 1),
        backends: Vec::new(),
    };
    group.tls = group_tls::group_tls(&mut section, group.protocol, known);
    group.backends = backends(&mut section);
    check_backends(&group, section.report());
    section.close();
    group
}

const PROTOCOLS: Choice<GroupProtocol> = Choice {
    words: &[("http", GroupProtocol::Http), ("https", GroupProtocol::Https)],
    aliases: &[],
    later: &["h2c", "grpc"],
};

/// One cloud product's ROUND_ROBIN goes by weight, the other's `rr` does not.
const ALGORITHMS: Choice<Algorithm> = Choice {
    words: &[("weighted_round_robin", Algorithm::WeightedRoundRobin), ("round_robin", Algorithm::RoundRobin)],
    aliases: &[
        ("Wrr", Algorithm::WeightedRoundRobin),
        ("wrr", Algorithm::WeightedRoundRobin),
        ("ROUND_ROBIN", Algorithm::WeightedRoundRobin),
        ("rr", Algorithm::RoundRobin),
    ],
    later: &[
        "weighted_least_connections",
        "source_ip_hash",
        "consistent_hash",
        "power_of_two",
        "random",
        "Wlc",
        "wlc",
        "LEAST_CONNECTIONS",
        "Sch",
        "sch",
        "SOURCE_IP",
        "Uch",
    ],
};

fn milliseconds(least: u64, most: u64) -> Time {
    Time(Duration::from_millis(least)..=Duration::from_millis(most))
}

fn backends(group: &mut Section<'_, '_>) -> Vec<Backend> {
    let example = "[[server_group.backend]] with address = \"127.0.0.1:9001\"";
    let Some(tables) = group.elements("backend") else {
        group.missing("backend", example);
        return Vec::new();
    };
    group.refuse_empty("backend", example);
    tables.into_iter().filter_map(|table| backend(table, group.output)).collect()
}

/// None where the address is missing or wrong.
fn backend(table: &raw::Table, output: &mut Output) -> Option<Backend> {
    let mut section = Section::element("server_group.backend", table, output);
    let address = section.read_required("address", &BackendPlace, "address = \"127.0.0.1:9001\"");
    let weight = section.read("weight", &Integer(0..=100), 100);
    section.close();
    let (address, location) = address?;
    Some(Backend { address, weight: u8::try_from(weight).unwrap_or(u8::MAX), location })
}

fn check_backends(group: &ServerGroup, report: &mut Report) {
    if !group.backends.is_empty() && group.backends.iter().all(|backend| backend.weight == 0) {
        let message = format!("all backends of \"{}\" have weight 0: every request gets 503", group.name);
        report.warning(group.location, message, "give one of them a weight from 1 to 100");
    }
    let mut first_places = HashMap::new();
    for backend in &group.backends {
        let first = *first_places.entry(&backend.address).or_insert(backend.location);
        if first != backend.location {
            let message =
                format!("the backend \"{}\" is already listed at {}", backend.address, report.place(first));
            report.warning(backend.location, message, "list it once, with a greater weight");
        }
    }
}
