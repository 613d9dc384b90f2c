//! A connection in cleartext or under TLS, with the same operations.
#![expect(clippy::disallowed_types, reason = "tests may wait for each other; the rule guards the workers")]

use super::clock::PATIENCE;
use rustls::Connection;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// One end of a connection. A clone is another handle of the same connection.
#[derive(Clone)]
pub(crate) struct Wire {
    tcp: Arc<TcpStream>,
    tls: Option<Arc<Tls>>,
}

struct Tls {
    session: Mutex<Connection>,
    /// Received, and not yet taken by a session that was full.
    unread: Mutex<Vec<u8>>,
    /// Held while records leave, so that they keep their order.
    outgoing: Mutex<()>,
    leaves_without_notice: AtomicBool,
}

/// How long a client waits for a handshake before it leaves it to the first read.
const GLANCE: Duration = Duration::from_millis(60);

/// The addresses at which a Ringway of this process expects TLS.
static SECURED: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());

/// Notes what is spoken at an address.
pub(super) fn note(address: SocketAddr, is_secured: bool) {
    let mut secured = lock(&SECURED);
    if is_secured {
        secured.insert(address)
    } else {
        secured.remove(&address)
    };
}

fn is_secured(address: SocketAddr) -> bool {
    let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
    let secured = lock(&SECURED);
    secured.contains(&address) || secured.contains(&everywhere)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Wire {
    /// Connects, by TLS where a Ringway of the kit expects it. A connection that is not accepted at once
    /// is left to wait: what is sent is kept until then. A handshake that fails shows in what is read.
    pub(crate) fn connect(address: SocketAddr) -> Wire {
        Wire::connect_behind(address, b"")
    }

    /// The same with bytes in front of everything, together with what TLS says first.
    pub(crate) fn connect_behind(address: SocketAddr, preamble: &[u8]) -> Wire {
        Wire::try_connect(address, preamble)
            .unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    /// The same where the peer may be gone.
    pub(crate) fn try_connect(address: SocketAddr, preamble: &[u8]) -> io::Result<Wire> {
        let mut wire = Wire::open(address)?;
        if is_secured(address) {
            wire.begin(super::tls::client_session().into(), preamble)?;
            wire.advance(GLANCE);
        } else {
            wire.write_all(preamble)?;
        }
        Ok(wire)
    }

    /// Connects, by TLS where a Ringway of the kit expects it, and asks for this protocol there.
    pub(crate) fn connect_speaking(address: SocketAddr, protocol: &str) -> Wire {
        let mut wire = Wire::connect_in_the_clear(address);
        if is_secured(address) {
            let session = super::tls::client_session_speaking(protocol);
            wire.secure(session.into()).unwrap_or_else(|error| panic!("TLS with {address}: {error}"));
            let agreed = wire.session(|session| session.alpn_protocol().map(<[u8]>::to_vec));
            assert_eq!(agreed.as_deref(), Some(protocol.as_bytes()), "ALPN");
        }
        wire
    }

    /// Connects without TLS, whatever is expected.
    pub(crate) fn connect_in_the_clear(address: SocketAddr) -> Wire {
        Wire::open(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    fn open(address: SocketAddr) -> io::Result<Wire> {
        let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        Ok(Wire::plain(tcp))
    }

    pub(crate) fn plain(tcp: TcpStream) -> Wire {
        Wire { tcp: Arc::new(tcp), tls: None }
    }

    /// Makes the connection secure, or tells why not.
    pub(crate) fn secure(&mut self, session: Connection) -> io::Result<()> {
        let tls = self.begin(session, b"")?;
        while tls.is_handshaking() {
            tls.take_in(&self.tcp)?;
        }
        Ok(())
    }

    fn begin(&mut self, session: Connection, preamble: &[u8]) -> io::Result<Arc<Tls>> {
        let mut session = session;
        session.set_buffer_limit(None);
        let tls = Arc::new(Tls {
            session: Mutex::new(session),
            unread: Mutex::default(),
            outgoing: Mutex::new(()),
            leaves_without_notice: AtomicBool::new(false),
        });
        self.tls = Some(tls.clone());
        tls.send(&self.tcp, preamble, b"")?;
        Ok(tls)
    }

    /// Goes on with the handshake as far as it gets in this time.
    fn advance(&self, duration: Duration) {
        let Some(tls) = self.tls.as_ref().filter(|tls| tls.is_handshaking()) else { return };
        let patience = self.tcp.read_timeout().expect("a read timeout is set");
        self.tcp.set_read_timeout(Some(duration)).expect("a read timeout can be set");
        while tls.is_handshaking() && tls.take_in(&self.tcp).is_ok() {}
        self.tcp.set_read_timeout(patience).expect("a read timeout can be set");
    }

    pub(crate) fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether TLS is there and its handshake is not over.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// What TLS knows of the connection.
    pub(crate) fn session<T>(&self, ask: impl FnOnce(&Connection) -> T) -> T {
        ask(&lock(&self.tls.as_ref().expect("the connection is secured").session))
    }

    /// Lets the connection end without close_notify.
    pub(crate) fn close_without_notify(&self) {
        if let Some(tls) = &self.tls {
            tls.leaves_without_notice.store(true, Ordering::SeqCst);
        }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Says that no more bytes follow, as TLS does where it is there.
    pub(crate) fn finish_sending(&self) -> io::Result<()> {
        self.close_session()?;
        self.tcp.shutdown(Shutdown::Write)
    }

    /// Sends close_notify, if there is TLS.
    pub(crate) fn close_session(&self) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        lock(&tls.session).send_close_notify();
        tls.send(&self.tcp, b"", b"")
    }
}

impl Tls {
    fn is_handshaking(&self) -> bool {
        lock(&self.session).is_handshaking()
    }

    /// Receives once.
    fn take_in(&self, mut tcp: &TcpStream) -> io::Result<()> {
        let mut received = std::mem::take(&mut *lock(&self.unread));
        if received.is_empty() {
            received.resize(16 * 1024, 0);
            let count = tcp.read(&mut received)?;
            received.truncate(count);
        }
        let count = received.len();
        let mut rest = received.as_slice();
        let taken = {
            let mut session = lock(&self.session);
            loop {
                if session.read_tls(&mut rest).is_err() {
                    // Its content is to be read first.
                    *lock(&self.unread) = rest.to_vec();
                    break Ok(());
                }
                let processed = session.process_new_packets().map_err(io::Error::other);
                if processed.is_err() || rest.is_empty() {
                    break processed.map(drop);
                }
            }
        };
        // What the protocol has to say, such as an alert; if somebody is sending, it leaves with the next.
        if let Ok(_order) = self.outgoing.try_lock() {
            let _ = self.sealed(b"", b"").and_then(|sealed| tcp.write_all(&sealed));
        }
        match taken {
            Ok(()) if count == 0 && self.is_handshaking() => Err(ErrorKind::UnexpectedEof.into()),
            taken => taken,
        }
    }

    /// Sends `content` and whatever else waits, behind bytes that are not sealed.
    fn send(&self, mut tcp: &TcpStream, preamble: &[u8], content: &[u8]) -> io::Result<()> {
        let _order = lock(&self.outgoing);
        tcp.write_all(&self.sealed(preamble, content)?)
    }

    fn sealed(&self, preamble: &[u8], content: &[u8]) -> io::Result<Vec<u8>> {
        let mut sealed = preamble.to_vec();
        let mut session = lock(&self.session);
        session.writer().write_all(content)?;
        while session.wants_write() {
            session.write_tls(&mut sealed)?;
        }
        Ok(sealed)
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return (&*self.tcp).read(buffer) };
        loop {
            match lock(&tls.session).reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            tls.take_in(&self.tcp)?;
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return (&*self.tcp).write(bytes) };
        self.advance(GLANCE);
        tls.send(&self.tcp, b"", bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Wire {
    /// Who leaves in order says so, as far as the kernel takes it at once.
    fn drop(&mut self) {
        let speaks = |tls: &&Arc<Tls>| !tls.leaves_without_notice.load(Ordering::SeqCst);
        let is_last = self.tls.as_ref().filter(speaks).is_some_and(|tls| Arc::strong_count(tls) == 1);
        let lingers = socket2::SockRef::from(&*self.tcp).linger().ok().flatten();
        if is_last && lingers.is_none() && self.tcp.set_nonblocking(true).is_ok() {
            let _ = self.close_session();
        }
    }
}
