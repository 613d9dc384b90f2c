//! What a request has to pass before it is served.

pub use crate::policy::forward_auth::ForwardAuth;

/// What a rule asks of its requests.
pub struct Gates {
    pub forward_auth: Option<ForwardAuth>,
}

impl Gates {
    /// Whether a field of the client's own must not get to backends.
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.forward_auth.as_ref().is_some_and(|auth| auth.withholds(name))
    }
}
