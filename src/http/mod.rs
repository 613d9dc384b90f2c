//! The words that every module speaks: heads, header lists and body lengths of HTTP (RFC 9110).
//!
//! Nothing here knows a version's wire format or does I/O. Heads borrow the bytes they were parsed
//! from, so they live within one poll; what must outlive it is copied where it is needed.

pub mod any_case;
pub mod base64;
pub mod body;
mod brotli_encoder;
pub mod content_coding;
pub mod head;
pub mod headers;
pub mod status;
pub mod trailers;
