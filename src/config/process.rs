//! What the whole process is told: `[process]`, `[admin]`, `[metrics]` and `[[access_log]]`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::named_file::NamedFile;
use crate::config::report::Location;
use crate::policy::overrides::Sample;
use crate::telemetry::log_template::LogTemplate;

#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    pub workers: Workers,
    /// Whether each worker is pinned to its CPU.
    pub pin: bool,
    /// Whether a connection is handed to the worker with the fewest.
    pub balance_connections: bool,
    /// Submission entries per worker's ring, 256..=32768, which is the kernel's limit. It rounds up to a power
    /// of two.
    pub ring_entries: u32,
    pub io_driver: IoDriver,
    /// How long new connections are still taken once a graceful stop begins.
    pub shutdown_delay: Duration,
    /// How long a drain may take; zero stops at once.
    pub shutdown_timeout: Duration,
    /// How long a process that was replaced by another one may serve what it still has.
    pub upgrade_drain_timeout: Duration,
    /// Downstream connections of the whole process. 0: what the descriptor limit allows.
    pub max_connections: u32,
    /// Bytes of requests that all groups together may hold before their backends are chosen.
    pub request_buffer_memory: u64,
    /// What `SLB-ID` says. None: the name of the host. Visible ASCII.
    pub instance_id: Option<String>,
    /// A secret that a fleet shares, for session tickets and sticky cookies. None: random keys.
    pub ticket_seed_file: Option<NamedFile>,
    /// Where the health checker runs.
    pub health_cpu: HealthCpu,
    /// Resolvers for host names of backends. Empty: those of the operating system.
    pub resolvers: Vec<SocketAddr>,
    /// Where what outlives the process is kept. Its location is that of nothing where the default is meant.
    pub state_folder: NamedFile,
    /// Who a process that is started by root becomes. None: it stays root's.
    pub user: Option<(String, Location)>,
    /// The group it acts as then. None: that of the user.
    pub group: Option<(String, Location)>,
    /// Whether the process takes from itself what it does not need: to write elsewhere, and to start programs.
    pub landlock: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCpu {
    /// A CPU that no pinned worker has; where there is none, wherever the system puts it.
    Auto,
    /// 0..=1023.
    Cpu(u16),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Listeners and rules count.
    pub enabled: bool,
    /// Metrics tell the durations of requests by rule and group.
    pub histograms: bool,
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

/// One of the access logs.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Unique among them: what it is called, or its path as it was written.
    pub name: String,
    /// The indices of the listeners that write to it; None: all.
    pub listeners: Option<Vec<usize>>,
    pub destination: LogDestination,
    /// How lines are told to syslog or to the journal.
    pub syslog: SyslogTerms,
    pub format: AccessLogFormat,
    /// What a line of JSON has, by the names of [`crate::config::log_fields`] and in their order.
    pub fields: Vec<&'static str>,
    /// What a line of JSON has beside its fields.
    pub headers: LogHeaders,
    /// Of the requests whose rule does not say it.
    pub sample: Sample,
    /// Of requests that have a line; empty: all.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Where the path stands.
    pub location: Location,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDestination {
    Stdout,
    Stderr,
    File(PathBuf),
    /// A unix socket.
    SyslogUnix(PathBuf),
    /// A name or an address, with its port.
    SyslogUdp(String),
    /// The socket of the journal.
    Journald(PathBuf),
}

/// Headers and cookies by their names, which are tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHeaders {
    pub request: Vec<String>,
    pub cookies: Vec<String>,
    pub response: Vec<String>,
}

/// How lines are told to syslog or to the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogTerms {
    /// 0..=23 (RFC 5424 §6.2.1).
    pub facility: u8,
    /// 0..=7.
    pub severity: u8,
    /// 1 to 48 letters, digits and characters of `-_./`.
    pub app_name: String,
    pub form: SyslogForm,
    /// 480..=65,000.
    pub max_message_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogForm {
    Rfc5424,
    /// As syslog(3) of the C library writes it.
    Local,
}

#[derive(Clone, Debug, PartialEq)]
pub enum AccessLogFormat {
    Json,
    Combined,
    Template(Arc<LogTemplate>),
}
