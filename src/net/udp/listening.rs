//! Sockets that receive from any client: one for each worker and address, sharing the port (SO_REUSEPORT).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use monoio::net::UnixStream;
use socket2::Domain;
use socket2::Protocol;
use socket2::SockRef;
use socket2::Socket as RawSocket;
use socket2::Type;

use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::udp::options;
use crate::net::udp::receive::ReceiveArena;
use crate::net::udp::receive::WithAddresses;
use crate::net::udp::send::SendOutcome;
use crate::net::udp::send::SendPath;
use crate::net::udp::send::Sender;

/// What each socket asks for as its queues: what 2,700 full datagrams take, at 10 Gbit/s those of 3 ms.
pub const BUFFER_BYTES: usize = 4 << 20;

/// A bound socket, on its way to its worker.
pub struct BoundUdp {
    pub socket: OwnedFd,
    /// With the port that the kernel chose if none was wanted.
    pub address: SocketAddr,
    /// Bytes that its receive queue got of [`BUFFER_BYTES`].
    pub receive_buffer: usize,
    pub send_buffer: usize,
}

/// Whether other sockets of this process have the address, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedPort {
    /// It fails if anybody has the address.
    No,
    Yes,
}

impl BoundUdp {
    /// Binds a socket. `dual_stack` lets `[::]` take IPv4 as well.
    ///
    /// # Errors
    /// The address is taken, or not of this host.
    pub fn new(address: SocketAddr, dual_stack: bool, shared: SharedPort) -> io::Result<BoundUdp> {
        let socket = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!dual_stack)?;
        }
        socket.set_reuse_port(shared == SharedPort::Yes)?;
        socket.set_nonblocking(true)?;
        let buffer = |forced, plain| options::set_buffer(&socket, forced, plain, BUFFER_BYTES);
        let receive_buffer = buffer(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)?;
        let send_buffer = buffer(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)?;
        options::set_relay_options(&socket, address.is_ipv6())?;
        if address.ip().is_unspecified() {
            options::tell_local_address(&socket, address.is_ipv6())?;
        }
        socket.bind(&address.into())?;
        let unexpected = || io::Error::other("the kernel named no IP address for the bound socket");
        let address = socket.local_addr()?.as_socket().ok_or_else(unexpected)?;
        Ok(BoundUdp { socket: socket.into(), address, receive_buffer, send_buffer })
    }
}

/// What tells a socket from all others of the host, whichever process has it.
pub fn cookie_of(socket: &OwnedFd) -> io::Result<u64> {
    options::cookie(socket)
}

/// One worker's socket of an address.
pub struct ListeningUdp {
    /// The driver only polls it, so that a socket of datagrams can stand where monoio has a stream.
    stream: UnixStream,
    address: SocketAddr,
    sender: Sender,
}

impl ListeningUdp {
    /// Takes a bound socket over, which may come from another process. To be called on the worker's thread.
    ///
    /// # Errors
    /// It is no socket of UDP that is bound to an address.
    pub fn new(socket: OwnedFd) -> io::Result<ListeningUdp> {
        let no_udp = || io::Error::new(io::ErrorKind::InvalidInput, "it is no socket of UDP");
        let known = SockRef::from(&socket);
        if known.r#type()? != Type::DGRAM {
            return Err(no_udp());
        }
        let address = known.local_addr()?.as_socket().ok_or_else(no_udp)?;
        known.set_nonblocking(true)?;
        options::set_relay_options(&socket, address.is_ipv6())?;
        if address.ip().is_unspecified() {
            options::tell_local_address(&socket, address.is_ipv6())?;
        }
        let stream = UnixStream::from_std(StdUnixStream::from(socket))?;
        Ok(ListeningUdp { stream, address, sender: Sender::new(address.is_ipv6()) })
    }

    /// The same, for who finds out how long datagrams may be: none is cut into fragments.
    pub fn without_fragments(self) -> io::Result<ListeningUdp> {
        options::forbid_fragments(&self.stream, self.address.is_ipv6())?;
        Ok(self)
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits, holding no buffer, until something can be received.
    pub async fn ready(&self) -> io::Result<()> {
        self.stream.readable(false).await
    }

    /// Waits until the kernel takes more to send.
    pub async fn writable(&self) -> io::Result<()> {
        self.stream.writable(false).await
    }

    /// Receives what waits, at most `most` pieces; fewer: nothing more waits. Errors that the network reports of what
    /// was sent to one client do not come here.
    pub fn receive(&self, arena: &mut ReceiveArena, most: usize) -> io::Result<usize> {
        arena.receive(self.descriptor(), most, WithAddresses::Yes)
    }

    /// Sends to a client what the kernel takes at once. `from` is the address that the client knows, where the socket has
    /// several.
    pub fn send(&self, datagrams: &Datagrams<'_>, to: SocketAddr, from: Option<LocalAddress>) -> SendOutcome {
        self.sender.send(self.descriptor(), datagrams, SendPath { to: Some(to), from })
    }

    /// Datagrams that found the queue of this socket full, since it is there; modulo 2^32.
    pub fn dropped(&self) -> u32 {
        options::dropped(&self.stream)
    }

    /// What tells the socket from all others of the host, whichever process has it.
    pub fn cookie(&self) -> io::Result<u64> {
        options::cookie(&self.stream)
    }

    /// Another descriptor of the socket, for a process that is to receive on it.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        // SAFETY: the descriptor is open as long as `self` is.
        unsafe { BorrowedFd::borrow_raw(self.descriptor()) }.try_clone_to_owned()
    }

    fn descriptor(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}
