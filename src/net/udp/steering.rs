//! Which of the sockets that share a port gets a datagram of QUIC: the one that its connection id names.
//!
//! The kernel hashes addresses to choose a socket, so a client whose address changes would come to another worker. A program
//! of classic BPF (SO_ATTACH_REUSEPORT_CBPF, Linux 4.5 and later, no privilege needed) reads the id instead. It stands on what
//! holds for all versions of QUIC (RFC 8999 §5). Ids that clients choose are random, and so spread evenly.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use crate::net::udp::listening::BoundUdp;
use crate::net::udp::listening::SharedPort;

/// Binds as many sockets to one address; the index of each is what connection ids say, modulo `count`. `dual_stack` lets
/// `[::]` take IPv4 as well. Whether somebody else shares the port is not asked.
///
/// A socket that is closed later gives its index to the last one, so all of them have to stay open together.
///
/// # Errors
/// The address is taken, or not of this host.
pub fn bind_group(address: SocketAddr, dual_stack: bool, count: u32) -> io::Result<Vec<BoundUdp>> {
    let first = BoundUdp::new(address, dual_stack, SharedPort::Yes)?;
    let address = first.address;
    // Before the others come, so that no datagram is ever steered in another way.
    steer(&first.socket, count.max(1))?;
    let mut group = vec![first];
    for _ in 1..count {
        group.push(BoundUdp::new(address, dual_stack, SharedPort::Yes)?);
    }
    Ok(group)
}

/// Lets the kernel choose among the sockets of a group, which `socket` is the first of.
fn steer(socket: &impl AsRawFd, count: u32) -> io::Result<()> {
    let mut instructions = program(count);
    let program = libc::sock_fprog { len: instructions.len() as u16, filter: instructions.as_mut_ptr() };
    // SAFETY: `program` points to as many instructions as it says, which the kernel copies.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the first four bytes of the connection id modulo `count`. The kernel hashes addresses where the result is no index.
///
/// The program sees the payload of a datagram. A load beyond its end would make the result 0, hence the looks at the length.
fn program(count: u32) -> [libc::sock_filter; 12] {
    const LENGTH: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_LEN) as u16;
    const BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const HAS_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const SKIP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
    const MODULO: u16 = (libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K) as u16;
    const RETURN_IT: u16 = (libc::BPF_RET | libc::BPF_A) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const LONG_HEADER: u32 = 0x80;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    [
        step(LENGTH, 0, 0, 0),
        step(AT_LEAST, 0, 9, 13),
        step(BYTE, 0, 0, 0),
        step(HAS_BIT, 2, 0, LONG_HEADER),
        // A short header: the id follows its first byte.
        step(WORD, 0, 0, 1),
        step(SKIP, 0, 0, 3),
        // A long one: behind a version and the length of the id, which has at least 8 bytes.
        step(LENGTH, 0, 0, 0),
        step(AT_LEAST, 0, 3, 14),
        step(WORD, 0, 0, 6),
        step(MODULO, 0, 0, count),
        step(RETURN_IT, 0, 0, 0),
        step(RETURN, 0, 0, u32::MAX),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn group(address: &str, count: u32) -> (Vec<UdpSocket>, SocketAddr) {
        let bound = bind_group(address.parse().unwrap(), true, count).unwrap();
        let address = bound[0].address;
        (bound.into_iter().map(|bound| UdpSocket::from(bound.socket)).collect(), address)
    }

    /// Which of the sockets has something, and what.
    fn received(sockets: &[UdpSocket]) -> Vec<(usize, Vec<u8>)> {
        let mut buffer = [0; 2048];
        let mut found = Vec::new();
        for (index, socket) in sockets.iter().enumerate() {
            while let Ok(length) = socket.recv(&mut buffer) {
                found.push((index, buffer[..length].to_vec()));
            }
        }
        found
    }

    #[test]
    fn the_connection_id_chooses_the_socket() {
        for (address, own) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0")] {
            for count in [1, 2, 4, 7] {
                let (sockets, address) = group(address, count);
                for word in [0, 1, 2, 3, 4, 5, 6, 7, 1_000_003, u32::MAX - 1, u32::MAX] {
                    let id = [&word.to_be_bytes()[..], &[9; 8]].concat();
                    let short = [&[0x41][..], &id, b"payload"].concat();
                    let long = [&[0xc3, 0, 0, 0, 1, 12][..], &id, b"payload"].concat();
                    for datagram in [short, long] {
                        // Of another address each time, which is not to matter.
                        let client = UdpSocket::bind(own).unwrap();
                        client.send_to(&datagram, address).unwrap();
                        assert_eq!(received(&sockets), [((word % count) as usize, datagram)]);
                    }
                }
            }
        }
    }

    #[test]
    fn short_datagrams_come_somewhere() {
        let (sockets, address) = group("127.0.0.1:0", 4);
        let mut places = Vec::new();
        for length in 0..14 {
            for _ in 0..8 {
                let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                client.send_to(&vec![0xc3; length], address).unwrap();
                let found = received(&sockets);
                assert_eq!(found.len(), 1, "{length} bytes");
                places.push(found[0].0);
            }
        }
        places.sort_unstable();
        places.dedup();
        assert_eq!(places, [0, 1, 2, 3], "the kernel hashes their addresses");
    }
}
