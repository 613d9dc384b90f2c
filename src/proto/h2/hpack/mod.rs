//! HPACK, the header compression of HTTP/2 (RFC 7541), for both roles.
//!
//! A header block goes in whole, its fields come out in one reused arena; fields go in one by one,
//! a header block comes out. Each direction of a connection has one [`decoder::Decoder`] or
//! [`encoder::Encoder`], whose table must see every block in the order of the wire. Whether a field is
//! one that HTTP/2 allows is not asked here.

/// Header blocks to fields, within limits.
pub mod decoder;
/// Fields to header blocks.
pub mod encoder;
/// Promises of the codec, for fuzzing and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;

mod dynamic_table;
mod indexing;
mod lookup;
mod static_table;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod speed;

/// The table size on both sides until the settings say otherwise (RFC 9113 §6.5.2).
pub const DEFAULT_TABLE_BYTES: u16 = 4096;
