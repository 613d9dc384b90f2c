//! Sans-IO codecs: bytes and `now` in, messages and bytes out.
//!
//! Nothing here awaits, reads a clock or opens a socket, so every codec can be run in a simulation.
//! A codec never panics on bytes from the network: indexing that could is denied below.
#![deny(clippy::indexing_slicing)]

/// Heads and trailers as text.
pub mod field_lines;
/// What the field sections of HTTP/2 and HTTP/3 have in common.
pub mod fields;
/// HTTP/1.1 (RFC 9112).
pub mod h1;
/// HTTP/2 (RFC 9113).
pub mod h2;
/// HTTP/3 (RFC 9114).
pub mod h3;
/// Whom a fault ends.
pub mod scope;
/// Budgets that refill with time.
pub mod token_bucket;
/// PROXY protocol, v1 and v2: who the client is, as the hop before us tells it and as the hop behind us is told.
pub mod proxy_protocol;
