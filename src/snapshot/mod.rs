//! The configuration in service: immutable, validated, with everything the data path needs at hand.
//!
//! Workers share one snapshot and never change it, save for the counters that are atomics. Text and
//! files were left behind in `config` and `control`.

pub mod affinity;
pub mod backend;
pub mod bandwidth;
pub mod error_pages;
pub mod gates;
pub mod client_connections;
pub mod client_rates;
pub mod group;
pub mod handed_session;
pub mod health_path;
pub mod http3;
mod keyed_hash;
pub mod maintenance;
pub mod rcu_cell;
pub mod request_queue;
pub mod responses;
pub mod refused_connections;
pub mod request_limit;
pub mod routes;
pub mod rules;
pub mod quota;
pub mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::net::address::TransportKind;
use crate::net::traffic::Traffic;
use crate::policy::access_list::AccessList;
use crate::policy::compression::CompressionTerms;
pub use crate::policy::early_hints::EarlyHints;
use crate::policy::forwarded::Forwarded;
use crate::policy::forwarded::TrustedProxies;
use crate::policy::hop_marks::HopMarks;
use crate::policy::identity::Fact;
use crate::policy::overrides::Overrides;
use crate::policy::router::target::split_target;
use crate::policy::trace::TraceTerms;
use crate::snapshot::backend::Backend;
use crate::snapshot::bandwidth::ListenerBandwidth;
use crate::snapshot::bandwidth::PaceLimits;
use crate::snapshot::group::Group;
use crate::snapshot::health_path::HealthPath;
use crate::snapshot::http3::AltSvc;
use crate::snapshot::http3::QuicTerms;
use crate::snapshot::maintenance::Maintenance;
use crate::snapshot::maintenance::MaintenanceSwitch;
use crate::snapshot::quota::Quota;
use crate::snapshot::quota::Rate;
use crate::snapshot::refused_connections::RefusedConnections;
use crate::snapshot::request_limit::ClientConnectionLimit;
use crate::snapshot::request_limit::RequestLimit;
use crate::snapshot::responses::ResponsePolicy;
use crate::snapshot::routes::RouteSeries;
use crate::snapshot::rules::DisabledRules;
use crate::snapshot::rules::Rule;
use crate::snapshot::rules::Rules;
pub use crate::snapshot::stream::StreamListener;
use crate::telemetry::listener_counters::ListenerCounters;
use crate::telemetry::log_set::LogSet;
use crate::telemetry::relay_counters::RelayCounters;
use crate::telemetry::route_counters::RouteCounters;
use crate::tls::SwapCell;
use crate::tls::accept::DownstreamTls;
use crate::tls::accept::Facts;
use crate::tls::x509::client_certificate::FingerprintHash;

/// How long a PROXY header may take where no request follows.
const STREAM_OPENING_TIMEOUT: Duration = Duration::from_secs(30);

/// One configuration in service.
pub struct Snapshot {
    /// Counts from 1; a reload that is refused has none.
    pub epoch: u64,
    /// By slot. A listener that was removed stays while it has connections.
    pub listeners: Vec<Option<Arc<Listener>>>,
    /// Every group of the configuration, in its order.
    pub groups: Vec<Arc<Group>>,
    /// Which listener accepts on which socket: numbers and slots, in the order of the numbers. A socket
    /// that does not stand here is to be closed.
    pub sockets: Vec<(u64, usize)>,
    /// Backends that get no new requests, and how long what they have may last.
    pub leaving: Vec<Leaving>,
    /// Groups whose relayed connections end when their backend fails.
    pub cutting_off: Vec<Arc<Group>>,
    /// Of all rules and server groups.
    pub maintenance: Vec<Arc<MaintenanceSwitch>>,
    /// Those of the configuration that are not bound.
    pub disabled_listeners: Vec<DisabledListener>,
    /// Metrics tell the durations of requests by rule and group.
    pub tells_durations: bool,
    /// How many workers serve; caps that hold for all of them are divided by it.
    pub workers: usize,
}

/// A listener with `enabled = false`.
pub struct DisabledListener {
    pub name: String,
    /// What would be spoken there, as the configuration calls it.
    pub protocol: &'static str,
    /// Where it would listen.
    pub addresses: Vec<SocketAddr>,
    /// HTTP/3 would be served, be it beside HTTPS or alone.
    pub http3: bool,
    /// The QUIC listener that its clients would be told of.
    pub quic_listener: Option<String>,
}

/// A backend whose drain has begun.
pub struct Leaving {
    pub backend: Arc<Backend>,
    pub drain_timeout: Duration,
}

impl Snapshot {
    pub fn listener(&self, slot: usize) -> Option<&Listener> {
        self.listeners.get(slot)?.as_deref()
    }

    /// The slot of the listener that accepts on a socket.
    pub fn listener_of_socket(&self, number: u64) -> Option<usize> {
        let place = self.sockets.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.sockets.get(place).map(|(_, slot)| *slot)
    }
}

/// Where clients come in: what holds whatever is spoken there.
pub struct Listener {
    pub name: String,
    /// A small number that a listener of this name keeps over reloads.
    pub slot: usize,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Where what it accepts can go.
    pub groups: Vec<Arc<Group>>,
    /// The index in `groups` of the one that takes what no rule takes.
    pub default_group: Option<usize>,
    /// Beside `groups`.
    pub maintenance: Box<[Maintenance]>,
    pub connections: Arc<Quota>,
    /// New connections per second; 0 = unlimited.
    pub connection_rate: Arc<Rate>,
    /// Kept over reloads, like the two before.
    pub refused: Arc<RefusedConnections>,
    /// Kept, too. None: nothing is counted.
    pub counters: Option<Arc<ListenerCounters>>,
    /// The access logs that it writes to.
    pub logs: LogSet,
    /// Read a PROXY header before anything else.
    pub proxy_protocol: bool,
    /// Some group of the listener tells its backends of clients by such headers.
    pub writes_proxy_headers: bool,
    /// Of each client; None: unlimited.
    pub client_connections: Option<Box<ClientConnectionLimit>>,
    /// None: everybody may connect.
    pub access: Option<AccessList>,
    /// None: plaintext.
    pub tls: Option<ServerTls>,
    pub protocol: Protocol,
    /// The configuration names it no more: every response is the last on its connection.
    pub leaving: AtomicBool,
}

/// What is spoken at a listener, within TLS or without.
pub enum Protocol {
    Http(Box<HttpListener>),
    /// Bytes of connections, whatever they mean.
    Stream(StreamListener),
    Datagram(DatagramListener),
}

/// How datagrams are relayed.
pub struct DatagramListener {
    /// After how long a silence of both sides a session is over.
    pub idle_timeout: Duration,
    /// Bytes per second; what goes beyond is lost. None: unlimited.
    pub bandwidth: Option<Box<ListenerBandwidth>>,
    /// Datagrams of a client that belong to one session; 0: all that come.
    pub requests: u32,
    /// Datagrams of a backend that answer one of its client; when all have come, the session is over. None: nobody knows.
    pub responses: Option<u32>,
    /// The counters of its sessions.
    pub series: RouteSeries<RelayCounters>,
}

/// What requests may be like, and what becomes of them.
pub struct HttpListener {
    /// HTTP/2 is spoken: by ALPN, or by prior knowledge in plaintext.
    pub http2: bool,
    pub http2_limits: Http2Limits,
    /// HTTP/1.1 is spoken, and HTTP/2 if that is said above.
    pub has_tcp: bool,
    /// HTTP/3 is spoken, over UDP.
    pub quic: Option<QuicTerms>,
    /// The name of the QUIC listener to which clients may change over.
    pub quic_listener: Option<String>,
    /// What responses tell of HTTP/3. None: nothing.
    pub alt_svc: Option<AltSvc>,
    /// Zero closes a connection after each response.
    pub idle_timeout: Duration,
    pub client_header_timeout: Duration,
    /// Between two reads of a request body, and between two writes of a response.
    pub client_body_timeout: Duration,
    /// How long neither side of a tunnel may say anything; zero: for ever.
    pub tunnel_idle_timeout: Duration,
    /// A client of HTTP/1.1 that has ended its side waits for its response, and has not gone.
    pub serves_half_closed: bool,
    /// Requests per connection; 0 = unlimited.
    pub keepalive_requests: u32,
    pub max_header_bytes: usize,
    pub max_headers: usize,
    pub max_uri_bytes: usize,
    /// 0 = unlimited.
    pub max_body_bytes: u64,
    pub trusted_proxies: TrustedProxies,
    /// The host of requests that name none.
    pub default_host: Option<String>,
    pub early_hints: EarlyHints,
    /// How responses are compressed for clients that accept it. None: they are not.
    pub compression: Option<Box<CompressionTerms>>,
    pub forwarded: Forwarded,
    /// What rules write of clients' TLS connections.
    pub connection_facts: Box<[Fact]>,
    /// None: every request goes to the default group.
    pub rules: Option<Rules>,
    /// None: all are asked.
    pub disabled_rules: Option<Box<DisabledRules>>,
    /// What tells the router in front of the listener whether it is ready.
    pub health_path: Option<HealthPath>,
    /// Of all requests; None: unlimited.
    pub limit: Option<Box<RequestLimit>>,
    /// Bytes per second; None: unlimited.
    pub bandwidth: Option<Box<ListenerBandwidth>>,
    /// What requests beyond a limit are answered with.
    pub limit_status: u16,
    /// None: messages get nothing that tells of their pass.
    pub hop_marks: Option<HopMarks>,
    /// None: requests are not traced.
    pub tracing: Option<TraceTerms>,
    /// Where every request is redirected to, before all rules.
    pub redirect_to: Option<RedirectTo>,
    /// The hosts for which a listener of the configuration has a certificate.
    pub certified_hosts: CertifiedHosts,
    /// The counters of requests that no rule takes.
    pub series: RouteSeries,
    /// None: no response is changed.
    pub responses: Option<Box<ResponsePolicy>>,
}

impl HttpListener {
    /// Whether nothing but HTTP/3 is spoken.
    pub fn is_quic_alone(&self) -> bool {
        self.quic.is_some() && !self.has_tcp
    }

    /// The rule with this index.
    pub fn rule(&self, index: u32) -> Option<&Rule> {
        self.rules.as_ref()?.get(index as usize)
    }

    /// The counters of requests that this rule took, or none, and that went to this group, or none.
    pub fn counters(&self, rule: Option<u32>, group: Option<u32>) -> Option<&RouteCounters> {
        let series = match rule {
            Some(rule) => &self.rule(rule)?.series,
            None => &self.series,
        };
        series.find(group).map(|counters| &**counters)
    }

    /// What limits the content of a request that the rule with this index takes.
    pub fn pace_limits(&self, rule: Option<u32>) -> PaceLimits<'_> {
        let rule = rule.and_then(|rule| self.rule(rule)?.bandwidth.as_deref());
        PaceLimits { rule, listener: self.bandwidth.as_deref() }
    }

    /// What the rule with this index says in the place of the listener.
    pub fn overrides(&self, rule: Option<u32>) -> Option<&Overrides> {
        Some(&self.rule(rule?)?.overrides)
    }
}

/// The HTTPS listener that a listener redirects to.
pub struct RedirectTo {
    pub port: u16,
    /// Those that it has certificates for.
    pub hosts: CertifiedHosts,
    /// Requests for `/.well-known/acme-challenge/` are served as if there was no redirect.
    pub spares_acme: bool,
}

/// What is asked for on behalf of certificate authorities that verify a host (RFC 8555 §8.3).
const ACME_CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";

impl RedirectTo {
    /// Whether a request for this path and query is served without TLS. A path that another server might read as one
    /// outside of the challenges, such as `/.well-known/acme-challenge/../admin`, is not: a token "MUST NOT contain any
    /// characters outside the base64url alphabet" (RFC 8555 §8.3). Dots within are let through for the files with
    /// which people try it out.
    pub fn spares(&self, path_and_query: &[u8]) -> bool {
        let (path, _) = split_target(path_and_query);
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_token = |name: &[u8]| name.iter().all(is_plain) && !name.starts_with(b".");
        self.spares_acme && path.strip_prefix(ACME_CHALLENGES).is_some_and(is_token)
    }
}

/// The hosts for which one of several listeners has a certificate.
#[derive(Clone, Default)]
pub struct CertifiedHosts {
    listeners: Arc<[Arc<SwapCell<DownstreamTls>>]>,
}

impl CertifiedHosts {
    pub fn new(listeners: Arc<[Arc<SwapCell<DownstreamTls>>]>) -> CertifiedHosts {
        CertifiedHosts { listeners }
    }

    /// `host` is in lower case and has no port.
    pub fn contain(&self, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else { return false };
        self.listeners.iter().any(|tls| tls.load().names(host))
    }
}

/// What one client may ask of a connection of HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Requests in flight.
    pub max_concurrent_streams: u32,
    /// Streams that it may end before they are answered: at once, and over time.
    pub max_resets: u32,
    pub resets_per_second: u32,
}

/// How a listener secures its connections.
pub struct ServerTls {
    /// Replaced while serving when a certificate on disk changes.
    pub terms: Arc<SwapCell<DownstreamTls>>,
    pub handshake_timeout: Duration,
    /// A connection of HTTP/1.1, too, carries requests for hosts of its certificate only.
    pub refuses_other_hosts: bool,
    /// What clients had to prove, by the terms that the listener began with; see [`DownstreamTls::client_auth_mark`].
    pub client_auth_mark: u64,
    /// What fingerprints of clients' certificates are made with.
    pub fingerprint_hash: FingerprintHash,
    /// The names of its certificates, in their order.
    pub certificate_names: Box<[Box<str>]>,
}

impl ServerTls {
    /// The name of the certificate that a client is shown. None: it has been replaced since.
    pub fn shown_certificate(&self, facts: &Facts) -> Option<&str> {
        let place = self.terms.load().place_of_shown(facts)?;
        self.certificate_names.get(place).map(|name| &**name)
    }
}

impl Listener {
    /// Where connections of this worker count their bytes, if they are counted.
    pub fn traffic(&self, worker: usize) -> Option<Arc<Traffic>> {
        self.counters.as_ref()?.traffic(worker)
    }

    /// Where they do so until a TLS handshake is over.
    pub fn handshake_traffic(&self, worker: usize) -> Option<Arc<Traffic>> {
        self.counters.as_ref()?.handshake_traffic(worker)
    }

    /// Whether a connection that was let in before the last reload may go on. `client_auth_mark` is what its client had
    /// to prove; None: it is in cleartext.
    pub fn still_admits(&self, client_auth_mark: Option<u64>) -> bool {
        match (&self.tls, client_auth_mark) {
            (None, None) => true,
            (Some(tls), Some(client_auth_mark)) => {
                tls.client_auth_mark == 0 || tls.client_auth_mark == client_auth_mark
            }
            _ => false,
        }
    }

    /// How it serves HTTP; None where it does not.
    pub fn http(&self) -> Option<&HttpListener> {
        match &self.protocol {
            Protocol::Http(http) => Some(http),
            Protocol::Stream(_) | Protocol::Datagram(_) => None,
        }
    }

    /// How it relays connections; None where it does not.
    pub fn stream(&self) -> Option<&StreamListener> {
        match &self.protocol {
            Protocol::Http(_) | Protocol::Datagram(_) => None,
            Protocol::Stream(stream) => Some(stream),
        }
    }

    /// How it relays datagrams; None where it does not.
    pub fn datagram(&self) -> Option<&DatagramListener> {
        match &self.protocol {
            Protocol::Datagram(datagram) => Some(datagram),
            Protocol::Http(_) | Protocol::Stream(_) => None,
        }
    }

    /// Where what it relays is counted, by the index of a rule, or None, and by that of a group, or None.
    pub fn relay_counters(&self, rule: Option<usize>, group: Option<usize>) -> Option<&Arc<RelayCounters>> {
        let series = match &self.protocol {
            Protocol::Http(_) => return None,
            Protocol::Datagram(datagram) => &datagram.series,
            Protocol::Stream(stream) => match rule {
                Some(rule) => &stream.rules.as_ref()?.get(rule)?.series,
                None => &stream.series,
            },
        };
        series.find(group.map(|group| group as u32))
    }

    /// Tells listeners of one name apart of which one cannot serve what the other has accepted.
    pub fn family(&self) -> &'static str {
        match &self.protocol {
            Protocol::Http(_) => "http",
            Protocol::Stream(_) => "stream",
            Protocol::Datagram(_) => "datagram",
        }
    }

    /// How long what has to come before anything else may take: a PROXY header, or the first request.
    pub fn opening_timeout(&self) -> Duration {
        self.http().map_or(STREAM_OPENING_TIMEOUT, |http| http.client_header_timeout)
    }

    /// What is spoken at each of its addresses.
    pub fn kinds(&self) -> &'static [TransportKind] {
        match &self.protocol {
            Protocol::Datagram(_) => &[TransportKind::Udp],
            Protocol::Http(http) if http.is_quic_alone() => &[TransportKind::Quic],
            Protocol::Http(http) if http.quic.is_some() => &[TransportKind::Tcp, TransportKind::Quic],
            Protocol::Http(_) | Protocol::Stream(_) => &[TransportKind::Tcp],
        }
    }

    /// What is spoken there, as the configuration calls it.
    pub fn protocol_name(&self) -> &'static str {
        match (&self.protocol, &self.tls) {
            (Protocol::Http(http), _) if http.is_quic_alone() => "quic",
            (Protocol::Http(_), None) => "http",
            (Protocol::Http(_), Some(_)) => "https",
            (Protocol::Stream(stream), None) if !stream.passthrough => "tcp",
            (Protocol::Stream(_), _) => "tls",
            (Protocol::Datagram(_), _) => "udp",
        }
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// From now on it ends its connections.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// The group with this index, to be held longer than the listener.
    pub fn shared_group(&self, index: usize) -> Option<Arc<Group>> {
        self.groups.get(index).map(Arc::clone)
    }

    /// The group with this index.
    pub fn group(&self, index: usize) -> Option<&Group> {
        self.groups.get(index).map(|group| &**group)
    }
}
