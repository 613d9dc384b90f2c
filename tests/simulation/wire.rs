//! A wire that delivers its input in pieces.

use std::fmt::Debug;

/// Runs `receive` on the input in one piece, cut once at every place, in single bytes and in random
/// pieces. All outcomes must equal the first, which is returned.
pub(crate) fn deliver<T: Debug + PartialEq>(input: &[u8], receive: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = receive(&[input]);
    for cut in 0..=input.len() {
        let (before, after) = input.split_at(cut);
        assert_eq!(receive(&[before, after]), whole, "cut at {cut}: {}", input.escape_ascii());
    }
    let bytes: Vec<_> = input.chunks(1).collect();
    assert_eq!(receive(&bytes), whole, "in single bytes: {}", input.escape_ascii());
    for seed in 1..=RANDOM_RUNS {
        let pieces = random_pieces(input, seed);
        assert_eq!(receive(&pieces), whole, "seed {seed}: {}", input.escape_ascii());
    }
    whole
}

fn random_pieces(input: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut pieces = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        // Marsaglia's xorshift64.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let length = 1 + random as usize % (1 + rest.len() / (1 + random as usize % 7));
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

const RANDOM_RUNS: u64 = 40;
