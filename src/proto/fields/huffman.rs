//! Strings in the Huffman code (RFC 7541 §5.2).

use crate::proto::fields::error::DecodeError;
use crate::proto::fields::huffman_table::CODES;
use crate::proto::fields::huffman_table::END_OF_STRING;
use crate::proto::fields::huffman_table::HuffmanCode;
use crate::proto::fields::huffman_table::HuffmanStep;
use crate::proto::fields::huffman_table::MAX_BITS;
use crate::proto::fields::huffman_table::ROWS;
use crate::proto::fields::huffman_table::STEP_BITS;
use crate::proto::fields::huffman_table::STEPS;
use crate::proto::fields::huffman_table::SYMBOLS;

/// What so many bytes decode to at most: the shortest code has five bits.
pub(in crate::proto) fn max_decoded_length(encoded_length: usize) -> usize {
    encoded_length * 8 / 5
}

/// Appends the decoded string. After an error something of it may have been appended.
pub(in crate::proto) fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    // A step always writes two bytes, of which the second may be none.
    out.resize(start + max_decoded_length(encoded.len()) + 2, 0);
    let tail = out.get_mut(start..).unwrap_or_default();
    let mut length = 0;
    for_each_step(encoded, |step| {
        if let Some(slot) = tail.get_mut(length..length + 2) {
            slot.copy_from_slice(&step.symbols);
        }
        length += step.count();
    })?;
    out.truncate(start + length);
    Ok(())
}

/// The length of the decoded string, with every error that decoding would find.
pub(in crate::proto) fn decoded_length(encoded: &[u8]) -> Result<usize, DecodeError> {
    let mut length = 0;
    for_each_step(encoded, |step| length += step.count())?;
    Ok(length)
}

/// In bytes, padding included.
pub(in crate::proto) fn encoded_length(plain: &[u8]) -> usize {
    let bits: usize = plain.iter().map(|&byte| usize::from(code(byte).length)).sum();
    bits.div_ceil(8)
}

/// Appends the encoded string.
pub(in crate::proto) fn encode(plain: &[u8], out: &mut Vec<u8>) {
    let mut pending: u64 = 0;
    let mut count: u32 = 0;
    for &byte in plain {
        let HuffmanCode { bits, length } = code(byte);
        pending = (pending << length) | u64::from(bits);
        count += u32::from(length);
        if count >= u32::BITS {
            count -= u32::BITS;
            out.extend_from_slice(&((pending >> count) as u32).to_be_bytes());
        }
    }
    // "The most significant bits of the code corresponding to the EOS symbol": ones.
    let padding = count.wrapping_neg() % 8;
    pending = (pending << padding) | ((1 << padding) - 1);
    count += padding;
    while count > 0 {
        count -= 8;
        out.push((pending >> count) as u8);
    }
}

#[inline(always)]
fn for_each_step(encoded: &[u8], mut take: impl FnMut(&HuffmanStep)) -> Result<(), DecodeError> {
    let mut bits = Bits { rest: encoded, next: 0, count: 0 };
    loop {
        bits.refill();
        while bits.count >= STEP_BITS
            && let Some(step) = bits.step()
        {
            take(step);
            bits.skip(step.bits);
        }
        if bits.count >= u32::from(MAX_BITS) || bits.rest.is_empty() {
            match bits.careful_step()? {
                Some(step) => take(&step),
                None => return Ok(()),
            }
        }
    }
}

/// Bits yet to decode, the next one highest.
struct Bits<'b> {
    rest: &'b [u8],
    /// Zero below the first `count` bits.
    next: u64,
    count: u32,
}

impl Bits<'_> {
    /// Takes 56 bits or more, while there are.
    #[inline(always)]
    fn refill(&mut self) {
        let bytes = ((u64::BITS - 1 - self.count) / 8) as usize;
        if let Some(word) = self.rest.first_chunk()
            && let Some(rest) = self.rest.get(bytes..)
        {
            let kept = u64::MAX << (u64::BITS - self.count - 8 * bytes as u32);
            self.next |= (u64::from_be_bytes(*word) >> self.count) & kept;
            self.count += 8 * bytes as u32;
            self.rest = rest;
            return;
        }
        while self.count <= u64::BITS - 8
            && let [byte, rest @ ..] = self.rest
        {
            self.next |= u64::from(*byte) << (u64::BITS - 8 - self.count);
            self.count += 8;
            self.rest = rest;
        }
    }

    /// The symbols at the front, unless the code there is too long for a step.
    #[inline(always)]
    fn step(&self) -> Option<&'static HuffmanStep> {
        let step = STEPS.get((self.next >> (u64::BITS - STEP_BITS)) as usize);
        step.filter(|step| step.bits > 0)
    }

    #[inline(always)]
    fn skip(&mut self, bits: u8) {
        self.next <<= bits;
        self.count -= u32::from(bits);
    }

    /// One symbol of any length, or nothing but padding.
    fn careful_step(&mut self) -> Result<Option<HuffmanStep>, DecodeError> {
        match self.step() {
            Some(step) => self.last(*step),
            None => self.long(),
        }
    }

    /// The step reads over the end.
    fn last(&mut self, step: HuffmanStep) -> Result<Option<HuffmanStep>, DecodeError> {
        if u32::from(step.first_bits) <= self.count {
            self.skip(step.first_bits);
            return Ok(Some(HuffmanStep { bits: step.first_bits, ..step }));
        }
        self.end()
    }

    /// A code that is too long for a step.
    #[cold]
    fn long(&mut self) -> Result<Option<HuffmanStep>, DecodeError> {
        let next = self.next >> u32::BITS;
        let rows = ROWS.iter().zip(0..=MAX_BITS).skip(STEP_BITS as usize + 1);
        let Some((row, length)) = rows.into_iter().find(|(row, _)| next < row.end) else {
            return Err(DecodeError::BadHuffman);
        };
        if u32::from(length) > self.count {
            return self.end();
        }
        let code = (next >> (u32::BITS - u32::from(length))) as u32;
        let symbol = row.first_symbol + (code - row.first_code) as usize;
        match SYMBOLS.get(symbol) {
            // "A Huffman-encoded string literal containing the EOS symbol MUST be treated as a decoding
            // error" (RFC 7541 §5.2).
            Some(&END_OF_STRING) | None => Err(DecodeError::BadHuffman),
            Some(&symbol) => {
                self.skip(length);
                Ok(Some(HuffmanStep { symbols: [symbol as u8, 0], first_bits: length, bits: length }))
            }
        }
    }

    /// "A padding strictly longer than 7 bits MUST be treated as a decoding error. A padding not
    /// corresponding to the most significant bits of the code for the EOS symbol MUST be treated as a
    /// decoding error" (RFC 7541 §5.2).
    fn end(&self) -> Result<Option<HuffmanStep>, DecodeError> {
        let is_padding = self.count < 8 && self.next.leading_ones() == self.count;
        if is_padding { Ok(None) } else { Err(DecodeError::BadHuffman) }
    }
}

impl HuffmanStep {
    fn count(&self) -> usize {
        1 + usize::from(self.bits > self.first_bits)
    }
}

fn code(byte: u8) -> HuffmanCode {
    CODES.get(usize::from(byte)).copied().unwrap_or(HuffmanCode { bits: 0, length: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::hpack::fuzz::Numbers;

    fn decoded(encoded: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut out = b"before".to_vec();
        let result = decode(encoded, &mut out);
        assert_eq!(decoded_length(encoded), result.map(|()| out.len() - 6));
        result.map(|()| out.split_off(6))
    }

    fn round(plain: &[u8]) {
        let mut out = Vec::new();
        encode(plain, &mut out);
        assert_eq!(out.len(), encoded_length(plain));
        assert!(plain.len() <= max_decoded_length(out.len()));
        assert_eq!(decoded(&out).as_deref(), Ok(plain));
    }

    #[test]
    fn whatever_is_encoded_is_decoded() {
        let mut numbers = Numbers::new(1);
        round(b"");
        for byte in 0..=255 {
            for count in 1..20 {
                round(&vec![byte; count]);
            }
        }
        for length in 0..2000 {
            let any: Vec<u8> = (0..length % 97).map(|_| numbers.below(256) as u8).collect();
            round(&any);
            let text: Vec<u8> = (0..length % 61).map(|_| b' ' + numbers.below(95) as u8).collect();
            round(&text);
        }
    }

    #[test]
    fn strings_of_appendix_c_4() {
        assert_eq!(
            decoded(b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff").as_deref(),
            Ok(&b"www.example.com"[..])
        );
        assert_eq!(decoded(b"\xa8\xeb\x10\x64\x9c\xbf").as_deref(), Ok(&b"no-cache"[..]));
    }

    #[test]
    fn padding_is_strict() {
        // "0" is five zeros.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0110]), Err(DecodeError::BadHuffman));
        // "00000" and six ones; then seven more and eight more.
        assert_eq!(decoded(&[0, 0, 0, 0b0111_1111]), Ok(b"00000".to_vec()));
        assert_eq!(decoded(&[0xff]), Err(DecodeError::BadHuffman));
        assert_eq!(decoded(&[0, 0, 0, 0, 0, 0xff]), Err(DecodeError::BadHuffman));
        assert_eq!(decoded(&[0, 0, 0, 0, 0x3f, 0xff]), Err(DecodeError::BadHuffman));
        for length in 1..12 {
            assert_eq!(decoded(&vec![0xff; length]), Err(DecodeError::BadHuffman), "{length}");
        }
    }

    #[test]
    fn the_end_of_string_is_refused() {
        // EOS alone, and behind a symbol.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(DecodeError::BadHuffman));
        assert_eq!(decoded(&[0x07, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::BadHuffman));
        // A code whose last bits are missing.
        assert_eq!(decoded(&[0xff, 0xff, 0xff]), Err(DecodeError::BadHuffman));
        assert_eq!(decoded(&[0xff, 0xc0]), Err(DecodeError::BadHuffman));
    }
}
