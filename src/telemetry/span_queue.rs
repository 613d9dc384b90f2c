//! Finished spans on their way to the thread that sends them, behind one bounded queue per worker.
//!
//! A worker collects spans, as they will be sent, in a chunk, and hands it over when it is full or at the next tick.
//! Empty chunks come back by a second queue, so that a steady load allocates nothing. When a worker has no empty chunk
//! left, because the collector is slow or away, spans are dropped and counted: requests never wait for a collector.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::Thread;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

/// A chunk is handed over once it holds this much.
const CHUNK_BYTES: usize = 64 * 1024;
/// Room for the exchange that fills a chunk up: its span, those of its attempts and of its connection.
const LAST_BYTES: usize = 16 * 1024;
/// Chunks per worker; with their size this bounds what a slow collector costs to some 1 MiB per worker.
const CHUNKS: usize = 16;

/// How often to look whether the last spans were sent.
const LAST_SPANS_LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Why spans did not get to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanLoss {
    /// The queue of their worker was full.
    QueueFull,
    /// The collector would not take them.
    Refused,
    /// No collector was there in time.
    Unavailable,
}

/// The queues of all workers, and what became of spans.
pub struct SpanQueues {
    queues: Box<[SpanChunkQueue]>,
    exported: AtomicU64,
    refused: AtomicU64,
    unavailable: AtomicU64,
    /// What is to be woken when there is something to send.
    exporter: OnceLock<Thread>,
    stop: AtomicBool,
    /// Nothing is left to send, and nothing will be sent.
    is_finished: AtomicBool,
}

struct SpanChunkQueue {
    full: ArrayQueue<SpanChunk>,
    empty: ArrayQueue<Vec<u8>>,
    dropped: AtomicU64,
}

struct SpanChunk {
    bytes: Vec<u8>,
    spans: u64,
}

/// How many spans came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanTotals {
    pub exported: u64,
    pub queue_full: u64,
    pub refused: u64,
    pub unavailable: u64,
}

impl SpanQueues {
    pub fn new(workers: usize) -> SpanQueues {
        let queue = |_| {
            let queue = SpanChunkQueue {
                full: ArrayQueue::new(CHUNKS),
                empty: ArrayQueue::new(CHUNKS),
                dropped: AtomicU64::new(0),
            };
            // Memory comes with the first span; there are as many places.
            (0..CHUNKS).for_each(|_| drop(queue.empty.push(Vec::new())));
            queue
        };
        SpanQueues {
            queues: (0..workers).map(queue).collect(),
            exported: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            exporter: OnceLock::new(),
            stop: AtomicBool::new(false),
            is_finished: AtomicBool::new(false),
        }
    }

    /// To be called by the thread that sends: from now on it is woken.
    pub fn listen(&self) {
        // There is but one.
        let _ = self.exporter.set(std::thread::current());
    }

    /// Appends the spans of waiting chunks while `out` has fewer bytes than `most`; returns how many spans that are.
    pub fn take(&self, most: usize, out: &mut Vec<u8>) -> u64 {
        let mut spans = 0;
        for queue in &self.queues {
            while out.len() < most
                && let Some(SpanChunk { mut bytes, spans: count }) = queue.full.pop()
            {
                out.extend_from_slice(&bytes);
                spans += count;
                bytes.clear();
                if bytes.capacity() > 2 * CHUNK_BYTES {
                    // An exchange of unusual size must not cost memory for ever.
                    bytes = Vec::new();
                }
                // There are never more chunks than places.
                drop(queue.empty.push(bytes));
            }
        }
        spans
    }

    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.full.is_empty())
    }

    pub fn count_exported(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::Relaxed);
    }

    /// Counts spans that the exporter has given up.
    pub fn count_lost(&self, spans: u64, loss: SpanLoss) {
        let counter = match loss {
            SpanLoss::Refused => &self.refused,
            SpanLoss::Unavailable | SpanLoss::QueueFull => &self.unavailable,
        };
        counter.fetch_add(spans, Ordering::Relaxed);
    }

    pub fn totals(&self) -> SpanTotals {
        SpanTotals {
            exported: self.exported.load(Ordering::Relaxed),
            queue_full: self.queues.iter().map(|queue| queue.dropped.load(Ordering::Relaxed)).sum(),
            refused: self.refused.load(Ordering::Relaxed),
            unavailable: self.unavailable.load(Ordering::Relaxed),
        }
    }

    /// Whether the process ends.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The exporter's last word.
    pub fn finish(&self) {
        self.is_finished.store(true, Ordering::Release);
    }

    /// Has what the workers handed over sent, and waits for that, but no longer than `timeout`. Returns how many spans
    /// are lost.
    pub fn stop(&self, timeout: Duration) -> u64 {
        let Some(exporter) = self.exporter.get() else { return 0 };
        let before = self.totals();
        self.stop.store(true, Ordering::Release);
        exporter.unpark();
        let mut waited = Duration::ZERO;
        while !self.is_finished.load(Ordering::Acquire) && waited < timeout {
            std::thread::sleep(LAST_SPANS_LOOK_INTERVAL);
            waited += LAST_SPANS_LOOK_INTERVAL;
        }
        let left: u64 = std::iter::from_fn(|| self.queues.iter().find_map(|queue| queue.full.pop()))
            .map(|chunk| chunk.spans)
            .sum();
        let after = self.totals();
        left + (after.refused - before.refused) + (after.unavailable - before.unavailable)
    }

    /// Ends the exporter's rest.
    pub fn wake(&self) {
        if let Some(exporter) = self.exporter.get() {
            exporter.unpark();
        }
    }
}

/// A worker's end: collects spans and never waits.
pub struct SpanQueue {
    queues: Arc<SpanQueues>,
    worker: usize,
    /// The chunk being filled; none while the exporter has all of them.
    chunk: Option<SpanChunk>,
}

impl SpanQueue {
    pub fn new(queues: Arc<SpanQueues>, worker: usize) -> SpanQueue {
        SpanQueue { queues, worker, chunk: None }
    }

    /// Appends so many spans, which `write` writes, or drops them.
    pub fn append(&mut self, spans: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(queue) = self.queues.queues.get(self.worker) else { return };
        if self.chunk.is_none() {
            self.chunk = queue.empty.pop().map(|bytes| SpanChunk { bytes, spans: 0 });
        }
        let Some(chunk) = &mut self.chunk else {
            queue.dropped.fetch_add(spans, Ordering::Relaxed);
            return;
        };
        if chunk.bytes.capacity() == 0 {
            chunk.bytes.reserve(CHUNK_BYTES + LAST_BYTES);
        }
        write(&mut chunk.bytes);
        chunk.spans += spans;
        if chunk.bytes.len() >= CHUNK_BYTES {
            self.hand_over();
            self.queues.wake();
        }
    }

    /// Gives the exporter what was collected; to be called now and then.
    pub fn hand_over(&mut self) {
        let Some(chunk) = self.chunk.take_if(|chunk| chunk.spans > 0) else { return };
        if let Some(queue) = self.queues.queues.get(self.worker) {
            // There are never more chunks than places.
            drop(queue.full.push(chunk));
        }
    }
}

impl Drop for SpanQueue {
    fn drop(&mut self) {
        self.hand_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_room_comes_back() {
        let queues = Arc::new(SpanQueues::new(2));
        let mut queue = SpanQueue::new(Arc::clone(&queues), 1);
        let write = |out: &mut Vec<u8>| out.extend_from_slice(&[7; 1024]);
        for _ in 0..CHUNKS * CHUNK_BYTES / 1024 {
            queue.append(2, write);
        }
        assert_eq!(queues.totals(), SpanTotals::default());
        queue.append(3, write);
        queue.hand_over();
        assert_eq!(queues.totals(), SpanTotals { queue_full: 3, ..SpanTotals::default() });
        let mut taken = Vec::new();
        assert_eq!(queues.take(2 * CHUNK_BYTES, &mut taken), 256, "two chunks");
        assert_eq!(taken.len(), 2 * CHUNK_BYTES);
        queue.append(1, write);
        queue.hand_over();
        queue.hand_over();
        let mut rest = Vec::new();
        let expected = (CHUNKS as u64 - 2) * 128 + 1;
        assert_eq!(queues.take(usize::MAX, &mut rest), expected);
        assert!(queues.is_empty());
        queues.count_exported(256);
        queues.count_lost(expected, SpanLoss::Unavailable);
        let totals = queues.totals();
        assert_eq!((totals.exported, totals.unavailable), (256, expected));
        assert_eq!(queues.stop(Duration::ZERO), 0, "nobody sends");
    }
}
