//! A client of HTTP/2: several requests at a time on one connection.

use super::clock::PATIENCE;
use super::h2::{Frame, Http2, Role};
use super::h2_stream::Message;
use super::wire::Wire;
use rustls::ClientConfig;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The first bytes of a client.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Http2 {
    /// Connects: by TLS with ALPN where a Ringway of the kit expects TLS, else with prior knowledge.
    pub(crate) fn connect(address: SocketAddr) -> Http2 {
        Http2::connect_with(address, &[])
    }

    /// The same with settings.
    pub(crate) fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Http2 {
        let wire = Wire::connect_speaking(address, "h2");
        Http2::over(wire, settings).expect("the peer takes the preface")
    }

    /// Connects with TLS of the test's choice, whose configuration names the protocols.
    pub(crate) fn secured(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<Http2> {
        let mut wire = Wire::connect_in_the_clear(address);
        wire.secure(super::tls::session(config, name).into())?;
        Http2::over(wire, &[])
    }

    /// Begins on a connection that is there.
    pub(crate) fn over(wire: Wire, settings: &[(u16, u32)]) -> io::Result<Http2> {
        let input = Box::new(wire.clone());
        Http2::begin(Role::Client, wire, input, settings)
    }

    /// Sends the head of a request, pseudo-fields first; `ends` when it has no content.
    pub(crate) fn request(&mut self, method: &str, path: &str, more: &[(&str, &str)], ends: bool) -> u32 {
        self.try_request(method, path, more, ends).expect("the peer takes a request")
    }

    /// The same where the peer may have closed.
    pub(crate) fn try_request(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        ends: bool,
    ) -> io::Result<u32> {
        let scheme = if self.wire().is_secured() { "https" } else { "http" };
        let mut fields =
            vec![(":method", method), (":scheme", scheme), (":authority", "test.example"), (":path", path)];
        fields.extend(more);
        let stream = self.next_id();
        self.send_fields(stream, &fields, ends)?;
        Ok(stream)
    }

    /// An extended CONNECT (RFC 8441), once the server has said that it is welcome.
    pub(crate) fn connect_protocol(&mut self, protocol: &str, path: &str, more: &[(&str, &str)]) -> u32 {
        let mut fields = vec![(":protocol", protocol)];
        fields.extend(more);
        self.request("CONNECT", path, &fields, false)
    }

    /// A GET and its response.
    pub(crate) fn get(&mut self, path: &str) -> Message {
        let stream = self.request("GET", path, &[], true);
        self.response(stream)
    }

    /// A POST of this content with its length, and its response.
    pub(crate) fn post(&mut self, path: &str, content: &[u8]) -> Message {
        let length = content.len().to_string();
        let stream = self.request("POST", path, &[("content-length", &length)], false);
        self.send_content(stream, content, true).expect("the content is taken");
        self.response(stream)
    }

    /// The whole response on a stream.
    pub(crate) fn response(&mut self, stream: u32) -> Message {
        let message = self.message(stream);
        message.unwrap_or_else(|error| panic!("no response on stream {stream}: {error}, {:?}", self.go_away))
    }

    /// Waits until the server's settings are known.
    pub(crate) fn settle(&mut self) {
        let settled = self.receive_until(|end| (!end.settings.is_empty()).then_some(()));
        assert!(matches!(settled, Ok(Some(()))), "no settings came");
    }

    /// What comes within `duration`, if anything.
    pub(crate) fn receive_within(&mut self, duration: Duration) -> io::Result<Option<Frame>> {
        self.wire().tcp().set_read_timeout(Some(duration))?;
        let received = self.receive();
        self.wire().tcp().set_read_timeout(Some(PATIENCE))?;
        match received {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Ok(None) => Err(ErrorKind::UnexpectedEof.into()),
            received => received,
        }
    }

    /// Receives all that comes until the peer closes, in order or not.
    pub(crate) fn receive_to_end(&mut self) {
        loop {
            match self.receive() {
                Ok(Some(_)) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("the peer did not close; last came {:?}", self.seen.last());
                }
                Ok(None) | Err(_) => return,
            }
        }
    }
}
