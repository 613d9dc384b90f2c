//! A thread of a process that is stopped at its system calls (ptrace(2)), to kill the process at one of them.

use super::Ringway;
use std::io;

/// A traced thread. Its process goes on untraced when this is dropped.
pub(crate) struct CallStops {
    process: i32,
    thread: i32,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The process was killed as it was to make the call.
    Killed,
    /// There were not so many.
    Never,
}

/// What is told of a stop (`struct ptrace_syscall_info`).
#[repr(C)]
#[derive(Default)]
struct CallStop {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    number: u64,
    arguments: [u64; 6],
    more: u64,
}

const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
const IS_ENTRY: u8 = 1;

impl CallStops {
    /// None where the system does not let one process trace another.
    pub(crate) fn of_thread(ringway: &Ringway, name: &str) -> Option<CallStops> {
        let process = ringway.id() as i32;
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
        let is_named = |thread: &i32| {
            let known = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/comm"));
            known.is_ok_and(|known| known.trim_end() == name)
        };
        let mut threads = threads.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let thread = threads.find(is_named)?;
        let options = libc::PTRACE_O_TRACESYSGOOD;
        // SAFETY: seizing takes no pointers; the options are a number.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, 0_usize, options as usize) };
        // SAFETY: as above.
        let is_stopping =
            seized == 0 && unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0_usize, 0_usize) } == 0;
        is_stopping.then_some(CallStops { process, thread })
    }

    /// Kills the process as the thread is to make the call of this number among those that change files, counted from 0.
    /// Gives up when it `is_over`.
    pub(crate) fn kill_at(&self, number: usize, is_over: impl Fn() -> bool) -> Stopped {
        let mut seen = 0;
        loop {
            let Ok(status) = self.wait() else { return Stopped::Killed };
            if !libc::WIFSTOPPED(status) {
                return Stopped::Killed;
            }
            let is_call = libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80;
            if is_call && self.changes_files() {
                if seen == number {
                    // SAFETY: the call takes no pointers; the process is a child of this one that was not waited for.
                    unsafe { libc::kill(self.process, libc::SIGKILL) };
                    // It ends here, too, or this thread would keep it from ending.
                    drop(self.wait());
                    return Stopped::Killed;
                }
                seen += 1;
            }
            // The thread looks at files four times a second, so it does not keep us waiting.
            if is_over() {
                // SAFETY: as above.
                unsafe { libc::ptrace(libc::PTRACE_DETACH, self.thread, 0_usize, 0_usize) };
                return Stopped::Never;
            }
            // SAFETY: as above.
            unsafe { libc::ptrace(libc::PTRACE_SYSCALL, self.thread, 0_usize, 0_usize) };
        }
    }

    fn wait(&self) -> io::Result<i32> {
        let mut status = 0;
        // SAFETY: `status` is valid for the call.
        match unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(status),
        }
    }

    /// Whether the thread is to make a call that may change a file.
    fn changes_files(&self) -> bool {
        let mut stop = CallStop::default();
        let size = size_of::<CallStop>();
        // SAFETY: the kernel writes no more than `size` bytes, of which each value is valid.
        let told = unsafe { libc::ptrace(GET_SYSCALL_INFO, self.thread, size, &raw mut stop) };
        if told <= 0 || stop.op != IS_ENTRY {
            return false;
        }
        match stop.number as libc::c_long {
            libc::SYS_openat => stop.arguments[2] & libc::O_CREAT as u64 != 0,
            libc::SYS_write | libc::SYS_fsync | libc::SYS_fchmod | libc::SYS_fchown | libc::SYS_unlinkat => {
                true
            }
            libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_mkdirat | libc::SYS_fchmodat => true,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename | libc::SYS_unlink | libc::SYS_mkdir | libc::SYS_chmod => true,
            _ => false,
        }
    }
}
