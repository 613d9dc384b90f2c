//! Which backend a connection goes to.

use std::net::IpAddr;
use std::time::Duration;

use crate::policy::balance::Algorithm;
use crate::policy::balance::hash_key::HashKey;
use crate::policy::balance::hash_key::hash_of_address;
use crate::policy::balance::sticky::StickyMode;
use crate::relay::end::SessionEnd;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::snapshot::request_queue::RequestQueue;
use crate::telemetry::group_counters::UpstreamStep;
use crate::upstream::selection::NoChoice;
use crate::upstream::selection::Preference;
use crate::upstream::selection::Selection;
use crate::worker::Worker;

/// How long connections wait for the first probes of their group, and the rest of a tick: 300 ms at most.
const FIRST_PROBE_WAIT: Duration = Duration::from_millis(200);

/// What decides where the connections of a client go, if anything does.
pub fn preference(group: &Group, client: IpAddr, worker: &Worker) -> Preference {
    let is_by_address = matches!(group.algorithm, Algorithm::ConsistentHash(HashKey::SourceIp));
    let affinity = || {
        let sticky = group.sticky.as_ref().filter(|sticky| sticky.mode == StickyMode::SourceIp)?;
        Some((sticky.affinity.as_ref()?, sticky.timeout_s))
    };
    let affinity = affinity();
    if affinity.is_none() && !is_by_address {
        return Preference::default();
    }
    let key = hash_of_address(client);
    let remembered = affinity.and_then(|(known, timeout_s)| known.find(key, now_s(worker), timeout_s));
    let backend = remembered.and_then(|identity| group.by_identity(identity));
    Preference { key: Some(key), backend }
}

/// Remembers where the client was sent, where the group wants its clients to come back there.
pub fn remember(preference: Preference, group: &Group, chosen: u32, worker: &Worker) {
    let affinity = group.sticky.as_ref().and_then(|sticky| sticky.affinity.as_ref());
    let member = group.member(chosen as usize);
    if let (Some(affinity), Some(member), Some(key)) = (affinity, member, preference.key) {
        // The lower half is what tables of affinity hold.
        affinity.learn(key, member.backend.identity as u32, now_s(worker));
    }
}

fn now_s(worker: &Worker) -> u32 {
    (worker.clock.shared_ns(worker.clock.now()) / 1_000_000_000) as u32
}

/// The first backend to be asked; its index in the group.
pub(super) async fn first(selection: &Selection<'_>, worker: &Worker) -> Result<u32, SessionEnd> {
    let group = selection.group();
    if group.awaits_probes {
        wait_for_first_probe(group, worker).await;
    }
    match (selection.choose(), &group.queue) {
        (Err(NoChoice::AllFull), Some(queue)) => wait_for_room(selection, queue, worker).await,
        (choice, _) => choice.map_err(SessionEnd::NoChoice),
    }
}

/// While no backend is available, waits for the result of first probes that are under way, but not for long.
async fn wait_for_first_probe(group: &Group, worker: &Worker) {
    let began = worker.clock.now();
    while worker.balancer.availability(group) == Some(Availability::AllDown)
        && group.has_unprobed()
        && worker.clock.now().since(began) < FIRST_PROBE_WAIT
    {
        // The next tick.
        worker.timers.sleep(Duration::ZERO).await;
    }
}

/// Waits for a backend with room, in the order in which connections came.
async fn wait_for_room(
    selection: &Selection<'_>,
    queue: &RequestQueue,
    worker: &Worker,
) -> Result<u32, SessionEnd> {
    let queues = &worker.balancer.queues;
    let since = worker.clock.shared_ns(worker.clock.now());
    let place =
        queues.enter(&queue.state, queue.size, since).ok_or(SessionEnd::NoChoice(NoChoice::AllFull))?;
    let deadline = worker.timers.deadline();
    deadline.set(queue.timeout);
    let mut was_called = false;
    let chosen = loop {
        let turn = std::pin::pin!(place.wait(was_called));
        if !was_called {
            // Room that was made before this one waited was told to nobody.
            queues.room_made(&queue.state);
        }
        deadline.guard(turn).await.map_err(|_elapsed| SessionEnd::QueueTimeout)?;
        match selection.choose_next() {
            Ok(chosen) => break chosen,
            Err(NoChoice::AllFull) => was_called = true,
            Err(no_choice) => return Err(SessionEnd::NoChoice(no_choice)),
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
