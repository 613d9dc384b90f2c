//! A response on its way out on its stream.

use std::future::poll_fn;
use std::pin::pin;

use crate::downstream::h3::halves::StreamHalves;
use crate::downstream::h3::shared::Http3Shared;
use crate::downstream::multiplex::reply_head;
use crate::downstream::multiplex::reply_progress::ReplyProgress;
use crate::downstream::multiplex::stream_state::StreamError;
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

/// Content that is fetched at a time: what was written before was taken by then.
const ROOM_BYTES: usize = 64 * 1024;

pub(super) struct Reply<'s> {
    shared: &'s Http3Shared,
    halves: &'s StreamHalves,
    progress: ReplyProgress<'s>,
    /// Interim responses that wait for the next send.
    interim: Vec<u8>,
    /// Bounds the wait for a client that takes nothing.
    deadline: Deadline,
}

impl<'s> Reply<'s> {
    pub(super) fn new(
        (shared, halves): (&'s Http3Shared, &'s StreamHalves),
        progress: ReplyProgress<'s>,
    ) -> Reply<'s> {
        let deadline = shared.worker.timers.deadline();
        Reply { shared, halves, progress, interim: Vec::new(), deadline }
    }

    async fn write(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), StreamError> {
        let piece = piece.filter(|piece| self.progress.response.has_content && !piece.is_empty());
        let content_bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let mut out = std::mem::take(&mut self.interim);
        self.write_head(&mut out);
        if let Some(piece) = piece {
            write_data_head(&mut out, content_bytes);
            // QUIC keeps what is sent until the client has it: memory that is mostly filled as it is, a copy of anything else.
            if piece.is_well_filled() {
                self.send_all(std::mem::take(&mut out).into()).await?;
                let (memory, start) = piece.into_memory();
                self.send_all(StreamBytes::from(memory).slice(start..)).await?;
            } else {
                out.extend_from_slice(piece.filled());
            }
        }
        if let Some(trailers) = last.filter(|trailers| !trailers.is_empty()) {
            let fields = field_lines::field_lines(trailers);
            self.shared.codec.borrow_mut().write_headers(&mut out, fields);
        }
        self.send_all(out.into()).await?;
        self.progress.content_bytes += content_bytes;
        if last.is_some() {
            self.finish()?;
        }
        Ok(())
    }

    fn write_head(&mut self, out: &mut Vec<u8>) {
        let Some((status, lines)) = self.progress.take_head() else { return };
        let fields = reply_head::fields(&status, lines.filled());
        self.shared.codec.borrow_mut().write_headers(out, fields);
    }

    /// Hands everything to QUIC, for as long as the client takes some of it within the time for that.
    async fn send_all(&mut self, mut bytes: StreamBytes) -> Result<(), StreamError> {
        let (halves, count) = (self.halves, bytes.len() as u64);
        while !bytes.is_empty() {
            if let Some(error) = halves.error() {
                return Err(error);
            }
            self.deadline.set(self.progress.terms.client_body_timeout);
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
        self.progress.sent_bytes += count;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        let finished = self.halves.send.borrow_mut().finish();
        finished.map_err(|failure| self.halves.fail_with(failure))?;
        self.halves.is_answered.set(true);
        self.progress.state = ReplyState::Finished;
        self.shared.codec.borrow_mut().note_complete_response();
        if !self.halves.is_read.get() {
            // "The server MAY abort reading the request stream (…) with the error code H3_NO_ERROR" (RFC 9114 §4.1).
            self.halves.recv.borrow_mut().stop(ErrorCode::NoError.to_wire() as u32);
        }
        Ok(())
    }
}

impl stream::Reply for Reply<'_> {
    fn is_started(&self) -> bool {
        self.progress.state.is_started()
    }

    fn can_delimit(&self) -> bool {
        true
    }

    fn room(&self) -> usize {
        self.progress.room(ROOM_BYTES)
    }

    fn retract(&mut self) -> bool {
        self.progress.retract()
    }

    fn can_end_with_trailers(&self) -> bool {
        self.progress.can_end_with_trailers()
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) -> bool {
        if !self.progress.terms.early_hints.passes(head.status, true) {
            return false;
        }
        let status = reply_head::digits(head.status);
        let fields = reply_head::interim_fields(&status, head);
        self.shared.codec.borrow_mut().write_headers(&mut self.interim, fields);
        true
    }

    fn start(&mut self, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>) {
        self.progress.start(head, facts, &self.shared.worker);
    }

    async fn send(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), ReplyError> {
        self.progress.pace(piece.as_ref(), &self.shared.worker).await;
        let written = self.write(piece, last).await;
        self.progress.expect_more(self.halves.body_deadline.get());
        written.map_err(|error| self.progress.fail(error))
    }

    fn content_bytes(&self) -> u64 {
        self.progress.content_bytes
    }

    fn sent_bytes(&self) -> u64 {
        self.progress.sent_bytes
    }
}
