//! Which CPUs there are, and keeping a worker on one of them.

use core_affinity::CoreId;

/// The CPUs that this process may use, in order of their numbers: those of its cpuset that its affinity leaves.
pub(super) fn usable_cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Pins the calling thread; false when the system does not allow it.
pub(super) fn pin_to(cpu: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: cpu })
}

/// The number by which the kernel knows the calling thread.
pub(super) fn own_thread() -> libc::pid_t {
    // SAFETY: the call takes no pointers.
    unsafe { libc::gettid() }
}

/// Whether a thread of this process may run on this CPU and on no other; None: it has ended.
pub(super) fn is_pinned(thread: libc::pid_t, cpu: usize) -> Option<bool> {
    // SAFETY: all-zero bytes are a valid `cpu_set_t`, which is valid for its size during the call.
    let allowed = unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        let result = libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &raw mut allowed);
        (result == 0).then_some(allowed)
    }?;
    // SAFETY: both functions read a set of which `cpu` is a member or lies beyond it, which they check.
    Some(unsafe { libc::CPU_COUNT(&allowed) == 1 && libc::CPU_ISSET(cpu, &allowed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_until_it_may_run_elsewhere() {
        let cpus = usable_cpus();
        let first = cpus[0];
        std::thread::spawn(move || {
            let own = own_thread();
            assert_eq!(is_pinned(own, first), Some(cpus.len() == 1));
            assert!(pin_to(first));
            assert_eq!((is_pinned(own, first), is_pinned(own, first + 1)), (Some(true), Some(false)));
        })
        .join()
        .unwrap();
    }
}
