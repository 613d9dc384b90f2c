//! What was counted of a listener, by the rule that took it and the group that it went to.

use crate::snapshot::Listener;
use crate::snapshot::Protocol;
use crate::snapshot::routes::RouteSeries;
use crate::telemetry::relay_counters::RelayCounters;
use crate::telemetry::relay_counters::RelayTotals;
use crate::telemetry::route_counters::RouteCounters;
use crate::telemetry::route_counters::RouteTotals;

/// What took one way through a listener.
pub struct CountedRoute<'s, T = RouteTotals> {
    pub listener: &'s str,
    /// Empty: no rule; and no group.
    pub rule: &'s str,
    pub group: &'s str,
    pub totals: T,
}

/// All ways through a listener that requests have taken.
pub fn routes(listener: &Listener) -> Vec<CountedRoute<'_>> {
    let Some(http) = listener.http() else { return Vec::new() };
    let of_rules = http.rules.iter().flat_map(|rules| rules.iter().map(|rule| (&*rule.name, &rule.series)));
    counted(listener, std::iter::once(("", &http.series)).chain(of_rules), RouteCounters::totals)
}

/// All ways through a listener that connections or sessions of UDP have taken.
pub fn relayed(listener: &Listener) -> Vec<CountedRoute<'_, RelayTotals>> {
    let (series, rules) = match &listener.protocol {
        Protocol::Http(_) => return Vec::new(),
        Protocol::Stream(stream) => (&stream.series, stream.rules.as_ref()),
        Protocol::Datagram(datagram) => (&datagram.series, None),
    };
    let of_rules = rules.into_iter().flat_map(|rules| rules.iter().map(|rule| (&*rule.name, &rule.series)));
    counted(listener, std::iter::once(("", series)).chain(of_rules), RelayCounters::totals)
}

/// `all` are the counters of each rule, by its name.
fn counted<'s, C: 's, T>(
    listener: &'s Listener,
    all: impl Iterator<Item = (&'s str, &'s RouteSeries<C>)>,
    totals: fn(&C) -> Option<T>,
) -> Vec<CountedRoute<'s, T>> {
    let mut routes = Vec::new();
    for (rule, series) in all {
        for (group, counters) in series.each() {
            let Some(totals) = totals(counters) else { continue };
            let group = group.and_then(|index| listener.group(index as usize));
            let group = group.map_or("", |group| &group.name);
            routes.push(CountedRoute { listener: &listener.name, rule, group, totals });
        }
    }
    routes
}
