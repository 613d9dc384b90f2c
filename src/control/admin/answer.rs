//! The form of answers.

use serde_json::Value as Json;
use serde_json::json;

/// A command that was not carried out, and why.
pub(super) fn error(text: String) -> Json {
    json!({ "error": text })
}
