//! Threads and their end: one worker per CPU, and the thread that minds them.

mod drain;
mod pin;
mod ring;
mod worker_thread;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use crate::control::signals;
use crate::control::signals::Order;
use crate::net::clock::instant_now;
use crate::net::listen::Bound;
use crate::runtime::drain::Drain;
use crate::snapshot::Snapshot;
use crate::telemetry::access_log::Format;
use crate::telemetry::log_writer::LogWriter;
use crate::telemetry::log_writer::Sink;
use crate::telemetry::operator::tell;

pub use pin::usable_cpus;
pub use ring::Wanted;
pub use ring::abilities;

/// What the runtime needs beside the snapshot.
pub struct Plan {
    pub snapshot: Arc<Snapshot>,
    /// What HUP asks for; never slow.
    pub reload: Box<dyn Fn() + Send>,
    pub listeners: Vec<ListenerPlan>,
    pub access_log: Option<(Sink, Format)>,
    pub pin: bool,
    pub ring_entries: u32,
    pub io_driver: Wanted,
    pub shutdown_timeout: Duration,
}

pub struct ListenerPlan {
    pub name: String,
    /// Each with whether it takes IPv4 as well.
    pub addresses: Vec<(SocketAddr, bool)>,
}

/// Why serving could not begin, or ended by itself.
#[derive(Debug)]
pub enum RuntimeError {
    Bind {
        listener: String,
        address: SocketAddr,
        error: io::Error,
    },
    AccessLog {
        sink: Sink,
        error: io::Error,
    },
    /// No driver could be set up; the text names the cure.
    Driver(String),
    System(io::Error),
    /// A worker ended by a panic, which has been printed.
    WorkerDied {
        index: usize,
    },
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeError::Bind { listener, address, error } => {
                write!(
                    out,
                    "listener \"{listener}\" cannot bind {address}: {error}; {}",
                    bind_cure(address, error)
                )
            }
            RuntimeError::AccessLog { sink: Sink::File(path), error } => {
                write!(out, "cannot open the access log {}: {error}", path.display())
            }
            RuntimeError::AccessLog { error, .. } => write!(out, "cannot write the access log: {error}"),
            RuntimeError::Driver(text) => out.write_str(text),
            RuntimeError::System(error) => write!(out, "the system refused what a worker needs: {error}"),
            RuntimeError::WorkerDied { index } => write!(out, "worker {index} died, see the panic above"),
        }
    }
}

fn bind_cure(address: &SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another process has port {port} (see: ss -ltnp sport = :{port}); stop it or change the address"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE (systemd: \
             AmbientCapabilities=CAP_NET_BIND_SERVICE) or use another port than {port}"
        ),
        io::ErrorKind::AddrNotAvailable => "no interface of this host has that address".to_owned(),
        _ => "change the listener's address".to_owned(),
    }
}

/// What serves, once it does.
pub struct Serving {
    pub workers: usize,
    /// The I/O driver of the workers, and its flags.
    pub driver: String,
    /// Names of listeners, with the port that the kernel chose where the configured one was 0.
    pub listeners: Vec<(String, SocketAddr)>,
}

/// What reaches the minding thread.
enum Event {
    Order(Order),
    /// A worker serves; the text describes its driver.
    Ready(String),
    Failed(RuntimeError),
    Drained,
}

/// Serves until a signal ends it. `announce` is called once all workers accept.
pub fn run(mut plan: Plan, announce: impl FnOnce(&Serving)) -> Result<(), RuntimeError> {
    let workers = plan.snapshot.workers;
    let mut bound = bind(&plan)?;
    let mut listeners = Vec::new();
    for (listener, addresses) in plan.listeners.iter().zip(&bound) {
        listeners.extend(addresses.iter().map(|bound| (listener.name.clone(), bound.address)));
    }
    let (log_writer, log_queues) = start_log(&mut plan, workers)?;
    let drain = Drain::new(workers).map_err(RuntimeError::System)?;
    let (events, inbox) = mpsc::channel();
    let orders = events.clone();
    // The inbox lives as long as the process.
    signals::listen(move |order| drop(orders.send(Event::Order(order)))).map_err(RuntimeError::System)?;
    let shutdown_timeout = plan.shutdown_timeout;
    let reload = std::mem::replace(&mut plan.reload, Box::new(|| {}));
    let mut seeds = worker_thread::seeds(plan, log_queues, &drain);
    for (seed, taken) in seeds.iter_mut().zip(sockets_by_worker(&mut bound, workers)) {
        seed.sockets = taken;
    }
    for seed in seeds {
        worker_thread::start(seed, events.clone()).map_err(RuntimeError::System)?;
    }
    let driver = wait_until_ready(&inbox, workers)?;
    announce(&Serving { workers, driver, listeners });
    let minder = Minder { drain, workers, shutdown_timeout, log_writer: log_writer.as_ref(), reload };
    let outcome = minder.mind(&inbox);
    if let Some(writer) = log_writer {
        writer.stop();
    }
    outcome
}

fn bind(plan: &Plan) -> Result<Vec<Vec<Bound>>, RuntimeError> {
    let bind_one = |listener: &ListenerPlan, address: SocketAddr, dual_stack: bool| {
        Bound::new(address, dual_stack, plan.snapshot.workers).map_err(|error| RuntimeError::Bind {
            listener: listener.name.clone(),
            address,
            error,
        })
    };
    let bind_all = |listener: &ListenerPlan| {
        listener
            .addresses
            .iter()
            .map(|&(address, dual_stack)| bind_one(listener, address, dual_stack))
            .collect()
    };
    plan.listeners.iter().map(bind_all).collect()
}

/// For each worker, one socket of every address: listener, port, socket.
fn sockets_by_worker(bound: &mut [Vec<Bound>], workers: usize) -> Vec<worker_thread::Sockets> {
    let take_all = |bound: &mut [Vec<Bound>]| {
        let mut sockets = Vec::new();
        for (listener, addresses) in bound.iter_mut().enumerate() {
            for address in addresses {
                let port = address.address.port();
                sockets.extend(address.take().map(|socket| (listener, port, socket)));
            }
        }
        sockets
    };
    (0..workers).map(|_| take_all(bound)).collect()
}

type LogEnds = (Option<LogWriter>, Vec<Option<crate::worker::AccessLog>>);

fn start_log(plan: &mut Plan, workers: usize) -> Result<LogEnds, RuntimeError> {
    let Some((sink, format)) = plan.access_log.take() else {
        return Ok((None, (0..workers).map(|_| None).collect()));
    };
    let report = |text: String| tell(&format!("warning: {text}"));
    let (writer, queues) = LogWriter::start(sink.clone(), workers, report)
        .map_err(|error| RuntimeError::AccessLog { sink, error })?;
    let process = random();
    let ends = queues.into_iter().map(|queue| Some(crate::worker::AccessLog::new(format, queue, process)));
    Ok((Some(writer), ends.collect()))
}

/// A number that another process, or this one after a restart, is unlikely to have.
fn random() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(crate::net::clock::wall_now())
}

fn wait_until_ready(inbox: &mpsc::Receiver<Event>, workers: usize) -> Result<String, RuntimeError> {
    let mut driver = String::new();
    let mut ready = 0;
    while ready < workers {
        match inbox.recv() {
            Ok(Event::Ready(description)) => {
                driver = description;
                ready += 1;
            }
            Ok(Event::Failed(error)) => return Err(error),
            // Told to end before the beginning.
            Ok(Event::Order(Order::Stop | Order::StopWithoutBound)) => std::process::exit(0),
            Ok(Event::Order(Order::ReopenLogs | Order::Reload) | Event::Drained) => {}
            Err(_) => return Err(RuntimeError::WorkerDied { index: ready }),
        }
    }
    Ok(driver)
}

/// The thread that minds the workers, and what it can do.
struct Minder<'w> {
    drain: Arc<Drain>,
    workers: usize,
    shutdown_timeout: Duration,
    log_writer: Option<&'w LogWriter>,
    reload: Box<dyn Fn() + Send>,
}

impl Minder<'_> {
    /// Obeys orders until every worker has drained, time is up, or a second order to stop.
    fn mind(&self, inbox: &mpsc::Receiver<Event>) -> Result<(), RuntimeError> {
        let mut drained = 0;
        let mut stopping = false;
        let mut bound: Option<Instant> = None;
        while drained < self.workers {
            let event = match bound {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(end) => inbox.recv_timeout(end.saturating_duration_since(instant_now())),
            };
            match event {
                Ok(Event::Order(Order::ReopenLogs)) => {
                    if let Some(writer) = self.log_writer {
                        writer.reopen();
                    }
                }
                Ok(Event::Order(Order::Reload)) => (self.reload)(),
                Ok(Event::Order(_)) if stopping => return Ok(()),
                Ok(Event::Order(order)) => {
                    stopping = true;
                    if order == Order::Stop {
                        bound = Some(instant_now() + self.shutdown_timeout);
                    }
                    self.drain.begin(self.shutdown_timeout);
                }
                Ok(Event::Drained) => drained += 1,
                Ok(Event::Failed(error)) => return Err(error),
                Ok(Event::Ready(_)) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(RuntimeError::WorkerDied { index: 0 }),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_explained() {
        let error = RuntimeError::Bind {
            listener: "web".to_owned(),
            address: "127.0.0.1:80".parse().unwrap(),
            error: io::Error::from_raw_os_error(libc::EADDRINUSE),
        };
        let text = error.to_string();
        assert!(
            text.starts_with("listener \"web\" cannot bind 127.0.0.1:80: Address already in use"),
            "{text}"
        );
        assert!(text.contains("another process has port 80"), "{text}");
    }
}
