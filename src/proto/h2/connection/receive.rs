//! From bytes to frames. Nothing is copied but header blocks that come in pieces: content is told as a
//! range of the bytes that were handed in, and what is ignored is skipped as it comes.

use crate::proto::h2::connection::BDP_PING;
use crate::proto::h2::connection::Connection;
use crate::proto::h2::connection::Event;
use crate::proto::h2::connection::GoAwayState;
use crate::proto::h2::connection::HeaderBlock;
use crate::proto::h2::connection::Reading;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::ACK;
use crate::proto::h2::frame::DEFAULT_MAX_FRAME_BYTES;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::HEADER_BYTES;
use crate::proto::h2::frame::PREFACE;
use crate::proto::h2::frame::continuation;
use crate::proto::h2::frame::data::DataFrame;
use crate::proto::h2::frame::go_away;
use crate::proto::h2::frame::headers::HeadersFrame;
use crate::proto::h2::frame::ping;
use crate::proto::h2::limits::HEADER_BLOCK_MS;
use crate::proto::h2::limits::LATE_FRAMES_PER_END;
use crate::proto::h2::limits::Limit;
use crate::proto::h2::limits::MAX_CONTINUATIONS;
use crate::proto::h2::limits::MAX_OUTPUT_BYTES;
use crate::proto::h2::limits::MAX_SETTINGS_BYTES;
use crate::proto::h2::limits::MIN_BLOCK_BYTES;
use crate::proto::h2::stream::HalfState;
use crate::proto::h2::stream::StreamId;
use crate::proto::h2::streams::StreamStatus;
use crate::proto::token_bucket::Millis;

/// What became of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// So many need not be seen again. Without an event, what is left is the beginning of something, of at
    /// most a few hundred bytes, and is to be handed in again with more behind it; unless the output has
    /// grown so long that it must be sent first.
    pub consumed: usize,
    /// With an event, the rest of the bytes has not been looked at.
    pub event: Option<Event>,
}

/// One frame, or as much of one as there is.
struct ReceiveStep {
    taken: usize,
    outcome: Outcome,
    /// Whose fault it is.
    stream: Option<StreamId>,
}

type Outcome = Result<Option<Event>, Fault>;

impl Connection {
    /// Takes bytes from the front of `input` until something happens. To be called again, with what was
    /// consumed taken away, until it gives no event.
    pub fn handle_bytes(&mut self, input: &[u8], now: Millis) -> Received {
        self.acknowledgement.expect(now);
        let mut consumed = 0;
        while self.go_away != GoAwayState::Failed && self.output.len() <= MAX_OUTPUT_BYTES {
            let rest = input.get(consumed..).unwrap_or_default();
            let Some(step) = self.step(rest, now) else {
                break;
            };
            let before = consumed;
            consumed += step.taken;
            let event = step.outcome.unwrap_or_else(|fault| self.fail(fault, step.stream, now));
            if let Some(event) = event {
                return Received { consumed, event: Some(event.shifted(before)) };
            }
        }
        Received { consumed, event: None }
    }

    /// `None` when more bytes are needed.
    fn step(&mut self, rest: &[u8], now: Millis) -> Option<ReceiveStep> {
        match self.reading {
            Reading::Preface => self.read_preface(rest),
            Reading::Header => self.begin_frame(rest, now),
            Reading::Content { stream, left, padding, end } => {
                let taken = (left as usize).min(rest.len());
                if taken == 0 {
                    return None;
                }
                let left = left - taken as u32;
                self.reading =
                    if left > 0 { Reading::Content { stream, left, padding, end } } else { after(padding) };
                let event = Event::Content { stream, content: 0..taken, end: end && left == 0 };
                Some(ReceiveStep { taken, outcome: Ok(Some(event)), stream: None })
            }
            Reading::Fragment { left, padding, is_last } => {
                let fragment = rest.get(..left as usize).unwrap_or(rest);
                if fragment.is_empty() && left > 0 {
                    return None;
                }
                let stream = self.block.as_ref().map(|block| block.stream);
                let left = left - fragment.len() as u32;
                self.reading = Reading::Fragment { left, padding, is_last };
                let outcome = self.take_fragment(fragment, now);
                Some(ReceiveStep { taken: fragment.len(), outcome, stream })
            }
            Reading::Skip(left) => {
                let taken = (left as usize).min(rest.len());
                self.reading = after(left - taken as u32);
                (taken > 0).then_some(ReceiveStep { taken, outcome: Ok(None), stream: None })
            }
        }
    }

    /// "The server connection preface consists of a potentially empty SETTINGS frame"; the client's begins
    /// with 24 octets (RFC 9113 §3.4).
    fn read_preface(&mut self, rest: &[u8]) -> Option<ReceiveStep> {
        let taken = PREFACE.len().min(rest.len());
        if !PREFACE.starts_with(rest.get(..taken)?) {
            return Some(ReceiveStep { taken: 0, outcome: Err(Fault::BadPreface), stream: None });
        }
        if taken < PREFACE.len() {
            return None;
        }
        self.reading = Reading::Header;
        Some(ReceiveStep { taken, outcome: Ok(None), stream: None })
    }

    fn begin_frame(&mut self, rest: &[u8], now: Millis) -> Option<ReceiveStep> {
        let header = FrameHeader::parse(rest)?;
        let payload = rest.get(HEADER_BYTES..).unwrap_or_default();
        let begun = match self.check_order(&header) {
            Err(fault) => Err(fault),
            Ok(()) => match header.kind {
                FrameKind::Content => self.begin_content(&header, payload, now),
                FrameKind::Headers => self.begin_headers(&header, payload, now),
                FrameKind::Continuation => self.begin_continuation(&header),
                _ => self.read_control(&header, payload, now),
            },
        };
        let (taken, outcome) = match begun {
            Ok(None) => return None,
            Ok(Some((taken, outcome))) => (taken, outcome),
            Err(fault) => (0, Err(fault)),
        };
        Some(ReceiveStep { taken: HEADER_BYTES + taken, outcome, stream: header.stream })
    }

    /// What may not come at this point, whatever it says.
    fn check_order(&self, header: &FrameHeader) -> Result<(), Fault> {
        if !self.has_peer_settings && (header.kind != FrameKind::Settings || header.has(ACK)) {
            return Err(Fault::MissingSettings);
        }
        // "An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame exceeds the size defined in
        // SETTINGS_MAX_FRAME_SIZE" (RFC 9113 §4.2).
        if header.length > DEFAULT_MAX_FRAME_BYTES {
            return Err(Fault::FrameTooLarge);
        }
        // "A receiver MUST treat the receipt of any other type of frame or a frame on a different stream as a
        // connection error of type PROTOCOL_ERROR" (RFC 9113 §6.2).
        if self.block.is_some() && header.kind != FrameKind::Continuation {
            return Err(Fault::MissingContinuation);
        }
        Ok(())
    }

    /// A frame that is looked at only when all of it that matters is there.
    fn read_control(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        now: Millis,
    ) -> Result<Option<(usize, Outcome)>, Fault> {
        let wanted = match header.kind {
            FrameKind::Settings if header.length > MAX_SETTINGS_BYTES => {
                return Err(Fault::Limit(Limit::LongSettings));
            }
            FrameKind::Settings => header.length,
            FrameKind::Unknown => 0,
            _ => header.length.min(go_away::FIXED_BYTES),
        };
        let Some(payload) = payload.get(..wanted as usize) else {
            return Ok(None);
        };
        self.reading = after(header.length - wanted);
        Ok(Some((payload.len(), self.handle_control(header, payload, now))))
    }

    fn begin_content(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        now: Millis,
    ) -> Result<Option<(usize, Outcome)>, Fault> {
        let Some(frame) = DataFrame::parse(header, payload)? else {
            return Ok(None);
        };
        // Padding, and content that nobody will see.
        self.reading = after(frame.content_bytes + frame.padding_bytes);
        let outcome = self.admit_content(&frame, now);
        Ok(Some((frame.prefix_bytes as usize, outcome)))
    }

    /// Whether a DATA frame may come, on both levels of flow control and where its stream stands.
    fn admit_content(&mut self, frame: &DataFrame, now: Millis) -> Outcome {
        self.receive_window.take(frame.flow_bytes).map_err(|_| Fault::WindowExceeded)?;
        if frame.content_bytes == 0 && !frame.end_stream {
            self.budgets.spend(Limit::EmptyContent, 1, now)?;
        }
        let place = match self.status(frame.stream) {
            StreamStatus::Live(place) => place,
            StreamStatus::Idle => return Err(Fault::IdleStream),
            // RFC 9113 §5.1: frames behind END_STREAM.
            StreamStatus::Closed => return Err(Fault::ClosedStream),
            StreamStatus::ResetByUs => {
                self.release_connection(frame.flow_bytes);
                return self.spend_late_frame(now).map(|()| None);
            }
        };
        let Some(stream) = self.streams.at(place) else {
            return Ok(None);
        };
        let admitted = match stream.receive_window.take(frame.flow_bytes) {
            Ok(()) => stream.receive_content(frame.content_bytes, frame.end_stream),
            Err(_) => Err(Fault::StreamWindowExceeded),
        };
        if let Err(fault) = admitted {
            self.release_connection(frame.flow_bytes);
            return Err(fault);
        }
        // Behind a GOAWAY, some clients take it for an error.
        if self.adaptive_window.handle_received(frame.flow_bytes, now) && self.go_away == GoAwayState::NotYet
        {
            ping::write(&mut self.output, &BDP_PING);
        }
        let overhead = frame.flow_bytes - frame.content_bytes;
        if overhead > 0 {
            self.release(frame.stream, overhead);
        }
        if frame.end_stream {
            self.remove_if_closed(frame.stream);
        }
        let &DataFrame { stream, content_bytes, padding_bytes, end_stream, .. } = frame;
        if content_bytes > 0 {
            let (left, padding, end) = (content_bytes, padding_bytes, end_stream);
            self.reading = Reading::Content { stream, left, padding, end };
            return Ok(None);
        }
        Ok(end_stream.then_some(Event::Content { stream, content: 0..0, end: true }))
    }

    fn begin_headers(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        now: Millis,
    ) -> Result<Option<(usize, Outcome)>, Fault> {
        let Some(frame) = HeadersFrame::parse(header, payload)? else {
            return Ok(None);
        };
        let purpose = self.purpose_of(&frame, now)?;
        let HeadersFrame { stream, prefix_bytes, fragment_bytes, padding_bytes, .. } = frame;
        self.block = Some(HeaderBlock {
            stream,
            end_stream: frame.end_stream,
            purpose,
            continuations: 0,
            bytes: 0,
            long: None,
            due: now + HEADER_BLOCK_MS,
        });
        let start = prefix_bytes as usize;
        let end = start + fragment_bytes as usize;
        if let Some(block) = payload.get(start..end).filter(|_| frame.end_headers) {
            self.reading = after(padding_bytes);
            return Ok(Some((end, self.finish_block(block, now))));
        }
        self.fragments.clear();
        let is_last = frame.end_headers;
        self.reading = Reading::Fragment { left: fragment_bytes, padding: padding_bytes, is_last };
        Ok(Some((start, Ok(None))))
    }

    fn begin_continuation(&mut self, header: &FrameHeader) -> Result<Option<(usize, Outcome)>, Fault> {
        let is_last = continuation::parse(header, self.block.as_ref().map(|block| block.stream))?;
        if let Some(block) = &mut self.block {
            block.continuations += 1;
            if block.continuations > MAX_CONTINUATIONS.max(block.bytes / 1024) {
                return Err(Fault::Limit(Limit::Continuations));
            }
        }
        self.reading = Reading::Fragment { left: header.length, padding: 0, is_last };
        Ok(Some((0, Ok(None))))
    }

    /// Takes a piece of a header block. The block is decoded with its last; what is longer than is kept, as it comes.
    fn take_fragment(&mut self, fragment: &[u8], now: Millis) -> Outcome {
        let most = self.local.max_header_bytes.max(MIN_BLOCK_BYTES);
        let Some(block) = &mut self.block else { return Ok(None) };
        block.bytes += fragment.len();
        if block.bytes > most {
            self.decode_long(fragment, most)?;
        } else {
            self.fragments.extend_from_slice(fragment);
        }
        let Reading::Fragment { left: 0, padding, is_last } = self.reading else {
            return Ok(None);
        };
        self.reading = after(padding);
        if !is_last {
            return Ok(None);
        }
        let block = std::mem::take(&mut self.fragments);
        self.finish_block(&block, now)
    }

    /// What is known of a stream. Those that our last GOAWAY excluded are ignored like those that we reset.
    pub(super) fn status(&self, id: StreamId) -> StreamStatus {
        let status = self.streams.status(id);
        match (self.go_away, &status) {
            (GoAwayState::Final(last), StreamStatus::Closed)
                if id.number() > last && self.streams.is_peers(id) =>
            {
                StreamStatus::ResetByUs
            }
            // More were reset than are remembered.
            (_, StreamStatus::Closed) if self.streams.may_have_forgotten(id) => StreamStatus::ResetByUs,
            _ => status,
        }
    }

    pub(super) fn remove_if_closed(&mut self, id: StreamId) {
        if self.streams.get(id).is_some_and(|stream| stream.is_closed()) {
            self.streams.remove(id);
            self.budgets.earn(Limit::Resets, 1);
            self.budgets.earn(Limit::UselessFrames, LATE_FRAMES_PER_END);
        }
    }

    /// Content of a stream that is gone does not reach its reader.
    pub(super) fn stop_reading(&mut self, id: StreamId) {
        if let Reading::Content { stream, left, padding, .. } = self.reading
            && stream == id
        {
            self.reading = after(left + padding);
            self.release_connection(left);
        }
    }

    /// Whether the stream's peer has yet to end its message.
    pub fn is_receiving(&self, id: StreamId) -> bool {
        self.streams.get(id).is_some_and(|stream| stream.receiving != HalfState::Ended)
    }
}

impl Event {
    /// The same, with `offset` bytes before what was looked at.
    fn shifted(self, offset: usize) -> Event {
        match self {
            Event::Content { stream, content, end } => {
                Event::Content { stream, content: content.start + offset..content.end + offset, end }
            }
            other => other,
        }
    }
}

/// What follows once so many bytes are skipped.
fn after(skipped: u32) -> Reading {
    if skipped == 0 { Reading::Header } else { Reading::Skip(skipped) }
}
