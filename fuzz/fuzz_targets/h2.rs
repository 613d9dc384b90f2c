//! An HTTP/2 connection in either role, whatever the peer sends and however it is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::proto::h2::fuzz::fuzz_h2(bytes));
