//! A scripted backend of HTTP/2: a closure gets each connection, or each request in its turn.

use super::backend::{Backend, Peer};
use super::h2::{Http2, Role};
use super::h2_stream::Message;
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;

impl Backend {
    /// Serves every connection with `script`, in cleartext and with prior knowledge.
    pub(crate) fn http2(script: impl Fn(&mut Http2) -> io::Result<()> + Send + Sync + 'static) -> Backend {
        Backend::script(move |peer| script(&mut peer.http2(&[])?))
    }

    /// The same over TLS that takes HTTP/2 only.
    pub(crate) fn http2_secured(
        config: &ServerConfig,
        script: impl Fn(&mut Http2) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Backend::secured(Arc::new(config), move |peer| script(&mut peer.http2(&[])?))
    }

    /// Reads each request with its body and lets `answer` reply on its stream.
    pub(crate) fn http2_per_request(
        answer: impl Fn(&mut Http2, u32, &Message) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        Backend::http2(move |end| serve(end, &answer))
    }

    /// Answers each request with 200 and its fields, one per line, as the body.
    pub(crate) fn http2_echo_head() -> Backend {
        Backend::http2_per_request(|end, stream, request| {
            let lines = request.fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
            end.respond(stream, "200", lines.collect::<String>().as_bytes())
        })
    }

    /// Answers each request with 200 and its body.
    pub(crate) fn http2_echo_body() -> Backend {
        Backend::http2_per_request(|end, stream, request| end.respond(stream, "200", &request.body))
    }
}

fn serve(end: &mut Http2, answer: &impl Fn(&mut Http2, u32, &Message) -> io::Result<()>) -> io::Result<()> {
    let mut waiting = Vec::new();
    loop {
        // A stream that was reset is none of our business any more.
        let next = end.receive_until(|end| {
            waiting.extend(end.take_new_streams());
            waiting.retain(|&stream| end.stream(stream).reset.is_none());
            let place = waiting.iter().position(|&stream| end.stream(stream).ended)?;
            Some(waiting.remove(place))
        })?;
        let Some(stream) = next else { return Ok(()) };
        let request = end.message(stream)?;
        match answer(end, stream, &request) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            result => result?,
        }
    }
}

impl Http2 {
    /// Sends a response with its length.
    pub(crate) fn respond(&mut self, stream: u32, status: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len().to_string();
        self.send_fields(stream, &[(":status", status), ("content-length", &length)], body.is_empty())?;
        if body.is_empty() { Ok(()) } else { self.send_content(stream, body, true) }
    }
}

impl Peer {
    /// Speaks HTTP/2 from the first byte on, with these settings.
    pub(crate) fn http2(&mut self, settings: &[(u16, u32)]) -> io::Result<Http2> {
        let preface = self.read_exactly(super::h2_client::PREFACE.len())?;
        if preface != super::h2_client::PREFACE {
            return Err(super::h2::broken("the preface"));
        }
        let (wire, input, requests) = self.parts();
        Ok(Http2::begin(Role::Server, wire, input, settings)?.counting(requests))
    }
}
