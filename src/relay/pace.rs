//! One direction of a relayed connection that goes no faster than the limits of its listener allow.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::relay::client::ClientConnection;
use crate::snapshot::Listener;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::PaceLimits;
use crate::snapshot::bandwidth::PacedRequest;
use crate::worker::Worker;

/// Whether there are limits now.
pub(super) fn is_limited(client: &ClientConnection, worker: &Worker) -> bool {
    let snapshot = worker.snapshot();
    let stream = snapshot.listener(client.who.counted.listener()).and_then(Listener::stream);
    stream.is_some_and(|stream| stream.bandwidth.is_some())
}

/// The wait for the turn of so many bytes, unless it has come. Boxed, because most listeners have no such limit.
pub(super) fn wait_for<'w>(
    (bytes, direction): (usize, Direction),
    client: &ClientConnection,
    worker: &'w Worker,
) -> Option<Pin<Box<impl Future<Output = ()> + use<'w>>>> {
    let snapshot = worker.snapshot();
    // A reload may have changed the limits, or removed them.
    let limits = snapshot.listener(client.who.counted.listener())?.stream()?.bandwidth.as_deref()?;
    let now_ns = worker.clock.shared_ns(worker.clock.now());
    let limits = PaceLimits { rule: None, listener: Some(limits) };
    let owed = limits.reserve(PacedRequest::new(None, client.who.peer.ip()), bytes, direction, now_ns);
    (owed > Duration::ZERO).then(|| Box::pin(worker.timers.sleep(owed)))
}
