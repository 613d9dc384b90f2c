//! Where one TLS record ends and the next begins.

/// The most plaintext in one record (RFC 8446 §5.1).
pub(super) const RECORD_PLAINTEXT_BYTES: usize = 16 * 1024;
pub(super) const RECORD_HEADER_BYTES: usize = 5;
/// The most that a record may announce (RFC 5246 §6.2.3; TLS 1.3 allows less).
pub(super) const MAX_RECORD_LENGTH: usize = RECORD_PLAINTEXT_BYTES + 2048;

/// How many more bytes the record at the front of `incoming` needs; at least one.
pub(super) fn missing_bytes(incoming: &[u8]) -> usize {
    let whole = RECORD_HEADER_BYTES + record_length(incoming).unwrap_or(0).min(MAX_RECORD_LENGTH);
    whole.saturating_sub(incoming.len()).max(1)
}

/// Whether it makes sense to open these bytes: a whole record stands first, or what can be none.
pub(super) fn begins_with_record(incoming: &[u8]) -> bool {
    match record_length(incoming) {
        Some(length) => length > MAX_RECORD_LENGTH || incoming.len() >= RECORD_HEADER_BYTES + length,
        None => false,
    }
}

/// The record at the front of `incoming`; what there is of it, if it is not whole.
pub(super) fn whole_record(incoming: &[u8]) -> &[u8] {
    let whole = RECORD_HEADER_BYTES + record_length(incoming).unwrap_or(0);
    incoming.get(..whole).unwrap_or(incoming)
}

/// The length that the header of a record announces, if the header is there (RFC 8446 §5.1).
pub(super) fn record_length(incoming: &[u8]) -> Option<usize> {
    match incoming {
        [_, _, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_of_a_record() {
        for (incoming, missing, whole) in [
            (&b""[..], 5, false),
            (&[22], 4, false),
            (&[22, 3, 3, 0], 1, false),
            (&[22, 3, 3, 0, 2], 2, false),
            (&[22, 3, 3, 0, 2, 1], 1, false),
            (&[22, 3, 3, 0, 2, 1, 1], 1, true),
            (&[22, 3, 3, 0, 0], 1, true),
            (&[22, 3, 3, 255, 255], MAX_RECORD_LENGTH, true),
        ] {
            assert_eq!(
                (missing_bytes(incoming), begins_with_record(incoming)),
                (missing, whole),
                "{incoming:?}"
            );
        }
    }
}
