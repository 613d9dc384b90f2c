//! Any field lines: the framing is what exactly one plain field says.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::proto::h1::fuzz::fuzz_framing(bytes));
