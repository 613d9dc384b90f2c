//! What outlives not only a reload but the process: gathered for a successor, and taken over from the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::in_order;
use crate::control::build::limits::LimitOwner;
use crate::control::build::registry::Registry;
use crate::control::handover::state::CarriedAffinity;
use crate::control::handover::state::CarriedBackend;
use crate::control::handover::state::CarriedLimits;
use crate::control::handover::state::CarriedProcessCounts;
use crate::control::handover::state::CarriedState;
use crate::control::handover::state::CarriedSwitch;
use crate::control::handover::state::CountsOwner;
use crate::snapshot::affinity::Affinity;
use crate::snapshot::client_rates::ClientRates;
use crate::snapshot::group::Group;
use crate::telemetry::carried::CarriedCounts;

impl Registry {
    /// Notes what is known of clients and backends. `now_ns` is of the clock that all workers share.
    pub fn carry(&self, state: &mut CarriedState, now_ns: u64) {
        for ((group, _), backend) in self.living_backends() {
            state.health.push(CarriedBackend::new(group, &backend.name, backend.health.carried()));
        }
        for (name, affinity) in self.groups.iter().filter_map(|known| affinity_of(&known.group)) {
            state
                .affinity
                .push(CarriedAffinity { group: name.to_owned(), clients: affinity.known().collect() });
        }
        let rates = self.limits.rates.as_ref();
        state.limits = CarriedLimits {
            clients: rates.map(|rates| (rates.key(), rates.known(now_ns).collect())),
            shared: Vec::new(),
            bandwidths: Vec::new(),
        };
        for ((owner, name), shared) in &self.limits.shared {
            state.limits.shared.push((owner.as_str().to_owned(), name.clone(), shared.due_ns()));
        }
        for ((owner, name, bytes_per_second), due) in &self.limits.bandwidths {
            let owner = owner.as_str().to_owned();
            state.limits.bandwidths.push((owner, name.clone(), *bytes_per_second, due.due_ns()));
        }
        state.switches = self.switches.carried();
        state.overrides = self.overrides.carried();
    }

    /// Takes over what the first snapshot is built with.
    pub fn inherit(&mut self, state: &CarriedState) {
        let health = state
            .health
            .iter()
            .map(|backend| ((backend.group.clone(), backend.address.clone()), backend.health()));
        self.inherited_health = health.collect();
        state.overrides.iter().for_each(|said| self.overrides.inherit(said));
        let CarriedLimits { clients, shared, bandwidths } = &state.limits;
        if let Some((key, known)) = clients {
            self.limits.rates = Some(Arc::new(ClientRates::restored(*key, known.iter().copied())));
        }
        for (owner, name, due_ns) in shared {
            if let Some(owner) = LimitOwner::of_name(owner) {
                self.limits.shared.entry((owner, name.clone())).or_default().restore(*due_ns);
            }
        }
        for (owner, name, bytes_per_second, due_ns) in bandwidths {
            if let Some(owner) = LimitOwner::of_name(owner) {
                let due = self.limits.bandwidths.entry((owner, name.clone(), *bytes_per_second));
                due.or_default().restore(*due_ns);
            }
        }
    }

    /// Takes over the rest once the first snapshot is built.
    pub fn inherit_into_groups(&mut self, state: &CarriedState) {
        self.inherited_health.clear();
        for CarriedAffinity { group, clients } in &state.affinity {
            let known = self.known_group(group).and_then(|known| affinity_of(&known.group));
            if let Some((_, affinity)) = known {
                clients.iter().for_each(|(key, backend, seen_s)| affinity.learn(*key, *backend, *seen_s));
            }
        }
        state.switches.iter().for_each(|switch: &CarriedSwitch| self.switches.inherit(switch));
    }

    /// Notes what was counted.
    pub fn carry_counts(&self, counts: &mut CarriedProcessCounts) {
        for listener in &self.listeners {
            let name = || listener.name.clone();
            if let Some(counters) = &listener.counters {
                counts.add(CountsOwner::Listener(name()), counters.carried().0);
            }
            let refused = listener.refused.each().filter(|(_, count)| *count > 0);
            let refused = refused.map(|(reason, count)| (reason.as_str().to_owned(), count));
            counts.add(CountsOwner::Refused(name()), in_order::map(refused));
        }
        for known in &self.groups {
            if let Some(counters) = &known.group.counters {
                counts.add(CountsOwner::Group(known.group.name.clone()), counters.carried().0);
            }
        }
        for ((listener, rule, group), counters) in self.series.living() {
            counts.add(CountsOwner::Route { listener, rule, group }, counters.carried().0);
        }
        for ((listener, rule, group), counters) in self.relayed.living() {
            // One that has just become another kind of listener cannot tell both.
            if self.series.find(&listener, rule.as_deref(), group.as_deref()).is_none() {
                counts.add(CountsOwner::Route { listener, rule, group }, counters.carried().0);
            }
        }
        for ((group, _), backend) in self.living_backends() {
            let totals = self.backend_counters.totals(backend.slot).since(backend.counted_before);
            let owner = CountsOwner::Backend { group: group.to_owned(), address: backend.name.clone() };
            let named = [("requests", totals.requests), ("failures", totals.failures)];
            counts.add(owner, nonzero(named));
        }
    }

    /// Adds what a process before this one has counted of what is in service.
    pub fn add_counts(&self, counts: &CarriedProcessCounts) {
        for (owner, counts) in &counts.by_owner {
            let count = |name: &str| counts.get(name).copied().unwrap_or(0);
            let carried = || CarriedCounts(counts.clone());
            match owner {
                CountsOwner::Listener(name) => {
                    let counters =
                        self.listener_in_service(name).and_then(|listener| listener.counters.as_ref());
                    counters.into_iter().for_each(|counters| counters.add_carried(&carried()));
                }
                CountsOwner::Refused(name) => {
                    if let Some(listener) = self.listener_in_service(name) {
                        counts.iter().for_each(|(reason, count)| listener.refused.add_before(reason, *count));
                    }
                }
                CountsOwner::Group(name) => {
                    let counters = self.known_group(name).and_then(|known| known.group.counters.as_ref());
                    counters.into_iter().for_each(|counters| counters.add_carried(&carried()));
                }
                CountsOwner::Route { listener, rule, group } => {
                    let counters = self.series.find(listener, rule.as_deref(), group.as_deref());
                    counters.into_iter().for_each(|counters| counters.add_carried(&carried()));
                    let relayed = self.relayed.find(listener, rule.as_deref(), group.as_deref());
                    relayed.into_iter().for_each(|counters| counters.add_carried(&carried()));
                }
                CountsOwner::Backend { group, address } => {
                    let known = self.known_group(group).map(|known| &known.group.members);
                    let mut members = known.into_iter().flatten();
                    if let Some(member) = members.find(|member| member.backend.name == *address) {
                        let slot = member.backend.slot;
                        self.backend_counters.add_before(slot, count("requests"), count("failures"));
                    }
                }
                CountsOwner::Log(_) | CountsOwner::Reloads => {}
            }
        }
    }
}

fn affinity_of(group: &Group) -> Option<(&str, &Arc<Affinity>)> {
    let affinity = group.sticky.as_ref()?.affinity.as_ref()?;
    Some((&group.name, affinity))
}

pub(in crate::control) fn nonzero<const N: usize>(named: [(&str, u64); N]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    // One by one: collecting sorts, which is more of a program.
    for (name, count) in named.into_iter().filter(|(_, count)| *count > 0) {
        counts.insert(name.to_owned(), count);
    }
    counts
}
