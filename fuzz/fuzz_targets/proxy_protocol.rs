//! PROXY headers of both versions: complete at one length only, and read back as they were written.
#![no_main]

use ringway::proto::proxy_protocol::parse::fuzz_proxy_protocol;
use ringway::proto::proxy_protocol::write::fuzz::fuzz_written_header;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz_proxy_protocol(bytes);
    fuzz_written_header(bytes);
});
