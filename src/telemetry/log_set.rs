//! Which of the access logs something concerns.

/// Access logs of a process. Each has a thread of its own, and a line of each request.
pub const MAX_ACCESS_LOGS: usize = 8;

/// A set of access logs, by their indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSet(u8);

impl LogSet {
    pub const ALL: LogSet = LogSet(u8::MAX);

    /// Those of all logs for which something holds; more than there can be are passed over.
    pub fn of(logs: impl IntoIterator<Item = bool>) -> LogSet {
        let bits = logs.into_iter().take(MAX_ACCESS_LOGS).enumerate();
        LogSet(bits.fold(0, |bits, (index, is_in)| bits | u8::from(is_in) << index))
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn has(self, index: usize) -> bool {
        index < MAX_ACCESS_LOGS && self.0 & (1 << index) != 0
    }

    /// Whether one of these is in it.
    pub const fn has_any(self, logs: LogSet) -> bool {
        self.0 & logs.0 != 0
    }

    pub fn remove(&mut self, index: usize) {
        if index < MAX_ACCESS_LOGS {
            self.0 &= !(1 << index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_holds() {
        let mut set = LogSet::of([false, true, true]);
        assert_eq!([0, 1, 2, 3, 100].map(|index| set.has(index)), [false, true, true, false, false]);
        assert!(set.has_any(LogSet::of([true, true])) && !set.has_any(LogSet::of([true])));
        set.remove(1);
        set.remove(2);
        set.remove(100);
        assert!(set.is_empty() && !LogSet::ALL.is_empty() && LogSet::ALL.has(MAX_ACCESS_LOGS - 1));
        assert_eq!(LogSet::of([true; 100]), LogSet::ALL);
    }
}
