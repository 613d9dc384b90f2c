//! Asking the process.

use std::path::Path;
use std::time::Duration;

use crate::command::admin_client::ask_at;
use crate::control::admin::status::Status;

/// Between two questions.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// The answer needs no other thread of the process.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The status of the process at `path`, or a sentence why there is none.
pub(super) fn ask(path: &Path) -> Result<Status, String> {
    ask_at(path, "status", ANSWER_TIMEOUT).map(|(_, status)| status).map_err(|failure| failure.to_string())
}
