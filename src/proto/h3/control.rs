//! What a client sends on its control stream (RFC 9114 §6.2.1, §7.2).

use crate::proto::h3::connection::Connection;
use crate::proto::h3::connection::Skipped;
use crate::proto::h3::event::UnidirectionalEvent;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::frame::FrameHead;
use crate::proto::h3::frame::FrameKind;
use crate::proto::h3::frame_reader::FramePart;
use crate::proto::h3::frame_reader::FrameReader;
use crate::proto::h3::frame_reader::Received;
use crate::proto::h3::limits::Limit;
use crate::proto::h3::priority::Priority;
use crate::proto::h3::settings::MAX_SETTINGS_BYTES;
use crate::proto::h3::varint;
use crate::proto::token_bucket::Millis;

/// Bytes of a PRIORITY_UPDATE that are waited for: its value has a few.
const MAX_PRIORITY_BYTES: u64 = 256;

/// Reads the control stream behind its type.
#[derive(Default)]
pub(super) struct ControlReader {
    frames: FrameReader,
    /// The payload of a frame that is not complete.
    payload: Vec<u8>,
    skipped: Skipped,
}

type ControlStep = Result<Option<UnidirectionalEvent>, Fault>;

impl ControlReader {
    pub(super) fn new() -> ControlReader {
        ControlReader::default()
    }

    pub(super) fn capacity(&self) -> usize {
        self.payload.capacity()
    }

    pub(super) fn handle_bytes(
        &mut self,
        input: &[u8],
        connection: &mut Connection,
        now: Millis,
    ) -> Result<Received<UnidirectionalEvent>, Fault> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let (taken, part) = self.frames.next(rest);
            consumed += taken;
            let event = match part {
                None => return Ok(Received { consumed, event: None }),
                Some(FramePart::Head(head)) => begin_frame(head, connection, now)?,
                Some(FramePart::Payload { kind: FrameKind::Unknown, bytes, .. }) => {
                    self.skipped.take(bytes.len(), connection, now)?;
                    None
                }
                Some(FramePart::Payload { kind, bytes, is_last }) => {
                    let payload = rest.get(bytes).unwrap_or_default();
                    self.take_payload(kind, payload, is_last, connection)?
                }
            };
            if event.is_some() {
                return Ok(Received { consumed, event });
            }
        }
    }

    fn take_payload(
        &mut self,
        kind: FrameKind,
        payload: &[u8],
        is_last: bool,
        connection: &mut Connection,
    ) -> ControlStep {
        if is_last && self.payload.is_empty() {
            return finish_frame(kind, payload, connection);
        }
        // The length was found to be within bounds when the frame began.
        self.payload.extend_from_slice(payload);
        if !is_last {
            return Ok(None);
        }
        finish_frame(kind, &std::mem::take(&mut self.payload), connection)
    }
}

fn begin_frame(head: FrameHead, connection: &mut Connection, now: Millis) -> ControlStep {
    head.kind.check_on_control_stream(!connection.has_settings())?;
    let limit = match head.kind {
        FrameKind::Settings => None,
        FrameKind::PriorityUpdate | FrameKind::PushPriorityUpdate => Some(Limit::Priorities),
        _ => Some(Limit::UselessFrames),
    };
    if let Some(limit) = limit {
        connection.spend(limit, now)?;
    }
    match head.kind {
        FrameKind::Settings if head.length > MAX_SETTINGS_BYTES => Err(Limit::LongFrame.into()),
        FrameKind::PriorityUpdate | FrameKind::PushPriorityUpdate if head.length > MAX_PRIORITY_BYTES => {
            Err(Limit::LongFrame.into())
        }
        FrameKind::CancelPush | FrameKind::GoAway | FrameKind::MaxPushId
            if head.length > varint::MAX_BYTES as u64 =>
        {
            Err(Fault::FrameLength)
        }
        _ => Ok(None),
    }
}

fn finish_frame(kind: FrameKind, payload: &[u8], connection: &mut Connection) -> ControlStep {
    match kind {
        FrameKind::Settings => {
            connection.take_settings(payload)?;
            Ok(Some(UnidirectionalEvent::Settings))
        }
        FrameKind::GoAway => {
            connection.take_go_away(one_number(payload)?)?;
            Ok(Some(UnidirectionalEvent::GoAway))
        }
        FrameKind::MaxPushId => {
            connection.take_max_push_id(one_number(payload)?)?;
            Ok(None)
        }
        // "If a server receives a CANCEL_PUSH frame for a push ID that has not yet been mentioned by a PUSH_PROMISE frame,
        // this MUST be treated as a connection error of type H3_ID_ERROR" (RFC 9114 §7.2.3). We mention none.
        FrameKind::CancelPush => one_number(payload).and(Err(Fault::Id)),
        FrameKind::PriorityUpdate => read_priority(payload).map(Some),
        // The same of a push that was not promised (RFC 9218 §7.2).
        FrameKind::PushPriorityUpdate => first_number(payload).and(Err(Fault::Id)),
        FrameKind::Data
        | FrameKind::Headers
        | FrameKind::PushPromise
        | FrameKind::OfHttp2
        | FrameKind::Unknown => Ok(None),
    }
}

/// "If a server receives a PRIORITY_UPDATE (type=0xF0700) with a Prioritized Element ID that is not a request stream, this
/// MUST be treated as a connection error of type H3_ID_ERROR" (RFC 9218 §7.2): clients open those whose number is a multiple
/// of 4 (RFC 9000 §2.1).
fn read_priority(payload: &[u8]) -> Result<UnidirectionalEvent, Fault> {
    let (stream, value) = first_number(payload)?;
    if stream % 4 != 0 {
        return Err(Fault::Id);
    }
    Ok(UnidirectionalEvent::Priority { stream, priority: Priority::parse(value) })
}

fn first_number(payload: &[u8]) -> Result<(u64, &[u8]), Fault> {
    let mut rest = payload;
    let number = varint::decode(&mut rest).ok_or(Fault::FrameLength)?;
    Ok((number, rest))
}

/// "A frame payload that contains additional bytes after the identified fields or a frame payload that terminates before
/// the end of the identified fields MUST be treated as a connection error of type H3_FRAME_ERROR" (RFC 9114 §7.1).
fn one_number(payload: &[u8]) -> Result<u64, Fault> {
    let (number, rest) = first_number(payload)?;
    if rest.is_empty() { Ok(number) } else { Err(Fault::FrameLength) }
}
