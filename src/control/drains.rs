//! Drains of backends as events: when one begins, and when it is over.

use std::collections::HashMap;
use std::sync::Arc;

use crate::snapshot::Leaving;
use crate::snapshot::Snapshot;
use crate::snapshot::group::Group;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::note_event;

/// Changes that are told one by one, of those that are found at once; more are counted.
const MAX_CHANGES: usize = 100;

/// The drains that are known.
pub(super) struct Drains {
    /// By the slot of the backend: whether its drain is over.
    over: HashMap<u32, bool>,
}

impl Drains {
    /// What is being drained from the start on is no news.
    pub(super) fn new(snapshot: &Snapshot) -> Drains {
        let over = snapshot.leaving.iter().map(|leaving| (leaving.backend.slot, false));
        Drains { over: over.collect() }
    }

    /// Keeps an event for each drain that has begun or ended since the last look.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        if snapshot.leaving.is_empty() && self.over.is_empty() {
            return;
        }
        let changes = self.changes(snapshot);
        let more = changes.len().saturating_sub(MAX_CHANGES);
        for (kind, leaving) in changes.into_iter().take(MAX_CHANGES) {
            note_event(news(kind, snapshot, leaving));
        }
        if more > 0 {
            let message = format!("{more} more drains of backends have begun or ended");
            note_event(News::new(EventKind::MoreChanges, message));
        }
    }

    fn changes<'s>(&mut self, snapshot: &'s Snapshot) -> Vec<(EventKind, &'s Leaving)> {
        let mut changes = Vec::new();
        let mut over = HashMap::with_capacity(snapshot.leaving.len());
        for leaving in &snapshot.leaving {
            let slot = leaving.backend.slot;
            let is_over = leaving.backend.health.drain_expired();
            let before = self.over.get(&slot).copied();
            if before.is_none() {
                changes.push((EventKind::BackendDraining, leaving));
            }
            if is_over && before != Some(true) {
                changes.push((EventKind::BackendDrained, leaving));
            }
            over.insert(slot, is_over);
        }
        self.over = over;
        changes
    }
}

fn news(kind: EventKind, snapshot: &Snapshot, leaving: &Leaving) -> News {
    let backend = &leaving.backend;
    let sentence = match kind {
        EventKind::BackendDraining => {
            let timeout = leaving.drain_timeout;
            format!("gets no new requests, and what it has begun may go on for {timeout:?}")
        }
        _ => "is drained".to_owned(),
    };
    let has = |group: &&Arc<Group>| group.members.iter().any(|member| member.backend.slot == backend.slot);
    let name = &backend.name;
    match snapshot.groups.iter().find(has) {
        Some(group) => News::new(kind, format!("backend {name} of group \"{}\" {sentence}", group.name))
            .of("group", &group.name)
            .of("backend", name),
        None => News::new(kind, format!("backend {name} {sentence}")).of("backend", name),
    }
}
