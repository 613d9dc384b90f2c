//! A `[[listener]]`.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::ip_group::Access;
use crate::config::limits::PerClient;
use crate::config::protection::Protection;
use crate::config::report::Location;
use crate::config::tls_policies::TlsPolicy;
use crate::policy::compression::CompressionTerms;
use crate::policy::early_hints::EarlyHints;
use crate::policy::forwarded::ForwardedFields;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::identity::Fact;

#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Unique among listeners.
    pub name: String,
    /// Without it, nothing is bound.
    pub enabled: bool,
    /// At least one; no two of any enabled listeners overlap.
    pub addresses: Vec<ListenAddress>,
    /// None: plaintext.
    pub tls: Option<ListenerTls>,
    pub client_auth: ClientAuth,
    /// Index in [`crate::config::Config::server_groups`]. None: no backend gets what no rule takes.
    pub default_group: Option<usize>,
    /// 0: unlimited.
    pub max_connections: u32,
    /// 0: unlimited.
    pub connections_per_second: u32,
    /// Of each client.
    pub per_client: PerClient,
    pub proxy_protocol: ProxyProtocol,
    pub access: Access,
    pub protocol: ListenerProtocol,
    pub protection: Protection,
    /// Where the name stands.
    pub location: Location,
}

/// What is spoken at a listener, within TLS or without.
#[derive(Clone, Debug, PartialEq)]
pub enum ListenerProtocol {
    Http(Box<HttpListener>),
    /// Bytes of connections, whatever they mean.
    Stream(StreamListener),
    Datagram(DatagramListener),
}

impl Listener {
    /// Tells listeners of one name apart of which one cannot serve what the other has accepted.
    pub fn family(&self) -> &'static str {
        match &self.protocol {
            ListenerProtocol::Http(_) => "http",
            ListenerProtocol::Stream(_) => "stream",
            ListenerProtocol::Datagram(_) => "datagram",
        }
    }

    /// The word of the key `protocol`.
    pub fn protocol_name(&self) -> &'static str {
        match (&self.protocol, &self.tls) {
            (ListenerProtocol::Http(http), _) if http.carriers == Carriers::Udp => "quic",
            (ListenerProtocol::Http(_), None) => "http",
            (ListenerProtocol::Http(_), Some(_)) => "https",
            (ListenerProtocol::Stream(stream), None) if !stream.passthrough => "tcp",
            (ListenerProtocol::Stream(_), _) => "tls",
            (ListenerProtocol::Datagram(_), _) => "udp",
        }
    }

    /// What it has ports of.
    pub fn carriers(&self) -> Carriers {
        match &self.protocol {
            ListenerProtocol::Http(http) => http.carriers,
            ListenerProtocol::Stream(_) => Carriers::Tcp,
            ListenerProtocol::Datagram(_) => Carriers::Udp,
        }
    }

    /// Bytes of all its connections in each direction; 0: unlimited.
    pub fn bandwidth_bytes_per_second(&self) -> u64 {
        match &self.protocol {
            ListenerProtocol::Http(http) => http.bandwidth_bytes_per_second,
            ListenerProtocol::Stream(stream) => stream.bandwidth_bytes_per_second,
            ListenerProtocol::Datagram(datagram) => datagram.bandwidth_bytes_per_second,
        }
    }

    /// How it serves HTTP; None where it does not.
    pub fn http(&self) -> Option<&HttpListener> {
        match &self.protocol {
            ListenerProtocol::Http(http) => Some(http),
            ListenerProtocol::Stream(_) | ListenerProtocol::Datagram(_) => None,
        }
    }
}

/// The keys of a listener that relays connections.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamListener {
    /// How long neither side may say anything, 10 s to 4000 s.
    pub idle_timeout: Duration,
    /// In each direction; 0: unlimited.
    pub bandwidth_bytes_per_second: u64,
    /// Clients speak TLS with the backend; only their first message is looked into.
    pub passthrough: bool,
    /// The protocols that clients can agree on in a handshake with the listener (RFC 7301), the most wanted first.
    pub alpn: Vec<String>,
}

/// The keys of a listener that relays datagrams.
#[derive(Clone, Debug, PartialEq)]
pub struct DatagramListener {
    /// After how long a silence of both sides a session is over, 1 s to 4000 s.
    pub idle_timeout: Duration,
    /// In each direction; 0: unlimited.
    pub bandwidth_bytes_per_second: u64,
    /// Datagrams of a client that belong to one session; 0: all that come.
    pub requests: u32,
    /// Datagrams that answer one of a client. None: nobody knows.
    pub responses: Option<u32>,
}

/// What clients come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriers {
    Tcp,
    /// Of HTTP: by QUIC, which is HTTP/3.
    Udp,
    /// At the same addresses.
    TcpAndUdp,
}

impl Carriers {
    pub fn has_tcp(self) -> bool {
        self != Carriers::Udp
    }

    pub fn has_udp(self) -> bool {
        self != Carriers::Tcp
    }
}

/// The keys of a listener that are about HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpListener {
    /// What is HTTP/3 comes by UDP, all else by TCP.
    pub carriers: Carriers,
    /// Index in [`crate::config::Config::listeners`] of the QUIC listener that clients are told of.
    pub quic_listener: Option<usize>,
    /// HTTP/2: by ALPN with https, by prior knowledge with http.
    pub http2: bool,
    pub http2_limits: Http2Limits,
    /// Zero: the connection closes after each response.
    pub idle_timeout: Duration,
    pub client_header_timeout: Duration,
    /// Between two reads of a body.
    pub client_body_timeout: Duration,
    /// How long neither side of a tunnel may say anything; zero: for ever.
    pub tunnel_idle_timeout: Duration,
    pub half_close: HalfClose,
    /// 0: unlimited.
    pub requests_per_second: u32,
    /// In each direction; 0: unlimited.
    pub bandwidth_bytes_per_second: u64,
    /// What requests beyond a limit are answered with: 503 or 429.
    pub limit_status: u16,
    /// Requests that come again are refused.
    pub loop_detection: bool,
    /// Whether `Via` tells of Ringway.
    pub via: bool,
    /// Requests per connection. 0: unlimited.
    pub keepalive_requests: u32,
    pub max_header_bytes: u64,
    /// 1..=[`crate::http::headers::MAX_FIELDS`].
    pub max_headers: u32,
    pub max_uri_bytes: u64,
    /// 0: unlimited.
    pub max_body_bytes: u64,
    /// Who may set X-Forwarded-For. No host bits are set.
    pub trusted_proxies: Vec<IpNet>,
    /// In lower case: the field in which they name the client. None: `X-Forwarded-For`.
    pub real_ip_header: Option<String>,
    /// The host of requests that name none.
    pub default_host: Option<String>,
    /// The path that is answered with whether the process takes new connections. None: there is none.
    pub health_path: Option<String>,
    pub early_hints: EarlyHints,
    /// How responses are compressed for clients that accept it. None: they are not.
    pub compression: Option<CompressionTerms>,
    pub forwarded: Forwarded,
    /// Rules match and forward paths in one spelling.
    pub normalizes_paths: bool,
    /// Index in [`crate::config::Config::listeners`] of the HTTPS listener that every request is redirected to.
    pub redirect_to: Option<usize>,
    /// Requests for `/.well-known/acme-challenge/` are not redirected.
    pub redirect_spares_acme: bool,
    /// For all responses, `Strict-Transport-Security` of `hsts` among them.
    pub response_headers: Vec<HeaderEdit>,
}

/// What one client may ask of a connection of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Requests in flight, 1..=10000.
    pub max_concurrent_streams: u32,
    /// Streams that it may end before they are answered: at once, 1..=1000000.
    pub max_resets: u32,
    /// And over time, 1..=1000000.
    pub resets_per_second: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ListenAddress {
    /// With port 0 the kernel chooses one; the start-up line tells which.
    pub address: SocketAddr,
    /// Whether this `[::]` address takes IPv4 too. Every other IPv6 socket is IPv6 only.
    pub dual_stack: bool,
    pub location: Location,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// Indices in [`crate::config::Config::certificates`], each once. At least one; the first is the default.
    pub certificates: Vec<usize>,
    pub sni_match: SniMatch,
    /// A handshake for a name of no certificate fails.
    pub refuses_unknown_sni: bool,
    /// Over HTTP/1.1, too, a request for a host of another certificate than that of its connection is refused.
    pub refuses_other_hosts: bool,
    pub policy: TlsPolicy,
    /// Zero: no tickets.
    pub session_ticket_lifetime: Duration,
    pub handshake_timeout: Duration,
    /// Where the list of certificates stands.
    pub location: Location,
}

/// What a wildcard in the name of a certificate stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SniMatch {
    /// One label.
    Wildcard,
    /// One label or more; the most specific wildcard wins.
    LongestSuffix,
}

/// What a client of HTTP/1.1 means that ends its side behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfClose {
    /// It has given the request up.
    Abort,
    /// It waits for the response.
    Serve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    Off,
    /// A PROXY header is expected before anything else.
    Accept,
}

/// Which fields the request gets that goes upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub fields: ForwardedFields,
    /// The values of `X-Forwarded-ELB-IP` and `X-Forwarded-ELB-ID`. None: they are not told.
    pub elb_ip: Option<String>,
    pub elb_id: Option<String>,
    /// What is told of TLS and certificates, each with its alias if it has one.
    pub identity: Vec<(Fact, Option<String>)>,
    pub fingerprint_hash: FingerprintHash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintHash {
    Sha1,
    Sha256,
}

/// Whether clients show certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    pub mode: ClientAuthMode,
    /// Indices in [`crate::config::Config::authorities`], each once. At least one unless the mode is off.
    pub ca: Vec<usize>,
}

impl ClientAuth {
    pub const OFF: ClientAuth = ClientAuth { mode: ClientAuthMode::Off, ca: Vec::new() };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// They are not asked.
    Off,
    /// They are asked, and served whatever they show.
    Optional,
    /// Without a good one the handshake fails.
    Require,
}
