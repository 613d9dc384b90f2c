//! Where sockets to backends come from.

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::Domain;
use socket2::Socket as RawSocket;
use socket2::Type;

use crate::net::address::ConnectSource;

/// Why connections cannot come from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceProblem {
    /// No interface of this host has the address.
    NotLocal,
    NoInterface,
    /// The source is of IPv4 and the peer of IPv6, or the other way round.
    OtherFamily,
    /// It is the address of no single host that other hosts could answer.
    NoHost,
    /// The process lacks a privilege.
    Forbidden,
    Other,
}

impl SourceProblem {
    /// Completes "192.0.2.1 …".
    pub fn as_str(self) -> &'static str {
        match self {
            SourceProblem::NotLocal => "is no address of this host; see: ip address",
            SourceProblem::NoInterface => "is no network interface of this host; see: ip link",
            SourceProblem::OtherFamily => "is of another family than the address of the backend",
            SourceProblem::NoHost => "is no address that the backend could answer to",
            SourceProblem::Forbidden => "may not be used by this process; grant CAP_NET_RAW",
            SourceProblem::Other => "cannot be used",
        }
    }
}

/// Binds a socket that is about to be connected. Its port is chosen when it is connected, so that connections to different
/// peers can have the same one (IP_BIND_ADDRESS_NO_PORT of ip(7)).
///
/// # Errors
/// The source is none of this host's, or of the other family, or may not be used.
pub(super) fn bind(socket: &RawSocket, source: ConnectSource, peer: SocketAddr) -> Result<(), SourceProblem> {
    match source {
        ConnectSource::Any => Ok(()),
        ConnectSource::Ip(ip) => bind_address(socket, ip, peer),
        ConnectSource::Client(ip) => bind_client(socket, ip, peer),
        ConnectSource::Interface(name) => {
            let bound = socket.bind_device(Some(name.as_bytes()));
            bound.map_err(|error| refused(&error, SourceProblem::NoInterface))
        }
    }
}

fn bind_address(socket: &RawSocket, ip: IpAddr, peer: SocketAddr) -> Result<(), SourceProblem> {
    if ip.is_ipv4() != peer.is_ipv4() {
        return Err(SourceProblem::OtherFamily);
    }
    set(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT).map_err(|_| SourceProblem::Other)?;
    let bound = socket.bind(&SocketAddr::new(ip, 0).into());
    bound.map_err(|error| refused(&error, SourceProblem::NotLocal))
}

/// Binds to an address that is not this host's. The port is chosen as ever: that of the client may be in use for another
/// connection of it to the same peer, by way of another listener.
fn bind_client(socket: &RawSocket, ip: IpAddr, peer: SocketAddr) -> Result<(), SourceProblem> {
    if let Some(problem) = problem_of_client(ip, peer.ip()) {
        return Err(problem);
    }
    let permitted = may_be_anybody(socket, ip.is_ipv6());
    permitted.map_err(|error| refused(&error, SourceProblem::NotLocal))?;
    bind_address(socket, ip, peer)?;
    // Of an address that stands for a whole network, the kernel makes one that it chooses.
    let bound = socket.local_addr().ok().and_then(|bound| bound.as_socket());
    if bound.is_some_and(|bound| bound.ip() == ip) { Ok(()) } else { Err(SourceProblem::NoHost) }
}

/// Why connections to a peer cannot come from the address of this client, whatever this process may.
pub fn problem_of_client(client: IpAddr, peer: IpAddr) -> Option<SourceProblem> {
    match client.is_ipv4() == peer.is_ipv4() {
        false => Some(SourceProblem::OtherFamily),
        true => (!can_be_answered(client, peer)).then_some(SourceProblem::NoHost),
    }
}

/// Whether what a peer sends to this address can come to a host. A PROXY header may tell of any address, and to bind to one
/// that stands for all of them would let the kernel choose.
fn can_be_answered(client: IpAddr, peer: IpAddr) -> bool {
    let is_of_no_host = match client {
        IpAddr::V4(ip) => ip.is_broadcast(),
        // It means something on one interface only.
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let is_elsewhere = client.is_loopback() && !peer.is_loopback();
    !(is_of_no_host || is_elsewhere || client.is_unspecified() || client.is_multicast())
}

/// Lets a socket have any address (IP_TRANSPARENT of ip(7)).
fn may_be_anybody(socket: &RawSocket, is_ipv6: bool) -> io::Result<()> {
    match is_ipv6 {
        true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
        false => set(socket, libc::IPPROTO_IP, libc::IP_TRANSPARENT),
    }
}

/// Whether the calling thread may let sockets come from addresses of clients: CAP_NET_RAW, or CAP_NET_ADMIN.
pub fn may_come_from_clients() -> bool {
    let socket = RawSocket::new(Domain::IPV4, Type::DGRAM, None);
    socket.and_then(|socket| may_be_anybody(&socket, false)).is_ok()
}

/// `missing`: what it means that the source is not there.
fn refused(error: &io::Error, missing: SourceProblem) -> SourceProblem {
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL | libc::ENODEV) => missing,
        Some(libc::EPERM | libc::EACCES) => SourceProblem::Forbidden,
        _ => SourceProblem::Other,
    }
}

fn set(socket: &RawSocket, level: i32, name: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `on` is valid for its size, and the socket is open.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Connects from a source and waits for it, at most for this long.
///
/// # Errors
/// As when a connection cannot be had, or the source not be used.
pub fn connect_within(peer: SocketAddr, source: ConnectSource, timeout: Duration) -> io::Result<TcpStream> {
    let socket = RawSocket::new(Domain::for_address(peer), Type::STREAM, None)?;
    let bound = bind(&socket, source, peer);
    bound.map_err(|problem| io::Error::other(format!("{source} {}", problem.as_str())))?;
    socket.connect_timeout(&peer.into(), timeout)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::InterfaceName;

    #[test]
    fn a_source_that_cannot_be_is_told() {
        let socket = || RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let peer = "127.0.0.1:9".parse().unwrap();
        let from = |source| bind(&socket(), source, peer);
        let ip = |text: &str| ConnectSource::Ip(text.parse().unwrap());
        assert_eq!(from(ConnectSource::Any), Ok(()));
        assert_eq!(from(ip("127.0.0.9")), Ok(()));
        let refused = |problem| Err(problem);
        assert_eq!(from(ip("192.0.2.1")), refused(SourceProblem::NotLocal));
        assert_eq!(from(ip("::1")), refused(SourceProblem::OtherFamily));
        let interface = |name: &str| ConnectSource::Interface(InterfaceName::new(name).unwrap());
        assert_eq!(from(interface("lo")), Ok(()));
        assert_eq!(from(interface("nowhere0")), refused(SourceProblem::NoInterface));
    }

    #[test]
    fn clients_are_no_addresses_that_stand_for_others() {
        let answered =
            |client: &str, peer: &str| can_be_answered(client.parse().unwrap(), peer.parse().unwrap());
        for (client, peer, expected) in [
            ("192.0.2.7", "10.0.0.1", true),
            ("2001:db8::7", "2001:db8:1::1", true),
            ("127.0.0.1", "127.0.0.2", true),
            ("127.0.0.1", "10.0.0.1", false),
            ("::1", "2001:db8::1", false),
            ("0.0.0.0", "127.0.0.1", false),
            ("::", "::1", false),
            ("224.0.0.1", "10.0.0.1", false),
            ("255.255.255.255", "10.0.0.1", false),
            ("fe80::1", "2001:db8::1", false),
        ] {
            assert_eq!(answered(client, peer), expected, "{client} {peer}");
        }
    }

    #[test]
    fn sockets_of_clients_need_a_privilege() {
        for (client, peer) in [("192.0.2.7", "127.0.0.1:9"), ("2001:db8::7", "[::1]:9")] {
            let peer: SocketAddr = peer.parse().unwrap();
            let bound = |client: &str| {
                let socket = RawSocket::new(Domain::for_address(peer), Type::DGRAM, None).unwrap();
                let source = ConnectSource::Client(client.parse().unwrap());
                bind(&socket, source, peer)?;
                Ok(socket.local_addr().unwrap().as_socket().unwrap().ip().to_string())
            };
            match may_come_from_clients() {
                true => {
                    assert_eq!(bound(client), Ok(client.to_owned()));
                    let other = if peer.is_ipv4() { "2001:db8::7" } else { "192.0.2.7" };
                    assert_eq!(bound(other), Err(SourceProblem::OtherFamily));
                }
                false => assert_eq!(bound(client), Err(SourceProblem::Forbidden)),
            }
        }
    }

    #[test]
    fn a_port_is_chosen_when_the_peer_is_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let source = ConnectSource::Ip("127.0.0.7".parse().unwrap());
        let peer = listener.local_addr().unwrap();
        let stream = connect_within(peer, source, Duration::from_secs(5)).unwrap();
        let (_, seen) = listener.accept().unwrap();
        assert_eq!((seen.ip(), seen), ("127.0.0.7".parse().unwrap(), stream.local_addr().unwrap()));
    }
}
