//! A client of QUIC (RFC 9000): one connection, which a thread keeps alive as a browser's would be.
//!
//! Nothing is read off a stream unless a test does so, and no window opens before that.
#![expect(clippy::disallowed_types, reason = "tests may wait for each other; the rule guards the workers")]

use super::clock::{PATIENCE, now};
use super::quic_driver::{self, Driven};
use super::quic_tls::QuicTls;
use bytes::Bytes;
use quinn_proto::{
    ClientConfig, ConnectionError, ConnectionId, ConnectionStats, Dir, Endpoint, EndpointConfig, FinishError,
    IdleTimeout, ReadError, SendStream, StreamId, TransportConfig, VarInt, WriteError,
    crypto::rustls::QuicClientConfig,
};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a client connects.
#[derive(Clone)]
pub(crate) struct QuicOptions {
    pub(crate) tls: QuicTls,
    pub(crate) server_name: String,
    /// Bytes that the peer may send on a stream, and on all of them, before something is read.
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    /// Unidirectional streams that the peer may have at a time.
    pub(crate) unidirectional_streams: u32,
    pub(crate) idle_timeout: Duration,
    /// The address to connect from, if not the one that the kernel chooses.
    pub(crate) source: Option<IpAddr>,
    /// What the first connection ID begins with, by which a server chooses the worker; None: at random.
    pub(crate) first_word: Option<u32>,
}

impl Default for QuicOptions {
    fn default() -> QuicOptions {
        QuicOptions {
            tls: QuicTls::of_the_kit(),
            server_name: "test.example".to_owned(),
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            unidirectional_streams: 16,
            idle_timeout: 3 * PATIENCE,
            source: None,
            first_word: None,
        }
    }
}

/// Why a connection is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Closed {
    /// The peer's CONNECTION_CLOSE of type 0x1d: a code of HTTP/3.
    Application {
        code: u64,
        reason: String,
    },
    /// The peer's CONNECTION_CLOSE of type 0x1c: a code of QUIC, such as a TLS alert plus 0x100.
    Transport {
        code: u64,
        reason: String,
    },
    /// The peer broke the rules of QUIC, as this client sees it.
    Broken(String),
    StatelessReset,
    TimedOut,
}

/// Bytes of a stream, and whether it is over.
pub(super) struct Read {
    pub(super) bytes: Vec<u8>,
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Finished,
    /// RESET_STREAM with this code.
    Reset(u64),
}

/// One connection.
pub(crate) struct Quic {
    shared: Arc<Shared>,
    driver: Option<JoinHandle<()>>,
    leaves_without_notice: bool,
}

pub(super) struct Shared {
    driven: Mutex<Driven>,
    /// Something happened.
    pub(super) changed: Condvar,
    /// A byte here wakes the thread.
    waker: UnixStream,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Driven> {
        self.driven.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wake(&self) {
        use io::Write;
        // A full pipe wakes, too.
        let _ = (&self.waker).write(&[0]);
    }
}

impl Quic {
    /// Connects, and waits until the handshake is over.
    pub(crate) fn connect(address: SocketAddr, options: &QuicOptions) -> io::Result<Quic> {
        let quic = Quic::begin(address, options)?;
        quic.wait_for(|driven| driven.is_connected.then_some(()))?;
        Ok(quic)
    }

    /// Connects without waiting.
    pub(crate) fn begin(address: SocketAddr, options: &QuicOptions) -> io::Result<Quic> {
        let socket = bind(options.source, address)?;
        let client = client_config(options)?;
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let (handle, connection) =
            endpoint.connect(now(), client, address, &options.server_name).map_err(io::Error::other)?;
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let mut driven = Driven::new(endpoint, handle, connection, socket);
        driven.turn(now());
        let shared = Arc::new(Shared { driven: Mutex::new(driven), changed: Condvar::new(), waker });
        let theirs = Arc::clone(&shared);
        let driver = std::thread::spawn(move || quic_driver::run(&theirs, woken));
        Ok(Quic { shared, driver: Some(driver), leaves_without_notice: false })
    }

    /// Whether the handshake is over within this time.
    pub(crate) fn is_connected_within(&self, bound: Duration) -> bool {
        self.wait_within(bound, |driven| driven.is_connected.then_some(())).is_some()
    }

    /// Whether the ticket of an earlier session let the client send data with its first packets.
    pub(crate) fn has_early_data(&self) -> bool {
        self.shared.lock().connection.has_0rtt()
    }

    /// Opens a stream, once the peer allows one more.
    pub(super) fn open(&self, direction: Dir) -> io::Result<u64> {
        self.wait_for(|driven| driven.connection.streams().open(direction)).map(u64::from)
    }

    /// Opens a stream if the peer allows one more at present.
    pub(super) fn try_open(&self, direction: Dir) -> Option<u64> {
        self.with(|driven| driven.connection.streams().open(direction)).map(u64::from)
    }

    /// Sends as much as windows and buffers take, and says how much that was. If it is all and `ends` the stream, the
    /// end comes with the last bytes.
    pub(super) fn write(&self, stream: u64, bytes: &[u8], ends: bool) -> io::Result<usize> {
        self.with(|driven| {
            let mut sink = driven.connection.send_stream(id(stream));
            let written = match sink.write(bytes) {
                Ok(written) => written,
                Err(WriteError::Blocked) => {
                    return driven.lost.as_ref().map_or(Ok(0), |lost| Err(lost.clone().into()));
                }
                Err(WriteError::Stopped(code)) => return Err(stopped(code.into_inner())),
                Err(WriteError::ClosedStream) => return Err(ErrorKind::BrokenPipe.into()),
            };
            if ends && written == bytes.len() {
                finish(&mut sink)?;
            }
            Ok(written)
        })
    }

    /// Ends our side of a stream.
    pub(super) fn finish(&self, stream: u64) -> io::Result<()> {
        self.with(|driven| finish(&mut driven.connection.send_stream(id(stream))))
    }

    /// RESET_STREAM.
    pub(super) fn reset(&self, stream: u64, code: u64) -> io::Result<()> {
        self.with(|driven| driven.connection.send_stream(id(stream)).reset(varint(code)))
            .map_err(io::Error::other)
    }

    /// STOP_SENDING.
    pub(super) fn stop(&self, stream: u64, code: u64) -> io::Result<()> {
        self.with(|driven| driven.connection.recv_stream(id(stream)).stop(varint(code)))
            .map_err(io::Error::other)
    }

    /// Reads at most `limit` bytes, which opens windows.
    pub(super) fn read(&self, stream: u64, limit: usize) -> Read {
        self.with(|driven| {
            let mut read = Read { bytes: Vec::new(), end: None };
            let mut source = driven.connection.recv_stream(id(stream));
            let Ok(mut chunks) = source.read(true) else { return read };
            while read.bytes.len() < limit {
                match chunks.next(limit - read.bytes.len()) {
                    Ok(Some(chunk)) => read.bytes.extend_from_slice(&chunk.bytes),
                    Ok(None) => read.end = Some(End::Finished),
                    Err(ReadError::Reset(code)) => read.end = Some(End::Reset(code.into_inner())),
                    Err(ReadError::Blocked) => break,
                }
                if read.end.is_some() {
                    break;
                }
            }
            let _ = chunks.finalize();
            read
        })
    }

    /// The streams of which something may have come, since they were last taken.
    pub(super) fn take_readable(&self) -> Vec<u64> {
        let mut driven = self.shared.lock();
        std::mem::take(&mut driven.readable).into_iter().map(u64::from).collect()
    }

    /// The streams on which the peer wants nothing more, with its codes, since they were last taken.
    pub(super) fn take_stopped(&self) -> Vec<(u64, u64)> {
        let mut driven = self.shared.lock();
        std::mem::take(&mut driven.stopped).into_iter().map(|(stream, code)| (stream.into(), code)).collect()
    }

    /// Counts what happened, for [`Quic::wait_for_change`].
    pub(super) fn changes(&self) -> u64 {
        self.shared.lock().changes
    }

    /// Waits until more has happened than this, or the connection is over. False when nothing did in that time.
    pub(super) fn wait_for_change(&self, known: u64, bound: Duration) -> bool {
        let changed = self
            .wait_within(bound, |driven| (driven.changes != known || driven.lost.is_some()).then_some(()));
        changed.is_some()
    }

    /// Why the connection is over, if it is.
    pub(crate) fn is_closed(&self) -> Option<Closed> {
        self.shared.lock().lost.as_ref().map(closed)
    }

    /// Waits for the end of the connection and tells why it came.
    pub(crate) fn closed(&self) -> Closed {
        self.closed_within(PATIENCE).expect("the peer closes the connection")
    }

    pub(crate) fn closed_within(&self, bound: Duration) -> Option<Closed> {
        self.wait_within(bound, |driven| driven.lost.as_ref().map(closed))
    }

    /// Closes the connection with a code of HTTP/3.
    pub(crate) fn close(&self, code: u64, reason: &str) {
        let reason = Bytes::copy_from_slice(reason.as_bytes());
        self.with(|driven| driven.connection.close(now(), varint(code), reason));
    }

    /// From now on the connection is silent, to the end and beyond: the peer is told of nothing.
    pub(crate) fn vanish(&mut self) {
        self.leaves_without_notice = true;
        self.stop_driver();
    }

    /// Goes over to new keys (RFC 9001 §6).
    pub(crate) fn update_keys(&self) {
        self.with(|driven| {
            driven.connection.force_key_update();
            driven.connection.ping();
        });
    }

    /// Goes on from another local port: as a client that knows and takes a new connection id for it, or as one whose
    /// address was translated anew.
    pub(crate) fn move_to_another_port(&self, is_known: bool) -> io::Result<SocketAddr> {
        let mut driven = self.shared.lock();
        let (old, peer) = (driven.socket.local_addr()?, driven.socket.peer_addr()?);
        let socket = bind(Some(old.ip()), peer)?;
        let address = socket.local_addr()?;
        driven.socket = Arc::new(socket);
        if is_known {
            driven.connection.local_address_changed();
        } else {
            driven.connection.ping();
        }
        driven.turn(now());
        drop(driven);
        self.shared.wake();
        Ok(address)
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.shared.lock().socket.local_addr().expect("it is bound")
    }

    /// Sends bytes as a datagram of the connection's port.
    pub(crate) fn send_datagram(&self, datagram: &[u8]) -> io::Result<()> {
        self.shared.lock().socket.send(datagram).map(|_| ())
    }

    pub(crate) fn ping(&self) {
        self.with(|driven| driven.connection.ping());
    }

    pub(crate) fn stats(&self) -> ConnectionStats {
        self.shared.lock().connection.stats()
    }

    /// Does something with the connection and sends what comes of it.
    fn with<T>(&self, act: impl FnOnce(&mut Driven) -> T) -> T {
        let mut driven = self.shared.lock();
        let outcome = act(&mut driven);
        driven.turn(now());
        if driven.wants_to_wake_earlier() {
            self.shared.wake();
        }
        outcome
    }

    /// Waits until `found` gives something or the connection is over.
    fn wait_for<T>(&self, mut found: impl FnMut(&mut Driven) -> Option<T>) -> io::Result<T> {
        let outcome = self.wait_within(PATIENCE, |driven| match (found(driven), &driven.lost) {
            (Some(found), _) => Some(Ok(found)),
            (None, Some(lost)) => Some(Err(lost.clone().into())),
            (None, None) => None,
        });
        outcome.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()))
    }

    fn wait_within<T>(&self, bound: Duration, mut found: impl FnMut(&mut Driven) -> Option<T>) -> Option<T> {
        let end = now() + bound;
        let mut driven = self.shared.lock();
        loop {
            if let Some(found) = found(&mut driven) {
                return Some(found);
            }
            let left = end.saturating_duration_since(now());
            if left.is_zero() {
                return None;
            }
            let waited = self.shared.changed.wait_timeout(driven, left);
            driven = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    fn stop_driver(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.wake();
        if let Some(driver) = self.driver.take() {
            let _ = driver.join();
        }
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        const H3_NO_ERROR: u64 = 0x100;
        if !self.leaves_without_notice {
            self.close(H3_NO_ERROR, "");
        }
        self.stop_driver();
    }
}

/// The datagrams that a connection begins with, which nobody goes on with.
pub(crate) fn first_flight(options: &QuicOptions) -> io::Result<Vec<Vec<u8>>> {
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 443));
    let begun = endpoint.connect(now(), client_config(options)?, anywhere, &options.server_name);
    let (_, mut connection) = begun.map_err(io::Error::other)?;
    let next = || {
        let mut datagram = Vec::new();
        connection.poll_transmit(now(), 1, &mut datagram).map(|_| datagram)
    };
    Ok(std::iter::from_fn(next).collect())
}

fn client_config(options: &QuicOptions) -> io::Result<ClientConfig> {
    let crypto = QuicClientConfig::try_from(Arc::clone(&options.tls.config)).map_err(io::Error::other)?;
    let mut client = ClientConfig::new(Arc::new(crypto));
    client.transport_config(Arc::new(transport(options)?));
    if let Some(word) = options.first_word {
        client.initial_dst_cid_provider(Arc::new(move || {
            let random = RandomState::new().build_hasher().finish().to_be_bytes();
            ConnectionId::new(&[&word.to_be_bytes()[..], &random].concat())
        }));
    }
    Ok(client)
}

fn bind(source: Option<IpAddr>, peer: SocketAddr) -> io::Result<UdpSocket> {
    let any = if peer.is_ipv4() { "0.0.0.0" } else { "::" };
    let source = source.unwrap_or_else(|| any.parse().expect("an address"));
    let socket = UdpSocket::bind((source, 0))?;
    // Answers that come from another address are not for this client.
    socket.connect(peer)?;
    socket.set_nonblocking(true)?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(1 << 20)?;
    Ok(socket)
}

fn transport(options: &QuicOptions) -> io::Result<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(options.stream_window.into())
        .receive_window(options.connection_window.into())
        .max_concurrent_uni_streams(options.unidirectional_streams.into())
        .max_idle_timeout(Some(IdleTimeout::try_from(options.idle_timeout).map_err(io::Error::other)?));
    Ok(transport)
}

fn closed(lost: &ConnectionError) -> Closed {
    let text = |reason: &[u8]| String::from_utf8_lossy(reason).into_owned();
    match lost {
        ConnectionError::ApplicationClosed(close) => {
            Closed::Application { code: close.error_code.into_inner(), reason: text(&close.reason) }
        }
        ConnectionError::ConnectionClosed(close) => {
            Closed::Transport { code: close.error_code.into(), reason: text(&close.reason) }
        }
        ConnectionError::Reset => Closed::StatelessReset,
        ConnectionError::TimedOut => Closed::TimedOut,
        other => Closed::Broken(other.to_string()),
    }
}

/// One that the peer has stopped is over already.
fn finish(stream: &mut SendStream<'_>) -> io::Result<()> {
    match stream.finish() {
        Ok(()) | Err(FinishError::Stopped(_)) => Ok(()),
        Err(closed) => Err(io::Error::other(closed)),
    }
}

fn stopped(code: u64) -> io::Error {
    io::Error::new(ErrorKind::ConnectionReset, format!("stopped with code {code:#x}"))
}

fn id(stream: u64) -> StreamId {
    varint(stream).into()
}

fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).expect("it is below 2^62")
}
