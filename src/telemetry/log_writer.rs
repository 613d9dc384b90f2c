//! The thread that writes access-log lines, behind one bounded queue per worker.
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
    /// Lines lost because writing failed, besides those that the queues dropped.
    failed_lines: AtomicU64,
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
    dropped_lines: AtomicU64,
}

/// A worker's end: collects lines and never waits.
pub struct LogQueue {
    queue: Arc<ChunkQueue>,
    /// The chunk being filled; none while the writer has all of them.
    chunk: Option<Vec<u8>>,
    writer: Thread,
}

impl LogWriter {
    /// Starts the thread. Returns one queue per worker.
    ///
    /// `report` gets sentences for the operator: dropped lines, failed writes.
    pub fn start(
        mut output: LogOutput,
        workers: usize,
        report: impl Fn(MessageKind, String) + Send + 'static,
    ) -> io::Result<(LogWriter, Vec<LogQueue>)> {
        let queues: Vec<_> = (0..workers).map(|_| Arc::new(ChunkQueue::new())).collect();
        let shared = Arc::new(WriterState::new(queues.clone()));
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("ringway-log".to_owned())
            .spawn(move || of_thread.run(&mut output, &report))?;
        let writer = thread.thread().clone();
        let ends = queues.into_iter().map(|queue| LogQueue::new(queue, writer.clone())).collect();
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
        let dropped = self.shared.dropped_lines();
        Some(format!(
            "the access log takes nothing at present, for {looks} s and longer; {dropped} lines are lost so far: \
             see who reads it, or its disk"
        ))
    }

    /// Writes what the workers handed over and ends the thread. A log that takes nothing any more,
    /// such as a pipe without a reader, is given up after a moment: it must not keep the process. Returns
    /// how many lines that cost.
    pub fn stop(self) -> u64 {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        let mut waited = Duration::ZERO;
        while !self.thread.is_finished() {
            if waited >= LAST_LINES_TIMEOUT {
                return self.shared.give_up();
            }
            std::thread::sleep(LAST_LINES_LOOK_INTERVAL);
            waited += LAST_LINES_LOOK_INTERVAL;
        }
        0
    }

    fn wake(&self) {
        self.thread.thread().unpark();
    }
}

impl WriterState {
    fn new(queues: Vec<Arc<ChunkQueue>>) -> WriterState {
        WriterState {
            queues,
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            failed_lines: AtomicU64::new(0),
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
                report(
                    MessageKind::AccessLog,
                    format!("cannot reopen the access log, still writing to the old file: {error}"),
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
        self.is_failing.store(outcome.is_err(), Ordering::Relaxed);
        if let Err((lost, error)) = outcome {
            self.failed_lines.fetch_add(lost, Ordering::Relaxed);
            report(
                MessageKind::AccessLog,
                format!("cannot write the access log, its lines are lost: {error}"),
            );
        }
        self.write_number.fetch_add(1, Ordering::Relaxed);
        self.lines_under_way.store(0, Ordering::Relaxed);
    }

    /// Lines that could not be written are told of when the log takes some again.
    fn report_losses(&self, report: &impl Fn(MessageKind, String), stopping: bool) {
        let dropped: u64 =
            self.queues.iter().map(|queue| queue.dropped_lines.swap(0, Ordering::Relaxed)).sum();
        if dropped > 0 {
            report(
                MessageKind::LostLines,
                format!("dropped {dropped} access-log lines: the log is slower than the traffic"),
            );
        }
        if self.is_failing.load(Ordering::Relaxed) && !stopping {
            return;
        }
        let failed = self.failed_lines.swap(0, Ordering::Relaxed);
        if failed > 0 {
            report(
                MessageKind::LostLines,
                format!("lost {failed} access-log lines that could not be written"),
            );
        }
    }

    /// Lines that found no room since this was told last.
    fn dropped_lines(&self) -> u64 {
        self.queues.iter().map(|queue| queue.dropped_lines.load(Ordering::Relaxed)).sum()
    }

    /// Takes everything back that is not written; returns how many lines that are, with all that were lost.
    fn give_up(&self) -> u64 {
        let mut count = self.dropped_lines()
            + self.failed_lines.load(Ordering::Relaxed)
            + self.lines_under_way.load(Ordering::Relaxed);
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
        let queue = ChunkQueue {
            full: ArrayQueue::new(CHUNKS),
            empty: ArrayQueue::new(CHUNKS),
            dropped_lines: AtomicU64::new(0),
        };
        for _ in 0..CHUNKS {
            // Memory comes with the first line.
            drop(queue.empty.push(Vec::new()));
        }
        queue
    }
}

impl LogQueue {
    fn new(queue: Arc<ChunkQueue>, writer: Thread) -> LogQueue {
        LogQueue { queue, chunk: None, writer }
    }

    /// Appends one line by `write`, or counts it as dropped when no chunk is free.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.chunk.is_none() {
            self.chunk = self.queue.empty.pop();
        }
        let Some(chunk) = &mut self.chunk else {
            self.queue.dropped_lines.fetch_add(1, Ordering::Relaxed);
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

    fn to(path: &std::path::Path) -> LogOutput {
        LogOutput::open(Sink::File(path.to_owned())).unwrap()
    }

    #[test]
    fn lines_arrive_in_order_and_a_rotated_file_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let (writer, mut queues) = LogWriter::start(to(&path), 1, |_, _| ()).unwrap();
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
        writer.stop();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_stuck_log_costs_lines_and_says_how_many() {
        let queue = Arc::new(ChunkQueue::new());
        let mut end = LogQueue::new(Arc::clone(&queue), std::thread::current());
        let line = vec![b'x'; CHUNK_BYTES];
        for _ in 0..CHUNKS + 5 {
            end.append(|out| out.extend_from_slice(&line));
        }
        let (reports, lines) = mpsc::channel();
        let shared = WriterState::new(vec![queue]);
        shared.stop.store(true, Ordering::Release);
        let mut output = to("/dev/null".as_ref());
        shared.run(&mut output, &move |_, text| reports.send(text).unwrap());
        assert!(lines.recv().unwrap().starts_with("dropped 5 access-log lines"));
        end.append(|out| out.extend_from_slice(b"free again\n"));
        assert!(end.chunk.is_some());
    }

    #[test]
    fn a_log_that_takes_nothing_is_told_of_meanwhile_and_what_it_cost_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut reader = File::options().read(true).write(true).open(&path).unwrap();
        let (writer, mut queues) = LogWriter::start(to(&path), 1, |_, _| ()).unwrap();
        let line = [&[b'x'; 9_999][..], b"\n"].concat();
        (0..7).for_each(|_| queues[0].append(|out| out.extend_from_slice(&line)));
        assert_eq!(writer.look(), None);
        let told = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            writer.look()
        });
        assert!(told.unwrap().starts_with("the access log takes nothing"));
        assert_eq!((0..9).find_map(|_| writer.look()), None);
        assert!(writer.look().unwrap().contains("for 11 s"));

        reader.read_exact(&mut vec![0; 70_000]).unwrap();
        (0..8).for_each(|_| queues[0].append(|out| out.extend_from_slice(&line)));
        queues[0].hand_over();
        assert_eq!(writer.stop(), 8);
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
