//! The seam between an exchange and what carries it: a connection of HTTP/1.1, later one stream of
//! many. An exchange is compiled once for each version and calls it directly.

use std::future::Future;
use std::task::Context;

use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::Field;
use crate::net::buffer::Buffer;
use crate::telemetry::reason::Reason;

/// What carries one exchange. Its parts are used at the same time.
pub trait Stream {
    type Body: RequestBody;
    type Reply: Reply;
    type ClientWatch: ClientWatch;

    fn parts(&mut self) -> (&mut Self::Body, &mut Self::Reply, &Self::ClientWatch);

    /// Bytes of the request's head, as received.
    fn head_bytes(&self) -> u64;
}

/// The request's body, as it comes from the client.
pub trait RequestBody {
    /// Whether the body was read to its end.
    fn is_finished(&self) -> bool;

    /// Content among the bytes that were received already; nothing if more must come first.
    fn at_hand(&mut self) -> Result<Option<Buffer>, BodyError>;

    /// Waits for the next piece of content; `None` at the end of the body.
    fn next(&mut self, bound: BodyTimeout) -> impl Future<Output = Result<Option<Buffer>, BodyError>>;

    /// The lines of the trailer section after the end; empty without.
    fn trailers(&self) -> &[u8];

    /// From now on everything received belongs to the tunnel.
    fn become_tunnel(&mut self);

    /// Bytes received of the body, framing included.
    fn received_bytes(&self) -> u64;
}

/// How long the client may take for the next piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyTimeout {
    /// `client_body_timeout`.
    Limited,
    /// Until the client was told to continue, or for as long as a tunnel lasts.
    Unlimited,
}

/// Why a request's body cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    TimedOut,
    /// The client closed or reset the connection.
    Gone,
    TooLarge,
    /// The framing is wrong; the word is the codec's.
    Malformed(&'static str),
}

/// The response, on its way to the client.
pub trait Reply {
    /// Whether any part of a final response was written.
    fn is_started(&self) -> bool;

    /// Whether content of unknown length can end without the end of the connection.
    fn can_delimit(&self) -> bool;

    /// Bytes of content that could leave at present: no more than a little beyond it should be fetched,
    /// so that a client that takes nothing holds nothing.
    fn room(&self) -> usize;

    /// Takes back a final response of which only the head was written and nothing was sent; false when
    /// the client may have seen some of it.
    fn retract(&mut self) -> bool;

    /// Whether the response has begun and may end at any point, with trailers.
    fn can_end_with_trailers(&self) -> bool;

    /// Writes an interim response; false when the client's version knows none (RFC 9110 §15.2).
    fn interim(&mut self, head: &ResponseHead<'_, '_>) -> bool;

    /// Writes the head of the final response. It is sent with the first piece of the body.
    fn start(&mut self, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>);

    /// Sends what was written and this piece of content. `last` ends the response and gives the
    /// lines of the trailer section.
    fn send(
        &mut self,
        piece: Option<Buffer>,
        last: Option<&[u8]>,
    ) -> impl Future<Output = Result<(), ReplyError>>;

    /// Bytes of content sent so far, without framing.
    fn content_bytes(&self) -> u64;

    /// Bytes sent so far, before TLS: heads, content and framing.
    fn sent_bytes(&self) -> u64;
}

/// What a response's head does not say itself.
pub struct StartFacts<'a> {
    pub length: BodyLength,
    /// It is all trailers, as of a call that fails at once: where the version of HTTP ends messages by itself, no
    /// length is announced beside them.
    pub is_only_trailers: bool,
    /// No further request may follow on this connection.
    pub close: bool,
    /// The protocol that is switched to with a 101, or those that a 426 asks for.
    pub upgrade: Option<&'a [u8]>,
    /// Fields to write after those of the head.
    pub added: &'a [(&'a [u8], &'a [u8])],
    /// Values of fields of the head that others take the place of.
    pub replaced: &'a [(&'a [u8], &'a [u8])],
}

impl StartFacts<'_> {
    /// The value that this field of the head is written with.
    pub fn value_of<'v>(&'v self, field: &'v Field<'_>) -> &'v [u8] {
        // The same bytes, not equal ones: two fields can be alike, and only one of them be meant.
        let is_it = |(value, _): &&(&[u8], &[u8])| std::ptr::eq(*value, field.value);
        self.replaced.iter().find(is_it).map_or(field.value, |(_, new)| new)
    }
}

/// Why a response cannot be sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The client does not take it.
    TimedOut,
    Gone,
}

/// Whether the client is still there while nothing is read from or written to it.
pub trait ClientWatch {
    /// Completes when the client has gone. May take a fraction of a second to begin looking.
    fn disconnected(&self) -> impl Future<Output = ()>;

    /// Whether the client has gone, where that is known without looking. If not, the task of this turn is woken
    /// when it is.
    fn is_disconnected(&self, cx: &Context<'_>) -> bool;

    /// Why the client is gone, where more is known than that it is.
    fn cause(&self) -> Option<Reason>;

    /// Smoothed round-trip time in microseconds, where the transport knows it.
    fn round_trip_us(&self) -> Option<u32>;
}
