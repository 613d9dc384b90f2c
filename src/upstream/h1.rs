//! One HTTP/1.1 exchange on an upstream connection.

use std::pin::pin;
use std::time::Duration;

use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::FieldLine;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::buffer::HEADROOM_BYTES;
use crate::net::buffer::SMALL_BYTES;
use crate::net::buffer::TAILROOM_BYTES;
use crate::net::socket::Pending;
use crate::net::socket::SendError;
use crate::proto::field_lines;
use crate::proto::h1::body::BodyDecoder;
use crate::proto::h1::chunked;
use crate::proto::h1::chunked::ChunkHeader;
use crate::proto::h1::connection_options;
use crate::proto::h1::connection_options::ConnectionOptions;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::framing::response_framing;
use crate::proto::h1::head;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;
use crate::snapshot::group::ResponseLimits;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::message::Piece;
use crate::upstream::message::ReadTimeout;
use crate::upstream::message::RequestParts;
use crate::upstream::message::ResponseFacts;

/// The most that [`frame_body`] adds to a piece that is not the last: a line with the length, and its own end.
pub const MAX_FRAMING_BYTES: usize = HEADROOM_BYTES + 2;

/// Frames one piece of a request body in place, ready to be sent. The last piece brings the lines of
/// the trailer section, if any.
pub fn frame_body(piece: &mut Buffer, length: BodyLength, last: Option<&[u8]>) {
    if length != BodyLength::Unknown {
        return;
    }
    if !piece.is_empty() {
        piece.wrap(ChunkHeader::new(piece.len()).as_bytes(), chunked::CHUNK_END);
    }
    if let Some(trailers) = last {
        chunked::write_last_chunk(piece.tail(), trailers);
    }
}

/// Writes a request again, its content framed.
pub fn frame_request(request: &RequestParts<'_>, length: BodyLength, buffers: &Buffers) -> Buffer {
    let content = request.content();
    let mut framed = buffers.small();
    let (line, fields) = field_lines::split_line(request.head()).unwrap_or_default();
    framed.tail().extend_from_slice(line);
    framed.tail().extend_from_slice(b"\r\n");
    for FieldLine { name, value, .. } in field_lines::field_lines(fields) {
        field_lines::write_field(framed.tail(), name, value);
    }
    field_lines::write_end(framed.tail());
    if length != BodyLength::Unknown {
        framed.tail().extend_from_slice(content);
        return framed;
    }
    if !content.is_empty() {
        framed.tail().extend_from_slice(ChunkHeader::new(content.len()).as_bytes());
        framed.tail().extend_from_slice(content);
        framed.tail().extend_from_slice(chunked::CHUNK_END);
    }
    end_body(&mut framed, length, request.last);
    framed
}

/// Ends a request body behind whatever `out` holds, if it is complete and no content is left to be framed with
/// the end.
pub fn end_body(out: &mut Buffer, length: BodyLength, last: Option<&[u8]>) {
    if let (BodyLength::Unknown, Some(trailers)) = (length, last) {
        chunked::write_last_chunk(out.tail(), trailers);
    }
}

/// Receives the response to one request.
pub struct ResponseReader<'c> {
    connection: &'c Connection,
    /// Bytes received and not yet handed on. Nothing is held while nothing is there.
    input: Option<Buffer>,
    request_was_head: bool,
    limits: ResponseLimits,
    body: BodyDecoder,
    /// The backend keeps the connection open, and nothing unasked for came on it.
    persistent: bool,
    /// Any byte of a response was received.
    begun: bool,
    /// The last receive filled its buffer, so more is likely to wait.
    busy: bool,
    /// The last receive left no room, so what waits behind the response was not seen.
    full: bool,
}

impl<'c> ResponseReader<'c> {
    pub fn new(
        connection: &'c Connection,
        request_was_head: bool,
        limits: ResponseLimits,
    ) -> ResponseReader<'c> {
        ResponseReader {
            connection,
            input: None,
            request_was_head,
            limits,
            body: BodyDecoder::unlimited(Framing::Empty),
            persistent: false,
            begun: false,
            busy: false,
            full: false,
        }
    }

    /// Receives a response head and hands it to `take` without the fields of this hop. To be called
    /// again after an interim response (RFC 9110 §15.2).
    pub async fn head<T>(
        &mut self,
        buffers: &Buffers,
        timeout: ReadTimeout,
        mut take: impl FnMut(&mut ResponseHead<'_, '_>, &ResponseFacts<'_>) -> T,
    ) -> Result<T, UpstreamError> {
        loop {
            if let Some(taken) = self.parse_head(&mut take)? {
                return Ok(taken);
            }
            let buffer = match self.input.take() {
                Some(mut buffer) => {
                    buffer.make_room(buffer.len());
                    buffer
                }
                None => buffers.small(),
            };
            if self.receive(buffer, timeout).await? == 0 {
                return Err(self.closed());
            }
        }
    }

    /// Receives the next piece of the body, a small one unless there is `room` for more; to be called until
    /// it is finished.
    pub async fn body(
        &mut self,
        buffers: &Buffers,
        timeout: ReadTimeout,
        room: usize,
    ) -> Result<Piece, UpstreamError> {
        loop {
            if let Some(piece) = self.decode()? {
                return Ok(piece);
            }
            // Waiting holds no buffer: what a slow backend costs does not depend on its response.
            timeout.begin(&self.connection.deadline);
            let readable = self.connection.deadline.guard(pin!(self.connection.transport.readable())).await;
            readable
                .map_err(|_| UpstreamError::ResponseTimeout)?
                .map_err(|_| UpstreamError::ClosedWithinResponse)?;
            let much = self.body.remaining().map_or(self.busy, |bytes| bytes > SMALL_BYTES as u64);
            let buffer = buffers.for_body(if much { room } else { 0 });
            if self.receive(buffer, timeout).await? == 0 {
                self.body.finish_at_eof().map_err(|_| UpstreamError::ClosedWithinResponse)?;
                return Ok(Piece { bytes: None, finished: true });
            }
        }
    }

    /// Trailer lines after the body, each with its line end; empty without trailers.
    pub fn trailers(&self) -> &[u8] {
        self.body.trailers()
    }

    /// Whether more of the response, or its end, can be had without waiting for the backend.
    pub fn has_more(&self) -> bool {
        let came = || self.connection.transport.pending() != Pending::Nothing;
        self.body.is_finished() || self.input.is_some() || came()
    }

    /// From now on every byte belongs to the tunnel.
    pub fn become_tunnel(&mut self) {
        self.body = BodyDecoder::unlimited(Framing::UntilClose);
        self.persistent = false;
    }

    /// Whether another exchange may use the connection: this one was received in full, the backend
    /// keeps it open, and no byte more came.
    pub fn leaves_connection_clean(&self) -> bool {
        let nothing_waits = || !self.full || self.connection.transport.pending() == Pending::Nothing;
        self.persistent && self.body.is_finished() && self.input.is_none() && nothing_waits()
    }

    fn parse_head<T>(
        &mut self,
        take: &mut impl FnMut(&mut ResponseHead<'_, '_>, &ResponseFacts<'_>) -> T,
    ) -> Result<Option<T>, UpstreamError> {
        let Some(input) = &self.input else { return Ok(None) };
        let mut headers = Headers::new();
        let ResponseLimits { max_header_bytes, max_headers } = self.limits;
        let limits = HeadLimits { max_header_bytes, max_headers, max_uri_bytes: 0 };
        let parse = head::parse_response(input.filled(), &limits, &mut headers)
            .map_err(|error| UpstreamError::BadResponse(error.reason()))?;
        let Parse::Complete { mut head, length: head_bytes } = parse else { return Ok(None) };
        let bad = |reason| UpstreamError::BadResponse(reason);
        let framing = response_framing(&head, self.request_was_head).map_err(|error| bad(error.reason()))?;
        let options = ConnectionOptions::parse(head.headers).map_err(|error| bad(error.reason()))?;
        self.persistent = options.persistent(head.version) && framing != Framing::UntilClose;
        if let Some(limit) = connection_options::idle_limit(head.headers) {
            self.connection.idle_limit.set(Some(limit));
        }
        let upgrade = head.headers.find(KnownName::Upgrade).map(|field| field.value);
        let facts = ResponseFacts {
            is_to_head: self.request_was_head,
            length: framing.body_length(),
            upgrade: upgrade.filter(|_| options.upgrade),
        };
        options.remove_hop_by_hop(head.headers, None);
        let taken = take(&mut head, &facts);
        drop(headers);
        self.body = BodyDecoder::unlimited(framing).without_trailers(options.nominates);
        if let Some(input) = self.input.as_mut() {
            input.consume(head_bytes);
        }
        self.input.take_if(|input| input.is_empty());
        Ok(Some(taken))
    }

    /// Takes the content out of what was received; nothing if more must come first.
    fn decode(&mut self) -> Result<Option<Piece>, UpstreamError> {
        if self.body.is_finished() {
            return Ok(Some(Piece { bytes: None, finished: true }));
        }
        let Some(mut buffer) = self.input.take() else { return Ok(None) };
        let decoded = self
            .body
            .decode(buffer.filled_mut())
            .map_err(|error| UpstreamError::BadResponse(error.reason()))?;
        // Bytes beyond the end belong to no exchange: "A client MUST NOT process, cache, or forward
        // such extra data as a separate response" (RFC 9112 §6.3).
        self.persistent &= decoded.consumed == buffer.len();
        buffer.truncate(decoded.body.end);
        buffer.consume(decoded.body.start);
        let finished = decoded.finished;
        if buffer.is_empty() && !finished {
            return Ok(None);
        }
        Ok(Some(Piece { bytes: (!buffer.is_empty()).then_some(buffer), finished }))
    }

    async fn receive(&mut self, buffer: Buffer, timeout: ReadTimeout) -> Result<usize, UpstreamError> {
        let spare = buffer.spare();
        timeout.begin(&self.connection.deadline);
        let received = self.connection.deadline.guard(pin!(self.connection.transport.receive(buffer))).await;
        let (result, buffer) = received.map_err(|_| UpstreamError::ResponseTimeout)?;
        let count = result.map_err(|_| self.closed())?;
        self.busy = count * 2 > spare;
        self.full = count + TAILROOM_BYTES >= spare;
        self.begun |= count > 0;
        if !buffer.is_empty() {
            self.input = Some(buffer);
        }
        Ok(count)
    }

    fn closed(&self) -> UpstreamError {
        if self.begun { UpstreamError::ClosedWithinResponse } else { UpstreamError::ClosedBeforeResponse }
    }
}

/// Sends bytes of a request within `timeout` and returns them, unless they are still with the kernel.
pub async fn send(
    connection: &Connection,
    buffer: Buffer,
    timeout: Duration,
) -> (Result<(), UpstreamError>, Option<Buffer>) {
    match connection.transport.send_within(buffer, &connection.deadline, timeout).await {
        Ok((Ok(()), buffer)) => (Ok(()), Some(buffer)),
        Ok((Err(SendError { sent: 0 }), buffer)) => (Err(UpstreamError::NothingSent), Some(buffer)),
        Ok((Err(_), buffer)) => (Err(UpstreamError::ClosedBeforeResponse), Some(buffer)),
        Err(_elapsed) => (Err(UpstreamError::ResponseTimeout), None),
    }
}
