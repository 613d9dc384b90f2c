//! Connecting to a backend.

use std::io;
use std::os::fd::FromRawFd;
use std::os::fd::IntoRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use monoio::net::UnixStream;
use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket as RawSocket;
use socket2::Type;

use crate::net::address::Address;
use crate::net::address::ConnectSource;
use crate::net::socket::Socket;
use crate::net::socket::keep_alive;
use crate::net::socket::wants_nonblocking;
use crate::net::source;
use crate::net::source::SourceProblem;

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Nothing listens there. A unix socket that does not exist counts as well.
    Refused,
    /// The peer accepted and hung up at once.
    Reset,
    TimedOut,
    /// The queue of a unix socket is full, which passes.
    Busy,
    /// This process, or the system, has no descriptor left.
    NoDescriptor,
    /// Every local port for connections to this address is taken.
    NoLocalPort,
    /// It cannot come from where it is to come from.
    NoSource(SourceProblem),
    Other,
}

impl From<SourceProblem> for ConnectError {
    fn from(problem: SourceProblem) -> ConnectError {
        ConnectError::NoSource(problem)
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED | libc::ENOENT) => ConnectError::Refused,
            Some(libc::ECONNRESET | libc::ECONNABORTED) => ConnectError::Reset,
            Some(libc::ETIMEDOUT) => ConnectError::TimedOut,
            Some(libc::EAGAIN) => ConnectError::Busy,
            Some(libc::EMFILE | libc::ENFILE) => ConnectError::NoDescriptor,
            _ => ConnectError::Other,
        }
    }
}

/// Opens a connection from a source. Dropping the future gives the attempt up; it has no timeout of its own.
pub async fn connect(address: &Address, source: ConnectSource) -> Result<Socket, ConnectError> {
    let (domain, target) = match address {
        Address::Ip(ip) => (Domain::for_address(*ip), SockAddr::from(*ip)),
        Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let mut socket = RawSocket::new(domain, Type::STREAM, None)?;
    if let Address::Ip(peer) = address {
        source::bind(&socket, source, *peer)?;
        socket.set_tcp_nodelay(true)?;
        keep_alive(&socket)?;
    }
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.connect(&target) {
        match error.raw_os_error() {
            Some(libc::EINPROGRESS) => {}
            Some(libc::EADDRNOTAVAIL) if source != ConnectSource::Any || !lacks_source(&target) => {
                return Err(ConnectError::NoLocalPort);
            }
            _ => return Err(error.into()),
        }
        socket = writable(socket).await?;
        if let Some(error) = socket.take_error()? {
            return Err(error.into());
        }
    }
    socket.set_nonblocking(wants_nonblocking())?;
    Ok(Socket::adopt(socket.into())?)
}

/// Waits until the socket is connected, or cannot be. It changes hands and comes back: a second descriptor for each of
/// many connections that are opened at a time would use up those of the process.
async fn writable(socket: RawSocket) -> io::Result<RawSocket> {
    let watched = UnixStream::from_std(StdUnixStream::from(OwnedFd::from(socket)))?;
    watched.writable(false).await?;
    // SAFETY: the descriptor is open, and what gave it away was its only owner: no operation is in flight any more.
    let descriptor = unsafe { OwnedFd::from_raw_fd(watched.into_raw_fd()) };
    Ok(descriptor.into())
}

/// Whether this host has no address to connect from, as without IPv6. The kernel says EADDRNOTAVAIL then, as it
/// does when ports are short; but a socket of UDP needs no port to itself.
fn lacks_source(target: &SockAddr) -> bool {
    let error = RawSocket::new(Domain::from(i32::from(target.family())), Type::DGRAM, None)
        .and_then(|socket| socket.connect(target))
        .err();
    error.is_some_and(|error| error.raw_os_error() == Some(libc::EADDRNOTAVAIL))
}
