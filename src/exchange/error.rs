//! How an exchange can fail: whose fault it is, and which status and reason that makes.

use crate::exchange::stream::BodyError;
use crate::exchange::stream::ReplyError;
use crate::policy::retry::Failure;
use crate::telemetry::reason::Reason;
use crate::upstream::error::UpstreamError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeError {
    /// Ringway's own decision.
    Refused(Reason),
    /// The client's fault, while sending its request.
    Body(BodyError),
    /// The client's fault, while taking the response.
    Reply(ReplyError),
    /// The client left while the backend was being waited for.
    ClientGone,
    /// The backend's fault, or the network's behind us.
    Upstream(UpstreamError),
    /// The status is one after which the group tries again: with the member of this index.
    Retried(u32),
    /// Nobody's fault: the answer of the rule for responses with this index takes the place of the backend's.
    Replaced(u8),
}

/// What carried an attempt that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carrier {
    /// The connection served an exchange before, so its backend may just have been closing it.
    pub reused: bool,
    /// Other exchanges may have used the connection at the time.
    pub is_shared: bool,
}

impl ExchangeError {
    /// Whether the backend failed. `may_be_idle`: a kept connection that its backend has closed says nothing about
    /// the backend, as long as the request succeeds elsewhere.
    pub fn is_backends(&self, may_be_idle: bool) -> bool {
        let ExchangeError::Upstream(error) = self else { return false };
        match error {
            UpstreamError::NoStreamFree | UpstreamError::NoTunnels => false,
            UpstreamError::NothingSent | UpstreamError::ClosedBeforeResponse | UpstreamError::Refused => {
                !may_be_idle
            }
            error => !error.is_local(),
        }
    }

    pub fn reason(&self) -> Reason {
        match *self {
            ExchangeError::Refused(reason) => reason,
            ExchangeError::Replaced(_) => Reason::FixedResponse,
            // The attempt that follows has a reason of its own.
            ExchangeError::Retried(_) => Reason::NoBackend,
            ExchangeError::Body(BodyError::TimedOut) => Reason::BodyTimeout,
            ExchangeError::Body(BodyError::TooLarge) => Reason::BodyTooLarge,
            ExchangeError::Body(BodyError::Malformed(word)) => Reason::BadRequest(word, 400),
            ExchangeError::Body(BodyError::Gone)
            | ExchangeError::Reply(ReplyError::Gone)
            | ExchangeError::ClientGone => Reason::ClientClosed,
            ExchangeError::Reply(ReplyError::TimedOut) => Reason::ClientStalled,
            ExchangeError::Upstream(error) => error.reason(),
        }
    }

    /// Whether there is still a client to answer.
    pub fn client_can_be_answered(&self) -> bool {
        !matches!(self.reason(), Reason::ClientClosed | Reason::ClientStalled)
    }

    /// What it comes down to where HTTP/1.1 was tried with a backend that is known to speak HTTP/2: that it takes no
    /// WebSocket either way.
    pub fn of_stopgap(self) -> ExchangeError {
        match self {
            ExchangeError::Upstream(
                UpstreamError::NothingSent
                | UpstreamError::ClosedBeforeResponse
                | UpstreamError::ClosedWithinResponse
                | UpstreamError::BadResponse(_),
            ) => ExchangeError::Upstream(UpstreamError::NoTunnels),
            error => error,
        }
    }

    /// What the failure means for another attempt; nothing when the backend is not to blame.
    pub fn failure(&self, carrier: Carrier) -> Option<Failure> {
        let ExchangeError::Upstream(error) = self else { return None };
        Some(match error {
            UpstreamError::ConnectRefused
            | UpstreamError::ConnectTimeout
            | UpstreamError::ConnectFailed
            | UpstreamError::NotHttp2
            // The connections that are kept to another backend need none, and its ports are counted apart.
            | UpstreamError::NoDescriptor
            | UpstreamError::NoLocalPort
            | UpstreamError::NoSource
            | UpstreamError::NoStreamFree
            | UpstreamError::Tls(_) => Failure::Connect,
            // The backend saw the request and passed it over, so that nothing of it was done.
            UpstreamError::Refused if carrier.reused => Failure::NothingSent,
            UpstreamError::Refused => Failure::Connect,
            UpstreamError::NothingSent if carrier.reused => Failure::NothingSent,
            UpstreamError::ClosedBeforeResponse if carrier.reused => Failure::StaleConnection,
            UpstreamError::ClosedBeforeResponse | UpstreamError::BrokenConnection(_) if carrier.is_shared => {
                Failure::SharedConnection
            }
            UpstreamError::NothingSent
            | UpstreamError::ClosedBeforeResponse
            | UpstreamError::BrokenConnection(_)
            | UpstreamError::ResetBeforeResponse => Failure::NoResponse,
            UpstreamError::ResponseTimeout => Failure::Timeout,
            _ => Failure::Exchange,
        })
    }
}

impl From<UpstreamError> for ExchangeError {
    fn from(error: UpstreamError) -> ExchangeError {
        ExchangeError::Upstream(error)
    }
}

impl From<BodyError> for ExchangeError {
    fn from(error: BodyError) -> ExchangeError {
        ExchangeError::Body(error)
    }
}

impl From<ReplyError> for ExchangeError {
    fn from(error: ReplyError) -> ExchangeError {
        ExchangeError::Reply(error)
    }
}
