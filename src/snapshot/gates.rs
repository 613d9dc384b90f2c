//! What a request has to pass before it is served.

use std::sync::Arc;

use crate::http::headers::same_for_backends;
pub use crate::policy::basic_auth::LoginPair;
pub use crate::policy::basic_auth::htpasswd::Htpasswd;
pub use crate::policy::basic_auth::verified_pairs::VerifiedPairs;
pub use crate::policy::forward_auth::ForwardAuth;

/// What a rule asks of its requests.
pub struct Gates {
    pub basic_auth: Option<BasicAuth>,
    pub forward_auth: Option<ForwardAuth>,
}

/// Users who are known by their passwords.
pub struct BasicAuth {
    /// The value of WWW-Authenticate.
    pub challenge: String,
    pub users: Arc<Htpasswd>,
    /// Backends get user and password as well.
    pub passes_authorization: bool,
}

impl Gates {
    /// Whether a field of the client's own must not get to backends.
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.keeps_secret(name) || self.forward_auth.as_ref().is_some_and(|auth| auth.withholds(name))
    }

    /// Whether a field has the password of a user, which is nobody else's concern.
    pub fn keeps_secret(&self, name: &[u8]) -> bool {
        self.basic_auth
            .as_ref()
            .is_some_and(|auth| !auth.passes_authorization && same_for_backends(name, b"authorization"))
    }
}
