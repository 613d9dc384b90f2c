//! One direction of a relayed connection that goes no faster than the limits of its listener allow.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::PaceLimits;
use crate::snapshot::bandwidth::PacedRequest;
use crate::worker::Worker;

/// See the module.
#[derive(Clone, Copy)]
pub(super) struct FlowPace {
    /// The slot of the listener.
    listener: usize,
    direction: Direction,
    client: PacedRequest,
}

impl FlowPace {
    pub(super) fn new(listener: usize, direction: Direction, client: IpAddr) -> FlowPace {
        FlowPace { listener, direction, client: PacedRequest::new(None, client) }
    }

    /// Whether there are limits now.
    pub(super) fn is_limited(&self, worker: &Worker) -> bool {
        let snapshot = worker.snapshot();
        snapshot
            .listener(self.listener)
            .and_then(|listener| listener.stream())
            .is_some_and(|stream| stream.bandwidth.is_some())
    }

    /// The wait for the turn of so many bytes, unless it has come. Boxed, because most listeners have no such limit.
    pub(super) fn wait_for<'w>(
        &self,
        bytes: usize,
        worker: &'w Worker,
    ) -> Option<Pin<Box<impl Future<Output = ()> + use<'w>>>> {
        let snapshot = worker.snapshot();
        // A reload may have changed the limits, or removed them.
        let limits = snapshot.listener(self.listener)?.stream()?.bandwidth.as_deref()?;
        let now_ns = worker.clock.shared_ns(worker.clock.now());
        let limits = PaceLimits { rule: None, listener: Some(limits) };
        let owed = limits.reserve(self.client, bytes, self.direction, now_ns);
        (owed > Duration::ZERO).then(|| Box::pin(worker.timers.sleep(owed)))
    }
}
