//! How long a typical block takes, both ways, with warm tables.
//!
//! `cargo test --release --lib hpack::speed -- --ignored --nocapture`

use std::hint::black_box;
use std::time::Instant;

use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::list::Fields;
use crate::proto::h2::hpack::decoder::Decoded;
use crate::proto::h2::hpack::decoder::Decoder;
use crate::proto::h2::hpack::encoder::Encoder;

const REQUEST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "www.example.com"),
    (":path", "/assets/images/logo.svg?v=20240512"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://www.example.com/index.html"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ("sec-fetch-site", "same-origin"),
    ("priority", "u=5, i"),
];

const RESPONSE: &[(&str, &str)] = &[
    (":status", "200"),
    ("server", "nginx"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("content-type", "image/svg+xml"),
    ("content-length", "13124"),
    ("last-modified", "Mon, 14 Oct 2013 20:13:21 GMT"),
    ("etag", "\"5f3e1-3344\""),
    ("cache-control", "public, max-age=31536000"),
    ("vary", "accept-encoding"),
    ("x-content-type-options", "nosniff"),
    ("strict-transport-security", "max-age=31536000"),
    ("accept-ranges", "bytes"),
];

const ROUNDS: u32 = 200_000;
const LIMITS: FieldLimits = FieldLimits { max_bytes: 16_384, max_fields: 100 };

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock itself")]
fn nanoseconds_each(mut act: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            act();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    best
}

fn measure(kind: &str, list: &[(&str, &str)]) {
    let (mut encoder, mut decoder, mut fields) = (Encoder::new(4096), Decoder::new(), Fields::new());
    let mut block = Vec::new();
    let mut encode = |block: &mut Vec<u8>| {
        block.clear();
        let mut writer = encoder.block(block);
        for (name, value) in list {
            writer.field(black_box(name.as_bytes()), black_box(value.as_bytes()));
        }
    };
    let mut cold = 0;
    for round in 0..4 {
        encode(&mut block);
        cold = if round == 0 { block.len() } else { cold };
        assert_eq!(decoder.decode(&block, &LIMITS, &mut fields), Ok(Decoded::Whole));
    }
    let warm = block.clone();
    let encoding = nanoseconds_each(|| encode(black_box(&mut block)));
    let decoding = nanoseconds_each(|| {
        assert_eq!(decoder.decode(black_box(&warm), &LIMITS, &mut fields), Ok(Decoded::Whole));
    });
    let reading = nanoseconds_each(|| {
        for field in fields.iter() {
            black_box(field);
        }
    });
    let plain: usize = list.iter().map(|(name, value)| name.len() + value.len()).sum();
    println!(
        "{kind}: {} fields, {plain} bytes plain, {cold} cold, {} warm: encode {encoding:.0} ns, decode {decoding:.0} ns, iterate {reading:.0} ns",
        list.len(),
        warm.len(),
    );
}

#[test]
#[ignore = "prints a measurement"]
fn typical_blocks() {
    measure("request", REQUEST);
    measure("response", RESPONSE);
}
