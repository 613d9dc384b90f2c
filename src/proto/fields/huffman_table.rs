//! The Huffman code of RFC 7541 Appendix B, and the tables that the compiler makes of it.
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols,
//! and follow the shorter ones. So the lengths say everything.

/// The end of a string. It is longer than the padding may be, so it never stands in a valid string.
pub(super) const END_OF_STRING: u16 = 256;

/// The longest code.
pub(super) const MAX_BITS: u8 = 30;

/// How many bits a [`HuffmanStep`] is looked up by: most pairs of letters fit, and the table fits the cache.
pub(super) const STEP_BITS: u32 = 11;

/// A symbol's code: the lowest `length` bits.
#[derive(Clone, Copy)]
pub(super) struct HuffmanCode {
    pub(super) bits: u32,
    pub(super) length: u8,
}

/// What the next [`STEP_BITS`] bits begin with: two symbols, one, or the start of a longer code.
#[derive(Clone, Copy)]
pub(super) struct HuffmanStep {
    pub(super) symbols: [u8; 2],
    /// The length of the first symbol's code; zero at a longer code.
    pub(super) first_bits: u8,
    /// The length of all: that of the first when there is one only.
    pub(super) bits: u8,
}

/// The codes of one length, for those that are too long for a [`HuffmanStep`].
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The next 32 bits are below this, if and only if their code is of this length or a shorter one.
    pub(super) end: u64,
    pub(super) first_code: u32,
    /// Where the symbols of this length begin in [`SYMBOLS`].
    pub(super) first_symbol: usize,
}

/// By symbol.
pub(super) static CODES: [HuffmanCode; 257] = codes();

/// By the next bits.
pub(super) static STEPS: [HuffmanStep; 1 << STEP_BITS] = steps();

/// By length.
pub(super) static ROWS: [Row; MAX_BITS as usize + 1] = rows();

/// In the order of their codes.
pub(super) static SYMBOLS: [u16; 257] = symbols();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn symbols() -> [u16; 257] {
    let mut symbols = [0; 257];
    let mut next = 0;
    let mut length = 0;
    while length <= MAX_BITS {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] == length {
                symbols[next] = symbol as u16;
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn codes() -> [HuffmanCode; 257] {
    let order = symbols();
    let mut codes = [HuffmanCode { bits: 0, length: 0 }; 257];
    let mut bits = 0;
    let mut previous = LENGTHS[order[0] as usize];
    let mut at = 0;
    while at < 257 {
        let symbol = order[at] as usize;
        let length = LENGTHS[symbol];
        bits <<= length - previous;
        codes[symbol] = HuffmanCode { bits, length };
        bits += 1;
        previous = length;
        at += 1;
    }
    codes
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn rows() -> [Row; MAX_BITS as usize + 1] {
    let codes = codes();
    let order = symbols();
    let mut rows = [Row { end: 0, first_code: 0, first_symbol: 0 }; MAX_BITS as usize + 1];
    let mut at = 257;
    while at > 0 {
        at -= 1;
        let code = codes[order[at] as usize];
        let row = &mut rows[code.length as usize];
        if row.end == 0 {
            row.end = (code.bits as u64 + 1) << (32 - code.length);
        }
        row.first_code = code.bits;
        row.first_symbol = at;
    }
    rows
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn steps() -> [HuffmanStep; 1 << STEP_BITS] {
    const COUNT: usize = 1 << STEP_BITS;
    let mut single = [HuffmanStep { symbols: [0; 2], first_bits: 0, bits: 0 }; COUNT];
    let codes = codes();
    let mut symbol = 0;
    while symbol < 256 {
        let HuffmanCode { bits, length } = codes[symbol];
        if length as u32 <= STEP_BITS {
            let free = STEP_BITS - length as u32;
            let mut at = (bits << free) as usize;
            while at < ((bits + 1) << free) as usize {
                single[at] = HuffmanStep { symbols: [symbol as u8, 0], first_bits: length, bits: length };
                at += 1;
            }
        }
        symbol += 1;
    }
    let mut steps = single;
    let mut at = 0;
    while at < COUNT {
        let first = single[at];
        let second = single[(at << first.bits) % COUNT];
        if first.bits > 0 && second.bits > 0 && (first.bits + second.bits) as u32 <= STEP_BITS {
            steps[at].symbols[1] = second.symbols[0];
            steps[at].bits = first.bits + second.bits;
        }
        at += 1;
    }
    steps
}

/// The length of each symbol's code, in bits (RFC 7541 Appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_appendix_b() {
        for (symbol, bits, length) in [
            (0, 0x1ff8, 13),
            (10, 0x3fff_fffc, 30),
            (b' ', 0x14, 6),
            (b'/', 0x18, 6),
            (b'0', 0x0, 5),
            (b'A', 0x21, 6),
            (b'\\', 0x7_fff0, 19),
            (b'a', 0x3, 5),
            (b'z', 0x7b, 7),
            (b'~', 0x1ffd, 13),
            (127, 0xfff_fffc, 28),
            (195, 0x7_fff1, 19),
            (249, 0xfff_fffe, 28),
            (255, 0x3ff_ffee, 26),
        ] {
            let code = CODES.get(usize::from(symbol)).unwrap();
            assert_eq!((code.bits, code.length), (bits, length), "{symbol}");
        }
        let end = CODES.get(usize::from(END_OF_STRING)).unwrap();
        assert_eq!((end.bits, end.length), (0x3fff_ffff, 30));
    }

    #[test]
    fn the_code_is_complete() {
        let used: u64 = LENGTHS.iter().map(|&length| 1 << (MAX_BITS - length)).sum();
        assert_eq!(used, 1 << MAX_BITS);
    }
}
