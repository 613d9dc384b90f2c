//! The thread that supervises the workers: it acts on signals, and tells how a stop goes.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::Sender;
use std::time::Duration;
use std::time::Instant;

use crate::control::active_config::Channels;
use crate::control::handover::progress::log_refusal;
use crate::control::handover::succession::Replaced;
use crate::control::handover::succession::SuccessionEvent;
use crate::control::process::signals::SignalAction;
use crate::control::reload::Command;
use crate::control::upgrade;
use crate::net::clock::instant_now;
use crate::runtime::drain::Drain;
use crate::runtime::error::RuntimeError;
use crate::runtime::event::RuntimeEvent;
use crate::runtime::watchdog::Watchdog;
use crate::runtime::worker_watch::WorkerWatch;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::log_writer::LogWriter;
use crate::telemetry::operator::log_event;
use crate::telemetry::operator::log_line;

/// How often to look whether the access logs take anything, and how a stop goes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often to look whether old processes are still there.
const OLD_PROCESSES_PAUSE: Duration = Duration::from_millis(50);

/// How long connections that are relayed have, once the time of a stop is over, to be reset and to be logged.
const CUT_OFF_TIME: Duration = Duration::from_millis(300);

/// Between two messages about how many connections are left.
const REMINDER_INTERVAL: Duration = Duration::from_secs(10);

/// The thread that supervises the workers, and what it can do.
pub(super) struct Supervisor<'w> {
    pub(super) drain: Arc<Drain>,
    pub(super) workers: usize,
    /// How long new connections are still taken once a stop begins.
    pub(super) shutdown_delay: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) log_writers: &'w [LogWriter],
    pub(super) commands: Sender<Command>,
    pub(super) watchdog: Watchdog,
    pub(super) watch: WorkerWatch,
    pub(super) channels: &'w Channels,
}

/// A graceful stop.
struct Stop {
    /// None: a successor serves everything new, and nobody is in a hurry.
    action: Option<SignalAction>,
    /// When new connections are no longer taken; None once they are not.
    drain_at: Option<Instant>,
    /// None: it may take as long as it likes.
    end: Option<Instant>,
    /// When it was last told how many connections are left.
    told: Instant,
    /// How many there were when the time was over.
    cut_off: Option<usize>,
}

impl Supervisor<'_> {
    /// Acts on signals until every worker has drained, time is up, or a second signal to stop.
    pub(super) fn run(&self, inbox: &Receiver<RuntimeEvent>) -> Result<(), RuntimeError> {
        let mut drained = 0;
        let mut stop: Option<Stop> = None;
        // While a successor is told to go on, what would stop this process waits here.
        let mut held: Option<Vec<SignalAction>> = None;
        while drained < self.workers {
            match self.next(inbox, &mut stop) {
                Ok(RuntimeEvent::Succession(event)) => self.succeed(event, &mut stop, &mut held),
                Ok(RuntimeEvent::Signal(action @ (SignalAction::Stop | SignalAction::StopWithoutBound)))
                    if let Some(held) = &mut held =>
                {
                    held.push(action);
                }
                Ok(RuntimeEvent::Signal(SignalAction::ReopenLogs)) => {
                    self.log_writers.iter().for_each(LogWriter::reopen)
                }
                Ok(RuntimeEvent::Signal(SignalAction::Reload))
                    if stop.as_ref().is_some_and(|stop| stop.action.is_some()) =>
                {
                    let line = "error: the reload is refused: the process is stopping";
                    log_event(News::new(EventKind::ReloadRefused, line));
                }
                // The thread that obeys lives as long as the process.
                Ok(RuntimeEvent::Signal(SignalAction::Reload)) => {
                    drop(self.commands.send(Command::Reload { is_strict: false, answer: None }));
                }
                Ok(RuntimeEvent::Signal(SignalAction::Upgrade)) => self.upgrade(),
                Ok(RuntimeEvent::Signal(action))
                    if let Some(last) = stop.as_mut().filter(|stop| stop.action.is_none()) =>
                {
                    self.hurry(last, action);
                }
                Ok(RuntimeEvent::Signal(_)) if stop.is_some() => {
                    self.drain.bid_farewell();
                    self.log_end("stopped at once", None);
                    return Ok(());
                }
                Ok(RuntimeEvent::Signal(action)) => stop = Some(self.begin_stop(action)),
                Ok(RuntimeEvent::Drained) => drained += 1,
                Ok(RuntimeEvent::Failed(error)) => return Err(error),
                Ok(RuntimeEvent::Ready(_) | RuntimeEvent::HealthCoreReady) => {}
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(stop) = stop.as_mut().filter(|stop| stop.cut_off.is_none()) {
                        self.cut_off(stop);
                        continue;
                    }
                    self.drain.bid_farewell();
                    self.log_end("stopped", stop.as_ref());
                    return Ok(());
                }
                Err(RecvTimeoutError::Disconnected) => return Err(RuntimeError::WorkerDied { index: 0 }),
            }
        }
        self.wait_for_old_processes(inbox, stop.as_ref().and_then(|stop| stop.end));
        self.log_end("stopped", stop.as_ref());
        Ok(())
    }

    /// Goes along with what happens to the successor. A stop that came meanwhile begins when it is decided who serves.
    fn succeed(&self, event: SuccessionEvent, stop: &mut Option<Stop>, held: &mut Option<Vec<SignalAction>>) {
        match event {
            SuccessionEvent::Begins(answer) => {
                let may_go_on = stop.is_none();
                *held = may_go_on.then(Vec::new);
                answer.send(may_go_on).unwrap_or_default();
                return;
            }
            SuccessionEvent::Failed => {}
            SuccessionEvent::Ended(replaced) => *stop = Some(self.begin_last_drain(replaced)),
            SuccessionEvent::Stop => {
                if let Some(last) = stop.as_mut().filter(|stop| stop.action.is_none()) {
                    self.hurry(last, SignalAction::Stop);
                }
            }
        }
        for action in held.take().unwrap_or_default() {
            match stop {
                None => *stop = Some(self.begin_stop(action)),
                Some(last) => self.hurry(last, action),
            }
        }
    }

    /// Whoever ends this process may end all others of the service with it.
    fn wait_for_old_processes(&self, inbox: &Receiver<RuntimeEvent>, end: Option<Instant>) {
        let is_over = || end.is_some_and(|end| instant_now() >= end);
        while !self.channels.succession.generations.load().1.is_empty() && !is_over() {
            if let Ok(RuntimeEvent::Signal(SignalAction::Stop)) = inbox.recv_timeout(OLD_PROCESSES_PAUSE) {
                return;
            }
        }
    }

    /// Waits for the next event until the end of a stop, with a look at other things now and then.
    fn next(
        &self,
        inbox: &Receiver<RuntimeEvent>,
        stop: &mut Option<Stop>,
    ) -> Result<RuntimeEvent, RecvTimeoutError> {
        loop {
            let left = stop.as_ref().and_then(|stop| stop.drain_at.or(stop.end));
            let left = left.map(|end| end.saturating_duration_since(instant_now()));
            let interval = self.watchdog.interval().map_or(LOOK_INTERVAL, |often| often.min(LOOK_INTERVAL));
            let event = inbox.recv_timeout(left.map_or(interval, |left| left.min(interval)));
            match event {
                Err(RecvTimeoutError::Timeout) if left.is_none_or(|left| left > interval) => self.look(stop),
                Err(RecvTimeoutError::Timeout)
                    if let Some(stop) = stop.as_mut().filter(|stop| stop.drain_at.is_some()) =>
                {
                    self.begin_drain(stop);
                }
                event => return event,
            }
        }
    }

    fn look(&self, stop: &mut Option<Stop>) {
        self.watchdog.look(stop.is_some());
        // In a stop, workers end one by one.
        if stop.is_none() {
            self.watch.look(instant_now());
        }
        for text in self.log_writers.iter().filter_map(LogWriter::look) {
            log_line(&format!("warning: {text}"));
        }
        if let Some(stop) = stop
            && stop.told.elapsed() >= REMINDER_INTERVAL
        {
            log_line(&format!("stopping: {} left", self.connections()));
            stop.told = instant_now();
        }
    }

    /// Begins to stop: routers in front are told at once, and have `shutdown_delay` to notice.
    fn begin_stop(&self, action: SignalAction) -> Stop {
        self.channels.readiness.note_stop();
        // The thread that reloads lives as long as the process.
        drop(self.commands.send(Command::StopOldProcesses));
        self.channels.systemd.stopping("finishing what is under way");
        let now = instant_now();
        let mut stop = Stop {
            action: Some(action),
            drain_at: Some(now + self.shutdown_delay),
            end: None,
            told: now,
            cut_off: None,
        };
        if self.shutdown_delay.is_zero() {
            self.begin_drain(&mut stop);
        } else {
            let line = format!("stopping: new connections are taken for {:?} more", self.shutdown_delay);
            log_event(News::new(EventKind::Stopping, line));
        }
        stop
    }

    fn begin_drain(&self, stop: &mut Stop) {
        let now = instant_now();
        stop.drain_at = None;
        stop.end = (stop.action == Some(SignalAction::Stop)).then(|| now + self.shutdown_timeout);
        let bound = match stop.end {
            Some(_) => format!("at most {:?}", self.shutdown_timeout),
            None => "without a time limit".to_owned(),
        };
        let line = format!("stopping: {} left, {bound}", self.connections());
        log_event(News::new(EventKind::Stopping, line));
        stop.told = now;
        self.drain.begin(self.shutdown_timeout);
    }

    /// Begins an upgrade that no client of the admin socket waits for.
    fn upgrade(&self) {
        if let Err(reason) = upgrade::begin(self.channels, &self.commands, None, None) {
            log_refusal(&reason);
        }
    }

    /// Leaves everything new to a successor.
    fn begin_last_drain(&self, replaced: Replaced) -> Stop {
        let Replaced { pid, sockets, drain_timeout } = replaced;
        let now = instant_now();
        let line =
            format!("replaced by process {pid}: {} left, at most {drain_timeout:?}", self.connections());
        log_event(News::new(EventKind::Stopping, line));
        self.drain.leave(sockets);
        self.drain.begin(drain_timeout);
        Stop { action: None, drain_at: None, end: Some(now + drain_timeout), told: now, cut_off: None }
    }

    /// Ends sooner what a successor need not wait for.
    fn hurry(&self, last: &mut Stop, action: SignalAction) {
        let now = instant_now();
        last.action = Some(action);
        if action == SignalAction::Stop {
            let end = now + self.shutdown_timeout;
            last.end = Some(last.end.map_or(end, |before| before.min(end)));
        }
        let bound = match action {
            SignalAction::Stop => format!(", at most {:?}", self.shutdown_timeout),
            _ => String::new(),
        };
        log_event(News::new(EventKind::Stopping, format!("stopping: {} left{bound}", self.connections())));
    }

    /// The time of a stop is over: what is relayed is reset, and told of in the access log, before the process ends.
    fn cut_off(&self, stop: &mut Stop) {
        stop.cut_off = Some(self.channels.quota.used());
        let snapshot = self.channels.publication.load().1;
        if snapshot.groups.iter().any(|group| !group.speaks_http()) {
            stop.end = Some(instant_now() + CUT_OFF_TIME);
            self.drain.end();
        }
    }

    /// `how` it ended unless the time of the stop was over.
    fn log_end(&self, how: &str, stop: Option<&Stop>) {
        let (how, left) = match stop.map(|stop| (stop.action, stop.cut_off)) {
            Some((None, Some(left))) => ("upgrade_drain_timeout is over", left),
            Some((Some(_), Some(left))) => ("shutdown_timeout is over", left),
            _ => (how, self.channels.quota.used()),
        };
        let line = match left {
            0 => how.to_owned(),
            _ => format!("{how}: {} cut off", in_words(left)),
        };
        log_event(News::new(EventKind::Stopped, line));
    }

    fn connections(&self) -> String {
        in_words(self.channels.quota.used())
    }
}

fn in_words(connections: usize) -> String {
    match connections {
        1 => "1 client connection".to_owned(),
        count => format!("{count} client connections"),
    }
}
