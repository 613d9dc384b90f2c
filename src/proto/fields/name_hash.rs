//! Hashes of names and values, by which tables of fields find them.

/// A hash of a name that ignores case, with 32 good bits.
pub(in crate::proto) const fn hash_name(name: &[u8]) -> u32 {
    // Setting this bit makes letters lower case. That it makes other bytes equal too does no harm.
    hash(name, 0x2020_2020_2020_2020)
}

/// A hash of a value by its length and both ends, with 32 good bits. Equal hashes still need a comparison.
pub(in crate::proto) fn hash_value(value: &[u8]) -> u32 {
    match (value.first_chunk::<HASHED_END>(), value.last_chunk::<HASHED_END>()) {
        (Some(first), Some(last)) => hash(first, value.len() as u64) ^ hash(last, 0).rotate_left(9),
        _ => hash(value, 0),
    }
}

/// Bytes that are hashed of each end of a long value.
const HASHED_END: usize = 16;

const fn hash(bytes: &[u8], fold: u64) -> u32 {
    let mut state = bytes.len() as u64;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        state = mix(state ^ (u64::from_le_bytes(*word) | fold));
        rest = after;
    }
    let mut last = 0;
    if let Some((word, after)) = rest.split_first_chunk() {
        last = u32::from_le_bytes(*word) as u64;
        rest = after;
    }
    while let [byte, after @ ..] = rest {
        last = (last << 8) | *byte as u64;
        rest = after;
    }
    (mix(state ^ (last | fold)) >> 32) as u32
}

const fn mix(state: u64) -> u64 {
    let product = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 29)
}
