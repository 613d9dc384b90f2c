//! The path at which a listener tells whether it takes new connections.

use serde_json::Value as Json;

use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// A path without a query, or nothing.
pub(super) struct HealthPathText;

/// Far more than anybody wants to type into a router.
const MAX_PATH_LENGTH: usize = 256;

impl Kind for HealthPathText {
    type Value = Option<String>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Option<String>> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if text.is_empty() {
            return Some(None);
        }
        let is_path = text.starts_with('/')
            && text.len() <= MAX_PATH_LENGTH
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
        if !is_path {
            let help = "write a path as requests have it, without a query: \"/healthz\"";
            report.error(raw.location, format!("`{key}` is not a path"), help);
            return None;
        }
        Some(Some(text.clone()))
    }

    fn show(&self, value: &Option<String>) -> Json {
        Json::from(value.as_deref().unwrap_or_default())
    }

    fn schema(&self) -> Json {
        schema::pattern(&format!("^(/[!-~]{{0,{}}})?$", MAX_PATH_LENGTH - 1))
    }
}
