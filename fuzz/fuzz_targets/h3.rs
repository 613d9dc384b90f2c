//! A stream of HTTP/3 in either direction, whatever the client sends and however it is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::proto::h3::fuzz::fuzz_h3(bytes));
