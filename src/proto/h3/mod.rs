//! HTTP/3 (RFC 9114) with QPACK (RFC 9204), for servers: what comes on the streams of a connection of QUIC, and what goes.
//!
//! Each stream has a reader of its own, [`request::RequestReader`] or [`unidirectional::UnidirectionalReader`], which is handed
//! the bytes of the stream as they come and, for that time, the [`connection::Connection`]. What is to be sent, the
//! connection writes. Which stream is which, flow control, and the ends of streams are known to whoever drives QUIC.
//!
//! The dynamic tables of QPACK are not used: we allow none of the client, and use none of what it allows. So no stream waits
//! for another one, and a field section that nobody wants need not be decoded.

/// Why a stream or the connection ends, in the words of the standards and in ours.
pub mod fault;
/// How much a client may ask of us, over time.
pub mod limits;
/// Integers of variable length (RFC 9000 §16).
pub mod varint;
/// Frames, as they begin (RFC 9114 §7).
pub mod frame;
/// Frames out of bytes that are cut anywhere.
pub mod frame_reader;
/// Field sections (RFC 9204).
pub mod qpack;
/// What each side asks of the other (RFC 9114 §7.2.4).
pub mod settings;
/// How urgent a response is (RFC 9218).
pub mod priority;
/// What happens on a stream.
pub mod event;
/// What the streams have in common.
pub mod connection;
/// Request streams (RFC 9114 §4.1).
pub mod request;
mod control;
/// Unidirectional streams (RFC 9114 §6.2).
pub mod unidirectional;
/// Promises of the codec, for fuzzing and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
