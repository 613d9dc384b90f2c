//! Rules and requests made of any bytes: the matcher against asking every rule, and paths in their one spelling.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway::policy::router::fuzz::fuzz_router(bytes));
