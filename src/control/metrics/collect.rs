//! Collecting all metrics for one scrape.

use std::time::Duration;

use crate::control::active_config::Channels;
use crate::control::credentials::inventory::Inventory;
use crate::control::metrics::exposition::Exposition;
use crate::control::metrics::exposition::MetricsFormat;
use crate::control::metrics::families;
use crate::control::metrics::groups;
use crate::control::metrics::listeners;
use crate::control::metrics::relays;
use crate::control::metrics::routes::CountedRoute;
use crate::control::metrics::routes::routes;
use crate::net::clock::monotonic_ms;
use crate::net::clock::wall_now;
use crate::snapshot::Snapshot;
use crate::snapshot::group::Group;
use crate::snapshot::group::GroupMember;
use crate::telemetry::backend_counters::BackendCounters;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::route_counters::RouteTotals;
use crate::telemetry::span_queue::SpanTotals;
use crate::telemetry::worker_counters::WorkerTotals;

/// Facts of the process that no counter tells.
#[derive(Clone, Copy)]
pub struct ProcessFacts {
    /// Since the Unix epoch.
    pub started: Duration,
    /// It takes new connections.
    pub is_ready: bool,
}

/// All metrics at one moment, as text.
pub fn expose(channels: &Channels, facts: ProcessFacts, format: MetricsFormat) -> String {
    let (_, snapshot) = channels.publication.load();
    let (_, inventory) = channels.inventory.load();
    let mut out = Exposition::new(format);
    of_process(channels, &snapshot, facts, &mut out);
    listeners::collect(&snapshot, &mut out);
    of_routes(&snapshot, &mut out);
    relays::collect(&snapshot, &mut out);
    of_backends(&snapshot, &channels.backend_counters, &mut out);
    groups::collect(&snapshot, &mut out);
    of_files(&inventory, &mut out);
    out.finish()
}

fn of_process(channels: &Channels, snapshot: &Snapshot, facts: ProcessFacts, out: &mut Exposition) {
    out.family(&families::BUILD).count(&[env!("CARGO_PKG_VERSION")], 1);
    out.family(&families::START_TIME).number(&[], facts.started.as_secs_f64());
    out.family(&families::WORKERS).count(&[], snapshot.workers as u64);
    of_workers(channels, out);
    out.family(&families::IS_READY).count(&[], facts.is_ready.into());
    out.family(&families::EPOCH).count(&[], snapshot.epoch);
    let mut reloads = out.family(&families::RELOADS);
    reloads.count(&["succeeded"], channels.reloads.succeeded());
    reloads.count(&["refused"], channels.reloads.refused());
    if let Some(last) = channels.reloads.last() {
        out.family(&families::LAST_RELOAD_SUCCEEDED).count(&[], last.is_success.into());
        let age = Duration::from_millis(monotonic_ms().saturating_sub(last.at_ms));
        out.family(&families::LAST_RELOAD).number(&[], wall_now().saturating_sub(age).as_secs_f64());
    }
    let logs = &channels.log_counters;
    let mut written = out.family(&families::LOG_LINES);
    logs.iter().for_each(|log| written.count(&[&log.name], log.written()));
    let mut dropped = out.family(&families::LOG_LINES_DROPPED);
    logs.iter().for_each(|log| dropped.count(&[&log.name], log.lost()));
    let SpanTotals { exported, queue_full, refused, unavailable } = channels.spans.totals();
    let mut spans = out.family(&families::TRACE_SPANS);
    spans.count(&["exported"], exported);
    spans.count(&["queue_full"], queue_full);
    spans.count(&["refused"], refused);
    spans.count(&["unavailable"], unavailable);
    out.family(&families::PROCESS_CONNECTIONS).count(&[], channels.quota.used() as u64);
    if let Some(limit) = channels.quota.limit() {
        out.family(&families::PROCESS_CONNECTION_LIMIT).count(&[], limit as u64);
    }
}

fn of_workers(channels: &Channels, out: &mut Exposition) {
    let workers: Vec<(String, WorkerTotals)> =
        channels.worker_counters.each().enumerate().map(|(index, told)| (index.to_string(), told)).collect();
    let mut cpu = out.family(&families::WORKER_CPU);
    workers.iter().for_each(|(worker, told)| cpu.number(&[worker], told.cpu.as_secs_f64()));
    let mut connections = out.family(&families::WORKER_CONNECTIONS);
    workers.iter().for_each(|(worker, told)| connections.count(&[worker], told.connections));
    let mut handed_over = out.family(&families::HANDED_OVER);
    workers.iter().for_each(|(worker, told)| handed_over.count(&[worker], told.handed_over));
    let mut stalled = out.family(&families::STALLED);
    workers.iter().for_each(|(worker, told)| stalled.count(&[worker], told.is_stalled.into()));
    let mut stalls = out.family(&families::STALLS);
    workers.iter().for_each(|(worker, told)| stalls.count(&[worker], told.stalls));
    let mut lag = out.family(&families::LOOP_LAG);
    workers.iter().for_each(|(worker, told)| lag.histogram(&[worker], &told.loop_lag));
}

fn of_routes(snapshot: &Snapshot, out: &mut Exposition) {
    let routes: Vec<CountedRoute<'_>> =
        snapshot.listeners.iter().flatten().flat_map(|listener| routes(listener)).collect();
    let mut requests = out.family(&families::REQUESTS);
    for CountedRoute { listener, rule, group, totals } in &routes {
        for (protocol, status, count) in &totals.requests {
            requests.count(&[listener, rule, group, &format!("{status:03}"), protocol.as_str()], *count);
        }
    }
    let mut calls = out.family(&families::CALLS);
    for CountedRoute { listener, rule, group, totals } in &routes {
        for (status, count) in &totals.calls {
            let word = status.map_or("none".to_owned(), |status| status.to_string());
            calls.count(&[listener, rule, group, &word], *count);
        }
    }
    let mut counters = |family, value: fn(&RouteTotals) -> u64| {
        let mut samples = out.family(family);
        for CountedRoute { listener, rule, group, totals } in &routes {
            samples.count(&[listener, rule, group], value(totals));
        }
    };
    counters(&families::REQUEST_BYTES, |totals| totals.request_bytes);
    counters(&families::RESPONSE_BYTES, |totals| totals.response_bytes);
    counters(&families::RETRIES, |totals| totals.retries);
    let mut histograms = |family, value: fn(&RouteTotals) -> &Distribution| {
        let mut samples = out.family(family);
        for CountedRoute { listener, rule, group, totals } in &routes {
            samples.histogram(&[listener, rule, group], value(totals));
        }
    };
    if !snapshot.tells_durations {
        return;
    }
    histograms(&families::REQUEST_DURATION, |totals| &totals.duration);
    histograms(&families::TIME_TO_FIRST_BYTE, |totals| &totals.time_to_first_byte);
    histograms(&families::UPSTREAM_DURATION, |totals| &totals.upstream_time);
}

fn of_backends(snapshot: &Snapshot, counters: &BackendCounters, out: &mut Exposition) {
    let members =
        || snapshot.groups.iter().flat_map(|group| group.members.iter().map(move |member| (group, member)));
    let mut each = |family, value: &dyn Fn(&Group, &GroupMember) -> u64| {
        let mut samples = out.family(family);
        for (group, member) in members() {
            samples.count(&[&group.name, &member.backend.name], value(group, member));
        }
    };
    let totals =
        |member: &GroupMember| counters.totals(member.backend.slot).since(member.backend.counted_before);
    each(&families::BACKEND_UP, &|_, member| is_up(member).into());
    each(&families::BACKEND_WEIGHT, &|_, member| member.weight.into());
    each(&families::BACKEND_IN_FLIGHT, &|_, member| totals(member).in_flight.into());
    each(&families::BACKEND_REQUESTS, &|_, member| totals(member).requests);
    each(&families::BACKEND_FAILURES, &|_, member| totals(member).failures);
    each(&families::BACKEND_CHANGES, &|_, member| member.backend.health.changes().into());
    each(&families::BACKEND_EJECTED, &|_, member| member.backend.health.is_ejected().into());
    let mut available = out.family(&families::GROUP_AVAILABLE);
    for group in &snapshot.groups {
        let count = group.members.iter().filter(|member| is_up(member)).count();
        available.count(&[&group.name], count as u64);
    }
}

/// Whether it would get new requests, were it not for standbys that wait.
fn is_up(member: &GroupMember) -> bool {
    member.takes_requests() && member.is_available()
}

fn of_files(inventory: &Inventory, out: &mut Exposition) {
    let mut ends = out.family(&families::CERTIFICATE_END);
    for certificate in &inventory.certificates {
        ends.number(&[&certificate.name], certificate.not_after as f64);
    }
    let mut ends = out.family(&families::CRL_END);
    for ca in &inventory.authorities {
        if let Some(end) = ca.lists_end {
            ends.number(&[&ca.name], end as f64);
        }
    }
    let mut broken = out.family(&families::FILES_BROKEN);
    for certificate in &inventory.certificates {
        broken.count(&["certificate", &certificate.name], certificate.broken.is_some().into());
    }
    for ca in &inventory.authorities {
        broken.count(&["ca", &ca.name], ca.broken.is_some().into());
    }
}
