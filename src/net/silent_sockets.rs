//! Sockets that have been silent for long, waited for together in an epoll set.
//!
//! An operation of the ring that waits is begun and ended at little cost, but takes some hundred bytes with the task that
//! holds it. A socket in the set takes its descriptor and a key, and a few system calls each time.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use monoio::net::UnixStream;

use crate::net::socket::Socket;
use crate::net::traffic::Traffic;

/// Events that are asked for at a time; more come with the next call.
const EVENTS_PER_CALL: usize = 64;

/// The silent sockets of one worker.
pub struct SilentSockets {
    /// The driver only polls it, so that an epoll set can stand where monoio has a stream.
    epoll: UnixStream,
}

/// A connected socket of which no driver knows.
pub struct SilentSocket {
    descriptor: OwnedFd,
    traffic: Option<Arc<Traffic>>,
}

impl SilentSocket {
    /// The same connection by a descriptor of its own; the socket is to be dropped, whose driver may need its descriptor for a
    /// while yet.
    pub fn of(socket: &Socket) -> io::Result<SilentSocket> {
        // SAFETY: the descriptor is open as long as `socket` is.
        let descriptor = unsafe { BorrowedFd::borrow_raw(socket.descriptor()) };
        Ok(SilentSocket { descriptor: descriptor.try_clone_to_owned()?, traffic: socket.traffic() })
    }

    /// Lets the driver of this worker know of it again.
    pub fn adopt(self) -> io::Result<Socket> {
        let mut socket = Socket::adopt(self.descriptor)?;
        socket.count_in(self.traffic);
        Ok(socket)
    }
}

impl SilentSockets {
    /// To be called on the worker's thread.
    pub fn open() -> io::Result<SilentSockets> {
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just returned this descriptor, and nobody else has it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(SilentSockets { epoll: UnixStream::from_std(StdUnixStream::from(descriptor))? })
    }

    /// Waits for it from now on, until it is removed, or it and what it was made of are closed.
    ///
    /// # Errors
    /// The kernel takes no further one (`fs.epoll.max_user_watches`).
    pub fn add(&self, socket: &SilentSocket, key: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, key)
    }

    /// Waits for it no longer.
    pub fn remove(&self, socket: &SilentSocket) {
        // It fails for one that was not added.
        drop(self.control(libc::EPOLL_CTL_DEL, socket, 0));
    }

    fn control(&self, operation: libc::c_int, socket: &SilentSocket, key: u32) -> io::Result<()> {
        // Whatever goes wrong, nothing is told for ever.
        let events = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLONESHOT) as u32;
        let mut event = libc::epoll_event { events, u64: key.into() };
        let (set, socket) = (self.epoll.as_raw_fd(), socket.descriptor.as_raw_fd());
        // SAFETY: `event` is valid for the call, and both descriptors are open as long as their owners are.
        let result = unsafe { libc::epoll_ctl(set, operation, socket, &raw mut event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until some have something to receive, or their connections ended; puts their keys there. Each is told once, and a
    /// key of several sockets as often as it has some.
    pub async fn wait(&self, keys: &mut Vec<u32>) -> io::Result<()> {
        self.epoll.readable(false).await?;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_CALL];
        // SAFETY: `events` has room for as many as are asked for; a timeout of zero never waits.
        let count = unsafe {
            let (first, most) = (events.as_mut_ptr(), EVENTS_PER_CALL as libc::c_int);
            libc::epoll_wait(self.epoll.as_raw_fd(), first, most, 0)
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        keys.extend(events.iter().take(count).map(|event| event.u64 as u32));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use monoio::LegacyDriver;
    use monoio::RuntimeBuilder;

    use super::*;
    use crate::net::buffer::Buffers;

    fn connected() -> (SilentSocket, StdUnixStream) {
        let (one, other) = StdUnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        (SilentSocket::of(&Socket::adopt(one.into()).unwrap()).unwrap(), other)
    }

    fn run(test: impl Future<Output = ()>) {
        RuntimeBuilder::<LegacyDriver>::new().build().unwrap().block_on(test);
    }

    #[test]
    fn those_are_told_that_have_something_to_receive() {
        run(async {
            let sockets = SilentSockets::open().unwrap();
            let ((first, mut peer), (second, other_peer)) = (connected(), connected());
            sockets.add(&first, 7).unwrap();
            sockets.add(&second, 8).unwrap();
            peer.write_all(b"x").unwrap();
            let mut keys = Vec::new();
            sockets.wait(&mut keys).await.unwrap();
            assert_eq!(keys, [7]);
            sockets.remove(&first);
            drop(other_peer);
            keys.clear();
            sockets.wait(&mut keys).await.unwrap();
            assert_eq!(keys, [8]);
            let socket = first.adopt().unwrap();
            let mut buffer = Buffers::default().small();
            assert_eq!(socket.receive_now(&mut buffer).unwrap(), Some(1));
        });
    }

    #[test]
    fn more_than_are_told_at_a_time_are_all_told() {
        run(async {
            let sockets = SilentSockets::open().unwrap();
            let (ours, theirs): (Vec<_>, Vec<_>) = (0..3 * EVENTS_PER_CALL).map(|_| connected()).unzip();
            ours.iter().zip(0..).for_each(|(socket, key)| sockets.add(socket, key).unwrap());
            drop(theirs);
            let (mut keys, mut told) = (Vec::new(), vec![false; ours.len()]);
            while told.contains(&false) {
                sockets.wait(&mut keys).await.unwrap();
                for key in keys.drain(..) {
                    assert!(!std::mem::replace(&mut told[key as usize], true));
                    sockets.remove(&ours[key as usize]);
                }
            }
        });
    }
}
