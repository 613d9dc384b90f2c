//! A listener: what holds whatever is spoken there, and how it serves HTTP.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config;
use crate::config::Carriers;
use crate::config::Config;
use crate::config::ListenerProtocol;
use crate::control::build::binding::kinds_of;
use crate::control::build::parts::Parts;
use crate::control::build::registry::KnownGroup;
use crate::control::build::registry::Registry;
use crate::control::build::responses;
use crate::control::build::rules::ListenerRules;
use crate::control::credentials::ip_groups;
use crate::net::address::TransportKind;
use crate::policy::forwarded::Forwarded;
use crate::policy::forwarded::TrustedProxies;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::hop_marks::HopMarks;
use crate::policy::hop_marks::TraceMark;
use crate::policy::identity::Identity;
use crate::policy::trace::TraceTerms;
use crate::snapshot::CertifiedHosts;
use crate::snapshot::DatagramListener;
use crate::snapshot::Http2Limits;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::snapshot::Protocol;
use crate::snapshot::RedirectTo;
use crate::snapshot::ServerTls;
use crate::snapshot::StreamListener;
use crate::snapshot::bandwidth::ListenerBandwidth;
use crate::snapshot::group::Group;
use crate::snapshot::health_path::HealthPath;
use crate::snapshot::http3::AltSvc;
use crate::snapshot::http3::QuicTerms;
use crate::snapshot::maintenance::MaintenanceOwner;
use crate::snapshot::quota::Quota;
use crate::snapshot::quota::Rate;
use crate::snapshot::refused_connections::RefusedConnections;
use crate::snapshot::request_limit::RequestLimit;
use crate::snapshot::responses::ResponseRules;
use crate::snapshot::routes::RouteSeries;
use crate::snapshot::rules::Rules;
use crate::telemetry::listener_counters::ListenerCounters;
use crate::tls::SwapCell;
use crate::tls::accept::DownstreamTls;
use crate::tls::x509::client_certificate::FingerprintHash;

/// The TLS of all listeners, by their indices.
pub(super) struct ListenersTls {
    listeners: Vec<Option<Arc<SwapCell<DownstreamTls>>>>,
    hosts: CertifiedHosts,
}

impl ListenersTls {
    /// `listeners` are beside those of the configuration.
    pub(super) fn new(listeners: Vec<Option<DownstreamTls>>, config: &Config) -> ListenersTls {
        let wrap = |tls: Option<DownstreamTls>| tls.map(|tls| Arc::new(SwapCell::new(tls)));
        let listeners: Vec<_> = listeners.into_iter().map(wrap).collect();
        let enabled = listeners.iter().zip(&config.listeners).filter(|(_, listener)| listener.enabled);
        let hosts = CertifiedHosts::new(enabled.filter_map(|(tls, _)| tls.clone()).collect());
        ListenersTls { listeners, hosts }
    }

    fn of(&self, listener: usize) -> Option<&Arc<SwapCell<DownstreamTls>>> {
        self.listeners.get(listener)?.as_ref()
    }
}

/// What a listener is made of.
pub(super) struct ListenerBuilder<'b> {
    pub index: usize,
    pub secured: &'b ListenersTls,
    pub groups: &'b [KnownGroup],
    pub parts: &'b Parts<'b>,
}

/// What is kept over reloads.
struct KeptCounts {
    connections: Arc<Quota>,
    connection_rate: Arc<Rate>,
    refused: Arc<RefusedConnections>,
    counters: Arc<ListenerCounters>,
}

impl ListenerBuilder<'_> {
    /// None if the configuration has no listener with this index, or a disabled one.
    pub(super) fn build(&self, rules: ListenerRules, registry: &mut Registry) -> Option<Listener> {
        let ListenerBuilder { index, secured, groups, parts } = self;
        let listener = parts.config.listeners.get(*index).filter(|listener| listener.enabled)?;
        let counted = self.counted(listener, registry);
        let own_groups: Vec<Arc<Group>> =
            rules.groups.iter().filter_map(|index| Some(Arc::clone(&groups.get(*index)?.group))).collect();
        let maintenance = rules.groups.iter().filter_map(|index| {
            let group = parts.config.server_groups.get(*index)?;
            let owner = (MaintenanceOwner::ServerGroup, group.name.as_str());
            Some(registry.switches.build(owner, group.maintenance.as_ref(), parts))
        });
        let maintenance = maintenance.collect();
        let default_group = listener.default_group.map(|_| 0);
        let own_bindings = parts.bindings.iter().filter(|binding| binding.listener == listener.name);
        let protocol = self.protocol(listener, rules, (own_groups.as_slice(), default_group), registry);
        Some(Listener {
            name: listener.name.clone(),
            slot: registry.listener_slot(&listener.name, listener.family()),
            // With TCP and QUIC, each address has two.
            addresses: own_bindings
                .filter(|binding| binding.kind == *kinds_of(listener).first().unwrap_or(&binding.kind))
                .map(|binding| binding.address)
                .collect(),
            default_group,
            maintenance,
            connections: counted.connections,
            connection_rate: counted.connection_rate,
            refused: counted.refused,
            counters: parts.config.metrics.enabled.then_some(counted.counters),
            client_connections: registry.limits.client_connections(listener),
            logs: parts.logs.of_listener(*index, parts.config),
            proxy_protocol: listener.proxy_protocol == config::ProxyProtocol::Accept,
            access: ip_groups::access(listener, &parts.security.credentials.ip_groups),
            tls: server_tls(parts.config, listener, secured.of(*index)),
            protocol,
            writes_proxy_headers: own_groups.iter().any(|group| group.proxy_header.is_some()),
            groups: own_groups,
            leaving: AtomicBool::new(false),
        })
    }

    /// What is spoken there. `places` are the groups of the listener, and the index of its default group.
    fn protocol(
        &self,
        listener: &config::Listener,
        mut rules: ListenerRules,
        places: (&[Arc<Group>], Option<usize>),
        registry: &mut Registry,
    ) -> Protocol {
        let limit = registry.limits.listener_limit(listener);
        let bandwidth = registry.limits.listener_bandwidth(listener);
        let counts = self.parts.config.metrics.enabled;
        let mut relayed = || match counts {
            true => registry.relayed.attach_relayed(&listener.name, rules.stream.as_mut(), places),
            false => RouteSeries::default(),
        };
        match &listener.protocol {
            ListenerProtocol::Http(http) => Protocol::Http(Box::new(HttpListener {
                series: match counts {
                    true => registry.series.attach(&listener.name, rules.compiled.as_mut(), places),
                    false => RouteSeries::default(),
                },
                disabled_rules: rules.disabled,
                health_path: health_path(http, registry),
                alt_svc: self.alt_svc(http, registry),
                ..self.http(http, (rules.compiled, rules.responses), (limit, bandwidth))
            })),
            ListenerProtocol::Datagram(datagram) => Protocol::Datagram(DatagramListener {
                idle_timeout: datagram.idle_timeout,
                bandwidth,
                requests: datagram.requests,
                responses: datagram.responses,
                series: relayed(),
            }),
            ListenerProtocol::Stream(stream) => Protocol::Stream(StreamListener {
                idle_timeout: stream.idle_timeout,
                bandwidth,
                passthrough: stream.passthrough,
                series: relayed(),
                rules: rules.stream,
            }),
        }
    }

    /// What a listener of this name and family has counted before goes on.
    fn counted(&self, listener: &config::Listener, registry: &Registry) -> KeptCounts {
        let max_connections = listener.max_connections as usize;
        let known = registry.known_listener(&listener.name, listener.family());
        let connections = known.map(|known| Arc::clone(&known.connections));
        let connections = connections.unwrap_or_else(|| Arc::new(Quota::new(max_connections)));
        connections.set_limit(max_connections);
        let connection_rate =
            known.and_then(|known| known.connection_rate.kept_at(listener.connections_per_second));
        let counters = known.and_then(|known| known.counters.clone());
        KeptCounts {
            connections,
            connection_rate: connection_rate
                .unwrap_or_else(|| Arc::new(Rate::new(listener.connections_per_second))),
            refused: known.map(|known| Arc::clone(&known.refused)).unwrap_or_default(),
            counters: counters.unwrap_or_else(|| Arc::new(ListenerCounters::new(self.parts.host.workers))),
        }
    }

    /// What messages get on their way; None: nothing.
    fn hop_marks(&self, http: &config::HttpListener) -> Option<HopMarks> {
        let Parts { config, host, bindings, .. } = self.parts;
        let name = config.listeners.get(self.index)?.name.as_str();
        let trace = http.loop_detection.then(|| {
            let own = bindings.iter().filter(|binding| binding.listener == name);
            let addresses: Vec<String> = own.map(|binding| binding.address.to_string()).collect();
            let instance = config.process.instance_id.as_ref().map_or("", String::as_str);
            // Two of one name, be it of host, instance or listener, are no loop.
            let parts = [host.name.as_str(), instance, name].into_iter();
            TraceMark::of(parts.chain(addresses.iter().map(String::as_str)))
        });
        (trace.is_some() || http.via).then_some(HopMarks { trace, via: http.via })
    }

    /// What responses tell of HTTP/3; nothing where the operator tells it himself. Browsers that have heard of it before it was
    /// switched off are told that it is gone, as long as this process knows.
    fn alt_svc(&self, http: &config::HttpListener, registry: &Registry) -> Option<AltSvc> {
        let is_own = |edit: &HeaderEdit| edit.name().eq_ignore_ascii_case("alt-svc");
        if http.response_headers.iter().any(is_own) {
            return None;
        }
        let told = match (http.carriers, http.quic_listener) {
            (Carriers::TcpAndUdp, _) => self.index,
            (Carriers::Tcp, Some(listener)) => listener,
            (Carriers::Tcp, None) => {
                let own = self.parts.config.listeners.get(self.index)?;
                let before = registry.known_listener(&own.name, own.family())?.http()?;
                return before.alt_svc.as_ref().filter(|_| own.tls.is_some()).map(|_| AltSvc::no_more());
            }
            (Carriers::Udp, _) => return Some(AltSvc::at_the_end()),
        };
        let told = self.parts.config.listeners.get(told)?;
        let mut bindings = self.parts.bindings.iter();
        let binding =
            bindings.find(|binding| binding.listener == told.name && binding.kind == TransportKind::Quic)?;
        Some(AltSvc::at_port(binding.address.port()))
    }

    /// Where every request is redirected to.
    fn redirect_to(&self, http: &config::HttpListener) -> Option<RedirectTo> {
        let target = self.parts.config.listeners.get(http.redirect_to?)?;
        let binding = self.parts.bindings.iter().find(|binding| binding.listener == target.name);
        // Where nothing is bound, as when a configuration is only explained, its own word counts.
        let address =
            binding.map(|binding| binding.address).or(target.addresses.first().map(|it| it.address))?;
        let hosts = self.secured.of(http.redirect_to?).map(Arc::clone);
        Some(RedirectTo {
            port: address.port(),
            hosts: CertifiedHosts::new(hosts.into_iter().collect()),
            spares_acme: http.redirect_spares_acme,
        })
    }

    fn http(
        &self,
        http: &config::HttpListener,
        (rules, response_rules): (Option<Rules>, Option<ResponseRules>),
        (limit, bandwidth): (Option<Box<RequestLimit>>, Option<Box<ListenerBandwidth>>),
    ) -> HttpListener {
        let loaded = &self.parts.security.credentials.error_pages;
        let error_pages = responses::error_pages(self.parts.config, loaded, self.index);
        // The checks keep byte limits far below what a usize of any supported machine holds.
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        HttpListener {
            http2: http.http2,
            http2_limits: http2_limits(http.http2_limits),
            has_tcp: http.carriers.has_tcp(),
            quic: http.carriers.has_udp().then(|| QuicTerms {
                keys: Arc::clone(&self.parts.security.quic_keys),
                generation: self.parts.security.quic_generation,
            }),
            quic_listener: quic_listener(http, self.parts.config),
            alt_svc: None,
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
            compression: http.compression.clone().map(Box::new),
            forwarded: forwarded(&http.forwarded, self.parts),
            connection_facts: self.parts.config.connection_facts(self.index).into(),
            responses: responses::policy(http, rules.as_ref(), response_rules, error_pages).map(Box::new),
            disabled_rules: None,
            rules,
            limit,
            bandwidth,
            health_path: None,
            limit_status: http.limit_status,
            hop_marks: self.hop_marks(http),
            tracing: trace_terms(&self.parts.config.tracing),
            redirect_to: self.redirect_to(http),
            certified_hosts: self.secured.hosts.clone(),
            series: RouteSeries::default(),
        }
    }
}

/// The name of the QUIC listener to which clients of another one may change over.
pub(super) fn quic_listener(http: &config::HttpListener, config: &Config) -> Option<String> {
    config.listeners.get(http.quic_listener?).map(|told| told.name.clone())
}

fn health_path(http: &config::HttpListener, registry: &Registry) -> Option<HealthPath> {
    Some(HealthPath::new(http.health_path.as_ref()?, Arc::clone(&registry.readiness)))
}

fn server_tls(
    config: &Config,
    listener: &config::Listener,
    terms: Option<&Arc<SwapCell<DownstreamTls>>>,
) -> Option<ServerTls> {
    let (tls, terms) = listener.tls.as_ref().zip(terms)?;
    let fingerprint_hash = match listener.http().map(|http| http.forwarded.fingerprint_hash) {
        None | Some(config::FingerprintHash::Sha1) => FingerprintHash::Sha1,
        Some(config::FingerprintHash::Sha256) => FingerprintHash::Sha256,
    };
    let client_auth_mark = terms.load().client_auth_mark();
    let (terms, handshake_timeout) = (Arc::clone(terms), tls.handshake_timeout);
    let refuses_other_hosts = tls.refuses_other_hosts;
    let certificates = tls.certificates.iter().filter_map(|place| config.certificates.get(*place));
    let certificate_names = certificates.map(|certificate| certificate.name.as_str().into()).collect();
    Some(ServerTls {
        terms,
        handshake_timeout,
        refuses_other_hosts,
        client_auth_mark,
        fingerprint_hash,
        certificate_names,
    })
}

fn http2_limits(limits: config::Http2Limits) -> Http2Limits {
    let config::Http2Limits { max_concurrent_streams, max_resets, resets_per_second } = limits;
    Http2Limits { max_concurrent_streams, max_resets, resets_per_second }
}

fn trace_terms(tracing: &config::Tracing) -> Option<TraceTerms> {
    let config::Tracing { propagate, accept_from, sample, .. } = *tracing;
    let exports = tracing.collector.is_some();
    (propagate || exports).then_some(TraceTerms { propagates: propagate, accept_from, sample, exports })
}

fn forwarded(wanted: &config::Forwarded, parts: &Parts<'_>) -> Forwarded {
    let instance_id = parts.config.process.instance_id.as_ref();
    Forwarded {
        fields: wanted.fields,
        slb_id: instance_id.unwrap_or(&parts.host.name).clone(),
        elb_ip: wanted.elb_ip.clone(),
        elb_id: wanted.elb_id.clone(),
        identity: Identity::new(wanted.identity.clone()),
    }
}
