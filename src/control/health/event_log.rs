//! Lines for the operator about what changed, so few that many changes at once do no harm.

/// More changes than this within a second are only counted.
const LINES_PER_SECOND: u32 = 20;

const SECOND_MS: u64 = 1_000;

/// Lines that are to be told.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    lines: Vec<String>,
    /// When the present second began.
    began_ms: u64,
    /// Lines in the present second, told or to be told.
    told: u32,
    /// Changes in the present second that got no line.
    untold: u32,
}

impl EventLog {
    /// Adds a line, unless there were too many within this second.
    pub(super) fn add(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        self.turn(now_ms);
        if self.told < LINES_PER_SECOND {
            self.told += 1;
            self.lines.push(line());
        } else {
            self.untold += 1;
        }
    }

    /// What is to be told now.
    pub(super) fn take(&mut self, now_ms: u64) -> Vec<String> {
        self.turn(now_ms);
        std::mem::take(&mut self.lines)
    }

    /// Begins a new second if the present one is over.
    fn turn(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.began_ms) < SECOND_MS {
            return;
        }
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            self.lines.push(format!("health: {untold} more changes"));
        }
        (self.began_ms, self.told) = (now_ms, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changes_become_one_line() {
        let mut events = EventLog::default();
        for number in 0..100 {
            events.add(5_000 + number, || format!("change {number}"));
        }
        let told = events.take(5_200);
        assert_eq!((told.len(), told[19].as_str()), (20, "change 19"));
        assert!(events.take(5_999).is_empty());
        assert_eq!(events.take(6_000), ["health: 80 more changes"]);
        assert!(events.take(7_000).is_empty());
        events.add(7_001, || "change 100".to_owned());
        assert_eq!(events.take(7_001), ["change 100"]);
    }
}
