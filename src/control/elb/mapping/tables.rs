//! Tables of the configuration as text.

use serde_json::Value as Json;

use crate::config::toml_value;

/// Tables of the configuration as text, written from the top down.
pub(super) struct Tables(String);

impl Tables {
    /// Begins with this comment.
    pub(super) fn new(comment: &str) -> Tables {
        Tables(format!("# {comment}\n"))
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    pub(super) fn header(&mut self, header: &str) {
        self.0.push_str(&format!("\n{header}\n"));
    }

    pub(super) fn key(&mut self, key: &str, value: impl Into<Json>) {
        self.0.push_str(&format!("{key} = {}\n", toml_value(&value.into())));
    }

    pub(super) fn seconds(&mut self, key: &str, seconds: i64) {
        self.key(key, format!("{seconds}s"));
    }
}
