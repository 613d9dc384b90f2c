//! What carries one exchange to a backend: a connection of HTTP/1.1, or a stream of HTTP/2. The operations are
//! the same, and here is the only place that tells the two apart.

use std::future::Future;
use std::time::Duration;

use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::task::Either;
use crate::snapshot::group::ResponseLimits;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::h1;
use crate::upstream::h2::stream;
use crate::upstream::message::Piece;
use crate::upstream::message::PieceFraming;
use crate::upstream::message::ReadTimeout;
use crate::upstream::message::RequestParts;
use crate::upstream::message::ResponseFacts;

pub enum Link {
    Http1(Connection),
    Http2(stream::Stream),
}

impl Link {
    /// Sends a request within `timeout` and returns it untouched, unless it is still with the kernel. It must be
    /// framed already for a connection of HTTP/1.1.
    pub fn send_request(
        &self,
        request: Buffer,
        head_bytes: usize,
        last: Option<&[u8]>,
        timeout: Duration,
    ) -> impl Future<Output = (Result<(), UpstreamError>, Option<Buffer>)> {
        match self {
            Link::Http1(connection) => Either::One(h1::send(connection, request, timeout)),
            // Boxed, so that requests over HTTP/1.1 do not carry the room for it.
            Link::Http2(stream) => Either::Other(Box::pin(async move {
                let text = request.filled();
                let sent = stream.send_request(&RequestParts { text, head_bytes, last }, timeout).await;
                (sent, Some(request))
            })),
        }
    }

    /// Sends a request whose content is not framed yet over HTTP/1.1.
    pub async fn send_framed(
        &self,
        request: &RequestParts<'_>,
        length: BodyLength,
        buffers: &Buffers,
        timeout: Duration,
    ) -> Result<(), UpstreamError> {
        let Link::Http1(connection) = self else { return Err(UpstreamError::NothingSent) };
        h1::send(connection, h1::frame_request(request, length, buffers), timeout).await.0
    }

    /// Sends a piece of a request's body.
    pub async fn send_piece(
        &self,
        mut piece: Buffer,
        framing: PieceFraming<'_>,
        timeout: Duration,
    ) -> Result<(), UpstreamError> {
        match self {
            Link::Http1(connection) => {
                h1::frame_body(&mut piece, framing.length, framing.last);
                h1::send(connection, piece, timeout).await.0
            }
            Link::Http2(stream) => stream.send_piece(piece.filled(), framing.last, timeout).await,
        }
    }

    /// Sends what came through a tunnel.
    pub async fn send_raw(&self, piece: Buffer, timeout: Duration) -> Result<(), UpstreamError> {
        match self {
            Link::Http1(connection) => h1::send(connection, piece, timeout).await.0,
            Link::Http2(stream) => stream.send_piece(piece.filled(), None, timeout).await,
        }
    }

    /// Tells the backend that nothing more will be sent; receiving goes on.
    pub fn finish_sending(&self) {
        match self {
            Link::Http1(connection) => connection.transport.finish_sending(),
            Link::Http2(stream) => stream.finish_sending(),
        }
    }

    /// Bounds the wait for the backend, whatever it is waited for.
    pub fn wait_at_most(&self, time: Duration) {
        match self {
            Link::Http1(connection) => connection.deadline.set(time),
            Link::Http2(stream) => stream.wait_at_most(Some(time)),
        }
    }

    /// Lets the backend be silent: it waits for the client.
    pub fn suspend_timeout(&self) {
        match self {
            Link::Http1(connection) => connection.deadline.clear(),
            Link::Http2(stream) => stream.wait_at_most(None),
        }
    }

    /// Whether this can carry the request with this head, which asks for an upgrade: over HTTP/2 that can only be
    /// WebSocket, and needs a backend that allows it (RFC 8441 §3).
    pub fn can_carry(&self, head: &[u8], has_content: bool) -> bool {
        match self {
            Link::Http1(_) => true,
            Link::Http2(stream) => stream.can_carry(head, has_content),
        }
    }

    /// Whether content of a known length ends with its last byte, and not by a sign of its own.
    pub fn delimits_by_length(&self) -> bool {
        !self.is_http2()
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Link::Http2(_))
    }
}

/// Receives the response to one request.
pub struct ResponseReader<'l> {
    link: &'l Link,
    reader: Reader<'l>,
}

enum Reader<'l> {
    Http1(h1::ResponseReader<'l>),
    Http2(stream::ResponseReader<'l>),
}

impl<'l> ResponseReader<'l> {
    pub fn new(link: &'l Link, request_was_head: bool, limits: ResponseLimits) -> ResponseReader<'l> {
        let reader = match link {
            Link::Http1(connection) => {
                Reader::Http1(h1::ResponseReader::new(connection, request_was_head, limits))
            }
            // The codec of its connection was told the limits.
            Link::Http2(stream) => Reader::Http2(stream::ResponseReader::new(stream, request_was_head)),
        };
        ResponseReader { link, reader }
    }

    /// Receives a response head and hands it to `take` without the fields of this hop. To be called
    /// again after an interim response (RFC 9110 §15.2).
    pub fn head<T>(
        &mut self,
        buffers: &Buffers,
        timeout: ReadTimeout,
        take: impl FnMut(&mut ResponseHead<'_, '_>, &ResponseFacts<'_>) -> T,
    ) -> impl Future<Output = Result<T, UpstreamError>> {
        match &mut self.reader {
            Reader::Http1(reader) => Either::One(reader.head(buffers, timeout, take)),
            Reader::Http2(reader) => Either::Other(reader.head(timeout, take)),
        }
    }

    /// Receives the next piece of the body, a small one unless there is `room` for more; to be called until
    /// it is finished.
    pub fn body(
        &mut self,
        buffers: &Buffers,
        timeout: ReadTimeout,
        room: usize,
    ) -> impl Future<Output = Result<Piece, UpstreamError>> {
        match &mut self.reader {
            Reader::Http1(reader) => Either::One(reader.body(buffers, timeout, room)),
            Reader::Http2(reader) => Either::Other(reader.body(buffers, timeout, room)),
        }
    }

    /// Lets the backend be silent: it waits for the client.
    pub fn suspend_timeout(&self) {
        self.link.suspend_timeout();
    }

    /// Trailer lines after the body, each with its line end; empty without trailers.
    pub fn trailers(&self) -> &[u8] {
        match &self.reader {
            Reader::Http1(reader) => reader.trailers(),
            Reader::Http2(reader) => reader.trailers(),
        }
    }

    /// Whether more of the response, or its end, can be had without waiting for the backend.
    pub fn has_more(&self) -> bool {
        match &self.reader {
            Reader::Http1(reader) => reader.has_more(),
            Reader::Http2(reader) => reader.has_more(),
        }
    }

    /// From now on every byte belongs to the tunnel.
    pub fn become_tunnel(&mut self) {
        match &mut self.reader {
            Reader::Http1(reader) => reader.become_tunnel(),
            // Of a stream, every byte does already.
            Reader::Http2(_) => {}
        }
    }

    /// Whether another exchange may use what carried this one.
    pub fn leaves_connection_clean(&self) -> bool {
        match &self.reader {
            Reader::Http1(reader) => reader.leaves_connection_clean(),
            Reader::Http2(_) => true,
        }
    }
}
