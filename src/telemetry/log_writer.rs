//! The thread that writes the lines of one access log, behind one bounded queue per worker.
//!
//! A worker collects lines in a chunk and hands it over when it is full or at the next tick. Empty
//! chunks come back by a second queue, so a steady load allocates nothing. When a worker has no
//! empty chunk left, because the disk or a pipe is slow, lines are dropped and counted: requests
//! never wait for a log.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::thread::Thread;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use crate::telemetry::log_counters::LogCounters;
use crate::telemetry::log_output::LogOutput;
use crate::telemetry::operator::MessageKind;

/// A chunk is handed over once it holds this much; a longer line makes a longer chunk.
const CHUNK_BYTES: usize = 64 * 1024;
/// Room for the line that fills a chunk up.
const LINE_BYTES: usize = 4 * 1024;
/// Chunks per worker; with their size this bounds what a stuck log costs to 1 MiB per worker.
const CHUNKS: usize = 16;
/// The writer looks for work at least this often, even if a worker forgets to wake it.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long the last lines may take at the end, and how often to look whether they are written.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(2);
const LAST_LINES_LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Looks between two messages about a log that takes nothing.
const LOOKS_PER_MESSAGE: u32 = 10;

/// The writer thread, as seen by the thread that started it.
pub struct LogWriter {
    shared: Arc<WriterState>,
    thread: JoinHandle<()>,
    /// The number of the write that was under way at the last look, and at how many looks it was.
    stalled: Cell<(u64, u32)>,
}

struct WriterState {
    queues: Vec<Arc<ChunkQueue>>,
    reopen: AtomicBool,
    stop: AtomicBool,
    counters: Arc<LogCounters>,
    /// Of the lines that are lost, those that the operator was told of: that found no room, and that could not be written.
    told_dropped: AtomicU64,
    told_failed: AtomicU64,
    /// Whether the last write failed.
    is_failing: AtomicBool,
    /// Odd while a chunk is being written, and another number for each.
    write_number: AtomicU64,
    /// Lines of the chunk that is being written.
    lines_under_way: AtomicU64,
}

struct ChunkQueue {
    full: ArrayQueue<Vec<u8>>,
    empty: ArrayQueue<Vec<u8>>,
}

/// A worker's end: collects lines and never waits.
pub struct LogQueue {
    queue: Arc<ChunkQueue>,
    /// The chunk being filled; none while the writer has all of them.
    chunk: Option<Vec<u8>>,
    writer: Thread,
    counters: Arc<LogCounters>,
    worker: usize,
}

impl LogWriter {
    /// Starts the thread. Returns one queue per worker.
    ///
    /// `report` gets sentences for the operator: dropped lines, failed writes.
    pub fn start(
        mut output: LogOutput,
        counters: Arc<LogCounters>,
        workers: usize,
        report: impl Fn(MessageKind, String) + Send + 'static,
    ) -> io::Result<(LogWriter, Vec<LogQueue>)> {
        let queues: Vec<_> = (0..workers).map(|_| Arc::new(ChunkQueue::new())).collect();
        let shared = Arc::new(WriterState::new(queues.clone(), Arc::clone(&counters)));
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("ringway-log".to_owned())
            .spawn(move || of_thread.run(&mut output, &report))?;
        let writer = thread.thread().clone();
        let end = |(worker, queue)| LogQueue::new(queue, writer.clone(), (Arc::clone(&counters), worker));
        let ends = queues.into_iter().enumerate().map(end).collect();
        Ok((LogWriter { shared, thread, stalled: Cell::new((0, 0)) }, ends))
    }

    /// Reopens the file, after logrotate moved it away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Looks whether the log takes anything; to be called about once a second. Returns a sentence for the
    /// operator when one write has been under way since the look before, and then at each tenth look.
    pub fn look(&self) -> Option<String> {
        let number = self.shared.write_number.load(Ordering::Relaxed);
        let (before, looks) = self.stalled.get();
        let looks = if number % 2 == 1 && number == before { looks + 1 } else { 0 };
        self.stalled.set((number, looks));
        if looks % LOOKS_PER_MESSAGE != 1 {
            return None;
        }
        let LogCounters { name, .. } = &*self.shared.counters;
        let lost = self.shared.counters.lost();
        Some(format!(
            "the access log {name} takes nothing at present, for {looks} s and longer; {lost} lines are lost so far: \
             see who reads it, or its disk"
        ))
    }

    /// Lets the threads write what the workers handed over, and end. A log that takes nothing any more, such as a pipe
    /// without a reader, is given up after a moment: it must not keep the process. Returns the name of each such log, and
    /// how many lines that costs.
    pub fn stop(writers: Vec<LogWriter>) -> Vec<(String, u64)> {
        for writer in &writers {
            writer.shared.stop.store(true, Ordering::Release);
            writer.wake();
        }
        let mut waited = Duration::ZERO;
        while writers.iter().any(|writer| !writer.thread.is_finished()) && waited < LAST_LINES_TIMEOUT {
            std::thread::sleep(LAST_LINES_LOOK_INTERVAL);
            waited += LAST_LINES_LOOK_INTERVAL;
        }
        let stuck = writers.into_iter().filter(|writer| !writer.thread.is_finished());
        let given_up = stuck.map(|writer| (writer.shared.counters.name.clone(), writer.shared.give_up()));
        given_up.filter(|(_, lost)| *lost > 0).collect()
    }

    fn wake(&self) {
        self.thread.thread().unpark();
    }
}

impl WriterState {
    fn new(queues: Vec<Arc<ChunkQueue>>, counters: Arc<LogCounters>) -> WriterState {
        WriterState {
            queues,
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            counters,
            told_dropped: AtomicU64::new(0),
            told_failed: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            write_number: AtomicU64::new(0),
            lines_under_way: AtomicU64::new(0),
        }
    }

    fn run(&self, output: &mut LogOutput, report: &impl Fn(MessageKind, String)) {
        loop {
            // Read before draining, so that chunks handed over before the stop are written.
            let stopping = self.stop.load(Ordering::Acquire);
            if self.reopen.swap(false, Ordering::AcqRel)
                && let Err(error) = output.reopen()
            {
                let name = &self.counters.name;
                report(
                    MessageKind::AccessLog,
                    format!("cannot reopen the access log {name}, still writing to the old file: {error}"),
                );
            }
            self.drain(output, report);
            self.report_losses(report, stopping);
            if stopping {
                return;
            }
            std::thread::park_timeout(IDLE_LOOK_INTERVAL);
        }
    }

    fn drain(&self, output: &mut LogOutput, report: &impl Fn(MessageKind, String)) {
        for queue in &self.queues {
            // Bounded, so that one busy worker cannot starve the others.
            for _ in 0..CHUNKS {
                let Some(mut chunk) = queue.full.pop() else { break };
                self.write(&chunk, output, report);
                chunk.clear();
                if chunk.capacity() > 2 * CHUNK_BYTES {
                    // A line of unusual length must not cost memory for ever.
                    chunk = Vec::new();
                }
                // There are never more chunks than places.
                drop(queue.empty.push(chunk));
            }
        }
    }

    fn write(&self, chunk: &[u8], output: &mut LogOutput, report: &impl Fn(MessageKind, String)) {
        self.lines_under_way.store(lines(chunk), Ordering::Relaxed);
        self.write_number.fetch_add(1, Ordering::Relaxed);
        let outcome = output.write(chunk);
        let lost = outcome.as_ref().map_or_else(|(lost, _)| *lost, |()| 0);
        let was_failing = self.is_failing.swap(lost > 0, Ordering::Relaxed);
        self.counters.count_written(lines(chunk).saturating_sub(lost));
        self.counters.count_failed(lost);
        // Told once, until it takes lines again.
        if let Err((_, error)) = outcome
            && !was_failing
        {
            let name = &self.counters.name;
            report(
                MessageKind::AccessLog,
                format!("cannot write the access log {name}, its lines are lost: {error}"),
            );
        }
        self.write_number.fetch_add(1, Ordering::Relaxed);
        self.lines_under_way.store(0, Ordering::Relaxed);
    }

    /// Lines that could not be written are told of when the log takes some again.
    fn report_losses(&self, report: &impl Fn(MessageKind, String), is_stopping: bool) {
        let LogCounters { name, .. } = &*self.counters;
        let dropped = self.counters.dropped();
        let untold = dropped - self.told_dropped.swap(dropped, Ordering::Relaxed);
        if untold > 0 {
            report(
                MessageKind::LostLines,
                format!("dropped {untold} lines of the access log {name}: it is slower than the traffic"),
            );
        }
        if self.is_failing.load(Ordering::Relaxed) && !is_stopping {
            return;
        }
        let failed = self.counters.failed();
        let untold = failed - self.told_failed.swap(failed, Ordering::Relaxed);
        if untold > 0 {
            report(
                MessageKind::LostLines,
                format!("lost {untold} lines of the access log {name} that could not be written"),
            );
        }
    }

    /// Takes everything back that is not written; returns how many lines that are, with all losses that were not told.
    fn give_up(&self) -> u64 {
        let told = self.told_dropped.load(Ordering::Relaxed) + self.told_failed.load(Ordering::Relaxed);
        let untold = self.counters.lost().saturating_sub(told);
        let mut count = untold + self.lines_under_way.load(Ordering::Relaxed);
        for queue in &self.queues {
            while let Some(chunk) = queue.full.pop() {
                count += lines(&chunk);
            }
        }
        count
    }
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

impl ChunkQueue {
    fn new() -> ChunkQueue {
        let queue = ChunkQueue { full: ArrayQueue::new(CHUNKS), empty: ArrayQueue::new(CHUNKS) };
        for _ in 0..CHUNKS {
            // Memory comes with the first line.
            drop(queue.empty.push(Vec::new()));
        }
        queue
    }
}

impl LogQueue {
    fn new(
        queue: Arc<ChunkQueue>,
        writer: Thread,
        (counters, worker): (Arc<LogCounters>, usize),
    ) -> LogQueue {
        LogQueue { queue, chunk: None, writer, counters, worker }
    }

    /// Appends one line by `write`, or counts it as dropped when no chunk is free.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.chunk.is_none() {
            self.chunk = self.queue.empty.pop();
        }
        let Some(chunk) = &mut self.chunk else {
            self.counters.count_dropped(self.worker);
            return;
        };
        if chunk.capacity() == 0 {
            chunk.reserve_exact(CHUNK_BYTES + LINE_BYTES);
        }
        write(chunk);
        if chunk.len() >= CHUNK_BYTES {
            self.hand_over();
        }
    }

    /// Hands lines over to the writer; to be called at each tick and before the worker ends.
    pub fn hand_over(&mut self) {
        if self.chunk.as_ref().is_none_or(Vec::is_empty) {
            return;
        }
        if let Some(chunk) = self.chunk.take() {
            // There are never more chunks than places.
            drop(self.queue.full.push(chunk));
            self.writer.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::sync::mpsc;

    use super::*;
    use crate::telemetry::log_output::Sink;

    fn counters() -> Arc<LogCounters> {
        Arc::new(LogCounters::new("log".to_owned(), 1))
    }

    fn to(path: &std::path::Path) -> LogOutput {
        LogOutput::open(Sink::File(path.to_owned()), || Duration::ZERO).unwrap()
    }

    #[test]
    fn lines_arrive_in_order_and_a_rotated_file_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let (writer, mut queues) = LogWriter::start(to(&path), counters(), 1, |_, _| ()).unwrap();
        let queue = &mut queues[0];
        queue.append(|out| out.extend_from_slice(b"one\n"));
        queue.append(|out| out.extend_from_slice(b"two\n"));
        queue.hand_over();
        wait_for(&path, "one\ntwo\n");

        let moved = folder.path().join("access.log.1");
        std::fs::rename(&path, &moved).unwrap();
        writer.reopen();
        wait_for(&path, "");
        queue.append(|out| out.extend_from_slice(b"three\n"));
        queue.hand_over();
        let counters = Arc::clone(&writer.shared.counters);
        assert_eq!(LogWriter::stop(vec![writer]), []);
        assert_eq!((counters.written(), counters.lost()), (3, 0));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_stuck_log_costs_lines_and_says_how_many() {
        let queue = Arc::new(ChunkQueue::new());
        let counters = counters();
        let mut end = LogQueue::new(Arc::clone(&queue), std::thread::current(), (Arc::clone(&counters), 0));
        let line = vec![b'x'; CHUNK_BYTES];
        for _ in 0..CHUNKS + 5 {
            end.append(|out| out.extend_from_slice(&line));
        }
        let (reports, lines) = mpsc::channel();
        let shared = WriterState::new(vec![queue], Arc::clone(&counters));
        shared.stop.store(true, Ordering::Release);
        let mut output = to("/dev/null".as_ref());
        shared.run(&mut output, &move |_, text| reports.send(text).unwrap());
        assert!(lines.recv().unwrap().starts_with("dropped 5 lines of the access log log: "));
        assert_eq!((counters.written(), counters.dropped(), counters.failed()), (0, 5, 0));
        end.append(|out| out.extend_from_slice(b"free again\n"));
        assert!(end.chunk.is_some());
    }

    #[test]
    fn a_log_that_takes_nothing_is_told_of_meanwhile_and_what_it_cost_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut reader = File::options().read(true).write(true).open(&path).unwrap();
        let (writer, mut queues) = LogWriter::start(to(&path), counters(), 1, |_, _| ()).unwrap();
        let line = [&[b'x'; 9_999][..], b"\n"].concat();
        (0..7).for_each(|_| queues[0].append(|out| out.extend_from_slice(&line)));
        assert_eq!(writer.look(), None);
        let told = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            writer.look()
        });
        assert!(told.unwrap().starts_with("the access log log takes nothing"));
        assert_eq!((0..9).find_map(|_| writer.look()), None);
        assert!(writer.look().unwrap().contains("for 11 s"));

        reader.read_exact(&mut vec![0; 70_000]).unwrap();
        (0..8).for_each(|_| queues[0].append(|out| out.extend_from_slice(&line)));
        queues[0].hand_over();
        assert_eq!(LogWriter::stop(vec![writer]), [("log".to_owned(), 8)]);
    }

    fn wait_for(path: &std::path::Path, text: &str) {
        for _ in 0..500 {
            if std::fs::read_to_string(path).is_ok_and(|found| found == text) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} never held {text:?}", path.display());
    }
}
