//! What probes and the loop work with.

use crate::net::buffer::Buffers;
use crate::net::timer::Timers;
use crate::net::work_budget::WorkBudget;

/// What the loop needs, made on its thread.
pub struct ProbeResources {
    pub timers: Timers,
    pub buffers: Buffers,
    pub budget: WorkBudget,
}
