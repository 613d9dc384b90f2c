//! What the operating system lets this process have.

use std::ffi::CStr;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

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

/// Whether this process may write to a file, or make files in a folder.
pub fn may_write(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: `path` ends with a zero and is valid for the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, libc::AT_EACCESS) == 0 }
}

/// A user of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    id: libc::uid_t,
    group: libc::gid_t,
    name: CString,
}

impl User {
    /// None: there is none of this name.
    pub fn of_name(name: &str) -> Option<User> {
        let name = CString::new(name).ok()?;
        look_up(|record, buffer, found| {
            // SAFETY: all pointers are valid for the call, and the length is the buffer's.
            unsafe {
                libc::getpwnam_r(name.as_ptr(), record, buffer.as_mut_ptr().cast(), buffer.len(), found)
            }
        })
    }

    /// Whether this process runs as this user.
    pub fn is_own(&self) -> bool {
        // SAFETY: the call takes nothing and cannot fail.
        self.id == unsafe { libc::geteuid() }
    }

    /// Lets a command run as this user, with the groups of the user and no others. Only root may.
    pub fn run(&self, command: &mut Command) {
        let (user, groups) = (self.clone(), self.groups());
        let become_user = move || {
            // SAFETY: `groups` is valid for the call, which only reads it.
            let is_done = unsafe {
                libc::setgroups(groups.len(), groups.as_ptr()) == 0
                    && libc::setgid(user.group) == 0
                    && libc::setuid(user.id) == 0
            };
            if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: between fork and exec, only system calls are made.
        unsafe { command.pre_exec(become_user) };
    }

    fn groups(&self) -> Vec<libc::gid_t> {
        let mut count: libc::c_int = MAX_GROUPS;
        let mut groups = vec![self.group; MAX_GROUPS as usize];
        // SAFETY: `groups` has room for `count` groups, and the name ends with a zero.
        let result = unsafe {
            libc::getgrouplist(self.name.as_ptr(), self.group, groups.as_mut_ptr(), &raw mut count)
        };
        groups.truncate(if result < 0 { 1 } else { usize::try_from(count).unwrap_or(1) });
        groups
    }
}

/// Groups that a user may be in; the kernel allows more, but nobody has so many.
const MAX_GROUPS: libc::c_int = 1_024;

/// The name of the user that this process runs as, or its number.
pub fn user_name() -> String {
    // SAFETY: the call takes nothing and cannot fail.
    let id = unsafe { libc::geteuid() };
    let user = look_up(|record, buffer, found| {
        // SAFETY: all pointers are valid for the call, and the length is the buffer's.
        unsafe { libc::getpwuid_r(id, record, buffer.as_mut_ptr().cast(), buffer.len(), found) }
    });
    user.map_or_else(|| id.to_string(), |user| user.name.to_string_lossy().into_owned())
}

/// Asks the database of users.
fn look_up(
    ask: impl FnOnce(*mut libc::passwd, &mut [u8], *mut *mut libc::passwd) -> libc::c_int,
) -> Option<User> {
    /// For the texts of one user.
    const ROOM: usize = 16 * 1024;
    let mut buffer = vec![0_u8; ROOM];
    // SAFETY: all-zero bytes are a valid `passwd`, whose pointers are null.
    let mut record: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let failure = ask(&raw mut record, &mut buffer, &raw mut found);
    if failure != 0 || found.is_null() {
        return None;
    }
    // SAFETY: the call has filled the record in, and its name lies in the buffer and ends with a zero.
    let name = unsafe { CStr::from_ptr(record.pw_name) }.to_owned();
    Some(User { id: record.pw_uid, group: record.pw_gid, name })
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
    }

    #[test]
    fn the_kernel_says_what_proc_says() {
        let said =
            |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        assert_eq!(host_name(), said("hostname").trim());
        assert_eq!(kernel_release(), said("osrelease").trim());
    }
}
