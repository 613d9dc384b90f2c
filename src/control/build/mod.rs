//! From a checked configuration to a snapshot: names were resolved, sockets bound; nothing fails here but
//! what cannot be secured.

pub mod access_logs;
pub mod binding;
mod carried;
mod closing_sockets;
mod conditions;
mod gates;
mod fixed_response;
mod group;
mod limits;
mod listener;
mod maintenance;
mod overrides;
mod parts;
pub mod registry;
mod responses;
mod rules;
mod series;
pub mod sockets;

pub(super) use crate::control::build::carried::nonzero;
pub(super) use crate::control::build::group::source;

use std::sync::Arc;

use crate::config;
use crate::config::Config;
use crate::config::Location;
use crate::config::Report;
use crate::config::in_order;
use crate::control::build::group::GroupBuilder;
use crate::control::build::listener::ListenerBuilder;
use crate::control::build::listener::ListenersTls;
pub use crate::control::build::parts::Host;
pub use crate::control::build::parts::Parts;
use crate::control::build::registry::Registry;
use crate::control::credentials::tls::Security;
use crate::snapshot::DisabledListener;
use crate::snapshot::Listener;
use crate::snapshot::Snapshot;
use crate::telemetry::backend_counters::MAX_BACKENDS;
use crate::tls::accept::DownstreamTls;
use crate::tls::connect::UpstreamTls;

/// What handshakes of a configuration are made with, beside its listeners and groups.
pub struct AllTerms {
    listeners: Vec<Option<DownstreamTls>>,
    groups: Vec<Option<UpstreamTls>>,
}

/// Makes the terms of all handshakes; `None` after reporting what cannot be secured: it is never served in
/// the clear instead.
pub fn terms(config: &Config, security: &mut Security, report: &mut Report) -> Option<AllTerms> {
    let listeners = config.listeners.iter().enumerate().map(|(index, listener)| {
        let terms = listener.tls.as_ref().and_then(|_| security.downstream_tls(index, config));
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

/// Makes the next snapshot and notes in the registry who is in it. `None` after reporting that there are too
/// many backends; then nothing has changed.
pub fn build(
    parts: &Parts<'_>,
    terms: AllTerms,
    registry: &mut Registry,
    epoch: u64,
    report: &mut Report,
) -> Option<Snapshot> {
    let rules = rules::compile_all(parts, (&mut registry.limits, &mut registry.switches), report)?;
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
    let builder = GroupBuilder {
        addresses: parts.addresses,
        security: parts.security,
        now_ms: parts.now_ms,
        measures: parts.config.metrics.enabled,
    };
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
    let secured = ListenersTls::new(terms.listeners, parts.config);
    let indices = 0..parts.config.listeners.len();
    let listeners: Vec<_> = indices
        .zip(rules)
        .filter_map(|(index, rules)| {
            let builder = ListenerBuilder { index, secured: &secured, groups: &known, parts };
            Some(Arc::new(builder.build(rules, registry)?))
        })
        .collect();
    let sockets = slots_of_sockets(parts, &listeners);
    let groups: Vec<_> = known.iter().map(|known| Arc::clone(&known.group)).collect();
    registry.replace(known, listeners, parts.now_ms);
    let maintenance = registry.adopt_said(parts.config, parts.now_ms);
    Some(Snapshot {
        epoch,
        listeners: registry.listeners_by_slot(),
        sockets,
        leaving: registry.leaving(),
        cutting_off: groups.iter().filter(|group| group.cuts_off_failing).map(Arc::clone).collect(),
        groups,
        maintenance,
        disabled_listeners: disabled_listeners(parts.config),
        tells_durations: parts.config.metrics.histograms,
        workers: parts.host.workers,
    })
}

/// Which listener accepts on which socket, in the order of their numbers.
fn slots_of_sockets(parts: &Parts<'_>, listeners: &[Arc<Listener>]) -> Vec<(u64, usize)> {
    let slot_of = |name: &str| listeners.iter().find(|built| built.name == name).map(|built| built.slot);
    let slots = parts.bindings.iter().filter_map(|one| Some((one.number, slot_of(&one.listener)?)));
    let mut sockets: Vec<_> = slots.collect();
    in_order::sort_by_key(&mut sockets, |socket| *socket);
    sockets
}

/// Listeners that are not bound, for those who ask.
fn disabled_listeners(config: &Config) -> Vec<DisabledListener> {
    let disabled = config.listeners.iter().filter(|listener| !listener.enabled);
    let listener = |listener: &config::Listener| DisabledListener {
        name: listener.name.clone(),
        protocol: listener.protocol_name(),
        addresses: listener.addresses.iter().map(|one| one.address).collect(),
        http3: listener.http().is_some_and(|http| http.carriers.has_udp()),
        quic_listener: listener.http().and_then(|http| listener::quic_listener(http, config)),
    };
    disabled.map(listener).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
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
