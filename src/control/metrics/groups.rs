//! Metrics of the way to the backends of a group.

use crate::control::metrics::exposition::Exposition;
use crate::control::metrics::exposition::Family;
use crate::control::metrics::families;
use crate::control::metrics::listeners::directions;
use crate::snapshot::Snapshot;
use crate::telemetry::group_counters::GroupCounters;
use crate::telemetry::group_counters::UpstreamStep;

const STEPS: [(&Family, UpstreamStep); 3] = [
    (&families::CONNECT_DURATION, UpstreamStep::Connect),
    (&families::UPSTREAM_HANDSHAKE_DURATION, UpstreamStep::TlsHandshake),
    (&families::QUEUE_DURATION, UpstreamStep::Queue),
];

/// In the order in which workers tell them.
const OPEN: [&Family; 3] =
    [&families::IDLE_CONNECTIONS, &families::HTTP2_CONNECTIONS, &families::HTTP2_STREAMS];

pub(super) fn collect(snapshot: &Snapshot, out: &mut Exposition) {
    let groups = snapshot.groups.iter();
    let counted: Vec<(&str, &GroupCounters)> =
        groups.filter_map(|group| Some((group.name.as_str(), group.counters.as_deref()?))).collect();
    for (family, step) in STEPS {
        let mut samples = out.family(family);
        for (group, counters) in &counted {
            samples.histogram(&[group], &counters.distribution(step));
        }
    }
    for (place, family) in OPEN.into_iter().enumerate() {
        let mut samples = out.family(family);
        for (group, counters) in &counted {
            samples.count(&[group], counters.open().get(place).copied().unwrap_or_default());
        }
    }
    let mut responses = out.family(&families::UPSTREAM_RESPONSES);
    for (group, counters) in &counted {
        for (class, count) in counters.responses() {
            responses.count(&[group, &format!("{class}xx")], count);
        }
    }
    let mut failures = out.family(&families::FAILED_CONNECTIONS);
    for (group, counters) in &counted {
        let words = counters.failed_connections();
        words.iter().for_each(|(reason, count)| failures.count(&[group, reason], *count));
    }
    let mut bytes = out.family(&families::UPSTREAM_BYTES);
    for (group, counters) in &counted {
        directions(counters.bytes())
            .into_iter()
            .for_each(|(direction, count)| bytes.count(&[group, direction], count));
    }
    let of_udp = snapshot.groups.iter().filter(|group| group.protocol == "udp");
    let mut datagrams = out.family(&families::UPSTREAM_DATAGRAMS);
    for (group, counters) in of_udp.filter_map(|group| Some((&group.name, group.counters.as_ref()?))) {
        let [received, sent] = counters.datagrams();
        datagrams.count(&[group, "received"], received);
        datagrams.count(&[group, "sent"], sent);
    }
}
