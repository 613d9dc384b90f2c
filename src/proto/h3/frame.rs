//! How frames begin: type and length (RFC 9114 §7.1), and on which streams they may stand (§7.2, Table 1).

use crate::proto::h3::fault::Fault;
use crate::proto::h3::varint;

/// Bytes of the longest beginning.
pub const MAX_HEAD_BYTES: usize = 2 * varint::MAX_BYTES;

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    pub kind: FrameKind,
    /// Bytes of what follows.
    pub length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Data,
    Headers,
    CancelPush,
    Settings,
    PushPromise,
    GoAway,
    MaxPushId,
    /// Of a request (RFC 9218 §7.2).
    PriorityUpdate,
    /// Of a push.
    PushPriorityUpdate,
    /// A type of HTTP/2 that means nothing here, and may not be sent (RFC 9114 §7.2.8).
    OfHttp2,
    /// It is passed over (§9).
    Unknown,
}

impl FrameKind {
    pub fn of(number: u64) -> FrameKind {
        match number {
            0x0 => FrameKind::Data,
            0x1 => FrameKind::Headers,
            0x3 => FrameKind::CancelPush,
            0x4 => FrameKind::Settings,
            0x5 => FrameKind::PushPromise,
            0x7 => FrameKind::GoAway,
            0xd => FrameKind::MaxPushId,
            0xf_0700 => FrameKind::PriorityUpdate,
            0xf_0701 => FrameKind::PushPriorityUpdate,
            0x2 | 0x6 | 0x8 | 0x9 => FrameKind::OfHttp2,
            _ => FrameKind::Unknown,
        }
    }

    /// Whether a client may send it on a request stream.
    ///
    /// # Errors
    /// The connection is over.
    pub fn check_on_request_stream(self) -> Result<(), Fault> {
        match self {
            FrameKind::Data | FrameKind::Headers | FrameKind::Unknown => Ok(()),
            _ => Err(Fault::UnexpectedFrame),
        }
    }

    /// Whether a client may send it on its control stream. `is_first`: nothing has come there before.
    ///
    /// # Errors
    /// The connection is over.
    pub fn check_on_control_stream(self, is_first: bool) -> Result<(), Fault> {
        match self {
            FrameKind::Settings if is_first => Ok(()),
            // "If the first frame of the control stream is any other frame type, this MUST be treated as a connection error of
            // type H3_MISSING_SETTINGS" (§6.2.1).
            _ if is_first => Err(Fault::MissingSettings),
            FrameKind::CancelPush
            | FrameKind::GoAway
            | FrameKind::MaxPushId
            | FrameKind::PriorityUpdate
            | FrameKind::PushPriorityUpdate
            | FrameKind::Unknown => Ok(()),
            FrameKind::Data
            | FrameKind::Headers
            | FrameKind::Settings
            | FrameKind::PushPromise
            | FrameKind::OfHttp2 => Err(Fault::UnexpectedFrame),
        }
    }
}

impl FrameHead {
    /// Takes the beginning of a frame off the front of `input`; None: more has to come, and nothing was taken.
    pub fn decode(input: &mut &[u8]) -> Option<FrameHead> {
        let mut rest = *input;
        let kind = FrameKind::of(varint::decode(&mut rest)?);
        let length = varint::decode(&mut rest)?;
        *input = rest;
        Some(FrameHead { kind, length })
    }
}

/// Appends the beginning of DATA with so many bytes.
pub fn write_data_head(out: &mut Vec<u8>, length: u64) {
    write_head(out, 0x0, length);
}

/// Bytes of the length of HEADERS, unless they are very long.
const SHORT_LENGTH_BYTES: usize = 2;

/// Begins HEADERS at the end of `out`, whose length is not known yet. Gives the place of the length.
pub(super) fn begin_headers(out: &mut Vec<u8>) -> usize {
    varint::encode(out, 0x1);
    let start = out.len();
    out.resize(start + SHORT_LENGTH_BYTES, 0);
    start
}

/// Ends HEADERS behind what is the last of it.
pub(super) fn finish_headers(out: &mut Vec<u8>, start: usize) {
    let length = out.len().saturating_sub(start + SHORT_LENGTH_BYTES);
    // The two highest bits tell how long the length is, which need not be as short as can be (RFC 9000 §16).
    if length < 1 << 14 {
        fill(out, start, (length as u16 | 0x4000).to_be_bytes());
    } else {
        out.splice(start..start, [0; 2]);
        fill(out, start, (length as u32 | 0x8000_0000).to_be_bytes());
    }
}

fn fill<const COUNT: usize>(out: &mut [u8], start: usize, bytes: [u8; COUNT]) {
    if let Some(room) = out.get_mut(start..start + COUNT) {
        room.copy_from_slice(&bytes);
    }
}

/// Appends a whole GOAWAY: no request from this stream on is looked at (§5.2).
pub(super) fn write_go_away(out: &mut Vec<u8>, stream: u64) {
    write_head(out, 0x7, varint::encoded_length(stream) as u64);
    varint::encode(out, stream);
}

pub(super) fn write_head(out: &mut Vec<u8>, kind: u64, length: u64) {
    varint::encode(out, kind);
    varint::encode(out, length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_waits_for_all_of_it() {
        let mut out = Vec::new();
        write_head(&mut out, 0xf_0700, 70_000);
        for end in 0..out.len() {
            let mut cut = out.split_at(end).0;
            assert_eq!((FrameHead::decode(&mut cut), cut.len()), (None, end));
        }
        let head = FrameHead::decode(&mut out.as_slice());
        assert_eq!(head, Some(FrameHead { kind: FrameKind::PriorityUpdate, length: 70_000 }));
        out.clear();
        write_go_away(&mut out, 1 << 20);
        assert_eq!(out, [7, 4, 0x80, 0x10, 0, 0]);
    }

    #[test]
    fn frames_stand_where_they_may() {
        use FrameKind::*;
        let all = [
            Data,
            Headers,
            CancelPush,
            Settings,
            PushPromise,
            GoAway,
            MaxPushId,
            PriorityUpdate,
            OfHttp2,
            Unknown,
        ];
        let on_request: Vec<_> = all.iter().filter(|kind| kind.check_on_request_stream().is_ok()).collect();
        assert_eq!(on_request, [&Data, &Headers, &Unknown]);
        let on_control = |is_first| -> Vec<_> {
            all.into_iter().filter(|kind| kind.check_on_control_stream(is_first).is_ok()).collect()
        };
        assert_eq!(on_control(true), [Settings]);
        assert_eq!(on_control(false), [CancelPush, GoAway, MaxPushId, PriorityUpdate, Unknown]);
        assert_eq!(Data.check_on_control_stream(true), Err(Fault::MissingSettings));
        for number in [2, 6, 8, 9] {
            assert_eq!(FrameKind::of(number), OfHttp2);
        }
    }
}
