//! One worker's thread: its ring, its turns, its end.

use std::cell::OnceCell;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::sync::mpsc::SyncSender;
use std::task::Poll;
use std::time::Duration;

use crate::control::active_config::Channels;
use crate::control::build::sockets::SocketOrder;
use crate::downstream::arrivals;
use crate::downstream::eviction;
use crate::net::clock::instant_now;
use crate::net::clock::monotonic_ms;
use crate::net::mailbox::Mailbox;
use crate::net::task;
use crate::net::timer::Shorten;
use crate::net::timer::TICK;
use crate::net::timer::Tag;
use crate::net::wake::Doorbell;
use crate::net::wake::Wakeups;
use crate::net::wake::every;
use crate::runtime::drain::Drain;
use crate::runtime::error::RuntimeError;
use crate::runtime::event::Ready;
use crate::runtime::event::RuntimeEvent;
use crate::runtime::pin;
use crate::runtime::plan::RuntimePlan;
use crate::runtime::ring;
use crate::runtime::ring::DriverChoice;
use crate::runtime::ring::Entries;
use crate::runtime::socket_inbox;
use crate::runtime::socket_inbox::DatagramCell;
use crate::runtime::socket_inbox::QuicSockets;
use crate::runtime::socket_inbox::SocketInbox;
use crate::runtime::worker_watch::WorkerThread;
use crate::telemetry::operator;
use crate::telemetry::operator::log_line;
use crate::telemetry::reason::Reason;
use crate::worker::ProcessHandles;
use crate::worker::Worker;
use crate::worker::access_log::AccessLogs;
use crate::worker::connection_balance::ConnectionBalance;
use crate::worker::password_checks::PasswordJob;

/// Ticks between two sweeps of what lies idle, connections and memory: a second.
const SWEEP_TICKS: u64 = 10;

/// A worker that slept through more ticks than this, in a stopped virtual machine, skips the rest.
const MAX_TICKS_AT_ONCE: u64 = 100;

/// How long the loop goes on after the last connection, for what is still to be submitted.
const LAST_TURN: Duration = Duration::from_millis(1);

/// What a worker's thread starts with.
pub(super) struct WorkerSpec {
    index: usize,
    shared: ProcessHandles,
    mailbox: Mailbox<SocketOrder>,
    logs: Option<AccessLogs>,
    cpu: Option<usize>,
    ring_entries: Entries,
    io_driver: DriverChoice,
    drain: Arc<Drain>,
}

pub(super) fn specs(
    plan: RuntimePlan,
    (logs, passwords): (Vec<Option<AccessLogs>>, Vec<SyncSender<PasswordJob>>),
    drain: &Arc<Drain>,
    entries: Entries,
) -> io::Result<Vec<WorkerSpec>> {
    let queue_bells: Arc<[Doorbell]> = logs.iter().map(|_| Doorbell::new()).collect::<io::Result<_>>()?;
    let Channels {
        publication,
        backend_counters,
        worker_counters,
        spans,
        quota,
        request_memory,
        workers,
        failure_reports,
        ..
    } = plan.channels;
    let balance = if plan.balance_connections { ConnectionBalance::new(logs.len())? } else { None };
    let cpus = pin::usable_cpus();
    let spec = |(((index, logs), mailbox), password_jobs)| WorkerSpec {
        index,
        shared: ProcessHandles {
            publication: Arc::clone(&publication),
            backend_counters: Arc::clone(&backend_counters),
            worker_counters: Arc::clone(&worker_counters),
            spans: Arc::clone(&spans),
            failure_reports: failure_reports.clone(),
            quota: Arc::clone(&quota),
            request_memory: Arc::clone(&request_memory),
            password_jobs,
            balance: balance.clone(),
            queue_bells: Arc::clone(&queue_bells),
        },
        mailbox,
        logs,
        // With more workers than CPUs, the CPUs are shared evenly.
        cpu: if plan.pin { cpus.get(index % cpus.len().max(1)).copied() } else { None },
        ring_entries: entries,
        io_driver: plan.io_driver,
        drain: Arc::clone(drain),
    };
    // The threads that verify passwords are shared evenly.
    let passwords = passwords.into_iter().cycle();
    Ok(logs.into_iter().enumerate().zip(workers).zip(passwords).map(spec).collect())
}

pub(super) fn start(spec: WorkerSpec, events: Sender<RuntimeEvent>) -> io::Result<()> {
    let index = spec.index;
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(spec, &events)));
        let event = match outcome {
            Ok(Ok(())) => RuntimeEvent::Drained,
            Ok(Err(error)) => RuntimeEvent::Failed(error),
            Err(_panic) => RuntimeEvent::Failed(RuntimeError::WorkerDied { index }),
        };
        // The minding thread ends the process, so it cannot be gone before us.
        drop(events.send(event));
    };
    std::thread::Builder::new().name(format!("ringway-{index}")).spawn(body).map(drop)
}

fn work(mut spec: WorkerSpec, events: &Sender<RuntimeEvent>) -> Result<(), RuntimeError> {
    let pinned_to = spec.cpu.filter(|cpu| pin::pin_to(*cpu));
    if let (Some(cpu), None) = (spec.cpu, pinned_to) {
        log_line(&format!(
            "warning: worker {} cannot be pinned to CPU {cpu}; it runs where the system puts it",
            spec.index
        ));
    }
    let chosen = ring::choose(spec.io_driver, spec.ring_entries).map_err(RuntimeError::Driver)?;
    let mut driver = chosen.driver;
    let thread = WorkerThread { index: spec.index, thread: pin::own_thread(), cpu: pinned_to };
    let ready = Ready { driver: chosen.description, warning: chosen.warning, thread };
    let drain = Arc::clone(&spec.drain);
    let result = driver.run(async {
        let worker = Worker::new(spec.index, spec.shared.clone(), spec.logs.take())?.share();
        let datagrams = Rc::new(OnceCell::new());
        let quic = QuicSockets::default();
        let mut inbox = SocketInbox::new(
            spec.mailbox.clone(),
            drain,
            Rc::clone(&worker),
            (Rc::clone(&datagrams), Rc::clone(&quic)),
        );
        inbox.drain();
        let ticks = every(TICK)?;
        let bell = spec.mailbox.listen()?;
        task::spawn(tick_for_ever(Rc::clone(&worker), datagrams, ticks));
        let verified = worker.password_checks.listen()?;
        task::spawn(hear_of_passwords(Rc::clone(&worker), verified));
        if let Some(bell) = worker.listen_to_arrivals()? {
            arrivals::start(&worker, bell);
        }
        if let Some(bell) = spec.shared.queue_bells.get(spec.index) {
            task::spawn(hear_of_room(Rc::clone(&worker), bell.listen()?));
        }
        task::spawn(async move {
            while bell.next().await.is_ok() {
                inbox.drain();
            }
        });
        drop(events.send(RuntimeEvent::Ready(ready)));
        turn_until_drained(&worker).await;
        socket_inbox::outlive_others(&quic, &worker).await;
        socket_inbox::end_all(&quic, &worker).await;
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

/// Ends what is in flight to backends whose drain is over.
fn end_drains(worker: &Worker, datagrams: &DatagramCell) {
    let now_ms = monotonic_ms();
    for leaving in &worker.snapshot().leaving {
        let since = leaving.backend.health.draining_since_ms();
        let drain_ms = leaving.drain_timeout.as_millis() as u64;
        if since != 0 && now_ms.saturating_sub(since) >= drain_ms {
            leaving.backend.health.expire_drain();
            end_in_flight(leaving.backend.slot, Reason::DrainTimeout, worker, datagrams);
        }
    }
}

/// Ends what is relayed to backends that fail, where their groups want that.
fn cut_off_failing(worker: &Worker, datagrams: &DatagramCell) {
    let snapshot = worker.snapshot();
    let members = snapshot.cutting_off.iter().flat_map(|group| &group.members);
    for member in members.filter(|member| member.backend.health.is_cut_off()) {
        end_in_flight(member.backend.slot, Reason::BackendDown, worker, datagrams);
    }
}

fn end_in_flight(slot: u32, reason: Reason, worker: &Worker, datagrams: &DatagramCell) {
    // To shorten is to look at every deadline of the worker, so it is done where it can matter.
    if worker.balancer.has_in_flight(slot) {
        worker.timers.shorten_tagged(Tag::Backend(slot), Duration::ZERO, Shorten::All);
        if let Some(datagrams) = datagrams.get() {
            datagrams.end_backend(slot, reason);
        }
    }
}

/// The loop's owner: it is polled last in every turn in which a task asked for the time.
async fn turn_until_drained(worker: &Worker) {
    std::future::poll_fn(|cx| {
        worker.clock.end_turn(cx);
        if worker.is_drained() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Tells those who wait that passwords were verified.
async fn hear_of_passwords(worker: Rc<Worker>, verified: Wakeups) {
    while verified.next().await.is_ok() {
        worker.password_checks.wake();
    }
}

/// Lets requests that wait look for a backend with room.
async fn hear_of_room(worker: Rc<Worker>, told: Wakeups) {
    while told.next().await.is_ok() {
        worker.balancer.queues.call_all();
    }
}

async fn tick_for_ever(worker: Rc<Worker>, datagrams: DatagramCell, ticks: Wakeups) {
    let begun = instant_now();
    let mut elapsed: u64 = 0;
    while let Ok(count) = ticks.next().await {
        let noticed = begun.elapsed();
        for _ in 0..count.min(MAX_TICKS_AT_ONCE) {
            worker.tick();
        }
        eviction::make_room_for_others(&worker);
        if elapsed / SWEEP_TICKS != (elapsed + count) / SWEEP_TICKS {
            worker.sweep_connections();
            worker.buffers.trim();
            worker.pipes.trim();
            end_drains(&worker, &datagrams);
            cut_off_failing(&worker, &datagrams);
        }
        elapsed += count;
        let expected = Duration::from_nanos(elapsed.saturating_mul(TICK.as_nanos() as u64));
        worker.tell(noticed.saturating_sub(expected));
    }
    // The timer of the kernel does not fail. Without it no timeout would ever fire, so if it does,
    // the service manager is to begin again.
    log_line(&format!("error: worker {} lost its clock", worker.index));
    operator::finish();
    std::process::abort();
}
