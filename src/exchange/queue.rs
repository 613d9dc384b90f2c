//! Requests that wait until a backend has room for them.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::exchange::error::ExchangeError;
use crate::exchange::stream::ClientWatch;
use crate::net::task;
use crate::snapshot::request_queue::RequestQueue;
use crate::telemetry::group_counters::UpstreamStep;
use crate::telemetry::reason::Reason;
use crate::upstream::selection::NoChoice;
use crate::upstream::selection::Selection;
use crate::worker::Worker;

/// Waits for a backend with room, in the order in which requests came. The index of the member.
///
/// # Errors
/// The queue is full or its time over, no backend is left, or the client is gone.
pub(super) async fn wait_for_room(
    selection: &Selection<'_>,
    queue: &RequestQueue,
    watch: &impl ClientWatch,
    worker: &Worker,
) -> Result<u32, ExchangeError> {
    let queues = &worker.balancer.queues;
    let since = worker.clock.shared_ns(worker.clock.now());
    let place = queues.enter(&queue.state, queue.size, since);
    let Some(place) = place else { return Err(ExchangeError::Refused(Reason::QueueFull)) };
    let deadline = worker.timers.deadline();
    deadline.set(queue.timeout);
    let mut disconnected = pin!(watch.disconnected());
    let mut was_called = false;
    let chosen = loop {
        let turn = pin!(place.wait(was_called));
        if !was_called {
            // Room that was made before this one waited was told to nobody.
            queues.room_made(&queue.state);
        }
        let turn = pin!(deadline.guard(turn));
        let waited =
            task::unless(turn, |cx| disconnected.as_mut().poll(cx).map(|()| ExchangeError::ClientGone));
        waited.await?.map_err(|_elapsed| ExchangeError::Refused(Reason::QueueTimeout))?;
        match selection.choose_next() {
            Ok(chosen) => break chosen,
            Err(NoChoice::AllFull) => was_called = true,
            Err(no_choice) => return Err(refusal(no_choice)),
        }
    };
    if let Some(counters) = &selection.group().counters {
        let waited = worker.clock.shared_ns(worker.clock.now()).saturating_sub(since);
        counters.took(worker.index, UpstreamStep::Queue, Duration::from_nanos(waited));
    }
    // There may be more room than for one.
    queues.room_made(&queue.state);
    Ok(chosen)
}

/// Why no backend can be asked.
pub(super) fn refusal(no_choice: NoChoice) -> ExchangeError {
    ExchangeError::Refused(no_choice.reason())
}
