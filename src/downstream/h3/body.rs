//! The body of a request, read from its stream as it is wanted: what is not read holds the client up.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use crate::downstream::h3::halves::PIECE_BYTES;
use crate::downstream::h3::halves::StreamHalves;
use crate::downstream::h3::shared::Http3Shared;
use crate::downstream::pacer::Pacer;
use crate::exchange::Exchange;
use crate::exchange::stream::BodyError;
use crate::exchange::stream::BodyTimeout;
use crate::exchange::stream::RequestBody;
use crate::net::buffer::Buffer;
use crate::proto::fields::message;
use crate::proto::h3::event::RequestEvent;
use crate::proto::h3::request::RequestReader;
use crate::quic::streams::StreamBytes;
use crate::snapshot::HttpListener;
use crate::snapshot::bandwidth::Direction;

pub(super) struct Body<'s> {
    shared: &'s Http3Shared,
    halves: &'s StreamHalves,
    reader: RequestReader,
    /// What was read and not looked at.
    unread: StreamBytes,
    terms: &'s HttpListener,
    /// Between two pieces.
    timeout: &'s Duration,
    pacer: Pacer,
    /// The most content, in bytes.
    limit: Option<u64>,
    received: u64,
    drops_trailers: bool,
    trailers: Vec<u8>,
}

impl<'s> Body<'s> {
    pub(super) fn new(
        (shared, halves): (&'s Http3Shared, &'s StreamHalves),
        (reader, unread): (RequestReader, StreamBytes),
        (terms, timeout): (&'s HttpListener, &'s Duration),
        exchange: &Exchange,
    ) -> Body<'s> {
        Body {
            shared,
            halves,
            reader,
            unread,
            terms,
            timeout,
            pacer: Pacer::new(exchange.paced()),
            limit: exchange.body_limit(),
            received: 0,
            drops_trailers: exchange.withholds_trailers() || terms.forwarded.identity.has_aliases(),
            trailers: Vec::new(),
        }
    }

    /// The next piece of content; None at the end.
    fn poll_piece(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Buffer>, BodyError>> {
        loop {
            if let Some(error) = self.halves.error() {
                return Poll::Ready(Err(error.into()));
            }
            if self.halves.is_read.get() {
                return Poll::Ready(Ok(None));
            }
            if !self.unread.is_empty() {
                match self.take() {
                    Ok(None) => continue,
                    Ok(piece) => return Poll::Ready(Ok(piece)),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            let read = self.halves.recv.borrow_mut().poll_read(PIECE_BYTES, cx);
            match std::task::ready!(read) {
                Ok(Some(bytes)) => self.unread = bytes,
                Ok(None) => match self.reader.handle_end() {
                    Ok(()) => self.halves.is_read.set(true),
                    Err(fault) => {
                        return Poll::Ready(Err(self.shared.fail_stream(self.halves, fault).into()));
                    }
                },
                Err(failure) => return Poll::Ready(Err(self.halves.fail_with(failure).into())),
            }
        }
    }

    /// Content in what was read; None: all of it was something else.
    fn take(&mut self) -> Result<Option<Buffer>, BodyError> {
        let mut codec = self.shared.codec.borrow_mut();
        let received = match self.reader.handle_bytes(&self.unread, &mut codec, self.shared.now()) {
            Ok(received) => received,
            Err(fault) => {
                drop(codec);
                return Err(self.shared.fail_stream(self.halves, fault).into());
            }
        };
        let taken = self.unread.split_to(received.consumed);
        match received.event {
            Some(RequestEvent::Content(range)) => {
                drop(codec);
                let content = taken.get(range).unwrap_or_default();
                self.received += content.len() as u64;
                if self.limit.is_some_and(|limit| self.received > limit) {
                    return Err(BodyError::TooLarge);
                }
                let worker = &self.shared.worker;
                let mut piece = worker.buffers.for_body(content.len());
                piece.tail().extend_from_slice(content);
                self.pacer.count((piece.len(), Direction::Up), self.terms, worker);
                Ok(Some(piece))
            }
            Some(RequestEvent::Trailers) if !self.drops_trailers => {
                message::write_trailers(codec.fields(), &mut self.trailers);
                Ok(None)
            }
            // A head has come already, and another one is a fault.
            Some(RequestEvent::Trailers | RequestEvent::Head | RequestEvent::HeadTooLarge) | None => Ok(None),
        }
    }
}

impl RequestBody for Body<'_> {
    fn is_finished(&self) -> bool {
        self.halves.is_read.get()
    }

    fn at_hand(&mut self) -> Result<Option<Buffer>, BodyError> {
        match self.poll_piece(&Context::from_waker(Waker::noop())) {
            Poll::Ready(piece) => piece,
            Poll::Pending => Ok(None),
        }
    }

    async fn next(&mut self, bound: BodyTimeout) -> Result<Option<Buffer>, BodyError> {
        if let Some(turn) = self.pacer.wait(&self.shared.worker) {
            turn.await;
        }
        if let Some(piece) = self.at_hand()? {
            return Ok(Some(piece));
        }
        let halves = self.halves;
        let deadline = halves.body_deadline.get_or_init(|| self.shared.worker.timers.deadline());
        match bound {
            BodyTimeout::Limited => deadline.set(*self.timeout),
            BodyTimeout::Unlimited => deadline.clear(),
        }
        let next = pin!(poll_fn(|cx| self.poll_piece(cx)));
        deadline.guard(next).await.unwrap_or(Err(BodyError::TimedOut))
    }

    fn trailers(&self) -> &[u8] {
        self.terms.forwarded.passing_trailers(&self.trailers)
    }

    /// Extended CONNECT is not offered.
    fn become_tunnel(&mut self) {}

    fn received_bytes(&self) -> u64 {
        self.received
    }
}
