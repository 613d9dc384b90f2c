//! What Ringway does, seen from outside: the real binary, real sockets, raw bytes where it matters.
//! One file per behaviour.

#[path = "../support/mod.rs"]
mod support;

mod bad_backends;
mod bodiless;
mod chunked;
mod close_delimited;
mod early_response;
mod interim_responses;
mod keep_alive;
mod pipelining;
mod retries;
mod targets;
mod timeouts;
mod upgrade;
mod upstream_reuse;
