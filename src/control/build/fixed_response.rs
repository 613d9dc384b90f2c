//! Answers that need no backend.

use crate::config;
use crate::snapshot::rules::FixedResponse;

pub(super) fn fixed_response(response: &config::FixedResponse) -> FixedResponse {
    FixedResponse {
        status: response.status,
        content_type: response.content_type.clone(),
        content: response.content.clone().into_bytes(),
    }
}
