//! The `traceparent` field (W3C Trace Context §3.2).

use crate::policy::trace::ids::SpanId;
use crate::policy::trace::ids::TraceId;
use crate::policy::trace::ids::read_byte;

/// "The caller might have recorded trace" (§3.2.2.5.1).
const SAMPLED: u8 = 0x01;
/// The trace's identity is random where it should be (level 2 §2.2.4.2).
const RANDOM: u8 = 0x02;

/// Bytes of a value of version 00: `00-` and 32 digits, `-` and 16 digits, `-` and two.
const VALUE_BYTES: usize = 55;

/// What a value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    pub(super) trace: TraceId,
    pub(super) parent: SpanId,
    pub(super) is_sampled: bool,
    pub(super) is_random: bool,
}

impl TraceParent {
    /// Reads a value of any version; None where it is invalid. Of a version that is not known, what is known of 00 is
    /// read, and more may follow behind a dash (§3.2.4).
    pub(super) fn parse(value: &[u8]) -> Option<TraceParent> {
        let (known, more) = value.split_at_checked(VALUE_BYTES)?;
        let version = read_byte(known.get(..2)?)?;
        let is_whole = match version {
            0 => more.is_empty(),
            // "Version 255 is invalid."
            0xff => false,
            _ => more.is_empty() || more.first() == Some(&b'-'),
        };
        let has_dashes = [2, 35, 52].iter().all(|place| known.get(*place) == Some(&b'-'));
        if !is_whole || !has_dashes {
            return None;
        }
        let flags = read_byte(known.get(53..)?)?;
        Some(TraceParent {
            trace: TraceId::read(known.get(3..35)?)?,
            parent: SpanId::read(known.get(36..52)?)?,
            is_sampled: flags & SAMPLED != 0,
            is_random: flags & RANDOM != 0,
        })
    }

    /// Writes it as version 00. Flags that are not known are not passed on. Returns where the identity of the parent
    /// begins.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(b"00-");
        out.extend_from_slice(self.trace.digits());
        out.push(b'-');
        let place = out.len();
        out.extend_from_slice(self.parent.digits());
        out.extend_from_slice(match (self.is_sampled, self.is_random) {
            (false, false) => b"-00",
            (true, false) => b"-01",
            (false, true) => b"-02",
            (true, true) => b"-03",
        });
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    fn written(value: &str) -> Option<String> {
        let mut out = Vec::new();
        let place = TraceParent::parse(value.as_bytes())?.write(&mut out);
        assert_eq!(place, 36);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn version_00_is_read_strictly() {
        for flags in ["00", "01", "02", "03"] {
            let value = format!("00-{ID}-{flags}");
            assert_eq!(written(&value), Some(value));
        }
        let known_flags_only = format!("00-{ID}-ff");
        assert_eq!(written(&known_flags_only), Some(format!("00-{ID}-03")));
        for wrong in [
            format!("00-{ID}-01-"),
            format!("00-{ID}-01-what-the-future"),
            format!("00-{ID}-0"),
            format!("00-{ID}-"),
            format!("00-{ID}_01"),
            format!("00-{ID}-0X"),
            format!("00-{ID}-0A"),
            format!("00-{}-01", ID.to_uppercase()),
            format!(" 00-{ID}-01"),
            format!("00-{ID}-01 "),
            format!("0-{ID}-01"),
            format!("000-{ID}-1"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_owned(),
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01".to_owned(),
            String::new(),
            "00".to_owned(),
        ] {
            assert_eq!(written(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_later_versions_what_is_known_is_read() {
        for value in [format!("01-{ID}-01"), format!("cc-{ID}-01-what-the-future"), format!("fe-{ID}-01-")] {
            assert_eq!(written(&value), Some(format!("00-{ID}-01")), "{value}");
        }
        for wrong in [format!("01-{ID}-01.what"), format!("ff-{ID}-01"), format!("0A-{ID}-01")] {
            assert_eq!(written(&wrong), None, "{wrong}");
        }
    }
}
