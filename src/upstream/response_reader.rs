//! Receiving the response to one request from what carries it, an HTTP/1.1 connection or an HTTP/2 stream.

use std::future::Future;

use crate::http::head::ResponseHead;
use crate::net::buffer::Buffers;
use crate::net::task::Either;
use crate::snapshot::group::ResponseLimits;
use crate::upstream::error::UpstreamError;
use crate::upstream::h1;
use crate::upstream::h2::stream;
use crate::upstream::message::Piece;
use crate::upstream::message::ReadTimeout;
use crate::upstream::message::ResponseFacts;
use crate::upstream::stream::UpstreamStream;

/// Receives the response to one request.
pub struct ResponseReader<'s> {
    stream: &'s UpstreamStream,
    reader: Reader<'s>,
}

enum Reader<'s> {
    Http1(h1::ResponseReader<'s>),
    Http2(stream::ResponseReader<'s>),
}

impl<'s> ResponseReader<'s> {
    pub fn new(
        stream: &'s UpstreamStream,
        request_was_head: bool,
        limits: ResponseLimits,
    ) -> ResponseReader<'s> {
        let reader = match stream {
            UpstreamStream::Http1(connection) => {
                Reader::Http1(h1::ResponseReader::new(connection, request_was_head, limits))
            }
            // The codec of its connection was told the limits.
            UpstreamStream::Http2(stream) => {
                Reader::Http2(stream::ResponseReader::new(stream, request_was_head))
            }
        };
        ResponseReader { stream, reader }
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
        self.stream.suspend_timeout();
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
            // Every byte of a stream does already.
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
