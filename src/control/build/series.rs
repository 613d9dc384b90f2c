//! The counters of requests, and of what is relayed, which outlive a reload by the names of listener, rule and group.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Weak;

use crate::snapshot::group::Group;
use crate::snapshot::routes::RouteSeries;
use crate::snapshot::rules::FinalAction;
use crate::snapshot::rules::Rules;
use crate::snapshot::stream::StreamRules;
use crate::telemetry::relay_counters::RelayCounters;
use crate::telemetry::route_counters::RouteCounters;

/// All counters of one kind. One that no snapshot has any more is gone.
pub(super) struct SeriesMemory<C> {
    workers: usize,
    /// Makes counters for so many workers.
    make: fn(usize) -> C,
    /// By listener.
    known: HashMap<String, HashMap<WayNames, Weak<C>>>,
}

/// The groups of a listener, and the index of its default group.
type ListenerGroups<'g> = (&'g [Arc<Group>], Option<usize>);

/// The names of a rule and of a group; None: no rule, and no group.
type WayNames = (Option<Arc<str>>, Option<String>);

impl<C> SeriesMemory<C> {
    pub(super) fn new(workers: usize, make: fn(usize) -> C) -> SeriesMemory<C> {
        SeriesMemory { workers, make, known: HashMap::new() }
    }

    /// Every way that is in service, by the names of listener, rule and group.
    pub(super) fn living(&self) -> impl Iterator<Item = ((String, Option<String>, Option<String>), Arc<C>)> {
        self.known.iter().flat_map(|(listener, ways)| {
            ways.iter().filter_map(move |((rule, group), counters)| {
                let names = (listener.clone(), rule.as_deref().map(str::to_owned), group.clone());
                Some((names, counters.upgrade()?))
            })
        })
    }

    /// The counters of one way, if it is in service.
    pub(super) fn find(&self, listener: &str, rule: Option<&str>, group: Option<&str>) -> Option<Arc<C>> {
        let names = (rule.map(Arc::from), group.map(str::to_owned));
        self.known.get(listener)?.get(&names)?.upgrade()
    }

    /// Forgets what is gone; to be called before a snapshot is built.
    pub(super) fn tidy(&mut self) {
        self.known.retain(|_, of_listener| {
            of_listener.retain(|_, counters| counters.strong_count() > 0);
            !of_listener.is_empty()
        });
    }

    /// The counters of what a rule of a listener takes, or None. `targets` are indices in `groups`.
    fn of_rule(
        &mut self,
        (listener, rule): (&str, Option<&Arc<str>>),
        targets: &[usize],
        groups: &[Arc<Group>],
    ) -> RouteSeries<C> {
        let known = self.known.entry(listener.to_owned()).or_default();
        let groups = targets.iter().filter_map(|index| Some((*index as u32, groups.get(*index)?)));
        let named = groups.map(|(index, group)| (Some(index), Some(group.name.clone())));
        RouteSeries::new(std::iter::once((None, None)).chain(named).map(|(index, name)| {
            let place = known.entry((rule.cloned(), name)).or_default();
            let counters = place.upgrade().unwrap_or_else(|| {
                let new = Arc::new((self.make)(self.workers));
                *place = Arc::downgrade(&new);
                new
            });
            (index, counters)
        }))
    }
}

impl SeriesMemory<RouteCounters> {
    /// Gives the rules of a listener their counters, and returns those of requests that no rule takes. Requests without a
    /// rule go to the default group, if to any.
    pub(super) fn attach(
        &mut self,
        listener: &str,
        rules: Option<&mut Rules>,
        (groups, default_group): ListenerGroups<'_>,
    ) -> RouteSeries {
        for rule in rules.into_iter().flat_map(Rules::iter_mut) {
            let targets: Vec<usize> = match &rule.last {
                FinalAction::Forward(targets) => targets.weights().map(|(group, _)| group).collect(),
                FinalAction::Redirect(_) | FinalAction::Respond(_) => Vec::new(),
            };
            rule.series = self.of_rule((listener, Some(&rule.name)), &targets, groups);
        }
        self.of_rule((listener, None), default_group.as_slice(), groups)
    }
}

impl SeriesMemory<RelayCounters> {
    /// The same for a listener that relays.
    pub(super) fn attach_relayed(
        &mut self,
        listener: &str,
        rules: Option<&mut StreamRules>,
        (groups, default_group): ListenerGroups<'_>,
    ) -> RouteSeries<RelayCounters> {
        for rule in rules.into_iter().flat_map(StreamRules::iter_mut) {
            let targets: Vec<usize> = rule.targets.weights().map(|(group, _)| group).collect();
            rule.series = self.of_rule((listener, Some(&rule.name)), &targets, groups);
        }
        self.of_rule((listener, None), default_group.as_slice(), groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::group::Group;

    #[test]
    fn counters_stay_for_as_long_as_their_names_are_in_service() {
        let groups = ["app", "other"].map(|name| Arc::new(Group::begin(name.to_owned(), 0).complete(0)));
        let mut memory = SeriesMemory::new(1, RouteCounters::new);
        let of = |memory: &mut SeriesMemory<RouteCounters>, listener: &str, default_group| {
            memory.tidy();
            memory.attach(listener, None, (&groups, default_group))
        };
        let place = |series: &RouteSeries, group| Arc::as_ptr(series.find(group).unwrap());
        let first = of(&mut memory, "web", Some(0));
        let second = of(&mut memory, "web", Some(1));
        assert_eq!(place(&first, None), place(&second, None));
        assert_ne!(place(&first, Some(0)), place(&second, Some(1)));
        assert!(second.find(Some(0)).is_none());
        assert_ne!(place(&of(&mut memory, "renamed", Some(0)), None), place(&first, None));
        drop((first, second));
        memory.tidy();
        assert!(memory.known.is_empty());
    }
}
