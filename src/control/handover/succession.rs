//! What threads of the running process know of its succession: how a successor is started, and whether there is one.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::control::handover::generations::GenerationStandings;
use crate::control::handover::generations::MAX_GENERATIONS;
use crate::control::handover::start::SuccessorCommand;
use crate::control::process::launcher::Launcher;
use crate::net::wake::Doorbell;

/// How long the thread that minds the workers may take to decide.
const DECISION_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no successor of a process that ends.
pub const STOPPING: &str = "the process is stopping";

/// What is said of an upgrade that is refused for a reason.
pub fn refusal(reason: &str) -> String {
    let consequence = match reason.trim_start_matches("error: ") {
        STOPPING => "it serves what it has and ends",
        _ => "what was in service still is",
    };
    format!("{reason}\nerror: the upgrade is refused; {consequence}")
}

/// Shared by all threads of the control side.
pub struct Succession {
    /// Unset: what is served came from no file that could be read again.
    pub command: OnceLock<SuccessorCommand>,
    /// Who starts it. Unset: this process may do so itself.
    pub launcher: OnceLock<Launcher>,
    /// The listening socket for HTTP of the admin address.
    pub admin_address: OnceLock<(SocketAddr, OwnedFd)>,
    /// Rings when nobody may be accepted on that socket any more.
    pub admin_bell: OnceLock<Doorbell>,
    /// Processes before this one that still serve.
    pub generations: Arc<GenerationStandings>,
    /// Tells the thread that minds the workers, which alone decides whether a stop or a successor came first.
    pub tell: OnceLock<Box<dyn Fn(SuccessionEvent) + Send + Sync>>,
    is_under_way: AtomicBool,
    is_over: AtomicBool,
}

/// What the thread that minds the workers is told.
#[derive(Debug)]
pub enum SuccessionEvent {
    /// A successor is about to be told to go on; the answer is false if the process is stopping. What would stop it waits
    /// until one of the next two.
    Begins(Sender<bool>),
    /// Everything stays as it was.
    Failed,
    Ended(Replaced),
    /// The successor stops.
    Stop,
}

/// A successor serves everything new.
#[derive(Debug)]
pub struct Replaced {
    pub pid: u32,
    /// The numbers of the sockets on which it accepts.
    pub sockets: Vec<u64>,
    /// How long what is left may take.
    pub drain_timeout: Duration,
}

/// Nobody else hands anything over while this is there.
pub struct UnderWay(Arc<Succession>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.is_under_way.store(false, Ordering::Release);
    }
}

impl Default for Succession {
    fn default() -> Succession {
        Succession {
            command: OnceLock::new(),
            launcher: OnceLock::new(),
            admin_address: OnceLock::new(),
            admin_bell: OnceLock::new(),
            generations: Arc::new(GenerationStandings::new(Arc::default())),
            tell: OnceLock::new(),
            is_under_way: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }
}

impl Succession {
    /// Begins to hand over.
    ///
    /// # Errors
    /// The process is the first of its container, a hand-over has happened already, is under way, or too many old processes are still there.
    pub fn begin(self: &Arc<Succession>) -> Result<UnderWay, String> {
        if self.is_over.load(Ordering::Acquire) {
            return Err("a successor has taken over already".to_owned());
        }
        if std::process::id() == 1 {
            return Err("this is process 1 of its container, which ends with it: replace the container, or start ringway \
                        by an init (docker run --init)"
                .to_owned());
        }
        let (_, generations) = self.generations.load();
        if generations.len() >= MAX_GENERATIONS {
            let pids: Vec<_> = generations.iter().map(|old| old.pid.to_string()).collect();
            return Err(format!(
                "{} old processes still serve what they have (pid {}); wait until one has ended, or end one (kill -TERM)",
                generations.len(),
                pids.join(" and ")
            ));
        }
        let busy = || "an upgrade, or a change of the configuration, is under way".to_owned();
        self.hold().ok_or_else(busy)
    }

    /// Keeps others from beginning; None where somebody has begun, or all is over.
    pub fn hold(self: &Arc<Succession>) -> Option<UnderWay> {
        let is_free = !self.is_over() && !self.is_under_way.swap(true, Ordering::AcqRel);
        is_free.then(|| UnderWay(Arc::clone(self)))
    }

    /// Whether a successor may be told to go on now. [`Succession::fail`] or [`Succession::end`] must follow if so.
    pub fn may_go_on(&self) -> bool {
        let (answer, decided) = mpsc::channel();
        self.tell(SuccessionEvent::Begins(answer));
        decided.recv_timeout(DECISION_TIMEOUT).unwrap_or(false)
    }

    /// Everything stays as it was.
    pub fn fail(&self) {
        self.tell(SuccessionEvent::Failed);
    }

    /// Notes that a successor has taken over, and lets everyone know.
    pub fn end(&self, replaced: Replaced) {
        self.is_over.store(true, Ordering::Release);
        if let Some(bell) = self.admin_bell.get() {
            bell.ring();
        }
        self.tell(SuccessionEvent::Ended(replaced));
    }

    /// The successor stops, and this process with it.
    pub fn stop(&self) {
        self.tell(SuccessionEvent::Stop);
    }

    fn tell(&self, event: SuccessionEvent) {
        if let Some(tell) = self.tell.get() {
            tell(event);
        }
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}
