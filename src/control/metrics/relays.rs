//! Metrics of connections, and of sessions of UDP, that are relayed.

use crate::control::metrics::exposition::Exposition;
use crate::control::metrics::families;
use crate::control::metrics::listeners::directions;
use crate::control::metrics::routes::CountedRoute;
use crate::control::metrics::routes::relayed;
use crate::snapshot::Snapshot;
use crate::telemetry::relay_counters::RelayTotals;

pub(super) fn collect(snapshot: &Snapshot, out: &mut Exposition) {
    let routes: Vec<CountedRoute<'_, RelayTotals>> =
        snapshot.listeners.iter().flatten().flat_map(|listener| relayed(listener)).collect();
    let mut ended = out.family(&families::RELAYED);
    for CountedRoute { listener, rule, group, totals } in &routes {
        totals.ended.iter().for_each(|(reason, count)| ended.count(&[listener, rule, group, reason], *count));
    }
    let mut bytes = out.family(&families::RELAYED_BYTES);
    for CountedRoute { listener, rule, group, totals } in &routes {
        directions(totals.bytes)
            .into_iter()
            .for_each(|(direction, count)| bytes.count(&[listener, rule, group, direction], count));
    }
    let mut retries = out.family(&families::RELAYED_RETRIES);
    for CountedRoute { listener, rule, group, totals } in &routes {
        retries.count(&[listener, rule, group], totals.retries);
    }
    if !snapshot.tells_durations {
        return;
    }
    let mut durations = out.family(&families::RELAYED_DURATION);
    for CountedRoute { listener, rule, group, totals } in &routes {
        durations.histogram(&[listener, rule, group], &totals.duration);
    }
}
