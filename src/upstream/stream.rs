//! What carries one exchange to a backend: a connection of HTTP/1.1, or a stream of HTTP/2. The operations are
//! the same, and here is the only place that tells the two apart.

use std::future::Future;
use std::time::Duration;

use crate::http::body::BodyLength;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::task::Either;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::h1;
use crate::upstream::h2::stream;
use crate::upstream::message::PieceFraming;
use crate::upstream::message::RequestParts;

pub enum UpstreamStream {
    Http1(Connection),
    Http2(stream::Stream),
}

impl UpstreamStream {
    /// As traces tell it.
    pub fn protocol_version(&self) -> &'static str {
        match self {
            UpstreamStream::Http1(_) => "1.1",
            UpstreamStream::Http2(_) => "2",
        }
    }

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
            UpstreamStream::Http1(connection) => Either::One(h1::send(connection, request, timeout)),
            // Boxed, so that requests over HTTP/1.1 do not carry the room for it.
            UpstreamStream::Http2(stream) => Either::Other(Box::pin(async move {
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
        let UpstreamStream::Http1(connection) = self else { return Err(UpstreamError::NothingSent) };
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
            UpstreamStream::Http1(connection) => {
                h1::frame_body(&mut piece, framing.length, framing.last);
                h1::send(connection, piece, timeout).await.0
            }
            UpstreamStream::Http2(stream) => stream.send_piece(piece.filled(), framing.last, timeout).await,
        }
    }

    /// Sends what came through a tunnel.
    pub async fn send_raw(&self, piece: Buffer, timeout: Duration) -> Result<(), UpstreamError> {
        match self {
            UpstreamStream::Http1(connection) => h1::send(connection, piece, timeout).await.0,
            UpstreamStream::Http2(stream) => stream.send_piece(piece.filled(), None, timeout).await,
        }
    }

    /// Tells the backend that nothing more will be sent; receiving goes on.
    pub fn finish_sending(&self) {
        match self {
            UpstreamStream::Http1(connection) => connection.transport.finish_sending(),
            UpstreamStream::Http2(stream) => stream.finish_sending(),
        }
    }

    /// Bounds the wait for the backend, whatever it is waited for.
    pub fn wait_at_most(&self, time: Duration) {
        match self {
            UpstreamStream::Http1(connection) => connection.deadline.set(time),
            UpstreamStream::Http2(stream) => stream.wait_at_most(Some(time)),
        }
    }

    /// Lets the backend be silent: it waits for the client.
    pub fn suspend_timeout(&self) {
        match self {
            UpstreamStream::Http1(connection) => connection.deadline.clear(),
            UpstreamStream::Http2(stream) => stream.wait_at_most(None),
        }
    }

    /// Whether this can carry the request with this head, which asks for an upgrade: over HTTP/2 that can only be
    /// WebSocket, and needs a backend that allows it (RFC 8441 §3).
    pub fn can_carry(&self, head: &[u8], has_content: bool) -> bool {
        match self {
            UpstreamStream::Http1(_) => true,
            UpstreamStream::Http2(stream) => stream.can_carry(head, has_content),
        }
    }

    /// Whether content of a known length ends with its last byte, and not by a sign of its own.
    pub fn delimits_by_length(&self) -> bool {
        !self.is_http2()
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, UpstreamStream::Http2(_))
    }
}
