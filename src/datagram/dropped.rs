//! Why datagrams are lost here.

use crate::net::udp::send::SendFailure;
use crate::snapshot::refused_connections::ConnectionRefusal;
use crate::telemetry::reason::Reason;

/// Why a datagram is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropReason {
    /// Its client may have no session.
    Refused(ConnectionRefusal),
    /// There are as many sessions as the process, or the listener, may have.
    SessionLimit,
    /// As many began in this second as may.
    SessionRate,
    /// The listener, or its client, has passed as many bytes as it may.
    Bandwidth,
    /// No backend can be asked.
    NoBackend(Reason),
    /// The worker ends, or the listener is removed.
    Closing,
    /// The queue to the backend or to the client is full.
    SendQueueFull,
    /// It is longer than the way allows.
    TooLong,
    /// There is no way to the backend or to the client.
    Unreachable,
    /// The backend said that nobody receives there, and no other one is left.
    BackendRefused,
}

impl DropReason {
    /// The value of the label `reason` in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            DropReason::Refused(refusal) => refusal.as_str(),
            DropReason::SessionLimit => "session_limit",
            DropReason::SessionRate => "session_rate_limit",
            DropReason::Bandwidth => "bandwidth_limit",
            DropReason::NoBackend(reason) => reason.as_str(),
            DropReason::Closing => "closing",
            DropReason::SendQueueFull => "send_queue_full",
            DropReason::TooLong => "too_long",
            DropReason::Unreachable => "unreachable",
            DropReason::BackendRefused => "backend_refused",
        }
    }

    /// What the access log says of a client that gets no session, if it says anything: limits are told to the operator.
    pub(super) fn of_no_session(self) -> Option<Reason> {
        match self {
            DropReason::NoBackend(reason) => Some(reason),
            DropReason::Unreachable => Some(Reason::ConnectFailed),
            _ => None,
        }
    }
}

impl From<&SendFailure> for DropReason {
    fn from(failure: &SendFailure) -> DropReason {
        match failure {
            SendFailure::Full => DropReason::SendQueueFull,
            SendFailure::TooLong => DropReason::TooLong,
            SendFailure::Refused => DropReason::BackendRefused,
            SendFailure::Other(_) => DropReason::Unreachable,
        }
    }
}
