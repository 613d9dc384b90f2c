//! Which CPUs there are, and keeping a worker on one of them.

use core_affinity::CoreId;

/// The CPUs that this process may use, in order of their numbers.
pub fn usable_cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Pins the calling thread; false when the system does not allow it.
pub(super) fn pin_to(cpu: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: cpu })
}
