//! Connection IDs in packets of QUIC, as far as all its versions have them alike (RFC 8999 §5).

use std::ops::Range;

/// The header form bit: set in long headers.
const LONG_HEADER: u8 = 0x80;
/// Where the length of the destination connection ID stands in a long header: behind the first byte and the version.
const LENGTH_AT: usize = 5;

/// These bytes of the destination connection ID of the first packet in a datagram; None if it does not have them.
///
/// Short headers do not tell how long the ID is: what stands at its place is taken.
pub(super) fn part_of_destination(datagram: &[u8], range: Range<usize>) -> Option<&[u8]> {
    let first = datagram.first()?;
    let id = if first & LONG_HEADER == 0 {
        datagram.get(1..)?
    } else {
        let length = usize::from(*datagram.get(LENGTH_AT)?);
        datagram.get(LENGTH_AT + 1..)?.get(..length)?
    };
    id.get(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_behind_the_first_byte_or_behind_the_version() {
        let long = b"\xc3\0\0\0\x01\x08abcdefgh\x02xy";
        let short = b"\x43abcdefgh and what is sealed";
        assert_eq!(part_of_destination(long, 0..8), Some(&b"abcdefgh"[..]));
        assert_eq!(part_of_destination(long, 2..4), Some(&b"cd"[..]));
        assert_eq!(part_of_destination(short, 2..4), Some(&b"cd"[..]));
    }

    #[test]
    fn what_is_not_there_is_not_taken() {
        // Behind the end of the ID, though the datagram goes on.
        assert_eq!(part_of_destination(b"\xc3\0\0\0\x01\x02ab\x02xy", 1..3), None);
        for cut in [&b""[..], b"\xc3", b"\xc3\0\0\0\x01", b"\xc3\0\0\0\x01\x04ab", b"\x43", b"\x43a"] {
            assert_eq!(part_of_destination(cut, 0..2), None, "{cut:?}");
        }
    }
}
