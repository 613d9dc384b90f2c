//! Sockets that have one peer, whose errors they hear of.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket as RawSocket;
use socket2::Type;

use crate::net::address::ConnectSource;
use crate::net::connect::ConnectError;
use crate::net::source;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::options;
use crate::net::udp::receive::ReceiveArena;
use crate::net::udp::receive::WithAddresses;
use crate::net::udp::send::SendOutcome;
use crate::net::udp::send::SendPath;
use crate::net::udp::send::Sender;

/// A socket that sends to one address and receives from it alone. It is a bare descriptor, which a
/// [`ReadySet`](crate::net::udp::readiness::ReadySet) watches with thousands of others.
pub struct ConnectedUdp {
    descriptor: OwnedFd,
    sender: Sender,
}

/// The host at the other end says that nobody receives there (ICMP port unreachable), or it cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerError {
    Refused,
    /// An error of the system, by its number.
    Other(i32),
}

impl From<io::Error> for PeerError {
    fn from(error: io::Error) -> PeerError {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => PeerError::Refused,
            other => PeerError::Other(other.unwrap_or(0)),
        }
    }
}

impl ConnectedUdp {
    /// A socket from a source with a port of its own, which is the peer's only partner there.
    ///
    /// # Errors
    /// No descriptor or no port is left, or there is no way to the address.
    pub fn connect(peer: SocketAddr, source: ConnectSource) -> Result<ConnectedUdp, ConnectError> {
        let socket = RawSocket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
        options::set_relay_options(&socket, peer.is_ipv6())?;
        source::bind(&socket, source, peer)?;
        socket.connect(&peer.into()).map_err(|error| match error.raw_os_error() {
            Some(libc::EAGAIN) => ConnectError::NoLocalPort,
            _ => error.into(),
        })?;
        Ok(ConnectedUdp { descriptor: socket.into(), sender: Sender::new(peer.is_ipv6()) })
    }

    /// Takes over a connected socket of another process.
    ///
    /// # Errors
    /// It is no socket of UDP that is connected.
    pub fn adopt(socket: OwnedFd) -> io::Result<ConnectedUdp> {
        let known = socket2::SockRef::from(&socket);
        let no_udp = || io::Error::new(io::ErrorKind::InvalidInput, "it is no connected socket of UDP");
        if known.r#type()? != Type::DGRAM {
            return Err(no_udp());
        }
        let peer = known.peer_addr()?.as_socket().ok_or_else(no_udp)?;
        Ok(ConnectedUdp { descriptor: socket, sender: Sender::new(peer.is_ipv6()) })
    }

    /// Receives what waits, at most `most` pieces; fewer: nothing more waits.
    ///
    /// # Errors
    /// The network reports of what was sent before. The socket can go on.
    pub fn receive(&self, arena: &mut ReceiveArena, most: usize) -> Result<usize, PeerError> {
        arena.receive(self.descriptor(), most, WithAddresses::No).map_err(PeerError::from)
    }

    /// Sends what the kernel takes at once.
    pub fn send(&self, datagrams: &Datagrams<'_>) -> SendOutcome {
        self.sender.send(self.descriptor(), datagrams, SendPath::default())
    }

    /// The address that the peer sees.
    pub fn local_address(&self) -> Option<SocketAddr> {
        socket2::SockRef::from(&self.descriptor).local_addr().ok()?.as_socket()
    }

    /// The socket, on its way to another process.
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }

    /// Another descriptor of the socket.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        self.descriptor.try_clone()
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}
