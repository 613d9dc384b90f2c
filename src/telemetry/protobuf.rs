//! As much of the encoding of Protocol Buffers as traces need (<https://protobuf.dev/programming-guides/encoding/>).

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

/// Bits of a varint in each of its bytes.
const BITS: u32 = 7;

/// Appends a number of so many bits as are needed, seven in each byte.
fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 1 << BITS {
        out.push(value as u8 | 0x80);
        value >>= BITS;
    }
    out.push(value as u8);
}

fn write_tag(field: u32, wire_type: u32, out: &mut Vec<u8>) {
    write_varint(u64::from(field << 3 | wire_type), out);
}

pub(super) fn write_number(field: u32, value: u64, out: &mut Vec<u8>) {
    write_tag(field, VARINT, out);
    write_varint(value, out);
}

pub(super) fn write_fixed64(field: u32, value: u64, out: &mut Vec<u8>) {
    write_tag(field, FIXED_64, out);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn write_fixed32(field: u32, value: u32, out: &mut Vec<u8>) {
    write_tag(field, FIXED_32, out);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn write_bytes(field: u32, value: &[u8], out: &mut Vec<u8>) {
    write_tag(field, LENGTH_DELIMITED, out);
    write_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Appends what `write` writes as the content of a field, with its length in front.
pub(super) fn write_message(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    write_tag(field, LENGTH_DELIMITED, out);
    let start = out.len();
    write(out);
    let end = out.len();
    write_varint((end - start) as u64, out);
    let prefix = out.len() - end;
    if let Some(written) = out.get_mut(start..) {
        // The length is known only now, and stands in front.
        written.rotate_right(prefix);
    }
}

/// Appends a string, which must be UTF-8: what is not shows as U+FFFD.
pub(super) fn write_text(field: u32, value: &[u8], out: &mut Vec<u8>) {
    if std::str::from_utf8(value).is_ok() {
        // Nearly always.
        return write_bytes(field, value, out);
    }
    write_message(field, out, |out| write_lossy(value, out));
}

/// Appends the content of a string.
pub(super) fn write_lossy(value: &[u8], out: &mut Vec<u8>) {
    for part in value.utf8_chunks() {
        out.extend_from_slice(part.valid().as_bytes());
        if !part.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// A field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProtobufValue<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    /// Of a fixed length, which nothing here looks at.
    Fixed,
}

/// Reads the fields of a message, up to its end or to the first byte that makes no sense.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = (u32, ProtobufValue<'_>)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let tag = read_varint(&mut rest)?;
        let value = match (tag & 7) as u32 {
            VARINT => ProtobufValue::Number(read_varint(&mut rest)?),
            LENGTH_DELIMITED => {
                let length = usize::try_from(read_varint(&mut rest)?).ok()?;
                ProtobufValue::Bytes(take(&mut rest, length)?)
            }
            FIXED_64 => take(&mut rest, 8).map(|_| ProtobufValue::Fixed)?,
            FIXED_32 => take(&mut rest, 4).map(|_| ProtobufValue::Fixed)?,
            _ => return None,
        };
        Some((u32::try_from(tag >> 3).ok()?, value))
    })
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(BITS as usize) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_the_guide_shows() {
        let mut out = Vec::new();
        write_number(1, 150, &mut out);
        assert_eq!(out, [0x08, 0x96, 0x01]);
        out.clear();
        write_text(2, b"testing", &mut out);
        assert_eq!(out, [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        out.clear();
        write_message(3, &mut out, |out| write_number(1, 150, out));
        assert_eq!(out, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        out.clear();
        write_text(1, b"a\xffb", &mut out);
        assert_eq!(out, [0x0a, 5, b'a', 0xef, 0xbf, 0xbd, b'b']);
    }

    #[test]
    fn what_is_written_is_read() {
        let long = vec![b'x'; 300];
        let mut out = Vec::new();
        write_fixed64(7, 1, &mut out);
        write_fixed32(16, 2, &mut out);
        write_number(6, u64::MAX, &mut out);
        write_message(9, &mut out, |out| write_bytes(1, &long, out));
        let read: Vec<_> = fields(&out).collect();
        let [seven, sixteen, six, (9, ProtobufValue::Bytes(inner))] = read[..] else { panic!("{read:?}") };
        assert_eq!((seven, sixteen), ((7, ProtobufValue::Fixed), (16, ProtobufValue::Fixed)));
        assert_eq!(six, (6, ProtobufValue::Number(u64::MAX)));
        assert_eq!(fields(inner).collect::<Vec<_>>(), [(1, ProtobufValue::Bytes(&long[..]))]);
        for end in 0..out.len() {
            assert!(fields(&out[..end]).count() <= 4, "a part is read as far as it goes");
        }
    }

    #[test]
    fn bytes_that_make_no_sense_end_it() {
        for bytes in [&[0xff; 12][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0b], &[0x0f], &[0x08]] {
            assert_eq!(fields(bytes).count(), 0, "{bytes:?}");
        }
    }
}
