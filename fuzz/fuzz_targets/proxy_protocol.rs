//! PROXY headers of both versions: complete at one length only.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::proto::proxy_protocol::fuzz_proxy_protocol(bytes));
