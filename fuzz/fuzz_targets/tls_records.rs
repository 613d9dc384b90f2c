//! TLS records from strangers, and between two ends whose wire cuts, joins and damages.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::tls::fuzz_records(bytes));
