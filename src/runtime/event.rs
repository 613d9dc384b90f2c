//! What threads report to the one that minds them.

use crate::control::process::signals::SignalAction;
use crate::runtime::error::RuntimeError;

/// What a worker runs on.
pub(super) struct Ready {
    /// A description of its driver.
    pub(super) driver: String,
    pub(super) warning: Option<String>,
}

/// What reaches the minding thread.
pub(super) enum RuntimeEvent {
    Signal(SignalAction),
    /// A worker serves.
    Ready(Ready),
    /// The health checker runs.
    HealthCoreReady,
    Failed(RuntimeError),
    Drained,
}
