//! What a request has to pass before it is served.

use crate::policy::forward_auth::ForwardAuth;

/// What a rule asks of its requests; nothing by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gates {
    pub forward_auth: Option<ForwardAuth>,
}
