//! What goes to and comes from the kernel beside the bytes of a datagram (cmsg(3)).

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::ECN_MASK;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::udp::kernel_address::kernel_ip4;
use crate::net::udp::kernel_address::kernel_ip6;

/// Room for the address, the traffic class and the size of segments, with their headers.
const ROOM_BYTES: usize = 128;

/// Where control messages stand, aligned as their headers want it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct ControlMessages {
    bytes: [u8; ROOM_BYTES],
}

/// What the kernel tells of what it received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReceivedControl {
    pub(super) local: Option<LocalAddress>,
    pub(super) ecn: u8,
    /// Bytes of each of several datagrams; 0: there is one.
    pub(super) segment: usize,
}

impl ControlMessages {
    pub(super) fn empty() -> ControlMessages {
        ControlMessages { bytes: [0; ROOM_BYTES] }
    }

    pub(super) fn room(&mut self) -> (*mut libc::c_void, usize) {
        (self.bytes.as_mut_ptr().cast(), ROOM_BYTES)
    }

    /// What is to be said of datagrams that a socket sends, and how many bytes that takes; 0: nothing.
    pub(super) fn of_sent(
        datagrams: &Datagrams<'_>,
        from: Option<LocalAddress>,
        is_v6: bool,
    ) -> (ControlMessages, usize) {
        let mut written = ControlWriter { messages: ControlMessages::empty(), length: 0 };
        if datagrams.count() > 1 {
            // A datagram has at most 65,535 bytes.
            written.push(libc::SOL_UDP, libc::UDP_SEGMENT, datagrams.segment as u16);
        }
        if datagrams.ecn != 0 {
            let class = i32::from(datagrams.ecn);
            // A socket of IPv6 that sends to mapped addresses reads the first, too.
            written.push(libc::IPPROTO_IP, libc::IP_TOS, class);
            if is_v6 {
                written.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, class);
            }
        }
        match from.map(|from| (from.ip, from.interface)) {
            Some((IpAddr::V4(ip), _)) if !is_v6 => {
                let source = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: kernel_ip4(ip),
                    ipi_addr: kernel_ip4(Ipv4Addr::UNSPECIFIED),
                };
                written.push(libc::IPPROTO_IP, libc::IP_PKTINFO, source);
            }
            Some((ip, interface)) => {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                let source = libc::in6_pktinfo { ipi6_addr: kernel_ip6(ip), ipi6_ifindex: interface };
                written.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, source);
            }
            None => {}
        }
        (written.messages, written.length)
    }

    /// What the kernel has written into the first `length` bytes.
    pub(super) fn read(&self, length: usize) -> ReceivedControl {
        let mut received = ReceivedControl::default();
        let mut rest = self.bytes.get(..length).unwrap_or_default();
        while let Some((header, content, next)) = next_message(rest) {
            match (header.cmsg_level, header.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    received.segment = read_i32(content).and_then(|size| size.try_into().ok()).unwrap_or(0);
                }
                // One byte, where IPv6 has an int.
                (libc::IPPROTO_IP, libc::IP_TOS) => {
                    received.ecn = content.first().copied().unwrap_or(0) & ECN_MASK;
                }
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    received.ecn = read_i32(content).unwrap_or(0) as u8 & ECN_MASK;
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => received.local = read_local4(content),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => received.local = read_local6(content),
                _ => {}
            }
            rest = next;
        }
        received
    }
}

struct ControlWriter {
    messages: ControlMessages,
    length: usize,
}

impl ControlWriter {
    fn push<T: Copy>(&mut self, level: i32, kind: i32, content: T) {
        let size = size_of::<T>() as u32;
        // SAFETY: the two compute lengths and touch no memory.
        let (length, space) = unsafe { (libc::CMSG_LEN(size), libc::CMSG_SPACE(size)) };
        let Some(place) = self.messages.bytes.get_mut(self.length..self.length + space as usize) else {
            debug_assert!(false, "there is room for all that is ever said");
            return;
        };
        let header = libc::cmsghdr { cmsg_len: length as usize, cmsg_level: level, cmsg_type: kind };
        // SAFETY: `place` has room for a header, padding and `content`, as CMSG_SPACE says, and both writes are unaligned.
        unsafe {
            place.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(header);
            place.as_mut_ptr().add((length - size) as usize).cast::<T>().write_unaligned(content);
        }
        self.length += space as usize;
    }
}

/// The first message, what it says, and the messages behind it.
fn next_message(bytes: &[u8]) -> Option<(libc::cmsghdr, &[u8], &[u8])> {
    // SAFETY: the three compute lengths and touch no memory.
    let header_length = unsafe { libc::CMSG_LEN(0) } as usize;
    if bytes.len() < header_length {
        return None;
    }
    // SAFETY: there are as many bytes as a header has, any of which are valid for one.
    let header = unsafe { bytes.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
    let content = bytes.get(header_length..header.cmsg_len)?;
    // SAFETY: as above.
    let space = unsafe { libc::CMSG_SPACE(content.len() as u32) } as usize;
    Some((header, content, bytes.get(space..).unwrap_or_default()))
}

fn read_i32(content: &[u8]) -> Option<i32> {
    content.first_chunk().copied().map(i32::from_ne_bytes)
}

fn read_local4(content: &[u8]) -> Option<LocalAddress> {
    // ipi_ifindex, ipi_spec_dst, ipi_addr: the second is ours even where the third is that of all of a network.
    let (_, rest) = content.split_first_chunk::<4>()?;
    let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    Some(LocalAddress { ip: ip.into(), interface: 0 })
}

fn read_local6(content: &[u8]) -> Option<LocalAddress> {
    let (address, rest) = content.split_first_chunk::<16>()?;
    let ip = Ipv6Addr::from(*address);
    let interface = if ip.is_unicast_link_local() { u32::from_ne_bytes(*rest.first_chunk()?) } else { 0 };
    // Nothing can leave from the address of a group.
    (!ip.is_multicast()).then(|| LocalAddress { ip: ip.to_canonical(), interface })
}
