//! Why nothing is served any more, in words for the operator.

use std::fmt;
use std::io;

use crate::control::active_config::THREAD_CURE;
use crate::telemetry::log_output::Sink;

/// Why serving could not begin, or ended by itself.
#[derive(Debug)]
pub enum RuntimeError {
    AccessLog {
        sink: Sink,
        error: io::Error,
    },
    /// No driver could be set up; the text names the fix.
    Driver(String),
    System(io::Error),
    /// There is no thread for what is named here.
    Thread {
        of: &'static str,
        error: io::Error,
    },
    /// A worker ended by a panic, which has been printed.
    WorkerDied {
        index: usize,
    },
    /// The process before took back what it handed over, for this reason.
    HandOver(String),
    /// The health checker ended by a panic, which has been printed.
    HealthCheckerDied,
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeError::AccessLog { sink: Sink::File(path), error } => {
                write!(out, "cannot open the access log {}: {error}", path.display())
            }
            RuntimeError::AccessLog { error, .. } => write!(out, "cannot write the access log: {error}"),
            RuntimeError::Driver(text) => out.write_str(text),
            RuntimeError::System(error) => write!(out, "the system refused what a worker needs: {error}"),
            RuntimeError::Thread { of, error } => {
                write!(out, "cannot start the thread of {of}: {error}; {THREAD_CURE}")
            }
            RuntimeError::WorkerDied { index } => write!(out, "worker {index} died, see the panic above"),
            RuntimeError::HandOver(reason) => {
                write!(out, "the process before serves on, this one ends: {reason}")
            }
            RuntimeError::HealthCheckerDied => write!(out, "the health checker died, see the panic above"),
        }
    }
}
