//! Field sections (RFC 9204) that use the static table alone.

/// From field sections to fields.
pub mod decoder;
/// From fields to field sections.
pub mod encoder;
/// What a client says of tables (RFC 9204 §4.3, §4.4).
pub(in crate::proto::h3) mod instructions;
/// Promises of the codec, for fuzzing and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod static_table;
