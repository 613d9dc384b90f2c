//! Threads and their end: one worker per CPU, and the thread that minds them.

mod cpu_quota;
mod cpus;
mod drain;
pub mod error;
mod event;
mod health_thread;
mod password_thread;
mod pin;
pub mod plan;
mod ring;
mod ring_restrictions;
mod socket_inbox;
mod supervisor;
mod watchdog;
mod worker_thread;
mod worker_watch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use crate::control::active_config::Channels;
use crate::control::active_config::Drivers;
use crate::control::admin::Admin;
use crate::control::process::signals;
use crate::control::process::signals::SignalAction;
use crate::control::reload::Command;
use crate::control::tracing::exporter::LAST_SPANS_TIMEOUT;
use crate::net::address::TransportKind;
use crate::net::clock::instant_now;
use crate::net::clock::wall_now;
use crate::runtime::drain::Drain;
use crate::runtime::error::RuntimeError;
use crate::runtime::event::Ready;
use crate::runtime::event::RuntimeEvent;
use crate::runtime::plan::LogPlan;
use crate::runtime::plan::RuntimePlan;
use crate::runtime::ring::Entries;
use crate::runtime::supervisor::Supervisor;
use crate::runtime::watchdog::Watchdog;
use crate::runtime::worker_watch::WorkerWatch;
use crate::telemetry::log_output::LogOutput;
use crate::telemetry::log_writer::LogWriter;
use crate::telemetry::operator;
use crate::telemetry::operator::log_line;
use crate::telemetry::words;
use crate::worker::access_log::AccessLog;
use crate::worker::access_log::AccessLogs;

pub use cpus::automatic_workers;
pub use cpus::cpu_layout;
pub use cpus::granted_cpu_time;
pub use cpus::usable_cpu_count;
pub use ring::DriverChoice;
pub use ring::abilities;
pub use ring::ring_facts;

/// What serves, once it does.
pub struct Serving {
    pub workers: usize,
    /// The I/O drivers of the workers with their flags, and how many workers have each.
    pub drivers: Drivers,
    /// Names of listeners, with the port that the kernel chose where the configured one was 0.
    pub listeners: Vec<(String, TransportKind, SocketAddr)>,
}

/// Serves until a signal ends it. `announce` is called once all workers accept.
pub fn run(mut plan: RuntimePlan, announce: impl FnOnce(&Serving)) -> Result<(), RuntimeError> {
    let workers = plan.workers;
    let listeners = listening(&plan);
    // The health checker has a ring, too, and makes it as soon as its thread runs.
    let entries = Entries::of(plan.ring_entries, workers + 1, plan.io_driver);
    let channels = plan.channels.clone();
    let (log_writers, logs) = start_logs(&mut plan, workers)?;
    let drain = Drain::new(plan.channels.workers.clone());
    let (events, inbox) = mpsc::channel();
    let orders = events.clone();
    // The inbox lives as long as the process.
    let obey = move |order| drop(orders.send(RuntimeEvent::Signal(order)));
    let noticed = plan.signals.take().map_or_else(signals::notice, Ok).map_err(RuntimeError::System)?;
    let without_thread = |of| move |error| RuntimeError::Thread { of, error };
    signals::listen(noticed, obey).map_err(without_thread("signals"))?;
    let tell = events.clone();
    // It is set here only.
    let tell = Box::new(move |event| drop(tell.send(RuntimeEvent::Succession(event))));
    drop(plan.channels.succession.tell.set(tell));
    let (shutdown_delay, shutdown_timeout) = (plan.shutdown_delay, plan.shutdown_timeout);
    let commands = plan.commands.clone();
    let health = health_thread::HealthSpec::new(&plan);
    health_thread::start(health, events.clone()).map_err(without_thread("the health checker"))?;
    let settle = plan.settle.take();
    let mut admin = plan.admin.take();
    let passwords = password_thread::start(workers).map_err(without_thread("passwords"))?;
    let specs = worker_thread::specs(plan, (logs, passwords), &drain, entries);
    for spec in specs.map_err(RuntimeError::System)? {
        worker_thread::start(spec, events.clone()).map_err(without_thread("a worker"))?;
    }
    let ready = wait_until_ready(&inbox, workers)?;
    warn(&ready);
    let drivers = counted(ready.iter().map(|worker| &worker.driver));
    // This is the only place that sets it.
    drop(channels.drivers.set(drivers.clone()));
    if let Some(admin) = &mut admin {
        admin.serve().map_err(without_thread("control commands"))?;
    }
    // What can fail is done.
    let settled = settle.map(|settle| settle()).transpose().map_err(RuntimeError::HandOver)?;
    admin.iter().for_each(Admin::open);
    settled.into_iter().for_each(|settled| settled());
    let status = format!("serving with {}", words::counted(workers, "worker"));
    announce(&Serving { workers, drivers, listeners });
    channels.systemd.ready(&status);
    let supervisor = Supervisor {
        drain,
        workers,
        shutdown_delay,
        shutdown_timeout,
        log_writers: &log_writers,
        commands: commands.clone(),
        watchdog: Watchdog::new(channels.systemd.clone(), Arc::clone(&channels.worker_counters)),
        watch: WorkerWatch::new(
            Arc::clone(&channels.worker_counters),
            ready.iter().map(|worker| worker.thread).collect(),
            instant_now(),
        ),
        channels: &channels,
    };
    let outcome = supervisor.run(&inbox);
    finish(log_writers, &commands, &channels);
    outcome
}

/// Ends what workers have filled: logs, the counts for a successor, and spans.
fn finish(log_writers: Vec<LogWriter>, commands: &mpsc::Sender<Command>, channels: &Channels) {
    for (name, lost) in LogWriter::stop(log_writers) {
        log_line(&format!(
            "warning: {lost} lines of the access log {name} are lost at the end: it did not take them"
        ));
    }
    bid_farewell(commands);
    if let lost @ 1.. = channels.spans.stop(LAST_SPANS_TIMEOUT) {
        log_line(&format!("warning: {lost} spans are lost at the end: the collector did not take them"));
    }
}

/// How long the thread that reloads may take to tell a successor what was counted.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// Has a successor, if there is one, told what was counted last.
fn bid_farewell(commands: &mpsc::Sender<Command>) {
    let (answer, done) = mpsc::channel();
    if commands.send(Command::BidFarewell { answer }).is_ok() {
        // Without it, the counts of the drain are lost.
        done.recv_timeout(FAREWELL_TIMEOUT).unwrap_or_default();
    }
}

/// Every address that is listened at, with the name of its listener.
fn listening(plan: &RuntimePlan) -> Vec<(String, TransportKind, SocketAddr)> {
    let (_, snapshot) = plan.channels.publication.load();
    let mut listening = Vec::new();
    for listener in snapshot.listeners.iter().flatten() {
        for address in &listener.addresses {
            let place = |kind: &TransportKind| (listener.name.clone(), *kind, *address);
            listening.extend(listener.kinds().iter().map(place));
        }
    }
    listening
}

/// The writers of access logs, and what each worker has of these logs.
type LogEnds = (Vec<LogWriter>, Vec<Option<AccessLogs>>);

fn start_logs(plan: &mut RuntimePlan, workers: usize) -> Result<LogEnds, RuntimeError> {
    let report = |kind, text: String| operator::log_repeatedly(kind, || format!("warning: {text}"));
    let mut writers = Vec::new();
    let mut of_workers: Vec<Vec<AccessLog>> = (0..workers).map(|_| Vec::new()).collect();
    let counters = Arc::clone(&plan.channels.log_counters);
    for (LogPlan { sink, format, filter }, counters) in plan.access_logs.drain(..).zip(counters.iter()) {
        let output = LogOutput::open(sink.clone(), wall_now)
            .map_err(|error| RuntimeError::AccessLog { sink, error })?;
        let (writer, queues) = LogWriter::start(output, Arc::clone(counters), workers, report)
            .map_err(|error| RuntimeError::Thread { of: "an access log", error })?;
        writers.push(writer);
        for (logs, queue) in of_workers.iter_mut().zip(queues) {
            let (format, filter) = (format.clone(), filter.clone());
            logs.push(AccessLog { format, filter, queue: RefCell::new(queue) });
        }
    }
    let process = random();
    let ends = of_workers.into_iter().map(|logs| match logs.is_empty() {
        true => None,
        false => Some(AccessLogs::new(logs, process)),
    });
    Ok((writers, ends.collect()))
}

/// A number that another process, or this one after a restart, is unlikely to have.
fn random() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(wall_now())
}

/// Waits for the health checker and all workers; returns what these run on.
fn wait_until_ready(
    inbox: &mpsc::Receiver<RuntimeEvent>,
    workers: usize,
) -> Result<Vec<Ready>, RuntimeError> {
    let (mut ready, mut checks_health) = (Vec::new(), false);
    while ready.len() < workers || !checks_health {
        match inbox.recv() {
            Ok(RuntimeEvent::Ready(worker)) => ready.push(worker),
            Ok(RuntimeEvent::HealthCoreReady) => checks_health = true,
            Ok(RuntimeEvent::Failed(error)) => return Err(error),
            // Told to end before the beginning.
            Ok(RuntimeEvent::Signal(SignalAction::Stop | SignalAction::StopWithoutBound)) => {
                operator::finish();
                std::process::exit(0);
            }
            Ok(
                RuntimeEvent::Signal(SignalAction::ReopenLogs | SignalAction::Reload | SignalAction::Upgrade)
                | RuntimeEvent::Succession(_)
                | RuntimeEvent::Drained,
            ) => {}
            Err(_) => return Err(RuntimeError::WorkerDied { index: ready.len() }),
        }
    }
    Ok(ready)
}

/// Each text once, with how often it is there, the most frequent first.
fn counted<'t>(texts: impl Iterator<Item = &'t String>) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    let mut counted: Vec<_> = counts.into_iter().map(|(text, count)| (text.clone(), count)).collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counted
}

/// Tells what workers have to do without, and how many.
fn warn(ready: &[Ready]) {
    for (warning, count) in counted(ready.iter().filter_map(|worker| worker.warning.as_ref())) {
        match ready.len() {
            all if all == count => log_line(&format!("warning: {warning}")),
            all => log_line(&format!("warning: {count} of {all} workers: {warning}")),
        }
    }
}
