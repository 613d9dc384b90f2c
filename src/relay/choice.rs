//! Which backend a connection goes to.

use std::future::pending;

use crate::policy::balance::Algorithm;
use crate::policy::balance::hash_key::FlowStart;
use crate::policy::balance::hash_key::HashKey;
use crate::policy::balance::sticky::StickyMode;
use crate::relay::end::SessionEnd;
use crate::snapshot::group::Group;
use crate::upstream::selection::NoChoice;
use crate::upstream::selection::Preference;
use crate::upstream::selection::Selection;
use crate::worker::Worker;
use crate::worker::choosing;
use crate::worker::choosing::NoRoom;

/// What decides where a connection or the datagrams of a client go, if anything does. Clients stick to backends by their
/// addresses, whatever the hash is taken of.
pub fn preference(group: &Group, flow: &FlowStart<'_>, worker: &Worker) -> Preference {
    let is_sticky = group.sticky.as_ref().is_some_and(|sticky| sticky.mode == StickyMode::SourceIp);
    let key = match &group.algorithm {
        _ if is_sticky => HashKey::SourceIp.hash_of_flow(flow),
        Algorithm::ConsistentHash(key) => key.hash_of_flow(flow),
        _ => None,
    };
    let backend = key.filter(|_| is_sticky).and_then(|key| choosing::remembered(key, group, worker));
    Preference { key, backend }
}

/// Remembers where the client was sent, where the group wants its clients to come back there.
pub fn remember(preference: Preference, group: &Group, chosen: u32, worker: &Worker) {
    if let Some(key) = preference.key {
        choosing::learn(key, group, chosen, worker);
    }
}

/// The first backend to be asked; its index in the group.
pub(super) async fn first(selection: &Selection<'_>, worker: &Worker) -> Result<u32, SessionEnd> {
    let group = selection.group();
    if group.awaits_probes {
        choosing::wait_for_first_probe(group, worker).await;
    }
    match (selection.choose(), &group.queue) {
        (Err(NoChoice::AllFull), Some(queue)) => {
            // A client that leaves is noticed when its connection is relayed; the wait has an end.
            let room = choosing::wait_for_room(selection, queue, pending(), worker).await;
            room.map_err(|no_room| match no_room {
                NoRoom::NoChoice(no_choice) => SessionEnd::NoChoice(no_choice),
                NoRoom::Full => SessionEnd::NoChoice(NoChoice::AllFull),
                NoRoom::Timeout => SessionEnd::QueueTimeout,
                NoRoom::ClientGone => SessionEnd::ClientReset,
            })
        }
        (choice, _) => choice.map_err(SessionEnd::NoChoice),
    }
}
