//! Counting per worker: each worker writes counters of its own, and readers add them up.
//!
//! No two threads write to one counter, so that counting is a load and a store of one's own cache line: no locked
//! instruction, and no line that travels between CPUs, save while a reader adds up.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// What has happened since the start. One thread writes, any may read.
#[derive(Default)]
pub struct Counter(AtomicU64);

/// What is under way at present. One thread writes, any may read.
#[derive(Default)]
pub struct Gauge(AtomicU32);

/// Counters of type `C` for each worker and slot, such as that of a backend.
pub struct PerWorker<C> {
    workers: Box<[Block<C>]>,
    /// What processes before this one have counted.
    before: Block<C>,
}

/// One worker's counters. Chunks come into being when the worker first counts in them.
struct Block<C> {
    chunks: Box<[OnceLock<Box<Chunk<C>>>]>,
}

/// One `C` for each worker, which comes into being when the worker first counts.
pub struct EachWorker<C> {
    workers: Box<[OnceLock<Box<Aligned<C>>>]>,
    /// What processes before this one have counted.
    before: OnceLock<Box<Aligned<C>>>,
}

/// See [`Chunk`].
#[derive(Default)]
#[repr(align(128))]
struct Aligned<C>(C);

impl<C: Default> EachWorker<C> {
    /// For at least one worker.
    pub fn new(workers: usize) -> EachWorker<C> {
        EachWorker {
            workers: (0..workers.max(1)).map(|_| OnceLock::new()).collect(),
            before: OnceLock::new(),
        }
    }

    /// What processes before this one have counted. One thread at a time may write it.
    pub fn before(&self) -> &C {
        &self.before.get_or_init(Box::default).0
    }

    /// That of a worker, which alone may write it. None beyond the last worker.
    pub fn own(&self, worker: usize) -> Option<&C> {
        self.workers.get(worker).map(|own| &own.get_or_init(Box::default).0)
    }

    /// That of a worker, if it has counted anything.
    pub fn known(&self, worker: usize) -> Option<&C> {
        self.workers.get(worker)?.get().map(|own| &own.0)
    }

    /// Those of all workers, in their order; None of one that has counted nothing.
    pub fn each(&self) -> impl Iterator<Item = Option<&C>> {
        self.workers.iter().map(|own| Some(&own.get()?.0))
    }

    /// Those of all workers that have counted anything, and of processes before this one.
    pub fn all(&self) -> impl Iterator<Item = &C> {
        self.each().flatten().chain(self.before.get().map(|before| &before.0))
    }
}

/// Aligned, so that no two workers write to one cache line. CPUs fetch lines in pairs.
#[repr(align(128))]
struct Chunk<C>([C; CHUNK]);

const CHUNK: usize = 64;

impl Counter {
    pub fn increment(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Takes over what was counted elsewhere.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Takes back what was counted and did not happen.
    pub fn take_back(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    pub fn increment(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub fn decrement(&self) {
        let before = self.0.load(Ordering::Relaxed);
        debug_assert!(before > 0);
        self.0.store(before.saturating_sub(1), Ordering::Relaxed);
    }

    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<C: Default> PerWorker<C> {
    /// For at least one worker, and slots from 0 to `slots` - 1.
    pub fn new(workers: usize, slots: usize) -> PerWorker<C> {
        let block = || Block { chunks: (0..slots.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() };
        PerWorker { workers: (0..workers.max(1)).map(|_| block()).collect(), before: block() }
    }

    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The counters of a worker, which alone may write them. None beyond the last worker or slot.
    pub fn own(&self, worker: usize, slot: u32) -> Option<&C> {
        self.workers.get(worker)?.counters(slot)
    }

    /// What processes before this one have counted. One thread at a time may write it.
    pub fn before(&self, slot: u32) -> Option<&C> {
        self.before.counters(slot)
    }

    /// The counters of all workers that have counted anything near this slot, and of processes before this one.
    pub fn all(&self, slot: u32) -> impl Iterator<Item = &C> {
        let (chunk, place) = (slot as usize / CHUNK, slot as usize % CHUNK);
        let blocks = self.workers.iter().chain([&self.before]);
        blocks.filter_map(move |block| block.chunks.get(chunk)?.get()?.0.get(place))
    }
}

impl<C: Default> Block<C> {
    fn counters(&self, slot: u32) -> Option<&C> {
        let chunk = self.chunks.get(slot as usize / CHUNK)?;
        let chunk = chunk.get_or_init(|| Box::new(Chunk(std::array::from_fn(|_| C::default()))));
        chunk.0.get(slot as usize % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_for_themselves() {
        let counters = PerWorker::<Counter>::new(3, 128);
        assert_eq!(counters.all(70).count(), 0);
        for worker in 0..3 {
            let own = counters.own(worker, 70).unwrap();
            own.increment();
            own.increment();
        }
        counters.own(1, 70).unwrap().take_back();
        assert_eq!(counters.all(70).map(Counter::get).collect::<Vec<_>>(), [2, 1, 2]);
        assert_eq!(counters.all(71).map(Counter::get).sum::<u64>(), 0);
        assert!(counters.own(0, 128).is_none() && counters.own(3, 0).is_none());
    }

    #[test]
    fn chunks_share_no_cache_line() {
        assert_eq!(align_of::<Chunk<Gauge>>(), 128);
        assert_eq!(size_of::<Chunk<Gauge>>() % 128, 0);
    }
}
