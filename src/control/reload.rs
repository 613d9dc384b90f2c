//! The thread that keeps what is in service current: other configurations, other addresses of names, and
//! files that change on disk.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::config::AccessLog;
use crate::config::Config;
use crate::config::Loaded;
use crate::config::Location;
use crate::config::Severity;
use crate::control::active_config::ActiveConfig;
use crate::control::active_config::Refusal;
use crate::control::backend_order;
use crate::control::backend_order::BackendOrder;
use crate::control::backend_order::BackendRefusal;
use crate::control::backend_order::BackendReply;
use crate::control::build::access_logs;
use crate::control::build::sockets::BindError;
use crate::control::build::sockets::Binding;
use crate::control::build::sockets::OLD_SOCKETS_LOOK_INTERVAL;
use crate::control::build::sockets::OLD_SOCKETS_TIMEOUT;
use crate::control::credentials;
use crate::control::credentials::file_reload;
use crate::control::credentials::file_reload::FileReload;
use crate::control::discovery::dns::WatchedNames;
use crate::control::drains::Drains;
use crate::control::handover::generations::Generation;
use crate::control::handover::generations::Generations;
use crate::control::handover::offer::HandOverOffer;
use crate::control::handover::progress::HandOver;
use crate::control::handover::progress::UpgradeOutcome;
use crate::control::handover::succession::UnderWay;
use crate::control::preflight;
use crate::control::process::rlimits;
use crate::control::process::socket_store::SocketStore;
use crate::control::reload_changes;
use crate::control::written_config::WrittenConfig;
use crate::net::clock::instant_now;
use crate::net::clock::monotonic_ms;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;
use crate::telemetry::operator::log_line;
use crate::telemetry::words::counted;

/// How often files are looked at. A thousand files then cost half a per cent of a CPU.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Hosts of which the operator is told when many have other addresses at once.
const MAX_SENTENCES: usize = 20;

/// Reads the configuration again, from where it was read first.
pub type Load = Box<dyn Fn() -> Loaded + Send>;

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
    /// Hand everything over to a successor.
    HandOver {
        offer: Box<HandOverOffer>,
        under_way: UnderWay,
        /// Gets to know how that went. None: no client waits for it.
        answer: Option<Sender<UpgradeOutcome>>,
    },
    /// Let workers accept: the process before has let go.
    Accept { done: Sender<()> },
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

/// Why a reload did not come about.
enum Setback {
    /// Another process has an address, which may pass.
    Taken(BindError),
    /// Lines for the operator.
    Refused(String),
}

impl From<String> for Setback {
    fn from(lines: String) -> Setback {
        Setback::Refused(lines)
    }
}

struct Reloader {
    active: ActiveConfig,
    /// What threads and rings were made with, and no reload changes; without listeners and groups.
    started: Config,
    file_reload: FileReload,
    names: WatchedNames,
    drains: Drains,
    hand_over: HandOver,
    store: SocketStore,
    /// None: the configuration came from no file.
    load: Option<Load>,
}

/// Starts the thread, which also hears of these processes that went before. It ends when every sender is gone.
pub fn start(
    active: ActiveConfig,
    file_reload: FileReload,
    names: WatchedNames,
    (load, before): (Option<Load>, Vec<Generation>),
) -> io::Result<Sender<Command>> {
    let (sender, commands) = mpsc::channel();
    let started = Config { listeners: Vec::new(), server_groups: Vec::new(), ..active.config.clone() };
    let drains = Drains::new(&active.channels().publication.load().1);
    let generations = Generations::new(before, Arc::clone(&active.channels().succession.generations));
    let hand_over = HandOver::new(generations);
    let mut reloader = Reloader {
        active,
        started,
        file_reload,
        names,
        drains,
        hand_over,
        store: SocketStore::default(),
        load,
    };
    let body = move || {
        // Thousands of backends take a tenth of a second to read, and no request is to wait for that.
        rlimits::give_way();
        let mut looked = instant_now();
        loop {
            if reloader.hand_over.is_under_way() {
                // It waits for the successor itself.
                reloader.hand_over.step(&reloader.active);
            }
            let patience = if reloader.hand_over.is_under_way() { Duration::ZERO } else { LOOK_INTERVAL };
            match commands.recv_timeout(patience) {
                Ok(command) => reloader.obey(command),
                Err(RecvTimeoutError::Timeout) if looked.elapsed() < LOOK_INTERVAL => {}
                Err(RecvTimeoutError::Timeout) => {
                    reloader.look();
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
            Command::HandOver { offer, under_way, answer } => {
                self.hand_over.begin(*offer, under_way, answer);
            }
            Command::Accept { done } => {
                self.active.accept();
                done.send(()).unwrap_or_default();
            }
            Command::StopOldProcesses => self.hand_over.stop_old_processes(),
            Command::Follow(generation) => self.hand_over.follow(generation),
            Command::BidFarewell { answer } => {
                self.hand_over.bid_farewell(&self.active);
                answer.send(()).unwrap_or_default();
            }
        }
    }

    /// Why there can be no reload.
    fn obstacle(&self) -> Option<&'static str> {
        if self.hand_over.is_over() {
            return Some("error: another process has taken over, reload that one");
        }
        self.hand_over.is_under_way().then_some("error: an upgrade is under way, try again when it has ended")
    }

    fn change_backend(&mut self, order: &BackendOrder) -> Result<BackendReply, BackendRefusal> {
        match self.obstacle() {
            Some(obstacle) => {
                let obstacle = obstacle.trim_start_matches("error: ");
                Err(BackendRefusal::Unavailable(obstacle.to_owned()))
            }
            None => backend_order::obey(&mut self.active, order),
        }
    }

    fn obey_reload(&mut self, is_strict: bool, answer: Option<Sender<ReloadOutcome>>) {
        let systemd = self.active.channels().systemd.clone();
        systemd.reloading();
        let outcome = match self.obstacle() {
            Some(obstacle) => Err(obstacle.to_owned()),
            None => self.reload(is_strict),
        };
        self.active.channels().reloads.note(outcome.is_ok(), monotonic_ms());
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
                let first = lines.lines().next().unwrap_or_default();
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
        if self.load.is_none() {
            self.file_reload.read_everything(&mut self.active);
            let sentence = "the configuration came from the command line; the files it names were read again";
            return Ok(Reloaded { sentence: sentence.to_owned(), warnings: String::new() });
        }
        let began = instant_now();
        let end = began + OLD_SOCKETS_TIMEOUT;
        loop {
            match self.reload_once(began, is_strict) {
                Err(Setback::Taken(refused)) if instant_now() < end => self.wait_until_free(&refused, end),
                Err(Setback::Taken(refused)) => return Err(format!("error: {refused}")),
                Err(Setback::Refused(lines)) => return Err(lines),
                Ok(reloaded) => return Ok(reloaded),
            }
        }
    }

    /// Waits until no other process has the address any more, and goes on with everything else meanwhile.
    fn wait_until_free(&mut self, refused: &BindError, end: Instant) {
        let mut looked = instant_now();
        loop {
            thread::sleep(OLD_SOCKETS_LOOK_INTERVAL);
            let now = instant_now();
            if now >= looked + LOOK_INTERVAL {
                self.look();
                looked = now;
            }
            if now >= end || !self.active.is_taken(refused) {
                return;
            }
        }
    }

    /// Goes on with what changes by itself.
    fn look(&mut self) {
        self.file_reload.look(&mut self.active);
        self.follow_names();
        self.drains.look(&self.active.channels().publication.load().1);
        self.hand_over.look(&self.active);
        if !self.hand_over.is_over() && !self.active.channels().readiness.is_stopping() {
            self.store.follow(&self.active);
        }
        self.active.free_replaced();
    }

    fn reload_once(&mut self, began: Instant, is_strict: bool) -> Result<Reloaded, Setback> {
        let Some(load) = &self.load else { return Err(Setback::Refused(String::new())) };
        let mut loaded = load();
        let Some(config) = loaded.config.take() else { return Err(report_text(&loaded).into()) };
        let files = file_reload::files_of(&config);
        let credentials = credentials::load(&config, self.file_reload.read_file(), &mut loaded.report);
        preflight::inspect(&config, &credentials, &mut loaded.report);
        let unchangeable = unchangeable(&self.started, &config);
        if is_strict {
            loaded.report.be_strict();
            if !unchangeable.is_empty() {
                let lines = told_later("error", &unchangeable) + &report_text(&loaded);
                return Err(Setback::Refused(lines.trim_end().to_owned()));
            }
        }
        if loaded.report.has_errors() {
            return Err(report_text(&loaded).into());
        }
        let Reloader { file_reload, active, names, .. } = &mut *self;
        let resolutions = names.resolve(&config, || file_reload.look(active));
        let bound = self.active.bindings().to_vec();
        let backends = reload_changes::backends(&self.active.config);
        let outcome = self.active.replace(config, credentials, &resolutions, &mut loaded.report);
        self.names.watch(&self.active.config);
        match outcome {
            Ok(()) => {}
            Err(Refusal::Invalid) => return Err(report_text(&loaded).into()),
            Err(Refusal::Bind(refused)) if refused.is_taken() => return Err(Setback::Taken(refused)),
            Err(refusal) => return Err(format!("error: {refusal}").into()),
        }
        self.file_reload.follow(&self.active, files);
        let mut warnings = told_later("warning", &unchangeable);
        if loaded.report.count(Severity::Warning) > 0 {
            warnings.push_str(&report_text(&loaded));
        }
        self.active.channels().written.publish(Arc::new(WrittenConfig::new(loaded)));
        self.log_listeners(&bound);
        reload_changes::note(&backends, &reload_changes::backends(&self.active.config));
        let ActiveConfig { config, .. } = &self.active;
        let backends: usize = config.server_groups.iter().map(|group| group.backends.len()).sum();
        let sentence = format!(
            "reloaded: config generation {}, {}, {}, {}, in service after {} ms",
            self.active.epoch(),
            counted(config.listeners.len(), "listener"),
            counted(config.server_groups.len(), "group"),
            counted(backends, "backend"),
            began.elapsed().as_millis()
        );
        Ok(Reloaded { sentence, warnings: warnings.trim_end().to_owned() })
    }

    /// Tells which addresses were not listened at `before`, and which are no more.
    fn log_listeners(&self, before: &[Binding]) {
        let now = self.active.bindings();
        let is_among = |all: &[Binding], one: &Binding| all.iter().any(|other| other.number == one.number);
        for Binding { address, listener, .. } in before.iter().filter(|binding| !is_among(now, binding)) {
            let line = format!("closed {address} (listener \"{listener}\")");
            log_event(News::new(EventKind::ListenerClosed, line).of("listener", listener));
        }
        let listeners = &self.active.config.listeners;
        for binding in now.iter().filter(|binding| !is_among(before, binding)) {
            let of_name = listeners.iter().find(|listener| listener.name == binding.listener);
            let is_secure = of_name.is_some_and(|listener| listener.tls.is_some());
            log_event(listening(is_secure, binding.address, &binding.listener));
        }
    }

    /// Goes on with the present addresses of names.
    fn follow_names(&mut self) {
        let Some(resolutions) = self.names.changed() else { return };
        match self.active.update_addresses(&resolutions) {
            Ok(sentences) => {
                let news = |line: &str| News::new(EventKind::NamesChanged, line);
                for (host, sentence) in sentences.iter().take(MAX_SENTENCES) {
                    log_event(news(sentence).of("host", host));
                }
                if let Some(more @ 1..) = sentences.len().checked_sub(MAX_SENTENCES) {
                    log_event(news(&format!("names: {more} more hosts have other addresses")));
                }
            }
            Err(refusal) => {
                let line = format!("error: the addresses of names stay as they were: {refusal}");
                log_event(News::new(EventKind::NamesFailing, line));
            }
        }
    }
}

/// A line for each key that takes effect later.
fn told_later(severity: &str, keys: &[&str]) -> String {
    let line = |key: &&str| {
        format!("{severity}: {key} has changed, which takes effect at the next start or upgrade\n")
    };
    keys.iter().map(line).collect()
}

/// What tells the operator, and scripts, where a listener accepts.
pub fn listening(is_secure: bool, address: SocketAddr, listener: &str) -> News {
    let scheme = if is_secure { "https" } else { "http" };
    let line = format!("listening on {scheme}://{address} (listener \"{listener}\")");
    News::new(EventKind::ListenerOpened, line).of("listener", listener)
}

fn report_text(loaded: &Loaded) -> String {
    loaded.report.to_text(false).trim_end().to_owned()
}

/// The settings that differ and belong to threads and rings, which are made at the start.
fn unchangeable(serving: &Config, wanted: &Config) -> Vec<&'static str> {
    let (old, new) = (&serving.process, &wanted.process);
    let of_process = [
        ("process.workers", old.workers != new.workers),
        ("process.pin", old.pin != new.pin),
        ("process.balance_connections", old.balance_connections != new.balance_connections),
        ("process.health_cpu", old.health_cpu != new.health_cpu),
        ("process.ring_entries", old.ring_entries != new.ring_entries),
        ("process.io_driver", old.io_driver != new.io_driver),
        ("process.shutdown_delay", old.shutdown_delay != new.shutdown_delay),
        ("process.shutdown_timeout", old.shutdown_timeout != new.shutdown_timeout),
        ("process.resolvers", old.resolvers != new.resolvers),
        ("process.state_folder", old.state_folder.path != new.state_folder.path),
        ("process.user", name(&old.user) != name(&new.user)),
        ("process.group", name(&old.group) != name(&new.group)),
        ("process.landlock", old.landlock != new.landlock),
        (
            "process.ticket_seed_file",
            old.ticket_seed_file.as_ref().map(|file| &file.path)
                != new.ticket_seed_file.as_ref().map(|file| &file.path),
        ),
        ("admin.address", http_address(serving) != http_address(wanted)),
        ("admin.hosts", serving.admin.hosts != wanted.admin.hosts),
        ("admin.socket", socket(serving) != socket(wanted)),
    ];
    let changes = of_process.into_iter().chain(changes_of_logs(&serving.access_logs, &wanted.access_logs));
    changes.filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
}

/// What of the access logs has changed beside their listeners.
fn changes_of_logs(serving: &[AccessLog], wanted: &[AccessLog]) -> [(&'static str, bool); 12] {
    let names: Vec<&str> = serving.iter().map(|log| log.name.as_str()).collect();
    let pairs: Vec<_> = serving
        .iter()
        .enumerate()
        .filter_map(|(place, log)| Some((log, access_logs::successor(&names, place, wanted)?)))
        .collect();
    let differ =
        |is_other: fn(&AccessLog, &AccessLog) -> bool| pairs.iter().any(|(old, new)| is_other(old, new));
    let is_whole = pairs.len() == serving.len() && pairs.len() == wanted.len();
    [
        ("access_log", !is_whole),
        ("access_log.path", differ(|old, new| old.destination != new.destination)),
        ("access_log.facility", differ(|old, new| old.syslog.facility != new.syslog.facility)),
        ("access_log.severity", differ(|old, new| old.syslog.severity != new.syslog.severity)),
        ("access_log.app_name", differ(|old, new| old.syslog.app_name != new.syslog.app_name)),
        ("access_log.syslog_format", differ(|old, new| old.syslog.form != new.syslog.form)),
        (
            "access_log.max_message_bytes",
            differ(|old, new| old.syslog.max_message_bytes != new.syslog.max_message_bytes),
        ),
        ("access_log.format", differ(|old, new| old.format != new.format)),
        ("access_log.fields", differ(|old, new| old.fields != new.fields)),
        ("access_log.headers", differ(|old, new| old.headers != new.headers)),
        ("access_log.log", differ(|old, new| old.statuses != new.statuses)),
        ("access_log.sample", differ(|old, new| old.sample != new.sample)),
    ]
}

fn name(user: &Option<(String, Location)>) -> Option<&str> {
    user.as_ref().map(|(name, _)| name.as_str())
}

fn http_address(config: &Config) -> Option<std::net::SocketAddr> {
    config.admin.address.map(|(address, _)| address)
}

fn socket(config: &Config) -> Option<&std::path::Path> {
    config.admin.socket.as_ref().map(|file| file.path.as_path())
}
