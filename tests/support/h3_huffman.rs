//! The Huffman code of fields (RFC 7541, Appendix B), kept apart from that of Ringway, which it judges.
//!
//! The code is canonical: the lengths of its words say all of it.

use std::sync::OnceLock;

/// Bits of the word of each octet.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const MAX_BITS: u8 = 30;

/// Octets with their words and the lengths of these, in the order of the words.
fn words() -> &'static [(u8, u32, u8)] {
    static WORDS: OnceLock<Vec<(u8, u32, u8)>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let (mut words, mut next) = (Vec::new(), 0);
        for length in 5..=MAX_BITS {
            next <<= 1;
            for octet in (0..=255).filter(|octet| LENGTHS[usize::from(*octet)] == length) {
                words.push((octet, next, length));
                next += 1;
            }
        }
        words
    })
}

pub(super) fn encode(plain: &[u8]) -> Vec<u8> {
    let words = words();
    let mut bits = Vec::new();
    for octet in plain {
        let word = words.iter().find(|(known, ..)| known == octet);
        let (_, word, length) = word.expect("every octet has a word");
        bits.extend((0..*length).rev().map(|bit| (word >> bit) & 1));
    }
    let octets = bits.chunks(8).map(|octet| {
        // What is missing of the last octet is the begin of EOS: ones.
        let missing = 8 - octet.len();
        let padded = octet.iter().copied().chain(std::iter::repeat_n(1, missing));
        padded.fold(0, |octet, bit| (octet << 1) | bit as u8)
    });
    octets.collect()
}

/// What a string says, if it is one: its words, then less than an octet of ones.
pub(super) fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let words = words();
    let (mut plain, mut word, mut length) = (Vec::new(), 0_u32, 0_u8);
    for octet in encoded {
        for bit in (0..8).rev() {
            word = (word << 1) | u32::from((octet >> bit) & 1);
            length += 1;
            let found = words.binary_search_by_key(&(length, word), |(_, word, length)| (*length, *word));
            if let Ok(index) = found {
                plain.push(words[index].0);
                (word, length) = (0, 0);
            } else if length == MAX_BITS {
                return None;
            }
        }
    }
    let is_padding = length < 8 && word == (1 << length) - 1;
    is_padding.then_some(plain)
}
