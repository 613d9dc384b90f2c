//! Which of many sockets have something to receive.
//!
//! A poll operation for each of thousands of sockets would be made anew after each datagram, and kept in the kernel and in
//! the driver meanwhile. So the sockets of a worker stand in one set of epoll, which tells of changes alone, and the
//! driver polls the set: it becomes readable when any of them does.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use monoio::net::UnixStream;

use crate::net::udp::connected::ConnectedUdp;

/// Sockets that are told of at a time.
const MAX_EVENTS: usize = 64;

/// The connected sockets of one worker.
pub struct ReadySet {
    epoll: UnixStream,
}

/// Those that became ready.
pub struct ReadyEvents {
    events: [libc::epoll_event; MAX_EVENTS],
    count: usize,
}

impl Default for ReadyEvents {
    fn default() -> ReadyEvents {
        ReadyEvents { events: [libc::epoll_event { events: 0, u64: 0 }; MAX_EVENTS], count: 0 }
    }
}

impl ReadyEvents {
    /// What the ready ones were added with.
    pub fn tokens(&self) -> impl Iterator<Item = u64> {
        self.events.iter().take(self.count).map(|event| event.u64)
    }

    /// Whether there may be more.
    pub fn is_full(&self) -> bool {
        self.count == MAX_EVENTS
    }
}

impl ReadySet {
    /// To be called on the worker's thread.
    pub fn new() -> io::Result<ReadySet> {
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just returned this descriptor, and nobody else has it.
        let epoll = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(ReadySet { epoll: UnixStream::from_std(StdUnixStream::from(epoll))? })
    }

    /// Tells from now on when the socket becomes ready: once for all that waits, so that it has to be received until
    /// nothing waits. Closing the socket takes it out.
    pub fn add(&self, socket: &ConnectedUdp, token: u64) -> io::Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` is valid for the call, and both descriptors are open.
        let result = unsafe {
            let (epoll, socket) = (self.epoll.as_raw_fd(), socket.descriptor());
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket, &raw mut event)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Tells no more of a socket that stays open, here or in another process.
    pub fn remove(&self, socket: &ConnectedUdp) {
        // SAFETY: no event is taken, and both descriptors are open.
        let result = unsafe {
            let (epoll, socket) = (self.epoll.as_raw_fd(), socket.descriptor());
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, socket, std::ptr::null_mut())
        };
        debug_assert_eq!(result, 0, "it was added");
    }

    /// Waits until any is ready.
    pub async fn ready(&self) -> io::Result<()> {
        self.epoll.readable(false).await
    }

    /// Takes out which ones are, at most as many as there is room for.
    pub fn take(&self, ready: &mut ReadyEvents) {
        // SAFETY: the events are valid for their number during the call, which does not wait.
        let count = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), ready.events.as_mut_ptr(), MAX_EVENTS as i32, 0)
        };
        // Nothing can fail but by a signal, and then the next turn finds them.
        ready.count = usize::try_from(count).unwrap_or(0);
    }
}
