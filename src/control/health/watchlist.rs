//! Everything that is watched, and which probes are under way.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::control::health::event_log::EventLog;
use crate::control::health::outcome::ProbeError;
use crate::control::health::outcome::ProbeResult;
use crate::control::health::probe::Probe;
use crate::control::health::watch::Watch;
use crate::control::health::watched_group::Sequence;
use crate::control::health::watched_group::Watched;
use crate::control::health::watched_group::WatchedGroup;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Availability;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::tls::connect::TlsClient;

/// Probes in flight at a time; what is due beyond that waits for its turn. It bounds descriptors, and
/// submissions to the ring.
const MAX_PROBES: usize = 1_024;

/// How many of them may be of backends that are not in service. A probe that hangs keeps its place for the
/// whole timeout, so a rack that is gone must not keep all of them from those who serve.
const MAX_OUT_OF_SERVICE: usize = 512;

/// That probes cannot be made is told this often.
const COMPLAINT_MS: u64 = 60_000;

/// Times are milliseconds of the process's monotonic clock.
#[derive(Default)]
pub(super) struct Watchlist {
    groups: Vec<WatchedGroup>,
    /// Group and member of the backend in a slot.
    places: HashMap<u32, (usize, usize)>,
    in_service: ProbeQueue,
    out_of_service: ProbeQueue,
    sequence: Sequence,
    complained_ms: Option<u64>,
    pub(super) events: EventLog,
}

/// Probes of backends that are in service, or of those that are not.
#[derive(Default)]
struct ProbeQueue {
    /// The longest waiting first.
    due: VecDeque<ProbeId>,
    in_flight: usize,
}

/// Whose probe it is: the slot of a backend, and the number of its probing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbeId {
    slot: u32,
    number: u64,
    /// The backend was in service when the probe fell due.
    in_service: bool,
}

/// A probe that is to be made now.
pub(super) struct Job {
    pub(super) id: ProbeId,
    pub(super) probe: Rc<Probe>,
    /// Where the probe speaks TLS.
    pub(super) client: Option<Rc<TlsClient>>,
}

#[cfg(test)]
impl ProbeId {
    pub(super) fn slot(self) -> u32 {
        self.slot
    }
}

impl Watchlist {
    /// Watches these groups instead of what was watched before. What is remembered of a backend stays, as
    /// long as it is the same backend, and its probes as long as they are to be the same.
    pub(super) fn watch(&mut self, watches: Vec<Watch>, now_ms: u64) {
        let groups = std::mem::take(&mut self.groups);
        let told: HashMap<String, Availability> =
            groups.iter().filter_map(|group| Some((group.group.name.clone(), group.availability?))).collect();
        let before = groups.into_iter().flat_map(|group| group.members);
        let mut before: HashMap<u32, Watched> =
            before.map(|watched| (watched.backend.slot, watched)).collect();
        self.places.clear();
        for (group_index, watch) in watches.into_iter().enumerate() {
            let mut group = WatchedGroup::new(watch);
            group.availability = told.get(&group.group.name).copied();
            let known = |backend: &Backend| {
                let watched = before.remove(&backend.slot)?;
                std::ptr::eq(Arc::as_ptr(&watched.backend), backend).then_some(watched)
            };
            group.adopt(known, &mut self.sequence, now_ms);
            let slots = group.members.iter().map(|watched| watched.backend.slot);
            let places = slots.enumerate().map(|(member, slot)| (slot, (group_index, member)));
            self.places.extend(places);
            self.groups.push(group);
        }
    }

    /// Real requests to the backend in this slot failed again and again.
    pub(super) fn note_failures(&mut self, slot: u32, now_ms: u64) {
        let Some(&(group, member)) = self.places.get(&slot) else { return };
        if let Some(group) = self.groups.get_mut(group) {
            group.note_failures(member, now_ms, &mut self.events);
        }
    }

    /// A job is done.
    pub(super) fn note_probe(&mut self, id: ProbeId, outcome: ProbeResult, now_ms: u64) {
        self.queue(id.in_service).in_flight -= 1;
        match outcome {
            Err(ProbeError::NoDescriptor) => self.complain(
                now_ms,
                "this process has no descriptor left; raise the descriptor limit (LimitNOFILE=) or lower \
                 max_connections",
            ),
            Err(ProbeError::NoLocalPort) => self.complain(
                now_ms,
                "no local port is left for that; widen sysctl net.ipv4.ip_local_port_range",
            ),
            Err(ProbeError::NoSource(problem)) => {
                let group = self.place(id).and_then(|(group, _)| self.groups.get(group));
                let name = group.map_or("", |watched| &watched.group.name).to_owned();
                let why = format!("source_address of group \"{name}\" {}", problem.as_str());
                self.complain(now_ms, &why);
            }
            _ => {}
        }
        let Some((group, member)) = self.place(id) else { return };
        if let Some(group) = self.groups.get_mut(group) {
            group.note_probe(member, outcome, now_ms, &mut self.events);
        }
    }

    /// Does what is due by now.
    pub(super) fn pass_time(&mut self, now_ms: u64) {
        for group in &mut self.groups {
            group.pass_time(now_ms, &mut self.events);
            for watched in &mut group.members {
                if let Some(probing) = &mut watched.probing
                    && probing.schedule.falls_due(now_ms)
                {
                    let in_service = watched.backend.health.is_available();
                    let id = ProbeId { slot: watched.backend.slot, number: probing.number, in_service };
                    let queue = if in_service { &mut self.in_service } else { &mut self.out_of_service };
                    queue.due.push_back(id);
                }
            }
        }
    }

    /// The next probe to be made, as long as not too many are under way.
    pub(super) fn next_job(&mut self, now_ms: u64) -> Option<Job> {
        while self.in_service.in_flight + self.out_of_service.in_flight < MAX_PROBES {
            let id = match self.in_service.due.pop_front() {
                None if self.out_of_service.in_flight < MAX_OUT_OF_SERVICE => {
                    self.out_of_service.due.pop_front()?
                }
                next => next?,
            };
            if let Some(job) = self.job(id, now_ms) {
                self.queue(id.in_service).in_flight += 1;
                return Some(job);
            }
        }
        None
    }

    fn queue(&mut self, in_service: bool) -> &mut ProbeQueue {
        if in_service { &mut self.in_service } else { &mut self.out_of_service }
    }

    /// Publishes what changed.
    pub(super) fn refresh(&mut self, now_ms: u64) {
        for group in &mut self.groups {
            group.refresh(now_ms, &mut self.events);
        }
    }

    /// None if that probing has ended.
    fn job(&mut self, id: ProbeId, now_ms: u64) -> Option<Job> {
        let (group, member) = self.place(id)?;
        let group = self.groups.get_mut(group)?;
        let client = group.client(member);
        let probing = group.members.get_mut(member)?.probing.as_mut()?;
        probing.schedule.begin(now_ms);
        Some(Job { id, probe: Rc::clone(&probing.probe), client })
    }

    /// Group and member, if that probing goes on.
    fn place(&self, id: ProbeId) -> Option<(usize, usize)> {
        let (group, member) = *self.places.get(&id.slot)?;
        let probing = self.groups.get(group)?.members.get(member)?.probing.as_ref()?;
        (probing.number == id.number).then_some((group, member))
    }

    fn complain(&mut self, now_ms: u64, why: &str) {
        if self.complained_ms.is_none_or(|told_ms| now_ms.saturating_sub(told_ms) >= COMPLAINT_MS) {
            self.complained_ms = Some(now_ms);
            self.events.add(now_ms, || {
                let line = format!("warning: backends cannot be probed: {why}");
                News::new(EventKind::ProbesImpossible, line)
            });
        }
    }
}
