//! What outlives a reload: backends with their health and counters, and the numbers of things.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Weak;

use crate::config;
use crate::control::build::limits::Counts;
use crate::control::build::maintenance::Switches;
use crate::control::build::overrides::BackendOverrides;
use crate::control::build::series::SeriesMemory;
use crate::net::address::Address;
use crate::policy::balance::hash_key::hash;
use crate::policy::balance::sticky::StickyMode;
use crate::snapshot::Leaving;
use crate::snapshot::Listener;
use crate::snapshot::affinity::Affinity;
use crate::snapshot::backend::Backend;
use crate::snapshot::backend::CarriedHealth;
use crate::snapshot::backend::Health;
use crate::snapshot::group::Group;
use crate::snapshot::group::MemberOverride;
use crate::snapshot::health_path::Readiness;
use crate::snapshot::maintenance::MaintenanceSwitch;
use crate::snapshot::quota::Quota;
use crate::snapshot::request_queue::QueueState;
use crate::telemetry::backend_counters::BackendCounters;
use crate::telemetry::backend_counters::MAX_BACKENDS;
use crate::telemetry::relay_counters::RelayCounters;
use crate::telemetry::route_counters::RouteCounters;

/// How long a listener that was removed stays known at least, so that its last connections can arrive.
const LAST_ARRIVALS_MS: u64 = 5_000;

/// Everything that a new snapshot takes over from the one before.
pub struct Registry {
    pub(super) backend_counters: Arc<BackendCounters>,
    /// By slot.
    backends: Vec<Weak<Backend>>,
    free_slots: Vec<u32>,
    by_address: HashMap<(String, Address), Weak<Backend>>,
    group_slots: Slots,
    listener_slots: Slots,
    pub groups: Vec<KnownGroup>,
    /// Indices in `groups`.
    group_index: HashMap<String, usize>,
    pub listeners: Vec<Arc<Listener>>,
    departed_listeners: Vec<(Arc<Listener>, u64)>,
    /// Backends of groups, and of members, that the configuration names no more.
    departed: Vec<Leaving>,
    pub(super) limits: Counts,
    pub(super) switches: Switches,
    pub overrides: BackendOverrides,
    pub(super) series: SeriesMemory<RouteCounters>,
    pub(super) relayed: SeriesMemory<RelayCounters>,
    pub(super) readiness: Arc<Readiness>,
    /// Until the first snapshot is built.
    pub(super) inherited_health: InheritedHealth,
}

/// A group in service, and what it was made of.
pub struct KnownGroup {
    /// Without places in files.
    pub wanted: config::ServerGroup,
    pub addresses: Vec<Vec<Address>>,
    /// What was said of backends by command, in the order of `wanted`.
    pub said: Vec<MemberOverride>,
    pub group: Arc<Group>,
}

/// How backends of another process fared, by the names of groups and addresses.
type InheritedHealth = HashMap<(String, String), CarriedHealth>;

/// Small numbers for names. A name keeps its number for as long as it is in use.
#[derive(Default)]
struct Slots {
    by_name: HashMap<String, u32>,
    free: Vec<u32>,
    next: u32,
}

impl Slots {
    fn slot(&mut self, name: &str) -> u32 {
        if let Some(&slot) = self.by_name.get(name) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.by_name.insert(name.to_owned(), slot);
        slot
    }

    fn retain(&mut self, is_used: impl Fn(&str) -> bool) {
        let free = &mut self.free;
        self.by_name.retain(|name, slot| {
            let keep = is_used(name);
            if !keep {
                free.push(*slot);
            }
            keep
        });
    }
}

/// More backends than there can be.
#[derive(Debug)]
pub struct TooManyBackends;

impl Registry {
    pub fn new(backend_counters: Arc<BackendCounters>, readiness: Arc<Readiness>) -> Registry {
        let workers = backend_counters.workers();
        Registry {
            series: SeriesMemory::new(workers, RouteCounters::new),
            relayed: SeriesMemory::new(workers, RelayCounters::new),
            readiness,
            backend_counters,
            backends: Vec::new(),
            free_slots: Vec::new(),
            by_address: HashMap::new(),
            group_slots: Slots::default(),
            listener_slots: Slots::default(),
            groups: Vec::new(),
            group_index: HashMap::new(),
            listeners: Vec::new(),
            departed_listeners: Vec::new(),
            departed: Vec::new(),
            limits: Counts::default(),
            switches: Switches::default(),
            overrides: BackendOverrides::default(),
            inherited_health: InheritedHealth::new(),
        }
    }

    /// The backend of a group at an address, as it is known, here or to the process before, or new; true if it is new.
    pub fn backend(
        &mut self,
        group: &str,
        address: &Address,
    ) -> Result<(Arc<Backend>, bool), TooManyBackends> {
        let key = (group.to_owned(), address.clone());
        if let Some(known) = self.by_address.get(&key).and_then(Weak::upgrade) {
            return Ok((known, false));
        }
        let slot = match self.free_slots.pop() {
            Some(slot) => slot,
            None if self.backends.len() < MAX_BACKENDS => {
                self.backends.push(Weak::new());
                self.backends.len() as u32 - 1
            }
            None => return Err(TooManyBackends),
        };
        let name = address.to_string();
        let inherited = self.inherited_health.remove(&(group.to_owned(), name.clone()));
        let is_new = inherited.is_none();
        let backend = Arc::new(Backend {
            address: address.clone(),
            identity: hash(name.as_bytes()),
            name,
            slot,
            counted_before: self.backend_counters.totals(slot),
            health: inherited.map(Health::restored).unwrap_or_default(),
            room: Quota::new(0),
        });
        if let Some(place) = self.backends.get_mut(slot as usize) {
            *place = Arc::downgrade(&backend);
        }
        self.by_address.insert(key, Arc::downgrade(&backend));
        Ok((backend, is_new))
    }

    /// Every backend that is in use, with the names of its group and its address.
    pub(super) fn living_backends(&self) -> impl Iterator<Item = ((&str, &Address), Arc<Backend>)> {
        let known = self.by_address.iter();
        known.filter_map(|((group, address), backend)| Some(((group.as_str(), address), backend.upgrade()?)))
    }

    /// Who waits for backends of a group, if anybody could before.
    pub fn queue_state(&self, name: &str) -> Arc<QueueState> {
        let known = self.known_group(name).and_then(|known| known.group.queue.as_ref());
        let kept = known.map(|queue| Arc::clone(&queue.state));
        kept.unwrap_or_else(|| Arc::new(QueueState::new(self.backend_counters.workers())))
    }

    pub fn workers(&self) -> usize {
        self.backend_counters.workers()
    }

    pub fn group_slot(&mut self, name: &str) -> u32 {
        self.group_slots.slot(name)
    }

    /// Listeners of other families have other slots: what one has accepted, the other cannot serve.
    pub fn listener_slot(&mut self, name: &str, family: &str) -> usize {
        self.listener_slots.slot(&format!("{name} {family}")) as usize
    }

    pub fn known_group(&self, name: &str) -> Option<&KnownGroup> {
        self.groups.get(*self.group_index.get(name)?)
    }

    pub fn known_listener(&self, name: &str, family: &str) -> Option<&Arc<Listener>> {
        let departed = self.departed_listeners.iter().map(|(listener, _)| listener);
        let is_meant = |listener: &&Arc<Listener>| listener.name == name && listener.family() == family;
        self.listeners.iter().chain(departed).find(is_meant)
    }

    pub(super) fn listener_in_service(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| listener.name == name)
    }

    /// What a group remembers of its clients, if it did so before.
    pub fn affinity(&self, name: &str, mode: StickyMode) -> Arc<Affinity> {
        let known = self.known_group(name).and_then(|known| known.group.sticky.as_ref());
        let kept = known.filter(|sticky| sticky.mode == mode).and_then(|sticky| sticky.affinity.clone());
        kept.unwrap_or_default()
    }

    /// Takes over what a configuration that goes into service says of what can also be said by command, and gives the
    /// switches of all that it has.
    pub(super) fn adopt_said(&mut self, config: &config::Config, now_ms: u64) -> Vec<Arc<MaintenanceSwitch>> {
        self.overrides.adopt(config);
        self.switches.adopt(config, now_ms)
    }

    /// Takes over what the next snapshot is made of, and notes who is missing in it.
    pub fn replace(&mut self, groups: Vec<KnownGroup>, listeners: Vec<Arc<Listener>>, now_ms: u64) {
        let members = groups.iter().flat_map(|known| &known.group.members);
        let staying: HashSet<u32> = members.map(|member| member.backend.slot).collect();
        // Who came back is no longer on its way out.
        self.departed.retain(|leaving| !staying.contains(&leaving.backend.slot));
        for known in &self.groups {
            let drain_timeout = known.group.drain_timeout;
            let gone = known.group.members.iter().filter(|member| !staying.contains(&member.backend.slot));
            self.departed
                .extend(gone.map(|member| Leaving { backend: Arc::clone(&member.backend), drain_timeout }));
        }
        for known in &groups {
            for member in &known.group.members {
                let health = &member.backend.health;
                match (member.takes_requests(), health.draining_since_ms()) {
                    (true, 0) | (false, 1..) => {}
                    (true, _) => health.end_drain(),
                    (false, 0) => health.begin_drain(now_ms),
                }
            }
        }
        for leaving in self.departed.iter().filter(|leaving| leaving.backend.health.draining_since_ms() == 0)
        {
            leaving.backend.health.begin_drain(now_ms);
        }
        let gone = std::mem::replace(&mut self.listeners, listeners);
        let is_named = |known: &Listener| {
            self.listeners.iter().any(|it| it.name == known.name && it.family() == known.family())
        };
        // One that came back has the connections of the one before, and counts them.
        self.departed_listeners.retain(|(listener, _)| !is_named(listener));
        for listener in gone.into_iter().filter(|listener| !is_named(listener)) {
            listener.leave();
            self.departed_listeners.push((listener, now_ms));
        }
        let names = groups.iter().map(|known| known.wanted.name.clone());
        self.group_index = names.zip(0..).collect();
        self.groups = groups;
    }

    /// Forgets what has come to its end; to be called before a snapshot is built.
    pub fn tidy(&mut self, now_ms: u64) {
        self.limits.tidy();
        self.series.tidy();
        self.relayed.tidy();
        self.departed.retain(|leaving| {
            let health = &leaving.backend.health;
            // One that came back is no longer on its way out.
            !health.drain_expired() && health.draining_since_ms() != 0
        });
        self.departed_listeners.retain(|(listener, since)| {
            listener.connections.used() > 0 || now_ms.saturating_sub(*since) < LAST_ARRIVALS_MS
        });
        self.by_address.retain(|_, backend| backend.strong_count() > 0);
        let dead = (0u32..).zip(&self.backends).filter(|(_, backend)| backend.strong_count() == 0);
        self.free_slots = dead.map(|(slot, _)| slot).collect();
        // Slots of listeners are never used again: a client that waits in the queue of one must not be
        // served by another. It takes eight bytes for each name that there ever was.
        let (groups, departed) = (&self.group_index, &self.departed_listeners);
        self.group_slots.retain(|name| {
            let mut departed = departed.iter().flat_map(|(listener, _)| &listener.groups);
            groups.contains_key(name) || departed.any(|group| group.name == name)
        });
    }

    /// Listeners by slot: those in service, and those that still have connections.
    pub fn listeners_by_slot(&self) -> Vec<Option<Arc<Listener>>> {
        let mut by_slot = Vec::new();
        let departed = self.departed_listeners.iter().map(|(listener, _)| listener);
        for listener in departed.chain(&self.listeners) {
            if listener.slot >= by_slot.len() {
                by_slot.resize(listener.slot + 1, None);
            }
            by_slot[listener.slot] = Some(Arc::clone(listener));
        }
        by_slot
    }

    /// Backends whose drain has begun and is not over.
    pub fn leaving(&self) -> Vec<Leaving> {
        let of_groups = self.groups.iter().flat_map(|known| {
            let drain_timeout = known.group.drain_timeout;
            let leaving = known.group.members.iter().filter(|member| !member.takes_requests());
            leaving.map(move |member| Leaving { backend: Arc::clone(&member.backend), drain_timeout })
        });
        let departed = self.departed.iter().map(|leaving| Leaving {
            backend: Arc::clone(&leaving.backend),
            drain_timeout: leaving.drain_timeout,
        });
        of_groups.chain(departed).collect()
    }
}
