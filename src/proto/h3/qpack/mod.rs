//! Field sections (RFC 9204) that use the static table alone.

/// From field sections to fields.
pub mod decoder;
/// From fields to field sections.
pub mod encoder;
mod static_table;
