//! Listening sockets: one per worker and address, sharing the port (SO_REUSEPORT).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use monoio::net::UnixStream;
use socket2::Domain;
use socket2::Protocol;
use socket2::SockFilter;
use socket2::Socket as RawSocket;
use socket2::Type;

use crate::net::address::TransportKind;
use crate::net::clock::instant_now;
use crate::net::socket::Socket;
use crate::net::socket::keep_alive;
use crate::net::socket::tcp_info;
use crate::net::socket::wants_nonblocking;
use crate::net::udp::listening::BUFFER_BYTES;
use crate::net::udp::listening::BoundUdp;
use crate::net::udp::listening::SharedPort;
use crate::net::udp::steering;

/// Connections that may wait to be accepted, per worker; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// How long a start waits for addresses that are in use. io_uring closes the sockets of a process that was killed a moment
/// after the process is gone, and service managers start the next one at once.
pub const START_PATIENCE: Duration = Duration::from_secs(1);

/// How often to look whether an address that is in use has become free.
pub const ADDRESS_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Whether somebody has the address.
pub fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Tries until the outcome is another one than an address that `is_taken`, or it is the `end`. Blocks the thread.
pub fn until_free<T, E>(
    end: Instant,
    is_taken: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    loop {
        match attempt() {
            Err(error) if is_taken(&error) && instant_now() < end => thread::sleep(ADDRESS_LOOK_INTERVAL),
            outcome => return outcome,
        }
    }
}

/// Bound listening sockets of one address, one for each worker, ready to be sent to their threads.
pub struct Bound {
    /// The address with the port that the kernel chose if the configured one was 0.
    pub address: SocketAddr,
    pub kind: TransportKind,
    /// In the order in which they were bound, which is how the kernel numbers them. Behind those, other descriptors of the first
    /// ones may follow.
    sockets: Vec<OwnedFd>,
    /// How many the kernel knows.
    bound: usize,
    /// Bytes that the smallest of the queues of UDP got, where that is far less than was asked for.
    pub small_buffer: Option<usize>,
}

/// A listening socket that another process has opened.
pub struct PassedSocket {
    pub socket: OwnedFd,
    pub kind: TransportKind,
    pub address: SocketAddr,
    /// Whether it takes IPv4, too.
    pub dual_stack: bool,
}

impl PassedSocket {
    /// The one that this process was started with, by its number.
    ///
    /// # Errors
    /// It is neither a listening socket of TCP nor a bound one of UDP.
    pub fn inherited(number: RawFd) -> io::Result<PassedSocket> {
        // SAFETY: asking what a number stands for is harmless whatever it is.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and whoever started this process has told it the number to be its own.
        let socket = RawSocket::from(unsafe { OwnedFd::from_raw_fd(number) });
        socket.set_cloexec(true)?;
        let not_listening =
            || io::Error::new(io::ErrorKind::InvalidInput, "it is no listening socket of TCP or UDP");
        let kind = match socket.r#type()? {
            Type::STREAM if socket.is_listener()? => TransportKind::Tcp,
            Type::DGRAM => TransportKind::Udp,
            _ => return Err(not_listening()),
        };
        let address = socket.local_addr()?.as_socket().ok_or_else(not_listening)?;
        let dual_stack = address.is_ipv6() && !socket.only_v6()?;
        socket.set_nonblocking(true)?;
        if kind == TransportKind::Tcp {
            // Accepted sockets inherit both.
            socket.set_tcp_nodelay(true)?;
            keep_alive(&socket)?;
        }
        Ok(PassedSocket { socket: socket.into(), kind, address, dual_stack })
    }
}

/// Whose sockets may overlap with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    Nobody,
    /// Sockets of our own, as with [`Bound::beside_own`].
    Own,
}

impl Bound {
    /// Binds and listens, `workers` times. `dual_stack` lets `[::]` take IPv4 as well.
    ///
    /// A first socket without SO_REUSEPORT finds out whether somebody else has the address: with
    /// it, a second instance by the same user would silently share our connections.
    pub fn new(
        kind: TransportKind,
        address: SocketAddr,
        dual_stack: bool,
        workers: usize,
    ) -> io::Result<Bound> {
        if kind.is_over_udp() {
            // It is gone before the others are bound: without SO_REUSEPORT it would stand in their way.
            let address = BoundUdp::new(address, dual_stack, SharedPort::No)?.address;
            return Bound::beside_own(kind, address, dual_stack, workers);
        }
        let probe = unbound(address, dual_stack)?;
        probe.bind(&address.into())?;
        let unexpected = || io::Error::other("the kernel named no IP address for the bound socket");
        let address = probe.local_addr()?.as_socket().ok_or_else(unexpected)?;
        drop(probe);
        Bound::beside_own(kind, address, dual_stack, workers)
    }

    /// Whether somebody else has the address, without listening at it.
    pub fn is_taken(
        kind: TransportKind,
        address: SocketAddr,
        dual_stack: bool,
        neighbour: Neighbour,
    ) -> bool {
        let bind = || {
            if kind.is_over_udp() {
                let shared = if neighbour == Neighbour::Own { SharedPort::Yes } else { SharedPort::No };
                return BoundUdp::new(address, dual_stack, shared).map(drop);
            }
            let socket = unbound(address, dual_stack)?;
            socket.set_reuse_port(neighbour == Neighbour::Own)?;
            socket.bind(&address.into())
        };
        bind().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }

    /// The same where a socket of our own overlaps with the address, and would be found in its way.
    pub fn beside_own(
        kind: TransportKind,
        address: SocketAddr,
        dual_stack: bool,
        workers: usize,
    ) -> io::Result<Bound> {
        let sockets = Vec::with_capacity(workers);
        let mut bound = Bound { address, kind, sockets, bound: workers, small_buffer: None };
        let of_udp = match kind {
            TransportKind::Tcp => Vec::new(),
            TransportKind::Udp => {
                let bind = |_| BoundUdp::new(address, dual_stack, SharedPort::Yes);
                (0..workers).map(bind).collect::<io::Result<_>>()?
            }
            TransportKind::Quic => steering::bind_group(address, dual_stack, workers as u32)?,
        };
        if kind.is_over_udp() {
            for socket in of_udp {
                let least = socket.receive_buffer.min(socket.send_buffer);
                bound.small_buffer = (least < BUFFER_BYTES / 2).then_some(least);
                bound.sockets.push(socket.socket);
            }
            return Ok(bound);
        }
        for _ in 0..workers {
            let socket = unbound(address, dual_stack)?;
            socket.set_reuse_port(true)?;
            // Accepted sockets inherit both, which saves system calls per connection.
            socket.set_tcp_nodelay(true)?;
            keep_alive(&socket)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            bound.sockets.push(socket.into());
        }
        Ok(bound)
    }

    /// Sockets of an address that another process has opened, and more where there are fewer than workers. Where no more
    /// can be bound, as where another user has opened these, several workers accept on one. Of QUIC, there are never more: the
    /// kernel steers to as many as there were.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn inherited(
        (kind, address, dual_stack): (TransportKind, SocketAddr, bool),
        sockets: Vec<OwnedFd>,
        workers: usize,
    ) -> io::Result<Bound> {
        for socket in &sockets {
            // Who had it before may have begun to refuse; without a filter there is nothing to detach.
            drop(socket2::SockRef::from(socket).detach_filter());
        }
        let count = sockets.len();
        let mut bound = Bound { address, kind, sockets, bound: count, small_buffer: None };
        let Some(missing @ 1..) = workers.checked_sub(count) else { return Ok(bound) };
        let more = match kind {
            TransportKind::Quic => None,
            _ => Bound::beside_own(kind, address, dual_stack, missing).ok(),
        };
        match more {
            Some(more) => {
                bound.sockets.extend(more.sockets);
                bound.bound = workers;
            }
            None => {
                let shared = bound.sockets.iter().cycle().take(missing).map(OwnedFd::try_clone);
                let shared = shared.collect::<io::Result<Vec<_>>>()?;
                bound.sockets.extend(shared);
            }
        }
        Ok(bound)
    }

    /// How many sockets there are, and how many descriptors of them.
    pub fn counts(&self) -> (usize, usize) {
        (self.bound, self.sockets.len())
    }

    /// A descriptor for each worker at least, with its index, by which the kernel knows the socket if there is one with it.
    pub fn into_sockets(self) -> impl Iterator<Item = (usize, OwnedFd)> {
        self.sockets.into_iter().enumerate()
    }
}

fn unbound(address: SocketAddr, dual_stack: bool) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    // Accepting is done in batches until nothing waits.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether accepting failed for the one connection alone, so that the next one may succeed: accept(2) passes
/// on what the network reports of a connection that waits.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    const OF_ONE: [i32; 8] = [
        libc::ECONNABORTED,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::ENETDOWN,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
    ];
    error.raw_os_error().is_some_and(|number| OF_ONE.contains(&number))
}

/// Whether the process or the host has all the descriptors that it may have.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// What helps when connections cannot be accepted.
pub fn cure_of_accepting(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => "raise the descriptor limit (LimitNOFILE=) or lower max_connections",
        Some(libc::ENFILE) => "the whole host is out of descriptors: raise sysctl fs.file-max",
        Some(libc::ENOBUFS | libc::ENOMEM) => {
            "memory for sockets is short: see sysctl net.ipv4.tcp_mem and the memory limit of the service \
             (MemoryMax=)"
        }
        Some(libc::EPERM | libc::EACCES) => "a security policy of this host forbids it: see its audit log",
        _ => "it is tried again ten times a second; if it stays so, restart Ringway",
    }
}

/// One worker's listening socket.
pub struct Acceptor {
    /// The driver only polls it, so that a listening socket can stand where monoio has a stream.
    stream: UnixStream,
}

impl Acceptor {
    /// To be called on the worker's thread.
    pub fn new(listening: OwnedFd) -> io::Result<Acceptor> {
        Ok(Acceptor { stream: UnixStream::from_std(StdUnixStream::from(listening))? })
    }

    /// Waits until a connection can be accepted.
    pub async fn ready(&self) -> io::Result<()> {
        self.stream.readable(false).await
    }

    /// Another descriptor of the socket, for a process that is to accept on it.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        // SAFETY: the descriptor is open as long as `self` is.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }.try_clone_to_owned()
    }

    /// Whether a connection waits, without accepting it.
    pub fn waits(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one valid entry; a timeout of zero never waits.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    /// How many connections wait to be accepted.
    pub fn waiting(&self) -> usize {
        // For a listening socket, Linux tells the length of its queue where others tell of packets.
        tcp_info(self.stream.as_raw_fd()).map_or(0, |info| info.tcpi_unacked as usize)
    }

    /// Accepts one connection if one waits.
    pub fn accept(&self) -> io::Result<Option<(AcceptedSocket, SocketAddr)>> {
        // SAFETY: all-zero bytes are a valid `sockaddr_storage`.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let is_nonblocking = wants_nonblocking();
        let flags = libc::SOCK_CLOEXEC | if is_nonblocking { libc::SOCK_NONBLOCK } else { 0 };
        // SAFETY: both pointers are valid for the call, and `length` is the storage's size.
        let descriptor = unsafe {
            libc::accept4(self.stream.as_raw_fd(), (&raw mut storage).cast(), &raw mut length, flags)
        };
        if descriptor < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        // SAFETY: the kernel just returned this descriptor, and nobody else has it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Some((AcceptedSocket { descriptor, is_nonblocking }, peer_address(&storage)?)))
    }

    /// Lets no further connection begin, while those whose handshake is under way still complete.
    ///
    /// Closing a listening socket resets what waits in its queue, and whatever arrives between the
    /// last accept and the close. So a packet filter first drops every SYN (the client's kernel
    /// repeats it a second later, for our successor to answer or to learn that nobody listens).
    pub fn refuse_new(&self) -> io::Result<()> {
        const TCP_FLAGS_OFFSET: u32 = 13;
        const SYN: u32 = 0x02;
        const DROP: u32 = 0;
        const PASS: u32 = u32::MAX;
        let instruction = |code: u32, jump_true: u8, jump_false: u8, k: u32| {
            // Opcodes are below 256.
            SockFilter::new(code as u16, jump_true, jump_false, k)
        };
        let filter = [
            instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, TCP_FLAGS_OFFSET),
            instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, SYN),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, DROP),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, PASS),
        ];
        // SAFETY: the descriptor is open as long as `self` is.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) };
        socket2::SockRef::from(&descriptor).attach_filter(&filter)
    }
}

/// A connection that was accepted and that no worker's driver knows yet, so that any worker can serve it.
pub struct AcceptedSocket {
    descriptor: OwnedFd,
    is_nonblocking: bool,
}

impl AcceptedSocket {
    /// Takes it over into the driver of the calling worker, which may be of another kind than that of the one that
    /// accepted it.
    pub fn adopt(self) -> io::Result<Socket> {
        let wanted = wants_nonblocking();
        if self.is_nonblocking != wanted {
            socket2::SockRef::from(&self.descriptor).set_nonblocking(wanted)?;
        }
        Socket::adopt(self.descriptor)
    }
}

fn peer_address(storage: &libc::sockaddr_storage) -> io::Result<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a `sockaddr_in`.
            let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = std::net::Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Ok((ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage holds a `sockaddr_in6`.
            let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = std::net::Ipv6Addr::from(v6.sin6_addr.s6_addr);
            // A dual-stack socket reports IPv4 clients in mapped form; rules and logs want the
            // address that the client has.
            Ok((ip.to_canonical(), u16::from_be(v6.sin6_port)).into())
        }
        family => Err(io::Error::other(format!("accepted a connection of address family {family}"))),
    }
}

#[cfg(test)]
mod tests {
    use monoio::IoUringDriver;
    use monoio::LegacyDriver;
    use monoio::RuntimeBuilder;

    use super::*;

    /// Whether a socket does not block once the driver of this thread has it.
    fn is_nonblocking_when_adopted(accepted: AcceptedSocket) -> bool {
        let descriptor = accepted.descriptor.as_raw_fd();
        let _socket = accepted.adopt().unwrap();
        // SAFETY: the call takes no pointers.
        unsafe { libc::fcntl(descriptor, libc::F_GETFL) & libc::O_NONBLOCK != 0 }
    }

    #[test]
    fn a_worker_can_serve_what_one_with_another_driver_has_accepted() {
        for is_nonblocking in [false, true] {
            let accepted = || {
                let (socket, _peer) = StdUnixStream::pair().unwrap();
                socket.set_nonblocking(is_nonblocking).unwrap();
                AcceptedSocket { descriptor: socket.into(), is_nonblocking }
            };
            let mut epoll = RuntimeBuilder::<LegacyDriver>::new().build().unwrap();
            assert!(epoll.block_on(async { is_nonblocking_when_adopted(accepted()) }));
            if let Ok(mut ring) = RuntimeBuilder::<IoUringDriver>::new().build() {
                assert!(!ring.block_on(async { is_nonblocking_when_adopted(accepted()) }));
            }
        }
    }
}
