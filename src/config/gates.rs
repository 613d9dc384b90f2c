//! What a request has to pass before it is served.

use crate::config::named_file::NamedFile;
use crate::policy::forward_auth::ForwardAuth;

/// What a rule asks of its requests; nothing by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gates {
    pub basic_auth: Option<BasicAuth>,
    pub forward_auth: Option<ForwardAuth>,
}

/// Users who are known by their passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// Printable ASCII, without quotes and backslashes.
    pub realm: String,
    pub file: NamedFile,
    pub passes_authorization: bool,
}
