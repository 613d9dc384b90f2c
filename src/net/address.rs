//! Where a stream socket connects to.

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::path::Path;
use std::path::PathBuf;

/// The address of a peer we connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Port 0 stands for the port that a client came to.
    Ip(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// Whether its port is that to which a client came.
    pub fn is_at_any_port(&self) -> bool {
        matches!(self, Address::Ip(address) if address.port() == 0)
    }

    /// Where a client that came to `port` is connected to.
    pub fn for_client_at(&self, port: u16) -> Cow<'_, Address> {
        match self {
            Address::Ip(address) if address.port() == 0 => {
                let mut address = *address;
                address.set_port(port);
                Cow::Owned(Address::Ip(address))
            }
            known => Cow::Borrowed(known),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(SocketAddr::V6(address)) if address.port() == 0 => write!(out, "[{}]", address.ip()),
            Address::Ip(address) if address.port() == 0 => address.ip().fmt(out),
            Address::Ip(address) => address.fmt(out),
            Address::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Where connections and datagrams to a backend come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConnectSource {
    /// From where the kernel chooses by its routes.
    #[default]
    Any,
    /// An address of this host.
    Ip(IpAddr),
    /// The address of the client, which is none of this host's: answers come back only where routes send them here.
    Client(IpAddr),
    /// Through this network interface alone, from an address of it.
    Interface(InterfaceName),
}

/// The name of a network interface: 1 to 15 bytes (IFNAMSIZ of netdevice(7), its end mark left out).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceName {
    /// Filled up with zeros.
    bytes: [u8; MAX_INTERFACE_NAME],
}

const MAX_INTERFACE_NAME: usize = 15;

impl InterfaceName {
    /// None: no interface can be called so.
    pub fn new(name: &str) -> Option<InterfaceName> {
        let is_usable = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        let mut bytes = [0; MAX_INTERFACE_NAME];
        bytes.get_mut(..name.len()).filter(|_| is_usable)?.copy_from_slice(name.as_bytes());
        Some(InterfaceName { bytes })
    }

    pub fn as_bytes(&self) -> &[u8] {
        let length = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(MAX_INTERFACE_NAME);
        self.bytes.get(..length).unwrap_or_default()
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Display for ConnectSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectSource::Any => out.write_str("any address"),
            ConnectSource::Ip(ip) | ConnectSource::Client(ip) => ip.fmt(out),
            ConnectSource::Interface(name) => name.fmt(out),
        }
    }
}

/// Whether there is a network interface of this name.
pub fn is_interface(name: &str) -> bool {
    InterfaceName::new(name).is_some() && Path::new("/sys/class/net").join(name).exists()
}

/// Whether an address is one of this host: that of an interface, or one that the kernel would send from to itself, as with
/// `ip route add local`. Nothing is sent.
pub fn is_of_this_host(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    address.is_loopback()
        || source().is_ok_and(|source: SocketAddr| source.ip() == address)
        || is_of_an_interface(address)
}

/// Of several addresses in one network the kernel sends from the first, so all are looked at.
fn is_of_an_interface(address: IpAddr) -> bool {
    let mut first = std::ptr::null_mut();
    // SAFETY: the pointer is valid for the call, which writes one to a list that is freed below.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return false;
    }
    let mut next = first;
    let mut is_found = false;
    // SAFETY: each element of the list, and what it points to, lives until the list is freed.
    while let Some(interface) = unsafe { next.as_ref() } {
        // SAFETY: as above; an address is as large as its family says.
        is_found |= unsafe { ip_of(interface.ifa_addr) } == Some(address);
        next = interface.ifa_next;
    }
    // SAFETY: the list is the one from above, and nothing of it is used any more.
    unsafe { libc::freeifaddrs(first) };
    is_found
}

/// The address of IP in a kernel's address.
///
/// # Safety
/// The pointer is null, or to an address that is as large as its family says.
unsafe fn ip_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller says so.
    let family = unsafe { address.as_ref() }?.sa_family;
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: of this family it is a `sockaddr_in`, perhaps not aligned as one.
            let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::from(address.sin_addr.s_addr.to_ne_bytes()))
        }
        libc::AF_INET6 => {
            // SAFETY: of this family it is a `sockaddr_in6`, perhaps not aligned as one.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::from(address.sin6_addr.s6_addr))
        }
        _ => None,
    }
}

/// What is spoken at a port: those of TCP and those of UDP are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    Tcp,
    /// Datagrams, of which the kernel gives those of a client to one socket.
    Udp,
    /// Datagrams of QUIC, which their connection ids steer.
    Quic,
}

impl TransportKind {
    /// Whether its ports are those of UDP.
    pub fn is_over_udp(self) -> bool {
        match self {
            TransportKind::Tcp => false,
            TransportKind::Udp | TransportKind::Quic => true,
        }
    }
}

/// The number of an interface of this host by its name.
pub fn interface_number(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` ends with a zero and is valid for the call.
    Some(unsafe { libc::if_nametoindex(name.as_ptr()) }).filter(|number| *number > 0)
}
