//! Sending: several datagrams of one size in one system call, where the kernel and the interface do that.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use crate::net::udp::control_messages::ControlMessages;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::udp::kernel_address::KernelAddress;

/// How a socket sends.
pub(super) struct Sender {
    is_v6: bool,
    /// Whether the kernel cuts what it gets into datagrams. Interfaces that compute no checksums do not.
    can_segment: Cell<bool>,
}

/// What became of datagrams that were to be sent.
#[derive(Debug)]
pub struct SendOutcome {
    /// How many the kernel took.
    pub sent: usize,
    /// Why it did not take the others, or one of them.
    pub error: Option<SendFailure>,
}

/// Why datagrams are not sent.
#[derive(Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// The queue of the socket or of the interface is full. What did not fit is lost, as it would be in any router.
    Full,
    /// The host at the other end said of what was sent before that nobody receives there. The socket can go on.
    Refused,
    /// A datagram is longer than the way or the protocol allows.
    TooLong,
    /// There is no way to that address, or another error of the system, by its number.
    Other(i32),
}

impl SendFailure {
    pub(super) fn of(error: &io::Error) -> SendFailure {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => SendFailure::Full,
            Some(libc::ECONNREFUSED) => SendFailure::Refused,
            Some(libc::EMSGSIZE) => SendFailure::TooLong,
            other => SendFailure::Other(other.unwrap_or(0)),
        }
    }
}

/// Where datagrams go to, and from where they leave.
#[derive(Clone, Copy, Default)]
pub(super) struct SendPath {
    /// None: the socket is connected.
    pub(super) to: Option<SocketAddr>,
    /// None: as the kernel chooses.
    pub(super) from: Option<LocalAddress>,
}

impl Sender {
    pub(super) fn new(is_v6: bool) -> Sender {
        Sender { is_v6, can_segment: Cell::new(true) }
    }

    pub(super) fn send(&self, descriptor: RawFd, datagrams: &Datagrams<'_>, way: SendPath) -> SendOutcome {
        let count = datagrams.count();
        if count == 1 || self.can_segment.get() {
            match self.send_piece(descriptor, datagrams, way) {
                Ok(()) => return SendOutcome { sent: count, error: None },
                Err(error) if count == 1 => {
                    return SendOutcome { sent: 0, error: Some(SendFailure::of(&error)) };
                }
                // The interface cannot, and will not later.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => self.can_segment.set(false),
                // Together they are too long, or each for itself is longer than the way takes without fragments: they
                // are sent one by one.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EMSGSIZE)) => {}
                Err(error) => return SendOutcome { sent: 0, error: Some(SendFailure::of(&error)) },
            }
        }
        let mut outcome = SendOutcome { sent: 0, error: None };
        for bytes in datagrams.each() {
            let single = Datagrams { ecn: datagrams.ecn, ..Datagrams::single(bytes) };
            match self.send_piece(descriptor, &single, way) {
                Ok(()) => outcome.sent += 1,
                Err(error) => {
                    let failure = SendFailure::of(&error);
                    let is_last = failure != SendFailure::TooLong;
                    outcome.error = Some(failure);
                    if is_last {
                        break;
                    }
                }
            }
        }
        outcome
    }

    /// Sends what leaves in one system call.
    fn send_piece(&self, descriptor: RawFd, datagrams: &Datagrams<'_>, way: SendPath) -> io::Result<()> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let (mut control, control_length) = ControlMessages::of_sent(datagrams, way.from, self.is_v6);
        let bytes = datagrams.bytes;
        if way.to.is_none() && control_length == 0 {
            // SAFETY: `bytes` is valid for its length for the duration of the call, and the descriptor is open as long as
            // its owner, who calls.
            let sent = unsafe { libc::send(descriptor, bytes.as_ptr().cast(), bytes.len(), flags) };
            return if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        }
        let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: all-zero bytes are a valid `msghdr`, one of an empty message.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut vector, 1);
        let mut address = way.to.map(|to| KernelAddress::of(to, self.is_v6));
        if let Some((address, length)) = &mut address {
            (message.msg_name, message.msg_namelen) = ((&raw mut *address).cast(), *length);
        }
        if control_length > 0 {
            (message.msg_control, message.msg_controllen) = (control.room().0, control_length);
        }
        // SAFETY: the message points to values that live for the duration of the call, which writes to none of them; the
        // descriptor is open as long as its owner, who calls.
        let sent = unsafe { libc::sendmsg(descriptor, &raw const message, flags) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
