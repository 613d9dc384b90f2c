//! What the runtime is started with.

use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::control::active_config::Channels;
use crate::control::admin::Admin;
use crate::control::process::signals::Noticed;
use crate::control::reload::Command;
use crate::runtime::ring::DriverChoice;
use crate::telemetry::access_log::Format;
use crate::telemetry::log_filter::LogFilter;
use crate::telemetry::log_output::Sink;

/// What the runtime needs beside the snapshot.
pub struct RuntimePlan {
    pub channels: Channels,
    /// Signals that came while everything was prepared. None: nobody noticed any.
    pub signals: Option<Noticed>,
    /// Who keeps current what is in service.
    pub commands: Sender<Command>,
    pub settle: Option<Settle>,
    /// None: no control commands.
    pub admin: Option<Admin>,
    pub workers: usize,
    /// In the order of their counters.
    pub access_logs: Vec<LogPlan>,
    pub pin: bool,
    /// Connections are handed to the worker with the fewest.
    pub balance_connections: bool,
    pub ring_entries: u32,
    pub io_driver: DriverChoice,
    pub shutdown_delay: Duration,
    pub shutdown_timeout: Duration,
    /// Where the health checker is to run. None: where nobody else does, if there is such a CPU.
    pub health_cpu: Option<usize>,
}

/// Called once all workers accept, before anything else gets to know: an error ends the process. What it returns is called
/// when control commands are answered, too.
pub type Settle = Box<dyn FnOnce() -> Result<Box<dyn FnOnce()>, String>>;

/// An access log.
pub struct LogPlan {
    /// Where lines go.
    pub sink: Sink,
    pub format: Format,
    pub filter: LogFilter,
}
