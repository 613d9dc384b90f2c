//! What was counted of workers, listeners and groups, in the words of the status.

use std::collections::HashMap;

use crate::config::in_order;
use crate::control::admin::status::ByteCounts;
use crate::control::admin::status::DatagramStatus;
use crate::control::admin::status::Durations;
use crate::control::admin::status::EndedConnections;
use crate::control::admin::status::EndedRequests;
use crate::control::admin::status::UpstreamDatagrams;
use crate::control::admin::status::WorkerLoad;
use crate::control::metrics::routes::CountedRoute;
use crate::control::metrics::routes::relayed;
use crate::control::metrics::routes::routes;
use crate::net::traffic::ByteTotals;
use crate::snapshot::Listener;
use crate::snapshot::Snapshot;
use crate::snapshot::group::Group;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::listener_counters::DatagramTotals;
use crate::telemetry::listener_counters::ListenerTotals;
use crate::telemetry::quic_counters::QuicEvent;
use crate::telemetry::relay_counters::RelayTotals;
use crate::telemetry::worker_counters::WorkerCounters;
use crate::telemetry::worker_counters::WorkerTotals;

pub(super) fn workers(counters: &WorkerCounters) -> Vec<WorkerLoad> {
    let load = |WorkerTotals { cpu, connections, handed_over, stalls, is_stalled, loop_lag }| WorkerLoad {
        cpu_seconds: cpu.as_secs_f64(),
        connections,
        handed_over,
        stalls,
        is_stalled,
        loop_lag: durations(&loop_lag),
    };
    counters.each().map(load).collect()
}

/// What listeners and groups had that has ended: their requests, connections and sessions.
#[derive(Default)]
pub(super) struct RouteSums<'s> {
    by_listener: HashMap<&'s str, Sum>,
    by_group: HashMap<&'s str, Sum>,
    relayed_by_listener: HashMap<&'s str, RelaySum>,
    relayed_by_group: HashMap<&'s str, RelaySum>,
}

#[derive(Default)]
struct RelaySum {
    count: u64,
    failed: u64,
    retries: u64,
    duration: Distribution,
}

#[derive(Default)]
struct Sum {
    count: u64,
    client_errors: u64,
    server_errors: u64,
    retries: u64,
    duration: Distribution,
}

impl<'s> RouteSums<'s> {
    pub(super) fn of(snapshot: &'s Snapshot) -> RouteSums<'s> {
        let mut sums = RouteSums::default();
        for route in snapshot.listeners.iter().flatten().flat_map(|listener| routes(listener)) {
            sums.by_listener.entry(route.listener).or_default().add(&route);
            sums.by_group.entry(route.group).or_default().add(&route);
        }
        for route in snapshot.listeners.iter().flatten().flat_map(|listener| relayed(listener)) {
            sums.relayed_by_listener.entry(route.listener).or_default().add(&route.totals);
            sums.relayed_by_group.entry(route.group).or_default().add(&route.totals);
        }
        sums
    }

    /// None where nothing is counted, or no HTTP is spoken.
    pub(super) fn requests_of_listener(&self, listener: &Listener) -> Option<EndedRequests> {
        listener.counters.as_ref().filter(|_| listener.http().is_some())?;
        Some(self.by_listener.get(&*listener.name).map(Sum::told).unwrap_or_default())
    }

    pub(super) fn requests_of_group(&self, group: &Group) -> Option<EndedRequests> {
        group.counters.as_ref().filter(|_| group.speaks_http())?;
        Some(self.by_group.get(&*group.name).map(Sum::told).unwrap_or_default())
    }

    /// None where nothing is counted, or HTTP is spoken.
    pub(super) fn relayed_of_listener(&self, listener: &Listener) -> Option<EndedConnections> {
        listener.counters.as_ref().filter(|_| listener.http().is_none())?;
        Some(self.relayed_by_listener.get(&*listener.name).map(RelaySum::told).unwrap_or_default())
    }

    pub(super) fn relayed_of_group(&self, group: &Group) -> Option<EndedConnections> {
        group.counters.as_ref().filter(|_| !group.speaks_http())?;
        Some(self.relayed_by_group.get(&*group.name).map(RelaySum::told).unwrap_or_default())
    }
}

impl RelaySum {
    fn add(&mut self, totals: &RelayTotals) {
        self.count += totals.ended.values().sum::<u64>();
        self.failed += totals.failed;
        self.retries += totals.retries;
        self.duration.add(&totals.duration);
    }

    fn told(&self) -> EndedConnections {
        let RelaySum { count, failed, retries, duration } = self;
        EndedConnections { count: *count, failed: *failed, retries: *retries, duration: durations(duration) }
    }
}

pub(super) fn bytes(totals: ByteTotals) -> ByteCounts {
    ByteCounts { received: totals.received, sent: totals.sent }
}

/// What became of the datagrams of a listener; None where it has none.
pub(super) fn datagrams(listener: &Listener, totals: &ListenerTotals) -> Option<DatagramStatus> {
    if listener.http().is_some_and(|http| http.quic.is_some()) {
        let lost = QuicEvent::LOST.iter().map(|event| (event.as_str().into(), totals.quic.of(*event)));
        return Some(DatagramStatus {
            received: totals.quic.of(QuicEvent::Received),
            sent: totals.quic.of(QuicEvent::Sent),
            dropped: in_order::map(lost),
        });
    }
    listener.datagram()?;
    let DatagramTotals { received, sent, dropped } = &totals.datagrams;
    let dropped = dropped.iter().map(|(reason, count)| ((*reason).into(), *count));
    Some(DatagramStatus { received: *received, sent: *sent, dropped: in_order::map(dropped) })
}

/// The same of a group.
pub(super) fn datagrams_of_group(group: &Group) -> Option<UpstreamDatagrams> {
    let counters = group.counters.as_ref().filter(|_| group.protocol == "udp")?;
    let [received, sent] = counters.datagrams();
    Some(UpstreamDatagrams { received, sent })
}

impl Sum {
    fn add(&mut self, route: &CountedRoute<'_>) {
        for (_, status, count) in &route.totals.requests {
            self.count += count;
            self.client_errors += if (400..500).contains(status) { *count } else { 0 };
            self.server_errors += if *status >= 500 { *count } else { 0 };
        }
        self.retries += route.totals.retries;
        self.duration.add(&route.totals.duration);
    }

    fn told(&self) -> EndedRequests {
        let Sum { count, client_errors, server_errors, retries, duration } = self;
        EndedRequests {
            count: *count,
            client_errors: *client_errors,
            server_errors: *server_errors,
            retries: *retries,
            duration: durations(duration),
        }
    }
}

fn durations(distribution: &Distribution) -> Durations {
    Durations {
        count: distribution.count(),
        p50_seconds: distribution.quantile(0.5).as_secs_f64(),
        p99_seconds: distribution.quantile(0.99).as_secs_f64(),
        buckets: distribution.buckets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn workers_are_told_with_quantiles_and_buckets() {
        let counters = WorkerCounters::new(2);
        counters.tell(1, Duration::from_millis(250), Duration::from_micros(3));
        counters.tell(1, Duration::from_millis(500), Duration::from_micros(5));
        counters.opened(1);
        counters.handed_over(1);
        counters.set_stalled(1, true);
        let told = workers(&counters);
        assert_eq!(told[0], WorkerLoad::default());
        let lag = Durations {
            count: 2,
            p50_seconds: 0.000_003,
            p99_seconds: 0.000_005,
            buckets: vec![(3, 1), (5, 1)],
        };
        assert_eq!(
            told[1],
            WorkerLoad {
                cpu_seconds: 0.5,
                connections: 1,
                handed_over: 1,
                stalls: 1,
                is_stalled: true,
                loop_lag: lag
            }
        );
    }
}
