//! A UDP socket that sends and takes many datagrams in one system call, and loses some if it is told to.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The kernel takes no longer run of datagrams, and gives none.
const LONGEST: usize = 65_536;
/// Room for one control message with a number.
const CONTROL: usize = 64;

/// Control messages, aligned as their headers have to be.
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// The client's end of the wire.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    buffer: Vec<u8>,
    loss: Loss,
}

impl Datagrams {
    /// To and from one address. `loss` is the share of datagrams that are dropped each way, in per cent.
    pub(crate) fn connect(address: SocketAddr, loss: f64) -> io::Result<Datagrams> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        // The client must not be what loses datagrams. As root this passes over `net.core.rmem_max`.
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20)
            .or_else(|_| set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 16 << 20))?;
        set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1)?;
        Ok(Datagrams { socket, buffer: vec![0; LONGEST], loss: Loss::new(loss) })
    }

    /// Sends a run of datagrams of `segment` bytes each; the last may be shorter. What has no room is lost, as on any wire.
    pub(crate) fn send(&mut self, run: &[u8], segment: usize) {
        if self.loss.is_none() && run.len() > segment {
            return self.send_run(run, segment);
        }
        for datagram in run.chunks(segment.max(1)) {
            if !self.loss.takes_next() {
                // An error is one of an earlier datagram, or a full buffer; QUIC sends again.
                drop(self.socket.send(datagram));
            }
        }
    }

    fn send_run(&self, run: &[u8], segment: usize) {
        let mut control = Control([0; CONTROL]);
        let mut part = libc::iovec { iov_base: run.as_ptr().cast_mut().cast(), iov_len: run.len() };
        // SAFETY: a msghdr of zeroes is an empty one.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: arithmetic only.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<u16>() as u32) } as usize;
        // SAFETY: `control` is aligned and longer than msg_controllen, which holds one header and a u16; all that `message`
        // points at outlives the call.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_UDP;
            (*header).cmsg_type = libc::UDP_SEGMENT;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as usize;
            libc::CMSG_DATA(header).cast::<u16>().write_unaligned(segment as u16);
            libc::sendmsg(self.socket.as_raw_fd(), &message, 0);
        }
    }

    /// Calls `take` with each datagram of the next run. False: none is there.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        let Some((length, segment)) = self.receive_run()? else { return Ok(false) };
        for datagram in self.buffer[..length].chunks(segment.max(1)) {
            if !self.loss.takes_next() {
                take(datagram);
            }
        }
        Ok(true)
    }

    /// The length of a run in `buffer`, and of each datagram in it.
    fn receive_run(&mut self) -> io::Result<Option<(usize, usize)>> {
        let mut control = Control([0; CONTROL]);
        let mut part = libc::iovec { iov_base: self.buffer.as_mut_ptr().cast(), iov_len: self.buffer.len() };
        // SAFETY: a msghdr of zeroes is an empty one.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL;
        // SAFETY: `message` points at `buffer` and `control`, with their lengths, and both outlive the call.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut message, 0) };
        if length < 0 {
            let error = io::Error::last_os_error();
            let none = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused);
            return if none { Ok(None) } else { Err(error) };
        }
        // SAFETY: the kernel has filled `control` for as many bytes as msg_controllen says now.
        let segment = unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            let given = !header.is_null()
                && (*header).cmsg_level == libc::SOL_UDP
                && (*header).cmsg_type == libc::UDP_GRO;
            given.then(|| libc::CMSG_DATA(header).cast::<i32>().read_unaligned() as usize)
        };
        Ok(Some((length as usize, segment.unwrap_or(length as usize))))
    }

    /// Waits until a datagram is there, at most so long.
    pub(crate) fn wait(&self, time: Duration) {
        let mut entry = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let time = libc::timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        // SAFETY: both pointers are to locals that outlive the call, which takes one entry.
        unsafe { libc::ppoll(&mut entry, 1, &time, std::ptr::null()) };
    }
}

fn set(socket: &UdpSocket, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let done = unsafe {
        let value = std::ptr::from_ref(&value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, value, size_of::<i32>() as u32)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Which datagrams are lost: the same ones in each run of the program, so that all proxies lose alike.
struct Loss {
    /// Of 2^32.
    threshold: u64,
    state: u64,
}

impl Loss {
    fn new(percent: f64) -> Loss {
        Loss { threshold: (percent / 100.0 * (1_u64 << 32) as f64) as u64, state: 0x9e37_79b9_7f4a_7c15 }
    }

    fn is_none(&self) -> bool {
        self.threshold == 0
    }

    /// Xorshift (Marsaglia 2003).
    fn takes_next(&mut self) -> bool {
        if self.is_none() {
            return false;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 32 < self.threshold
    }
}
