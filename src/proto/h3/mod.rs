//! HTTP/3 (RFC 9114) with QPACK (RFC 9204), for servers: what comes on the streams of a connection of QUIC, and what goes.
//!
//! The dynamic tables of QPACK are not used: we allow none of the peer, and use none of what it allows. So no stream waits for
//! another one.

/// Why a stream or the connection ends (RFC 9114 §8.1, RFC 9204 §6).
pub mod fault;
/// Frames, as they begin (RFC 9114 §7).
pub mod frame;
/// Field sections (RFC 9204).
pub mod qpack;
/// SETTINGS (RFC 9114 §7.2.4).
pub mod settings;
/// Integers of variable length (RFC 9000 §16).
pub mod varint;
