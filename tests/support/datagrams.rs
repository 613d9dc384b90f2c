//! Clients and backends of UDP.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::clock::PATIENCE;

/// A backend that answers each datagram with others. Dropping it closes its socket, so that its host says of what still
/// comes that nobody receives there.
pub(crate) struct UdpBackend {
    address: SocketAddr,
    received: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpBackend {
    /// Answers with the name and what came.
    pub(crate) fn echo(name: &'static str) -> UdpBackend {
        UdpBackend::answering(move |came| vec![[name.as_bytes(), came].concat()])
    }

    /// Answers as the function says.
    pub(crate) fn answering(answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> UdpBackend {
        UdpBackend::at("127.0.0.1:0".parse().expect("an address"), answers)
    }

    pub(crate) fn at(
        address: SocketAddr,
        answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> UdpBackend {
        let socket = UdpSocket::bind(address).expect("an address to bind");
        let address = socket.local_addr().expect("its address");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout can be set");
        let (received, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, over) = (Arc::clone(&received), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !over.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    counter.fetch_add(1, Ordering::Relaxed);
                    for answer in answers(&buffer[..length]) {
                        // Whoever has gone wants none.
                        let _ = socket.send_to(&answer, from);
                    }
                }
            }
        });
        UdpBackend { address, received, is_over, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many datagrams have come.
    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for UdpBackend {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client with a port of its own, which hears the one that it has asked alone.
pub(crate) struct UdpClient(UdpSocket);

impl UdpClient {
    pub(crate) fn connect(to: SocketAddr) -> UdpClient {
        let from = if to.is_ipv4() { "127.0.0.1" } else { "::1" };
        UdpClient::connect_from(from.parse().expect("an address"), to)
    }

    pub(crate) fn connect_from(from: IpAddr, to: SocketAddr) -> UdpClient {
        let socket = UdpSocket::bind((from, 0)).expect("a port");
        socket.connect(to).expect("it can be connected");
        UdpClient(socket)
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.0.local_addr().expect("its address")
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("it can be sent");
    }

    /// The same where nobody may be there any more.
    pub(crate) fn try_send(&self, bytes: impl AsRef<[u8]>) -> std::io::Result<usize> {
        self.0.send(bytes.as_ref())
    }

    /// The next answer.
    pub(crate) fn receive(&self) -> Vec<u8> {
        self.receive_within(PATIENCE).expect("an answer")
    }

    /// The next answer as text.
    pub(crate) fn receive_text(&self) -> String {
        String::from_utf8(self.receive()).expect("text")
    }

    pub(crate) fn receive_within(&self, bound: Duration) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(bound)).expect("a timeout can be set");
        let mut buffer = vec![0; 65_536];
        let length = self.0.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// Asks and gives the answer as text.
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes);
        self.receive_text()
    }

    /// Asks until somebody answers, as clients of UDP do.
    pub(crate) fn ask_again_and_again(&self, bytes: impl AsRef<[u8]>) -> String {
        let answer = super::clock::within(PATIENCE, || {
            self.send(bytes.as_ref());
            self.receive_within(Duration::from_millis(100))
        });
        String::from_utf8(answer.expect("an answer in the end")).expect("text")
    }

    /// Lets the kernel cut what is sent into datagrams of this size (UDP_SEGMENT of udp(7)).
    pub(crate) fn cut_into(&self, size: i32) {
        let length = size_of::<i32>() as libc::socklen_t;
        // SAFETY: `size` is valid for its size, and the socket is open.
        let result = unsafe {
            let (socket, value) = (self.0.as_raw_fd(), (&raw const size).cast());
            libc::setsockopt(socket, libc::SOL_UDP, libc::UDP_SEGMENT, value, length)
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}
