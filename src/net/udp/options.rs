//! What sockets of UDP are set to.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;

/// Lets the kernel tell of received datagrams that came as one piece, and of their congestion; and cut what is too long
/// for the way into fragments, as it may with what a relay did not make.
pub(super) fn set_relay_options(socket: &impl AsRawFd, is_v6: bool) -> io::Result<()> {
    let descriptor = socket.as_raw_fd();
    // Without it, before Linux 5.0, datagrams come one by one.
    drop(set(descriptor, libc::SOL_UDP, libc::UDP_GRO, 1));
    // A socket of IPv6 receives from and sends to clients of IPv4, too, unless it may not.
    if is_v6 {
        set(descriptor, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
        set(descriptor, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)?;
    }
    set(descriptor, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
    set(descriptor, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
}

/// Cuts nothing into fragments and believes nobody who says how long datagrams may be: the sender finds out itself
/// (RFC 8899).
pub(super) fn forbid_fragments(socket: &impl AsRawFd, is_v6: bool) -> io::Result<()> {
    let descriptor = socket.as_raw_fd();
    if is_v6 {
        set(descriptor, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
    }
    set(descriptor, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
}

/// Lets the kernel tell which address a datagram came to.
pub(super) fn tell_local_address(socket: &impl AsRawFd, is_v6: bool) -> io::Result<()> {
    let descriptor = socket.as_raw_fd();
    match is_v6 {
        true => set(descriptor, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
        false => set(descriptor, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
    }
}

/// Asks for room for this many bytes in the queue that an option names, beyond the limit of the system where this process
/// may do that; what it gets is less without the privilege. Bytes of payload take about half of it.
pub(super) fn set_buffer(socket: &impl AsRawFd, forced: i32, plain: i32, bytes: usize) -> io::Result<usize> {
    let descriptor = socket.as_raw_fd();
    let wanted = i32::try_from(bytes).unwrap_or(i32::MAX);
    if set(descriptor, libc::SOL_SOCKET, forced, wanted).is_err() {
        set(descriptor, libc::SOL_SOCKET, plain, wanted)?;
    }
    // The kernel doubles what it is asked for, for what it keeps beside the bytes (socket(7)).
    Ok(get(descriptor, plain)?.unsigned_abs() as usize / 2)
}

/// Datagrams that came for a socket and were thrown away, because its queue was full; since it is there, modulo 2^32.
/// 0 before Linux 4.12.
pub(super) fn dropped(socket: &impl AsRawFd) -> u32 {
    /// The place of the drops in what SO_MEMINFO tells (`sk_drops` of linux/sock_diag.h).
    const DROPS: usize = 8;
    let mut told = [0u32; DROPS + 1];
    let mut length = size_of_val(&told) as libc::socklen_t;
    // SAFETY: both pointers are valid for the call, and `length` is the size of `told`.
    let result = unsafe {
        let (level, name) = (libc::SOL_SOCKET, libc::SO_MEMINFO);
        libc::getsockopt(socket.as_raw_fd(), level, name, told.as_mut_ptr().cast(), &raw mut length)
    };
    if result == 0 && length as usize == size_of_val(&told) { told[DROPS] } else { 0 }
}

/// What tells a socket from all others of the host, whichever process has it (SO_COOKIE of socket(7)).
pub(super) fn cookie(socket: &impl AsRawFd) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: both pointers are valid for the call, and `length` is the size of `cookie`.
    let result = unsafe {
        let (level, name) = (libc::SOL_SOCKET, libc::SO_COOKIE);
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut cookie).cast(), &raw mut length)
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

fn set(descriptor: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` is valid for its size, and the caller has the descriptor open.
    let result = unsafe { libc::setsockopt(descriptor, level, name, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn get(descriptor: RawFd, name: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: both pointers are valid for the call, and `length` is the size of `value`.
    let result = unsafe {
        libc::getsockopt(descriptor, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length)
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
