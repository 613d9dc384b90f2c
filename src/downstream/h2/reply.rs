//! A response on its way out on a stream.

use std::rc::Rc;

use crate::downstream::h2::sending::SLICE_BYTES;
use crate::downstream::h2::shared::Shared;
use crate::downstream::multiplex::reply_head;
use crate::downstream::multiplex::reply_progress::ReplyProgress;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::downstream::multiplex::stream_state::StreamState;
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

pub(super) struct Reply<'s> {
    shared: &'s Shared,
    stream: &'s Rc<StreamState>,
    progress: ReplyProgress<'s>,
}

impl<'s> Reply<'s> {
    pub(super) fn new(
        shared: &'s Shared,
        stream: &'s Rc<StreamState>,
        progress: ReplyProgress<'s>,
    ) -> Reply<'s> {
        Reply { shared, stream, progress }
    }

    async fn write(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), StreamError> {
        let piece = piece.filter(|piece| self.progress.response.has_content && !piece.is_empty());
        let ends_with_trailers = last.is_some_and(|trailers| !trailers.is_empty());
        let ends_with_content = last.is_some() && !ends_with_trailers;
        let mut is_ended = false;
        if self.progress.has_head() {
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
            self.progress.state = ReplyState::Finished;
        }
        Ok(())
    }

    fn write_head(&mut self, end: bool) -> Result<(), StreamError> {
        let Some((status, lines)) = self.progress.take_head() else { return Ok(()) };
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
        self.progress.sent_bytes += (codec.output_bytes() - before) as u64;
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
            self.progress.content_bytes += sent as u64;
            rest = rest.get(sent..).unwrap_or_default();
            if sent < slice.len() {
                self.shared.window(self.stream).await?;
            }
        }
        Ok(())
    }

    fn error(&self, _gone: StreamGone) -> StreamError {
        self.stream.error().unwrap_or(StreamError::Connection)
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
        self.progress.room(self.shared.room(self.stream))
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
        // A stream that is gone is noticed with the next send.
        let _ = self.encode(|codec, stream| codec.send_interim(stream, fields));
        true
    }

    fn start(&mut self, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>) {
        self.progress.start(head, facts, &self.shared.worker);
    }

    async fn send(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), ReplyError> {
        self.progress.pace(piece.as_ref(), &self.shared.worker).await;
        let written = self.write(piece, last).await;
        // Within a tunnel, the client may be silent until that ends.
        if !self.progress.response.is_tunnel || last.is_some() {
            self.progress.expect_more(self.stream.body_deadline.get());
        }
        self.shared.wake_driver();
        written.map_err(|error| self.progress.fail(error))
    }

    fn content_bytes(&self) -> u64 {
        self.progress.content_bytes
    }

    fn sent_bytes(&self) -> u64 {
        self.progress.sent_bytes
    }
}
