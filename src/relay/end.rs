//! How a relayed connection can end.

use crate::telemetry::reason::Reason;
use crate::upstream::error::UpstreamError;
use crate::upstream::selection::NoChoice;

/// Why the connections of client and backend are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// Both sides have ended.
    Complete,
    /// The client reset its connection, or cannot be reached any more.
    ClientReset,
    /// The backend did.
    BackendReset,
    /// Neither side has said anything for too long.
    Idle,
    /// The time is over that the backend had for what it has begun.
    Drained,
    /// The process ends, whose time for a graceful stop is over.
    Stopped,
    /// The backend fails, and its group wants connections to end then.
    BackendDown,
    /// The client said nothing at all, as load balancers do that check whether somebody listens.
    Silent,
    /// What the client said is not what the listener is for.
    Refused(Reason),
    /// No backend can be asked.
    NoChoice(NoChoice),
    /// Every backend has as many connections as it may have, and none got room in time.
    QueueTimeout,
    /// No connection to a backend came about.
    Unconnected(UpstreamError),
    /// No group takes the connection.
    NoRoute,
}

impl SessionEnd {
    /// What the access log says.
    pub(super) fn reason(self) -> Reason {
        match self {
            SessionEnd::Complete | SessionEnd::Silent => Reason::None,
            SessionEnd::Refused(reason) => reason,
            SessionEnd::ClientReset => Reason::ClientClosed,
            SessionEnd::BackendReset => Reason::UpstreamClosed,
            SessionEnd::Idle => Reason::IdleTimeout,
            SessionEnd::Drained => Reason::DrainTimeout,
            SessionEnd::Stopped => Reason::ShutdownTimeout,
            SessionEnd::BackendDown => Reason::BackendDown,
            SessionEnd::NoChoice(no_choice) => no_choice.reason(),
            SessionEnd::QueueTimeout => Reason::QueueTimeout,
            SessionEnd::Unconnected(error) => error.reason(),
            SessionEnd::NoRoute => Reason::NoRoute,
        }
    }
}
