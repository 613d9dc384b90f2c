//! Basic authentication of the clients of a rule (RFC 7617).

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::exchange::error::ExchangeError;
use crate::exchange::local;
use crate::exchange::message::Request;
use crate::exchange::record::Recording;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::stream::Stream;
use crate::exchange::waiting::unless_left;
use crate::net::task;
use crate::snapshot::gates::BasicAuth;
use crate::snapshot::gates::LoginPair;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;
use crate::worker::password_checks::PasswordVerdict;

/// How long a password may wait to be verified. Who waits for longer is told to come again.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What is known of a client that must be one of some users.
pub(super) enum Login {
    /// It was verified a moment ago.
    Known,
    Missing,
    Unverified(Box<LoginPair>),
}

impl Login {
    pub(super) fn of(request: &Request<'_, '_>, auth: &BasicAuth, worker: &Worker) -> Login {
        let is_authorization = |name: &[u8]| name.eq_ignore_ascii_case(b"authorization");
        let mut fields = request.head.headers.iter().filter(|field| is_authorization(field.name));
        // Of two, nobody could tell which one another server takes.
        let value = fields.next().filter(|_| fields.next().is_none()).map(|field| field.value);
        match value.and_then(LoginPair::parse) {
            None => Login::Missing,
            Some(pair) if worker.password_checks.knows(&pair, &auth.users, now(worker)) => Login::Known,
            Some(pair) => Login::Unverified(Box::new(pair)),
        }
    }

    /// Waits until it is known whether the client is one of the users; None if it is, else why it is not served.
    pub(super) async fn verify<S: Stream>(
        &self,
        auth: &BasicAuth,
        stream: &mut S,
        worker: &Worker,
    ) -> Result<Option<Reason>, ExchangeError> {
        let pair = match self {
            Login::Known => return Ok(None),
            Login::Missing => return Ok(Some(Reason::PasswordRequired)),
            Login::Unverified(pair) => pair,
        };
        let verified = pin!(worker.password_checks.verify(pair, &auth.users, now(worker)));
        let mut is_late = pin!(worker.timers.sleep(MAX_WAIT));
        let in_time = task::unless(verified, |cx| is_late.as_mut().poll(cx));
        let verdict = unless_left(pin!(in_time), stream.parts().2).await?;
        Ok(match verdict {
            Ok(PasswordVerdict::Right) => None,
            Ok(PasswordVerdict::Wrong) => Some(Reason::WrongPassword),
            Ok(PasswordVerdict::Busy) | Err(()) => Some(Reason::PasswordQueueFull),
        })
    }
}

/// Answers a client that is not served for this reason.
pub(super) async fn refuse<S: Stream>(
    reason: Reason,
    auth: &BasicAuth,
    stream: &mut S,
    recording: &mut Recording,
    terms: &ResponseTerms<'_>,
) -> Result<(), ExchangeError> {
    // Calls of gRPC have answers of their own, and know no challenges.
    if recording.is_call || reason.status() != 401 {
        return Err(ExchangeError::Refused(reason));
    }
    recording.reason = reason;
    local::challenge(&auth.challenge, stream.parts(), terms).await;
    Ok(())
}

/// In seconds, by a clock that only goes on.
fn now(worker: &Worker) -> u64 {
    worker.timers.ticks() / 10
}
