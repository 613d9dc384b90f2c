//! A response on its way out on its stream.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use crate::downstream::h3::halves::StreamHalves;
use crate::downstream::h3::shared::Http3Shared;
use crate::downstream::multiplex::reply_head;
use crate::downstream::multiplex::reply_head::ReplyTraits;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::downstream::multiplex::stream_state::Traits;
use crate::downstream::pacer::Pacer;
use crate::downstream::reply_state::ReplyState;
use crate::exchange::stream;
use crate::exchange::stream::ReplyError;
use crate::exchange::stream::StartFacts;
use crate::http::head::ResponseHead;
use crate::net::buffer::Buffer;
use crate::net::timer::Deadline;
use crate::proto::field_lines;
use crate::proto::h3::fault::ErrorCode;
use crate::proto::h3::frame::write_data_head;
use crate::quic::streams::StreamBytes;
use crate::snapshot::HttpListener;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::PacedRequest;

/// Content that is fetched at a time: what was written before was taken by then.
const ROOM_BYTES: usize = 64 * 1024;

pub(super) struct Reply<'s> {
    shared: &'s Http3Shared,
    halves: &'s StreamHalves,
    traits: Traits,
    state: ReplyState,
    response: ReplyTraits,
    /// The field lines of a head that waits for the first piece of content, to be sent with it.
    head: Option<Buffer>,
    /// Interim responses that wait for the next send.
    interim: Vec<u8>,
    content_bytes: u64,
    /// With the headers of frames.
    sent_bytes: u64,
    /// Between two pieces of the request's body.
    timeout: &'s Duration,
    terms: &'s HttpListener,
    pacer: Pacer,
    /// Bounds the wait for a client that takes nothing.
    deadline: Deadline,
}

impl<'s> Reply<'s> {
    pub(super) fn new(
        (shared, halves): (&'s Http3Shared, &'s StreamHalves),
        (terms, timeout): (&'s HttpListener, &'s Duration),
        (traits, paced): (Traits, Option<PacedRequest>),
    ) -> Reply<'s> {
        Reply {
            shared,
            halves,
            traits,
            state: ReplyState::Unstarted,
            response: ReplyTraits::default(),
            head: None,
            interim: Vec::new(),
            content_bytes: 0,
            sent_bytes: 0,
            timeout,
            terms,
            pacer: Pacer::new(paced),
            deadline: shared.worker.timers.deadline(),
        }
    }

    async fn write(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), StreamError> {
        let piece = piece.filter(|piece| self.response.has_content && !piece.is_empty());
        let content = piece.as_ref().map(Buffer::filled).unwrap_or_default();
        let mut out = std::mem::take(&mut self.interim);
        self.write_head(&mut out);
        if !content.is_empty() {
            write_data_head(&mut out, content.len() as u64);
            out.extend_from_slice(content);
        }
        if let Some(trailers) = last.filter(|trailers| !trailers.is_empty()) {
            let fields = field_lines::field_lines(trailers);
            self.shared.codec.borrow_mut().write_headers(&mut out, fields);
        }
        let (content_bytes, sent_bytes) = (content.len() as u64, out.len() as u64);
        // What is sent is a copy, because QUIC keeps it until the client has it.
        drop(piece);
        self.send_all(out.into()).await?;
        self.content_bytes += content_bytes;
        self.sent_bytes += sent_bytes;
        if last.is_some() {
            self.finish()?;
        }
        Ok(())
    }

    fn write_head(&mut self, out: &mut Vec<u8>) {
        let Some(lines) = self.head.take() else { return };
        let status = reply_head::digits(self.response.status);
        let fields = reply_head::fields(&status, lines.filled());
        self.shared.codec.borrow_mut().write_headers(out, fields);
    }

    /// Hands everything to QUIC, for as long as the client takes some of it within the time for that.
    async fn send_all(&mut self, mut bytes: StreamBytes) -> Result<(), StreamError> {
        let halves = self.halves;
        while !bytes.is_empty() {
            if let Some(error) = halves.error() {
                return Err(error);
            }
            self.deadline.set(self.terms.client_body_timeout);
            let writing = pin!(poll_fn(|cx| halves.send.borrow_mut().poll_write(&mut bytes, cx)));
            match self.deadline.guard(writing).await {
                Ok(Ok(_)) => {}
                Ok(Err(failure)) => return Err(halves.fail_with(failure)),
                Err(_elapsed) => {
                    halves.give_up(ErrorCode::RequestCancelled);
                    return Err(halves.fail(StreamError::Stalled));
                }
            }
        }
        self.deadline.clear();
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        let finished = self.halves.send.borrow_mut().finish();
        finished.map_err(|failure| self.halves.fail_with(failure))?;
        self.halves.is_answered.set(true);
        self.state = ReplyState::Finished;
        self.shared.codec.borrow_mut().note_complete_response();
        if !self.halves.is_read.get() {
            // "The server MAY abort reading the request stream (…) with the error code H3_NO_ERROR" (RFC 9114 §4.1).
            self.halves.recv.borrow_mut().stop(ErrorCode::NoError.to_wire() as u32);
        }
        Ok(())
    }

    /// Once the client has got something, be it the leave to go on, it is its turn: a wait for its body that had no
    /// bound has one now, and another begins again.
    fn expect_more(&self) {
        if let Some(deadline) = self.halves.body_deadline.get() {
            deadline.set(*self.timeout);
        }
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
        self.pacer.room(ROOM_BYTES, self.terms)
    }

    fn retract(&mut self) -> bool {
        let is_unsent = self.state.retract(self.head.is_some());
        if is_unsent {
            self.head = None;
        }
        is_unsent
    }

    fn can_end_with_trailers(&self) -> bool {
        self.state == ReplyState::Started && self.response.has_content && !self.response.has_length
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) -> bool {
        if !self.terms.early_hints.passes(head.status, true) {
            return false;
        }
        let status = reply_head::digits(head.status);
        let fields = reply_head::interim_fields(&status, head);
        self.shared.codec.borrow_mut().write_headers(&mut self.interim, fields);
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
        self.expect_more();
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
