//! A response on its way out on a stream.

use std::rc::Rc;
use std::time::Duration;

use crate::downstream::h2::sending::SLICE_BYTES;
use crate::downstream::h2::shared::Shared;
use crate::downstream::multiplex::reply_head;
use crate::downstream::multiplex::reply_head::ReplyTraits;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::downstream::multiplex::stream_state::Traits;
use crate::downstream::pacer::Pacer;
use crate::downstream::reply_state::ReplyState;
use crate::exchange::stream;
use crate::exchange::stream::ReplyError;
use crate::exchange::stream::StartFacts;
use crate::http::head::ResponseHead;
use crate::net::buffer::Buffer;
use crate::proto::field_lines;
use crate::proto::h2::connection::Connection as Codec;
use crate::proto::h2::connection::StreamGone;
use crate::proto::h2::stream::StreamId;
use crate::snapshot::HttpListener;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::PacedRequest;

pub(super) struct Reply<'s> {
    shared: &'s Shared,
    stream: &'s Rc<StreamState>,
    traits: Traits,
    state: ReplyState,
    response: ReplyTraits,
    /// The field lines of a head that waits for the first piece of content, to be sent with it. They are not
    /// compressed yet: what was compressed can no longer be taken back.
    head: Option<Buffer>,
    content_bytes: u64,
    /// With the headers of frames.
    sent_bytes: u64,
    /// Between two pieces of the request's body.
    timeout: &'s Duration,
    terms: &'s HttpListener,
    pacer: Pacer,
}

impl<'s> Reply<'s> {
    pub(super) fn new(
        shared: &'s Shared,
        stream: &'s Rc<StreamState>,
        (terms, timeout): (&'s HttpListener, &'s Duration),
        (traits, paced): (Traits, Option<PacedRequest>),
    ) -> Reply<'s> {
        Reply {
            shared,
            stream,
            traits,
            state: ReplyState::Unstarted,
            response: ReplyTraits::default(),
            head: None,
            content_bytes: 0,
            sent_bytes: 0,
            timeout,
            terms,
            pacer: Pacer::new(paced),
        }
    }

    async fn write(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), StreamError> {
        let piece = piece.filter(|piece| self.response.has_content && !piece.is_empty());
        let ends_with_trailers = last.is_some_and(|trailers| !trailers.is_empty());
        let ends_with_content = last.is_some() && !ends_with_trailers;
        let mut is_ended = false;
        if self.head.is_some() {
            let _slot = self.shared.turn(self.stream).await?;
            is_ended = ends_with_content && piece.is_none();
            self.write_head(is_ended)?;
        }
        match piece {
            Some(piece) => self.write_content(&piece, ends_with_content).await?,
            None if ends_with_content && !is_ended => {
                let now = self.shared.now();
                self.encode(|codec, stream| codec.send_content(stream, &[], true, now))?;
            }
            None => {}
        }
        if let Some(trailers) = last.filter(|_| ends_with_trailers) {
            self.encode(|codec, stream| codec.send_trailers(stream, field_lines::field_lines(trailers)))?;
        }
        if last.is_some() {
            self.stream.is_answered.set(true);
            self.state = ReplyState::Finished;
        }
        Ok(())
    }

    fn write_head(&mut self, end: bool) -> Result<(), StreamError> {
        let Some(lines) = self.head.take() else { return Ok(()) };
        let status = reply_head::digits(self.response.status);
        let fields = reply_head::fields(&status, lines.filled());
        self.encode(|codec, stream| codec.send_head(stream, fields, end))
    }

    /// Writes frames of the stream, and counts their bytes.
    fn encode<T>(
        &mut self,
        write: impl FnOnce(&mut Codec, StreamId) -> Result<T, StreamGone>,
    ) -> Result<T, StreamError> {
        let shared = self.shared;
        let mut codec = shared.codec.borrow_mut();
        let before = codec.output_bytes();
        let written = write(&mut codec, self.stream.id);
        self.sent_bytes += (codec.output_bytes() - before) as u64;
        drop(codec);
        written.map_err(|gone| self.error(gone))
    }

    /// Writes content as the windows and the other streams allow.
    async fn write_content(&mut self, piece: &Buffer, end: bool) -> Result<(), StreamError> {
        let mut rest = piece.filled();
        while !rest.is_empty() {
            let slot = self.shared.turn(self.stream).await?;
            let slice = rest.get(..SLICE_BYTES).unwrap_or(rest);
            let is_last = end && slice.len() == rest.len();
            let now = self.shared.now();
            let sent = self.encode(|codec, stream| codec.send_content(stream, slice, is_last, now))?;
            drop(slot);
            self.content_bytes += sent as u64;
            rest = rest.get(sent..).unwrap_or_default();
            if sent < slice.len() {
                self.shared.window(self.stream).await?;
            }
        }
        Ok(())
    }

    /// Once the client has got something, be it the leave to go on, it is its turn: a wait for its body that had no
    /// bound has one now, and another begins again. Only within a tunnel may it be silent until that ends.
    fn expect_more(&self) {
        if let Some(deadline) = self.stream.body_deadline.get() {
            deadline.set(*self.timeout);
        }
    }

    fn error(&self, _gone: StreamGone) -> StreamError {
        self.stream.error().unwrap_or(StreamError::Connection)
    }
}

impl stream::Reply for Reply<'_> {
    fn is_started(&self) -> bool {
        self.state.is_started()
    }

    fn can_delimit(&self) -> bool {
        true
    }

    fn room(&self) -> usize {
        self.pacer.room(self.shared.room(self.stream), self.terms)
    }

    fn retract(&mut self) -> bool {
        let is_unsent = self.state.retract(self.head.is_some());
        if is_unsent {
            self.head = None;
            self.response.is_tunnel = false;
        }
        is_unsent
    }

    fn can_end_with_trailers(&self) -> bool {
        self.state == ReplyState::Started
            && self.response.has_content
            && !self.response.is_tunnel
            && !self.response.has_length
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) -> bool {
        if !self.terms.early_hints.passes(head.status, true) {
            return false;
        }
        let status = reply_head::digits(head.status);
        let fields = reply_head::interim_fields(&status, head);
        // A stream that is gone is noticed with the next send.
        let _ = self.encode(|codec, stream| codec.send_interim(stream, fields));
        true
    }

    fn start(&mut self, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>) {
        self.state = ReplyState::Started;
        let buffers = &self.shared.worker.buffers;
        let (lines, response) = reply_head::write(head, facts, &self.traits, buffers);
        self.response = response;
        self.head = Some(lines);
    }

    async fn send(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), ReplyError> {
        if let Some(piece) = piece.as_ref().filter(|_| self.response.has_content) {
            self.pacer.count((piece.len(), Direction::Down), self.terms, &self.shared.worker);
            if let Some(turn) = self.pacer.wait(&self.shared.worker) {
                turn.await;
            }
        }
        let written = self.write(piece, last).await;
        if !self.response.is_tunnel || last.is_some() {
            self.expect_more();
        }
        self.shared.wake_driver();
        written.map_err(|error| {
            self.state = ReplyState::Broken;
            if error == StreamError::Stalled { ReplyError::TimedOut } else { ReplyError::Gone }
        })
    }

    fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}
