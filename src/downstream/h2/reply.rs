//! A response on its way out on a stream.

use std::rc::Rc;
use std::time::Duration;

use crate::downstream::h2::sending::SLICE_BYTES;
use crate::downstream::h2::shared::Shared;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::downstream::multiplex::stream_state::Traits;
use crate::downstream::pacer::Pacer;
use crate::downstream::reply_state::ReplyState;
use crate::exchange::stream;
use crate::exchange::stream::ReplyError;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::Field;
use crate::http::headers::FieldLine;
use crate::http::headers::KnownName;
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
    status: u16,
    /// The field lines of a head that waits for the first piece of content, to be sent with it. They are not
    /// compressed yet: what was compressed can no longer be taken back.
    head: Option<Buffer>,
    has_content: bool,
    /// Its length was announced.
    has_length: bool,
    is_tunnel: bool,
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
            status: 0,
            head: None,
            has_content: false,
            has_length: false,
            is_tunnel: false,
            content_bytes: 0,
            sent_bytes: 0,
            timeout,
            terms,
            pacer: Pacer::new(paced),
        }
    }

    async fn write(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), StreamError> {
        let piece = piece.filter(|piece| self.has_content && !piece.is_empty());
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
        let status = digits(self.status);
        let status = FieldLine::from((&b":status"[..], &status[..]));
        let fields = std::iter::once(status).chain(field_lines::field_lines(lines.filled()));
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
            self.is_tunnel = false;
        }
        is_unsent
    }

    fn can_end_with_trailers(&self) -> bool {
        self.state == ReplyState::Started && self.has_content && !self.is_tunnel && !self.has_length
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) -> bool {
        if !self.terms.early_hints.passes(head.status, true) {
            return false;
        }
        let status = digits(head.status);
        let fields = head.headers.iter().filter(|field| field.known != KnownName::ContentLength);
        let fields = fields.map(|field| (field.name, field.value));
        let fields = std::iter::once((&b":status"[..], &status[..])).chain(fields);
        // A stream that is gone is noticed with the next send.
        let _ = self.encode(|codec, stream| codec.send_interim(stream, fields));
        true
    }

    fn start(&mut self, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>) {
        self.state = ReplyState::Started;
        // "The 200 status code indicates that the tunnel was set up" (RFC 8441 §5).
        self.is_tunnel = head.status == 101 && self.traits.wants_tunnel;
        let is_tunnel = self.is_tunnel;
        self.status = if is_tunnel { 200 } else { head.status };
        self.has_content = is_tunnel || !(self.traits.is_head || matches!(head.status, 204 | 304));
        self.has_length = facts.length != BodyLength::Unknown;
        let mut lines = self.shared.worker.buffers.small();
        let out = lines.tail();
        let length_passes = !self.has_content && head.status != 204;
        for field in head.headers.iter() {
            let passes = match field.known {
                KnownName::ContentLength => length_passes,
                _ => true,
            };
            if passes {
                field_lines::write_marked_field(out, &Field { value: facts.value_of(field), ..*field });
            }
        }
        for (name, value) in facts.added {
            field_lines::write_field(out, name, value);
        }
        match facts.length {
            _ if !self.has_content || is_tunnel || facts.is_only_trailers => {}
            BodyLength::Exact(bytes) => field_lines::write_content_length(out, bytes),
            BodyLength::Empty => field_lines::write_content_length(out, 0),
            BodyLength::Unknown => {}
        }
        self.head = Some(lines);
    }

    async fn send(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), ReplyError> {
        if let Some(piece) = piece.as_ref().filter(|_| self.has_content) {
            self.pacer.count((piece.len(), Direction::Down), self.terms, &self.shared.worker);
            if let Some(turn) = self.pacer.wait(&self.shared.worker) {
                turn.await;
            }
        }
        let written = self.write(piece, last).await;
        if !self.is_tunnel || last.is_some() {
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

/// The three digits of a status.
fn digits(status: u16) -> [u8; 3] {
    // 100..=999.
    [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + (digit % 10) as u8)
}
