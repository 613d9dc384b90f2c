//! What threads report to the one that minds them.

use crate::control::handover::succession::SuccessionEvent;
use crate::control::process::signals::SignalAction;
use crate::runtime::error::RuntimeError;
use crate::runtime::worker_watch::WorkerThread;

/// What a worker runs on.
pub(super) struct Ready {
    /// A description of its driver.
    pub(super) driver: String,
    pub(super) warning: Option<String>,
    pub(super) thread: WorkerThread,
}

/// What reaches the minding thread.
pub(super) enum RuntimeEvent {
    Signal(SignalAction),
    Succession(SuccessionEvent),
    /// A worker serves.
    Ready(Ready),
    /// The health checker runs.
    HealthCoreReady,
    Failed(RuntimeError),
    Drained,
}
