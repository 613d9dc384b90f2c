//! RFC 7541, HPACK: the codec at its bytes.

use ringway::proto::fields::error::DecodeError;
use ringway::proto::fields::list::FieldLimits;
use ringway::proto::fields::list::Fields;
use ringway::proto::h2::hpack::decoder::Decoded;
use ringway::proto::h2::hpack::decoder::Decoder;
use ringway::proto::h2::hpack::encoder::Encoder;

/// A decoder and the fields of its last block.
struct Peer {
    decoder: Decoder,
    fields: Fields,
}

impl Peer {
    fn new() -> Peer {
        Peer { decoder: Decoder::new(), fields: Fields::new() }
    }

    fn decode(&mut self, block: &[u8]) -> Result<Decoded, DecodeError> {
        let limits = FieldLimits { max_bytes: 16_384, max_fields: 100 };
        self.decoder.decode(block, &limits, &mut self.fields)
    }

    /// The block is valid and has these fields.
    fn reads(&mut self, block: &[u8], expected: &[(&str, &str)]) {
        assert_eq!(self.decode(block), Ok(Decoded::Whole));
        let fields = self.fields.iter().map(|one| (one.name, one.value));
        let fields: Vec<_> = fields.collect();
        let expected = expected.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(fields, expected.collect::<Vec<_>>());
    }
}

fn refuses(block: &[u8], error: DecodeError) {
    assert_eq!(Peer::new().decode(block), Err(error));
}

fn encoded(encoder: &mut Encoder, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = encoder.block(&mut out);
    for (name, value) in fields {
        block.field(name.as_bytes(), value.as_bytes());
    }
    out
}

/// "An encoder MUST order header field representations in the header block according to their ordering in the
/// original header list. A decoder MUST order header fields in the decoded header list according to their ordering
/// in the header block." (§2.1)
#[test]
fn must_keep_the_order_of_fields() {
    let fields = [("b", "1"), (":method", "GET"), ("a", "2"), ("b", "0"), ("date", "x"), ("a", "2")];
    let (mut encoder, mut peer) = (Encoder::new(4096), Peer::new());
    for _ in 0..4 {
        peer.reads(&encoded(&mut encoder, &fields), &fields);
    }
}

/// "Duplicate entries MUST NOT be treated as an error by a decoder." (§2.3.2)
#[test]
fn must_take_duplicate_entries() {
    let twice = b"\x40\x01a\x01b\x40\x01a\x01b";
    let mut peer = Peer::new();
    peer.reads(twice, &[("a", "b"), ("a", "b")]);
    peer.reads(&[0xbe, 0xbf], &[("a", "b"), ("a", "b")]);
}

/// "Indices strictly greater than the sum of the lengths of both tables MUST be treated as a decoding error." (§2.3.3)
#[test]
fn must_refuse_an_index_beyond_both_tables() {
    refuses(&[0x80 | 62], DecodeError::BadIndex);
    refuses(b"\x40\x01a\x01b\xbf", DecodeError::BadIndex);
    // As the name of a literal: with, without and never indexed.
    refuses(b"\x7e\x01b", DecodeError::BadIndex);
    refuses(b"\x0f\x2f\x01b", DecodeError::BadIndex);
    refuses(b"\x1f\x2f\x01b", DecodeError::BadIndex);
    Peer::new().reads(b"\x40\x01a\x01b\xbe", &[("a", "b"), ("a", "b")]);
}

/// "The chosen size MUST stay lower than or equal to the maximum set by the protocol." (§4.2)
#[test]
fn must_not_use_a_larger_table_than_the_peer_allows() {
    let mut encoder = Encoder::new(4096);
    encoder.set_peer_max_table_bytes(0);
    let block = encoded(&mut encoder, &[("server", "a")]);
    assert_eq!(block[0], 0x20);
    // A peer without a table reads the second block as well as the first.
    let mut peer = Peer::new();
    peer.decoder.set_max_table_bytes(0);
    peer.reads(&block, &[("server", "a")]);
    peer.reads(&encoded(&mut encoder, &[("server", "a")]), &[("server", "a")]);
    assert_eq!(peer.decoder.capacity(), 0);
}

/// "This dynamic table size update MUST occur at the beginning of the first header block following the change to the
/// dynamic table size." (§4.2)
#[test]
fn must_update_the_size_at_the_beginning_of_the_next_block() {
    let mut encoder = Encoder::new(4096);
    encoder.set_peer_max_table_bytes(30);
    assert_eq!(encoded(&mut encoder, &[(":method", "GET")]), [0x3e, 0x82]);
    assert_eq!(encoded(&mut encoder, &[(":method", "GET")]), [0x82]);
    refuses(&[0x82, 0x3e], DecodeError::MisplacedSizeUpdate);
    let mut peer = Peer::new();
    peer.decoder.set_max_table_bytes(30);
    assert_eq!(peer.decode(&[0x82]), Err(DecodeError::MissingSizeUpdate));
}

/// "In the case that this size is changed more than once in this interval, the smallest maximum table size that occurs
/// in that interval MUST be signaled in a dynamic table size update." (§4.2)
#[test]
fn must_tell_the_smallest_size_and_the_last() {
    let mut encoder = Encoder::new(4096);
    for size in [20, 10, 30] {
        encoder.set_peer_max_table_bytes(size);
    }
    assert_eq!(encoded(&mut encoder, &[]), [0x20 | 10, 0x20 | 30]);
}

/// "Integer encodings that exceed implementation limits … MUST be treated as decoding errors." (§5.1)
#[test]
fn must_refuse_integers_beyond_its_limits() {
    let too_long = [0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    refuses(&too_long, DecodeError::IntegerTooLarge);
    refuses(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], DecodeError::IntegerTooLarge);
    refuses(&[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f], DecodeError::IntegerTooLarge);
    refuses(&[0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f], DecodeError::IntegerTooLarge);
}

/// "A padding strictly longer than 7 bits MUST be treated as a decoding error." (§5.2)
#[test]
fn must_refuse_long_padding() {
    // "0" is five zeros.
    Peer::new().reads(&[0x04, 0x81, 0b0000_0111], &[(":path", "0")]);
    refuses(&[0x04, 0x82, 0b0000_0111, 0xff], DecodeError::BadHuffman);
    refuses(&[0x04, 0x81, 0xff], DecodeError::BadHuffman);
}

/// "A padding not corresponding to the most significant bits of the code for the EOS symbol MUST be treated as a
/// decoding error." (§5.2)
#[test]
fn must_refuse_padding_with_a_zero() {
    for padding in 0..7 {
        refuses(&[0x04, 0x81, padding], DecodeError::BadHuffman);
    }
}

/// "A Huffman-encoded string literal containing the EOS symbol MUST be treated as a decoding error." (§5.2)
#[test]
fn must_refuse_the_end_of_string_symbol() {
    refuses(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], DecodeError::BadHuffman);
    // "0", EOS, "0" and padding.
    refuses(&[0x04, 0x85, 0b0000_0111, 0xff, 0xff, 0xff, 0b1110_0000], DecodeError::BadHuffman);
}

/// "The index value of 0 … MUST be treated as a decoding error if found in an indexed header field representation." (§6.1)
#[test]
fn must_refuse_index_zero() {
    refuses(&[0x80], DecodeError::BadIndex);
}

/// "Intermediaries MUST use the same representation for encoding this header field." (§6.2.3)
#[test]
fn must_pass_never_indexed_fields_as_never_indexed() {
    let mut peer = Peer::new();
    peer.reads(b"\x10\x06x-name\x01v\x00\x06x-name\x01w", &[("x-name", "v"), ("x-name", "w")]);
    let marks: Vec<_> = peer.fields.iter().map(|one| one.is_sensitive).collect();
    assert_eq!(marks, [true, false]);
    let mut encoder = Encoder::new(4096);
    for _ in 0..3 {
        let mut out = Vec::new();
        encoder.block(&mut out).never_indexed(b"x-name", b"v");
        assert_eq!(out[0], 0x10);
    }
    // Also when the field is in the static table.
    let mut out = Vec::new();
    encoder.block(&mut out).never_indexed(b":method", b"GET");
    assert_eq!(out[0], 0x12);
}

/// "The new maximum size MUST be lower than or equal to the limit determined by the protocol using HPACK. A value that
/// exceeds this limit MUST be treated as a decoding error." (§6.3)
#[test]
fn must_refuse_a_size_beyond_the_limit() {
    Peer::new().reads(&[0x3f, 0xe1, 0x1f], &[]);
    refuses(&[0x3f, 0xe2, 0x1f], DecodeError::SizeUpdateTooLarge);
    let mut peer = Peer::new();
    peer.decoder.set_max_table_bytes(30);
    assert_eq!(peer.decode(&[0x3f, 0x00]), Err(DecodeError::SizeUpdateTooLarge));
}

/// Credentials and short cookies could be guessed by how well they compress. (§7.1.3)
#[test]
fn never_indexes_credentials() {
    let mut encoder = Encoder::new(4096);
    for field in [("Authorization", "Basic eDp5"), ("cookie", "a=b"), ("Set-Cookie", "a=0123456789abcdef")] {
        for _ in 0..3 {
            assert_eq!(encoded(&mut encoder, &[field])[0], 0x1f);
        }
    }
}
