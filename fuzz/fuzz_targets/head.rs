//! Request and response heads against a line-by-line reading of RFC 9112.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::proto::h1::fuzz::fuzz_head(bytes));
