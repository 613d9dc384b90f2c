//! What threads of the running process know of its succession: how a successor is started, and whether there is one.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::control::handover::generations::GenerationStandings;
use crate::control::handover::generations::MAX_GENERATIONS;
use crate::control::handover::start::SuccessorCommand;
use crate::control::process::launcher::Launcher;
use crate::net::wake::Doorbell;

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
    /// Tells the thread that minds the workers.
    pub on_replaced: OnceLock<Box<dyn Fn(Replaced) + Send + Sync>>,
    is_under_way: AtomicBool,
    is_over: AtomicBool,
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
            on_replaced: OnceLock::new(),
            is_under_way: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }
}

impl Succession {
    /// Begins to hand over.
    ///
    /// # Errors
    /// It has happened already, is under way, or too many old processes are still there.
    pub fn begin(self: &Arc<Succession>) -> Result<UnderWay, String> {
        if self.is_over.load(Ordering::Acquire) {
            return Err("a successor has taken over already".to_owned());
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
        if self.is_under_way.swap(true, Ordering::AcqRel) {
            return Err("an upgrade is under way".to_owned());
        }
        Ok(UnderWay(Arc::clone(self)))
    }

    /// Notes that a successor has taken over, and lets everyone know.
    pub fn end(&self, replaced: Replaced) {
        self.is_over.store(true, Ordering::Release);
        if let Some(bell) = self.admin_bell.get() {
            bell.ring();
        }
        if let Some(tell) = self.on_replaced.get() {
            tell(replaced);
        }
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}
