//! The health checker's thread: its ring, its clock, its end.

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::mpsc::Sender;

use crate::control::health;
use crate::control::health::HealthCommand;
use crate::control::health::resources::ProbeResources;
use crate::net::buffer::Buffers;
use crate::net::mailbox::Mailbox;
use crate::net::task;
use crate::net::timer::TICK;
use crate::net::timer::Timers;
use crate::net::wake::Wakeups;
use crate::net::wake::every;
use crate::net::work_budget::WorkBudget;
use crate::runtime::error::RuntimeError;
use crate::runtime::event::RuntimeEvent;
use crate::runtime::pin;
use crate::runtime::plan::RuntimePlan;
use crate::runtime::ring;
use crate::runtime::ring::DriverChoice;
use crate::runtime::ring::Entries;
use crate::telemetry::operator;
use crate::telemetry::operator::log_line;

/// Submissions in one turn. More probes than that are begun in two.
const RING_ENTRIES: u32 = 256;

/// Steps of handshakes between two looks at the ring, so that a thousand HTTPS backends delay no timer.
const HANDSHAKE_STEPS_PER_TURN: usize = 8;

/// After a pause of the whole machine, ticks beyond this are not made up for.
const MAX_TICKS_AT_ONCE: u64 = 100;

/// Ticks between two looks for memory that is not needed: a second.
const TRIM_TICKS: u64 = 10;

/// What the health checker's thread starts with.
pub(super) struct HealthSpec {
    health_commands: Mailbox<HealthCommand>,
    failure_reports: Mailbox<u32>,
    place: CpuChoice,
    io_driver: DriverChoice,
}

/// Where the thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CpuChoice {
    /// Where the system puts it.
    Anywhere,
    On(usize),
    /// Anywhere, because this CPU does not exist or is not ours.
    NotOn(usize),
}

impl HealthSpec {
    pub(super) fn new(plan: &RuntimePlan) -> HealthSpec {
        let pinned = if plan.pin { plan.workers } else { 0 };
        HealthSpec {
            health_commands: plan.channels.health.clone(),
            failure_reports: plan.channels.failure_reports.clone(),
            place: CpuChoice::choose(plan.health_cpu, &pin::usable_cpus(), pinned),
            io_driver: plan.io_driver,
        }
    }
}

impl CpuChoice {
    /// The CPU that is asked for, else the first one behind those of the pinned workers, who have the first
    /// ones.
    fn choose(wanted: Option<usize>, usable: &[usize], pinned_workers: usize) -> CpuChoice {
        match wanted {
            Some(cpu) if usable.contains(&cpu) => CpuChoice::On(cpu),
            Some(cpu) => CpuChoice::NotOn(cpu),
            None if pinned_workers == 0 => CpuChoice::Anywhere,
            None => usable.get(pinned_workers).map_or(CpuChoice::Anywhere, |cpu| CpuChoice::On(*cpu)),
        }
    }

    /// Takes the calling thread there.
    fn take(self) {
        let refused = match self {
            CpuChoice::Anywhere => return,
            CpuChoice::On(cpu) if pin::pin_to(cpu) => return,
            CpuChoice::On(cpu) | CpuChoice::NotOn(cpu) => cpu,
        };
        log_line(&format!(
            "warning: the health checker cannot be pinned to CPU {refused}; it runs where the system puts it"
        ));
    }
}

/// Starts the thread. It ends only by a failure, which `events` hears of: without it, nobody would notice
/// what backends do.
pub(super) fn start(spec: HealthSpec, events: Sender<RuntimeEvent>) -> io::Result<()> {
    let body = move || {
        let error = match catch_unwind(AssertUnwindSafe(|| work(spec, &events))) {
            Ok(Err(error)) => error,
            Err(_panic) => RuntimeError::HealthCheckerDied,
        };
        // The minding thread ends the process, so it cannot be gone before us.
        drop(events.send(RuntimeEvent::Failed(error)));
    };
    std::thread::Builder::new().name("ringway-health".to_owned()).spawn(body).map(drop)
}

fn work(spec: HealthSpec, events: &Sender<RuntimeEvent>) -> Result<Infallible, RuntimeError> {
    spec.place.take();
    // What there is to warn of about the driver, the workers tell.
    let mut driver =
        ring::choose(spec.io_driver, Entries::exactly(RING_ENTRIES)).map_err(RuntimeError::Driver)?.driver;
    let result = driver.run(async {
        let resources = Rc::new(ProbeResources {
            timers: Timers::default(),
            buffers: Buffers::default(),
            budget: WorkBudget::new(HANDSHAKE_STEPS_PER_TURN)?,
        });
        task::spawn(tick_for_ever(every(TICK)?, Rc::clone(&resources)));
        // As with a worker, it is told by an event, for which the process waits before it says that it listens.
        let tell_ready = || drop(events.send(RuntimeEvent::HealthCoreReady));
        health::run(spec.health_commands, spec.failure_reports, resources, tell_ready).await
    });
    // Dropping a runtime with operations in flight is unsound; the process ends soon.
    std::mem::forget(driver);
    result.map_err(RuntimeError::System)
}

async fn tick_for_ever(ticks: Wakeups, resources: Rc<ProbeResources>) {
    let mut elapsed: u64 = 0;
    while let Ok(count) = ticks.next().await {
        for _ in 0..count.min(MAX_TICKS_AT_ONCE) {
            resources.timers.tick();
        }
        if elapsed / TRIM_TICKS != (elapsed + count) / TRIM_TICKS {
            resources.buffers.trim();
        }
        elapsed += count;
    }
    // As for a worker: no timeout would ever fire again, so the service manager is to begin again.
    log_line("error: the health checker lost its clock");
    operator::finish();
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_health_core_keeps_out_of_the_way_of_pinned_workers() {
        let usable = [0, 2, 4, 6];
        for (wanted, pinned_workers, place) in [
            (None, 0, CpuChoice::Anywhere),
            (None, 2, CpuChoice::On(4)),
            (None, 4, CpuChoice::Anywhere),
            (None, 9, CpuChoice::Anywhere),
            (Some(2), 4, CpuChoice::On(2)),
            (Some(1), 0, CpuChoice::NotOn(1)),
        ] {
            assert_eq!(CpuChoice::choose(wanted, &usable, pinned_workers), place);
        }
    }
}
