//! Messages for the operator, on standard error, and events.
//!
//! A command writes them as they come. A process that serves calls [`start`] first: from then on messages go
//! into a bounded queue, and one thread writes them. A thread that has a message never waits for the reader of
//! it: a full pipe or a stopped terminal must hold up neither requests nor probes. What does not fit is
//! counted, and told as soon as they are read again.

use std::io;
use std::io::Write;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use crate::telemetry::date;
use crate::telemetry::events;
use crate::telemetry::events::News;

/// Messages that may wait to be written: more than a reload of a large configuration has to say at once.
const MAX_WAITING: usize = 1_024;

/// Bytes that may wait. A message is taken while there is less, so that one long report still fits.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// The writer looks for what has to be told of itself, such as counts, at least this often.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long the last messages may take at the end, and how often to look whether they are written.
const LAST_MESSAGES_TIMEOUT: Duration = Duration::from_secs(1);
const LAST_MESSAGES_LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// The pause before another try where standard error does not block and is full.
const FULL_RETRY_INTERVAL: Duration = Duration::from_millis(20);

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;

/// What may happen again and again, many times a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Connections of clients that cannot be accepted.
    Accept,
    /// The access log takes nothing.
    AccessLog,
    /// Lines of the access log that are lost.
    LostLines,
    /// Faults of our own that ended a task.
    Panic,
    /// As many connections of clients as are allowed.
    ConnectionLimit,
    /// Clients that may not connect.
    AccessDenied,
    /// Connections to backends for which there is no descriptor or local port.
    Want,
    /// Copies of requests that are not made.
    Mirror,
    /// A collector does not take spans.
    Spans,
}

/// Lines of one kind.
struct Repetition {
    about: &'static str,
    /// There is one line in this time, the other messages are counted.
    pause_ms: u64,
    /// When the last line was told, in milliseconds since the Unix epoch.
    told_ms: AtomicU64,
    /// Messages since then that got no line.
    untold: AtomicU64,
}

/// By [`MessageKind`].
static REPETITIONS: [Repetition; 9] = [
    Repetition::new("connections that cannot be accepted", SECOND_MS),
    Repetition::new("the access log", SECOND_MS),
    Repetition::new("lost lines of the access log", SECOND_MS),
    Repetition::new("panics", SECOND_MS),
    // A limit may be reached for hours, and that is what it is for.
    Repetition::new("limits of connections", MINUTE_MS),
    Repetition::new("clients that may not connect", MINUTE_MS),
    Repetition::new("connections to backends that cannot be opened", SECOND_MS),
    // A target that cannot follow may not be able to for hours.
    Repetition::new("copies of requests that are not made", MINUTE_MS),
    Repetition::new("spans that a collector does not take", MINUTE_MS),
];

/// Set for as long as the process serves.
static WRITER: OnceLock<Writer> = OnceLock::new();

struct Writer {
    queue: Arc<MessageQueue>,
    /// The time since the Unix epoch.
    clock: fn() -> Duration,
    thread: JoinHandle<()>,
}

struct MessageQueue {
    messages: ArrayQueue<Message>,
    /// Bytes of the messages that wait.
    bytes: AtomicUsize,
    lost: AtomicU64,
    stop: AtomicBool,
}

struct Message {
    /// When it was told, since the Unix epoch. None: its lines get no time stamp.
    at: Option<Duration>,
    text: String,
}

/// Tells one message, of one line or several. While the process serves, each line begins with the time in UTC,
/// unless the journal reads, which notes the time itself.
pub fn log_line(text: &str) {
    match WRITER.get() {
        Some(writer) => writer.take(Some((writer.clock)()), text),
        None => write_now(text),
    }
}

/// Tells what has happened, and keeps it for those who ask for events.
pub fn log_event(news: News) {
    match WRITER.get() {
        Some(writer) => {
            let now = (writer.clock)();
            writer.take(Some(now), &news.message);
            events::keep(now, news);
        }
        None => write_now(&news.message),
    }
}

/// Keeps what has happened for those who ask for events: where it may happen to thousands at once, or where a message
/// tells of several.
pub fn note_event(news: News) {
    if let Some(writer) = WRITER.get() {
        events::keep((writer.clock)(), news);
    }
}

/// The same as [`log_line`] without a time stamp, for what is to be pasted or what editors look for at the begin of a line.
pub fn log_as_is(text: &str) {
    match WRITER.get() {
        Some(writer) => writer.take(None, text),
        None => write_now(text),
    }
}

/// Tells what may come many times a second: one line a second (or a minute) and kind, which says how many were
/// left out.
pub fn log_repeatedly(kind: MessageKind, text: impl FnOnce() -> String) {
    let Some(writer) = WRITER.get() else { return write_now(&text()) };
    let now = (writer.clock)();
    match REPETITIONS[kind as usize].admit(millis(now)) {
        Some(0) => writer.take(Some(now), &text()),
        Some(untold) => {
            writer.take(Some(now), &format!("{} ({untold} more of these before)", text().trim_end()));
        }
        None => {}
    }
}

/// Starts the thread that writes; `clock` tells the time since the Unix epoch. Panics become messages, too.
///
/// Fails when the system grants no thread, or when it was started before.
pub fn start(clock: fn() -> Duration) -> io::Result<()> {
    let queue = Arc::new(MessageQueue::new());
    let of_thread = Arc::clone(&queue);
    let is_stamped = !is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref());
    let thread = std::thread::Builder::new().name("ringway-messages".to_owned()).spawn(move || {
        of_thread.run(&mut io::stderr(), is_stamped, clock);
    })?;
    let twice = |_| io::Error::other("messages have their thread already");
    WRITER.set(Writer { queue, clock, thread }).map_err(twice)?;
    std::panic::set_hook(Box::new(|panic| {
        log_repeatedly(MessageKind::Panic, || {
            let thread = std::thread::current();
            let mut text = format!("error: thread \"{}\" {panic}", thread.name().unwrap_or("without a name"));
            let trace = std::backtrace::Backtrace::capture();
            if trace.status() == std::backtrace::BacktraceStatus::Captured {
                text.push_str(&format!("\n{trace}"));
            }
            text
        });
    }));
    Ok(())
}

/// Waits until everything is written, at most a second; to be called before the process ends.
pub fn finish() {
    let Some(writer) = WRITER.get() else { return };
    writer.queue.stop.store(true, Ordering::Release);
    writer.thread.thread().unpark();
    let mut waited = Duration::ZERO;
    while !writer.thread.is_finished() && waited < LAST_MESSAGES_TIMEOUT {
        std::thread::sleep(LAST_MESSAGES_LOOK_INTERVAL);
        waited += LAST_MESSAGES_LOOK_INTERVAL;
    }
}

/// That standard error is not read any more is no reason to end, as it would be for `eprintln!`.
fn write_now(text: &str) {
    let _ = writeln!(io::stderr(), "{}", text.trim_end());
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether `stream`, the variable JOURNAL_STREAM (systemd.exec(5)), names what standard error is.
fn is_journal(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else { return false };
    let (Ok(device), Ok(inode)) = (device.parse::<u64>(), inode.parse::<u64>()) else { return false };
    let own = io::stderr().as_fd().try_clone_to_owned().map(std::fs::File::from);
    own.and_then(|file| file.metadata()).is_ok_and(|found| (found.dev(), found.ino()) == (device, inode))
}

impl Writer {
    fn take(&self, at: Option<Duration>, text: &str) {
        self.queue.push(Message { at, text: text.trim_end().to_owned() });
        self.thread.thread().unpark();
    }
}

impl MessageQueue {
    fn new() -> MessageQueue {
        MessageQueue {
            messages: ArrayQueue::new(MAX_WAITING),
            bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn push(&self, message: Message) {
        let length = message.text.len();
        let is_full = self.bytes.fetch_add(length, Ordering::Relaxed) >= MAX_WAITING_BYTES;
        if is_full || self.messages.push(message).is_err() {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what is told until the end.
    fn run(&self, out: &mut impl Write, is_stamped: bool, clock: fn() -> Duration) {
        loop {
            // Read before writing, so that what was told before the stop is written.
            let is_stopping = self.stop.load(Ordering::Acquire);
            self.count_repetitions(clock(), is_stopping);
            while let Some(message) = self.messages.pop() {
                self.bytes.fetch_sub(message.text.len(), Ordering::Relaxed);
                if write(out, &message, is_stamped).is_err() {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.log_losses(out, is_stamped, clock());
            if is_stopping {
                return;
            }
            std::thread::park_timeout(IDLE_LOOK_INTERVAL);
        }
    }

    /// Tells how often something happened again, once its second is over or the process ends.
    fn count_repetitions(&self, now: Duration, is_last: bool) {
        for repetition in &REPETITIONS {
            if let Some(untold) = repetition.overdue(millis(now), is_last) {
                let text = format!("warning: {untold} more messages about {}", repetition.about);
                self.push(Message { at: Some(now), text });
            }
        }
    }

    fn log_losses(&self, out: &mut impl Write, is_stamped: bool, now: Duration) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let text = format!("warning: {lost} messages are lost: standard error did not take them");
        if write(out, &Message { at: Some(now), text }, is_stamped).is_err() {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }
}

impl Repetition {
    const fn new(about: &'static str, pause_ms: u64) -> Repetition {
        Repetition { about, pause_ms, told_ms: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }

    /// Whether a message gets a line now, and how many had none since the last line.
    fn admit(&self, now_ms: u64) -> Option<u64> {
        let told_ms = self.told_ms.load(Ordering::Relaxed);
        // A clock that was set back must not silence anything.
        let is_due = now_ms.abs_diff(told_ms) >= self.pause_ms;
        let (order, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        if is_due && self.told_ms.compare_exchange(told_ms, now_ms, order, failure).is_ok() {
            return Some(self.untold.swap(0, Ordering::Relaxed));
        }
        self.untold.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// How many messages are to be told of as a number, because no further one came.
    fn overdue(&self, now_ms: u64, is_last: bool) -> Option<u64> {
        let is_due = is_last || now_ms.abs_diff(self.told_ms.load(Ordering::Relaxed)) >= self.pause_ms;
        if self.untold.load(Ordering::Relaxed) == 0 || !is_due {
            return None;
        }
        self.told_ms.store(now_ms, Ordering::Relaxed);
        Some(self.untold.swap(0, Ordering::Relaxed)).filter(|untold| *untold > 0)
    }
}

/// Writes a message in one piece, if the system takes it so.
fn write(out: &mut impl Write, message: &Message, is_stamped: bool) -> io::Result<()> {
    let stamp = message.at.filter(|_| is_stamped).map(date::stamp);
    let mut bytes = Vec::with_capacity(message.text.len() + 64);
    for line in message.text.split('\n') {
        if let Some(stamp) = &stamp {
            bytes.extend_from_slice(stamp.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    write_patiently(out, &bytes).map_err(|(_, error)| error)
}

/// Writes all of `bytes`. Where `out` does not block and is full, it is tried again: only threads that
/// have nothing else to do may call this. The error comes with the number of bytes that were taken.
pub(super) fn write_patiently(out: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(FULL_RETRY_INTERVAL)
            }
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(queue: &MessageQueue, is_stamped: bool) -> String {
        queue.stop.store(true, Ordering::Release);
        let mut out = Vec::new();
        queue.run(&mut out, is_stamped, || Duration::from_secs(784_111_778));
        String::from_utf8(out).unwrap()
    }

    fn message(text: &str) -> Message {
        Message { at: Some(Duration::from_millis(784_111_777_905)), text: text.to_owned() }
    }

    #[test]
    fn each_line_has_the_time_unless_it_is_to_be_pasted_or_the_journal_notes_it() {
        let queue = MessageQueue::new();
        queue.push(message("one\ntwo"));
        queue.push(Message { at: None, text: "curl\n  that".to_owned() });
        let expected = "1994-11-06T08:49:37.905Z one\n1994-11-06T08:49:37.905Z two\ncurl\n  that\n";
        assert_eq!(run(&queue, true), expected);
        queue.push(message("one\ntwo"));
        assert_eq!(run(&queue, false), "one\ntwo\n");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told() {
        let queue = MessageQueue::new();
        (0..MAX_WAITING + 7).for_each(|number| queue.push(message(&number.to_string())));
        let text = run(&queue, false);
        assert_eq!(text.lines().count(), MAX_WAITING + 1);
        assert_eq!(
            text.lines().last(),
            Some("warning: 7 messages are lost: standard error did not take them")
        );

        let long = "x".repeat(MAX_WAITING_BYTES);
        queue.push(message(&long));
        queue.push(message("not taken"));
        let text = run(&queue, false);
        assert!(text.starts_with(&long) && text.contains("warning: 1 messages are lost"));
        queue.push(message("taken again"));
        assert_eq!(run(&queue, false), "taken again\n");
    }

    /// Takes nothing until it is told to.
    struct Broken {
        fails: bool,
        taken: Vec<u8>,
    }

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.fails { Err(io::ErrorKind::StorageFull.into()) } else { self.taken.write(bytes) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_could_not_be_written_is_told_when_it_can_be_again() {
        let queue = MessageQueue::new();
        queue.stop.store(true, Ordering::Release);
        let mut out = Broken { fails: true, taken: Vec::new() };
        queue.push(message("one"));
        queue.push(message("two"));
        queue.run(&mut out, false, Duration::default);
        queue.run(&mut out, false, Duration::default);
        out.fails = false;
        queue.run(&mut out, false, Duration::default);
        assert_eq!(out.taken, b"warning: 2 messages are lost: standard error did not take them\n");
    }

    #[test]
    fn repetitions_get_a_line_a_second_and_a_count() {
        let repetition = Repetition::new("something", SECOND_MS);
        let told: Vec<_> = (0..25).map(|tenth| repetition.admit(5_000 + tenth * 100)).collect();
        assert_eq!((told[0], told[10], told[20]), (Some(0), Some(9), Some(9)));
        assert_eq!(told.iter().flatten().count(), 3);
        assert_eq!(repetition.overdue(7_500, false), None);
        assert_eq!(repetition.overdue(8_000, false), Some(4));
        assert_eq!(repetition.overdue(9_500, false), None);
        assert_eq!(repetition.admit(9_600), Some(0));
        repetition.admit(9_700);
        assert_eq!(repetition.overdue(9_701, true), Some(1));
        // Set back by an hour.
        assert_eq!(repetition.admit(9_700 - 3_600), Some(0));
    }

    #[test]
    fn the_journal_is_known_by_its_socket() {
        let own = std::fs::File::from(io::stderr().as_fd().try_clone_to_owned().unwrap()).metadata().unwrap();
        assert!(is_journal(Some(&format!("{}:{}", own.dev(), own.ino()))));
        for other in [None, Some(""), Some("1"), Some("a:b"), Some("0:0")] {
            assert!(!is_journal(other), "{other:?}");
        }
    }
}
