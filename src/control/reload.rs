//! The thread that keeps what is in service current: other configurations, other addresses of names, and
//! files that change on disk.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::control::active_config::ActiveConfig;
use crate::control::active_config::Refusal;
use crate::control::backend_order;
use crate::control::backend_order::BackendOrder;
use crate::control::backend_order::BackendRefusal;
use crate::control::backend_order::BackendReply;
use crate::control::build::binding::BindError;
use crate::control::build::sockets::OLD_SOCKETS_TIMEOUT;
use crate::control::change::engine;
use crate::control::change::order::ChangeOrder;
use crate::control::change::order::ChangeOutcome;
use crate::control::change::order::GeneratedChange;
use crate::control::credentials::file_reload::FileReload;
use crate::control::discovery::dns::WatchedNames;
use crate::control::drains::Drains;
use crate::control::handover::generations::Generation;
use crate::control::handover::generations::Generations;
use crate::control::handover::offer::HandOverOffer;
use crate::control::handover::progress::HandOver;
use crate::control::handover::progress::UpgradeOutcome;
use crate::control::handover::succession::UnderWay;
use crate::control::installer::Installer;
use crate::control::installer::Setback;
use crate::control::origin::ConfigOrigin;
use crate::control::process::rlimits;
use crate::control::process::socket_store::SocketStore;
use crate::net::clock::instant_now;
use crate::net::clock::monotonic_ms;
use crate::net::listen::ADDRESS_LOOK_INTERVAL;
use crate::snapshot::handed_session::HandedSessions;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;
use crate::telemetry::operator::log_line;

/// How often files are looked at. A thousand files then cost half a per cent of a CPU.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What the thread is asked for.
pub enum Command {
    /// Read the configuration, and every file that it names, and put it into service.
    Reload {
        /// Refuse it for a warning, too.
        is_strict: bool,
        /// Gets to know how that went. None: no client waits for it, the operator reads it.
        answer: Option<Sender<ReloadOutcome>>,
    },
    /// Give a backend another weight, or drain it.
    ChangeBackend { order: BackendOrder, answer: Sender<Result<BackendReply, BackendRefusal>> },
    /// Change the configuration in service, and the files that it is in.
    Change { order: Box<ChangeOrder>, answer: Sender<ChangeOutcome> },
    /// Put another text that is made of something else into service.
    Replace { change: Box<GeneratedChange>, answer: Sender<ChangeOutcome> },
    /// Hand everything over to a successor.
    HandOver {
        offer: Box<HandOverOffer>,
        under_way: UnderWay,
        /// Gets to know how that went. None: no client waits for it.
        answer: Option<Sender<UpgradeOutcome>>,
    },
    /// Let workers accept: the process before has let go.
    Accept { sessions: Vec<HandedSessions>, done: Sender<()> },
    /// Hear of this process, which has handed over.
    Follow(Generation),
    /// Let processes that still serve what they have stop, too.
    StopOldProcesses,
    /// Tell the successor, if there is one, what was counted last.
    BidFarewell { answer: Sender<()> },
}

/// How a reload went: what came of it, or several lines that say what stands against it.
pub type ReloadOutcome = Result<Reloaded, String>;

/// What is in service now.
pub struct Reloaded {
    pub sentence: String,
    /// Lines; empty without any.
    pub warnings: String,
}

struct Reloader {
    installer: Installer,
    others: Others,
    /// None: the configuration came from no file.
    origin: Option<ConfigOrigin>,
}

/// What the thread looks after besides.
struct Others {
    drains: Drains,
    hand_over: HandOver,
    store: SocketStore,
}

/// Starts the thread, which also hears of these processes that went before. It ends when every sender is gone.
pub fn start(
    active: ActiveConfig,
    file_reload: FileReload,
    names: WatchedNames,
    (origin, before): (Option<ConfigOrigin>, Vec<Generation>),
) -> io::Result<Sender<Command>> {
    let (sender, commands) = mpsc::channel();
    let drains = Drains::new(&active.channels().publication.load().1);
    let generations = Generations::new(before, Arc::clone(&active.channels().succession.generations));
    let hand_over = HandOver::new(generations);
    let installer = Installer::new(active, file_reload, names);
    let others = Others { drains, hand_over, store: SocketStore::default() };
    let mut reloader = Reloader { installer, others, origin };
    let body = move || {
        // Thousands of backends take a tenth of a second to read, and no request is to wait for that.
        rlimits::give_way();
        let mut looked = instant_now();
        loop {
            if reloader.others.hand_over.is_under_way() {
                // It waits for the successor itself.
                reloader.others.hand_over.step(&reloader.installer.active);
            }
            let patience =
                if reloader.others.hand_over.is_under_way() { Duration::ZERO } else { LOOK_INTERVAL };
            match commands.recv_timeout(patience) {
                Ok(command) => reloader.obey(command),
                Err(RecvTimeoutError::Timeout) if looked.elapsed() < LOOK_INTERVAL => {}
                Err(RecvTimeoutError::Timeout) => {
                    reloader.others.look(&mut reloader.installer);
                    looked = instant_now();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    thread::Builder::new().name("ringway-reload".to_owned()).spawn(body)?;
    Ok(sender)
}

impl Reloader {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Reload { is_strict, answer } => self.obey_reload(is_strict, answer),
            Command::ChangeBackend { order, answer } => {
                // The client that asked may have gone.
                drop(answer.send(self.change_backend(&order)));
            }
            Command::Change { order, answer } => {
                let outcome = self.change(*order);
                // The client that asked may have gone.
                drop(answer.send(outcome));
            }
            Command::Replace { change, answer } => {
                let outcome = self.in_place(|installer, origin, wait| {
                    engine::replace_generated(installer, origin, *change, wait)
                });
                drop(answer.send(outcome));
            }
            Command::HandOver { offer, under_way, answer } => {
                self.others.hand_over.begin(*offer, under_way, answer);
            }
            Command::Accept { sessions, done } => {
                self.installer.active.accept(sessions);
                done.send(()).unwrap_or_default();
            }
            Command::StopOldProcesses => self.others.hand_over.stop_old_processes(),
            Command::Follow(generation) => self.others.hand_over.follow(generation),
            Command::BidFarewell { answer } => {
                self.others.hand_over.bid_farewell(&self.installer.active);
                answer.send(()).unwrap_or_default();
            }
        }
    }

    /// Why there can be no reload.
    fn obstacle(&self) -> Option<&'static str> {
        if self.others.hand_over.is_over() {
            return Some("error: another process has taken over, reload that one");
        }
        self.others
            .hand_over
            .is_under_way()
            .then_some("error: an upgrade is under way, try again when it has ended")
    }

    fn change_backend(&mut self, order: &BackendOrder) -> Result<BackendReply, BackendRefusal> {
        match self.obstacle() {
            Some(obstacle) => {
                let obstacle = obstacle.trim_start_matches("error: ");
                Err(BackendRefusal::Unavailable(obstacle.to_owned()))
            }
            None => backend_order::obey(&mut self.installer.active, order),
        }
    }

    fn obey_reload(&mut self, is_strict: bool, answer: Option<Sender<ReloadOutcome>>) {
        let systemd = self.installer.active.channels().systemd.clone();
        systemd.reloading();
        let outcome = match self.obstacle() {
            Some(obstacle) => Err(obstacle.to_owned()),
            None => self.reload(is_strict),
        };
        self.installer.active.channels().reloads.note(outcome.is_ok(), monotonic_ms());
        match &outcome {
            Ok(Reloaded { sentence, warnings }) => {
                if !warnings.is_empty() {
                    log_line(warnings);
                }
                log_event(News::new(EventKind::ReloadDone, sentence));
                systemd.ready(sentence);
            }
            Err(lines) => {
                let text = format!("{lines}\nerror: the reload is refused; what was in service still is");
                log_event(News::new(EventKind::ReloadRefused, text));
                // Warnings may stand before what it was refused for.
                let mut errors = lines.lines().filter(|line| line.contains("error: "));
                let first = errors.next().or_else(|| lines.lines().next()).unwrap_or_default();
                systemd.ready(&format!("the last reload was refused, what was in service still is: {first}"));
            }
        }
        if let Some(answer) = answer {
            // The client that asked may have gone.
            drop(answer.send(outcome));
        }
    }

    /// Tries again for a moment where an address is taken.
    fn reload(&mut self, is_strict: bool) -> ReloadOutcome {
        if self.origin.is_none() {
            self.installer.file_reload.read_everything(&mut self.installer.active);
            let sentence = "the configuration came from the command line; the files it names were read again";
            return Ok(Reloaded { sentence: sentence.to_owned(), warnings: String::new() });
        }
        let began = instant_now();
        let end = began + OLD_SOCKETS_TIMEOUT;
        loop {
            match self.reload_once(began, is_strict) {
                Err(Setback::Taken(refused)) if instant_now() < end => {
                    self.others.wait_until_free(&mut self.installer, &refused, end)
                }
                outcome => return outcome.map_err(|setback| setback.to_string()),
            }
        }
    }

    fn reload_once(&mut self, began: Instant, is_strict: bool) -> Result<Reloaded, Setback> {
        let Some(origin) = &self.origin else { return Err(Setback::Refused(Refusal::Invalid)) };
        let mut candidate = self.installer.examine(origin.load()).map_err(Setback::Invalid)?;
        if is_strict {
            candidate.be_strict()?;
        }
        let warnings = self.installer.install(candidate)?;
        let summary = self.installer.summary();
        let sentence = format!("reloaded: {summary}, in service after {} ms", began.elapsed().as_millis());
        Ok(Reloaded { sentence, warnings })
    }

    /// Changes the configuration in service, then its files.
    fn change(&mut self, order: ChangeOrder) -> ChangeOutcome {
        self.in_place(|installer, origin, wait| engine::change(installer, origin, order, wait))
    }

    /// Changes what is in service, unless another process is about to take over.
    fn in_place(
        &mut self,
        change: impl FnOnce(
            &mut Installer,
            Option<&ConfigOrigin>,
            &mut dyn FnMut(&mut Installer, &BindError) -> bool,
        ) -> ChangeOutcome,
    ) -> ChangeOutcome {
        let channels = self.installer.active.channels().clone();
        // A successor reads the files as soon as it is started.
        let held = channels.succession.hold().filter(|_| !channels.readiness.is_stopping());
        let _held = held.ok_or_else(engine::handing_over)?;
        let end = instant_now() + OLD_SOCKETS_TIMEOUT;
        let Reloader { installer, others, origin } = self;
        let mut wait = |installer: &mut Installer, refused: &BindError| {
            let is_early = instant_now() < end;
            if is_early {
                others.wait_until_free(installer, refused, end);
            }
            is_early
        };
        change(installer, origin.as_ref(), &mut wait)
    }
}

impl Others {
    /// Waits until no other process has the address any more, and goes on with everything else meanwhile.
    fn wait_until_free(&mut self, installer: &mut Installer, refused: &BindError, end: Instant) {
        let mut looked = instant_now();
        loop {
            thread::sleep(ADDRESS_LOOK_INTERVAL);
            let now = instant_now();
            if now >= looked + LOOK_INTERVAL {
                self.look(installer);
                looked = now;
            }
            if now >= end || !installer.active.is_taken(refused) {
                return;
            }
        }
    }

    /// Goes on with what changes by itself.
    fn look(&mut self, installer: &mut Installer) {
        let Installer { active, file_reload, .. } = installer;
        file_reload.look(active);
        installer.follow_names();
        let active = &mut installer.active;
        self.drains.look(&active.channels().publication.load().1);
        self.hand_over.look(active);
        if !self.hand_over.is_over() && !active.channels().readiness.is_stopping() {
            self.store.follow(active);
        }
        active.free_replaced();
    }
}
