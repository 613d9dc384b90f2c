//! The configuration: text in, [`Config`] out, or every error with its place.
//!
//! [`load`] takes texts, never files. It reads them (`raw`), checks every table (`check`) and leaves
//! nothing to be parsed later: the types here hold values, not words.

mod check;
pub mod cipher_suites;
mod effective;
pub mod log_fields;
mod raw;
mod report;
mod server_group;
#[cfg(test)]
mod tests;
pub mod tls_policies;
mod units;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::policy::early_hints::EarlyHints;
use crate::policy::identity::Fact;

pub use cipher_suites::CipherSuite;
pub use effective::Effective;
pub use effective::Offered;
pub use effective::toml_string;
pub use report::Diagnostic;
pub use report::Location;
pub use report::Report;
pub use report::Severity;
pub use report::Source;
pub use server_group::Backend;
pub use server_group::BackendAddress;
pub use server_group::CheckMethod;
pub use server_group::CheckProtocol;
pub use server_group::GroupProtocol;
pub use server_group::GroupTls;
pub use server_group::HealthCheck;
pub use server_group::InitialState;
pub use server_group::PassiveCheck;
pub use server_group::Role;
pub use server_group::ServerGroup;
pub use server_group::Sticky;
pub use server_group::Verify;

/// What came of loading.
pub struct Loaded {
    /// None when the report has errors.
    pub config: Option<Config>,
    /// Where the control commands get in, if that much can be read.
    pub admin: Admin,
    /// Complete only when there is a `config`.
    pub effective: Effective,
    pub report: Report,
}

/// Reads and checks all sources as one configuration, in the given order.
pub fn load(sources: Vec<Source>) -> Loaded {
    let mut report = Report::new(sources);
    let count = report.sources().len();
    let failures: Vec<_> =
        (0..count).filter_map(|index| Some((index, report.sources()[index].failure()?.to_owned()))).collect();
    for (index, failure) in failures {
        report.error(
            Location::new(index, 0..0),
            failure,
            "name a readable file, or a folder with *.toml files, each once",
        );
    }
    let roots: Vec<_> = (0..count).map(|index| raw::read(index, &mut report)).collect();
    let (config, effective, report) = check::check(&roots, report);
    let admin = config.admin.clone();
    Loaded { config: (!report.has_errors()).then_some(config), admin, effective, report }
}

/// The whole configuration, defaults filled in and references resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub process: Process,
    pub admin: Admin,
    /// None: no access log.
    pub access_log: Option<AccessLog>,
    pub certificates: Vec<Certificate>,
    pub authorities: Vec<Authority>,
    /// At least one.
    pub listeners: Vec<Listener>,
    pub server_groups: Vec<ServerGroup>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    pub workers: Workers,
    /// Whether each worker is pinned to its CPU.
    pub pin: bool,
    /// Submission entries per worker's ring, 256..=32768, which is the kernel's limit. It rounds up to a power
    /// of two.
    pub ring_entries: u32,
    pub io_driver: IoDriver,
    /// How long a drain may take; zero stops at once.
    pub shutdown_timeout: Duration,
    /// Downstream connections of the whole process. 0: what the descriptor limit allows.
    pub max_connections: u32,
    /// What `SLB-ID` says. None: the name of the host. Visible ASCII.
    /// Bytes of requests that all groups together may hold before their backends are chosen.
    pub request_buffer_memory: u64,
    pub instance_id: Option<String>,
    /// A secret that a fleet shares, for session tickets and sticky cookies. None: random keys.
    pub ticket_seed_file: Option<NamedFile>,
    /// Where the health core runs.
    pub health_cpu: HealthCpu,
    /// Whom names of backends are asked for. Empty: whom the operating system asks.
    pub resolvers: Vec<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCpu {
    /// A CPU that no pinned worker has; where there is none, wherever the system puts it.
    Auto,
    /// 0..=1023.
    Cpu(u16),
}

/// The control commands' way in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admin {
    /// A unix socket, absolute or relative to the working folder. None: no control commands.
    pub socket: Option<NamedFile>,
}

/// A file that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedFile {
    /// Absolute, or relative to the working folder.
    pub path: PathBuf,
    pub location: Location,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per CPU this process may use.
    Auto,
    /// 1..=1024.
    Count(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoDriver {
    /// io_uring, or epoll with a warning where io_uring is forbidden.
    Auto,
    IoUring,
    Epoll,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    pub destination: LogDestination,
    pub format: AccessLogFormat,
    /// What a line of JSON has, by the names of [`log_fields`] and in their order.
    pub fields: Vec<&'static str>,
    /// Of the path.
    pub location: Location,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDestination {
    Stdout,
    Stderr,
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    Json,
    Combined,
}

/// A certificate with its key, both to be read from files.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// Unique among certificates.
    pub name: String,
    pub chain: NamedFile,
    pub key: NamedFile,
    /// An OCSP response to staple.
    pub ocsp: Option<NamedFile>,
    /// Of the name.
    pub location: Location,
}

/// A `[[ca]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Authority {
    /// Unique among CAs.
    pub name: String,
    pub bundle: NamedFile,
    pub crl: Vec<NamedFile>,
    /// Of the name.
    pub location: Location,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Unique among listeners.
    pub name: String,
    /// At least one; no two of any listeners overlap.
    pub addresses: Vec<ListenAddress>,
    pub protocol: ListenerProtocol,
    /// There is one exactly when the protocol is https.
    pub tls: Option<ListenerTls>,
    /// Index in [`Config::server_groups`]. None: requests get 404.
    pub default_group: Option<usize>,
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
    /// Requests per connection. 0: unlimited.
    pub keepalive_requests: u32,
    pub max_header_bytes: u64,
    /// 1..=[`crate::http::headers::MAX_FIELDS`].
    pub max_headers: u32,
    pub max_uri_bytes: u64,
    /// 0: unlimited.
    pub max_body_bytes: u64,
    /// 0: unlimited.
    pub max_connections: u32,
    /// 0: unlimited.
    pub connections_per_second: u32,
    pub proxy_protocol: ProxyProtocol,
    /// Who may set X-Forwarded-For. No bits beyond the prefix lengths.
    pub trusted_proxies: Vec<IpNet>,
    /// In lower case: the field in which they name the client. None: `X-Forwarded-For`.
    pub real_ip_header: Option<String>,
    /// Whether responses are compressed for clients that accept it.
    /// The host of requests that name none.
    pub default_host: Option<String>,
    pub early_hints: EarlyHints,
    pub compression: bool,
    pub forwarded: Forwarded,
    pub client_auth: ClientAuth,
    /// Of the name.
    pub location: Location,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerProtocol {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// Indices in [`Config::certificates`], each once. At least one; the first is the default.
    pub certificates: Vec<usize>,
    pub sni_match: SniMatch,
    pub policy: TlsPolicy,
    /// Zero: no tickets.
    pub session_ticket_lifetime: Duration,
    pub handshake_timeout: Duration,
    /// Of the list of certificates.
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

/// What an operator wants to be offered. What can be is decided later.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsPolicy {
    pub name: String,
    /// Whether it is one of [`tls_policies::ALL`].
    pub is_predefined: bool,
    /// At least one, ascending, each once.
    pub versions: Vec<TlsVersion>,
    /// At least one, each once, all valid for one of the versions.
    pub cipher_suites: Vec<&'static CipherSuite>,
    /// Of its own name if it is defined, else where it is named; of the listener if nobody names it.
    pub location: Location,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
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

/// Which headers the request gets that goes upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub x_forwarded_for: ForwardedFor,
    pub x_forwarded_proto: bool,
    pub x_forwarded_port: bool,
    pub x_forwarded_host: bool,
    pub x_forwarded_client_srcport: bool,
    pub x_real_ip: bool,
    pub x_request_id: bool,
    pub slb_id: bool,
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
    /// Indices in [`Config::authorities`], each once. At least one unless the mode is off.
    pub ca: Vec<usize>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedFor {
    /// The peer's address joins the list.
    Append,
    /// The header goes, whoever set it.
    Remove,
    /// The client's header stays as it is.
    Preserve,
}

impl TlsVersion {
    /// As operators write it.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersion::Tls10 => "1.0",
            TlsVersion::Tls11 => "1.1",
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        }
    }
}
