//! Which backend a connection goes to.

use std::future::pending;
use std::net::IpAddr;

use crate::policy::balance::Algorithm;
use crate::policy::balance::hash_key::HashKey;
use crate::policy::balance::hash_key::hash_of_address;
use crate::policy::balance::sticky::StickyMode;
use crate::relay::end::SessionEnd;
use crate::snapshot::group::Group;
use crate::upstream::selection::NoChoice;
use crate::upstream::selection::Preference;
use crate::upstream::selection::Selection;
use crate::worker::Worker;
use crate::worker::choosing;
use crate::worker::choosing::NoRoom;

/// What decides where the connections of a client go, if anything does.
pub fn preference(group: &Group, client: IpAddr, worker: &Worker) -> Preference {
    let is_hashed = matches!(group.algorithm, Algorithm::ConsistentHash(HashKey::SourceIp));
    let is_sticky = group.sticky.as_ref().is_some_and(|sticky| sticky.mode == StickyMode::SourceIp);
    if !is_hashed && !is_sticky {
        return Preference::default();
    }
    let key = hash_of_address(client);
    Preference { key: Some(key), backend: choosing::remembered(key, group, worker) }
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
