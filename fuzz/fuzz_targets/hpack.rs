//! Header blocks of HTTP/2 within wide and narrow limits, and their fields encoded again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::proto::h2::hpack::fuzz::fuzz_hpack(bytes));
