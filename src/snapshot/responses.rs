//! What a listener does to responses, whoever makes them.

use crate::policy::header_edits::HeaderEdits;
use crate::policy::header_edits::SystemValue;

/// What a listener does to responses. A listener that does nothing to any has none.
pub struct ResponsePolicy {
    /// For all responses.
    pub headers: HeaderEdits,
    /// What is known of requests only and that a response can be given, each once.
    pub system_values: Box<[SystemValue]>,
}
