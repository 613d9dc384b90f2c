//! The head of a request on its way from HTTP/2 to HTTP/1.1 and back.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::upstream::h2::fuzz::fuzz_translation(bytes));
