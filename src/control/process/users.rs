//! Users of this host, and becoming one of them.
//!
//! The calls of the C library that change who a process is do so for all its threads (nptl(7)); the kernel itself knows only
//! threads. Capabilities and what goes with them are of a thread, and handed on to those it starts.

use std::ffi::CStr;
use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

/// A user of this host, with the group that it acts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    id: libc::uid_t,
    group: libc::gid_t,
    name: CString,
    kept: Privileges,
}

/// What a process keeps of root's privileges when it becomes a user, as far as it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// To bind ports below 1024 (CAP_NET_BIND_SERVICE).
    LowPorts,
    /// And to send from addresses that are not of this host (CAP_NET_RAW).
    LowPortsAndForeignAddresses,
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

    /// The same user, acting as another group than its own. None: there is no group of this name.
    pub fn with_group(self, name: &str) -> Option<User> {
        Some(User { group: group_of_name(name)?, ..self })
    }

    /// The same user, whose process keeps these privileges.
    pub fn keeping(self, kept: Privileges) -> User {
        User { kept, ..self }
    }

    /// Whether this process runs as this user.
    pub fn is_own(&self) -> bool {
        self.id == own_id()
    }

    pub fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// Gives a file or folder to this user. Only root may.
    ///
    /// # Errors
    /// What the system says.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.id), Some(self.group))
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

    /// Does something with the permissions of this user, on a thread of its own: no other becomes the user. Only root may.
    ///
    /// # Errors
    /// The system grants no thread, or does not let it become the user.
    pub fn act<T: Send>(&self, body: impl FnOnce() -> T + Send) -> io::Result<T> {
        let groups = self.groups();
        thread::scope(|scope| {
            let body = || {
                self.become_alone(&groups)?;
                Ok(body())
            };
            let acting = thread::Builder::new().spawn_scoped(scope, body)?;
            acting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn become_alone(&self, groups: &[libc::gid_t]) -> io::Result<()> {
        // SAFETY: `groups` is valid for the call, which only reads it; the others take no pointers. The kernel changes the
        // calling thread alone.
        let is_done = unsafe {
            libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) == 0
                && libc::syscall(libc::SYS_setresgid, self.group, self.group, self.group) == 0
                && libc::syscall(libc::SYS_setresuid, self.id, self.id, self.id) == 0
        };
        if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// From now on no program that this process starts gains privileges, and none but those that the user keeps comes back
    /// once it is given away. To be called while there is only one thread.
    ///
    /// # Errors
    /// What the system says.
    pub fn gain_nothing_again(&self) -> io::Result<()> {
        if control(libc::PR_SET_NO_NEW_PRIVS, [1, 0]) != 0 {
            return Err(io::Error::last_os_error());
        }
        capabilities::bound_to(self.kept)
    }

    /// All threads of this process become the user, for good. The calling thread keeps the privileges that the user is to
    /// keep, as far as it has them, and hands them on to threads and programs that it starts.
    ///
    /// # Errors
    /// The process is not root's, or a container has taken the privileges of root away.
    pub fn become_for_good(&self) -> io::Result<()> {
        let kept = capabilities::held(self.kept)?;
        // Rings count as locked memory since Linux 6.14, and root alone may raise the limit. Without it there is epoll.
        let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        let groups = self.groups();
        // SAFETY: what is pointed to is valid for the calls, which only read it.
        let is_done = unsafe {
            libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited);
            control(libc::PR_SET_KEEPCAPS, [1, 0]) == 0
                && libc::setgroups(groups.len(), groups.as_ptr()) == 0
                && libc::setresgid(self.group, self.group, self.group) == 0
                && libc::setresuid(self.id, self.id, self.id) == 0
        };
        if !is_done {
            return Err(io::Error::last_os_error());
        }
        capabilities::keep(kept)
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

/// The number of the user that this process acts as.
pub fn own_id() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this process acts as root.
pub fn is_root() -> bool {
    own_id() == 0
}

/// prctl(2), whose arguments are as wide as a pointer, and which refuses those of no meaning unless they are 0.
fn control(option: libc::c_int, [first, second]: [libc::c_ulong; 2]) -> libc::c_int {
    const NOTHING: libc::c_ulong = 0;
    // SAFETY: none of the options in this file takes a pointer.
    unsafe { libc::prctl(option, first, second, NOTHING, NOTHING) }
}

/// The name of the user that this process runs as, or its number.
pub fn user_name() -> String {
    let id = own_id();
    let user = look_up(|record, buffer, found| {
        // SAFETY: all pointers are valid for the call, and the length is the buffer's.
        unsafe { libc::getpwuid_r(id, record, buffer.as_mut_ptr().cast(), buffer.len(), found) }
    });
    user.map_or_else(|| id.to_string(), |user| user.name())
}

/// For the texts of one user, or the members of one group.
const ROOM: usize = 64 * 1024;

/// Asks the database of users.
fn look_up(
    ask: impl FnOnce(*mut libc::passwd, &mut [u8], *mut *mut libc::passwd) -> libc::c_int,
) -> Option<User> {
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
    Some(User { id: record.pw_uid, group: record.pw_gid, name, kept: Privileges::LowPorts })
}

fn group_of_name(name: &str) -> Option<libc::gid_t> {
    let name = CString::new(name).ok()?;
    let mut buffer = vec![0_u8; ROOM];
    // SAFETY: all-zero bytes are a valid `group`, whose pointers are null.
    let mut record: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: all pointers are valid for the call, and the length is the buffer's.
    let failure = unsafe {
        libc::getgrnam_r(
            name.as_ptr(),
            &raw mut record,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &raw mut found,
        )
    };
    (failure == 0 && !found.is_null()).then_some(record.gr_gid)
}

/// capabilities(7), of which only two are ever wanted.
mod capabilities {
    use std::io;

    use super::Privileges;
    use super::control;

    const NET_BIND_SERVICE: libc::c_ulong = 10;
    const NET_RAW: libc::c_ulong = 13;

    /// More than the kernel has; it says of each whether it knows it.
    const MAX_CAPABILITIES: libc::c_ulong = 64;

    /// linux/capability.h: `_LINUX_CAPABILITY_VERSION_3`, with two words for each set.
    const VERSION_3: u32 = 0x2008_0522;

    #[repr(C)]
    struct Header {
        version: u32,
        /// 0: the calling thread.
        thread: libc::c_int,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Word {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }

    fn wanted(kept: Privileges) -> &'static [libc::c_ulong] {
        match kept {
            Privileges::LowPorts => &[NET_BIND_SERVICE],
            Privileges::LowPortsAndForeignAddresses => &[NET_BIND_SERVICE, NET_RAW],
        }
    }

    /// Those of them that the calling thread has.
    pub(super) fn held(kept: Privileges) -> io::Result<Vec<libc::c_ulong>> {
        let mut header = Header { version: VERSION_3, thread: 0 };
        let mut words = [Word::default(); 2];
        // SAFETY: both are valid for the call, and there are two words, as the version says.
        let outcome = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        let is_held = |capability: &libc::c_ulong| words[0].permitted & (1 << capability) != 0;
        Ok(wanted(kept).iter().copied().filter(is_held).collect())
    }

    /// Gives up everything of the calling thread but these, which programs that it starts get, too.
    pub(super) fn keep(kept: Vec<libc::c_ulong>) -> io::Result<()> {
        let mut header = Header { version: VERSION_3, thread: 0 };
        let bits = kept.iter().fold(0, |bits, capability| bits | 1 << capability);
        let word = Word { effective: bits, permitted: bits, inheritable: bits };
        let words = [word, Word::default()];
        // SAFETY: both are valid for the call, and there are two words, as the version says.
        let is_done = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) == 0 };
        let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
        let is_handed_on =
            |capability: libc::c_ulong| control(libc::PR_CAP_AMBIENT, [raise, capability]) == 0;
        if is_done && kept.into_iter().all(is_handed_on) { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn bound_to(kept: Privileges) -> io::Result<()> {
        for capability in (0..MAX_CAPABILITIES).filter(|capability| !wanted(kept).contains(capability)) {
            let is_done = control(libc::PR_CAPBSET_READ, [capability, 0]) != 1
                || control(libc::PR_CAPBSET_DROP, [capability, 0]) == 0;
            if !is_done {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        let root = User::of_name("root").unwrap();
        assert_eq!((root.id, root.name()), (0, "root".to_owned()));
        assert_eq!(root.clone().with_group("root").unwrap().group, 0);
        assert_eq!(root.with_group("no-such-group"), None);
        assert_eq!(User::of_name("no-such-user"), None);
        assert_eq!(User::of_name("a\0b"), None);
    }

    #[test]
    fn another_user_acts_on_a_thread_of_its_own() {
        if !is_root() {
            return;
        }
        let nobody = User::of_name("nobody").unwrap();
        let id = || {
            std::fs::metadata("/proc/thread-self").map(|found| std::os::unix::fs::MetadataExt::uid(&found))
        };
        let there = nobody.act(|| std::fs::read("/etc/shadow").map_err(|error| error.kind())).unwrap();
        assert_eq!(there, Err(io::ErrorKind::PermissionDenied));
        assert_eq!((own_id(), id().unwrap()), (0, 0));
    }
}
