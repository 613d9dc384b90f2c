//! Datagrams on their way to another process, whose connections they are for: a unix socket that keeps packets apart.

use std::io;
use std::io::IoSlice;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV6;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use monoio::net::UnixStream;
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::RecvFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendFlags;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::net::sockopt;

use crate::net::udp::datagrams::LocalAddress;

/// What the queue asks for: what a few thousand datagrams take.
const QUEUE_BYTES: usize = 4 << 20;

/// No datagram is longer.
const MAX_DATAGRAM_BYTES: usize = 65_536;

/// Before each datagram: what a socket told of it.
const HEADER_BYTES: usize = 1 + 2 * 16 + 2 + 2 * 4;

/// ECN in the two lowest bits; an address of our own is told.
const HAS_LOCAL: u8 = 0x80;

/// The end where datagrams are put in.
#[derive(Debug)]
pub struct HandedSender(OwnedFd);

/// The end where they come out, of one worker.
pub struct HandedReceiver {
    /// The driver only polls it, so that another kind of socket can stand where monoio has a stream.
    stream: UnixStream,
    packet: Vec<u8>,
}

/// A datagram that another process has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandedDatagram<'b> {
    pub bytes: &'b [u8],
    pub peer: SocketAddr,
    pub local: Option<LocalAddress>,
    pub ecn: u8,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    Yes,
    /// The queue is full: it is lost, as in any router.
    Lost,
    /// Nobody is at the other end any more.
    Closed,
}

/// Both ends; the first is for another process.
///
/// # Errors
/// No descriptor is left.
pub fn pair() -> io::Result<(OwnedFd, HandedReceiver)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (sending, receiving) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // Without the privilege, it has what the system gives.
    if sockopt::set_socket_send_buffer_size_force(&sending, QUEUE_BYTES).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(&sending, QUEUE_BYTES);
    }
    let stream = UnixStream::from_std(StdUnixStream::from(receiving))?;
    Ok((sending, HandedReceiver { stream, packet: vec![0; HEADER_BYTES + MAX_DATAGRAM_BYTES] }))
}

impl HandedSender {
    /// An end that came from another process.
    ///
    /// # Errors
    /// It is no such socket.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<HandedSender> {
        if sockopt::socket_type(&descriptor)? != SocketType::SEQPACKET {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket of packets"));
        }
        rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
        Ok(HandedSender(descriptor))
    }

    /// Hands a datagram over, without waiting.
    pub fn send(&self, datagram: &HandedDatagram<'_>) -> Handed {
        let header = header_of(datagram);
        let slices = [IoSlice::new(&header), IoSlice::new(datagram.bytes)];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match rustix::net::sendmsg(&self.0, &slices, &mut SendAncillaryBuffer::default(), flags) {
            Ok(_) => Handed::Yes,
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM | Errno::MSGSIZE) => Handed::Lost,
            Err(_) => Handed::Closed,
        }
    }
}

impl HandedSender {
    /// Whether nobody is at the other end any more.
    pub fn is_closed(&self) -> bool {
        let mut nothing = [0; 1];
        match rustix::net::recv(&self.0, &mut nothing, RecvFlags::DONTWAIT | RecvFlags::PEEK) {
            Err(Errno::AGAIN | Errno::INTR) => false,
            // Nothing comes this way.
            Ok(_) | Err(_) => true,
        }
    }
}

impl HandedReceiver {
    /// Waits until something can be received.
    pub async fn ready(&self) -> io::Result<()> {
        self.stream.readable(false).await
    }

    /// The next datagram, if one waits.
    ///
    /// # Errors
    /// Nobody is at the other end any more.
    pub fn receive(&mut self) -> io::Result<Option<HandedDatagram<'_>>> {
        // SAFETY: the descriptor is open as long as the stream is.
        let socket = unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) };
        let received = rustix::net::recv(socket.as_fd(), &mut self.packet[..], RecvFlags::DONTWAIT);
        match received {
            Ok((_, 0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, length)) => Ok(read(self.packet.get(..length).unwrap_or_default())),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Addresses stand there as those of IPv6.
fn header_of(datagram: &HandedDatagram<'_>) -> [u8; HEADER_BYTES] {
    let HandedDatagram { peer, local, ecn, .. } = *datagram;
    let mut header = [0; HEADER_BYTES];
    let scope = match peer {
        SocketAddr::V6(peer) => peer.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let (local_ip, interface) = local.map_or((Ipv6Addr::UNSPECIFIED, 0), |it| (mapped(it.ip), it.interface));
    let marks = ecn | if local.is_some() { HAS_LOCAL } else { 0 };
    let parts: [&[u8]; 6] = [
        &[marks],
        &mapped(peer.ip()).octets(),
        &local_ip.octets(),
        &peer.port().to_ne_bytes(),
        &scope.to_ne_bytes(),
        &interface.to_ne_bytes(),
    ];
    let bytes = parts.into_iter().flatten();
    header.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    header
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// None for what no process of ours sends.
fn read(packet: &[u8]) -> Option<HandedDatagram<'_>> {
    let (marks, rest) = packet.split_first()?;
    let (peer_ip, rest) = rest.split_first_chunk::<16>()?;
    let (local_ip, rest) = rest.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (scope, rest) = rest.split_first_chunk::<4>()?;
    let (interface, bytes) = rest.split_first_chunk::<4>()?;
    let port = u16::from_ne_bytes(*port);
    let peer = match Ipv6Addr::from(*peer_ip).to_ipv4_mapped() {
        Some(ip) => (ip, port).into(),
        None => SocketAddrV6::new((*peer_ip).into(), port, 0, u32::from_ne_bytes(*scope)).into(),
    };
    let local = LocalAddress {
        ip: IpAddr::V6((*local_ip).into()).to_canonical(),
        interface: u32::from_ne_bytes(*interface),
    };
    Some(HandedDatagram { bytes, peer, local: (marks & HAS_LOCAL != 0).then_some(local), ecn: marks & 0b11 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_the_socket_said() {
        let own = LocalAddress { ip: "fe80::1".parse().unwrap(), interface: 3 };
        let own4 = LocalAddress { ip: "192.0.2.1".parse().unwrap(), interface: 0 };
        for (peer, local, ecn) in [
            ("198.51.100.7:4433", None, 0),
            ("198.51.100.7:4433", Some(own4), 2),
            ("[2001:db8::7]:443", None, 3),
            ("[fe80::7%5]:443", Some(own), 1),
        ] {
            let sent = HandedDatagram { bytes: b"bytes", peer: peer.parse().unwrap(), local, ecn };
            let packet = [&header_of(&sent)[..], sent.bytes].concat();
            assert_eq!(read(&packet), Some(sent));
            assert_eq!(read(&packet[..HEADER_BYTES - 1]), None);
        }
    }
}
