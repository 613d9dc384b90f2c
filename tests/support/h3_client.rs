//! Requests of a client of HTTP/3, several at a time on one connection.

use super::h2_stream::Message;
use super::h3::{Http3, Http3Options};
use super::h3_frames::{GOAWAY, H3_REQUEST_CANCELLED, frame, varint};
use super::quic::QuicOptions;
use super::quic_tls::QuicTls;
use std::io;
use std::net::SocketAddr;

impl Http3 {
    /// Connects to a listener with the certificate of the kit.
    pub(crate) fn connect(address: SocketAddr) -> Http3 {
        Http3::connect_with(address, &[])
    }

    /// The same with settings.
    pub(crate) fn connect_with(address: SocketAddr, settings: &[(u64, u64)]) -> Http3 {
        let options = Http3Options { settings: settings.to_vec(), ..Http3Options::default() };
        Http3::with(address, &options).unwrap_or_else(|error| panic!("QUIC with {address}: {error}"))
    }

    /// Connects with TLS of the test's choice.
    pub(crate) fn secured(address: SocketAddr, tls: &QuicTls, name: &str) -> io::Result<Http3> {
        let quic = QuicOptions { tls: tls.clone(), server_name: name.to_owned(), ..QuicOptions::default() };
        Http3::with(address, &Http3Options { quic, ..Http3Options::default() })
    }

    /// Connects and opens no stream.
    pub(crate) fn bare(address: SocketAddr) -> Http3 {
        let options = Http3Options { is_bare: true, ..Http3Options::default() };
        Http3::with(address, &options).unwrap_or_else(|error| panic!("QUIC with {address}: {error}"))
    }

    /// Connects with windows of this size for each stream and for all of them.
    pub(crate) fn with_windows(address: SocketAddr, stream: u32, connection: u32) -> Http3 {
        let quic =
            QuicOptions { stream_window: stream, connection_window: connection, ..QuicOptions::default() };
        let options = Http3Options { quic, ..Http3Options::default() };
        Http3::with(address, &options).unwrap_or_else(|error| panic!("QUIC with {address}: {error}"))
    }

    /// Sends the head of a request, pseudo-fields first; `ends` when it has no content.
    pub(crate) fn request(&mut self, method: &str, path: &str, more: &[(&str, &str)], ends: bool) -> u64 {
        self.try_request(method, path, more, ends).expect("the server takes a request")
    }

    /// The same where the server may have closed.
    pub(crate) fn try_request(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        ends: bool,
    ) -> io::Result<u64> {
        let mut fields =
            vec![(":method", method), (":scheme", "https"), (":authority", "test.example"), (":path", path)];
        fields.extend(more);
        let stream = self.try_next_id()?;
        self.send_fields(stream, &fields, ends)?;
        Ok(stream)
    }

    /// Gives a request up, whatever was sent and whatever would come.
    pub(crate) fn cancel(&mut self, stream: u64) {
        // Either side of the stream may be over.
        let _ = self.reset(stream, H3_REQUEST_CANCELLED);
        let _ = self.stop(stream, H3_REQUEST_CANCELLED);
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
        if let Err(error) = self.send_content(stream, content, true) {
            // Who has answered already may not want it (RFC 9114 §4.1).
            assert_eq!(error.to_string(), "stopped with code 0x100");
        }
        self.response(stream)
    }

    /// The whole response on a stream.
    pub(crate) fn response(&mut self, stream: u64) -> Message {
        let message = self.message(stream);
        message.unwrap_or_else(|error| {
            panic!("no response on stream {stream}: {error}, GOAWAY {:?}", self.go_away())
        })
    }

    /// Waits until the server's settings are known.
    pub(crate) fn settle(&mut self) {
        let settled = self.receive_until(|client| client.settings().map(|_| ()));
        assert!(matches!(settled, Ok(Some(()))), "no settings came: {settled:?}");
    }

    /// Says that nothing is pushed from `id` on, as a client that leaves does.
    pub(crate) fn send_go_away(&mut self, id: u64) -> io::Result<()> {
        self.send(self.control, &frame(GOAWAY, &varint(id)))
    }
}
