//! SETTINGS: what each side allows (RFC 9114 §7.2.4).

use crate::proto::h3::fault::Fault;
use crate::proto::h3::frame::write_head;
use crate::proto::h3::limits::Limit;
use crate::proto::h3::varint;
use crate::proto::token_bucket::Resets;

/// What we allow, and limits that the client learns only by passing them.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// Bytes of a head or of trailers: names and values with 32 bytes for each field (RFC 9114 §4.2.2).
    pub max_header_bytes: usize,
    pub max_headers: usize,
    /// What a client may end early.
    pub resets: Resets,
    /// Extended CONNECT is welcome (RFC 9220 §3).
    pub connect_protocol: bool,
}

impl Default for Local {
    fn default() -> Local {
        Local {
            max_header_bytes: 16_384,
            max_headers: 100,
            resets: Resets { burst: 100, per_second: 20 },
            connect_protocol: false,
        }
    }
}

/// What the client says, as far as we make use of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Bytes of a field section that it takes (RFC 9114 §4.2.2); advice only. None: it does not say.
    pub max_header_bytes: Option<u64>,
}

/// The settings in one frame: more than any client sends.
const MAX_SETTINGS: usize = 64;

/// Bytes of a SETTINGS frame that are waited for.
pub(super) const MAX_SETTINGS_BYTES: u64 = (MAX_SETTINGS * 2 * varint::MAX_BYTES) as u64;

const QPACK_MAX_TABLE_CAPACITY: u64 = 0x1;
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const QPACK_BLOCKED_STREAMS: u64 = 0x7;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;
const H3_DATAGRAM: u64 = 0x33;

impl Peer {
    /// Reads the payload of a whole frame.
    ///
    /// # Errors
    /// The connection is over: a setting twice, one of HTTP/2, or a value that it may not have.
    pub fn decode(mut payload: &[u8]) -> Result<Peer, Fault> {
        let mut peer = Peer::default();
        let mut seen = [0; MAX_SETTINGS];
        let mut count = 0;
        while !payload.is_empty() {
            let number = varint::decode(&mut payload).ok_or(Fault::FrameLength)?;
            let value = varint::decode(&mut payload).ok_or(Fault::FrameLength)?;
            // "The same setting identifier MUST NOT occur more than once in the SETTINGS frame" (§7.2.4).
            if seen.iter().take(count).any(|known| *known == number) {
                return Err(Fault::Settings);
            }
            *seen.get_mut(count).ok_or(Fault::Limit(Limit::LongFrame))? = number;
            count += 1;
            match number {
                MAX_FIELD_SECTION_SIZE => peer.max_header_bytes = Some(value),
                // "Setting identifiers that were defined in [HTTP/2] where there is no corresponding HTTP/3 setting have also
                // been reserved" (§7.2.4.1).
                0x0 | 0x2..=0x5 => return Err(Fault::Settings),
                ENABLE_CONNECT_PROTOCOL | H3_DATAGRAM if value > 1 => return Err(Fault::Settings),
                _ => {}
            }
        }
        Ok(peer)
    }
}

impl Local {
    /// Appends the whole frame.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        let mut add = |number, value| {
            varint::encode(&mut payload, number);
            varint::encode(&mut payload, value);
        };
        add(QPACK_MAX_TABLE_CAPACITY, 0);
        add(MAX_FIELD_SECTION_SIZE, (self.max_header_bytes as u64).min(varint::MAX));
        add(QPACK_BLOCKED_STREAMS, 0);
        if self.connect_protocol {
            add(ENABLE_CONNECT_PROTOCOL, 1);
        }
        write_head(out, 0x4, payload.len() as u64);
        out.extend_from_slice(&payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(settings: &[(u64, u64)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, value) in settings {
            varint::encode(&mut out, *number);
            varint::encode(&mut out, *value);
        }
        out
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_may_not_be_is_a_fault() {
        let decode = |settings: &[(u64, u64)]| Peer::decode(&payload(settings));
        let allowed = |bytes| Ok(Peer { max_header_bytes: bytes });
        assert_eq!(decode(&[]), allowed(None));
        assert_eq!(decode(&[(0x1, 4096), (0x7, 16), (0x6, 9_000), (0x21, 77)]), allowed(Some(9_000)));
        for number in [0, 2, 3, 4, 5] {
            assert_eq!(decode(&[(number, 1)]), Err(Fault::Settings), "{number}");
        }
        assert_eq!(decode(&[(0x6, 1), (0x6, 1)]), Err(Fault::Settings));
        assert_eq!(decode(&[(0x8, 2)]), Err(Fault::Settings));
        assert_eq!(decode(&[(0x33, 2)]), Err(Fault::Settings));
        let many: Vec<_> = (0..65).map(|number| (0x40 + number, 0)).collect();
        assert_eq!(decode(many.split_at(64).0), allowed(None));
        assert_eq!(decode(&many), Err(Fault::Limit(Limit::LongFrame)));
        let cut = payload(&[(0x6, 9_000)]);
        for end in 1..cut.len() {
            assert_eq!(Peer::decode(cut.split_at(end).0), Err(Fault::FrameLength));
        }
    }

    #[test]
    fn ours_allow_no_dynamic_table() {
        let mut out = Vec::new();
        let local = Local { max_header_bytes: 65_536, connect_protocol: true, ..Local::default() };
        local.write(&mut out);
        assert_eq!(out, [4, 11, 1, 0, 6, 0x80, 1, 0, 0, 7, 0, 8, 1]);
    }
}
