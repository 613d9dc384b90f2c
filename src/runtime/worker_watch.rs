//! Telling the operator of a worker that stands still, or that has lost its CPU.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::runtime::pin;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;
use crate::telemetry::worker_counters::WorkerCounters;

/// A worker counts ten times a second. One that has not for so long, and at so many looks, stands still; the looks see
/// to it that nothing is said where the whole process was stopped.
const STALL_TIME: Duration = Duration::from_secs(3);
const STALL_LOOKS: u32 = 3;

/// A worker's thread, by the number that the kernel gave it, and the CPU that it was pinned to.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkerThread {
    pub(super) index: usize,
    pub(super) thread: libc::pid_t,
    pub(super) cpu: Option<usize>,
}

/// What looks after the workers once a second.
pub(super) struct WorkerWatch {
    counters: Arc<WorkerCounters>,
    workers: RefCell<Vec<WatchedWorker>>,
}

/// A worker as it was at the last look.
struct WatchedWorker {
    thread: WorkerThread,
    /// How often it had told anything.
    told: u64,
    /// When it was first seen with that, and how often since.
    since: Instant,
    looks: u32,
    is_stalled: bool,
    /// It may run elsewhere than where it was pinned.
    is_displaced: bool,
}

impl WorkerWatch {
    pub(super) fn new(
        counters: Arc<WorkerCounters>,
        threads: Vec<WorkerThread>,
        now: Instant,
    ) -> WorkerWatch {
        let watched = |thread| WatchedWorker {
            thread,
            told: 0,
            since: now,
            looks: 0,
            is_stalled: false,
            is_displaced: false,
        };
        WorkerWatch { counters, workers: RefCell::new(threads.into_iter().map(watched).collect()) }
    }

    /// To be called about once a second.
    pub(super) fn look(&self, now: Instant) {
        let told: Vec<u64> = self.counters.told().collect();
        for worker in self.workers.borrow_mut().iter_mut() {
            let index = worker.thread.index;
            let news = told.get(index).and_then(|told| worker.note(*told, now));
            if news.is_some() {
                self.counters.set_stalled(index, worker.is_stalled);
            }
            news.into_iter().chain(worker.look_for_cpu()).for_each(log_event);
        }
    }
}

impl WatchedWorker {
    /// Takes over how often the worker has told anything; what there is to say about it.
    fn note(&mut self, told: u64, now: Instant) -> Option<News> {
        let (index, still) = (self.thread.index, now.saturating_duration_since(self.since));
        if told != self.told {
            (self.told, self.since, self.looks) = (told, now, 0);
            let text = format!("worker {index} runs again after {} s", still.as_secs());
            let news = || News::new(EventKind::WorkerResumed, text).of("worker", index);
            return std::mem::take(&mut self.is_stalled).then(news);
        }
        self.looks += 1;
        if self.is_stalled || self.looks < STALL_LOOKS || still < STALL_TIME {
            return None;
        }
        self.is_stalled = true;
        let place = self.thread.cpu.map_or(String::new(), |cpu| format!(" on CPU {cpu}"));
        let text = format!(
            "warning: worker {index}{place} has stood still for {} s, and its connections with it; see what else runs on \
             its CPU (ps -eLo psr,pcpu,comm), the time that a hypervisor takes (st in vmstat) and the limit of CPU time \
             (cpu.stat of the control group)",
            still.as_secs()
        );
        Some(News::new(EventKind::WorkerStalled, text).of("worker", index))
    }

    /// What there is to say about the CPU of the worker.
    fn look_for_cpu(&mut self) -> Option<News> {
        let WorkerThread { index, thread, cpu } = self.thread;
        let cpu = cpu?;
        let is_displaced = !pin::is_pinned(thread, cpu)?;
        let was_displaced = std::mem::replace(&mut self.is_displaced, is_displaced);
        (is_displaced && !was_displaced).then(|| {
            let text = format!(
                "warning: worker {index} is no longer pinned to CPU {cpu}: it went offline, or the cpuset or the affinity of \
                 this process was changed; the worker runs where the system puts it, until the next start"
            );
            News::new(EventKind::WorkerUnpinned, text).of("worker", index)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(now: Instant) -> WatchedWorker {
        let thread = WorkerThread { index: 1, thread: 0, cpu: Some(5) };
        WatchedWorker { thread, told: 0, since: now, looks: 0, is_stalled: false, is_displaced: false }
    }

    #[test]
    fn a_worker_that_does_not_count_is_told_of_once_and_when_it_counts_again() {
        let begun = crate::net::clock::instant_now();
        let mut worker = watched(begun);
        let mut told = Vec::new();
        for (second, count) in
            [(1, 9), (2, 19), (3, 19), (4, 19), (5, 19), (6, 19), (9, 19), (10, 20), (11, 30)]
        {
            let news = worker.note(count, begun + Duration::from_secs(second));
            told.extend(news.map(|news| (second, news.kind, worker.is_stalled)));
        }
        assert_eq!(told, [(5, EventKind::WorkerStalled, true), (10, EventKind::WorkerResumed, false)]);
    }

    #[test]
    fn a_stop_of_the_whole_process_is_none_of_a_worker() {
        let begun = crate::net::clock::instant_now();
        let mut worker = watched(begun);
        assert_eq!(worker.note(9, begun), None);
        // The first look after it comes before the worker has run.
        assert_eq!(worker.note(9, begun + Duration::from_secs(60)), None);
        assert_eq!(worker.note(10, begun + Duration::from_secs(61)), None);
    }
}
