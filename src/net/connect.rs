//! Connecting to a backend.

use std::io;
use std::os::fd::AsRawFd;
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

/// What a connection is for, and so how its socket is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketUse {
    /// Exchanges one after another: TCP finds out whether the peer has vanished.
    Exchanges,
    /// Something that is over soon.
    Probe,
    /// Bytes that are passed on, often few. The socket is as the kernel makes it, which spares six system calls: whoever
    /// relays sets what matters once it does ([`Socket::send_at_once`], [`Socket::keep_alive`]), and no operation on it waits.
    Relay,
}

/// Opens a connection from a source. Dropping the future gives the attempt up; it has no timeout of its own.
pub async fn connect(
    address: &Address,
    source: ConnectSource,
    socket_use: SocketUse,
) -> Result<Socket, ConnectError> {
    let (domain, target) = match address {
        Address::Ip(ip) => (Domain::for_address(*ip), SockAddr::from(*ip)),
        Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let mut socket = RawSocket::new(domain, Type::STREAM.nonblocking(), None)?;
    if let Address::Ip(peer) = address {
        source::bind(&socket, source, *peer)?;
        if socket_use != SocketUse::Relay {
            socket.set_tcp_nodelay(true)?;
        }
        if socket_use == SocketUse::Exchanges {
            keep_alive(&socket)?;
        }
    }
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
    if !wants_nonblocking() && socket_use != SocketUse::Relay {
        block(&socket)?;
    }
    Ok(Socket::adopt(socket.into())?)
}

/// Lets operations on it wait. It has no other flag, so none has to be asked for.
fn block(socket: &RawSocket) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the call takes no pointers.
    let result = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use monoio::LegacyDriver;
    use monoio::RuntimeBuilder;
    use socket2::SockRef;

    use super::*;

    #[test]
    fn sockets_are_as_their_use_needs_them() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Ip(listener.local_addr().unwrap());
        let mut runtime = RuntimeBuilder::<LegacyDriver>::new().build().unwrap();
        runtime.block_on(async {
            for socket_use in [SocketUse::Exchanges, SocketUse::Probe, SocketUse::Relay] {
                let socket = connect(&address, ConnectSource::Any, socket_use).await.unwrap();
                // SAFETY: the descriptor is open as long as `socket` is.
                let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket.descriptor()) };
                let options = SockRef::from(&descriptor);
                assert_eq!(options.keepalive().unwrap(), socket_use == SocketUse::Exchanges);
                assert_eq!(options.tcp_nodelay().unwrap(), socket_use != SocketUse::Relay);
                socket.keep_alive();
                socket.send_at_once();
                assert!(options.keepalive().unwrap() && options.tcp_nodelay().unwrap());
                assert_eq!(options.tcp_keepalive_time().unwrap(), std::time::Duration::from_secs(120));
            }
        });
    }
}
