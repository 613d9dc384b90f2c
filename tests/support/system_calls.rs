//! Limits of a process and filters over its system calls, for what cannot be brought about otherwise.

use super::Ringway;
use super::ringway::{folder_with, with_tested_driver};

impl Ringway {
    /// Starts by a program that ends by executing what follows its arguments, such as `taskset -c 0`, and waits until every
    /// listener accepts.
    pub(crate) fn start_under(starter: &[&str], configuration: &str) -> Ringway {
        let mut command = std::process::Command::new(starter[0]);
        command.args(&starter[1..]).arg(env!("CARGO_BIN_EXE_ringway"));
        Ringway::start_by(command, configuration)
    }

    /// The same without waiting.
    pub(crate) fn spawn_under(starter: &[&str], configuration: &str) -> Ringway {
        let (folder, file) = folder_with(&with_tested_driver(configuration));
        let mut command = std::process::Command::new(starter[0]);
        command.args(&starter[1..]).arg(env!("CARGO_BIN_EXE_ringway")).arg("run").arg("-c").arg(file);
        Ringway::run(folder, command)
    }

    /// The thread of the worker with this number.
    pub(crate) fn worker_thread(&self, worker: usize) -> i32 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
        let name = format!("ringway-{worker}");
        let is_named = |path: &std::path::Path| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|found| found.trim_end() == name)
        };
        let mut paths = threads.flatten().map(|thread| thread.path());
        let found = paths.find(|path| is_named(path)).expect("the worker has a thread");
        found.file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok()).expect("a number")
    }

    /// Starts without waiting, in a process whose rings cannot be restricted.
    pub(crate) fn spawn_without_ring_restrictions(configuration: &str) -> Ringway {
        Ringway::spawn_filtered(configuration, || {
            forbid(&forbidden_call(libc::SYS_io_uring_register, libc::EINVAL))
        })
    }

    /// Starts without waiting, in a process that may not set up an io_uring, as many containers' may not.
    pub(crate) fn spawn_without_io_uring(configuration: &str) -> Ringway {
        Ringway::spawn_filtered(configuration, || {
            forbid(&forbidden_call(libc::SYS_io_uring_setup, libc::EPERM))
        })
    }

    /// Starts without waiting, in a process that may have no further thread.
    pub(crate) fn spawn_without_threads(configuration: &str) -> Ringway {
        Ringway::spawn_filtered(configuration, || forbid(&forbidden_call(libc::SYS_clone3, libc::EAGAIN)))
    }

    /// Starts without waiting, in a process that may lock so many bytes of memory and has no privilege to
    /// lock more.
    pub(crate) fn spawn_with_locked_memory(configuration: &str, bytes: u64) -> Ringway {
        Ringway::spawn_filtered(configuration, move || limit_locked_memory(bytes))
    }
}

const CALL_NUMBER: u32 = 0;
/// The lower half of the second argument of a system call.
const SECOND_ARGUMENT: u32 = 24;

fn instruction(code: u32, jump_true: u8, jump_false: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k }
}

/// Fails one system call with this error.
pub(crate) fn forbidden_call(call: libc::c_long, error: i32) -> [libc::sock_filter; 4] {
    [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, CALL_NUMBER),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | error as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// Fails the creation of datagram sockets with EACCES.
pub(crate) fn forbidden_datagrams() -> [libc::sock_filter; 7] {
    const TYPE: u32 = 0xf;
    [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, CALL_NUMBER),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 4, libc::SYS_socket as u32),
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, SECOND_ARGUMENT),
        instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, TYPE),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SOCK_DGRAM as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EACCES as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// Puts a filter over the system calls of the calling process and of what it executes.
pub(crate) fn forbid(filter: &[libc::sock_filter]) -> std::io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `program` and the filter that it points to are valid for the calls, which only read them.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A thread of a child that stands still until this is dropped, which is to be done by the thread that made it.
pub(crate) struct StoppedThread(libc::pid_t);

impl StoppedThread {
    pub(crate) fn of(thread: i32) -> StoppedThread {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: these requests read no memory; the status is valid for the call.
        let is_stopped = unsafe {
            let mut status = 0;
            libc::ptrace(libc::PTRACE_SEIZE, thread, nothing, nothing) == 0
                && libc::ptrace(libc::PTRACE_INTERRUPT, thread, nothing, nothing) == 0
                && libc::waitpid(thread, &raw mut status, libc::__WALL) == thread
        };
        assert!(is_stopped, "thread {thread} cannot be stopped: {}", std::io::Error::last_os_error());
        StoppedThread(thread)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above. A thread that has ended needs no more.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, nothing, nothing) };
    }
}

/// Limits the memory that the calling process, and what it executes, may lock.
pub(crate) fn limit_locked_memory(bytes: u64) -> std::io::Result<()> {
    const CAP_IPC_LOCK: libc::c_ulong = 14;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: `limit` is valid for the call.
    let result = unsafe {
        // Fails without privileges, and then there is nothing to drop.
        libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0);
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
