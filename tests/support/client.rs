//! A client that sends exactly the bytes it is given.

use super::clock::PATIENCE;
use super::message::{Reader, Response};
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// One connection. Every call fails the test instead of waiting for longer than the patience of the kit.
pub(crate) struct Client {
    stream: TcpStream,
    reader: Reader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout can be set");
        let reader = Reader::new(stream.try_clone().expect("a descriptor is free"));
        Client { stream, reader }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the peer takes the bytes");
    }

    /// Sends bytes where the peer may have closed already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
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
            Err(error) => panic!("the peer did not close: {error}"),
        }
    }

    /// Fails when a byte or an end arrives within `duration`.
    pub(crate) fn expect_silence(&mut self, duration: Duration) {
        self.stream.set_read_timeout(Some(duration)).expect("a read timeout can be set");
        let result = self.reader.some();
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
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
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }

    /// The socket, for options that a test sets.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}
