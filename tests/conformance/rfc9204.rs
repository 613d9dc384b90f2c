//! RFC 9204, QPACK with the static table alone: the codec at its bytes.

use ringway::proto::fields::error::DecodeError;
use ringway::proto::fields::list::FieldLimits;
use ringway::proto::fields::list::Fields;
use ringway::proto::h3::connection::Connection;
use ringway::proto::h3::fault::Fault;
use ringway::proto::h3::qpack::decoder::DecodedSection;
use ringway::proto::h3::qpack::decoder::decode;
use ringway::proto::h3::qpack::encoder::SectionEncoder;
use ringway::proto::h3::settings::Local;
use ringway::proto::h3::unidirectional::UnidirectionalReader;

const LIMITS: FieldLimits = FieldLimits { max_bytes: 16_384, max_fields: 100 };

/// The section is valid and has these fields.
fn reads(section: &[u8], expected: &[(&str, &str)]) {
    let mut fields = Fields::new();
    assert_eq!(decode(section, &LIMITS, &mut fields), Ok(DecodedSection::Whole), "{section:x?}");
    let fields: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
    let expected = expected.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    assert_eq!(fields, expected.collect::<Vec<_>>());
}

fn refuses(section: &[u8], error: DecodeError) {
    assert_eq!(decode(section, &LIMITS, &mut Fields::new()), Err(error), "{section:x?}");
}

fn encoded(fields: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut lower) = (Vec::new(), Vec::new());
    let mut section = SectionEncoder::begin(&mut out, &mut lower);
    for (name, value) in fields {
        section.field(name.as_bytes(), value.as_bytes());
    }
    out
}

/// What comes of these bytes on a stream of the client, cut at every byte.
fn stream(bytes: &[u8]) -> Result<(), Fault> {
    let mut connection = Connection::new(Local::default());
    let mut reader = UnidirectionalReader::new();
    bytes.chunks(1).try_for_each(|byte| reader.handle_bytes(byte, &mut connection, 0).map(|_| ()))
}

/// "An encoder MUST emit field representations in the order they appear in the input field section" and a decoder "MUST emit
/// field lines in the order their representations appear in the encoded field section" (§2.1).
#[test]
fn must_keep_the_order_of_fields() {
    let fields = [("b", "1"), (":method", "GET"), ("a", "2"), ("b", "0"), ("date", "x"), ("a", "2")];
    reads(&encoded(&fields), &fields);
}

/// The example of Appendix B.1, and the same with an indexed field line and a literal name.
#[test]
fn reads_the_examples_that_need_no_dynamic_table() {
    reads(b"\x00\x00\x51\x0b/index.html", &[(":path", "/index.html")]);
    reads(b"\x00\x00\xc1\x23abc\x02de", &[(":path", "/"), ("abc", "de")]);
}

/// The same index means the same field on both sides (Appendix A), and "when the decoder encounters an invalid static table
/// index in a field line representation, it MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED" (§3.1).
#[test]
fn must_refuse_an_index_beyond_the_static_table() {
    reads(b"\x00\x00\xc0\xff\x23", &[(":authority", ""), ("x-frame-options", "sameorigin")]);
    refuses(b"\x00\x00\xff\x24", DecodeError::BadIndex);
    refuses(b"\x00\x00\x5f\x54\x00", DecodeError::BadIndex);
}

/// "If the decoder encounters a value of EncodedInsertCount that could not have been produced by a conformant encoder, it MUST
/// treat this as a connection error of type QPACK_DECOMPRESSION_FAILED" (§4.5.1.1), "if the value of Base is negative" the
/// same (§4.5.1.2), and references to a dynamic table of no capacity likewise (§2.2.3).
#[test]
fn must_refuse_what_refers_to_a_dynamic_table() {
    for section in [
        &b"\x02\x00\x80"[..], // Required Insert Count 1.
        b"\x00\x80",          // Base -1.
        b"\x00\x00\x80",      // Indexed, dynamic.
        b"\x00\x00\x10",      // Indexed, behind the base.
        b"\x00\x00\x40\x01a", // A name, dynamic.
        b"\x00\x00\x00\x01a", // A name, behind the base.
    ] {
        refuses(section, DecodeError::BadIndex);
    }
    // Without references, the base may be anything (§4.5.1.2).
    reads(b"\x00\x05\xc1", &[(":path", "/")]);
}

/// Strings and integers "that exceed implementation limits" are errors, as in HPACK (§4.1.1, §4.1.2).
#[test]
fn must_refuse_broken_strings() {
    for section in [&b""[..], b"\x00", b"\x00\x00\x51", b"\x00\x00\x51\x02a", b"\x00\x00\xff"] {
        refuses(section, DecodeError::Truncated);
    }
    refuses(b"\x00\x00\x51\x81\x00", DecodeError::BadHuffman);
    refuses(b"\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", DecodeError::IntegerTooLarge);
}

/// "When such a field line is encoded, it MUST always be encoded with a literal representation" that has the bit again
/// (§4.5.4), so that a never-indexed literal stays one.
#[test]
fn must_keep_never_indexed_literals() {
    let mut fields = Fields::new();
    assert!(decode(b"\x00\x00\x71\x01a\x31b\x01c\xc1", &LIMITS, &mut fields).is_ok());
    let marks: Vec<_> = fields.iter().map(|field| field.is_sensitive).collect();
    assert_eq!(marks, [true, true, false]);
    let (mut out, mut lower) = (Vec::new(), Vec::new());
    let mut section = SectionEncoder::begin(&mut out, &mut lower);
    section.never_indexed(b":path", b"a");
    section.never_indexed(b"b", b"c");
    assert_eq!(out, b"\x00\x00\x71\x01a\x31b\x01c");
}

/// "The dynamic table capacity MUST be lower than or equal to this limit" (§3.2.3), which is 0 here, and an entry that does
/// not fit is an error (§3.2.2): both are "a connection error of type QPACK_ENCODER_STREAM_ERROR".
#[test]
fn must_refuse_instructions_of_an_encoder() {
    assert_eq!(stream(&[2, 0x20, 0x20]), Ok(()));
    for instruction in [
        &[0x21][..],                // Capacity 1.
        &[0x3f, 0xbd, 0x01],        // Capacity 220, of Appendix B.2.
        b"\xc0\x0fwww.example.com", // An insert with the name of a static entry.
        b"\x4acustom-key",          // With a literal name.
        &[0x02],                    // A duplicate.
    ] {
        let bytes = [&[2], instruction].concat();
        assert_eq!(stream(&bytes), Err(Fault::QpackEncoder), "{instruction:x?}");
    }
}

/// An acknowledgement of a section without a Required Insert Count, or of inserts that there were not, "MUST be treated as a
/// connection error of type QPACK_DECODER_STREAM_ERROR" (§4.4.1, §4.4.3). Cancellations are no error (§4.4.2).
#[test]
fn must_refuse_acknowledgements_of_nothing() {
    assert_eq!(stream(&[3, 0x48, 0x7f, 0x80, 0x01]), Ok(()));
    for instruction in [0x84, 0x01, 0x00] {
        assert_eq!(stream(&[3, 0x48, instruction]), Err(Fault::QpackDecoder), "{instruction:x}");
    }
}

/// What Ringway writes refers to the static table alone, whatever the client allows (§2.1.1), and is as short as that can be.
#[test]
fn writes_references_to_the_static_table() {
    assert_eq!(encoded(&[(":status", "200"), ("Content-Type", "text/css")]), b"\x00\x00\xd9\xf3");
    let long = encoded(&[("server", "a"), ("x-own", "\u{1}")]);
    assert_eq!(long.split_at(6).0, b"\x00\x00\x5f\x4d\x01a");
}
