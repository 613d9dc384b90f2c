//! What Ringway does, seen from outside: the real binary, real sockets, raw bytes where it matters.
//! One file per behaviour.

#[path = "../support/mod.rs"]
mod support;

mod access_log;
mod addresses;
mod admin;
mod backpressure;
mod bad_backends;
mod balancing;
mod bodiless;
mod certificate_activation;
mod chunked;
mod client_authentication;
mod close_delimited;
mod compression;
mod drain;
mod early_response;
mod failing_backends;
mod forwarded;
mod graceful_stop;
mod health_checks;
mod https_backends;
mod identity_headers;
mod interim_responses;
mod keep_alive;
mod limits;
mod names;
mod own_answers;
mod pipelining;
mod proxy_protocol;
mod reload;
mod retries;
mod session_resumption;
mod sni;
mod start;
mod stickiness;
mod targets;
mod timeouts;
mod tls_truncation;
mod tls_versions;
mod upgrade;
mod upstream_reuse;
