//! Answers that need no backend.

use crate::config;
use crate::control::credentials::error_pages;
use crate::control::credentials::error_pages::LoadedPage;
use crate::snapshot::rules::FixedResponse;

pub(super) fn fixed_response(response: &config::FixedResponse, loaded: &[LoadedPage]) -> FixedResponse {
    FixedResponse {
        status: response.status,
        // Where a file cannot be read, nothing is built.
        page: error_pages::content_of(response, loaded).unwrap_or_default(),
    }
}
