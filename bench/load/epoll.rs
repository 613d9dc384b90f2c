//! One epoll instance with level-triggered interests.
//!
//! Level triggering needs no read until `EAGAIN`: a short read means that the socket is empty, so a request costs
//! one `epoll_wait`, one `read` and one `write`. That is what a careful epoll program pays at least.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What a descriptor waits for. With neither, only errors and a full hang-up are reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest {
    pub read: bool,
    pub write: bool,
}

impl Interest {
    pub const READ: Interest = Interest { read: true, write: false };
    pub const WRITE: Interest = Interest { read: false, write: true };

    fn bits(self) -> u32 {
        let read = if self.read { libc::EPOLLIN } else { 0 };
        let write = if self.write { libc::EPOLLOUT } else { 0 };
        (read | write) as u32
    }
}

/// A descriptor that is ready. An error or a hang-up shows as both readable and writable: the next call finds it.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub fd: RawFd,
    pub readable: bool,
    pub writable: bool,
}

pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// Events taken from the kernel by one wait.
const EVENTS_PER_WAIT: usize = 512;

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: epoll_create1 takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_WAIT] })
    }

    pub fn add(&self, fd: RawFd, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest)
    }

    pub fn change(&self, fd: RawFd, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest)
    }

    /// Waits, at most for `bound` when there is one, and puts what is ready into `ready`.
    pub fn wait(&mut self, bound: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let count = match bound {
            None => self.wait_for_long(),
            Some(bound) => self.wait_for(bound),
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        let broken = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        ready.extend(self.events.iter().take(count as usize).map(|event| {
            let (bits, key) = (event.events, event.u64);
            Ready {
                fd: key as RawFd,
                readable: bits & (libc::EPOLLIN as u32 | broken) != 0,
                writable: bits & (libc::EPOLLOUT as u32 | broken) != 0,
            }
        }));
        Ok(())
    }

    fn wait_for_long(&mut self) -> i64 {
        // SAFETY: the pointer and the length describe `self.events`, which outlives the call.
        let count = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), EVENTS_PER_WAIT as i32, -1)
        };
        i64::from(count)
    }

    /// Unlike `epoll_wait` this takes nanoseconds, which a schedule of requests needs.
    fn wait_for(&mut self, bound: Duration) -> i64 {
        let timeout = libc::timespec {
            tv_sec: bound.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(bound.subsec_nanos()),
        };
        // SAFETY: the pointers describe `self.events` and `timeout`, which outlive the call; no signal mask is given.
        unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS_PER_WAIT as i32,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0,
            )
        }
    }

    fn control(&self, operation: i32, fd: RawFd, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: fd as u64 };
        // SAFETY: `event` is a valid epoll_event for the time of the call.
        let result = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
