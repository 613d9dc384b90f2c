//! A request as HTTP/2 has it, read back from the text that was written for HTTP/1.1.

use crate::http::headers::FieldLine;
use crate::http::headers::KnownName;
use crate::policy::grpc;
use crate::proto::field_lines;

/// The head of a request, taken apart.
pub(super) struct RequestText<'t> {
    method: &'t [u8],
    path: &'t [u8],
    authority: &'t [u8],
    /// Field lines behind Host.
    fields: &'t [u8],
    /// The protocol that an upgrade asks for, if it is one that HTTP/2 can carry.
    pub(super) protocol: Option<&'t [u8]>,
    /// The version field of the WebSocket handshake.
    pub(super) key: Option<&'t [u8]>,
    /// It is a call of gRPC.
    is_call: bool,
}

/// What the hop adds.
#[derive(Clone, Copy)]
pub(super) struct Hop {
    pub(super) scheme: &'static [u8],
    /// All requests of the group say that trailers are welcome. Calls of gRPC do in any group: servers refuse
    /// them else.
    pub(super) is_grpc: bool,
}

impl<'t> RequestText<'t> {
    /// `None` for what is not the text of a head, which is never written.
    pub(super) fn parse(text: &'t [u8]) -> Option<RequestText<'t>> {
        let (line, fields) = field_lines::split_line(text)?;
        let mut words = line.split(|&byte| byte == b' ');
        let (method, path) = (words.next()?, words.next()?);
        let (host, rest) = field_lines::split_line(fields)?;
        let authority = host.strip_prefix(b"Host: ").unwrap_or_default();
        let (protocol, key, is_call) = (None, None, false);
        let mut text = RequestText { method, path, authority, fields: rest, protocol, key, is_call };
        for FieldLine { name, value, .. } in field_lines::field_lines(rest) {
            // Other protocols than WebSocket have no way over HTTP/2.
            let is_websocket = method == b"GET" && value.eq_ignore_ascii_case(b"websocket");
            if KnownName::of(name) == KnownName::Upgrade && is_websocket {
                text.protocol = Some(b"websocket");
            }
            if is_key(name) {
                text.key = Some(value);
            }
            text.is_call |= method == b"POST" && grpc::says_call(name, value);
        }
        Some(text)
    }

    /// The fields of the head, pseudo-header fields first.
    pub(super) fn fields(&self, hop: Hop) -> impl Iterator<Item = FieldLine<'t>> {
        let is_tunnel = self.protocol.is_some();
        // "The :method pseudo-header field MUST be CONNECT" (RFC 8441 §4).
        let method = if is_tunnel { &b"CONNECT"[..] } else { self.method };
        let pseudo = [
            (&b":method"[..], method),
            (b":scheme", hop.scheme),
            (b":path", self.path),
            (b":authority", self.authority),
            (b":protocol", self.protocol.unwrap_or_default()),
        ];
        let pseudo = pseudo.into_iter().filter(|(_, value)| !value.is_empty());
        let fields = field_lines::field_lines(self.fields).filter(move |&FieldLine { name, .. }| {
            // What HTTP/2 has no fields for, and what its handshake for WebSocket leaves out (RFC 8441 §5).
            let is_of_hop =
                matches!(KnownName::of(name), KnownName::Host) || KnownName::of(name).is_hop_by_hop();
            !(is_of_hop || is_tunnel && (is_key(name) || KnownName::of(name) == KnownName::ContentLength))
        });
        let wants_trailers = hop.is_grpc || self.is_call;
        let te = wants_trailers.then_some((&b"te"[..], &b"trailers"[..]));
        pseudo.map(FieldLine::from).chain(fields).chain(te.map(FieldLine::from))
    }
}

fn is_key(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"sec-websocket-key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_grpc: bool, expected: &[(&str, &str)]) {
        let request = RequestText::parse(text.as_bytes()).unwrap();
        let fields = request.fields(Hop { scheme: b"http", is_grpc });
        let text_of = |bytes| std::str::from_utf8(bytes).unwrap();
        let fields: Vec<_> = fields.map(|line| (text_of(line.name), text_of(line.value))).collect();
        assert_eq!(fields, expected, "{text:?}");
    }

    #[test]
    fn a_request() {
        check(
            "POST /a?b HTTP/1.1\r\nHost: a.example:80\r\nX-A: 1\r\nCookie: c=d\r\nExpect: 100-continue\r\n\
             Transfer-Encoding: chunked\r\n\r\nbody: none\r\n",
            false,
            &[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", "/a?b"),
                (":authority", "a.example:80"),
                ("X-A", "1"),
                ("Cookie", "c=d"),
                ("Expect", "100-continue"),
            ],
        );
    }

    #[test]
    fn a_call_welcomes_trailers_in_any_group() {
        for (method, content_type, te) in [
            ("POST", "application/grpc+proto", &[("te", "trailers")][..]),
            ("POST", "application/grpc-web", &[]),
            ("GET", "application/grpc", &[]),
        ] {
            let head = [(":method", method), (":scheme", "http"), (":path", "/"), (":authority", "a")];
            let expected = [&head[..], &[("Content-Type", content_type)], te].concat();
            let text = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n\r\n");
            check(&text, false, &expected);
        }
    }

    #[test]
    fn a_request_without_a_host_has_no_authority() {
        check(
            "OPTIONS * HTTP/1.1\r\nHost: \r\n\r\n",
            true,
            &[(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), ("te", "trailers")],
        );
    }

    #[test]
    fn an_upgrade_to_websocket_is_an_extended_connect() {
        check(
            "GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhl\r\nSec-WebSocket-Version: 13\r\n\
             Content-Length: 0\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
            false,
            &[
                (":method", "CONNECT"),
                (":scheme", "http"),
                (":path", "/chat"),
                (":authority", "a"),
                (":protocol", "websocket"),
                ("Sec-WebSocket-Version", "13"),
            ],
        );
    }

    #[test]
    fn other_upgrades_are_not_asked_for() {
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other/1\r\n\r\n",
            false,
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        );
        // "The method of the request MUST be GET" (RFC 6455 §4.1).
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            false,
            &[(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        );
    }
}
