//! From a checked configuration to a snapshot: names were resolved, sockets bound; nothing fails here but
//! what cannot be secured.

mod group;
pub mod registry;
pub mod sockets;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config;
use crate::config::Config;
use crate::config::ListenerProtocol;
use crate::config::Location;
use crate::config::Report;
use crate::control::build::group::GroupBuilder;
use crate::control::build::registry::KnownGroup;
use crate::control::build::registry::Registry;
use crate::control::build::sockets::Binding;
use crate::control::credentials::tls::Security;
use crate::control::discovery::Addresses;
use crate::policy::forwarded::Forwarded;
use crate::policy::forwarded::TrustedProxies;
use crate::policy::identity::Identity;
use crate::snapshot::Http2Limits;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::snapshot::Protocol;
use crate::snapshot::ServerTls;
use crate::snapshot::Snapshot;
use crate::snapshot::group::Group;
use crate::snapshot::quota::Quota;
use crate::snapshot::quota::Rate;
use crate::telemetry::backend_counters::MAX_BACKENDS;
use crate::tls::SwapCell;
use crate::tls::accept::DownstreamTls;
use crate::tls::connect::UpstreamTls;
use crate::tls::x509::client_certificate::FingerprintHash;

/// What the host adds to a configuration.
pub struct Host {
    pub name: String,
    /// Downstream connections that the descriptor limit allows.
    pub connections: usize,
    pub workers: usize,
}

/// What handshakes of a configuration are made with, beside its listeners and groups.
pub struct AllTerms {
    listeners: Vec<Option<DownstreamTls>>,
    groups: Vec<Option<UpstreamTls>>,
}

/// Makes the terms of all handshakes; `None` after reporting what cannot be secured: it is never served in
/// the clear instead.
pub fn terms(config: &Config, security: &mut Security, report: &mut Report) -> Option<AllTerms> {
    let listeners = config.listeners.iter().enumerate().map(|(index, listener)| {
        let terms = listener.tls.as_ref().and_then(|_| security.downstream_tls(index, listener));
        if listener.tls.is_some() && terms.is_none() {
            refuse(listener.location, &format!("the listener \"{}\"", listener.name), report);
        }
        terms
    });
    let listeners = listeners.collect();
    let groups = config.server_groups.iter().map(|group| {
        let terms = security.upstream_tls(group);
        if group.tls.is_some() && terms.is_none() {
            refuse(group.location, &format!("the server group \"{}\"", group.name), report);
        }
        terms
    });
    let groups = groups.collect();
    (!report.has_errors()).then_some(AllTerms { listeners, groups })
}

fn refuse(location: Location, whose: &str, report: &mut Report) {
    let message = format!("{whose} cannot speak TLS with what is configured");
    report.error(location, message, "check its TLS policy, certificates and CAs");
}

/// What a snapshot is made of.
pub struct Parts<'a> {
    pub config: &'a Config,
    pub host: &'a Host,
    pub security: &'a Security,
    pub addresses: &'a Addresses,
    /// The sockets of all listeners.
    pub bindings: &'a [Binding],
    pub now_ms: u64,
}

/// Makes the next snapshot and notes in the registry who is in it. `None` after reporting that there are too
/// many backends; then nothing has changed.
pub fn build(
    parts: &Parts<'_>,
    terms: AllTerms,
    registry: &mut Registry,
    epoch: u64,
    report: &mut Report,
) -> Option<Snapshot> {
    registry.tidy(parts.now_ms);
    if parts.config.server_groups.iter().map(|group| group.backends.len()).sum::<usize>() > MAX_BACKENDS {
        report.error(
            Location::default(),
            "there are more than 65536 backends in all",
            "serve some of them by another process",
        );
        return None;
    }
    let mut known = Vec::with_capacity(parts.config.server_groups.len());
    let builder = GroupBuilder { addresses: parts.addresses, security: parts.security, now_ms: parts.now_ms };
    for (group, terms) in parts.config.server_groups.iter().zip(terms.groups) {
        match builder.build(group, terms, registry) {
            Ok(built) => known.push(built),
            Err(_too_many) => {
                report.error(
                    group.location,
                    "there are more than 65536 backends in all",
                    "serve some of them by another process",
                );
                return None;
            }
        }
    }
    let listeners = parts.config.listeners.iter().zip(terms.listeners);
    let listeners: Vec<_> = listeners
        .map(|(listener, terms)| Arc::new(build_listener(listener, terms, &known, (parts, registry))))
        .collect();
    let slot_of = |name: &str| listeners.iter().find(|built| built.name == name).map(|built| built.slot);
    let mut sockets: Vec<_> = parts
        .bindings
        .iter()
        .filter_map(|binding| Some((binding.number, slot_of(&binding.listener)?)))
        .collect();
    sockets.sort_unstable();
    let groups = known.iter().map(|known| Arc::clone(&known.group)).collect();
    registry.replace(known, listeners, parts.now_ms);
    Some(Snapshot {
        epoch,
        listeners: registry.listeners_by_slot(),
        groups,
        sockets,
        leaving: registry.leaving(),
        workers: parts.host.workers,
    })
}

fn build_listener(
    listener: &config::Listener,
    terms: Option<DownstreamTls>,
    groups: &[KnownGroup],
    (parts, registry): (&Parts<'_>, &mut Registry),
) -> Listener {
    let limit = listener.max_connections as usize;
    let (connections, connection_rate) = match registry.known_listener(&listener.name) {
        Some(known) => {
            known.connections.set_limit(limit);
            (Arc::clone(&known.connections), known.connection_rate.kept_at(listener.connections_per_second))
        }
        None => (Arc::new(Quota::new(limit)), None),
    };
    let own_groups: Vec<Arc<Group>> = listener
        .default_group
        .iter()
        .filter_map(|index| Some(Arc::clone(&groups.get(*index)?.group)))
        .collect();
    let own_bindings = parts.bindings.iter().filter(|binding| binding.listener == listener.name);
    Listener {
        name: listener.name.clone(),
        slot: registry.listener_slot(&listener.name),
        addresses: own_bindings.map(|binding| binding.address).collect(),
        default_group: (!own_groups.is_empty()).then_some(0),
        groups: own_groups,
        connections,
        connection_rate: connection_rate
            .unwrap_or_else(|| Arc::new(Rate::new(listener.connections_per_second))),
        proxy_protocol: listener.proxy_protocol == config::ProxyProtocol::Accept,
        tls: server_tls(listener, terms),
        protocol: match &listener.protocol {
            ListenerProtocol::Http(http) => Protocol::Http(build_http(http, parts)),
        },
        leaving: AtomicBool::new(false),
    }
}

fn server_tls(listener: &config::Listener, terms: Option<DownstreamTls>) -> Option<ServerTls> {
    let (tls, terms) = listener.tls.as_ref().zip(terms)?;
    let fingerprint_hash = match &listener.protocol {
        ListenerProtocol::Http(http) => match http.forwarded.fingerprint_hash {
            config::FingerprintHash::Sha1 => FingerprintHash::Sha1,
            config::FingerprintHash::Sha256 => FingerprintHash::Sha256,
        },
    };
    let client_auth_mark = terms.client_auth_mark();
    let (terms, handshake_timeout) = (SwapCell::new(terms), tls.handshake_timeout);
    Some(ServerTls { terms, handshake_timeout, client_auth_mark, fingerprint_hash })
}

fn build_http(http: &config::HttpListener, parts: &Parts<'_>) -> HttpListener {
    // The checks keep byte limits far below what a usize of any supported machine holds.
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    HttpListener {
        http2: http.http2,
        http2_limits: http2_limits(http.http2_limits),
        idle_timeout: http.idle_timeout,
        client_header_timeout: http.client_header_timeout,
        client_body_timeout: http.client_body_timeout,
        tunnel_idle_timeout: http.tunnel_idle_timeout,
        serves_half_closed: http.half_close == config::HalfClose::Serve,
        keepalive_requests: http.keepalive_requests,
        max_header_bytes: bytes(http.max_header_bytes),
        max_headers: http.max_headers as usize,
        max_uri_bytes: bytes(http.max_uri_bytes),
        max_body_bytes: http.max_body_bytes,
        trusted_proxies: TrustedProxies::new(http.trusted_proxies.clone(), http.real_ip_header.clone()),
        default_host: http.default_host.clone(),
        early_hints: http.early_hints,
        compression: http.compression,
        forwarded: forwarded(&http.forwarded, parts),
    }
}

fn http2_limits(limits: config::Http2Limits) -> Http2Limits {
    let config::Http2Limits { max_concurrent_streams, max_resets, resets_per_second } = limits;
    Http2Limits { max_concurrent_streams, max_resets, resets_per_second }
}

fn forwarded(wanted: &config::Forwarded, parts: &Parts<'_>) -> Forwarded {
    let instance_id = parts.config.process.instance_id.as_ref();
    Forwarded {
        fields: wanted.fields,
        slb_id: instance_id.unwrap_or(&parts.host.name).clone(),
        identity: Identity::new(wanted.identity.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::control::credentials;

    #[test]
    fn what_cannot_be_secured_is_not_served_in_the_clear() {
        let secure = "[[certificate]]\nname = \"site\"\nchain = \"/a\"\nkey = \"/b\"\n[[listener]]\nname = \"web\"\n\
            address = \"127.0.0.1:0\"\nprotocol = \"https\"\ncertificates = [\"site\"]\n";
        let mut loaded =
            config::load(vec![Source::made_up("<test>", format!("config_version = 1\n{secure}"))]);
        let config = loaded.config.unwrap();
        // The complaints about the files go elsewhere, so that only the builder stands in the way.
        let mut elsewhere = config::load(vec![Source::made_up("<test>", secure.to_owned())]).report;
        let nothing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let mut security = Security::new(credentials::load(&config, &nothing, &mut elsewhere));
        assert!(terms(&config, &mut security, &mut loaded.report).is_none());
        assert!(loaded.report.to_text(false).contains("the listener \"web\" cannot speak TLS"));
    }
}
