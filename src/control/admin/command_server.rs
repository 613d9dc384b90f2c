//! Carrying commands out. A command is a word of [`COMMANDS`] and an arm of [`CommandServer::answer`], which knows
//! nothing of sockets.

use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::Sender;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value as Json;

use crate::control::active_config::Channels;
use crate::control::admin::backend;
use crate::control::admin::collect;
use crate::control::admin::connection::CommandAnswer;
use crate::control::admin::events;
use crate::control::admin::events::EventsQuestion;
use crate::control::admin::maintenance;
use crate::control::admin::maintenance::MaintenanceOrder;
use crate::control::admin::reply::ReloadReply;
use crate::control::admin::reply::UpgradeReply;
use crate::control::admin::reply::document;
use crate::control::admin::reply::error;
use crate::control::backend_order::BackendOrder;
use crate::control::change::order::ChangeOrder;
use crate::control::change::order::ChangeOutcome;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::GeneratedChange;
use crate::control::change::order::RefusalKind;
use crate::control::explain;
use crate::control::explain::question::Question;
use crate::control::handover::offer::READY_TIMEOUT;
use crate::control::handover::progress::Upgraded;
use crate::control::handover::progress::log_refusal;
use crate::control::json_reader;
use crate::control::metrics;
use crate::control::metrics::ProcessFacts;
use crate::control::metrics::exposition::MetricsFormat;
use crate::control::reload::Command;
use crate::control::reload::Reloaded;
use crate::control::upgrade;
use crate::net::clock::monotonic_ms;
use crate::net::clock::wall_now;
use crate::net::packet_socket::is_own_user;

/// How long a client waits for its reload to end.
pub const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

const COMMANDS: &str =
    "backend, events, explain, maintenance, reload, reload strict, status, take-over, upgrade";

/// The command that changes the weight of a backend or drains it, which follows as JSON.
pub const BACKEND: &str = "backend";

/// The command that tells what happened, which may be followed by a question as JSON.
pub const EVENTS: &str = "events";

/// The command that explains a request, which follows as JSON.
pub const EXPLAIN: &str = "explain";

/// The command that takes something out of service for a while, which follows as JSON.
pub const MAINTENANCE: &str = "maintenance";

/// The command that starts a successor, which may be followed by an order as JSON.
pub const UPGRADE: &str = "upgrade";

/// The command of a process that is to take over: it is answered with a descriptor.
pub const TAKE_OVER: &str = "take-over";

/// How long a client waits for its upgrade to end: a reload may be before it.
pub const UPGRADE_TIMEOUT: Duration = READY_TIMEOUT.saturating_add(RELOAD_TIMEOUT);

/// What is to be upgraded to.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpgradeOrder {
    /// None: whatever lies where the program of the process lay.
    pub binary: Option<PathBuf>,
}

/// Carries commands out, whatever they came over.
pub(super) struct CommandServer {
    channels: Channels,
    commands: Sender<Command>,
    /// Wall-clock time of the start, as time since the Unix epoch.
    started: Duration,
}

impl CommandServer {
    pub(super) fn new(channels: Channels, commands: Sender<Command>) -> CommandServer {
        CommandServer {
            channels,
            commands,
            started: wall_now().saturating_sub(Duration::from_millis(monotonic_ms())),
        }
    }

    /// Answers also when carrying the command out panics.
    pub(super) fn answer_whatever_happens(&self, command: &str) -> Json {
        let answer = catch_unwind(AssertUnwindSafe(|| self.answer(command)));
        answer.unwrap_or_else(|_| {
            error("a fault of Ringway's own ended the command, see standard error of the process".to_owned())
        })
    }

    pub(super) fn channels(&self) -> &Channels {
        &self.channels
    }

    pub(super) fn commands(&self) -> &Sender<Command> {
        &self.commands
    }

    /// Offers everything to the process at the other end.
    pub(super) fn offer(&self, stream: &UnixStream) -> CommandAnswer {
        let refused = |reason: &str| CommandAnswer::Document(error(reason.to_owned()));
        if !is_own_user(stream).unwrap_or(false) {
            return refused("only a process of the same user, or of root, can take over");
        }
        if !self.is_ready() {
            return refused("the process is stopping");
        }
        match upgrade::offer(&self.channels, &self.commands) {
            Ok(socket) => CommandAnswer::Descriptor(socket.into_descriptor()),
            Err(reason) => refused(&reason),
        }
    }

    fn upgrade(&self, order: &str) -> Json {
        let order: UpgradeOrder = match order {
            "" => UpgradeOrder::default(),
            order => match json_reader::read_text(order) {
                Ok(order) => order,
                Err(reason) => return error(format!("this does not say what to upgrade to: {reason}")),
            },
        };
        let refused = |reason: String| {
            let errors = format!("error: {reason}");
            document(&UpgradeReply::Refused { errors })
        };
        let (answer, outcome) = mpsc::channel();
        let binary = order.binary.as_deref();
        if let Err(reason) = upgrade::begin(&self.channels, &self.commands, binary, Some(answer)) {
            log_refusal(&reason);
            return refused(reason);
        }
        match outcome.recv_timeout(UPGRADE_TIMEOUT) {
            Ok(Ok(Upgraded { pid, sentence, warnings })) => {
                document(&UpgradeReply::Upgraded { message: sentence, warnings, pid })
            }
            Ok(Err(reason)) => refused(reason),
            Err(RecvTimeoutError::Timeout) => error(format!(
                "the upgrade takes longer than {} s and goes on; standard error of the process tells its end",
                UPGRADE_TIMEOUT.as_secs()
            )),
            Err(RecvTimeoutError::Disconnected) => error("the thread that reloads has ended".to_owned()),
        }
    }

    fn answer(&self, command: &str) -> Json {
        match command {
            "reload" => self.reload(false),
            "reload strict" => self.reload(true),
            "status" => self.status(),
            order if order.starts_with(UPGRADE) => self.upgrade(order[UPGRADE.len()..].trim()),
            events if events.starts_with(EVENTS) => self.events(events[EVENTS.len()..].trim()),
            explain if explain.starts_with(EXPLAIN) => self.explain(&explain[EXPLAIN.len()..]),
            order if order.starts_with(BACKEND) => self.change_backend(&order[BACKEND.len()..]),
            order if order.starts_with(MAINTENANCE) => self.maintenance(&order[MAINTENANCE.len()..]),
            unknown => {
                error(format!("unknown command \"{}\", known are: {COMMANDS}", unknown.escape_debug()))
            }
        }
    }

    /// All metrics as text.
    pub(super) fn metrics(&self, format: MetricsFormat) -> String {
        let facts = ProcessFacts { started: self.started, is_ready: self.is_ready() };
        metrics::expose(&self.channels, facts, format)
    }

    /// Whether new connections are welcome.
    pub(super) fn is_ready(&self) -> bool {
        !self.channels.readiness.is_stopping()
    }

    pub(super) fn status(&self) -> Json {
        document(&collect::status(&self.channels, self.started))
    }

    pub(super) fn events(&self, question: &str) -> Json {
        let question = match question {
            "" => Ok(EventsQuestion::default()),
            question => json_reader::read_text(question),
        };
        match question {
            Ok(question) => document(&events::reply(&question, collect::rfc3339(self.started))),
            Err(reason) => error(format!("this does not say which events are meant: {reason}")),
        }
    }

    pub(super) fn explain(&self, question: &str) -> Json {
        let question: Question = match json_reader::read_text(question) {
            Ok(question) => question,
            Err(reason) => return error(format!("this is no request to explain: {reason}")),
        };
        match explain::explain(&self.channels.publication.load().1, &question) {
            Ok(explanation) => document(&explanation),
            Err(reason) => error(reason),
        }
    }

    fn change_backend(&self, order: &str) -> Json {
        let order: BackendOrder = match json_reader::read_text(order) {
            Ok(order) => order,
            Err(reason) => {
                return error(format!("this does not say what becomes of which backend: {reason}"));
            }
        };
        match backend::change(&self.channels, &self.commands, order) {
            Ok(reply) => document(&reply),
            Err(refusal) => error(refusal.to_string()),
        }
    }

    pub(super) fn maintenance(&self, order: &str) -> Json {
        let order: MaintenanceOrder = match json_reader::read_text(order) {
            Ok(order) => order,
            Err(reason) => return error(format!("this does not say what to switch: {reason}")),
        };
        match maintenance::switch(&self.channels.publication.load().1, &order) {
            Ok(reply) => document(&reply),
            Err(reason) => error(reason),
        }
    }

    /// Changes the configuration in service. None: that takes too long, and may still come about.
    pub(super) fn change(&self, order: ChangeOrder) -> Option<ChangeOutcome> {
        self.order(|answer| Command::Change { order: Box::new(order), answer })
    }

    /// Puts another text that is made of something else into service. None as above.
    pub(super) fn replace_generated(&self, change: GeneratedChange) -> Option<ChangeOutcome> {
        self.order(|answer| Command::Replace { change: Box::new(change), answer })
    }

    fn order(&self, command: impl FnOnce(Sender<ChangeOutcome>) -> Command) -> Option<ChangeOutcome> {
        let stopping = || {
            ChangeRefusal::new(RefusalKind::Busy, "the process is stopping", "ask the process that follows")
        };
        if self.channels.readiness.is_stopping() {
            return Some(Err(stopping()));
        }
        let (answer, outcome) = mpsc::channel();
        if self.commands.send(command(answer)).is_err() {
            return Some(Err(stopping()));
        }
        match outcome.recv_timeout(RELOAD_TIMEOUT) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(stopping())),
        }
    }

    pub(super) fn reload(&self, is_strict: bool) -> Json {
        if self.channels.readiness.is_stopping() {
            let errors = "error: the process is stopping".to_owned();
            return document(&ReloadReply::Refused { errors });
        }
        let (answer, outcome) = mpsc::channel();
        if self.commands.send(Command::Reload { is_strict, answer: Some(answer) }).is_err() {
            return error("the thread that reloads has ended".to_owned());
        }
        match outcome.recv_timeout(RELOAD_TIMEOUT) {
            Ok(Ok(Reloaded { sentence, warnings })) => {
                let epoch = self.channels.publication.load().1.epoch;
                document(&ReloadReply::Reloaded { message: sentence, warnings, epoch })
            }
            Ok(Err(errors)) => document(&ReloadReply::Refused { errors }),
            Err(RecvTimeoutError::Timeout) => error(format!(
                "the reload takes longer than {} s and goes on; standard error of the process tells its end",
                RELOAD_TIMEOUT.as_secs()
            )),
            Err(RecvTimeoutError::Disconnected) => error("the thread that reloads has ended".to_owned()),
        }
    }
}
