//! `[[server_group]]` and `[[server_group.backend]]`: where requests go.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::Backend;
use crate::config::BackendAddress;
use crate::config::GroupProtocol;
use crate::config::OnDrain;
use crate::config::Protection;
use crate::config::Queue;
use crate::config::Role;
use crate::config::ServerGroup;
use crate::config::check::address::BackendPlace;
use crate::config::check::address::DefaultHost;
use crate::config::check::algorithm;
use crate::config::check::annotations;
use crate::config::check::group_tls;
use crate::config::check::health_check;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Name;
use crate::config::check::kind::Size;
use crate::config::check::kind::Time;
use crate::config::check::kind::ZeroOrTime;
use crate::config::check::kind::seconds;
use crate::config::check::listener::KIB;
use crate::config::check::listener::MIB;
use crate::config::check::maintenance;
use crate::config::check::names::Known;
use crate::config::check::passive_check;
use crate::config::check::queue::QueueTable;
use crate::config::check::relayed_group;
use crate::config::check::retry_on::RetryOnList;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::check::source_address;
use crate::config::check::sticky;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::http::headers::MAX_FIELDS;
use crate::policy::balance::Algorithm;
use crate::policy::balance::WhenAllDown;
use crate::policy::balance::hash_key::HashKey;
use crate::policy::balance::sticky::StickyMode;
use crate::policy::proxy_header::ProxyHeaderTerms;
use crate::policy::proxy_header::ProxyVersion;
use crate::policy::retry::RetryOn;

/// The most fields that a head can have.
const MAX_HEAD_FIELDS: u32 = MAX_FIELDS as u32;

pub(super) fn server_group(table: &raw::Table, known: &Known<'_>, output: &mut Output) -> ServerGroup {
    let mut section = Section::element("server_group", table, output);
    let name = section.read_required("name", &Name, "name = \"app\"");
    let enabled = section.read("enabled", &Boolean, true);
    let protocol = section.read("protocol", &PROTOCOLS, GroupProtocol::Http);
    let no_http = (!protocol.is_http()).then_some(NO_HTTP);
    let mut group = ServerGroup {
        location: name.as_ref().map_or(table.location, |(_, location)| *location),
        name: name.map(|(name, _)| name).unwrap_or_default(),
        ..balancing(&mut section, (enabled, protocol), no_http)
    };
    let idle = no_http.or((protocol != GroupProtocol::Https).then_some("only with https is there a choice"));
    group.http2 = section.read_unless(idle, "http2", &Boolean, false);
    group.speaks_http10 = speaks_http10(&mut section, &group);
    let idle = no_http.or((protocol == GroupProtocol::Grpc).then_some("calls are conversations"));
    group.request_buffer = section.read_unless(idle, "request_buffer", &Size(0..=16 * MIB), 0);
    group.source_address = source_address::source_address(&mut section);
    group.keeps_client_address = source_address::keeps_client_address(&mut section, protocol);
    group.on_drain = relayed_group::on_drain(&mut section, protocol);
    group.maintenance = maintenance::of_group(&mut section, &known.ip_groups);
    group.protection = annotations::protection(&mut section);
    annotations::description_and_tags(&mut section);
    group.tls = group_tls::group_tls(&mut section, group.protocol, known);
    group.backends = backends(&mut section, (&group.name, protocol));
    group.health_check = health_check::health_check(&mut section, &group);
    group.passive_check = passive_check::passive_check(&mut section);
    group.sticky = sticky::sticky(&mut section);
    check_together(&group, &mut section);
    section.close();
    group
}

/// How the backends share what comes, and how long is waited for them; what stands in tables of its own is still to be read.
fn balancing(
    section: &mut Section<'_, '_>,
    (enabled, protocol): (bool, GroupProtocol),
    no_http: Option<&'static str>,
) -> ServerGroup {
    ServerGroup {
        location: Location::default(),
        name: String::new(),
        enabled,
        protocol,
        http2: false,
        proxy_header: proxy_header(section),
        tls: None,
        algorithm: algorithm::algorithm(section, protocol),
        connect_timeout: connect_timeout(section, protocol),
        response_timeout: section.read_unless(
            no_http,
            "response_timeout",
            &milliseconds(100, 900_000),
            Duration::from_secs(60),
        ),
        keepalive_timeout: section.read_unless(
            no_http,
            "keepalive_timeout",
            &milliseconds(0, 4_000_000),
            Duration::from_secs(60),
        ),
        keepalive_connections: section.read_unless(
            no_http,
            "keepalive_connections",
            &Integer(0..=1_000_000),
            1_024,
        ),
        max_retries: section.read("max_retries", &Integer(0..=10), 1),
        retry_on: section.read_unless(no_http, "retry_on", &RetryOnList, RetryOn::DEFAULT),
        queue: section.read("queue", &QueueTable, Queue::NONE),
        max_response_header_bytes: section.read_unless(
            no_http,
            "max_response_header_bytes",
            &Size(KIB..=MIB),
            64 * KIB,
        ),
        max_response_headers: section.read_unless(
            no_http,
            "max_response_headers",
            &Integer(1..=MAX_HEAD_FIELDS),
            MAX_HEAD_FIELDS,
        ),
        request_buffer: 0,
        default_host: section.read_unless(no_http, "default_host", &DefaultHost, None),
        speaks_http10: false,
        when_all_down: section.read("when_all_down", &WHEN_ALL_DOWN, WhenAllDown::Forward),
        slow_start: section.read("slow_start", &SLOW_START, Duration::ZERO),
        drain_timeout: section.read("drain_timeout", &seconds(0, 4_000), Duration::from_secs(300)),
        source_address: None,
        keeps_client_address: None,
        on_drain: OnDrain::Keep,
        health_check: None,
        passive_check: passive_check::DEFAULT,
        sticky: None,
        maintenance: None,
        protection: Protection::default(),
        backends: Vec::new(),
    }
}

fn connect_timeout(section: &mut Section<'_, '_>, protocol: GroupProtocol) -> Duration {
    let idle = (protocol == GroupProtocol::Udp).then_some("a session of UDP is there at once");
    section.read_unless(idle, "connect_timeout", &milliseconds(10, 60_000), Duration::from_secs(5))
}

/// Keys that say something of requests: defaults of them pass groups by whose protocol is not HTTP.
pub(super) const OF_REQUESTS: [&str; 13] = [
    "response_timeout",
    "keepalive_timeout",
    "keepalive_connections",
    "retry_on",
    "max_response_header_bytes",
    "max_response_headers",
    "request_buffer",
    "default_host",
    "http2",
    "http10_upstream",
    "maintenance",
    "tls",
    "hash_key",
];

/// Why keys about requests have no effect.
const NO_HTTP: &str = "what is relayed is not looked into";

const PROTOCOLS: Choice<GroupProtocol> = Choice {
    words: &[
        ("http", GroupProtocol::Http),
        ("https", GroupProtocol::Https),
        ("h2c", GroupProtocol::H2c),
        ("grpc", GroupProtocol::Grpc),
        ("tcp", GroupProtocol::Tcp),
        ("tls", GroupProtocol::Tls),
        ("udp", GroupProtocol::Udp),
    ],
    aliases: &[("gRPC", GroupProtocol::Grpc), ("GRPC", GroupProtocol::Grpc)],
    later: &[],
};

/// Whether requests of HTTP/1.0 stay what they are.
const HTTP10_UPSTREAM: Choice<bool> =
    Choice { words: &[("1.1", false), ("1.0", true)], aliases: &[], later: &[] };

const WHEN_ALL_DOWN: Choice<WhenAllDown> = Choice {
    words: &[("forward", WhenAllDown::Forward), ("fail", WhenAllDown::Fail)],
    aliases: &[],
    later: &[],
};

const SLOW_START: ZeroOrTime = ZeroOrTime(Duration::from_secs(30)..=Duration::from_secs(1_200));

const ROLES: Choice<Role> = Choice {
    words: &[("active", Role::Active), ("standby", Role::Standby)],
    aliases: &[
        ("Master", Role::Active),
        ("master", Role::Active),
        ("Slave", Role::Standby),
        ("slave", Role::Standby),
    ],
    later: &[],
};

const PROXY_VERSIONS: Choice<Option<ProxyVersion>> = Choice {
    words: &[("off", None), ("v1", Some(ProxyVersion::V1)), ("v2", Some(ProxyVersion::V2))],
    aliases: &[],
    later: &[],
};

const PROXY_TLVS: Choice<bool> =
    Choice { words: &[("drop", false), ("pass", true)], aliases: &[], later: &[] };

/// How backends are told of clients.
fn proxy_header(section: &mut Section<'_, '_>) -> Option<ProxyHeaderTerms> {
    let version = section.read("proxy_protocol", &PROXY_VERSIONS, None);
    let passes_tlvs = section.read("proxy_protocol_tlvs", &PROXY_TLVS, false);
    if let Some(location) = section.place_of("proxy_protocol_tlvs")
        && passes_tlvs
        && version != Some(ProxyVersion::V2)
    {
        let message = "`proxy_protocol_tlvs` has no effect: only version 2 of the PROXY protocol has TLVs";
        section.report().warning(location, message, "set proxy_protocol = \"v2\", or remove it");
    }
    version.map(|version| ProxyHeaderTerms { version, passes_tlvs })
}

fn speaks_http10(section: &mut Section<'_, '_>, group: &ServerGroup) -> bool {
    let idle = match group.protocol {
        GroupProtocol::H2c | GroupProtocol::Grpc => Some("backends are spoken to in HTTP/2"),
        GroupProtocol::Https if group.http2 => Some("backends may be spoken to in HTTP/2"),
        GroupProtocol::Http | GroupProtocol::Https => None,
        GroupProtocol::Tcp | GroupProtocol::Tls | GroupProtocol::Udp => Some(NO_HTTP),
    };
    section.read_unless(idle, "http10_upstream", &HTTP10_UPSTREAM, false)
}

fn milliseconds(least: u64, most: u64) -> Time {
    Time(Duration::from_millis(least)..=Duration::from_millis(most))
}

/// A group may get its backends later. One that does not even say that it has none may have lost them.
fn backends(group: &mut Section<'_, '_>, (name, protocol): (&str, GroupProtocol)) -> Vec<Backend> {
    let Some(tables) = group.elements("backend") else {
        let whose = if name.is_empty() { "the group".to_owned() } else { format!("\"{name}\"") };
        group.warn_missing(
            &format!("{whose} has no backend: {}", without_backends(protocol)),
            "add [[server_group.backend]] with address = \"127.0.0.1:9001\", or write backend = [] if others will be \
             added later",
        );
        return Vec::new();
    };
    let may_lack_port = !protocol.is_http() || group.is_refused("protocol");
    tables.into_iter().filter_map(|table| backend(table, may_lack_port, group.output)).collect()
}

/// None where the address is missing or wrong.
fn backend(table: &raw::Table, may_lack_port: bool, output: &mut Output) -> Option<Backend> {
    let mut section = Section::element("server_group.backend", table, output);
    let place = BackendPlace { may_lack_port };
    let address = section.read_required("address", &place, "address = \"127.0.0.1:9001\"");
    let enabled = section.read("enabled", &Boolean, true);
    let weight = section.read("weight", &Integer(0..=100), 100);
    let role = section.read("role", &ROLES, Role::Active);
    let max_connections = section.read("max_connections", &Integer(0..=1_000_000), 0);
    annotations::description(&mut section);
    section.close();
    let (address, location) = address?;
    let weight = u8::try_from(weight).unwrap_or(u8::MAX);
    Some(Backend { address, enabled, weight, role, max_connections, location })
}

fn check_effects(group: &ServerGroup, section: &mut Section<'_, '_>) {
    if group.max_retries == 0 && group.retry_on != RetryOn::DEFAULT {
        section.warn_idle("retry_on", Some("max_retries = 0 tries nothing again"));
    }
    let has_limits = group.backends.iter().any(|backend| backend.max_connections > 0);
    if group.queue.size > 0 && !has_limits {
        section.warn_idle("queue", Some("no backend has max_connections"));
    }
    let all_at_any_port = group.backends.iter().all(|backend| backend.address.is_at_any_port());
    if !group.backends.is_empty() && all_at_any_port && group.passive_check != passive_check::DEFAULT {
        let idle = "a port at which nobody serves says nothing of a backend that is asked at any";
        section.warn_idle("passive_check", Some(idle));
    }
    // As in the cloud products, only weighted round robin lets a share grow.
    let has_effect = group.slow_start.is_zero() || group.algorithm == Algorithm::WeightedRoundRobin;
    if !has_effect {
        section.warn_idle("slow_start", Some("only weighted_round_robin lets the share of a backend grow"));
    }
}

/// What keys say together.
fn check_together(group: &ServerGroup, section: &mut Section<'_, '_>) {
    // A key that is missing or was refused has told of itself, and one of which nobody knows where it stands fits everywhere.
    if let Some(place) = section.place_of("hash_key")
        && !section.is_refused("hash_key")
        && !section.is_refused("protocol")
    {
        check_hash_key(group, place, section.report());
    }
    if !group.protocol.is_http() {
        check_without_requests(group, section.report());
    }
    check_effects(group, section);
    source_address::check_use(group, section);
    check_backends(group, section.report());
}

/// Requests, connections and datagrams have parts that the others have not.
fn check_hash_key(group: &ServerGroup, place: Location, report: &mut Report) {
    let Algorithm::ConsistentHash(key) = &group.algorithm else { return };
    let (is_http, is_udp) = (group.protocol.is_http(), group.protocol == GroupProtocol::Udp);
    let needed = match key {
        HashKey::Query(_) | HashKey::Header(_) | HashKey::Cookie(_) | HashKey::Path if !is_http => "requests",
        HashKey::Tuple if is_http => "connections that are relayed",
        HashKey::QuicConnectionId { .. } if !is_udp => "datagrams",
        _ => return,
    };
    let help = match is_http {
        true => "write hash_key = { source_ip = true }, or a part of requests",
        false => "write hash_key = { source_ip = true } or { tuple = true }",
    };
    let word = group.protocol.as_str();
    let message = format!("`hash_key` of \"{}\" needs {needed}: its protocol is {word}", group.name);
    report.error(place, message, help);
}

/// What decides by requests cannot decide where there are none.
fn check_without_requests(group: &ServerGroup, report: &mut Report) {
    let word = group.protocol.as_str();
    if group.sticky.as_ref().is_some_and(|sticky| sticky.mode != StickyMode::SourceIp) {
        let message =
            format!("clients of \"{}\" cannot be known by cookies: its protocol is {word}", group.name);
        report.error(group.location, message, "write mode = \"source_ip\" in [server_group.sticky]");
    }
    check_datagrams(group, report);
    if group.maintenance.is_some() {
        let message = format!("`maintenance` of \"{}\" answers requests: its protocol is {word}", group.name);
        report.error(group.location, message, "remove it; enabled = false closes connections");
    }
}

/// What datagrams cannot have.
fn check_datagrams(group: &ServerGroup, report: &mut Report) {
    if group.protocol != GroupProtocol::Udp {
        return;
    }
    if group.queue.size > 0 {
        let message = format!("`queue` of \"{}\" lets requests wait: datagrams do not", group.name);
        report.error(
            group.location,
            message,
            "remove it; with max_connections, clients beyond it get no session",
        );
    }
    if group.proxy_header.is_some_and(|terms| terms.version == ProxyVersion::V1) {
        let message = format!(
            "version 1 of the PROXY protocol knows no UDP, which is the protocol of \"{}\"",
            group.name
        );
        report.error(group.location, message, "set proxy_protocol = \"v2\", or remove it");
    }
    for backend in &group.backends {
        if let BackendAddress::Unix(_) = backend.address {
            let message = format!(
                "the backend \"{}\" is a unix socket, the protocol of its group is udp",
                backend.address
            );
            report.error(backend.location, message, "write the IP address or name and the port of a backend");
        }
    }
}

/// What becomes of what a group gets that has nobody to ask.
pub(super) fn without_backends(protocol: GroupProtocol) -> &'static str {
    match protocol {
        GroupProtocol::Tcp | GroupProtocol::Tls => "every connection is reset",
        GroupProtocol::Udp => "every datagram is lost",
        _ => "every request gets 503",
    }
}

fn check_backends(group: &ServerGroup, report: &mut Report) {
    let serving = || group.backends.iter().filter(|backend| backend.enabled);
    if serving().count() > 0 && serving().all(|backend| backend.weight == 0) {
        let consequence = without_backends(group.protocol);
        let message = format!("all backends of \"{}\" have weight 0: {consequence}", group.name);
        report.warning(group.location, message, "give one of them a weight from 1 to 100");
    }
    if serving().count() > 0 && serving().all(|backend| backend.role == Role::Standby) {
        let message = format!("all backends of \"{}\" are standbys: they serve all the time", group.name);
        report.warning(group.location, message, "give one of them role = \"active\"");
    }
    let mut first_places = HashMap::new();
    for backend in &group.backends {
        let first = *first_places.entry(&backend.address).or_insert(backend.location);
        if first != backend.location {
            let message =
                format!("the backend \"{}\" is already listed at {}", backend.address, report.place(first));
            report.warning(
                backend.location,
                message,
                "remove one of the two: they are one backend, with the greater weight of both",
            );
        }
    }
}
