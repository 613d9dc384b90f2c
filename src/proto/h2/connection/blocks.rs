//! What a header block means where its stream stands (RFC 9113 §5.1 and §8.1).

use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::message;
use crate::proto::fields::message::CheckedMessage;
use crate::proto::fields::message::Malformed;
use crate::proto::fields::message::UNKNOWN_LENGTH;
use crate::proto::h2::connection::Connection;
use crate::proto::h2::connection::Event;
use crate::proto::h2::connection::GoAwayState;
use crate::proto::h2::connection::Purpose;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::flow::ReceiveWindow;
use crate::proto::h2::flow::SendWindow;
use crate::proto::h2::frame::headers::HeadersFrame;
use crate::proto::h2::hpack::decoder::Decoded;
use crate::proto::h2::limits::LAST_STREAM_IDS;
use crate::proto::h2::limits::LONG_BLOCK_FACTOR;
use crate::proto::h2::limits::Limit;
use crate::proto::h2::settings::PeerRole;
use crate::proto::h2::stream::HalfState;
use crate::proto::h2::stream::Stream;
use crate::proto::h2::stream::StreamId;
use crate::proto::h2::streams::StreamStatus;
use crate::proto::token_bucket::Millis;

type Outcome = Result<Option<Event>, Fault>;

impl Connection {
    /// What the block of a HEADERS frame will be. A fault of the stream waits until the block is decoded,
    /// because later blocks refer to what it adds to the table (RFC 9113 §4.3).
    pub(super) fn purpose_of(&mut self, frame: &HeadersFrame, now: Millis) -> Result<Purpose, Fault> {
        let id = frame.stream;
        // "An endpoint that receives an unexpected stream identifier MUST respond with a connection error of
        // type PROTOCOL_ERROR" (RFC 9113 §5.1.1).
        if !id.is_clients() {
            return Err(Fault::BadStreamId);
        }
        let purpose = match self.status(id) {
            StreamStatus::Live(place) => {
                self.streams.at(place).map_or(Purpose::Discard(None), |stream| match stream.receiving {
                    HalfState::Head => Purpose::Response,
                    HalfState::Ended => Purpose::Discard(Some(Fault::EndedStream)),
                    HalfState::Content if frame.end_stream => Purpose::Trailers,
                    HalfState::Content => Purpose::Discard(Some(Fault::TrailersWithoutEnd)),
                })
            }
            StreamStatus::Idle if self.role == PeerRole::Server => self.admit_request(id, now)?,
            StreamStatus::Idle => return Err(Fault::IdleStream),
            // "The identifier of a newly established stream MUST be numerically greater than all streams that
            // the initiating endpoint has opened or reserved" (RFC 9113 §5.1.1).
            StreamStatus::Closed if self.streams.was_skipped(id) => return Err(Fault::BadStreamId),
            StreamStatus::Closed => return Err(Fault::ClosedStream),
            StreamStatus::ResetByUs => {
                self.spend_late_frame(now)?;
                Purpose::Discard(None)
            }
        };
        let depends_on_itself = frame.depends_on_itself && !matches!(purpose, Purpose::Discard(_));
        Ok(if depends_on_itself { Purpose::Discard(Some(Fault::SelfDependency)) } else { purpose })
    }

    /// "Endpoints MUST NOT exceed the limit set by their peer. An endpoint that receives a HEADERS frame that
    /// causes its advertised concurrent stream limit to be exceeded MUST treat this as a stream error of type
    /// PROTOCOL_ERROR or REFUSED_STREAM" (RFC 9113 §5.1.2). Streams whose work goes on count too.
    fn admit_request(&mut self, id: StreamId, now: Millis) -> Result<Purpose, Fault> {
        self.streams.note_used(id);
        let in_use = self.streams.len() + self.lingering as usize;
        Ok(match self.go_away {
            GoAwayState::Final(last) if id.number() > last => {
                self.spend_late_frame(now)?;
                Purpose::Discard(None)
            }
            _ if in_use >= self.local.max_concurrent_streams as usize => {
                Purpose::Discard(Some(Fault::TooManyStreams))
            }
            _ => Purpose::Request,
        })
    }

    fn field_limits(&self) -> FieldLimits {
        FieldLimits { max_bytes: self.local.max_header_bytes, max_fields: self.local.max_headers }
    }

    /// Decodes a piece of a block that is longer than the `most` that is kept.
    pub(super) fn decode_long(&mut self, fragment: &[u8], most: usize) -> Result<(), Fault> {
        let limits = self.field_limits();
        let Some(block) = &mut self.block else {
            return Ok(());
        };
        let long = block.long.get_or_insert_default();
        let kept = std::mem::take(&mut self.fragments);
        for piece in [&kept[..], fragment] {
            let decoded = self.decoder.decode_piece(long, piece, &limits, &mut self.fields);
            decoded.map_err(Fault::Compression)?;
        }
        let decoded_bytes = self.fields.size() + long.excess();
        if block.bytes.max(decoded_bytes) > most.saturating_mul(LONG_BLOCK_FACTOR) {
            return Err(Fault::Limit(Limit::HeaderBlock));
        }
        Ok(())
    }

    /// Decodes a complete block; `bytes` is all of it, unless it is longer than is kept.
    pub(super) fn finish_block(&mut self, bytes: &[u8], now: Millis) -> Outcome {
        let Some(block) = self.block.take() else {
            return Ok(None);
        };
        self.block_bytes = u32::try_from(bytes.len().max(block.bytes)).unwrap_or(u32::MAX);
        let limits = self.field_limits();
        let decoded = match &block.long {
            None => self.decoder.decode(bytes, &limits, &mut self.fields),
            Some(long) => long.finish(),
        };
        let decoded = decoded.map_err(Fault::Compression)?;
        let is_whole = decoded == Decoded::Whole;
        match block.purpose {
            Purpose::Discard(None) => Ok(None),
            Purpose::Discard(Some(fault)) => Err(fault),
            Purpose::Request if is_whole => self.handle_request(block.stream, block.end_stream, now),
            Purpose::Request => self.handle_large_request(block.stream, block.end_stream, now),
            Purpose::Response | Purpose::Trailers if !is_whole => Err(Fault::Malformed(Malformed::TooLarge)),
            Purpose::Response => self.handle_response(block.stream, block.end_stream),
            Purpose::Trailers => self.handle_trailers(block.stream),
        }
    }

    fn handle_request(&mut self, id: StreamId, end: bool, now: Millis) -> Outcome {
        let connect_protocol = self.local.connect_protocol;
        let checked = message::check_request(&self.fields, connect_protocol, &mut self.cookies)
            .map_err(Fault::Malformed)?;
        self.accept((id, end), &checked, now)?;
        Ok(Some(Event::Head { stream: id, end }))
    }

    fn handle_large_request(&mut self, id: StreamId, end: bool, now: Millis) -> Outcome {
        let unread = CheckedMessage { content_length: UNKNOWN_LENGTH, status: 0, is_connect: false };
        self.accept((id, end), &unread, now)?;
        Ok(Some(Event::HeadTooLarge { stream: id, end }))
    }

    fn accept(
        &mut self,
        (id, end): (StreamId, bool),
        checked: &CheckedMessage,
        now: Millis,
    ) -> Result<(), Fault> {
        let mut stream = self.new_stream(id, now);
        stream.is_connect = checked.is_connect;
        stream.receive_head(checked.content_length, end)?;
        self.streams.insert(stream);
        // A client that runs out of numbers is sent away while it still has some.
        if id.number() > StreamId::LARGEST - LAST_STREAM_IDS && self.go_away == GoAwayState::NotYet {
            self.announce_end(now);
        }
        Ok(())
    }

    pub(super) fn new_stream(&self, id: StreamId, now: Millis) -> Stream {
        let send_window = SendWindow::new(self.peer.initial_window_bytes);
        Stream::new(id, now, (send_window, ReceiveWindow::new(self.local.stream_window_bytes)))
    }

    fn handle_response(&mut self, id: StreamId, end: bool) -> Outcome {
        let checked = message::check_response(&self.fields).map_err(Fault::Malformed)?;
        if checked.status < 200 {
            return if end { Err(Fault::InterimEnd) } else { Ok(Some(Event::Interim { stream: id })) };
        }
        if let Some(stream) = self.streams.get_mut(id) {
            stream.receive_head(response_length(stream, &checked), end)?;
        }
        self.remove_if_closed(id);
        Ok(Some(Event::Head { stream: id, end }))
    }

    fn handle_trailers(&mut self, id: StreamId) -> Outcome {
        message::check_trailers(&self.fields).map_err(Fault::Malformed)?;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.receive_end()?;
        }
        self.remove_if_closed(id);
        Ok(Some(Event::Trailers { stream: id }))
    }
}

/// How much content a response has. Those to HEAD, 204 and 304 have none, whatever Content-Length says (RFC
/// 9113 §8.1.1).
fn response_length(stream: &Stream, checked: &CheckedMessage) -> u64 {
    if stream.head_only || matches!(checked.status, 204 | 304) {
        0
    } else if stream.is_connect && checked.status < 300 {
        UNKNOWN_LENGTH
    } else {
        checked.content_length
    }
}
