//! A worker's side of the access logs.

use std::cell::Cell;
use std::cell::RefCell;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::telemetry::access_log::Format;
use crate::telemetry::date::Dates;
use crate::telemetry::log_filter::LogFilter;
use crate::telemetry::log_set::LogSet;
use crate::telemetry::log_set::MAX_ACCESS_LOGS;
use crate::telemetry::log_text::take_run;
use crate::telemetry::log_text::write_run;
use crate::telemetry::log_writer::LogQueue;
use crate::telemetry::record::Ending;
use crate::telemetry::record::MAX_ATTEMPTS;
use crate::telemetry::record::Record;
use crate::telemetry::record::RecordedAttempt;
use crate::telemetry::record::RecordedNames;
use crate::telemetry::record::RequestFacts;
use crate::telemetry::record::RequestId;
use crate::telemetry::record::TlsFacts;

/// A worker's side of all access logs.
pub struct AccessLogs {
    logs: Box<[AccessLog]>,
    /// Memory of lines that are not being written.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept, an exchange holds one by its pointer")]
    spare_lines: RefCell<Vec<Box<PendingLogLines>>>,
    /// Chosen at random when the process starts.
    process: u64,
    /// Counts the requests that have lines.
    sequence: Cell<u64>,
    /// State of the generator that chooses samples.
    draws: Cell<u64>,
    telling: Telling,
}

/// A worker's side of one access log.
pub struct AccessLog {
    pub format: Format,
    pub filter: LogFilter,
    pub queue: RefCell<LogQueue>,
}

/// Which logs tell what costs something.
struct Telling {
    rtt: LogSet,
    sent: LogSet,
    certificate: bool,
    user: bool,
}

/// Memory of lines that is kept for the next ones: what a steady load needs, and at most 2 MiB for each log.
const KEPT_LINE_BYTES: usize = 2 * 1024;
const KEPT_LINES: usize = 1024;

/// The lines of a request, begun when it came, and what only lines tell.
#[derive(Default)]
pub struct PendingLogLines {
    /// What formats began, one line behind the other.
    bytes: Vec<u8>,
    logs: LogSet,
    begun: ArrayVec<BegunLine, MAX_ACCESS_LOGS>,
    pub attempts: ArrayVec<RecordedAttempt, MAX_ATTEMPTS>,
    /// How long it took the last attempt to get a connection; None until it has one.
    pub connect_time: Option<Duration>,
    /// None where no line tells anything of it.
    pub sent: Option<Box<SentFields>>,
}

/// A line that was begun, for the log with this index.
struct BegunLine {
    log: u8,
    /// See [`Format::begin`].
    gap: u32,
    /// Where in the bytes it ends.
    end: u32,
}

/// What lines tell of the fields that their response was sent with.
#[derive(Default)]
pub struct SentFields {
    /// Of these logs.
    logs: LogSet,
    /// A run for each of them; nothing without a response.
    bytes: Vec<u8>,
    /// The same of what a backend sent.
    upstream: Vec<u8>,
}

impl AccessLogs {
    /// `process`: a number that another process is unlikely to have.
    pub fn new(logs: Vec<AccessLog>, process: u64) -> AccessLogs {
        let telling = Telling {
            rtt: LogSet::of(logs.iter().map(|log| log.format.tells_rtt())),
            sent: LogSet::of(logs.iter().map(|log| log.format.tells_sent())),
            certificate: logs.iter().any(|log| log.format.tells_certificate()),
            user: logs.iter().any(|log| log.format.tells_user()),
        };
        AccessLogs {
            logs: logs.into(),
            spare_lines: RefCell::default(),
            process,
            sequence: Cell::new(0),
            draws: Cell::new(process),
            telling,
        }
    }

    /// What lines tell of their TLS connection, made once for all of them.
    pub fn tls_fields(&self, facts: &TlsFacts<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        // Of all logs: which of them a listener writes to can change while a connection lasts.
        self.logs.iter().for_each(|log| write_run(&mut out, |out| log.format.tls_fields(facts, out)));
        out
    }

    /// Whether one of these lines tells the round-trip time, which costs a system call.
    pub fn tells_rtt(&self, lines: &PendingLogLines) -> bool {
        self.telling.rtt.has_any(lines.logs)
    }

    /// Whether lines tell what certificates of clients say.
    pub fn tells_certificate(&self) -> bool {
        self.telling.certificate
    }

    /// Whether lines tell the user of Basic authentication.
    pub fn tells_user(&self) -> bool {
        self.telling.user
    }

    /// Begins the lines of a request for these logs, in memory that an earlier one left. `tls` is what
    /// [`AccessLogs::tls_fields`] made; empty in cleartext. None if there is no log among these.
    pub fn begin(
        &self,
        wanted: LogSet,
        request: &RequestFacts<'_>,
        mut tls: &[u8],
        dates: &Dates,
    ) -> Option<Box<PendingLogLines>> {
        if wanted.is_empty() {
            return None;
        }
        let mut pending = self.spare_lines.borrow_mut().pop().unwrap_or_default();
        let PendingLogLines { bytes, logs, begun, attempts, connect_time, sent } = &mut *pending;
        *logs = wanted;
        *connect_time = None;
        bytes.clear();
        begun.clear();
        attempts.clear();
        for (index, log) in self.logs.iter().enumerate() {
            let tls = take_run(&mut tls);
            if wanted.has(index) {
                let gap = log.format.begin(bytes, request, tls, dates);
                // There is room for the lines of all logs, and they are far shorter than 4 GiB.
                let line = BegunLine { log: index as u8, gap: gap as u32, end: bytes.len() as u32 };
                let _ = begun.try_push(line);
            }
        }
        if self.telling.sent.has_any(wanted) {
            let sent = sent.get_or_insert_default();
            sent.logs = wanted;
            sent.bytes.clear();
            sent.upstream.clear();
        } else {
            *sent = None;
        }
        Some(pending)
    }

    /// Notes what lines tell of the fields that their response is sent with, in the place of an earlier response.
    pub fn note_sent<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        length: Option<u64>,
        sent: &mut SentFields,
    ) {
        sent.bytes.clear();
        for (index, log) in self.logs.iter().enumerate() {
            if sent.logs.has(index) && self.telling.sent.has(index) {
                write_run(&mut sent.bytes, |out| log.format.sent_fields(fields.clone(), length, out));
            }
        }
    }

    /// Notes what lines tell of the fields that a backend sent, in the place of an earlier response.
    pub fn note_upstream<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        sent: &mut SentFields,
    ) {
        sent.upstream.clear();
        for (index, log) in self.logs.iter().enumerate() {
            if sent.logs.has(index) && self.telling.sent.has(index) {
                write_run(&mut sent.upstream, |out| log.format.upstream_fields(fields.clone(), out));
            }
        }
    }

    /// The logs that get their lines of a request that ended with this status. `sample` is what its rule says: how many of
    /// a million are told.
    pub fn choose(&self, lines: &PendingLogLines, status: u16, sample: Option<u32>) -> LogSet {
        let mut chosen = self.choose_whole(lines, status);
        // Failures of servers are never left out of a sample.
        if (1..500).contains(&status) {
            self.draw(&mut chosen, sample);
        }
        chosen
    }

    /// The same where no sample is taken.
    pub fn choose_whole(&self, lines: &PendingLogLines, status: u16) -> LogSet {
        let logs = self.logs.iter().enumerate();
        LogSet::of(logs.map(|(index, log)| lines.logs.has(index) && log.filter.has(status)))
    }

    /// Leaves out the logs for which a request is not one of the sample. There is one draw for all of them, so that a log
    /// with few requests has those of them that one with more requests has, too.
    fn draw(&self, chosen: &mut LogSet, sample: Option<u32>) {
        const MILLION: u32 = 1_000_000;
        let of = |log: &AccessLog| sample.unwrap_or(log.filter.sample_millionths);
        if self.logs.iter().all(|log| of(log) >= MILLION) {
            return;
        }
        // SplitMix64: what is chosen need not be a secret, but must not follow a pattern of the requests.
        let state = self.draws.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.draws.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = (mixed ^ (mixed >> 31)) % u64::from(MILLION);
        for (index, log) in self.logs.iter().enumerate() {
            if drawn >= u64::from(of(log)) {
                chosen.remove(index);
            }
        }
    }

    /// Puts the lines of an exchange that is over into the queues of these logs.
    pub fn end(
        &self,
        (pending, chosen): (Box<PendingLogLines>, LogSet),
        record: &Record,
        names: RecordedNames<'_>,
        worker: usize,
    ) {
        let sequence = self.sequence.replace(self.sequence.get() + 1);
        // The configuration allows 1024 workers.
        let id = RequestId { process: self.process, worker: worker as u16, sequence };
        let mut sent = pending.sent.as_ref().map_or(&[][..], |sent| &sent.bytes);
        let mut upstream = pending.sent.as_ref().map_or(&[][..], |sent| &sent.upstream);
        let mut start = 0;
        for &BegunLine { log: index, gap, end } in &pending.begun {
            let begun = pending.bytes.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            let index = usize::from(index);
            let (sent, upstream) = match self.telling.sent.has(index) {
                true => (take_run(&mut sent), take_run(&mut upstream)),
                false => (&b""[..], &b""[..]),
            };
            let Some(log) = self.logs.get(index).filter(|_| chosen.has(index)) else { continue };
            let ending = Ending { id, record, names, sent, upstream };
            log.queue.borrow_mut().append(|out| log.format.end((begun, gap as usize), &ending, out));
        }
        self.keep(pending);
    }

    /// Keeps the memory of lines that are written or not to be written, unless it is unusually large.
    pub fn keep(&self, pending: Box<PendingLogLines>) {
        let mut spare_lines = self.spare_lines.borrow_mut();
        let sent_bytes =
            pending.sent.as_ref().map_or(0, |sent| sent.bytes.capacity() + sent.upstream.capacity());
        let kept_bytes = KEPT_LINE_BYTES * self.logs.len();
        if pending.bytes.capacity() + sent_bytes <= kept_bytes && spare_lines.len() < KEPT_LINES {
            spare_lines.push(pending);
        }
    }

    /// Hands lines over to the writers; to be called at each tick and before the worker ends.
    pub fn hand_over(&self) {
        self.logs.iter().for_each(|log| log.queue.borrow_mut().hand_over());
    }
}
