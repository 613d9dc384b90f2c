//! What the field sections of HTTP/2 and HTTP/3 have in common: strings and integers of HPACK (RFC 7541) and QPACK
//! (RFC 9204), lists of fields, and messages made of them. Their static tables differ.

/// Whether as much content comes as was announced.
pub(in crate::proto) mod content_count;
/// What can be wrong with a field section.
pub mod error;
/// Strings in Huffman code (RFC 7541 §5.2).
pub mod huffman;
mod huffman_table;
/// Integers with a prefix (RFC 7541 §5.1).
pub mod integer;
/// The fields of one section.
pub mod list;
/// Requests and responses as fields, with pseudo-header fields first.
pub mod message;
/// Hashes of names and values.
pub(in crate::proto) mod name_hash;
/// An entry of a static table.
pub(in crate::proto) mod static_field;
/// Strings, plain or in Huffman code.
pub(in crate::proto) mod text;

/// Promises of the codecs, for fuzzing and tests.
#[cfg(any(test, fuzzing))]
pub(in crate::proto) mod fuzz;

/// Shorter cookies can be guessed by how well they compress, so nobody on their way may index them (RFC 7541 §7.1.3, RFC 9204
/// §7.1.3).
pub(in crate::proto) const MIN_INDEXED_COOKIE_BYTES: usize = 20;

/// What a field counts beyond its name and value (RFC 7541 §4.1, RFC 9113 §6.5.2).
pub const FIELD_OVERHEAD: usize = 32;
