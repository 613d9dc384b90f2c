//! A request on its way to a backend: its head as text, and the content that came with it.

use std::time::Duration;

use crate::http::body::BodyLength;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::head::Version;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::proto::field_lines;
use crate::proto::h1::head;
use crate::snapshot::group::Group;
use crate::snapshot::group::Versions;
use crate::upstream::error::UpstreamError;
use crate::upstream::h1;
use crate::upstream::message::RequestParts;
use crate::upstream::stream::UpstreamStream;

/// Content that came in full is kept up to this length to be sent again over HTTP/2, where a backend may refuse any
/// request without having looked at it. It fits into a window of the usual size, so that sending it never waits.
const MAX_KEPT_BYTES: usize = 60 * 1024;

/// What says that content of unknown length follows, and that none does where content is usual.
const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";
const NO_CONTENT: &[u8] = b"Content-Length: 0\r\n";

/// A request ready to be sent.
pub struct PreparedRequest {
    /// The head, and the body as far as it came with it. Kept until a response begins, so that it can be sent again;
    /// gone while it is being sent.
    text: Option<Buffer>,
    head_bytes: usize,
    length: BodyLength,
    /// It is framed for HTTP/1.1 as it is written, because its backends speak nothing else.
    is_framed: bool,
    /// Some of the body may come, or has come.
    has_content: bool,
    /// A piece of the body that was received but does not fit behind the head.
    early_piece: Option<Buffer>,
    /// Where in the head the digits stand by which the backend knows the span that asks it; 0: nowhere.
    span_place: u32,
    /// Where in the head the field stands that tells an unknown length; 0: nowhere. Behind the span.
    framing_place: u32,
}

impl PreparedRequest {
    pub fn head(&self) -> &[u8] {
        let text = self.text.as_ref().map_or(&b""[..], |text| text.filled());
        text.get(..self.head_bytes).unwrap_or_default()
    }

    /// Adds a field to the head, behind which no content stands yet.
    pub fn add_field(&mut self, name: &[u8], value: &[u8]) {
        let Some(text) = self.text.as_mut().filter(|text| text.len() == self.head_bytes) else { return };
        // In front of the line that ends the head.
        text.truncate(self.head_bytes.saturating_sub(2));
        field_lines::write_field(text.tail(), name, value);
        field_lines::write_end(text.tail());
        self.head_bytes = text.len();
    }

    /// Whether the head names the span that asks.
    pub fn names_span(&self) -> bool {
        self.span_place != 0
    }

    /// Has it name another one, where it names one.
    pub fn set_span(&mut self, digits: &[u8]) {
        let place = self.span_place as usize;
        let text = self.text.as_mut().filter(|_| place != 0);
        if let Some(old) = text.and_then(|text| text.filled_mut().get_mut(place..place + digits.len())) {
            old.copy_from_slice(digits);
        }
    }

    pub fn length(&self) -> BodyLength {
        self.length
    }

    pub fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether it can be sent, for the first time or again.
    pub fn is_at_hand(&self) -> bool {
        self.text.is_some()
    }

    /// Bytes of content that stand behind the head, as they are sent.
    pub fn kept_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, Buffer::len).saturating_sub(self.head_bytes)
    }

    pub fn has_early_piece(&self) -> bool {
        self.early_piece.is_some()
    }

    pub fn take_early_piece(&mut self) -> Option<Buffer> {
        self.early_piece.take()
    }

    pub fn keep_early_piece(&mut self, piece: Buffer) {
        self.early_piece = Some(piece);
    }

    /// Makes it a request without content, where content was to follow and its end came first. Nothing stands behind the
    /// head yet.
    pub fn forget_content(&mut self) {
        let place = self.framing_place as usize;
        let Some(text) = self.text.as_mut().filter(|text| place != 0 && text.len() == self.head_bytes) else {
            return;
        };
        let has_usually = [&b"POST "[..], b"PUT ", b"PATCH "].iter().any(|it| text.filled().starts_with(it));
        let rest = text.filled().get(place + CHUNKED.len()..).unwrap_or_default().to_vec();
        text.truncate(place);
        if has_usually {
            text.tail().extend_from_slice(NO_CONTENT);
        }
        text.tail().extend_from_slice(&rest);
        self.head_bytes = text.len();
        self.length = if has_usually { BodyLength::Exact(0) } else { BodyLength::Empty };
        self.has_content = false;
        self.framing_place = 0;
    }

    /// Appends what came with the head to it: one send for both, and another attempt can repeat it. `last` is the
    /// trailer section, if the body is complete.
    pub fn take_content(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) {
        let Some(text) = &mut self.text else { return };
        match (piece, last) {
            (Some(piece), last) if !self.is_framed => {
                let most = if last.is_some() { MAX_KEPT_BYTES } else { text.spare() };
                if piece.len() <= most {
                    text.tail().extend_from_slice(piece.filled());
                } else {
                    self.early_piece = Some(piece);
                }
            }
            (Some(piece), last) => {
                let fits = piece.len() + h1::MAX_FRAMING_BYTES <= text.spare();
                if fits || last.is_some() {
                    self.append(piece, last);
                } else {
                    self.early_piece = Some(piece);
                }
            }
            (None, last) if self.is_framed => h1::end_body(text, self.length, last),
            (None, Some(trailers)) => self.has_content = !trailers.is_empty(),
            (None, None) => {}
        }
    }

    /// Whether this much content fits behind the head, framed.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.text.as_ref().is_some_and(|text| bytes + h1::MAX_FRAMING_BYTES <= text.spare())
    }

    /// Appends content to the head.
    pub fn append(&mut self, mut piece: Buffer, last: Option<&[u8]>) {
        let Some(text) = &mut self.text else { return };
        if self.is_framed {
            h1::frame_body(&mut piece, self.length, last);
        }
        text.tail().extend_from_slice(piece.filled());
    }

    /// Notes that the body is complete as it is.
    pub fn end(&mut self, trailers: &[u8]) {
        if trailers.is_empty() {
            self.forget_content();
        }
        if let Some(text) = self.text.as_mut().filter(|_| self.is_framed) {
            h1::end_body(text, self.length, Some(trailers));
        }
    }

    /// Sends it within `timeout`, but for the early piece. `last` is the trailer section, if nothing follows.
    pub async fn send(
        &mut self,
        stream: &UpstreamStream,
        last: Option<&[u8]>,
        timeout: Duration,
        buffers: &Buffers,
    ) -> Result<(), UpstreamError> {
        let Some(text) = self.text.take() else { return Err(UpstreamError::NothingSent) };
        if !self.is_framed && !stream.is_http2() {
            let whole = RequestParts { text: text.filled(), head_bytes: self.head_bytes, last };
            // Boxed, because seldom a backend that could speak HTTP/2 does not.
            let sent = Box::pin(stream.send_framed(&whole, self.length, buffers, timeout)).await;
            self.text = Some(text);
            return sent;
        }
        let (result, text) = stream.send_request(text, self.head_bytes, last, timeout).await;
        self.text = text;
        result
    }
}

/// Writes a request head from its parts, in two steps: what the client sent, then what is added.
pub struct RequestWriter {
    text: Buffer,
    version: Version,
    is_framed: bool,
    span_place: u32,
}

/// What a backend is asked for.
#[derive(Clone, Copy)]
pub struct RequestTarget<'l> {
    /// Path and query.
    pub target: &'l [u8],
    pub host: &'l [u8],
}

/// In which words backends are spoken to.
#[derive(Clone, Copy)]
pub struct Wording {
    versions: Versions,
    speaks_http10: bool,
}

impl Wording {
    pub fn of(group: &Group) -> Wording {
        Wording { versions: group.versions, speaks_http10: group.speaks_http10 }
    }

    /// For backends of these versions.
    #[cfg(any(test, fuzzing))]
    pub(super) fn for_versions(versions: Versions) -> Wording {
        Wording { versions, speaks_http10: false }
    }
}

impl RequestWriter {
    /// Writes the request line, Host, and the client's fields for which `passes` says so. The framing fields are not among them: they are written from the length.
    pub fn begin(
        mut text: Buffer,
        request: &RequestHead<'_, '_>,
        line: RequestTarget<'_>,
        wording: Wording,
        passes: impl Fn(&Field<'_>) -> bool,
    ) -> RequestWriter {
        let is_framed = wording.versions == Versions::Http1;
        let version = if is_framed && wording.speaks_http10 { request.version } else { Version::Http11 };
        let out = text.tail();
        head::write_request_line_of(out, &request.method, line.target, version);
        RequestWriter { text, version, is_framed, span_place: 0 }.fields(request.headers, line.host, passes)
    }

    /// Writes the same of a GET of Ringway's own, with those of a client's fields for which `passes` says so.
    pub fn begin_get(
        mut text: Buffer,
        headers: &Headers<'_>,
        line: RequestTarget<'_>,
        wording: Wording,
        passes: impl Fn(&Field<'_>) -> bool,
    ) -> RequestWriter {
        let is_framed = wording.versions == Versions::Http1;
        let version = Version::Http11;
        head::write_request_line_of(text.tail(), &Method::Get, line.target, version);
        RequestWriter { text, version, is_framed, span_place: 0 }.fields(headers, line.host, passes)
    }

    fn fields(
        mut self,
        headers: &Headers<'_>,
        host: &[u8],
        passes: impl Fn(&Field<'_>) -> bool,
    ) -> RequestWriter {
        let out = self.text.tail();
        field_lines::write_field(out, b"Host", host);
        for field in headers.iter() {
            let rewritten = matches!(
                field.known,
                KnownName::Host | KnownName::ContentLength | KnownName::TransferEncoding
            );
            if rewritten || !passes(field) {
                continue;
            }
            if self.is_framed {
                field_lines::write_field(out, field.name, field.value);
            } else {
                // HTTP/2 tells fields that must never be indexed from the others.
                field_lines::write_marked_field(out, field);
            }
        }
        self
    }

    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        field_lines::write_field(self.text.tail(), name, value);
    }

    /// Writes a field in whose value, from `place` on, the digits stand that each attempt changes.
    pub fn field_with_span(&mut self, name: &[u8], value: &[u8], place: usize) {
        // A head that fits into memory is far shorter than four gigabytes.
        self.span_place = (self.text.len() + name.len() + ": ".len() + place) as u32;
        self.field(name, value);
    }

    /// Writes complete field lines.
    pub fn lines(&mut self, lines: &[u8]) {
        self.text.tail().extend_from_slice(lines);
    }

    /// Writes the framing and ends the head.
    pub fn finish(mut self, length: BodyLength, upgrade: Option<&[u8]>) -> PreparedRequest {
        // A head that fits into memory is far shorter than four gigabytes.
        let framing_place = if length == BodyLength::Unknown { self.text.len() as u32 } else { 0 };
        let out = self.text.tail();
        match length {
            BodyLength::Empty => {}
            BodyLength::Exact(bytes) => field_lines::write_content_length(out, bytes),
            BodyLength::Unknown => out.extend_from_slice(CHUNKED),
        }
        if let Some(protocols) = upgrade {
            field_lines::write_field(out, b"Connection", b"upgrade");
            field_lines::write_field(out, b"Upgrade", protocols);
        } else if self.version == Version::Http10 {
            // Without it, the connection would serve this one exchange (RFC 9112 §9.3).
            field_lines::write_field(out, b"Connection", b"keep-alive");
        }
        field_lines::write_end(out);
        PreparedRequest {
            head_bytes: self.text.len(),
            text: Some(self.text),
            length,
            is_framed: self.is_framed,
            has_content: !length.is_empty(),
            early_piece: None,
            span_place: self.span_place,
            framing_place,
        }
    }
}

/// The value of a field with this name in a request head that [`RequestWriter`] wrote; empty if there is none.
pub fn field<'h>(head: &'h [u8], name: &[u8]) -> &'h [u8] {
    let value = |line: &'h [u8]| line.strip_prefix(name)?.strip_prefix(b": ")?.strip_suffix(b"\r");
    head.split(|byte| *byte == b'\n').find_map(value).unwrap_or_default()
}

/// The host in a request head that [`RequestWriter`] wrote: its first field.
pub fn host(head: &[u8]) -> &[u8] {
    let after =
        |from: &'static [u8]| move |rest: &[u8]| rest.windows(from.len()).position(|part| part == from);
    let Some(line_end) = after(b"\r\n")(head) else { return b"" };
    let field = head.get(line_end + 2..).unwrap_or_default();
    let value = field.strip_prefix(b"Host: ").unwrap_or_default();
    value.get(..after(b"\r\n")(value).unwrap_or(0)).unwrap_or_default()
}
