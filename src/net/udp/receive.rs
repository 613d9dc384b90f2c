//! Receiving: what waits on a socket, in one system call.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use crate::net::udp::control_messages::ControlMessages;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::udp::kernel_address::KernelAddress;

/// Pieces that can be received at a time; each is one datagram, or several of one sender.
pub const MAX_PIECES: usize = 32;

/// No datagram is longer, and no more of them come as one piece.
const PIECE_BYTES: usize = 65_536;

/// What one worker receives into, whatever the socket. Of its 2 MiB, pages that nothing was received into take no memory.
pub struct ReceiveArena {
    bytes: Vec<u8>,
    addresses: Vec<KernelAddress>,
    controls: Vec<ControlMessages>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    received: usize,
}

/// A datagram that was received, or several of one sender.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedPiece<'a> {
    pub datagrams: Datagrams<'a>,
    /// None: the socket is connected, or the sender has no address of IP.
    pub peer: Option<SocketAddr>,
    /// Where the socket tells: the address that it came to.
    pub local: Option<LocalAddress>,
}

/// What the kernel is to tell beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithAddresses {
    Yes,
    No,
}

impl Default for ReceiveArena {
    fn default() -> ReceiveArena {
        // SAFETY: all-zero bytes are valid for both, whose pointers are set before each use.
        let (vector, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        ReceiveArena {
            // Memory of zeroes comes from the kernel untouched.
            bytes: vec![0; MAX_PIECES * PIECE_BYTES],
            addresses: vec![KernelAddress::empty(); MAX_PIECES],
            controls: vec![ControlMessages::empty(); MAX_PIECES],
            vectors: vec![vector; MAX_PIECES],
            headers: vec![header; MAX_PIECES],
            received: 0,
        }
    }
}

impl ReceiveArena {
    /// Receives what waits on a socket, at most `most` pieces, in the place of what was received before. Fewer than `most`:
    /// nothing more waits.
    pub(super) fn receive(
        &mut self,
        descriptor: RawFd,
        most: usize,
        addresses: WithAddresses,
    ) -> io::Result<usize> {
        self.received = 0;
        let most = most.min(MAX_PIECES);
        self.prepare(most, addresses);
        // SAFETY: the first `most` headers point to memory of this arena, which stays where it is during the call; the
        // descriptor is open as long as its owner, who calls.
        let received = unsafe {
            libc::recvmmsg(
                descriptor,
                self.headers.as_mut_ptr(),
                most as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        match usize::try_from(received) {
            Ok(received) => {
                self.received = received;
                Ok(received)
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                error => Err(error),
            },
        }
    }

    /// Lets the first headers say where there is room: the kernel overwrites the lengths.
    fn prepare(&mut self, most: usize, addresses: WithAddresses) {
        let rooms = self.bytes.chunks_exact_mut(PIECE_BYTES).zip(&mut self.addresses).zip(&mut self.controls);
        let headers = self.vectors.iter_mut().zip(&mut self.headers);
        for (((bytes, address), control), (vector, header)) in rooms.zip(headers).take(most) {
            vector.iov_base = bytes.as_mut_ptr().cast();
            vector.iov_len = bytes.len();
            let message = &mut header.msg_hdr;
            (message.msg_iov, message.msg_iovlen) = (&raw mut *vector, 1);
            (message.msg_name, message.msg_namelen) = match addresses {
                WithAddresses::Yes => ((&raw mut *address).cast(), KernelAddress::ROOM),
                WithAddresses::No => (std::ptr::null_mut(), 0),
            };
            (message.msg_control, message.msg_controllen) = control.room();
            message.msg_flags = 0;
        }
    }

    /// The piece with this index of those that were received last.
    pub fn get(&self, index: usize) -> Option<ReceivedPiece<'_>> {
        if index >= self.received {
            return None;
        }
        let header = self.headers.get(index)?;
        let begin = index * PIECE_BYTES;
        let bytes = self.bytes.get(begin..begin + (header.msg_len as usize).min(PIECE_BYTES))?;
        let control = self.controls.get(index)?.read(header.msg_hdr.msg_controllen);
        let segment = if control.segment == 0 { bytes.len().max(1) } else { control.segment };
        let peer = if header.msg_hdr.msg_namelen == 0 { None } else { self.addresses.get(index)?.read() };
        Some(ReceivedPiece {
            datagrams: Datagrams { bytes, segment, ecn: control.ecn },
            peer,
            local: control.local,
        })
    }
}
