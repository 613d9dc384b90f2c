//! From a configured server group to one that workers choose from.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::config::BackendAddress;
use crate::config::GroupProtocol;
use crate::config::HealthCheck;
use crate::config::InitialState;
use crate::config::ServerGroup;
use crate::control::build::registry::KnownGroup;
use crate::control::build::registry::Registry;
use crate::control::build::registry::TooManyBackends;
use crate::control::credentials::tls::Security;
use crate::control::discovery::Addresses;
use crate::net::address::Address;
use crate::net::address::ConnectSource;
use crate::net::address::InterfaceName;
use crate::policy::balance::hash_key::hash;
use crate::policy::balance::sticky::BackendToken;
use crate::policy::balance::sticky::BackendTokens;
use crate::policy::balance::sticky::StickyMode;
use crate::snapshot::backend::Backend;
use crate::snapshot::backend::CheckResult;
use crate::snapshot::backend::CheckState;
use crate::snapshot::group::DisabledBackend;
use crate::snapshot::group::Group;
use crate::snapshot::group::GroupMember;
use crate::snapshot::group::MemberOverride;
use crate::snapshot::group::ResponseLimits;
use crate::snapshot::group::Sticky;
use crate::snapshot::group::Versions;
use crate::snapshot::request_queue::RequestQueue;
use crate::telemetry::group_counters::GroupCounters;
use crate::tls::SwapCell;
use crate::tls::connect::UpstreamTls;

/// What building needs beside the group.
pub(super) struct GroupBuilder<'a> {
    pub(super) addresses: &'a Addresses,
    pub(super) security: &'a Security,
    pub(super) now_ms: u64,
    /// How long the steps to a backend take.
    pub(super) measures: bool,
}

/// None where no backend has a limit.
fn queue(wanted: &ServerGroup, registry: &Registry) -> Option<RequestQueue> {
    let is_limited = wanted.backends.iter().any(|backend| backend.max_connections > 0);
    let config::Queue { size, timeout } = wanted.queue;
    is_limited.then(|| RequestQueue {
        size: size as usize,
        timeout,
        state: registry.queue_state(&wanted.name),
    })
}

impl GroupBuilder<'_> {
    /// The group as it is known if nothing about it has changed, else a new one of the known backends.
    pub(super) fn build(
        &self,
        wanted: &ServerGroup,
        terms: Option<UpstreamTls>,
        registry: &mut Registry,
    ) -> Result<KnownGroup, TooManyBackends> {
        let response_limits = response_limits(wanted);
        let security = self.security.tls_fingerprint(wanted)
            ^ mark_of_limits(wanted, response_limits)
            ^ mark_of_source(wanted);
        let wanted = without_places(wanted);
        let is_used = |backend: &config::Backend| wanted.enabled && backend.enabled;
        let source_ip = match wanted.source_address {
            Some(config::SourceAddress::Ip(ip)) => Some(ip),
            _ => None,
        };
        let resolved = |backend: &config::Backend| match is_used(backend) {
            true => self.resolved(&backend.address, source_ip),
            false => Vec::new(),
        };
        let addresses: Vec<Vec<Address>> = wanted.backends.iter().map(resolved).collect();
        let said = wanted.backends.iter().map(|backend| registry.overrides.of(&wanted.name, backend));
        let said: Vec<_> = said.collect();
        if let Some(known) = registry.known_group(&wanted.name) {
            let has_leaving = known.group.members.iter().any(|member| member.is_leaving);
            let is_same = known.wanted == wanted
                && known.said == said
                && known.group.security == security
                && known.group.counters.is_some() == self.measures;
            if is_same && !has_leaving && known.addresses == addresses {
                return Ok(KnownGroup { wanted, addresses, said, group: Arc::clone(&known.group) });
            }
        }
        let members = self.members(&wanted, (&addresses, &said), registry)?;
        let mut group = Group::begin(wanted.name.clone(), registry.group_slot(&wanted.name));
        set_terms(&mut group, &wanted);
        group.sticky =
            wanted.sticky.as_ref().map(|sticky| self.sticky(sticky, &wanted.name, &members, registry));
        group.awaits_probes =
            wanted.health_check.as_ref().is_some_and(|check| check.initial == InitialState::Down);
        group.members = members;
        let (used, disabled): (Vec<_>, Vec<_>) =
            wanted.backends.iter().zip(&addresses).partition(|(backend, _)| is_used(backend));
        group.is_enabled = wanted.enabled;
        group.disabled = disabled.into_iter().map(|(backend, _)| disabled_backend(backend)).collect();
        let unresolved = used.into_iter().filter(|(_, found)| found.is_empty());
        group.unresolved = unresolved.map(|(backend, _)| backend.address.to_string()).collect();
        group.counters = self.counters(&wanted.name, registry);
        group.queue = queue(&wanted, registry);
        group.request_buffer = usize::try_from(wanted.request_buffer).unwrap_or(usize::MAX);
        group.response_limits = response_limits;
        group.default_host = wanted.default_host.clone();
        group.first_host = first_host(&wanted);
        set_protocol(&mut group, &wanted);
        group.tls = terms.map(SwapCell::new);
        group.security = security;
        let group = Arc::new(group.complete(self.now_ms));
        Ok(KnownGroup { wanted, addresses, said, group })
    }

    /// Those that a group of this name has already, or new ones.
    fn counters(&self, name: &str, registry: &Registry) -> Option<Arc<GroupCounters>> {
        let known = registry.known_group(name).and_then(|known| known.group.counters.clone());
        self.measures.then(|| known.unwrap_or_else(|| Arc::new(GroupCounters::new(registry.workers()))))
    }

    fn members(
        &self,
        wanted: &ServerGroup,
        (addresses, said): (&[Vec<Address>], &[MemberOverride]),
        registry: &mut Registry,
    ) -> Result<Vec<GroupMember>, TooManyBackends> {
        let mut members: Vec<GroupMember> = Vec::with_capacity(wanted.backends.len());
        let mut places = std::collections::HashMap::new();
        for ((backend, addresses), said) in wanted.backends.iter().zip(addresses).zip(said) {
            let weight = said.weigh(backend.weight.into());
            let host: Option<Arc<str>> = match &backend.address {
                BackendAddress::Name { .. } => Some(backend.address.to_string().into()),
                BackendAddress::Ip(_) | BackendAddress::Unix(_) => None,
            };
            for address in addresses {
                // Two names of one address are one backend, with the greater weight.
                if let Some(member) = places.get(address).and_then(|place: &usize| members.get_mut(*place)) {
                    member.weight = member.weight.max(weight);
                    continue;
                }
                let (known, is_new) = registry.backend(&wanted.name, address)?;
                let unproven = |check: &HealthCheck| match check.initial {
                    _ if !is_new => CheckResult::HEALTHY,
                    InitialState::Up => CheckResult::PRESUMED,
                    InitialState::Down => CheckResult::INITIAL,
                };
                known.room.set_limit(backend.max_connections as usize);
                begin_checks(&known, wanted.health_check.as_ref().map(unproven), self.now_ms);
                places.insert(address.clone(), members.len());
                members.push(GroupMember {
                    backend: known,
                    host: host.clone(),
                    weight,
                    is_standby: backend.role == config::Role::Standby,
                    is_leaving: false,
                    configured_weight: backend.weight.into(),
                    said: *said,
                });
            }
        }
        // Clients do not stick to what a group had before it was disabled.
        let known = registry.known_group(&wanted.name).filter(|_| wanted.enabled);
        for old in known.iter().flat_map(|known| &known.group.members) {
            let health = &old.backend.health;
            let since = health.draining_since_ms();
            let drain_ms = wanted.drain_timeout.as_millis() as u64;
            let is_over =
                health.drain_expired() || since != 0 && self.now_ms.saturating_sub(since) >= drain_ms;
            if !is_over && !places.contains_key(&old.backend.address) {
                members.push(GroupMember {
                    backend: Arc::clone(&old.backend),
                    host: old.host.clone(),
                    weight: 0,
                    is_standby: old.is_standby,
                    is_leaving: true,
                    configured_weight: 0,
                    said: MemberOverride::default(),
                });
            }
        }
        Ok(members)
    }

    fn sticky(
        &self,
        wanted: &config::Sticky,
        group: &str,
        members: &[GroupMember],
        registry: &Registry,
    ) -> Sticky {
        let token = |member: &GroupMember| {
            let (tag, mask) = self.security.sticky_key.token(group, &member.backend.name);
            BackendToken { tag, mask }
        };
        let remembers = matches!(wanted.mode, StickyMode::AppCookie | StickyMode::SourceIp);
        let timeout_s = u32::try_from(wanted.timeout.as_secs()).unwrap_or(u32::MAX);
        Sticky {
            mode: wanted.mode,
            cookie: wanted.cookie.clone(),
            timeout_s,
            attributes: wanted.attributes.write(timeout_s),
            tokens: BackendTokens::new(members.iter().map(token).collect()),
            affinity: remembers.then(|| registry.affinity(group, wanted.mode)),
        }
    }

    /// Every address of a backend; of a name, those of the family that connections come from.
    fn resolved(&self, address: &BackendAddress, source: Option<IpAddr>) -> Vec<Address> {
        match address {
            BackendAddress::Ip(address) => vec![Address::Ip(*address)],
            BackendAddress::Unix(path) => vec![Address::Unix(path.clone())],
            BackendAddress::Name { host, port } => {
                let found = self.addresses.get(&(host.clone(), *port));
                let reachable =
                    |address: &&SocketAddr| source.is_none_or(|own| own.is_ipv4() == address.is_ipv4());
                let found = found.into_iter().flatten().filter(reachable);
                found.copied().map(Address::Ip).collect()
            }
        }
    }
}

fn disabled_backend(backend: &config::Backend) -> DisabledBackend {
    DisabledBackend {
        name: backend.address.to_string(),
        weight: backend.weight.into(),
        is_standby: backend.role == config::Role::Standby,
    }
}

/// What stands for a host where requests name none.
fn first_host(wanted: &ServerGroup) -> String {
    match wanted.backends.first().map(|backend| &backend.address) {
        Some(address @ (BackendAddress::Ip(_) | BackendAddress::Name { .. })) => address.to_string(),
        Some(BackendAddress::Unix(_)) | None => "localhost".to_owned(),
    }
}

fn response_limits(wanted: &ServerGroup) -> ResponseLimits {
    ResponseLimits {
        max_header_bytes: usize::try_from(wanted.max_response_header_bytes).unwrap_or(usize::MAX),
        max_headers: wanted.max_response_headers as usize,
    }
}

/// Tells which groups may share a connection of HTTP/2, which was told its limits when it was opened.
fn mark_of_limits(wanted: &ServerGroup, limits: ResponseLimits) -> u64 {
    if versions(wanted) == Versions::Http1 {
        return 0;
    }
    hash(&[limits.max_header_bytes.to_be_bytes(), limits.max_headers.to_be_bytes()].concat())
}

/// What is spoken to the backends of a group.
fn set_protocol(group: &mut Group, wanted: &ServerGroup) {
    group.protocol = wanted.protocol.as_str();
    group.versions = versions(wanted);
    group.is_grpc = wanted.protocol == GroupProtocol::Grpc;
    group.speaks_http10 = wanted.speaks_http10;
    group.proxy_header = wanted.proxy_header;
}

/// How backends are chosen, waited for and taken out of service, as it is configured.
fn set_terms(group: &mut Group, wanted: &ServerGroup) {
    group.algorithm = wanted.algorithm.clone();
    group.when_all_down = wanted.when_all_down;
    group.slow_start = wanted.slow_start;
    group.drain_timeout = wanted.drain_timeout;
    group.cuts_off_failing = wanted.on_drain == config::OnDrain::Reset;
    group.max_failures = wanted.passive_check.consecutive_failures;
    group.connect_timeout = wanted.connect_timeout;
    group.source = source(wanted);
    group.keeps_client_address = wanted.keeps_client_address.is_some();
    group.response_timeout = wanted.response_timeout;
    group.keepalive_timeout = wanted.keepalive_timeout;
    group.keepalive_connections = wanted.keepalive_connections as usize;
    group.max_retries = wanted.max_retries;
    group.retry_on = wanted.retry_on.clone();
}

/// Tells which groups may share a connection, where it comes from.
fn mark_of_source(wanted: &ServerGroup) -> u64 {
    wanted.source_address.as_ref().map_or(0, |source| hash(format!("source {source}").as_bytes()))
}

/// Where connections to the backends of a group come from, but for those of clients that keep their addresses.
pub(in crate::control) fn source(wanted: &ServerGroup) -> ConnectSource {
    match &wanted.source_address {
        None => ConnectSource::Any,
        Some(config::SourceAddress::Ip(ip)) => ConnectSource::Ip(*ip),
        Some(config::SourceAddress::Interface(name)) => {
            InterfaceName::new(name).map_or(ConnectSource::Any, ConnectSource::Interface)
        }
    }
}

fn versions(wanted: &ServerGroup) -> Versions {
    match wanted.protocol {
        GroupProtocol::Https if wanted.http2 => Versions::Both,
        GroupProtocol::Http | GroupProtocol::Https => Versions::Http1,
        GroupProtocol::Tcp | GroupProtocol::Tls | GroupProtocol::Udp => Versions::Http1,
        GroupProtocol::H2c | GroupProtocol::Grpc => Versions::Http2,
    }
}

/// What is probed and was never seen must first prove itself; what served before goes on. `unproven` is what
/// holds until the first probe of a backend that was not probed before; None: it is not probed.
fn begin_checks(backend: &Backend, unproven: Option<CheckResult>, now_ms: u64) {
    let state = backend.health.check_result().state;
    match unproven {
        Some(result) if state == CheckState::Unchecked => backend.health.set_check_result(result, now_ms),
        None if state != CheckState::Unchecked => {
            backend.health.set_check_result(CheckResult::UNCHECKED, now_ms)
        }
        _ => {}
    }
}

/// The group as it would be if it stood elsewhere in its file. What it says of TLS counts by its contents,
/// which its mark stands for: the tables that it refers to may stand in another order. Maintenance is a matter of listeners, and protection one
/// of those who change the configuration.
fn without_places(wanted: &ServerGroup) -> ServerGroup {
    let mut group = ServerGroup {
        location: config::Location::default(),
        protection: config::Protection::default(),
        tls: None,
        maintenance: None,
        ..wanted.clone()
    };
    // What is to end at once has no time.
    if wanted.on_drain == config::OnDrain::Reset {
        group.drain_timeout = Duration::ZERO;
    }
    group.backends.iter_mut().for_each(|backend| backend.location = config::Location::default());
    group
}
