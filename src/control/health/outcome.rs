//! What comes of a probe.

use crate::net::source::SourceProblem;
use crate::snapshot::backend::CheckFailure;

/// A backend that sends more of them before its response is no web server.
pub(super) const MAX_INTERIM_RESPONSES: u32 = 8;

/// What came of a probe.
pub(super) type ProbeResult = Result<(), ProbeError>;

/// Why a probe did not find its backend in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeError {
    /// The backend did not do what was asked for. The status is 0 unless it was the fault.
    Failed { failure: CheckFailure, status: u16 },
    /// This process has no descriptor left, which says nothing about the backend.
    NoDescriptor,
    /// No local port is left for it, which says nothing either.
    NoLocalPort,
    /// It cannot come from the source that the group names.
    NoSource(SourceProblem),
    /// A fault of ours ended it early, which says nothing either.
    Abandoned,
}

pub(super) fn failed(failure: CheckFailure) -> ProbeError {
    ProbeError::Failed { failure, status: 0 }
}
