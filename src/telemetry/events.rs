//! What happened last: the events that `ringway events` tells, in a ring of fixed size.
//!
//! Whoever keeps an event waits for nobody, and neither does who reads: each place of the ring holds one event or
//! another, and the number of an event says which place is its own.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwapOption;

/// Events that are kept. A follower asks twice a second, so that it misses something only where more than a thousand
/// happen within a second; and an operator who comes in the morning finds the night.
pub const MAX_KEPT: usize = 512;

/// Bytes of a message that are kept: a reload may be refused with a line for each of a thousand mistakes.
const MAX_MESSAGE_BYTES: usize = 2_048;

/// What happened. `docs/events.md` explains the words; they are promised to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Started,
    Stopping,
    Stopped,
    ReloadDone,
    ReloadRefused,
    ListenerOpened,
    ListenerClosed,
    BackendUp,
    BackendDown,
    BackendEjected,
    BackendReturned,
    BackendAdded,
    BackendRemoved,
    BackendDraining,
    BackendDrained,
    DrainOn,
    DrainOff,
    WeightChanged,
    GroupAvailability,
    MoreChanges,
    ProbesImpossible,
    MaintenanceOn,
    MaintenanceOff,
    FilesRead,
    FilesBroken,
    Expiry,
    NamesChanged,
    NamesFailing,
    WorkerStalled,
    WorkerResumed,
    WorkerUnpinned,
    Upgraded,
    UpgradeRefused,
    PredecessorEnded,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Started => "started",
            EventKind::Stopping => "stopping",
            EventKind::Stopped => "stopped",
            EventKind::ReloadDone => "reload_done",
            EventKind::ReloadRefused => "reload_refused",
            EventKind::ListenerOpened => "listener_opened",
            EventKind::ListenerClosed => "listener_closed",
            EventKind::BackendUp => "backend_up",
            EventKind::BackendDown => "backend_down",
            EventKind::BackendEjected => "backend_ejected",
            EventKind::BackendReturned => "backend_returned",
            EventKind::BackendAdded => "backend_added",
            EventKind::BackendRemoved => "backend_removed",
            EventKind::BackendDraining => "backend_draining",
            EventKind::BackendDrained => "backend_drained",
            EventKind::DrainOn => "drain_on",
            EventKind::DrainOff => "drain_off",
            EventKind::WeightChanged => "weight_changed",
            EventKind::GroupAvailability => "group_availability",
            EventKind::MoreChanges => "more_changes",
            EventKind::ProbesImpossible => "probes_impossible",
            EventKind::MaintenanceOn => "maintenance_on",
            EventKind::MaintenanceOff => "maintenance_off",
            EventKind::FilesRead => "files_read",
            EventKind::FilesBroken => "files_broken",
            EventKind::Expiry => "expiry",
            EventKind::NamesChanged => "names_changed",
            EventKind::NamesFailing => "names_failing",
            EventKind::WorkerStalled => "worker_stalled",
            EventKind::WorkerResumed => "worker_resumed",
            EventKind::WorkerUnpinned => "worker_unpinned",
            EventKind::Upgraded => "upgraded",
            EventKind::UpgradeRefused => "upgrade_refused",
            EventKind::PredecessorEnded => "predecessor_ended",
        }
    }
}

/// Something that has just happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub kind: EventKind,
    /// What it happened to: nouns, such as `group`, and names.
    pub subject: Vec<(&'static str, String)>,
    /// What standard error tells, too, where it tells of this at all.
    pub message: String,
}

impl News {
    pub fn new(kind: EventKind, message: impl Into<String>) -> News {
        News { kind, subject: Vec::new(), message: message.into() }
    }

    /// It happened to this `noun` of this name.
    pub fn of(mut self, noun: &'static str, name: impl fmt::Display) -> News {
        self.subject.push((noun, name.to_string()));
        self
    }
}

/// Maintenance has begun or ended.
pub fn maintenance_news(is_on: bool, message: String) -> News {
    News::new(if is_on { EventKind::MaintenanceOn } else { EventKind::MaintenanceOff }, message)
}

/// An event that is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// From 1 on, without gaps.
    pub number: u64,
    /// Since the Unix epoch.
    pub at: Duration,
    pub news: News,
}

/// What is still there of what happened behind a number.
#[derive(Debug, Default)]
pub struct Recent {
    /// In the order of their numbers, without gaps.
    pub events: Vec<Arc<KeptEvent>>,
    /// The number to ask behind the next time.
    pub newest: u64,
    /// Events behind the number that are kept no more.
    pub missed: u64,
}

static EVENTS: OnceLock<EventRing> = OnceLock::new();

/// Keeps an event, and forgets the oldest where there are too many.
pub(super) fn keep(at: Duration, news: News) {
    EVENTS.get_or_init(EventRing::new).keep(at, news);
}

/// What happened behind the event of this number; 0: all that is kept.
pub fn since(number: u64) -> Recent {
    EVENTS.get().map_or_else(Recent::default, |ring| ring.since(number))
}

struct EventRing {
    /// The number of the newest event that has a place.
    newest: AtomicU64,
    /// An event stands in the place of its number modulo the size.
    places: Box<[ArcSwapOption<KeptEvent>]>,
}

impl EventRing {
    fn new() -> EventRing {
        let places = (0..MAX_KEPT).map(|_| ArcSwapOption::empty());
        EventRing { newest: AtomicU64::new(0), places: places.collect() }
    }

    fn keep(&self, at: Duration, mut news: News) {
        if news.message.len() > MAX_MESSAGE_BYTES {
            let end = news.message.floor_char_boundary(MAX_MESSAGE_BYTES);
            news.message.truncate(end);
            news.message.push_str(" […]");
        }
        let number = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(place) = self.place(number) {
            place.store(Some(Arc::new(KeptEvent { number, at, news })));
        }
    }

    fn since(&self, number: u64) -> Recent {
        let newest = self.newest.load(Ordering::Relaxed);
        let oldest = newest.saturating_sub(MAX_KEPT as u64);
        let mut recent = Recent { events: Vec::new(), newest: number.max(oldest), missed: 0 };
        for wanted in recent.newest + 1..=newest {
            match self.place(wanted).and_then(ArcSwapOption::load_full) {
                Some(event) if event.number == wanted => recent.events.push(event),
                // A newer one has taken its place meanwhile, and those of all before.
                Some(event) if event.number > wanted => recent.events.clear(),
                // It has a number, and is not in its place yet: it comes next time.
                _ => break,
            }
            recent.newest = wanted;
        }
        let first = recent.events.first().map_or(recent.newest, |event| event.number - 1);
        recent.missed = first.saturating_sub(number);
        recent
    }

    fn place(&self, number: u64) -> Option<&ArcSwapOption<KeptEvent>> {
        self.places.get((number % MAX_KEPT as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(ring: &EventRing, message: &str) {
        ring.keep(Duration::from_secs(7), News::new(EventKind::BackendUp, message).of("group", "app"));
    }

    fn told(recent: &Recent) -> Vec<&str> {
        recent.events.iter().map(|event| event.news.message.as_str()).collect()
    }

    #[test]
    fn what_happened_behind_a_number_is_told_in_order() {
        let ring = EventRing::new();
        assert_eq!((ring.since(0).newest, ring.since(0).events.len()), (0, 0));
        ["one", "two", "three"].iter().for_each(|message| keep(&ring, message));
        let all = ring.since(0);
        assert_eq!((told(&all), all.newest, all.missed), (vec!["one", "two", "three"], 3, 0));
        let event = &all.events[0];
        assert_eq!((event.number, event.news.kind.as_str()), (1, "backend_up"));
        assert_eq!(event.news.subject, [("group", "app".to_owned())]);
        assert_eq!(told(&ring.since(2)), ["three"]);
        let nothing = ring.since(3);
        assert_eq!((nothing.events.len(), nothing.newest, nothing.missed), (0, 3, 0));
        // A number of another process.
        let other = ring.since(70);
        assert_eq!((other.events.len(), other.newest, other.missed), (0, 70, 0));
    }

    #[test]
    fn the_oldest_are_forgotten_and_counted() {
        let ring = EventRing::new();
        (1..=MAX_KEPT + 88).for_each(|number| keep(&ring, &number.to_string()));
        let recent = ring.since(8);
        assert_eq!((recent.events.len(), recent.missed), (MAX_KEPT, 80));
        assert_eq!((told(&recent)[0], recent.newest), ("89", MAX_KEPT as u64 + 88));
        assert_eq!(ring.since(recent.newest - 1).missed, 0);
    }

    #[test]
    fn a_message_has_a_limit() {
        let ring = EventRing::new();
        keep(&ring, &"ä".repeat(MAX_MESSAGE_BYTES));
        let message = ring.since(0).events[0].news.message.clone();
        assert!(message.len() <= MAX_MESSAGE_BYTES + 8 && message.ends_with("ä […]"), "{}", message.len());
    }

    #[test]
    fn followers_lose_nothing_while_others_keep() {
        const EACH: u64 = 5_000;
        let ring = EventRing::new();
        let (mut seen, mut missed, mut newest) = (0, 0, 0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..EACH).for_each(|_| keep(&ring, "x")));
            }
            while seen + missed < 2 * EACH {
                let recent = ring.since(newest);
                let first = recent.events.first().map(|event| event.number);
                assert!(first.is_none_or(|first| first == newest + recent.missed + 1), "{recent:?}");
                let numbers: Vec<u64> = recent.events.iter().map(|event| event.number).collect();
                assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
                seen += recent.events.len() as u64;
                missed += recent.missed;
                newest = recent.newest;
            }
        });
        assert_eq!((seen + missed, newest), (2 * EACH, 2 * EACH));
    }
}
