//! What the owner of a connection may do.

use crate::http::headers::FieldLine;
use crate::proto::h2::connection::Connection;
use crate::proto::h2::connection::GoAwayState;
use crate::proto::h2::connection::SillyWindow;
use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::flow::LARGEST_WINDOW;
use crate::proto::h2::frame::HEADER_BYTES;
use crate::proto::h2::frame::data::DataFrame;
use crate::proto::h2::frame::go_away;
use crate::proto::h2::frame::headers;
use crate::proto::h2::frame::ping;
use crate::proto::h2::frame::rst_stream;
use crate::proto::h2::frame::window_update;
use crate::proto::h2::limits::LATE_FRAMES_PER_RESET;
use crate::proto::h2::limits::Limit;
use crate::proto::h2::limits::PINGS_PER_FRAME;
use crate::proto::h2::limits::REWARDED_CONTENT_BYTES;
use crate::proto::h2::limits::SHUTDOWN_MS;
use crate::proto::h2::limits::SILLY_WINDOW_BYTES;
use crate::proto::h2::limits::WINDOW_UPDATES_PER_CONTENT;
use crate::proto::h2::settings::PeerRole;
use crate::proto::h2::stream::HalfState;
use crate::proto::h2::stream::StreamId;
use crate::proto::token_bucket::Millis;

/// The stream has ended or was reset, or this side has ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamGone;

/// Why a client can open no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotOpen {
    /// The peer allows no more at present.
    TooMany,
    /// One side is about to end the connection, or has.
    Ending,
    /// All numbers are used.
    Exhausted,
}

impl Connection {
    /// Opens a stream with the head of a request, pseudo-header fields first. Names may be in any case.
    pub fn open<'f>(
        &mut self,
        fields: impl IntoIterator<Item = impl Into<FieldLine<'f>>>,
        end: bool,
    ) -> Result<StreamId, CannotOpen> {
        let id = self.can_open()?;
        let mut stream = self.new_stream(id, 0);
        let fields = fields.into_iter().map(Into::into).inspect(|field| match (field.name, field.value) {
            (b":method", b"HEAD") => stream.head_only = true,
            (b":method", b"CONNECT") => stream.is_connect = true,
            _ => {}
        });
        self.write_block(id, fields, end);
        stream.sending = if end { HalfState::Ended } else { HalfState::Content };
        self.streams.insert(stream);
        Ok(id)
    }

    /// The stream that [`Connection::open`] would open now.
    pub fn can_open(&self) -> Result<StreamId, CannotOpen> {
        debug_assert!(self.role == PeerRole::Client);
        if self.go_away != GoAwayState::NotYet || self.peer_last_stream < StreamId::LARGEST {
            return Err(CannotOpen::Ending);
        }
        if self.streams.len() >= self.peer.max_concurrent_streams as usize {
            return Err(CannotOpen::TooMany);
        }
        self.streams.next_own().ok_or(CannotOpen::Exhausted)
    }

    /// Sends an interim response, `:status` first.
    pub fn send_interim<'f>(
        &mut self,
        stream: StreamId,
        fields: impl IntoIterator<Item = impl Into<FieldLine<'f>>>,
    ) -> Result<(), StreamGone> {
        self.expect(stream, HalfState::Head)?;
        self.write_block(stream, fields, false);
        Ok(())
    }

    /// Sends the head of a final response, `:status` first.
    pub fn send_head<'f>(
        &mut self,
        stream: StreamId,
        fields: impl IntoIterator<Item = impl Into<FieldLine<'f>>>,
        end: bool,
    ) -> Result<(), StreamGone> {
        self.expect(stream, HalfState::Head)?;
        self.write_block(stream, fields, end);
        self.advance(stream, end);
        Ok(())
    }

    /// Ends this side of a stream with trailers.
    pub fn send_trailers<'f>(
        &mut self,
        stream: StreamId,
        fields: impl IntoIterator<Item = impl Into<FieldLine<'f>>>,
    ) -> Result<(), StreamGone> {
        self.expect(stream, HalfState::Content)?;
        self.write_block(stream, fields, true);
        self.advance(stream, true);
        Ok(())
    }

    /// Sends as much content as the windows allow and tells how much that is. `end` counts only when all
    /// of it was sent.
    pub fn send_content(
        &mut self,
        stream: StreamId,
        content: &[u8],
        end: bool,
        now: Millis,
    ) -> Result<usize, StreamGone> {
        let mut sent = 0;
        loop {
            let rest = content.get(sent..).unwrap_or_default();
            let Some((header, bytes)) = self.frame_content(stream, rest.len(), end, now)? else {
                return Ok(sent);
            };
            self.output.extend_from_slice(&header);
            self.output.extend_from_slice(rest.get(..bytes).unwrap_or_default());
            sent += bytes;
            if sent == content.len() {
                return Ok(sent);
            }
        }
    }

    /// The header of one DATA frame, for content that the owner sends itself, and how much of `wanted` goes
    /// into it; `None` when the windows are shut. What [`Connection::poll_output`] gives must be sent before
    /// it. Takes from the windows.
    pub fn frame_content(
        &mut self,
        stream: StreamId,
        wanted: usize,
        end: bool,
        now: Millis,
    ) -> Result<Option<([u8; HEADER_BYTES], usize)>, StreamGone> {
        self.expect(stream, HalfState::Content)?;
        if wanted == 0 && !end {
            return Ok(None);
        }
        let most = self.peer.max_frame_bytes.min(LARGEST_WINDOW);
        let fits = self.fits_whole(stream, wanted);
        let capacity = if fits { wanted } else { self.send_capacity(stream) };
        let granted = capacity.min(wanted).min(most as usize) as u32;
        let Some(state) = self.streams.get_mut(stream) else {
            return Err(StreamGone);
        };
        // The largest frame is no stall.
        state.note_progress(wanted.min(most as usize), granted, now);
        if let Some(since) = state.stalled_since() {
            self.first_stall = Some(self.first_stall.map_or(since, |first| first.min(since)));
        }
        if granted == 0 && wanted > 0 {
            if self.silly_window == SillyWindow::Kept
                && (1..SILLY_WINDOW_BYTES).contains(&self.send_window.available())
            {
                self.silly_window = SillyWindow::Awaited(now);
            }
            return Ok(None);
        }
        state.send_window.take(granted);
        self.send_window.take(granted);
        self.budgets.earn(Limit::Pings, PINGS_PER_FRAME);
        // What a window cut short does not count: the peer could have us send many small pieces.
        let is_whole = granted > 0 && granted as usize == wanted;
        if is_whole || granted >= REWARDED_CONTENT_BYTES {
            self.budgets.earn(Limit::WindowUpdates, WINDOW_UPDATES_PER_CONTENT);
        }
        let is_last = end && granted as usize == wanted;
        self.advance(stream, is_last);
        Ok(Some((DataFrame::header(stream, granted, is_last), granted as usize)))
    }

    /// Whether the windows allow all of this content, silly or not.
    fn fits_whole(&self, stream: StreamId, wanted: usize) -> bool {
        let window = self.streams.get(stream).map_or(0, |stream| stream.send_window.available());
        wanted <= window.min(self.send_window.available()) as usize
    }

    /// Ends a stream at once, both ways. Nothing more comes of it.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        if self.go_away != GoAwayState::Failed && self.streams.remove(stream).is_some() {
            rst_stream::write(&mut self.output, stream, code);
            self.streams.remember_reset(stream);
            self.stop_reading(stream);
            self.budgets.earn(Limit::UselessFrames, LATE_FRAMES_PER_RESET);
        }
    }

    /// Ends a stream of the peer for which nothing was done, so that it may come again (RFC 9113 §8.7): the owner has no
    /// room for it. That costs the peer what a stream costs that ends by a fault of its own; when it has been too much, the
    /// connection is lost and GOAWAY is written, as with [`super::Event::Failed`].
    pub fn refuse(&mut self, stream: StreamId, now: Millis) -> Result<(), Fault> {
        if let Err(flood) = self.spend_reset(stream, now) {
            self.fail_connection(flood);
            return Err(flood);
        }
        self.reset(stream, ErrorCode::RefusedStream);
        self.spare_others(now);
        Ok(())
    }

    /// So many bytes of content were consumed, for good. The peer may send as many again; it is told of
    /// them in batches.
    pub fn release(&mut self, stream: StreamId, bytes: u32) {
        if self.go_away == GoAwayState::Failed {
            return;
        }
        self.release_connection(bytes);
        if !self.is_receiving(stream) {
            return;
        }
        let target = self.adaptive_window.target();
        let state = self.streams.get_mut(stream);
        let increment = state.and_then(|state| state.receive_window.release(bytes, target));
        if let Some(increment) = increment {
            window_update::write(&mut self.output, Some(stream), increment);
        }
    }

    /// So many bytes of a stream's content were consumed that the connection's window does not wait for any
    /// more: [`Connection::release_connection`] was told of them before. The stream's window does not grow
    /// beyond `most`. Gives its size whenever the peer is told.
    pub fn release_stream(&mut self, stream: StreamId, bytes: u32, most: u32) -> Option<u32> {
        if self.go_away == GoAwayState::Failed || !self.is_receiving(stream) {
            return None;
        }
        let target = self.adaptive_window.target().min(most);
        let increment = self.streams.get_mut(stream)?.receive_window.release(bytes, target)?;
        window_update::write(&mut self.output, Some(stream), increment);
        Some(target)
    }

    /// The work for one stream that [`super::Event::Reset`] told of has ended. Until then the stream counts
    /// among those that the peer has open, so that streams which are opened and reset in turn cannot make
    /// more work than streams which stay.
    pub fn settled(&mut self) {
        self.lingering = self.lingering.saturating_sub(1);
    }

    /// The work for a stream has ended before its end. [`Connection::settled`] is not called for it any more.
    pub fn settle(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.is_settled = true;
        }
    }

    /// Asks the peer for a sign of life.
    pub fn ping(&mut self, opaque: &ping::Opaque) {
        if self.go_away != GoAwayState::Failed {
            ping::write(&mut self.output, opaque);
        }
    }

    /// Begins to end the connection without losing a request. While streams are open: "A server that is attempting
    /// to gracefully shut down a connection SHOULD send an initial GOAWAY frame with the last stream identifier set
    /// to 2^31-1 and a NO_ERROR code" (RFC 9113 §6.8), and a second one once that has arrived. Streams go on. With
    /// nothing in flight there is one GOAWAY, which names the last stream: whatever meets it may be sent again.
    ///
    /// No PING tells when the first one has arrived: some clients take any frame behind a GOAWAY for an error.
    pub fn shut_down(&mut self, now: Millis) {
        if self.go_away != GoAwayState::NotYet {
            return;
        }
        match self.role {
            PeerRole::Server if self.streams.len() > 0 => self.announce_end(now),
            PeerRole::Server => self.finish_shutdown(),
            PeerRole::Client => {
                go_away::write(&mut self.output, None, ErrorCode::NoError);
                self.go_away = GoAwayState::Final(0);
            }
        }
    }

    /// Ends the connection. Nothing more is taken or opened.
    pub fn close(&mut self, code: ErrorCode) {
        if self.go_away != GoAwayState::Failed {
            go_away::write(&mut self.output, self.streams.highest_of_peer(), code);
            self.go_away = GoAwayState::Failed;
        }
    }

    /// Writes the first GOAWAY.
    pub(super) fn announce_end(&mut self, now: Millis) {
        go_away::write(&mut self.output, StreamId::new(StreamId::LARGEST), ErrorCode::NoError);
        self.go_away = GoAwayState::Announced(now + SHUTDOWN_MS);
    }

    /// So many bytes of content wait for the connection's window no more, consumed or not.
    pub fn release_connection(&mut self, bytes: u32) {
        if self.go_away == GoAwayState::Failed {
            return;
        }
        let target = self.local.connection_window_bytes;
        if let Some(increment) = self.receive_window.release(bytes, target) {
            window_update::write(&mut self.output, None, increment);
        }
    }

    /// Whether this side of the stream is where the command needs it.
    fn expect(&self, stream: StreamId, half: HalfState) -> Result<(), StreamGone> {
        let is_there = self.streams.get(stream).is_some_and(|stream| stream.sending == half);
        if is_there && self.go_away != GoAwayState::Failed { Ok(()) } else { Err(StreamGone) }
    }

    /// This side has sent its head, or its end.
    fn advance(&mut self, stream: StreamId, end: bool) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.sending = if end { HalfState::Ended } else { HalfState::Content };
        }
        if end {
            self.remove_if_closed(stream);
        }
    }

    fn write_block<'f>(
        &mut self,
        stream: StreamId,
        fields: impl IntoIterator<Item = impl Into<FieldLine<'f>>>,
        end: bool,
    ) {
        let start = headers::begin(&mut self.output);
        let mut block = self.encoder.block(&mut self.output);
        for FieldLine { name, value, is_sensitive } in fields.into_iter().map(Into::into) {
            if is_sensitive {
                block.never_indexed(name, value);
            } else {
                block.field(name, value);
            }
        }
        headers::finish(&mut self.output, start, stream, end, self.peer.max_frame_bytes);
        self.budgets.earn(Limit::Pings, PINGS_PER_FRAME);
    }
}
