//! A connected stream socket, TCP or unix.

use std::cell::UnsafeCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use monoio::io::AsyncReadRent;
use monoio::io::AsyncWriteRent;
use monoio::net::UnixStream;
use socket2::SockRef;
use socket2::Socket as RawSocket;
use socket2::TcpKeepalive;

use crate::net::buffer::Buffer;
use crate::net::buffer::Filled;
use crate::net::buffer::Spare;
use crate::net::traffic::Traffic;

/// A connected stream socket of one worker.
///
/// monoio's unix stream is a bare descriptor with `recv` and `send` operations, which serve TCP as
/// well; its TCP stream carries about 100 bytes of remembered addresses besides. One receive and
/// one send may be in flight at the same time. Dropping a receive in flight may lose bytes, so it
/// is done only when the connection is given up.
pub struct Socket {
    stream: UnsafeCell<UnixStream>,
    /// Where what it receives and sends is counted, if anywhere.
    traffic: Option<Arc<Traffic>>,
}

/// The connection broke while sending, after `sent` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError {
    pub sent: usize,
}

/// What waits in the receive queue of an idle socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    Nothing,
    Bytes,
    /// The peer closed or reset the connection.
    End,
}

impl Socket {
    /// Takes over a connected socket. The descriptor's blocking mode must suit the worker's driver;
    /// see [`wants_nonblocking`].
    pub(super) fn adopt(descriptor: OwnedFd) -> io::Result<Socket> {
        let stream = UnixStream::from_std(descriptor.into())?;
        Ok(Socket { stream: UnsafeCell::new(stream), traffic: None })
    }

    /// Counts from now on what it receives and sends there, where this worker alone counts.
    pub fn count_in(&mut self, traffic: Option<Arc<Traffic>>) {
        self.traffic = traffic;
    }

    /// Where that is.
    pub(super) fn traffic(&self) -> Option<Arc<Traffic>> {
        self.traffic.clone()
    }

    pub(super) fn count_received(&self, count: usize) {
        if let Some(traffic) = &self.traffic {
            traffic.received(count);
        }
    }

    pub(super) fn count_sent(&self, count: usize) {
        if let Some(traffic) = &self.traffic {
            traffic.sent(count);
        }
    }

    /// Waits, holding no buffer, until there is something to receive or the connection ended.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.stream().readable(false)
    }

    /// Waits, holding no buffer, until it takes more, or the connection ended.
    pub async fn writable(&self) -> io::Result<()> {
        self.stream().writable(false).await
    }

    /// Lets system calls on it return instead of waiting, as [`crate::net::pipe::Pipe`] needs it.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open as long as `self` is.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.descriptor()) };
        SockRef::from(&descriptor).set_nonblocking(true)
    }

    /// Lets TCP send each piece without waiting for what was sent before to arrive (TCP_NODELAY).
    pub fn send_at_once(&self) {
        // SAFETY: the descriptor is open as long as `self` is.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.descriptor()) };
        // A unix socket has no such option, and needs none.
        drop(SockRef::from(&descriptor).set_tcp_nodelay(true));
    }

    /// Lets TCP find out that the peer has vanished, from the silence on that there is now.
    pub fn keep_alive(&self) {
        // SAFETY: the descriptor is open as long as `self` is.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.descriptor()) };
        // A unix socket has no such option, and needs none.
        drop(keep_alive(&SockRef::from(&descriptor)));
    }

    /// Receives once, behind the filled bytes of `buffer`. Zero bytes mean the peer's end; the
    /// buffer must have room.
    pub async fn receive(&self, buffer: Buffer) -> (io::Result<usize>, Buffer) {
        debug_assert!(buffer.spare() > 0);
        let mut spare = Spare(buffer);
        loop {
            // SAFETY: monoio asks for `&mut` but only clones the descriptor into the operation during
            // this call; no other reference is in use on this thread while the call runs.
            let operation = unsafe { &mut *self.stream.get() }.read(spare);
            let (result, returned) = operation.await;
            if !is_refusal_to_wait(&result) {
                result.iter().for_each(|count| self.count_received(*count));
                return (result, returned.0);
            }
            drop(result);
            spare = returned;
            // Boxed, because it is rare and every connection would be as large. What is wrong shows when it is tried again.
            let _ = Box::pin(self.readable()).await;
        }
    }

    /// Sends the filled bytes of `buffer` and returns them untouched, with what was sent of them if
    /// the connection broke.
    pub async fn send(&self, buffer: Buffer) -> (Result<(), SendError>, Buffer) {
        let mut filled = Filled { buffer, sent: 0 };
        loop {
            let whole = filled.buffer.len();
            if filled.sent == whole {
                return (Ok(()), filled.buffer);
            }
            // SAFETY: as in `receive`.
            let operation = unsafe { &mut *self.stream.get() }.write(filled);
            let (result, returned) = operation.await;
            filled = returned;
            if is_refusal_to_wait(&result) {
                drop(result);
                // As in `receive`.
                let _ = Box::pin(self.writable()).await;
                continue;
            }
            match result {
                Ok(count @ 1..) => {
                    self.count_sent(count);
                    filled.sent += count;
                }
                Ok(0) | Err(_) => return (Err(SendError { sent: filled.sent }), filled.buffer),
            }
        }
    }

    /// Receives what waits already, behind the filled bytes of `buffer`; nothing if nothing waits.
    pub fn receive_now(&self, buffer: &mut Buffer) -> io::Result<Option<usize>> {
        debug_assert!(buffer.spare() > 0);
        // SAFETY: the kernel writes as many bytes as it tells, from the start of the room on.
        let received = unsafe {
            buffer.receive_with(|room| {
                // `room` is valid for its length for the duration of the call, and the descriptor is open as long as
                // `self` is.
                let (start, length) = (room.as_mut_ptr().cast(), room.len());
                let count = libc::recv(self.descriptor(), start, length, libc::MSG_DONTWAIT);
                usize::try_from(count).map_err(|_| io::Error::last_os_error())
            })
        };
        match received {
            Ok(count) => {
                self.count_received(count);
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Throws away what waits already, at most so many bytes and without copying them; nothing if nothing waits. Zero
    /// bytes mean the peer's end. TCP only.
    pub fn discard(&self, most: usize) -> io::Result<Option<usize>> {
        // SAFETY: with MSG_TRUNC, TCP writes nothing to the address that it is given (tcp(7)); other sockets find it
        // invalid. The descriptor is open as long as `self` is.
        let count = unsafe {
            let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
            libc::recv(self.descriptor(), std::ptr::null_mut(), most, flags)
        };
        match usize::try_from(count).map_err(|_| io::Error::last_os_error()) {
            Ok(count) => {
                self.count_received(count);
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends what the kernel takes at once; the count may be zero.
    pub fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: `bytes` is valid for its length for the duration of the call, and the descriptor is
        // open as long as `self` is.
        let sent = unsafe {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::send(self.descriptor(), bytes.as_ptr().cast(), bytes.len(), flags)
        };
        match usize::try_from(sent) {
            Ok(count) => {
                self.count_sent(count);
                Ok(count)
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                error => Err(error),
            },
        }
    }

    /// Looks into the receive queue without taking anything out.
    pub fn pending(&self) -> Pending {
        let mut byte = 0u8;
        // SAFETY: `byte` is valid for one byte for the duration of the call, and the descriptor is
        // open as long as `self` is.
        let received = unsafe {
            let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
            libc::recv(self.descriptor(), (&raw mut byte).cast(), 1, flags)
        };
        match received {
            1.. => Pending::Bytes,
            0 => Pending::End,
            _ if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => Pending::Nothing,
            _ => Pending::End,
        }
    }

    /// Tells the peer that nothing more will be sent; receiving goes on.
    pub fn finish_sending(&self) {
        // SAFETY: the descriptor is open as long as `self` is. Failure means that the peer has
        // gone, which the next operation reports.
        unsafe { libc::shutdown(self.descriptor(), libc::SHUT_WR) };
    }

    /// Lets the close reset the connection, so that the peer does not take it for an orderly end.
    pub fn reset_on_close(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: `linger` is valid for its size, and the descriptor is open as long as `self` is.
        // Failure leaves an orderly end, which is what can still be had then.
        unsafe {
            let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
            let length = size_of::<libc::linger>() as libc::socklen_t;
            libc::setsockopt(self.descriptor(), level, name, (&raw const linger).cast(), length);
        }
    }

    /// Whether something that was sent has not arrived at the peer (SIOCOUTQ of tcp(7)).
    pub fn has_unsent(&self) -> bool {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the kernel writes one number, and the descriptor is open as long as `self` is.
        let result = unsafe { libc::ioctl(self.descriptor(), libc::TIOCOUTQ, &raw mut bytes) };
        result == 0 && bytes > 0
    }

    /// The address of this side; `None` on unix sockets.
    pub fn local_address(&self) -> Option<SocketAddr> {
        // SAFETY: the descriptor is open as long as `self` is.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.descriptor()) };
        SockRef::from(&descriptor).local_addr().ok()?.as_socket()
    }

    /// The smoothed round-trip time that TCP measured, in microseconds; `None` on unix sockets.
    pub fn round_trip_us(&self) -> Option<u32> {
        tcp_info(self.descriptor()).map(|info| info.tcpi_rtt)
    }

    /// Whether the peer has reset the connection, or vanished, and not just ended its side.
    pub fn is_reset(&self) -> bool {
        const TCP_CLOSE: u8 = 7;
        tcp_info(self.descriptor()).is_none_or(|info| info.tcpi_state == TCP_CLOSE)
    }

    /// For how long the peer has taken nothing of what waits to be sent; `None` on unix sockets, where only room in the
    /// queue shows that it takes something.
    ///
    /// A window that stays shut lets no data out, and a peer that vanished acknowledges none, so the longer of both
    /// silences tells. Only meaningful while something waits.
    pub fn send_silence(&self) -> Option<Duration> {
        let info = tcp_info(self.descriptor())?;
        let silence_ms = info.tcpi_last_data_sent.max(info.tcpi_last_ack_recv);
        Some(Duration::from_millis(u64::from(silence_ms)))
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.stream().as_raw_fd()
    }

    fn stream(&self) -> &UnixStream {
        // SAFETY: `&mut` references are made only for the duration of a call in `receive` and
        // `send`, which does not call back into this type.
        unsafe { &*self.stream.get() }
    }
}

/// Whether an operation that should have waited did not; see [`Socket::set_nonblocking`].
fn is_refusal_to_wait(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// After how long a silence TCP asks whether the peer is still there, how long it waits for an answer before it asks
/// again, and how often: a peer that vanished without a word is gone after three minutes. Two minutes lie below the
/// time after which routers on the way forget a silent connection.
const KEEPALIVE_TIME: Duration = Duration::from_secs(120);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

/// Lets TCP find out that a peer has vanished, where nobody would notice by a timeout: in tunnels, in long answers that
/// pause, while a connection of HTTP/2 waits. For TCP sockets only.
pub(super) fn keep_alive(socket: &RawSocket) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Whether sockets must be non-blocking: epoll needs it, while io_uring answers EAGAIN instead of
/// waiting when it is set.
pub(super) fn wants_nonblocking() -> bool {
    monoio::utils::is_legacy()
}

/// What TCP knows of a socket; `None` on unix sockets.
pub(super) fn tcp_info(descriptor: RawFd) -> Option<libc::tcp_info> {
    // SAFETY: all-zero bytes are a valid `tcp_info`.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: both pointers are valid for the call, and `length` is the size of `info`.
    let result = unsafe {
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        libc::getsockopt(descriptor, level, name, (&raw mut info).cast(), &raw mut length)
    };
    (result == 0).then_some(info)
}
