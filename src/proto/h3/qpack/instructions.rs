//! What a client says on its streams of QPACK (RFC 9204 §4.3, §4.4): next to nothing, for we allow it no dynamic table and
//! use none of ours.

use crate::proto::h3::fault::Fault;

/// "Set Dynamic Table Capacity" to 0.
const NO_CAPACITY: u8 = 0x20;

/// Looks at a byte of an encoder stream. Each instruction that is allowed has one, which sets the capacity to 0.
///
/// # Errors
/// "The decoder MUST treat a new dynamic table capacity value that exceeds this limit as a connection error of type
/// QPACK_ENCODER_STREAM_ERROR" (§4.3.1), and nothing fits into a table without capacity (§3.2.2).
pub(in crate::proto::h3) fn check_of_encoder(byte: u8) -> Result<(), Fault> {
    if byte == NO_CAPACITY { Ok(()) } else { Err(Fault::QpackEncoder) }
}

/// Reads a decoder stream, on which streams may be cancelled: "A decoder with a maximum dynamic table capacity equal to zero
/// MAY omit sending Stream Cancellations" (§2.2.2.2).
#[derive(Clone, Copy, Default)]
pub(in crate::proto::h3) struct DecoderInstructions {
    /// Bytes that the number of a stream had behind its prefix, while more have to come; 0: an instruction begins.
    within: u8,
}

/// What the first byte says.
const CANCELLATION: u8 = 0x40;
const INSTRUCTION: u8 = 0xc0;
const PREFIX: u8 = 0x3f;
const CONTINUED: u8 = 0x80;

/// Behind the prefix, a number of 62 bits has nine bytes of 7.
const MAX_NUMBER_BYTES: u8 = 9;

impl DecoderInstructions {
    /// Takes a byte. Whether an instruction begins with it.
    ///
    /// # Errors
    /// What is acknowledged was never sent: "If an encoder receives a Section Acknowledgment instruction referring to a
    /// stream on which every encoded field section with a non-zero Required Insert Count has already been acknowledged,
    /// this MUST be treated as a connection error of type QPACK_DECODER_STREAM_ERROR" (§4.4.1; §4.4.3 for inserts). Or it is
    /// no number of a stream.
    pub(in crate::proto::h3) fn take(&mut self, byte: u8) -> Result<bool, Fault> {
        if self.within == 0 {
            if byte & INSTRUCTION != CANCELLATION {
                return Err(Fault::QpackDecoder);
            }
            self.within = u8::from(byte & PREFIX == PREFIX);
            return Ok(true);
        }
        if self.within > MAX_NUMBER_BYTES {
            return Err(Fault::QpackDecoder);
        }
        self.within = if byte & CONTINUED == 0 { 0 } else { self.within + 1 };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many instructions there are.
    fn cancelled(bytes: &[u8]) -> Result<usize, Fault> {
        let mut decoder = DecoderInstructions::default();
        bytes.iter().try_fold(0, |count, byte| Ok(count + usize::from(decoder.take(*byte)?)))
    }

    #[test]
    fn streams_may_be_cancelled_and_nothing_acknowledged() {
        assert_eq!(cancelled(&[0x40, 0x7e, 0x44]), Ok(3));
        // Of 62 bits.
        let longest = [&[0x7f][..], &[0xff; 8], &[0x7f]].concat();
        assert_eq!(cancelled(&[&longest[..], &longest, &[0x7f, 0x00, 0x48]].concat()), Ok(4));
        assert_eq!(cancelled(&[&[0x7f][..], &[0xff; 10]].concat()), Err(Fault::QpackDecoder));
        for first in (0x00..=0x3f).chain(0x80..=0xff) {
            assert_eq!(cancelled(&[0x44, first]), Err(Fault::QpackDecoder), "{first:x}");
        }
    }

    #[test]
    fn encoders_may_set_the_capacity_to_0() {
        let allowed: Vec<u8> = (0..=255).filter(|byte| check_of_encoder(*byte).is_ok()).collect();
        assert_eq!(allowed, [0x20]);
    }
}
