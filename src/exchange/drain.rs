//! Exchanges whose backend is taken out of service.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use crate::exchange::error::ExchangeError;
use crate::net::task;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::telemetry::reason::Reason;
use crate::upstream::error::UpstreamError;

/// Runs `operation` unless the drain of its backend is over. A silent wait is woken by its deadline,
/// but a busy exchange moves that before it passes.
pub(super) async fn until_drained<T>(
    backend: &Backend,
    operation: Pin<&mut impl Future<Output = Result<T, ExchangeError>>>,
) -> Result<T, ExchangeError> {
    let is_over = |_: &mut Context<'_>| match backend.health.drain_expired() {
        true => Poll::Ready(ExchangeError::Refused(Reason::DrainTimeout)),
        false => Poll::Pending,
    };
    task::unless(operation, is_over).await?
}

/// What a failure comes down to where the deadline was brought forward, because the backend was taken out of
/// service.
pub(super) fn drained(error: ExchangeError, group: &Group, chosen: u32) -> ExchangeError {
    let is_over =
        || group.member(chosen as usize).is_some_and(|member| member.backend.health.drain_expired());
    match error {
        ExchangeError::Upstream(UpstreamError::ResponseTimeout | UpstreamError::ConnectTimeout)
            if is_over() =>
        {
            ExchangeError::Refused(Reason::DrainTimeout)
        }
        error => error,
    }
}
