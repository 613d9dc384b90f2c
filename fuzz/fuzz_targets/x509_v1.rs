//! Certificates and revocation lists from strangers, and what is told of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::tls::x509::fuzz::fuzz_x509_v1(bytes));
