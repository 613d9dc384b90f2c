//! What the operating system lets this process have.

use std::io;

/// Descriptors kept back for the process itself: listeners, rings, logs, files being read.
const OWN_DESCRIPTORS: u64 = 128;

/// Raises the soft descriptor limit to the hard one and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is valid for the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_max)
}

/// How much less than a worker the calling thread is to get of a CPU that both want.
const NICENESS: i32 = 10;

/// Lets workers go first where they share a CPU with the calling thread. Failure leaves it as it was.
pub fn give_way() {
    // SAFETY: the call takes no pointers; 0 stands for the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// How many connections of clients a descriptor limit allows.
///
/// A quarter is reserved for connections to backends: they are reused, so they need far fewer than
/// the clients. When all clients are active at once, the rest of them gets 503 `no_descriptor`.
pub fn connections_within(descriptors: u64) -> usize {
    let for_connections = descriptors.saturating_sub(OWN_DESCRIPTORS);
    usize::try_from(for_connections - for_connections / 4).unwrap_or(usize::MAX).max(1)
}

/// The name of this host, for `SLB-ID`.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "ringway".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_connections_are_always_allowed() {
        assert_eq!(connections_within(20_000), 14_904);
        assert_eq!(connections_within(1), 1);
    }
}
