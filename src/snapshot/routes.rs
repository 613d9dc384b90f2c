//! Where what one rule takes is counted, or what none takes.

use std::sync::Arc;

use crate::telemetry::route_counters::RouteCounters;

/// The counters of requests, or of what is relayed, for each group apart, and for what went to none.
#[derive(Clone)]
pub struct RouteSeries<C = RouteCounters>(Box<[(Option<u32>, Arc<C>)]>);

impl<C> Default for RouteSeries<C> {
    fn default() -> RouteSeries<C> {
        RouteSeries(Box::default())
    }
}

impl<C> RouteSeries<C> {
    /// Groups are told by their index in those of the listener.
    pub fn new(by_group: impl IntoIterator<Item = (Option<u32>, Arc<C>)>) -> RouteSeries<C> {
        RouteSeries(by_group.into_iter().collect())
    }

    /// The counters of what went to this group; None where nothing is counted.
    pub fn find(&self, group: Option<u32>) -> Option<&Arc<C>> {
        self.0.iter().find(|(known, _)| *known == group).map(|(_, counters)| counters)
    }

    /// The counters of each group.
    pub fn each(&self) -> impl Iterator<Item = (Option<u32>, &C)> {
        self.0.iter().map(|(group, counters)| (*group, &**counters))
    }
}
