//! QUIC (RFC 9000), without what is spoken on it.
//!
//! quinn-proto knows the protocol and does no I/O.

pub mod connection_id;
pub mod settings;
