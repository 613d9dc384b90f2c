//! Whether a service of the operator's lets a request pass.

use std::time::Duration;

use crate::http::headers::same_for_backends;

/// How a request is asked about before it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardAuth {
    /// The index of the group that is asked: in the configuration there, in the listener's groups in service.
    pub group: usize,
    /// Path and query that are asked for.
    pub path: String,
    /// Fields of the request that the service gets.
    pub request_headers: Vec<String>,
    /// Fields of its answer that the request gets. Those that a client sends never pass.
    pub response_headers: Vec<String>,
    /// For all of it, further attempts included.
    pub timeout: Duration,
    /// A request that nobody answers for is served all the same.
    pub passes_on_failure: bool,
}

/// What an answer of the service means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthVerdict {
    Pass,
    /// The client gets the answer.
    Deny,
    Failure,
}

impl AuthVerdict {
    pub fn of(status: u16) -> AuthVerdict {
        match status {
            200..=299 => AuthVerdict::Pass,
            300..=399 | 401 | 403 => AuthVerdict::Deny,
            _ => AuthVerdict::Failure,
        }
    }
}

impl ForwardAuth {
    /// Whether the service gets this field of the request.
    pub fn asks_with(&self, name: &[u8]) -> bool {
        self.request_headers.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether the request gets this field of the service's answer.
    pub fn sets(&self, name: &[u8]) -> bool {
        self.response_headers.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether a backend could take this field of a client for one that the service sets.
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.response_headers.iter().any(|known| same_for_backends(name, known.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_means() {
        for (status, verdict) in [
            (200, AuthVerdict::Pass),
            (204, AuthVerdict::Pass),
            (302, AuthVerdict::Deny),
            (401, AuthVerdict::Deny),
            (403, AuthVerdict::Deny),
            (400, AuthVerdict::Failure),
            (404, AuthVerdict::Failure),
            (500, AuthVerdict::Failure),
            (999, AuthVerdict::Failure),
        ] {
            assert_eq!(AuthVerdict::of(status), verdict, "{status}");
        }
    }

    #[test]
    fn fields_that_backends_would_confuse_are_withheld() {
        let auth = ForwardAuth {
            group: 0,
            path: "/".to_owned(),
            request_headers: vec!["Cookie".to_owned()],
            response_headers: vec!["X-User".to_owned()],
            timeout: Duration::from_secs(2),
            passes_on_failure: false,
        };
        assert!(auth.withholds(b"x_user") && auth.withholds(b"X-USER") && !auth.withholds(b"x-users"));
        assert!(auth.asks_with(b"cookie") && !auth.asks_with(b"authorization"));
        assert!(auth.sets(b"x-user") && !auth.sets(b"x_user"));
    }
}
