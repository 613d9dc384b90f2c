//! The examples of RFC 7541 Appendix C, block by block.

use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::list::Fields;
use crate::proto::h2::hpack::decoder::Decoded;
use crate::proto::h2::hpack::decoder::Decoder;
use crate::proto::h2::hpack::dynamic_table::DynamicTable;
use crate::proto::h2::hpack::encoder::Encoder;

/// Block by block: the bytes in hexadecimal, the fields, and the table after them (newest first, with its
/// size).
struct Example {
    block: &'static str,
    fields: &'static [(&'static str, &'static str)],
    table: &'static [(&'static str, &'static str)],
    table_size: usize,
}

const LIMITS: FieldLimits = FieldLimits { max_bytes: 4096, max_fields: 20 };

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(|byte| *byte != b' ').collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn check_table(table: &DynamicTable, example: &Example) {
    let fields = table.fields();
    let fields = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    assert!(fields.eq(example.table.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))));
    assert_eq!(table.size(), example.table_size);
}

fn decodes(table_bytes: u16, examples: &[Example]) {
    let mut decoder = Decoder::new();
    let mut fields = Fields::new();
    if table_bytes < 4096 {
        decoder.set_max_table_bytes(table_bytes);
        assert_eq!(decoder.decode(&[0x3f, 0xe1, 0x01], &LIMITS, &mut fields), Ok(Decoded::Whole));
    }
    for example in examples {
        assert_eq!(decoder.decode(&bytes(example.block), &LIMITS, &mut fields), Ok(Decoded::Whole));
        let decoded = fields.iter().map(|decoded| (decoded.name, decoded.value));
        assert!(decoded.eq(example.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))));
        check_table(decoder.table(), example);
    }
}

fn encodes(table_bytes: u16, examples: &[Example]) {
    let mut encoder = Encoder::new(table_bytes);
    let mut out = Vec::new();
    encoder.block(&mut out);
    for example in examples {
        out.clear();
        let mut block = encoder.block(&mut out);
        for (name, value) in example.fields {
            block.indexed_field(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(out, bytes(example.block));
        check_table(encoder.table(), example);
    }
}

/// C.2.1, C.2.2, C.2.3 and C.2.4.
#[test]
fn representations() {
    let custom = [("custom-key", "custom-header")];
    for (block, fields, table, never_indexed) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &custom, &custom[..], false),
        ("040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], &[], false),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")], &[], true),
        ("82", &[(":method", "GET")], &[], false),
    ] {
        let mut decoder = Decoder::new();
        let mut fields_out = Fields::new();
        assert_eq!(decoder.decode(&bytes(block), &LIMITS, &mut fields_out), Ok(Decoded::Whole));
        let decoded = fields_out.iter().map(|one| (one.name, one.value, one.is_sensitive));
        let expected = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes(), never_indexed));
        assert!(decoded.eq(expected));
        assert_eq!(decoder.table().len(), table.len());
        assert_eq!(decoder.table().size(), if table.is_empty() { 0 } else { 55 });
    }
}

/// C.3 and C.4 have the same fields and tables.
fn requests(blocks: [&'static str; 3]) -> [Example; 3] {
    let [first, second, third] = blocks;
    [
        Example {
            block: first,
            fields: &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
            ],
            table: &[(":authority", "www.example.com")],
            table_size: 57,
        },
        Example {
            block: second,
            fields: &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
                ("cache-control", "no-cache"),
            ],
            table: &[("cache-control", "no-cache"), (":authority", "www.example.com")],
            table_size: 110,
        },
        Example {
            block: third,
            fields: &[
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/index.html"),
                (":authority", "www.example.com"),
                ("custom-key", "custom-value"),
            ],
            table: &[
                ("custom-key", "custom-value"),
                ("cache-control", "no-cache"),
                (":authority", "www.example.com"),
            ],
            table_size: 164,
        },
    ]
}

/// C.3.
#[test]
fn requests_without_huffman() {
    let examples = requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
    decodes(4096, &examples);
}

/// C.4.
#[test]
fn requests_with_huffman() {
    let examples = requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
    decodes(4096, &examples);
    encodes(4096, &examples);
}

const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

/// C.5 and C.6 have the same fields and tables, of 256 bytes at most.
fn responses(blocks: [&'static str; 3]) -> [Example; 3] {
    let [first, second, third] = blocks;
    [
        Example {
            block: first,
            fields: &[
                (":status", "302"),
                ("cache-control", "private"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("location", "https://www.example.com"),
            ],
            table: &[
                ("location", "https://www.example.com"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("cache-control", "private"),
                (":status", "302"),
            ],
            table_size: 222,
        },
        Example {
            block: second,
            fields: &[
                (":status", "307"),
                ("cache-control", "private"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("location", "https://www.example.com"),
            ],
            table: &[
                (":status", "307"),
                ("location", "https://www.example.com"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("cache-control", "private"),
            ],
            table_size: 222,
        },
        Example {
            block: third,
            fields: &[
                (":status", "200"),
                ("cache-control", "private"),
                ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
                ("location", "https://www.example.com"),
                ("content-encoding", "gzip"),
                ("set-cookie", COOKIE),
            ],
            table: &[
                ("set-cookie", COOKIE),
                ("content-encoding", "gzip"),
                ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ],
            table_size: 215,
        },
    ]
}

/// C.5.
#[test]
fn responses_without_huffman() {
    let examples = responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
         3d31",
    ]);
    decodes(256, &examples);
}

/// C.6.
#[test]
fn responses_with_huffman() {
    let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
                 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
    let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
                 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
                 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
    decodes(256, &responses([first, "4883 640e ffc1 c0bf", third]));
    // The Huffman code makes "307" no shorter, so here it is not used.
    encodes(256, &responses([first, "4803 3330 37c1 c0bf", third]));
}
