//! HTTP/2 (RFC 9113), for both sides of the proxy.
//!
//! [`connection::Connection`] is the door. It dispatches; what a frame looks like, what a stream may do, how
//! much may be in flight and how much a peer may ask of us each stand in a file of their own.

/// Why a stream or a connection ends, in the words of the standard and in ours.
pub mod fault;
/// What stands on the wire: one file for each kind of frame.
pub mod frame;
/// Header compression (RFC 7541).
pub mod hpack;
/// What each side asks of the other.
pub mod settings;
/// How many bytes may be in flight.
pub mod flow;
/// One stream: its states.
pub mod stream;
/// All streams of a connection, and what is remembered of those that ended.
pub mod streams;
/// How much a peer may ask of us, over time.
pub mod limits;
/// The whole: bytes in, events and bytes out.
pub mod connection;
/// Promises of the codec, for fuzzing and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;

#[cfg(test)]
mod speed;
