//! `[[listener]]` and `[listener.forwarded]`: where clients come in, and what may come in.

use std::time::Duration;

use crate::config::Carriers;
use crate::config::ClientAuth;
use crate::config::FingerprintHash;
use crate::config::Forwarded;
use crate::config::HalfClose;
use crate::config::Http2Limits;
use crate::config::HttpListener;
use crate::config::Listener;
use crate::config::ListenerProtocol;
use crate::config::PerClient;
use crate::config::ProxyProtocol;
use crate::config::check::address::DefaultHost;
use crate::config::check::address::Networks;
use crate::config::check::annotations;
use crate::config::check::client_auth;
use crate::config::check::compression::CompressionTable;
use crate::config::check::datagram_listener;
use crate::config::check::health_path::HealthPathText;
use crate::config::check::http3;
use crate::config::check::identity;
use crate::config::check::identity::EnabledField;
use crate::config::check::ip_group;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Choice;
use crate::config::check::kind::FieldName;
use crate::config::check::kind::FieldValue;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Name;
use crate::config::check::kind::Size;
use crate::config::check::kind::seconds;
use crate::config::check::limits::BANDWIDTH;
use crate::config::check::limits::LimitStatus;
use crate::config::check::limits::PerClientTable;
use crate::config::check::listener_tls;
use crate::config::check::listener_tls::Scheme;
use crate::config::check::names::Known;
use crate::config::check::ports;
use crate::config::check::references::Reference;
use crate::config::check::references::Wanted;
use crate::config::check::response_headers;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::check::stream_listener;
use crate::config::raw;
use crate::http::headers::MAX_FIELDS;
use crate::policy::early_hints::EarlyHints;
use crate::policy::forwarded::ForwardedFields;
use crate::policy::forwarded::ForwardedFor;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
/// In seconds.
pub(super) const WEEK: u64 = 7 * 24 * 60 * 60;
/// Far more than any body, and far from where sums of sizes overflow.
pub(super) const MAX_BODY: u64 = 1_024 << 40;

pub(super) fn listener(table: &raw::Table, known: &Known<'_>, output: &mut Output) -> (Listener, Wanted) {
    let mut section = Section::element("listener", table, output);
    let name = section.read_required("name", &Name, "name = \"web\"");
    let addresses = ports::listen_addresses(&mut section);
    let enabled = section.read("enabled", &Boolean, true);
    let scheme = section.read("protocol", &PROTOCOLS, Scheme::Http);
    let default_group = default_group(&mut section, table);
    annotations::description_and_tags(&mut section);
    let protection = annotations::protection(&mut section);
    let scheme = listener_tls::passed(&mut section, table, scheme);
    let tls = listener_tls::listener_tls(&mut section, scheme, known);
    let may_redirect = matches!(scheme, Scheme::Http | Scheme::Https);
    let redirect_to = if may_redirect { redirect_to(&mut section, table) } else { None };
    let http3 = http3::read(&mut section, table, scheme);
    let redirects = redirect_to.is_some();
    let (mut enabled_fields, mut authorities) = (Vec::new(), Vec::new());
    let listener = Listener {
        location: name.as_ref().map_or(table.location, |(_, location)| *location),
        name: name.map(|(name, _)| name).unwrap_or_default(),
        enabled,
        addresses,
        tls,
        default_group: None,
        max_connections: section.read("max_connections", &Integer(0..=1_000_000), 0),
        connections_per_second: section.read("connections_per_second", &Integer(0..=1_000_000), 0),
        per_client: per_client(&mut section, scheme),
        proxy_protocol: match scheme {
            // A header would have to be in each datagram.
            Scheme::Udp | Scheme::Quic => ProxyProtocol::Off,
            _ => section.read("proxy_protocol", &PROXY_PROTOCOLS, ProxyProtocol::Off),
        },
        access: ip_group::access(&mut section, &known.ip_groups),
        protocol: match scheme {
            Scheme::Http | Scheme::Https | Scheme::Quic => ListenerProtocol::Http(Box::new(HttpListener {
                carriers: http3.carriers,
                ..http(&mut section, (scheme, redirects), &mut enabled_fields)
            })),
            Scheme::Tcp | Scheme::Tls | Scheme::Passthrough => {
                ListenerProtocol::Stream(stream_listener::stream_listener(&mut section, scheme))
            }
            Scheme::Udp => ListenerProtocol::Datagram(datagram_listener::datagram_listener(&mut section)),
        },
        client_auth: match scheme {
            Scheme::Tcp | Scheme::Passthrough | Scheme::Udp => ClientAuth::OFF,
            _ => client_auth::client_auth(&mut section, scheme, &mut authorities),
        },
        protection,
    };
    http3::check_tls(&http3, &listener, section.report());
    if !section.is_refused("protocol") {
        identity::check_use(&enabled_fields, &listener, section.report());
    }
    section.close_where(scheme.clause());
    (listener, Wanted { default_group, authorities, redirect_to, quic_listener: http3.listener })
}

/// `enabled_fields` gets the places of the headers about TLS and certificates.
fn http(
    section: &mut Section<'_, '_>,
    (scheme, redirects): (Scheme, bool),
    enabled_fields: &mut Vec<EnabledField>,
) -> HttpListener {
    let minute = Duration::from_secs(60);
    let trusted_proxies = trusted_proxies(section);
    // What is about connections of TCP, and about tunnels, which HTTP/3 has none of.
    let has_tcp = scheme != Scheme::Quic;
    HttpListener {
        carriers: Carriers::Tcp,
        quic_listener: None,
        http2: has_tcp && section.read("http2", &Boolean, scheme == Scheme::Https),
        http2_limits: http2_limits(section),
        idle_timeout: section.read("idle_timeout", &seconds(0, 4_000), Duration::from_secs(15)),
        client_header_timeout: section.read("client_header_timeout", &seconds(1, 900), minute),
        client_body_timeout: section.read("client_body_timeout", &seconds(1, 900), minute),
        tunnel_idle_timeout: match has_tcp {
            true => section.read("tunnel_idle_timeout", &seconds(0, WEEK), 60 * minute),
            false => Duration::ZERO,
        },
        half_close: match has_tcp {
            true => section.read("half_close", &HALF_CLOSES, HalfClose::Abort),
            false => HalfClose::Abort,
        },
        requests_per_second: section.read("requests_per_second", &Integer(0..=1_000_000), 0),
        bandwidth_bytes_per_second: section.read("bandwidth_bytes_per_second", &BANDWIDTH, 0),
        limit_status: section.read("limit_status", &LimitStatus, 503),
        loop_detection: section.read("loop_detection", &Boolean, false),
        via: section.read("via", &Boolean, false),
        keepalive_requests: section.read("keepalive_requests", &Integer(0..=1_000_000_000), 0),
        max_header_bytes: section.read("max_header_bytes", &Size(KIB..=MIB), 32 * KIB),
        max_headers: section.read("max_headers", &Integer(1..=MAX_FIELDS as u32), 100),
        max_uri_bytes: section.read("max_uri_bytes", &Size(64..=MIB), 32 * KIB),
        max_body_bytes: section.read("max_body_bytes", &Size(0..=MAX_BODY), 0),
        real_ip_header: real_ip_header(section, trusted_proxies.is_empty()),
        trusted_proxies,
        default_host: section.read("default_host", &DefaultHost, None),
        health_path: section.read("health_path", &HealthPathText, None),
        early_hints: section.read("early_hints", &EARLY_HINTS, EarlyHints::Http2),
        compression: section.read("compression", &CompressionTable, None),
        normalizes_paths: section.read("path_normalization", &PATH_NORMALIZATIONS, true),
        redirect_to: None,
        redirect_spares_acme: has_tcp
            && section.read_unless(
                (!redirects).then_some("nothing is redirected without redirect_to"),
                "redirect_spares_acme",
                &Boolean,
                false,
            ),
        response_headers: response_headers::read(section, scheme),
        forwarded: forwarded(section, enabled_fields),
    }
}

fn per_client(section: &mut Section<'_, '_>, scheme: Scheme) -> PerClient {
    let read = section.read_optional("per_client", &PerClientTable, "no client is limited by itself");
    let Some((limits, location)) = read else { return PerClient::default() };
    let idle = [
        ("requests_per_second", limits.requests_per_second > 0 && !scheme.is_http()),
        ("bandwidth_bytes_per_second", limits.bandwidth_bytes_per_second > 0 && scheme == Scheme::Udp),
    ];
    for (key, _) in idle.into_iter().filter(|(_, is_idle)| *is_idle) {
        let message = format!("`{key}` of `per_client` has no effect where {}", scheme.clause());
        let help = "remove it; connections_per_second and max_connections limit what clients open";
        section.report().warning(location, message, help);
    }
    limits
}

fn http2_limits(section: &mut Section<'_, '_>) -> Http2Limits {
    Http2Limits {
        max_concurrent_streams: section.read("http2_max_concurrent_streams", &Integer(1..=10_000), 100),
        max_resets: section.read("http2_max_resets", &Integer(1..=1_000_000), 400),
        resets_per_second: section.read("http2_resets_per_second", &Integer(1..=1_000_000), 300),
    }
}

const PROTOCOLS: Choice<Scheme> = Choice {
    words: &[
        ("http", Scheme::Http),
        ("https", Scheme::Https),
        ("tcp", Scheme::Tcp),
        ("tls", Scheme::Tls),
        ("udp", Scheme::Udp),
        ("quic", Scheme::Quic),
    ],
    aliases: &[
        ("TCP", Scheme::Tcp),
        ("TLS", Scheme::Tls),
        ("TCPSSL", Scheme::Tls),
        ("tcpssl", Scheme::Tls),
        ("UDP", Scheme::Udp),
        ("QUIC", Scheme::Quic),
    ],
    later: &[],
};

const PROXY_PROTOCOLS: Choice<ProxyProtocol> = Choice {
    words: &[("off", ProxyProtocol::Off), ("accept", ProxyProtocol::Accept)],
    aliases: &[],
    later: &[],
};

const PATH_NORMALIZATIONS: Choice<bool> =
    Choice { words: &[("strict", true), ("off", false)], aliases: &[], later: &[] };

const HALF_CLOSES: Choice<HalfClose> =
    Choice { words: &[("abort", HalfClose::Abort), ("serve", HalfClose::Serve)], aliases: &[], later: &[] };

const EARLY_HINTS: Choice<EarlyHints> = Choice {
    words: &[("pass", EarlyHints::Pass), ("http2", EarlyHints::Http2), ("off", EarlyHints::Off)],
    aliases: &[],
    later: &[],
};

const FORWARDED_FOR: Choice<ForwardedFor> = Choice {
    words: &[
        ("append", ForwardedFor::Append),
        ("remove", ForwardedFor::Remove),
        ("preserve", ForwardedFor::Preserve),
    ],
    aliases: &[],
    later: &[],
};

fn default_group(section: &mut Section<'_, '_>, table: &raw::Table) -> Option<Reference> {
    let name = section.read_optional("default_group", &Name, "requests that no rule takes get 404");
    let entry = table.find("default_group")?;
    Some(Reference { name: name.map(|(name, _)| name), location: entry.value.location })
}

fn redirect_to(section: &mut Section<'_, '_>, table: &raw::Table) -> Option<Reference> {
    let name = section.read_optional("redirect_to", &Name, "no request is redirected before the rules");
    let entry = table.find("redirect_to")?;
    Some(Reference { name: name.map(|(name, _)| name), location: entry.value.location })
}

/// Trusting everybody is what the cloud products offer, so it works; but then any client may claim
/// any address.
fn trusted_proxies(section: &mut Section<'_, '_>) -> Vec<ipnet::IpNet> {
    let networks = section.read("trusted_proxies", &Networks, Vec::new());
    for (network, location) in networks.iter().filter(|(network, _)| network.prefix_len() == 0) {
        let message = format!(
            "\"{network}\" trusts every client: the leftmost X-Forwarded-For address counts as the client"
        );
        section.report().warning(*location, message, "list the networks of your own proxies");
    }
    networks.into_iter().map(|(network, _)| network).collect()
}

/// In lower case. Only trusted proxies may say who the client is.
fn real_ip_header(section: &mut Section<'_, '_>, nobody_is_trusted: bool) -> Option<String> {
    let name = section.read("real_ip_header", &FieldName, None);
    let is_idle = name.is_some() && nobody_is_trusted;
    section.warn_idle("real_ip_header", is_idle.then_some("there are no `trusted_proxies`"));
    name.map(|name| name.to_ascii_lowercase())
}

/// The value of a header that says the same of all requests.
fn elb_value(section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    section.read_optional(key, &FieldValue, "the header is not added").map(|(value, _)| value)
}

/// `enabled_fields` gets the places of the headers about TLS and certificates.
fn forwarded(listener: &mut Section<'_, '_>, enabled_fields: &mut Vec<EnabledField>) -> Forwarded {
    let table = listener.table("forwarded");
    let mut section = Section::single("listener.forwarded", table, listener.output);
    let forwarded = Forwarded {
        fields: ForwardedFields {
            x_forwarded_for: section.read("x_forwarded_for", &FORWARDED_FOR, ForwardedFor::Append),
            x_forwarded_proto: section.read("x_forwarded_proto", &Boolean, true),
            x_forwarded_port: section.read("x_forwarded_port", &Boolean, false),
            x_forwarded_host: section.read("x_forwarded_host", &Boolean, false),
            x_forwarded_client_srcport: section.read("x_forwarded_client_srcport", &Boolean, false),
            x_forwarded_for_port: section.read("x_forwarded_for_port", &Boolean, false),
            x_real_ip: section.read("x_real_ip", &Boolean, false),
            x_request_id: section.read("x_request_id", &Boolean, false),
            slb_id: section.read("slb_id", &Boolean, false),
        },
        elb_ip: elb_value(&mut section, "x_forwarded_elb_ip"),
        elb_id: elb_value(&mut section, "x_forwarded_elb_id"),
        identity: identity::identity(&mut section, table, enabled_fields),
        fingerprint_hash: section.read("fingerprint_hash", &identity::HASHES, FingerprintHash::Sha1),
    };
    section.close();
    forwarded
}
