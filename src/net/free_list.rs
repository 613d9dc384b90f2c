//! Things kept for the next use, in a number that follows the load.

/// Unused things, the last used one first because its memory is the warmest.
///
/// The list takes what comes back. Each [`FreeList::trim`] drops half of what was not needed since
/// the one before, so that a peak of load is forgotten within seconds, while a steady load never
/// allocates.
pub(super) struct FreeList<T> {
    unused: Vec<T>,
    /// The fewest that lay unused since the last trim.
    least: usize,
}

impl<T> Default for FreeList<T> {
    fn default() -> FreeList<T> {
        FreeList { unused: Vec::new(), least: 0 }
    }
}

impl<T> FreeList<T> {
    pub(super) fn take(&mut self) -> Option<T> {
        let taken = self.unused.pop();
        self.least = self.least.min(self.unused.len());
        taken
    }

    pub(super) fn put(&mut self, thing: T) {
        self.unused.push(thing);
    }

    pub(super) fn trim(&mut self) {
        let dropped = self.least.div_ceil(2);
        // The coldest stand first.
        self.unused.drain(..dropped.min(self.unused.len()));
        self.least = self.unused.len();
        if self.unused.capacity() / 4 > self.unused.len() {
            self.unused.shrink_to(self.unused.len() * 2);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.unused.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_forgotten_and_a_steady_load_is_not() {
        let mut list = FreeList::default();
        (0..1000).for_each(|thing| list.put(thing));
        list.trim();
        for _ in 0..12 {
            // Ten are in use at a time.
            let used: Vec<_> = (0..10).filter_map(|_| list.take()).collect();
            assert_eq!(used.len(), 10);
            used.into_iter().for_each(|thing| list.put(thing));
            list.trim();
        }
        assert_eq!(list.len(), 10);
    }
}
