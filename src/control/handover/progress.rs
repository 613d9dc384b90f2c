//! Hand-overs as the thread that reloads sees them: an offer, then a successor; and those that went before.

use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::time::Duration;
use std::time::Instant;

use crate::control::active_config::ActiveConfig;
use crate::control::build::sockets::give_back;
use crate::control::build::sockets::given_sessions;
use crate::control::handover::channel::FromPredecessor;
use crate::control::handover::channel::FromSuccessor;
use crate::control::handover::channel::Heard;
use crate::control::handover::channel::written;
use crate::control::handover::generations::Generation;
use crate::control::handover::generations::Generations;
use crate::control::handover::offer::HandOverOffer;
use crate::control::handover::offer::OfferStep;
use crate::control::handover::offer::ReadySuccessor;
use crate::control::handover::offer::Successor;
use crate::control::handover::succession::Replaced;
use crate::control::handover::succession::STOPPING;
use crate::control::handover::succession::UnderWay;
use crate::control::handover::succession::refusal;
use crate::control::process::rlimits;
use crate::net::clock::instant_now;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;

/// How often a successor is told what is left.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// How an upgrade went: a sentence and the new process, or what stands against it.
pub type UpgradeOutcome = Result<Upgraded, String>;

/// Who serves now.
pub struct Upgraded {
    pub pid: u32,
    pub sentence: String,
    /// Lines of the new process; empty without any.
    pub warnings: String,
}

/// What is handed over, and to whom it was.
pub struct HandOver {
    offer: Option<MadeOffer>,
    successor: Option<Successor>,
    generations: Generations,
    told: Instant,
}

/// An offer, and who waits for its end.
struct MadeOffer {
    offer: HandOverOffer,
    under_way: UnderWay,
    answer: Option<Sender<UpgradeOutcome>>,
    began: Instant,
}

impl HandOver {
    pub fn new(generations: Generations) -> HandOver {
        HandOver { offer: None, successor: None, generations, told: instant_now() }
    }

    pub fn begin(
        &mut self,
        offer: HandOverOffer,
        under_way: UnderWay,
        answer: Option<Sender<UpgradeOutcome>>,
    ) {
        self.offer = Some(MadeOffer { offer, under_way, answer, began: instant_now() });
    }

    /// Hears of a process that has handed over.
    pub fn follow(&mut self, generation: Generation) {
        self.generations.follow(generation);
    }

    /// Lets processes that still serve what they have stop, too.
    pub fn stop_old_processes(&self) {
        self.generations.living().iter().for_each(Generation::tell_stop);
    }

    /// Whether there is an offer, which wants [`HandOver::step`].
    pub fn is_under_way(&self) -> bool {
        self.offer.is_some()
    }

    /// Whether a successor serves everything new.
    pub fn is_over(&self) -> bool {
        self.successor.is_some()
    }

    /// Goes on with the offer, for a moment.
    pub fn step(&mut self, active: &ActiveConfig) {
        let Some(mut made) = self.offer.take() else { return };
        let outcome = match made.offer.step(active, &self.generations) {
            OfferStep::Pending => {
                self.offer = Some(made);
                return;
            }
            OfferStep::Refused(reason) => {
                made.offer.withdraw(&reason);
                Err(reason)
            }
            OfferStep::Ready(ready) => self.let_it_go_on(active, made.offer, ready, made.began),
        };
        match &outcome {
            Ok(upgraded) => {
                log_event(News::new(EventKind::Upgraded, &*upgraded.sentence).of("pid", upgraded.pid));
            }
            Err(reason) => log_refusal(reason),
        }
        // Whoever gets the answer may ask again at once.
        drop(made.under_way);
        if let Some(answer) = made.answer {
            // The client that asked may have gone.
            drop(answer.send(outcome));
        }
    }

    /// Tells the successor to go on, unless a stop came first, and leaves everything new to it once it does.
    fn let_it_go_on(
        &mut self,
        active: &ActiveConfig,
        mut offer: HandOverOffer,
        ready: ReadySuccessor,
        began: Instant,
    ) -> UpgradeOutcome {
        let channels = active.channels();
        if !channels.succession.may_go_on() {
            offer.withdraw(STOPPING);
            return Err(STOPPING.to_owned());
        }
        // Before that, the service manager would not hear the successor.
        channels.systemd.hand_over(offer.pid());
        let ReadySuccessor { sockets, warnings, takes_sessions } = ready;
        let sessions = if takes_sessions { given_sessions(&sockets, &channels.workers) } else { Vec::new() };
        if let Err(reason) = offer.go_on(&sessions) {
            give_back(sessions, &channels.workers);
            channels.systemd.take_back();
            channels.succession.fail();
            offer.withdraw(&reason);
            return Err(reason);
        }
        let successor = offer.into_successor();
        let Successor { pid, version, .. } = &successor;
        let pid = *pid;
        let sentence = format!(
            "upgraded: process {pid}, version {version}, serves since {} ms after it was started",
            began.elapsed().as_millis()
        );
        self.successor = Some(successor);
        self.generations.let_go();
        self.tell_connections(active);
        let drain_timeout = active.config.process.upgrade_drain_timeout;
        channels.succession.end(Replaced { pid, sockets, drain_timeout });
        // The successor has the same CPUs.
        rlimits::give_way_as_a_whole();
        Ok(Upgraded { pid, sentence, warnings })
    }

    /// Goes on with what is left, now and then.
    pub fn look(&mut self, active: &ActiveConfig) {
        for counts in self.generations.look() {
            active.add_counts(&counts);
        }
        if self.told.elapsed() < TELL_INTERVAL {
            return;
        }
        self.tell_connections(active);
        if let Some(successor) = &mut self.successor {
            if let Ok(Heard::Message(FromSuccessor::Stop, _)) = successor.channel.hear() {
                active.channels().succession.stop();
            }
            // Whoever has ended is not to stay in the table of processes.
            if let Some(child) = &mut successor.child {
                child.look();
            }
        }
    }

    /// Tells the successor what is still served here.
    fn tell_connections(&mut self, active: &ActiveConfig) {
        self.told = instant_now();
        if let Some(successor) = &self.successor {
            let connections = active.channels().quota.used();
            // If it is gone, nobody wants to know; what is left is served all the same.
            drop(successor.channel.send(&FromPredecessor::Draining { connections }, &[]));
        }
    }

    /// Tells the successor what was counted since, as the last word.
    pub fn bid_farewell(&mut self, active: &ActiveConfig) {
        if let Some(successor) = self.successor.take()
            && let Ok(file) = written(&active.carried_counts().since(&successor.counts))
        {
            drop(successor.channel.send(&FromPredecessor::Farewell, &[file.as_fd()]));
        }
    }
}

/// Tells that everything stays as it is.
pub fn log_refusal(reason: &str) {
    log_event(News::new(EventKind::UpgradeRefused, format!("error: {}", refusal(reason))));
}
