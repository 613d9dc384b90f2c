//! Where the requests that one rule takes are counted, or those that none takes.

use std::sync::Arc;

use crate::telemetry::route_counters::RouteCounters;

/// The counters of requests, for each group apart, and for those that went to none.
#[derive(Clone, Default)]
pub struct RouteSeries(Box<[(Option<u32>, Arc<RouteCounters>)]>);

impl RouteSeries {
    /// Groups are told by their index in those of the listener.
    pub fn new(by_group: impl IntoIterator<Item = (Option<u32>, Arc<RouteCounters>)>) -> RouteSeries {
        RouteSeries(by_group.into_iter().collect())
    }

    /// The counters of requests that went to this group; None where nothing is counted.
    pub fn find(&self, group: Option<u32>) -> Option<&RouteCounters> {
        self.0.iter().find(|(known, _)| *known == group).map(|(_, counters)| &**counters)
    }

    /// The counters of each group.
    pub fn each(&self) -> impl Iterator<Item = (Option<u32>, &RouteCounters)> {
        self.0.iter().map(|(group, counters)| (*group, &**counters))
    }
}
