//! The streams that a server of HTTP/3 opens: its control stream and those of QPACK, one each.

use super::h3_frames::{
    CANCEL_PUSH, CONTROL, DATA, GOAWAY, HEADERS, MAX_PUSH_ID, PRIORITY_UPDATE, PUSH, PUSH_PROMISE,
    QPACK_DECODER, QPACK_ENCODER, RESERVED_FRAMES, SETTINGS, varint_at,
};
use super::h3_stream::{FrameReader, H3Frame, Next, broken};
use super::quic::End;
use std::collections::BTreeMap;
use std::io;

/// What a server has said on its own streams.
#[derive(Default)]
pub(super) struct ServerStreams {
    streams: BTreeMap<u64, Unidirectional>,
    control: FrameReader,
    settings: Option<BTreeMap<u64, u64>>,
    go_away: Option<u64>,
}

#[derive(Default)]
struct Unidirectional {
    kind: Option<u64>,
    /// Received before the type was complete.
    ahead: Vec<u8>,
}

/// Settings of HTTP/2 that have no place in HTTP/3 (RFC 9114 §7.2.4.1).
const RESERVED_SETTINGS: [u64; 5] = [0, 2, 3, 4, 5];

impl ServerStreams {
    pub(super) fn settings(&self) -> Option<&BTreeMap<u64, u64>> {
        self.settings.as_ref()
    }

    pub(super) fn go_away(&self) -> Option<u64> {
        self.go_away
    }

    /// Judges what came on a stream that this client did not open.
    pub(super) fn take(&mut self, stream: u64, bytes: &[u8], end: Option<End>) -> io::Result<Vec<H3Frame>> {
        const SERVER_UNIDIRECTIONAL: u64 = 3;
        if stream % 4 != SERVER_UNIDIRECTIONAL {
            return Err(broken("a stream in both directions that the server opened"));
        }
        let its = self.streams.entry(stream).or_default();
        let mut bytes = bytes.to_vec();
        if its.kind.is_none() {
            its.ahead.extend(&bytes);
            let Some((kind, length)) = varint_at(&its.ahead) else { return Ok(Vec::new()) };
            its.kind = Some(kind);
            bytes = its.ahead.split_off(length);
            let same = self.streams.values().filter(|its| its.kind == Some(kind)).count();
            if same > 1 && kind <= QPACK_DECODER {
                return Err(broken(&format!("a second stream of type {kind}")));
            }
        }
        let kind = self.streams.get(&stream).and_then(|its| its.kind);
        match (kind, end) {
            (Some(CONTROL | QPACK_ENCODER | QPACK_DECODER), Some(end)) => {
                Err(broken(&format!("a critical stream that ends: {end:?}")))
            }
            (Some(CONTROL), _) => self.take_control(stream, &bytes),
            (Some(PUSH), _) => Err(broken("a push")),
            (Some(QPACK_ENCODER), _) if !bytes.is_empty() => {
                Err(broken("an instruction for a table of no room"))
            }
            (Some(QPACK_DECODER), _) => take_decoder_instructions(&bytes).map(|()| Vec::new()),
            _ => Ok(Vec::new()),
        }
    }

    fn take_control(&mut self, stream: u64, bytes: &[u8]) -> io::Result<Vec<H3Frame>> {
        let mut frames = Vec::new();
        self.control.push(bytes);
        while let Some(next) = self.control.next() {
            let Next::Frame(kind, payload) = next else { return Err(broken("DATA on the control stream")) };
            match kind {
                SETTINGS if self.settings.is_none() => self.settings = Some(settings_in(&payload)?),
                SETTINGS => return Err(broken("SETTINGS for the second time")),
                _ if self.settings.is_none() => return Err(broken("no SETTINGS at first")),
                GOAWAY => self.take_go_away(&payload)?,
                DATA | HEADERS | PUSH_PROMISE | MAX_PUSH_ID | CANCEL_PUSH | PRIORITY_UPDATE => {
                    return Err(broken(&format!("a frame of type {kind:#x} on the control stream")));
                }
                _ if RESERVED_FRAMES.contains(&kind) => return Err(broken("a frame of HTTP/2")),
                _ => {}
            }
            frames.push(H3Frame { stream, kind, payload });
        }
        Ok(frames)
    }

    /// The id is that of a request and never grows (RFC 9114 §5.2).
    fn take_go_away(&mut self, payload: &[u8]) -> io::Result<()> {
        let id = match varint_at(payload) {
            Some((id, length)) if length == payload.len() => id,
            _ => return Err(broken("GOAWAY")),
        };
        if id % 4 != 0 || self.go_away.is_some_and(|before| before < id) {
            return Err(broken(&format!("GOAWAY with {id} after {:?}", self.go_away)));
        }
        self.go_away = Some(id);
        Ok(())
    }
}

fn settings_in(payload: &[u8]) -> io::Result<BTreeMap<u64, u64>> {
    let (mut settings, mut rest) = (BTreeMap::new(), payload);
    while !rest.is_empty() {
        let (identifier, length) = varint_at(rest).ok_or_else(|| broken("SETTINGS"))?;
        rest = &rest[length..];
        let (value, length) = varint_at(rest).ok_or_else(|| broken("SETTINGS"))?;
        rest = &rest[length..];
        if RESERVED_SETTINGS.contains(&identifier) || settings.insert(identifier, value).is_some() {
            return Err(broken(&format!("the setting {identifier:#x}")));
        }
    }
    Ok(settings)
}

/// Of what a decoder can say (RFC 9204 §4.4), only that it gave up a stream makes sense to an encoder without a table.
fn take_decoder_instructions(bytes: &[u8]) -> io::Result<()> {
    const STREAM_CANCELLATION: u8 = 0x40;
    // Whatever follows a cancellation is the rest of its stream's number, or another.
    match bytes.first() {
        Some(first) if first & 0xc0 != STREAM_CANCELLATION => {
            Err(broken(&format!("an instruction of a decoder: {first:#x}")))
        }
        _ => Ok(()),
    }
}
