//! What was counted of the requests of a listener, by the rule that took them and the group that they went to.

use crate::snapshot::Listener;
use crate::telemetry::route_counters::RouteTotals;

/// What took one way through a listener.
pub struct CountedRoute<'s> {
    pub listener: &'s str,
    /// Empty: no rule; and no group.
    pub rule: &'s str,
    pub group: &'s str,
    pub totals: RouteTotals,
}

/// All ways through a listener that requests have taken.
pub fn routes(listener: &Listener) -> Vec<CountedRoute<'_>> {
    let Some(http) = listener.http() else { return Vec::new() };
    let of_rules = http.rules.iter().flat_map(|rules| rules.iter().map(|rule| (&*rule.name, &rule.series)));
    let all = std::iter::once(("", &http.series)).chain(of_rules);
    let mut routes = Vec::new();
    for (rule, series) in all {
        for (group, counters) in series.each() {
            let Some(totals) = counters.totals() else { continue };
            let group = group.and_then(|index| listener.group(index as usize));
            let group = group.map_or("", |group| &group.name);
            routes.push(CountedRoute { listener: &listener.name, rule, group, totals });
        }
    }
    routes
}
