//! Addresses as the kernel reads and writes them.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV6;

/// An address of UDP in the form of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union KernelAddress {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl KernelAddress {
    pub(super) const ROOM: libc::socklen_t = size_of::<KernelAddress>() as libc::socklen_t;

    /// None, to be written by the kernel.
    pub(super) fn empty() -> KernelAddress {
        // SAFETY: all-zero bytes are valid for both.
        unsafe { std::mem::zeroed() }
    }

    /// The address of a peer for a socket of IPv6, which knows those of IPv4 in mapped form, or of IPv4; with its length.
    pub(super) fn of(address: SocketAddr, is_v6: bool) -> (KernelAddress, libc::socklen_t) {
        let v4_length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        match address {
            SocketAddr::V4(v4) if !is_v6 => (KernelAddress { v4: kernel_v4(*v4.ip(), v4.port()) }, v4_length),
            SocketAddr::V4(v4) => {
                let mapped = SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0);
                (KernelAddress { v6: kernel_v6(mapped) }, KernelAddress::ROOM)
            }
            SocketAddr::V6(v6) => (KernelAddress { v6: kernel_v6(v6) }, KernelAddress::ROOM),
        }
    }

    /// The address that the kernel has written, if it is one of IP. One of IPv4 that a socket of IPv6 tells in mapped form
    /// is given as the client has it; the scope of link-local ones stays, without which nothing can be sent to them.
    pub(super) fn read(&self) -> Option<SocketAddr> {
        // SAFETY: the family stands at the same place in both, and is always initialized.
        let family = unsafe { self.v4.sin_family };
        match i32::from(family) {
            libc::AF_INET => {
                // SAFETY: the family says that it is one of IPv4, and every byte is initialized.
                let v4 = unsafe { self.v4 };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some((ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that it is one of IPv6, and every byte is initialized.
                let v6 = unsafe { self.v6 };
                let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                Some(match ip.to_canonical() {
                    IpAddr::V4(ip) => (ip, port).into(),
                    IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
                })
            }
            _ => None,
        }
    }
}

pub(super) fn kernel_ip4(ip: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) }
}

pub(super) fn kernel_ip6(ip: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr { s6_addr: ip.octets() }
}

fn kernel_v4(ip: Ipv4Addr, port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: kernel_ip4(ip),
        sin_zero: [0; 8],
    }
}

fn kernel_v6(address: SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: 0,
        sin6_addr: kernel_ip6(*address.ip()),
        sin6_scope_id: address.scope_id(),
    }
}
