//! The health checker: probes backends, hears of those that fail real requests, and publishes who may serve.
//!
//! It runs on a thread of its own, off the data path. All it knows belongs to one task, whose turns do
//! everything but the probes; those are tasks that end with a report. Workers see the result in the health
//! of backends (`snapshot/backend.rs`) and in the tables of groups (`snapshot/group.rs`).

mod probe_h2;
mod probe_udp;
pub mod resources;
mod event_log;
mod outcome;
mod probe;
mod schedule;
#[cfg(test)]
mod tests;
mod verdict;
pub mod watch;
mod watched_group;
mod watchlist;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::control::health::event_log::Told;
use crate::control::health::outcome::ProbeError;
use crate::control::health::outcome::ProbeResult;
use crate::control::health::resources::ProbeResources;
use crate::control::health::watch::Watch;
use crate::control::health::watchlist::Job;
use crate::control::health::watchlist::ProbeId;
use crate::control::health::watchlist::Watchlist;
use crate::net::clock::monotonic_ms;
use crate::net::mailbox::Mailbox;
use crate::net::task;
use crate::net::timer::Timers;
use crate::net::wake::WakerSlot;
use crate::net::wake::Wakeups;
use crate::snapshot::rcu_cell;
use crate::telemetry::operator::log_event;
use crate::telemetry::operator::log_line;
use crate::telemetry::operator::note_event;

/// What the health checker is told.
pub enum HealthCommand {
    /// Replaces everything that was watched before.
    Watch(Vec<Watch>),
}

/// Alarms that are looked at in one turn; a backend that goes on failing raises them again.
const MAX_FAILURE_REPORTS: usize = 1024;

/// How often garbage of replaced tables is collected.
const COLLECTION_MS: u64 = 1_000;

/// Runs on the health checker's loop for as long as the process lives. An alarm is the slot of a backend that
/// fails real requests. `tell_ready` is called when every descriptor is open that this needs besides connections.
pub async fn run(
    commands: Mailbox<HealthCommand>,
    failure_reports: Mailbox<u32>,
    resources: Rc<ProbeResources>,
    tell_ready: impl FnOnce(),
) -> io::Result<Infallible> {
    let mut command_bell = pin!(heed(commands.listen()?));
    let mut failure_bell = pin!(heed(failure_reports.listen()?));
    tell_ready();
    let mut ticks = pin!(follow(resources.timers.clone()));
    let mut core = Core {
        commands,
        failure_reports,
        resources,
        results: Rc::default(),
        watchlist: Watchlist::default(),
        ticks: 0,
        collected_ms: 0,
    };
    poll_fn(|cx| {
        // Polling is what makes them wake this task next time.
        for bell in [command_bell.as_mut().poll(cx), failure_bell.as_mut().poll(cx)] {
            if let Poll::Ready(error) = bell {
                return Poll::Ready(Err(error));
            }
        }
        let Poll::Pending = ticks.as_mut().poll(cx);
        core.results.reader.register(cx);
        core.turn();
        Poll::Pending
    })
    .await
}

/// Hears every ring of a bell.
async fn heed(bell: Wakeups) -> io::Error {
    loop {
        if let Err(error) = bell.next().await {
            return error;
        }
    }
}

/// Is woken by every tick.
async fn follow(timers: Timers) -> Infallible {
    loop {
        timers.sleep(Duration::ZERO).await;
    }
}

struct Core {
    commands: Mailbox<HealthCommand>,
    failure_reports: Mailbox<u32>,
    resources: Rc<ProbeResources>,
    results: Rc<ResultQueue>,
    watchlist: Watchlist,
    /// At the last look.
    ticks: u64,
    collected_ms: u64,
}

impl Core {
    /// All that came in since the last turn. However many backends changed, each group is laid out once.
    fn turn(&mut self) {
        let now_ms = monotonic_ms();
        while let Some(HealthCommand::Watch(watches)) = self.commands.take() {
            self.watchlist.watch(watches, now_ms);
        }
        for _ in 0..MAX_FAILURE_REPORTS {
            let Some(slot) = self.failure_reports.take() else { break };
            self.watchlist.note_failures(slot, now_ms);
        }
        for (id, outcome) in self.results.take() {
            self.watchlist.note_probe(id, outcome, now_ms);
        }
        let ticks = self.resources.timers.ticks();
        if std::mem::replace(&mut self.ticks, ticks) != ticks {
            self.watchlist.pass_time(now_ms);
        }
        self.watchlist.refresh(now_ms);
        for told in self.watchlist.events.take(now_ms) {
            match told {
                Told::Line(news) => log_event(news),
                Told::Event(news) => note_event(news),
                Told::Count(line) => log_line(&line),
            }
        }
        while let Some(job) = self.watchlist.next_job(now_ms) {
            self.begin(job);
        }
        if now_ms.saturating_sub(self.collected_ms) >= COLLECTION_MS {
            self.collected_ms = now_ms;
            rcu_cell::collect();
        }
    }

    fn begin(&self, job: Job) {
        let Job { id, probe, client } = job;
        let report =
            ProbeReport { id, outcome: Err(ProbeError::Abandoned), results: Rc::clone(&self.results) };
        let resources = Rc::clone(&self.resources);
        task::spawn(async move {
            let outcome = probe.run(client.as_deref(), &resources).await;
            report.finish(outcome);
        });
    }
}

/// Results of probes that have ended.
#[derive(Default)]
struct ResultQueue {
    reports: RefCell<Vec<(ProbeId, ProbeResult)>>,
    reader: WakerSlot,
}

impl ResultQueue {
    fn take(&self) -> Vec<(ProbeId, ProbeResult)> {
        std::mem::take(&mut self.reports.borrow_mut())
    }
}

/// Goes to the results when it is dropped, so that not even a panic leaves a probe without its end.
struct ProbeReport {
    id: ProbeId,
    outcome: ProbeResult,
    results: Rc<ResultQueue>,
}

impl ProbeReport {
    fn finish(mut self, outcome: ProbeResult) {
        self.outcome = outcome;
    }
}

impl Drop for ProbeReport {
    fn drop(&mut self) {
        self.results.reports.borrow_mut().push((self.id, self.outcome));
        self.results.reader.wake_by_ref();
    }
}
