//! What commands are answered with, besides [`Status`](crate::control::admin::status::Status).

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value as Json;

use crate::control::admin::status::Word;

/// How a reload ended.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReloadReply {
    Reloaded {
        /// A sentence about what is in service.
        message: String,
        /// As many lines as there are warnings, or none.
        warnings: String,
        /// The number of the configuration in service.
        epoch: u64,
    },
    Refused {
        errors: String,
    },
}

/// How an upgrade ended.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum UpgradeReply {
    Upgraded {
        /// A sentence about who serves now.
        message: String,
        /// As many lines as the new process has warnings, or none.
        warnings: String,
        /// The new process.
        pid: u32,
    },
    Refused {
        errors: String,
    },
}

/// What was taken out of service for a while, or back.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
pub struct MaintenanceReply {
    /// `rule` or `server_group`.
    pub kind: Word,
    pub name: String,
    /// Whether it is in maintenance from now on.
    pub maintenance: bool,
    /// Whether it was not so before.
    pub changed: bool,
    /// The same as a sentence.
    pub message: String,
}

/// A command that was not carried out.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
pub struct ErrorReply {
    /// Why.
    pub error: String,
}

/// The document of a reply, its names in alphabetical order.
pub(super) fn document(reply: &impl Serialize) -> Json {
    // Nothing in a reply has no form in JSON.
    serde_json::to_value(reply).unwrap_or_default()
}

pub(super) fn error(text: String) -> Json {
    document(&ErrorReply { error: text })
}
