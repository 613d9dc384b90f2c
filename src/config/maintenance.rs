//! What clients get while a rule or a server group is not served.

use std::time::Duration;

use crate::config::named_file::NamedFile;
use crate::policy::router::SourceTest;

#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// From the start on, and not only by command.
    pub enabled: bool,
    /// The file, and its media type by its ending. None: the error page for the status, or a short text.
    pub page: Option<(NamedFile, &'static str)>,
    /// 400..=599.
    pub status: u16,
    pub retry_after: Option<Duration>,
    /// Clients that are served all the same.
    pub allow: SourceTest,
}
