//! What a listener does to responses, whoever makes them.

use crate::policy::header_edits::HeaderEdits;
use crate::policy::header_edits::SystemValue;
use crate::policy::response_condition::ResponseCondition;
use crate::snapshot::error_pages::ErrorPages;
use crate::snapshot::rules::FixedResponse;
use crate::snapshot::rules::Rules;

/// Rules for responses that a listener may have: what a request comes to is kept as a bit for each.
pub const MAX_RESPONSE_RULES: usize = 64;

/// What a listener does to responses. A listener that does nothing to any has none.
pub struct ResponsePolicy {
    /// For all responses.
    pub headers: HeaderEdits,
    /// What is known of requests only and that a response can be given, each once.
    pub system_values: Box<[SystemValue]>,
    pub error_pages: ErrorPages,
    /// None: responses of backends pass.
    pub rules: Option<ResponseRules>,
}

/// Rules for responses of backends, in the order of their priority.
pub struct ResponseRules {
    /// What they ask of requests, without anything to do; None if none of them asks anything.
    pub asked: Option<Rules>,
    /// At most [`MAX_RESPONSE_RULES`].
    pub rules: Box<[CompiledResponseRule]>,
}

/// What becomes of a response that a rule takes.
pub struct CompiledResponseRule {
    pub name: String,
    pub priority: u32,
    pub response: ResponseCondition,
    pub headers: HeaderEdits,
    /// What takes the place of the response.
    pub respond: Option<FixedResponse>,
}

impl ResponseRules {
    /// The rule with this index.
    pub fn get(&self, index: u8) -> Option<&CompiledResponseRule> {
        self.rules.get(usize::from(index))
    }
}
