//! Waits of an exchange that something else may end.

use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;

use crate::exchange::attempt::Relayed;
use crate::exchange::error::ExchangeError;
use crate::exchange::stream::ClientWatch;
use crate::net::task;

/// Runs `operation` unless the client is seen to leave, so that nothing more is done for it.
pub(super) async fn unless_left<T>(
    operation: Pin<&mut impl Future<Output = T>>,
    watch: &impl ClientWatch,
) -> Result<T, ExchangeError> {
    let is_disconnected = |cx: &mut Context<'_>| match watch.is_disconnected(cx) {
        true => Poll::Ready(ExchangeError::ClientGone),
        false => Poll::Pending,
    };
    task::unless(operation, is_disconnected).await
}

/// Runs `upload` beside `download` until the download is over or the upload fails, or the client is seen to leave. The
/// protocol changes when the request is complete: "the client cannot begin using an upgraded protocol on the connection
/// until it has completely sent the request message" (RFC 9110 §7.8).
pub(super) async fn beside(
    upload: impl Future<Output = Result<(), ExchangeError>> + Unpin,
    download: impl Future<Output = Result<Relayed, ExchangeError>> + Unpin,
    watch: &impl ClientWatch,
) -> Result<Relayed, ExchangeError> {
    let (mut upload, mut download) = (upload, download);
    let upload = poll_fn(|cx| Pin::new(&mut upload).poll(cx).map_err(Err));
    let until_switched = |relayed| match relayed {
        Ok(Relayed::Switched) => Ok(()),
        outcome => Err(outcome),
    };
    let download = poll_fn(|cx| Pin::new(&mut download).poll(cx).map(until_switched));
    match unless_left(pin!(task::join(upload, download)), watch).await? {
        Ok(()) => Ok(Relayed::Switched),
        Err(outcome) => outcome,
    }
}
