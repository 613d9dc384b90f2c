//! How long a message body is, as far as its head tells.

/// The length of a message body (RFC 9110 §8.6), whatever delimits it on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// The message has no body at all.
    Empty,
    /// Exactly this many bytes; may be zero.
    Exact(u64),
    /// Known only when the body ends.
    Unknown,
}

impl BodyLength {
    /// Whether no byte of body can follow the head.
    pub fn is_empty(self) -> bool {
        matches!(self, BodyLength::Empty | BodyLength::Exact(0))
    }
}
