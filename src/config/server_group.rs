//! `[[server_group]]`: where requests go, and how.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::maintenance::Maintenance;
use crate::config::protection::Protection;
use crate::config::report::Location;
use crate::policy::balance::Algorithm;
use crate::policy::balance::WhenAllDown;
use crate::policy::balance::sticky::CookieAttributes;
use crate::policy::balance::sticky::StickyMode;
use crate::policy::proxy_header::ProxyHeaderTerms;
use crate::policy::retry::RetryOn;

#[derive(Clone, Debug, PartialEq)]
pub struct ServerGroup {
    /// Unique among server groups.
    pub name: String,
    /// Without it, no request reaches a backend, and none is probed.
    pub enabled: bool,
    pub protocol: GroupProtocol,
    /// Backends that offer HTTP/2 are spoken to in it; https only.
    pub http2: bool,
    /// Connections to backends begin with a PROXY header. None: they do not, and are shared by clients.
    pub proxy_header: Option<ProxyHeaderTerms>,
    /// There is one exactly when the backends are spoken to over TLS.
    pub tls: Option<GroupTls>,
    pub algorithm: Algorithm,
    pub connect_timeout: Duration,
    /// None: the kernel chooses.
    pub source_address: Option<SourceAddress>,
    /// Where it says that what is relayed to backends comes from the address of its client; then there is no
    /// `source_address`. None: it comes from this host.
    pub keeps_client_address: Option<Location>,
    /// How long a backend may be silent.
    pub response_timeout: Duration,
    /// Zero: no idle upstream connections are kept.
    pub keepalive_timeout: Duration,
    /// Idle upstream connections kept, over all workers.
    pub keepalive_connections: u32,
    /// Further backends tried, 0..=10.
    pub max_retries: u32,
    /// After what.
    pub retry_on: RetryOn,
    /// For requests while every backend has `max_connections`.
    pub queue: Queue,
    /// Bytes of a request's content that are received before a backend is chosen; 0: what comes with the head.
    pub request_buffer: u64,
    /// Bytes of the head of a response.
    pub max_response_header_bytes: u64,
    /// 1..=[`crate::http::headers::MAX_FIELDS`].
    pub max_response_headers: u32,
    /// The host of requests that name none. None: the listener's, or that of the first backend.
    pub default_host: Option<String>,
    /// Requests of HTTP/1.0 go on in HTTP/1.0.
    pub speaks_http10: bool,
    pub when_all_down: WhenAllDown,
    /// How long the share of a backend that came back grows. Zero: it gets its share at once.
    pub slow_start: Duration,
    /// How long a backend that gets no new requests keeps its sticky clients and what it has begun.
    pub drain_timeout: Duration,
    /// What becomes of relayed connections and sessions; `Keep` for groups of HTTP.
    pub on_drain: OnDrain,
    /// None: backends count as healthy.
    pub health_check: Option<HealthCheck>,
    pub passive_check: PassiveCheck,
    /// None: clients stick to no backend.
    pub sticky: Option<Sticky>,
    /// None: by command only, with what is usual.
    pub maintenance: Option<Maintenance>,
    pub protection: Protection,
    /// At least one.
    pub backends: Vec<Backend>,
    /// Where the name stands.
    pub location: Location,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    Http,
    Https,
    /// HTTP/2 in cleartext, which the backend is known to speak (RFC 9113 §3.3).
    H2c,
    /// HTTP/2, in cleartext or over TLS.
    Grpc,
    /// Bytes of connections, whatever they mean.
    Tcp,
    /// The same within TLS.
    Tls,
    /// Datagrams, whatever they mean.
    Udp,
}

impl GroupProtocol {
    /// As the configuration says it.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupProtocol::Http => "http",
            GroupProtocol::Https => "https",
            GroupProtocol::H2c => "h2c",
            GroupProtocol::Grpc => "grpc",
            GroupProtocol::Tcp => "tcp",
            GroupProtocol::Tls => "tls",
            GroupProtocol::Udp => "udp",
        }
    }

    /// Whether listeners that speak HTTP can send requests there.
    pub fn is_http(self) -> bool {
        !matches!(self, GroupProtocol::Tcp | GroupProtocol::Tls | GroupProtocol::Udp)
    }
}

/// Where connections and datagrams to backends come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceAddress {
    Ip(IpAddr),
    /// The name of a network interface, 1 to 15 visible ASCII characters.
    Interface(String),
}

impl fmt::Display for SourceAddress {
    /// As an operator writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceAddress::Ip(address) => address.fmt(formatter),
            SourceAddress::Interface(name) => formatter.write_str(name),
        }
    }
}

/// What becomes of relayed connections and sessions whose backend is taken out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrain {
    /// They have `drain_timeout`; those of a backend that fails go on.
    Keep,
    /// They end at once, those of a backend that fails while others serve, too.
    Reset,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GroupTls {
    pub verify: Verify,
    /// Lower case. None: the host that the request asks for.
    pub sni: Option<String>,
    /// Index in [`crate::config::Config::certificates`]: what Ringway shows to backends.
    pub client_certificate: Option<usize>,
}

/// Whether the certificate of a backend is verified, and against what.
#[derive(Clone, Debug, PartialEq)]
pub enum Verify {
    Off,
    /// Index in [`crate::config::Config::authorities`].
    Ca(usize),
    /// The roots that the operating system trusts.
    System,
}

/// How requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait, over all workers; 0: none.
    pub size: u32,
    pub timeout: Duration,
}

impl Queue {
    /// Who finds every backend full is refused at once.
    pub const NONE: Queue = Queue { size: 0, timeout: Duration::from_secs(5) };
}

/// How backends are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub protocol: CheckProtocol,
    /// What a new backend counts as until its first probe.
    pub initial: InitialState,
    pub interval: Duration,
    /// How long one probe may take. It may be longer than the interval: the next probe begins when this one has ended.
    pub timeout: Duration,
    /// Successes in a row after which an unhealthy backend is healthy, 1..=10.
    pub healthy_threshold: u32,
    /// Failures in a row after which a healthy backend is unhealthy, 1..=10.
    pub unhealthy_threshold: u32,
    pub method: CheckMethod,
    /// Begins with a slash; visible ASCII.
    pub path: String,
    /// None: the address of the backend.
    pub host: Option<String>,
    /// 0: the port of the backend.
    pub port: u16,
    /// Statuses that count as a success, with grpc those of gRPC. At least one range.
    pub expect: Vec<RangeInclusive<u16>>,
    /// What a datagram of a udp check carries; it may be empty.
    pub payload: Vec<u8>,
    /// What its answer has to contain; not empty. None: silence is a success, too.
    pub expect_payload: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialState {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckProtocol {
    Http,
    /// HTTP over TLS, as `[server_group.tls]` says if there is such a table, else without verification.
    Https,
    /// A connection that comes about.
    Tcp,
    /// A call of gRPC, over TLS where the group speaks TLS.
    Grpc,
    /// A datagram, and the answer if one is expected.
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckMethod {
    Head,
    Get,
}

/// When real traffic shows that a backend fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveCheck {
    /// 0: off.
    pub consecutive_failures: u32,
    /// Doubled at each return, up to five minutes.
    pub ejection_time: Duration,
}

/// How a client stays with its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    pub mode: StickyMode,
    /// The name of the cookie; a token of RFC 6265. Not used by source_ip.
    pub cookie: String,
    /// Since the backend was chosen (insert), or since the last request (app_cookie, source_ip). Not used
    /// by rewrite, where the application decides.
    pub timeout: Duration,
    /// The attributes of the cookie that insert sets.
    pub attributes: CookieAttributes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    pub address: BackendAddress,
    /// Without it, it is as good as removed.
    pub enabled: bool,
    /// 0..=100; 0: no new requests.
    pub weight: u8,
    pub role: Role,
    /// 0: unlimited.
    pub max_connections: u32,
    /// Where the address stands.
    pub location: Location,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Active,
    /// Serves only while no active backend is healthy.
    Standby,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackendAddress {
    /// Port 0 stands for the port that the client came to.
    Ip(SocketAddr),
    /// To be resolved when the configuration is built.
    Name {
        host: String,
        /// As with an IP address.
        port: u16,
    },
    Unix(PathBuf),
}

impl BackendAddress {
    /// Whether it is connected to at the port that the client came to.
    pub fn is_at_any_port(&self) -> bool {
        match self {
            BackendAddress::Ip(address) => address.port() == 0,
            BackendAddress::Name { port, .. } => *port == 0,
            BackendAddress::Unix(_) => false,
        }
    }
}

impl fmt::Display for BackendAddress {
    /// As an operator writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendAddress::Ip(SocketAddr::V6(address)) if self.is_at_any_port() => {
                write!(formatter, "[{}]", address.ip())
            }
            BackendAddress::Ip(address) if self.is_at_any_port() => address.ip().fmt(formatter),
            BackendAddress::Name { host, .. } if self.is_at_any_port() => formatter.write_str(host),
            BackendAddress::Ip(address) => write!(formatter, "{address}"),
            BackendAddress::Name { host, port } => write!(formatter, "{host}:{port}"),
            BackendAddress::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}
