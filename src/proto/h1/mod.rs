//! HTTP/1.1 message syntax (RFC 9112), for both sides of the proxy.
//!
//! What is ambiguous is refused, never repaired: two hops that read one message differently are how
//! requests are smuggled. Heads go out rewritten from their parsed parts, and body bytes stay
//! where they were received.

/// Any body: which of the received bytes are its content, and whether it ended.
pub mod body;
/// The chunked coding, decoded in place.
pub mod chunked;
/// The Connection field, and what leaves a message at every hop.
pub mod connection_options;
/// What can be wrong with a message.
pub mod error;
/// How long the body is.
pub mod framing;
/// Slow and obvious readings of the same syntax, for fuzzing and tests to compare the codec with.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
/// Request and response heads: parsed in place, rewritten.
pub mod head;
/// What can be read of a request that is refused.
pub mod partial_head;
/// Request targets and the Host field.
pub mod target;
/// The trailer fields after a chunked body.
pub mod trailers;
