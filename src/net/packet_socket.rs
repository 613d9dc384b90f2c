//! Messages between two processes of one host, with descriptors: a unix socket that keeps packets apart.

use std::io;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::AddressFamily;
use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::ReturnFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::net::sockopt;

/// Descriptors in one packet; the kernel takes 253.
pub const MAX_DESCRIPTORS: usize = 200;

/// Bytes of a packet.
pub const MAX_PACKET_BYTES: usize = 64 << 10;

/// How long the other process may take to read what was sent before.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// One end. Closing it is noticed at the other.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

/// What was received.
#[derive(Debug)]
pub enum ReceivedPacket {
    Packet(Vec<u8>, Vec<OwnedFd>),
    /// Nothing came in time.
    Nothing,
    /// The other end is closed, by its owner or with its process.
    Closed,
}

impl PacketSocket {
    /// Two ends that are connected.
    pub fn pair() -> io::Result<(PacketSocket, PacketSocket)> {
        let flags = SocketFlags::CLOEXEC;
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let [one, other] = [one, other].map(PacketSocket);
        one.bound_sending()?;
        other.bound_sending()?;
        Ok((one, other))
    }

    /// An end that came from elsewhere.
    ///
    /// # Errors
    /// It is no such socket.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<PacketSocket> {
        if sockopt::socket_type(&descriptor)? != SocketType::SEQPACKET {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket of packets"));
        }
        rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
        let socket = PacketSocket(descriptor);
        socket.bound_sending()?;
        Ok(socket)
    }

    /// The end that this process was started with, by its number.
    ///
    /// # Errors
    /// It is no such socket.
    pub fn inherited(number: RawFd) -> io::Result<PacketSocket> {
        // SAFETY: asking what a number stands for is harmless whatever it is.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and whoever started this process has told it the number to be its own.
        PacketSocket::adopt(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// The end for a process that is started next: it stays open there.
    pub fn into_inheritable(self) -> io::Result<OwnedFd> {
        rustix::io::fcntl_setfd(&self.0, rustix::io::FdFlags::empty())?;
        Ok(self.0)
    }

    fn bound_sending(&self) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Send, Some(SEND_TIMEOUT))?)
    }

    /// Sends a packet of at most [`MAX_PACKET_BYTES`] with at most [`MAX_DESCRIPTORS`].
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        send_with(self.0.as_fd(), bytes, descriptors)
    }

    /// The next packet, if one comes in time; with no time, if one is there.
    ///
    /// # Errors
    /// A packet that is too large, or whose descriptors did not all arrive, as where a security policy of the host keeps
    /// them back.
    pub fn receive(&self, patience: Duration) -> io::Result<ReceivedPacket> {
        if patience.is_zero() {
            return receive_with(self.0.as_fd(), RecvFlags::DONTWAIT);
        }
        sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Recv, Some(patience))?;
        receive_with(self.0.as_fd(), RecvFlags::empty())
    }

    /// The other end, inside of packets and of processes that are started.
    pub fn into_descriptor(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends one byte with a descriptor over a stream.
pub fn send_descriptor(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    send_with(stream.as_fd(), b"\n", &[descriptor])
}

/// What [`send_descriptor`] sent; or else the bytes that came first, without a descriptor.
pub fn receive_descriptor(stream: &UnixStream, patience: Duration) -> io::Result<Result<OwnedFd, Vec<u8>>> {
    stream.set_read_timeout(Some(patience))?;
    match receive_with(stream.as_fd(), RecvFlags::empty())? {
        ReceivedPacket::Packet(bytes, mut descriptors) => Ok(descriptors.pop().ok_or(bytes)),
        ReceivedPacket::Nothing => Err(io::ErrorKind::TimedOut.into()),
        ReceivedPacket::Closed => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Whether the other end is a process of the same user, or of root.
pub fn is_own_user(stream: &UnixStream) -> io::Result<bool> {
    let peer = sockopt::socket_peercred(stream)?.uid;
    // SAFETY: the call takes nothing and cannot fail.
    Ok(peer.is_root() || peer.as_raw() == unsafe { libc::geteuid() })
}

/// The user of the process at the other end, when it connected.
pub fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    Ok(sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// Sends bytes with at most [`MAX_DESCRIPTORS`] over a unix socket that is connected.
pub fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let is_too_much = descriptors.len() > MAX_DESCRIPTORS;
    if is_too_much || !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
    {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for a packet"));
    }
    let flags = SendFlags::NOSIGNAL;
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)
    })?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn receive_with(socket: BorrowedFd<'_>, flags: RecvFlags) -> io::Result<ReceivedPacket> {
    let mut bytes = vec![0; MAX_PACKET_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        rustix::net::recvmsg(socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC | flags)
    });
    let received = match received {
        Ok(received) => received,
        Err(rustix::io::Errno::AGAIN) => return Ok(ReceivedPacket::Nothing),
        Err(rustix::io::Errno::CONNRESET) => return Ok(ReceivedPacket::Closed),
        Err(error) => return Err(error.into()),
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not all of a packet has arrived"));
    }
    if received.bytes == 0 && descriptors.is_empty() {
        return Ok(ReceivedPacket::Closed);
    }
    bytes.truncate(received.bytes);
    Ok(ReceivedPacket::Packet(bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::io::Seek;
    use std::io::Write;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[test]
    fn packets_and_descriptors_arrive_as_they_were_sent() {
        let (one, other) = PacketSocket::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        one.send(b"first", &[]).unwrap();
        one.send(b"second", &vec![file.as_fd(); MAX_DESCRIPTORS]).unwrap();
        assert!(matches!(other.receive(SOON).unwrap(), ReceivedPacket::Packet(bytes, none)
            if bytes == b"first" && none.is_empty()));
        let ReceivedPacket::Packet(bytes, mut descriptors) = other.receive(SOON).unwrap() else { panic!() };
        assert_eq!((&bytes[..], descriptors.len()), (&b"second"[..], MAX_DESCRIPTORS));
        let mut text = String::new();
        File::from(descriptors.pop().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert!(matches!(other.receive(SOON).unwrap(), ReceivedPacket::Nothing));
        assert!(one.send(b"third", &vec![file.as_fd(); MAX_DESCRIPTORS + 1]).is_err());
        drop(one);
        assert!(matches!(other.receive(SOON).unwrap(), ReceivedPacket::Closed));
        assert!(other.send(b"late", &[]).is_err());
    }

    #[test]
    fn what_is_no_socket_of_packets_is_refused() {
        let (stream, _other) = UnixStream::pair().unwrap();
        assert!(PacketSocket::adopt(stream.into()).is_err());
        assert!(PacketSocket::adopt(tempfile::tempfile().unwrap().into()).is_err());
    }
}
