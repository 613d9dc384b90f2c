//! What the operating system lets this process have.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Descriptors kept back for the process itself: listeners, rings, logs, files being read.
pub const OWN_DESCRIPTORS: u64 = 128;

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

/// How many descriptors a process may have, after it has raised the limit.
pub fn most_descriptors() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call.
    (unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0).then_some(limit.rlim_max)
}

/// Whether something keeps the clock of this host right; None: it does not say.
pub fn is_clock_synchronised() -> Option<bool> {
    // SAFETY: all-zero bytes are a valid `timex`, which asks for nothing to be changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is valid for the call.
    let outcome = unsafe { libc::adjtimex(&raw mut state) };
    (outcome >= 0).then_some(outcome != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0)
}

/// How much less than a worker the calling thread is to get of a CPU that both want.
const NICENESS: i32 = 10;

/// Lets workers go first where they share a CPU with the calling thread. Failure leaves it as it was.
pub fn give_way() {
    // SAFETY: the call takes no pointers; 0 stands for the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// The same for all threads of the process.
pub fn give_way_as_a_whole() {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in threads.filter_map(|thread| thread.file_name().to_str()?.parse::<libc::id_t>().ok()) {
        // SAFETY: the call takes no pointers. A thread that has ended meanwhile is none.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, REPLACED_NICENESS) };
    }
}

/// Of a process whose successor serves everything new.
const REPLACED_NICENESS: i32 = 5;

/// How many connections of clients a descriptor limit allows.
///
/// A quarter is reserved for connections to backends: they are reused, so they need far fewer than
/// the clients. When all clients are active at once, the rest of them gets 503 `no_descriptor`.
pub fn connections_within(descriptors: u64) -> usize {
    let for_connections = descriptors.saturating_sub(OWN_DESCRIPTORS);
    usize::try_from(for_connections - for_connections / 4).unwrap_or(usize::MAX).max(1)
}

/// What is left of these connections of clients where so many sockets listen. Of the descriptors that are kept back, half
/// are for such sockets; those beyond take the places of clients.
pub fn connections_beside(connections: usize, listening: usize) -> usize {
    match listening.saturating_sub(OWN_DESCRIPTORS as usize / 2) {
        0 => connections,
        beyond => connections.saturating_sub(beyond).max(1),
    }
}

/// Whether this thread may write to a file, or make files in a folder.
pub fn may_write(path: &Path) -> bool {
    may(path, libc::W_OK)
}

/// Whether this thread may read a file; also where there is none.
pub fn may_read(path: &Path) -> bool {
    may(path, libc::R_OK) || io::Error::last_os_error().kind() != io::ErrorKind::PermissionDenied
}

fn may(path: &Path, mode: libc::c_int) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: `path` ends with a zero and is valid for the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) == 0 }
}

/// The name of this host, for `SLB-ID`.
pub fn host_name() -> String {
    let name = system_name().map(|system| text_of(&system.nodename)).unwrap_or_default();
    if name.is_empty() { "ringway".to_owned() } else { name }
}

/// The version of the kernel; empty if it does not say.
pub fn kernel_release() -> String {
    system_name().map(|system| text_of(&system.release)).unwrap_or_default()
}

/// Asks the kernel itself: with ProcSubset=pid of systemd, there is no /proc/sys.
fn system_name() -> Option<libc::utsname> {
    // SAFETY: all-zero bytes are a valid `utsname` of empty texts.
    let mut system: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `system` is valid for the call.
    (unsafe { libc::uname(&raw mut system) } == 0).then_some(system)
}

/// A text of the kernel, up to its zero.
fn text_of(text: &[libc::c_char]) -> String {
    let bytes: Vec<u8> =
        text.iter().map(|byte| byte.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_connections_are_always_allowed() {
        assert_eq!(connections_within(20_000), 14_904);
        assert_eq!(connections_within(1), 1);
        let beside = [0, 64, 65, 1_064, 20_000].map(|listening| connections_beside(14_904, listening));
        assert_eq!(beside, [14_904, 14_904, 14_903, 13_904, 1]);
    }

    #[test]
    fn the_kernel_says_what_proc_says() {
        let said =
            |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        assert_eq!(host_name(), said("hostname").trim());
        assert_eq!(kernel_release(), said("osrelease").trim());
    }
}
