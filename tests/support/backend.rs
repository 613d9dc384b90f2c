//! A scripted backend: a closure gets each connection, in a thread of its own.

use super::clock::{PATIENCE, eventually};
use super::message::{Head, Reader, Trailers};
use super::wire::Wire;
use rustls::{Connection, ServerConfig, ServerConnection};
use socket2::{Domain, Socket, Type};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server on a port of loopback. Dropping it stops accepting and closes every connection.
pub(crate) struct Backend {
    address: SocketAddr,
    counters: Arc<Counters>,
    acceptor: Option<JoinHandle<()>>,
}

/// One accepted connection in the hands of a script.
pub(crate) struct Peer {
    wire: Wire,
    reader: Reader<Stoppable>,
    counters: Arc<Counters>,
    /// Which connection this is, counted from 0.
    pub(crate) number: usize,
}

#[derive(Default)]
struct Counters {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: Arc<AtomicUsize>,
    stopped: AtomicBool,
}

/// How often a waiting script looks whether its backend has stopped.
const GLANCE: Duration = Duration::from_millis(20);

impl Backend {
    /// Serves every connection with `script`. An error ends the connection and is no failure: peers hang up.
    pub(crate) fn script(script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Backend {
        Backend::script_on("127.0.0.1:0", script)
    }

    /// Serves every connection with `script` over TLS. A handshake that fails ends the connection.
    pub(crate) fn secured(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        Backend::script(move |peer| {
            let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            peer.secure(session.into())?;
            script(peer)
        })
    }

    /// The same on an address of the test's choice, to come back where another backend went.
    pub(crate) fn script_on(
        address: &str,
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("a listener has an address");
        let counters = Arc::new(Counters::default());
        let (shared, script) = (counters.clone(), Arc::new(script));
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut peer) = stream.and_then(|stream| Peer::new(stream, shared.clone())) else {
                    continue;
                };
                let script = script.clone();
                std::thread::spawn(move || {
                    let _ = script(&mut peer);
                });
            }
        });
        Backend { address, counters, acceptor: Some(acceptor) }
    }

    /// Answers each request with 200 and the head of the request as the body.
    pub(crate) fn echo_head() -> Backend {
        Backend::per_request(|peer, head, _| peer.respond("200 OK", &head.bytes))
    }

    /// Answers each request with 200 and the body of the request.
    pub(crate) fn echo_body() -> Backend {
        Backend::per_request(|peer, _, body| peer.respond("200 OK", body))
    }

    /// Answers each request with exactly these bytes.
    pub(crate) fn fixed(response: impl Into<Vec<u8>>) -> Backend {
        let response = response.into();
        Backend::per_request(move |peer, _, _| peer.write(&response))
    }

    /// Reads a head, sends the first `count` bytes of `response` and closes.
    pub(crate) fn closes_after(response: impl Into<Vec<u8>>, count: usize) -> Backend {
        let response = response.into();
        Backend::script(move |peer| {
            peer.read_request()?;
            peer.write(response.get(..count).unwrap_or(&response))
        })
    }

    /// Reads whatever comes and never answers.
    pub(crate) fn silent() -> Backend {
        Backend::script(|peer| {
            while !peer.read_some()?.is_empty() {}
            Ok(())
        })
    }

    /// Answers each request with these bytes, one at a time with a pause after each.
    pub(crate) fn slow_response(response: impl Into<Vec<u8>>, pause: Duration) -> Backend {
        let response = response.into();
        Backend::per_request(move |peer, _, _| {
            for byte in &response {
                peer.write(&[*byte])?;
                std::thread::sleep(pause);
            }
            Ok(())
        })
    }

    /// Answers with nothing; requests for `/held` not before the flag is set.
    pub(crate) fn holding() -> (Backend, Arc<AtomicBool>) {
        let may_answer = Arc::new(AtomicBool::new(false));
        let released = Arc::clone(&may_answer);
        let backend = Backend::per_request(move |peer, head, _| {
            if head.start_line.contains("/held") {
                eventually("it may answer", || released.load(Ordering::Acquire));
            }
            peer.respond("200 OK", b"")
        });
        (backend, may_answer)
    }

    /// Reads each request with its body and lets `answer` reply, until the peer closes or asks for it.
    pub(crate) fn per_request(
        answer: impl Fn(&mut Peer, &Head, &[u8]) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        Backend::script(move |peer| {
            while let Some((head, body)) = peer.read_request()? {
                answer(peer, &head, &body)?;
                if head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// An address of loopback where nobody listens: connections to it are refused. It stays taken for as long as the
    /// tests run, so that nothing else comes to listen there.
    pub(crate) fn refused_address() -> SocketAddr {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a descriptor");
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any_port.into()).expect("a port is free");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        std::mem::forget(socket);
        address.expect("a bound socket has an address")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.counters.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// Stops accepting, closes every connection and waits until all are closed.
    pub(crate) fn stop(self) {
        let counters = self.counters.clone();
        drop(self);
        eventually("the connections of the backend are closed", || counters.open.load(Ordering::SeqCst) == 0);
    }

    /// Request heads read so far.
    pub(crate) fn requests(&self) -> usize {
        self.counters.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.counters.stopped.store(true, Ordering::SeqCst);
        // The acceptor notices the end with the next connection, which is this one.
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Peer {
    fn new(stream: TcpStream, counters: Arc<Counters>) -> io::Result<Peer> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GLANCE))?;
        let wire = Wire::plain(stream);
        let stoppable = Stoppable { wire: wire.clone(), counters: counters.clone() };
        let number = counters.connections.fetch_add(1, Ordering::SeqCst);
        counters.open.fetch_add(1, Ordering::SeqCst);
        Ok(Peer { wire, reader: Reader::new(stoppable), counters, number })
    }

    /// Goes on over TLS.
    pub(crate) fn secure(&mut self, session: Connection) -> io::Result<()> {
        self.stream().set_read_timeout(Some(PATIENCE))?;
        self.wire.secure(session)?;
        self.stream().set_read_timeout(Some(GLANCE))?;
        let stoppable = Stoppable { wire: self.wire.clone(), counters: self.counters.clone() };
        self.reader = Reader::new(stoppable);
        Ok(())
    }

    /// What another protocol goes on with: the bytes read too early stand first.
    pub(super) fn parts(&mut self) -> (Wire, Box<dyn io::Read + Send>, Arc<AtomicUsize>) {
        let stoppable = Stoppable { wire: self.wire.clone(), counters: self.counters.clone() };
        let ahead = io::Cursor::new(self.reader.take_ahead());
        (self.wire.clone(), Box::new(io::Read::chain(ahead, stoppable)), self.counters.requests.clone())
    }

    /// What TLS knows of the connection.
    pub(crate) fn session<T>(&self, ask: impl FnOnce(&Connection) -> T) -> T {
        self.wire.session(ask)
    }

    /// Lets the connection end without a word of TLS.
    pub(crate) fn close_without_notify(&self) {
        self.wire.close_without_notify();
    }

    /// Reads a request head and counts it; `None` when the peer has closed.
    pub(crate) fn read_head(&mut self) -> io::Result<Option<Head>> {
        let head = self.reader.head()?;
        if head.is_some() {
            self.counters.requests.fetch_add(1, Ordering::SeqCst);
        }
        Ok(head)
    }

    /// Reads the body that the head of a request announces.
    pub(crate) fn read_body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        Ok(self.reader.body(head)?.map_or(Vec::new(), |body| body.bytes))
    }

    /// Reads a whole request; `None` when the peer has closed.
    pub(crate) fn read_request(&mut self) -> io::Result<Option<(Head, Vec<u8>)>> {
        let Some(head) = self.read_head()? else { return Ok(None) };
        let body = self.read_body(&head)?;
        Ok(Some((head, body)))
    }

    pub(crate) fn read_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.reader.exactly(count)
    }

    /// Reads what there is, at least one byte; nothing when the peer has closed.
    pub(crate) fn read_some(&mut self) -> io::Result<Vec<u8>> {
        self.reader.some()
    }

    /// Reads what there is, at least one byte and at most `most`.
    pub(crate) fn read_some_of(&mut self, most: usize) -> io::Result<Vec<u8>> {
        self.reader.some_of(most)
    }

    /// Reads one chunk, or the trailers behind the last.
    pub(crate) fn read_chunk(&mut self) -> io::Result<Result<Vec<u8>, Trailers>> {
        self.reader.chunk()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)
    }

    /// Writes a response with Content-Length.
    pub(crate) fn respond(&mut self, status: &str, body: &[u8]) -> io::Result<()> {
        let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes)
    }

    /// Sends an end while reading goes on.
    pub(crate) fn finish_sending(&mut self) -> io::Result<()> {
        self.wire.finish_sending()
    }

    /// The socket, for options that a test sets.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.wire.tcp()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A stream whose reads end when the backend stops, so that no thread outlives its test for long.
struct Stoppable {
    wire: Wire,
    counters: Arc<Counters>,
}

impl io::Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Also a connection that is never silent has to end with its backend.
        while !self.counters.stopped.load(Ordering::SeqCst) {
            match self.wire.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                result => return result,
            }
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}
