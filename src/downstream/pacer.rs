//! Content of one request, in one direction, that goes no faster than its limits allow.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::snapshot::HttpListener;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::PacedRequest;
use crate::worker::Worker;

/// See the module.
pub(super) struct Pacer {
    paced: Option<PacedRequest>,
    /// For so long has to wait what was counted last.
    owed_ns: u64,
}

impl Pacer {
    pub(super) fn new(paced: Option<PacedRequest>) -> Pacer {
        Pacer { paced, owed_ns: 0 }
    }

    /// Counts content that passes.
    #[inline]
    pub(super) fn count(
        &mut self,
        (bytes, direction): (usize, Direction),
        terms: &HttpListener,
        worker: &Worker,
    ) {
        if let Some(paced) = self.paced {
            let now_ns = worker.clock.shared_ns(worker.clock.now());
            let owed = terms.pace_limits(paced.rule).reserve(paced, bytes, direction, now_ns);
            self.owed_ns = u64::try_from(owed.as_nanos()).unwrap_or(u64::MAX);
        }
    }

    /// The wait for the turn of what was counted, unless it has come. Boxed, because most requests have no such limit.
    #[inline]
    pub(super) fn wait<'w>(
        &mut self,
        worker: &'w Worker,
    ) -> Option<Pin<Box<impl Future<Output = ()> + use<'w>>>> {
        let owed_ns = std::mem::take(&mut self.owed_ns);
        (owed_ns > 0).then(|| Box::pin(worker.timers.sleep(Duration::from_nanos(owed_ns))))
    }

    /// How much of `room` should be fetched at a time.
    pub(super) fn room(&self, room: usize, terms: &HttpListener) -> usize {
        self.paced.map_or(room, |paced| room.min(terms.pace_limits(paced.rule).piece()))
    }
}
