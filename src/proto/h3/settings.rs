//! SETTINGS: what each side allows (RFC 9114 §7.2.4).

use crate::proto::h3::fault::Fault;
use crate::proto::h3::frame::write_head;
use crate::proto::h3::varint;

/// What the client says, as far as we make use of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// Bytes of a field section that it takes (§4.2.2). None: it does not say.
    pub max_field_section_bytes: Option<u64>,
}

/// What we say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    pub max_field_section_bytes: u64,
    /// Extended CONNECT is taken (RFC 9220 §3).
    pub connect_protocol: bool,
}

/// The settings in one frame: more than any client sends.
const MAX_SETTINGS: usize = 64;

/// Bytes of a SETTINGS frame that are waited for.
pub const MAX_SETTINGS_BYTES: u64 = (MAX_SETTINGS * 2 * varint::MAX_BYTES) as u64;

const QPACK_MAX_TABLE_CAPACITY: u64 = 0x1;
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const QPACK_BLOCKED_STREAMS: u64 = 0x7;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;
const H3_DATAGRAM: u64 = 0x33;

impl ClientSettings {
    /// Reads what follows the beginning of a whole frame.
    ///
    /// # Errors
    /// The connection is over.
    pub fn decode(mut payload: &[u8]) -> Result<ClientSettings, Fault> {
        let mut settings = ClientSettings::default();
        let mut seen = [0; MAX_SETTINGS];
        let mut count = 0;
        while !payload.is_empty() {
            let number = varint::decode(&mut payload).ok_or(Fault::FrameLength)?;
            let value = varint::decode(&mut payload).ok_or(Fault::FrameLength)?;
            // "The same setting identifier MUST NOT occur more than once" (§7.2.4).
            if seen.iter().take(count).any(|known| *known == number) {
                return Err(Fault::Settings);
            }
            *seen.get_mut(count).ok_or(Fault::TooMuchWork)? = number;
            count += 1;
            match number {
                MAX_FIELD_SECTION_SIZE => settings.max_field_section_bytes = Some(value),
                // Those of HTTP/2 that mean nothing here (§7.2.4.1).
                0x0 | 0x2..=0x5 => return Err(Fault::Settings),
                ENABLE_CONNECT_PROTOCOL | H3_DATAGRAM if value > 1 => return Err(Fault::Settings),
                _ => {}
            }
        }
        Ok(settings)
    }
}

impl ServerSettings {
    /// Appends the whole frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        let mut add = |number, value| {
            varint::encode(&mut payload, number);
            varint::encode(&mut payload, value);
        };
        add(QPACK_MAX_TABLE_CAPACITY, 0);
        add(MAX_FIELD_SECTION_SIZE, self.max_field_section_bytes);
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
        let decode = |settings: &[(u64, u64)]| ClientSettings::decode(&payload(settings));
        let allowed = |bytes| Ok(ClientSettings { max_field_section_bytes: bytes });
        assert_eq!(decode(&[]), allowed(None));
        assert_eq!(decode(&[(0x1, 4096), (0x7, 16), (0x6, 9_000), (0x21, 77)]), allowed(Some(9_000)));
        for number in [0, 2, 3, 4, 5] {
            assert_eq!(decode(&[(number, 1)]), Err(Fault::Settings), "{number}");
        }
        assert_eq!(decode(&[(0x6, 1), (0x6, 1)]), Err(Fault::Settings));
        assert_eq!(decode(&[(0x8, 2)]), Err(Fault::Settings));
        let many: Vec<_> = (0..65).map(|number| (0x40 + number, 0)).collect();
        assert_eq!(decode(&many), Err(Fault::TooMuchWork));
        let cut = payload(&[(0x6, 9_000)]);
        assert_eq!(ClientSettings::decode(cut.split_at(2).0), Err(Fault::FrameLength));
    }

    #[test]
    fn ours_allow_no_dynamic_table() {
        let mut out = Vec::new();
        ServerSettings { max_field_section_bytes: 65_536, connect_protocol: true }.encode(&mut out);
        assert_eq!(out, [4, 11, 1, 0, 6, 0x80, 1, 0, 0, 7, 0, 8, 1]);
    }
}
