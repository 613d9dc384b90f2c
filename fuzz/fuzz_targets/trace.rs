//! Headers made of any bytes: whatever comes, backends are told of one valid trace.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::policy::trace::fuzz::fuzz_trace(bytes));
