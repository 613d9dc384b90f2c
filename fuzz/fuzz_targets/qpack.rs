//! Field sections of HTTP/3 within wide and narrow limits, and their fields encoded again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::proto::h3::qpack::fuzz::fuzz_qpack(bytes));
