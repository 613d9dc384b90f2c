//! One worker's thread: its ring, its turns, its end.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::Poll;
use std::time::Duration;

use crate::downstream::listener;
use crate::net::listen::Acceptor;
use crate::net::task;
use crate::net::timer::TICK;
use crate::net::wake::Wakeups;
use crate::net::wake::every;
use crate::runtime::Event;
use crate::runtime::Plan;
use crate::runtime::RuntimeError;
use crate::runtime::drain::Drain;
use crate::runtime::pin;
use crate::runtime::ring;
use crate::runtime::ring::Wanted;
use crate::snapshot::Snapshot;
use crate::telemetry::operator::tell;
use crate::worker::AccessLog;
use crate::worker::Worker;

/// Ticks between two sweeps of what lies idle, connections and memory: a second.
const SWEEP_TICKS: u64 = 10;

/// A worker that slept through more ticks than this, in a stopped virtual machine, skips the rest.
const MOST_TICKS_AT_ONCE: u64 = 100;

/// How long the loop goes on after the last connection, for what is still to be submitted.
const LAST_TURN: Duration = Duration::from_millis(1);

/// Listener, port and socket.
pub(super) type Sockets = Vec<(usize, u16, OwnedFd)>;

/// What a worker's thread starts with.
pub(super) struct Seed {
    index: usize,
    snapshot: Arc<Snapshot>,
    pub(super) sockets: Sockets,
    log: Option<AccessLog>,
    cpu: Option<usize>,
    ring_entries: u32,
    io_driver: Wanted,
    drain: Arc<Drain>,
}

pub(super) fn seeds(plan: Plan, logs: Vec<Option<AccessLog>>, drain: &Arc<Drain>) -> Vec<Seed> {
    let snapshot = plan.snapshot;
    let cpus = pin::usable_cpus();
    let seed = |(index, log): (usize, Option<AccessLog>)| Seed {
        index,
        snapshot: Arc::clone(&snapshot),
        sockets: Vec::new(),
        log,
        // With more workers than CPUs, the CPUs are shared evenly.
        cpu: if plan.pin { cpus.get(index % cpus.len().max(1)).copied() } else { None },
        ring_entries: plan.ring_entries,
        io_driver: plan.io_driver,
        drain: Arc::clone(drain),
    };
    logs.into_iter().enumerate().map(seed).collect()
}

pub(super) fn start(seed: Seed, events: Sender<Event>) -> io::Result<()> {
    let index = seed.index;
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(seed, &events)));
        let event = match outcome {
            Ok(Ok(())) => Event::Drained,
            Ok(Err(error)) => Event::Failed(error),
            Err(_panic) => Event::Failed(RuntimeError::WorkerDied { index }),
        };
        // The minding thread ends the process, so it cannot be gone before us.
        drop(events.send(event));
    };
    std::thread::Builder::new().name(format!("ringway-{index}")).spawn(body).map(drop)
}

fn work(mut seed: Seed, events: &Sender<Event>) -> Result<(), RuntimeError> {
    if let Some(cpu) = seed.cpu
        && !pin::pin_to(cpu)
    {
        tell(&format!(
            "warning: worker {} cannot be pinned to CPU {cpu}; it runs where the system puts it",
            seed.index
        ));
    }
    let chosen = ring::choose(seed.io_driver, seed.ring_entries).map_err(RuntimeError::Driver)?;
    if let Some(warning) = &chosen.warning
        && seed.index == 0
    {
        tell(&format!("warning: {warning}"));
    }
    let mut driver = chosen.driver;
    let description = chosen.description;
    let drain = Arc::clone(&seed.drain);
    let result = driver.block_on(async {
        let worker = Rc::new(Worker::new(seed.index, Arc::clone(&seed.snapshot), seed.log.take())?);
        let sockets = std::mem::take(&mut seed.sockets);
        let acceptors = open_listeners(sockets, &worker)?;
        let ticks = every(TICK)?;
        let doorbell = drain.doorbell(seed.index).ok_or(io::ErrorKind::NotFound)?.listen()?;
        task::spawn(tick_for_ever(Rc::clone(&worker), ticks));
        task::spawn(heed(doorbell, Arc::clone(&drain), acceptors, Rc::clone(&worker)));
        drop(events.send(Event::Ready(description)));
        turn_until_drained(&worker).await;
        worker.tick();
        // Sockets are closed by the ring, in the next turn of the loop. Without it, a successor would
        // find the port taken until the kernel has cleared the ring away.
        every(LAST_TURN)?.next().await?;
        Ok(())
    });
    // Dropping a runtime with operations in flight is unsound; the process ends soon.
    std::mem::forget(driver);
    result.map_err(RuntimeError::System)
}

fn open_listeners(sockets: Sockets, worker: &Rc<Worker>) -> io::Result<Vec<Rc<Acceptor>>> {
    let mut acceptors = Vec::new();
    for (listener, port, socket) in sockets {
        let acceptor = Rc::new(Acceptor::new(socket)?);
        acceptors.push(Rc::clone(&acceptor));
        task::spawn(listener::run(acceptor, listener, port, Rc::clone(worker)));
    }
    Ok(acceptors)
}

/// The loop's owner: it is polled last in every turn in which somebody asked for the time.
async fn turn_until_drained(worker: &Worker) {
    std::future::poll_fn(|turn| {
        worker.clock.end_turn(turn.waker());
        if worker.is_drained() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Waits for the word to drain and begins to.
async fn heed(doorbell: Wakeups, drain: Arc<Drain>, mut acceptors: Vec<Rc<Acceptor>>, worker: Rc<Worker>) {
    while doorbell.next().await.is_ok() {
        if let Some(grace) = drain.begun()
            && !worker.is_draining()
        {
            for acceptor in acceptors.drain(..) {
                // Without the filter, a connection that arrives at the last moment is reset.
                drop(acceptor.refuse_new());
            }
            worker.begin_drain(grace);
        }
    }
}

async fn tick_for_ever(worker: Rc<Worker>, ticks: Wakeups) {
    let mut elapsed: u64 = 0;
    while let Ok(count) = ticks.next().await {
        for _ in 0..count.min(MOST_TICKS_AT_ONCE) {
            worker.tick();
        }
        if elapsed / SWEEP_TICKS != (elapsed + count) / SWEEP_TICKS {
            worker.pool.sweep(worker.clock.now());
            worker.buffers.trim();
        }
        elapsed += count;
    }
    // The timer of the kernel does not fail. Without it no timeout would ever fire, so if it does,
    // the service manager is to begin anew.
    tell(&format!("error: worker {} lost its clock", worker.index));
    std::process::abort();
}
