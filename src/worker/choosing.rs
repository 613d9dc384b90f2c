//! What comes before a backend is chosen and what is remembered of it, whether requests or connections are sent there.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::net::task;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::snapshot::request_queue::RequestQueue;
use crate::telemetry::group_counters::UpstreamStep;
use crate::upstream::selection::NoChoice;
use crate::upstream::selection::Selection;
use crate::worker::Worker;

/// How long the first probes of a group are waited for, and the rest of a tick: 300 ms at most.
const FIRST_PROBE_WAIT: Duration = Duration::from_millis(200);

/// Why no backend got room for what waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// No place is left to wait.
    Full,
    Timeout,
    /// Nobody waits any more.
    ClientGone,
    NoChoice(NoChoice),
}

/// Seconds of Unix time, which fit until 2106.
pub fn now_s(worker: &Worker) -> u32 {
    worker.clock.wall(worker.clock.now()).as_secs() as u32
}

/// The member of the group that a client with this hash was sent to, where Ringway remembers that.
pub fn remembered(key: u64, group: &Group, worker: &Worker) -> Option<u32> {
    let sticky = group.sticky.as_ref()?;
    let identity = sticky.affinity.as_ref()?.find(key, now_s(worker), sticky.timeout_s)?;
    group.by_identity(identity)
}

/// Remembers that it was sent to this member, where the group wants that.
pub fn learn(key: u64, group: &Group, chosen: u32, worker: &Worker) {
    let affinity = group.sticky.as_ref().and_then(|sticky| sticky.affinity.as_ref());
    if let (Some(affinity), Some(member)) = (affinity, group.member(chosen as usize)) {
        // Affinity is noted by the lower half.
        affinity.learn(key, member.backend.identity as u32, now_s(worker));
    }
}

/// While no backend is available, waits for the result of first probes that are under way, but not for long.
pub async fn wait_for_first_probe(group: &Group, worker: &Worker) {
    let began = worker.clock.now();
    while worker.balancer.availability(group) == Some(Availability::AllDown)
        && group.has_unprobed()
        && worker.clock.now().since(began) < FIRST_PROBE_WAIT
    {
        // The next tick.
        worker.timers.sleep(Duration::ZERO).await;
    }
}

/// Waits for a backend with room, in the order of arrival, unless the client is gone first. The index of the member.
///
/// # Errors
/// The queue is full or its time over, no backend is left, or the client is gone.
pub async fn wait_for_room(
    selection: &Selection<'_>,
    queue: &RequestQueue,
    client_gone: impl Future<Output = ()>,
    worker: &Worker,
) -> Result<u32, NoRoom> {
    let queues = &worker.balancer.queues;
    let since = worker.clock.shared_ns(worker.clock.now());
    let place = queues.enter(&queue.state, queue.size, since).ok_or(NoRoom::Full)?;
    let deadline = worker.timers.deadline();
    deadline.set(queue.timeout);
    let mut client_gone = pin!(client_gone);
    let mut was_called = false;
    let chosen = loop {
        let turn = pin!(place.wait(was_called));
        if !was_called {
            // Room that was made before this one waited was told to nobody.
            queues.room_made(&queue.state);
        }
        let turn = pin!(deadline.guard(turn));
        let waited = task::unless(turn, |cx| client_gone.as_mut().poll(cx).map(|()| NoRoom::ClientGone));
        waited.await?.map_err(|_elapsed| NoRoom::Timeout)?;
        match selection.choose_next() {
            Ok(chosen) => break chosen,
            Err(NoChoice::AllFull) => was_called = true,
            Err(no_choice) => return Err(NoRoom::NoChoice(no_choice)),
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
