//! The thread that writes access-log lines, behind one bounded queue per worker.
//!
//! A worker collects lines in a chunk and hands it over when it is full or at the next tick. Empty
//! chunks come back by a second queue, so a steady load allocates nothing. When a worker has no
//! empty chunk left, because the disk or a pipe is slow, lines are dropped and counted: requests
//! never wait for a log.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

use crate::telemetry::operator::Kind;

/// A chunk is handed over once it holds this much; a longer line makes a longer chunk.
const CHUNK_BYTES: usize = 64 * 1024;
/// Room for the line that fills a chunk up.
const LINE_BYTES: usize = 4 * 1024;
/// Chunks per worker; with their size this bounds what a stuck log costs to 1 MiB per worker.
const CHUNKS: usize = 16;
/// The writer looks for work at least this often, whoever forgets to wake it.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the last lines may take at the end, and how often to look whether they are written.
const FAREWELL: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(5);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    Stdout,
    Stderr,
    File(PathBuf),
}

/// The writer thread, as seen by whoever started it.
pub struct LogWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    queues: Vec<Arc<Queue>>,
    reopen: AtomicBool,
    stop: AtomicBool,
    /// Lines lost because writing failed, besides those that the queues dropped.
    failed_writes: AtomicU64,
}

struct Queue {
    full: ArrayQueue<Vec<u8>>,
    empty: ArrayQueue<Vec<u8>>,
    dropped_lines: AtomicU64,
}

/// A worker's end: collects lines and never waits.
pub struct LogQueue {
    queue: Arc<Queue>,
    /// The chunk being filled; none while the writer has all of them.
    chunk: Option<Vec<u8>>,
    writer: Thread,
}

impl LogWriter {
    /// Opens the sink and starts the thread. Returns one queue per worker.
    ///
    /// `report` gets sentences for the operator: dropped lines, failed writes.
    pub fn start(
        sink: Sink,
        workers: usize,
        report: impl Fn(Kind, String) + Send + 'static,
    ) -> io::Result<(LogWriter, Vec<LogQueue>)> {
        let mut output = Output::open(sink)?;
        let queues: Vec<_> = (0..workers).map(|_| Arc::new(Queue::new())).collect();
        let shared = Arc::new(Shared {
            queues: queues.clone(),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            failed_writes: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("ringway-log".to_owned())
            .spawn(move || of_thread.run(&mut output, &report))?;
        let writer = thread.thread().clone();
        let ends = queues.into_iter().map(|queue| LogQueue::new(queue, writer.clone())).collect();
        Ok((LogWriter { shared, thread: Some(thread) }, ends))
    }

    /// Opens the file anew, after logrotate moved it away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Writes what the workers handed over and ends the thread. A log that takes nothing any more,
    /// such as a pipe that nobody reads, is given up after a moment: it must not keep the process.
    pub fn stop(mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        let Some(thread) = self.thread.take() else { return };
        let mut waited = Duration::ZERO;
        while !thread.is_finished() && waited < FAREWELL {
            std::thread::sleep(GLANCE);
            waited += GLANCE;
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Shared {
    fn run(&self, output: &mut Output, report: &impl Fn(Kind, String)) {
        loop {
            // Read before draining, so that chunks handed over before the stop are written.
            let stopping = self.stop.load(Ordering::Acquire);
            if self.reopen.swap(false, Ordering::AcqRel)
                && let Err(error) = output.reopen()
            {
                report(
                    Kind::AccessLog,
                    format!("cannot reopen the access log, still writing to the old file: {error}"),
                );
            }
            self.drain(output, report);
            self.report_losses(report);
            if stopping {
                return;
            }
            std::thread::park_timeout(PATIENCE);
        }
    }

    fn drain(&self, output: &mut Output, report: &impl Fn(Kind, String)) {
        for queue in &self.queues {
            // Bounded, so that one busy worker cannot starve the others.
            for _ in 0..CHUNKS {
                let Some(mut chunk) = queue.full.pop() else { break };
                if let Err(error) = output.write(&chunk) {
                    let lines = memchr::memchr_iter(b'\n', &chunk).count();
                    let before = self.failed_writes.fetch_add(lines as u64, Ordering::Relaxed);
                    if before == 0 {
                        report(Kind::AccessLog, format!("cannot write the access log: {error}"));
                    }
                }
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

    fn report_losses(&self, report: &impl Fn(Kind, String)) {
        let dropped: u64 =
            self.queues.iter().map(|queue| queue.dropped_lines.swap(0, Ordering::Relaxed)).sum();
        if dropped > 0 {
            report(
                Kind::LostLines,
                format!("dropped {dropped} access-log lines: the log is slower than the traffic"),
            );
        }
        let failed = self.failed_writes.swap(0, Ordering::Relaxed);
        if failed > 0 {
            report(Kind::LostLines, format!("lost {failed} access-log lines that could not be written"));
        }
    }
}

impl Queue {
    fn new() -> Queue {
        let queue = Queue {
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
    fn new(queue: Arc<Queue>, writer: Thread) -> LogQueue {
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

struct Output {
    sink: Sink,
    file: Option<File>,
}

impl Output {
    fn open(sink: Sink) -> io::Result<Output> {
        let mut output = Output { sink, file: None };
        output.reopen()?;
        Ok(output)
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Sink::File(path) = &self.sink {
            self.file = Some(OpenOptions::new().create(true).append(true).open(path)?);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match (&self.sink, &mut self.file) {
            (Sink::Stdout, _) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            (Sink::Stderr, _) => io::stderr().lock().write_all(bytes),
            (Sink::File(_), Some(file)) => file.write_all(bytes),
            (Sink::File(_), None) => unreachable!("opening a file sink opens its file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn lines_arrive_in_order_and_a_rotated_file_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let (writer, mut queues) = LogWriter::start(Sink::File(path.clone()), 1, |_, _| ()).unwrap();
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
        let queue = Arc::new(Queue::new());
        let mut end = LogQueue::new(Arc::clone(&queue), std::thread::current());
        let line = vec![b'x'; CHUNK_BYTES];
        for _ in 0..CHUNKS + 5 {
            end.append(|out| out.extend_from_slice(&line));
        }
        let (reports, lines) = mpsc::channel();
        let shared = Shared {
            queues: vec![queue],
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(true),
            failed_writes: AtomicU64::new(0),
        };
        let mut output = Output::open(Sink::File("/dev/null".into())).unwrap();
        shared.run(&mut output, &move |_, text| reports.send(text).unwrap());
        assert!(lines.recv().unwrap().starts_with("dropped 5 access-log lines"));
        end.append(|out| out.extend_from_slice(b"free again\n"));
        assert!(end.chunk.is_some());
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
