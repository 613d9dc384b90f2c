//! A client that sends exactly the bytes it is given.

use super::clock::PATIENCE;
use super::message::{Reader, Response};
use super::wire::Wire;
use rustls::ClientConfig;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// One connection. Every call fails the test instead of waiting for longer than the patience of the kit.
pub(crate) struct Client {
    wire: Wire,
    reader: Reader<Wire>,
}

impl Client {
    /// Connects, by TLS where the listener of a Ringway of the kit expects it.
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::over(Wire::connect(address))
    }

    /// The same with a header in front of everything.
    pub(crate) fn connect_behind(address: SocketAddr, header: &[u8]) -> Client {
        Client::over(Wire::connect_behind(address, header))
    }

    /// Connects without TLS, whatever is expected.
    pub(crate) fn connect_in_the_clear(address: SocketAddr) -> Client {
        Client::over(Wire::connect_in_the_clear(address))
    }

    /// Connects with TLS of the test's choice, or tells why the handshake failed.
    pub(crate) fn secured(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> std::io::Result<Client> {
        let mut wire = Wire::connect_in_the_clear(address);
        wire.secure(super::tls::session(config, name).into())?;
        Ok(Client::over(wire))
    }

    fn over(wire: Wire) -> Client {
        Client { reader: Reader::new(wire.clone()), wire }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the peer takes the bytes");
    }

    /// Sends bytes where the peer may have closed already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.wire.write_all(bytes.as_ref())
    }

    /// Sends `pieces` one by one, each in a segment of its own, with a pause between them.
    pub(crate) fn send_slowly<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>, pause: Duration) {
        for piece in pieces {
            self.send(piece);
            std::thread::sleep(pause);
        }
    }

    /// A GET with nothing but Host, and its response.
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n\r\n"));
        self.read_response()
    }

    /// Reads a response to any method but HEAD and CONNECT. A 1xx response counts as one.
    pub(crate) fn read_response(&mut self) -> Response {
        self.read_response_to("GET")
    }

    /// Reads a response whose framing depends on the method of its request.
    pub(crate) fn read_response_to(&mut self, method: &str) -> Response {
        self.reader.response(method).expect("a response arrives")
    }

    /// Reads a response, or says why there is none.
    pub(crate) fn try_read_response(&mut self) -> std::io::Result<Response> {
        self.reader.response("GET")
    }

    /// The same for a response whose framing depends on the method of its request.
    pub(crate) fn try_read_response_to(&mut self, method: &str) -> std::io::Result<Response> {
        self.reader.response(method)
    }

    /// Reads exactly this many bytes, for tunnels and broken answers.
    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        self.reader.exactly(count).expect("the bytes arrive")
    }

    /// Reads what there is, at least one byte; nothing when the peer has closed.
    pub(crate) fn read_some(&mut self) -> Vec<u8> {
        self.reader.some().expect("bytes or an end arrive")
    }

    /// Reads until the peer closes in order.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        self.reader.rest().expect("the peer closes")
    }

    /// Fails unless the peer closes, in order or by a reset, without sending another byte.
    pub(crate) fn expect_closed(&mut self) {
        match self.reader.rest() {
            Ok(bytes) => {
                assert!(bytes.is_empty(), "bytes instead of an end: {:?}", String::from_utf8_lossy(&bytes));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            // TLS has a word for the end only behind its handshake.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.wire.is_handshaking() => {}
            Err(error) => panic!("the peer did not close: {error}"),
        }
    }

    /// Fails when a byte or an end arrives within `duration`.
    pub(crate) fn expect_silence(&mut self, duration: Duration) {
        self.stream().set_read_timeout(Some(duration)).expect("a read timeout can be set");
        let result = self.reader.some();
        self.stream().set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
        match result {
            Ok(bytes) if bytes.is_empty() => panic!("the peer closed"),
            Ok(bytes) => panic!("unexpected bytes: {:?}", String::from_utf8_lossy(&bytes)),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            }
        }
    }

    /// Says that no more bytes follow; answers can still be read.
    pub(crate) fn finish_sending(&mut self) {
        self.wire.finish_sending().expect("the connection is open");
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream().local_addr().expect("a connected socket has an address")
    }

    /// The socket, for options that a test sets.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.wire.tcp()
    }

    /// Another handle of the connection, to send or to read beside this one.
    pub(crate) fn wire(&self) -> Wire {
        self.wire.clone()
    }
}

/// Fails unless a new connection to a relay is closed. It may be before its client knows that there is one.
pub(crate) fn expect_refused(address: SocketAddr) {
    let received = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read(&mut [0; 1])
    });
    let is_closed = match &received {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    assert!(is_closed, "{received:?}");
}
