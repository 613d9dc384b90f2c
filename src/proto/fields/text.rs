//! Strings of field sections (RFC 7541 §5.2, RFC 9204 §4.1.2): plain, or in Huffman code.

use crate::proto::fields::error::DecodeError;
use crate::proto::fields::huffman;
use crate::proto::fields::integer;

/// A string as it stands in a section.
pub(in crate::proto) struct Text<'b> {
    bytes: &'b [u8],
    is_huffman: bool,
}

impl<'b> Text<'b> {
    /// Takes a string off the front of `input`. Its length has a prefix of so many bits; the bit above tells of Huffman code.
    pub(in crate::proto) fn read(input: &mut &'b [u8], prefix_bits: u8) -> Result<Text<'b>, DecodeError> {
        let is_huffman = input.first().is_some_and(|first| first & (1 << prefix_bits) != 0);
        let length = integer::decode(input, prefix_bits)? as usize;
        let (bytes, rest) = input.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        *input = rest;
        Ok(Text { bytes, is_huffman })
    }

    /// What it decodes to at most, in bytes.
    pub(in crate::proto) fn max_length(&self) -> usize {
        if self.is_huffman { huffman::max_decoded_length(self.bytes.len()) } else { self.bytes.len() }
    }

    /// What it decodes to, in bytes, with every error that decoding would find.
    pub(in crate::proto) fn length(&self) -> Result<usize, DecodeError> {
        if self.is_huffman { huffman::decoded_length(self.bytes) } else { Ok(self.bytes.len()) }
    }

    pub(in crate::proto) fn append_to(&self, arena: &mut Vec<u8>) -> Result<(), DecodeError> {
        if self.is_huffman {
            return huffman::decode(self.bytes, arena);
        }
        arena.extend_from_slice(self.bytes);
        Ok(())
    }
}

/// Appends a string, in Huffman code where that is shorter. Above the prefix of its length stand the bit that says so, and `flags`.
pub(in crate::proto) fn write(out: &mut Vec<u8>, (flags, prefix_bits): (u8, u8), text: &[u8]) {
    let encoded_length = huffman::encoded_length(text);
    if encoded_length < text.len() {
        integer::encode(out, flags | 1 << prefix_bits, prefix_bits, encoded_length);
        huffman::encode(text, out);
    } else {
        integer::encode(out, flags, prefix_bits, text.len());
        out.extend_from_slice(text);
    }
}
