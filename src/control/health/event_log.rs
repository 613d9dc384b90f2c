//! What changed, so that many changes at once do no harm.

use crate::telemetry::events::EventKind;
use crate::telemetry::events::MAX_KEPT;
use crate::telemetry::events::News;

/// More changes than this within a second get no line.
const LINES_PER_SECOND: u32 = 20;

/// More than this are only counted: half of what is kept, so that they do not push out what led to them.
const MAX_PER_SECOND: u32 = MAX_KEPT as u32 / 2;

const SECOND_MS: u64 = 1_000;

/// A change that is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// By a line and as an event.
    Line(News),
    /// As an event.
    Event(News),
    /// By a line that tells of events.
    Count(String),
}

/// Changes that are to be told.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    told: Vec<Told>,
    /// When the present second began.
    began_ms: u64,
    /// Changes in the present second.
    changes: u32,
}

impl EventLog {
    /// Adds a change, unless there were too many within this second.
    pub(super) fn add(&mut self, now_ms: u64, news: impl FnOnce() -> News) {
        self.turn(now_ms);
        self.changes += 1;
        if self.changes <= LINES_PER_SECOND {
            self.told.push(Told::Line(news()));
        } else if self.changes <= MAX_PER_SECOND {
            self.told.push(Told::Event(news()));
        }
    }

    /// What is to be told now.
    pub(super) fn take(&mut self, now_ms: u64) -> Vec<Told> {
        self.turn(now_ms);
        std::mem::take(&mut self.told)
    }

    /// Begins a new second if the present one is over.
    fn turn(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.began_ms) < SECOND_MS {
            return;
        }
        let changes = std::mem::take(&mut self.changes);
        let without_line = changes.saturating_sub(LINES_PER_SECOND);
        let line = format!("health: {without_line} more changes");
        if let Some(untold @ 1..) = changes.checked_sub(MAX_PER_SECOND) {
            let message = format!("health: {untold} more changes");
            self.told.push(Told::Event(News::new(EventKind::MoreChanges, message)));
        }
        if without_line > 0 {
            self.told.push(Told::Count(line));
        }
        self.began_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: u64) -> News {
        News::new(EventKind::BackendUp, format!("change {number}"))
    }

    #[test]
    fn many_changes_become_one_line() {
        let mut events = EventLog::default();
        for number in 0..100 {
            events.add(5_000 + number, || change(number));
        }
        let told = events.take(5_200);
        assert_eq!(
            (told.len(), &told[19], &told[20]),
            (100, &Told::Line(change(19)), &Told::Event(change(20)))
        );
        assert!(events.take(5_999).is_empty());
        assert_eq!(events.take(6_000), [Told::Count("health: 80 more changes".to_owned())]);
        assert!(events.take(7_000).is_empty());
        events.add(7_001, || change(100));
        assert_eq!(events.take(7_001), [Told::Line(change(100))]);
    }

    #[test]
    fn thousands_of_changes_are_counted() {
        let mut events = EventLog::default();
        (0..5_000).for_each(|number| events.add(5_000, || change(number)));
        assert_eq!(events.take(5_000).len(), MAX_PER_SECOND as usize);
        let more = format!("health: {} more changes", 5_000 - MAX_PER_SECOND);
        let counted = [
            Told::Event(News::new(EventKind::MoreChanges, more)),
            Told::Count("health: 4980 more changes".to_owned()),
        ];
        assert_eq!(events.take(6_000), counted);
    }
}
