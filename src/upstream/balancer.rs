//! Choosing a backend, and what one worker remembers for it from one request to the next.

use std::cell::Cell;
use std::cell::RefCell;
use std::sync::Arc;

use crate::net::mailbox::Mailbox;
use crate::policy::balance::Candidate;
use crate::policy::balance::least_connections::Tournament;
use crate::policy::retry::Budget;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::snapshot::group::Picker;
use crate::snapshot::group::SelectionTable;
use crate::telemetry::backend_counters::BackendCounters;
use crate::upstream::request_queues::RequestQueues;

/// The choosing side of one worker.
pub struct Balancer {
    worker: usize,
    backend_counters: Arc<BackendCounters>,
    /// Slots of backends that failed too many requests in a row, for the health checker.
    failure_reports: Mailbox<u32>,
    /// By slot of the group.
    groups: RefCell<Vec<GroupState>>,
    /// The state of a small generator; what it draws is no secret.
    random: Cell<u64>,
    /// Requests that wait for a backend with room.
    pub queues: RequestQueues,
}

#[derive(Default)]
struct GroupState {
    /// The generation of the table; 0: none yet.
    generation: u64,
    table: Option<Arc<SelectionTable>>,
    /// Where the round stands. It begins elsewhere on each worker, lest all send their first request to
    /// the same backend.
    position: Option<usize>,
    tournament: Option<Tournament>,
    budget: Budget,
}

/// A request that is counted as in flight to a backend, until this is dropped.
pub struct InFlight<'w> {
    balancer: &'w Balancer,
    group: u32,
    backend: u32,
    slot: u32,
}

/// A request that goes on being counted as in flight though nobody borrows the balancer for it. It is given back by
/// [`Balancer::resume`] alone.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct CountedInFlight {
    group: u32,
    backend: u32,
    slot: u32,
}

impl Balancer {
    pub fn new(
        worker: usize,
        backend_counters: Arc<BackendCounters>,
        failure_reports: Mailbox<u32>,
        (seed, queues): (u64, RequestQueues),
    ) -> Balancer {
        let random = Cell::new(seed | 1);
        Balancer { worker, backend_counters, failure_reports, groups: RefCell::default(), random, queues }
    }

    /// A backend of the group that was not tried yet; the index of the member. `key` is the hash of what
    /// of the request decides, where something does.
    pub fn choose(&self, group: &Group, key: Option<u64>, tried: &[u32]) -> Option<u32> {
        self.with(group, |load, table| {
            let is_eligible = |backend: u32| table.has(backend) && !tried.contains(&backend);
            let owner = key.and_then(|key| group.owner(key, is_eligible));
            match owner {
                Some(owner) => Some(owner),
                None if tried.is_empty() => self.first_choice(group, load, table),
                None => self.other_choice(group, load, table, tried).or_else(|| self.standby(group, tried)),
            }
        })
    }

    /// Takes room at the least loaded of the candidates that have some and were not tried; the index of the member.
    pub fn choose_with_room(&self, group: &Group, tried: &[u32]) -> Option<u32> {
        let has_room = |backend: u32| {
            group.member(backend as usize).is_some_and(|member| member.backend.room.has_left())
        };
        self.with(group, |_, table| {
            // Another worker can be quicker, but hardly as often as there are candidates.
            for _ in &table.candidates {
                let candidates = table.candidates.iter();
                let free = candidates
                    .filter(|candidate| !tried.contains(&candidate.backend) && has_room(candidate.backend));
                let least =
                    free.min_by_key(|candidate| self.burden(group, candidate.backend, candidate.weight))?;
                if group.takes_room(least.backend) {
                    return Some(least.backend);
                }
            }
            None
        })
    }

    /// Whether every active backend of the group was tried, and a standby was not.
    pub fn has_only_standbys_left(&self, group: &Group, tried: &[u32]) -> bool {
        let is_exhausted = |table: &SelectionTable| {
            table.candidates.iter().all(|candidate| tried.contains(&candidate.backend))
        };
        self.with(group, |_, table| Some(is_exhausted(table))).unwrap_or(false)
            && self.standby(group, tried).is_some()
    }

    /// Whether a member of the group may be chosen for new requests.
    pub fn may_choose(&self, group: &Group, backend: u32) -> bool {
        self.with(group, |_, table| Some(table.has(backend))).unwrap_or(false)
    }

    /// Who the candidates of the group are.
    pub fn availability(&self, group: &Group) -> Option<Availability> {
        self.with(group, |_, table| Some(table.availability))
    }

    /// Counts a request that a client made of this group.
    pub fn request_began(&self, group: &Group) {
        self.with(group, |load, _| {
            load.budget.request_began();
            Some(())
        });
    }

    /// Whether one more backend may be tried. A group whose backends fail all over must not get several
    /// times the requests that its clients make.
    pub fn may_retry(&self, group: &Group) -> bool {
        self.with(group, |load, _| Some(load.budget.retry())).unwrap_or(false)
    }

    /// Counts a request as in flight to a member of the group until what is returned is dropped.
    pub fn begin<'w>(&'w self, group: &Group, backend: u32) -> Option<InFlight<'w>> {
        let slot = group.member(backend as usize)?.backend.slot;
        self.backend_counters.own(self.worker, slot)?.begin();
        let in_flight = InFlight { balancer: self, group: group.slot, backend, slot };
        in_flight.tell();
        Some(in_flight)
    }

    /// What was kept counts until what is returned is dropped.
    pub fn resume(&self, counted: CountedInFlight) -> InFlight<'_> {
        let CountedInFlight { group, backend, slot } = counted;
        InFlight { balancer: self, group, backend, slot }
    }

    /// Notes that a member of the group failed a request. The health checker hears of one that fails again and again, but
    /// not of one that is asked at whatever port clients choose: who comes to ports at which nobody serves could take all
    /// backends out of service.
    pub fn note_failure(&self, group: &Group, backend: u32) {
        let Some(member) = group.member(backend as usize) else { return };
        if let Some(own) = self.backend_counters.own(self.worker, member.backend.slot) {
            own.fail();
        }
        if member.backend.address.is_at_any_port() {
            return;
        }
        let failures = member.backend.health.note_failure();
        let is_too_many = group.max_failures != 0 && failures.is_multiple_of(group.max_failures);
        if is_too_many && !member.backend.health.is_ejected() {
            // When the mailbox is full, as many failures more say it again.
            let _ = self.failure_reports.send(member.backend.slot);
        }
    }

    /// Notes that a member of the group answered a request.
    pub fn note_success(&self, group: &Group, backend: u32) {
        if let Some(member) = group.member(backend as usize) {
            member.backend.health.note_success();
        }
    }

    /// Whether this worker has requests in flight to the backend in a slot.
    pub fn has_in_flight(&self, slot: u32) -> bool {
        self.backend_counters.own(self.worker, slot).is_some_and(|own| own.in_flight() > 0)
    }

    /// The work of each tick of the worker's wheel.
    pub fn tick(&self) {
        self.groups.borrow_mut().iter_mut().for_each(|load| load.budget.tick());
        self.queues.call_all();
    }

    fn first_choice(&self, group: &Group, load: &mut GroupState, table: &SelectionTable) -> Option<u32> {
        let in_flight = |backend: u32| self.in_flight(group, backend);
        match &table.picker {
            // A hash without a key goes by the schedule.
            Picker::Round(schedule) | Picker::Hash(schedule) => {
                let begin = || schedule.start(self.worker, self.backend_counters.workers());
                let position = load.position.unwrap_or_else(begin);
                load.position = Some(position.wrapping_add(1));
                schedule.pick(position)
            }
            Picker::Alias(alias) => alias.pick(self.draw()),
            Picker::Pairs(pairs) => pairs.pick(|| self.draw(), in_flight),
            Picker::Tournament => load.tournament.as_mut()?.pick(in_flight),
        }
    }

    /// After a failure, which is seldom: the one that follows in the round, or the least loaded of the others; of
    /// equals anybody.
    fn other_choice(
        &self,
        group: &Group,
        load: &GroupState,
        table: &SelectionTable,
        tried: &[u32],
    ) -> Option<u32> {
        if let Picker::Round(schedule) | Picker::Hash(schedule) = &table.picker {
            return schedule.pick_other(load.position.unwrap_or(0), tried);
        }
        let candidates = table.candidates.iter();
        let others = candidates.filter(|candidate| !tried.contains(&candidate.backend));
        let burden = |other: &&Candidate| self.burden(group, other.backend, other.weight);
        others.min_by_key(burden).map(|other| other.backend)
    }

    /// The least loaded standby, for a request that every active backend has failed: those that failed a few requests
    /// are not out of service yet.
    fn standby(&self, group: &Group, tried: &[u32]) -> Option<u32> {
        let standbys = (0u32..)
            .zip(&group.members)
            .filter(|(index, member)| member.is_standby && member.is_available() && !tried.contains(index));
        let least = standbys.min_by_key(|(index, member)| self.burden(group, *index, member.weight));
        least.map(|(index, _)| index)
    }

    /// How busy a member is for its weight; equals are told apart by chance.
    fn burden(&self, group: &Group, backend: u32, weight: u32) -> (u64, u64) {
        let in_flight = u64::from(self.in_flight(group, backend));
        // Half a request more, so that of idle ones the heaviest is asked.
        let load = ((2 * in_flight + 1) << 31) / u64::from(weight.max(1));
        (load, self.draw())
    }

    fn in_flight(&self, group: &Group, backend: u32) -> u32 {
        let member = group.member(backend as usize);
        member.map_or(0, |member| self.backend_counters.in_flight(member.backend.slot))
    }

    /// Runs `work` with what is remembered of the group, and its table as it is now.
    fn with<T>(
        &self,
        group: &Group,
        work: impl FnOnce(&mut GroupState, &SelectionTable) -> Option<T>,
    ) -> Option<T> {
        let mut groups = self.groups.borrow_mut();
        let slot = group.slot as usize;
        if slot >= groups.len() {
            groups.resize_with(slot + 1, GroupState::default);
        }
        let load = groups.get_mut(slot)?;
        if load.generation != group.table().generation() {
            let (generation, table) = group.table().load();
            load.tournament = table.tournament();
            (load.generation, load.table) = (generation, Some(table));
        }
        let table = load.table.take()?;
        let done = work(load, &table);
        load.table = Some(table);
        done
    }

    /// The next number of xorshift64*, by Marsaglia and Vigna.
    fn draw(&self) -> u64 {
        let mut state = self.random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl InFlight<'_> {
    /// Lets it count for longer than the balancer is borrowed.
    pub fn keep(self) -> CountedInFlight {
        let counted = CountedInFlight { group: self.group, backend: self.backend, slot: self.slot };
        std::mem::forget(self);
        counted
    }

    /// Takes the request back from those that were sent.
    pub fn never_sent(&self) {
        if let Some(own) = self.balancer.backend_counters.own(self.balancer.worker, self.slot) {
            own.never_sent();
        }
    }

    /// Tells the tournament, if the group has one, how many requests the backend has.
    fn tell(&self) {
        let mut groups = self.balancer.groups.borrow_mut();
        let load = groups.get_mut(self.group as usize);
        if let Some(tournament) = load.and_then(|load| load.tournament.as_mut()) {
            tournament.changed(self.backend, self.balancer.backend_counters.in_flight(self.slot));
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(own) = self.balancer.backend_counters.own(self.balancer.worker, self.slot) {
            own.end();
        }
        self.tell();
    }
}
