//! A worker's side of the access log.

use std::cell::Cell;
use std::cell::RefCell;

use arrayvec::ArrayVec;

use crate::telemetry::access_log::Format;
use crate::telemetry::access_log::Line;
use crate::telemetry::date::Dates;
use crate::telemetry::log_writer::LogQueue;
use crate::telemetry::record::Ending;
use crate::telemetry::record::MAX_ATTEMPTS;
use crate::telemetry::record::Record;
use crate::telemetry::record::RecordedAttempt;
use crate::telemetry::record::RecordedNames;
use crate::telemetry::record::RequestFacts;
use crate::telemetry::record::RequestId;
use crate::telemetry::record::TlsFacts;

/// A worker's side of the access log.
pub struct AccessLog {
    format: Format,
    pub queue: RefCell<LogQueue>,
    /// Memory of lines that are not being written.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept, an exchange holds one by its pointer")]
    spare_lines: RefCell<Vec<Box<PendingLogLine>>>,
    /// Chosen at random when the process starts.
    process: u64,
    /// Counts the lines.
    sequence: Cell<u64>,
    /// Of requests whose rule does not say it: how many of a million have a line.
    sample: u32,
    /// State of the generator that chooses them.
    draws: Cell<u64>,
}

/// Memory of lines that is kept for the next ones: what a steady load needs, and at most 2 MiB.
const KEPT_LINE_BYTES: usize = 2 * 1024;
const KEPT_LINES: usize = 1024;

/// A log line, begun when its request came, and what only a line tells.
#[derive(Default)]
pub struct PendingLogLine {
    line: Line,
    pub attempts: ArrayVec<RecordedAttempt, MAX_ATTEMPTS>,
    /// None where lines tell nothing of it.
    pub sent: Option<Box<SentFields>>,
}

/// What a line tells of the fields that its response was sent with.
#[derive(Default)]
pub struct SentFields {
    bytes: Vec<u8>,
}

impl AccessLog {
    /// `sample`: how many requests of a million have a line.
    pub fn new((format, sample): (Format, u32), queue: LogQueue, process: u64) -> AccessLog {
        AccessLog {
            format,
            queue: RefCell::new(queue),
            spare_lines: RefCell::default(),
            process,
            sequence: Cell::new(0),
            sample,
            draws: Cell::new(process),
        }
    }

    /// What lines tell of their TLS connection, made once for all of them.
    pub fn tls_fields(&self, facts: &TlsFacts<'_>) -> Vec<u8> {
        self.format.tls_fields(facts)
    }

    /// Whether lines tell the round-trip time, which costs a system call.
    pub fn tells_rtt(&self) -> bool {
        self.format.tells_rtt()
    }

    /// Whether lines tell what certificates of clients say.
    pub fn tells_certificate(&self) -> bool {
        self.format.tells_certificate()
    }

    /// Whether lines tell the user of Basic authentication.
    pub fn tells_user(&self) -> bool {
        self.format.tells_user()
    }

    /// Begins the line of a request in memory that an earlier one left.
    pub fn begin_line(&self, request: &RequestFacts<'_>, dates: &Dates) -> Box<PendingLogLine> {
        let mut pending = self.spare_lines.borrow_mut().pop().unwrap_or_default();
        let bytes = std::mem::take(&mut pending.line).into_bytes();
        pending.line = self.format.begin(bytes, request, dates);
        pending.attempts.clear();
        if self.format.tells_sent() {
            pending.sent.get_or_insert_default().bytes.clear();
        }
        pending
    }

    /// Notes what the line tells of the fields that its response is sent with, in the place of an earlier response.
    pub fn note_sent<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        length: Option<u64>,
        sent: &mut SentFields,
    ) {
        sent.bytes.clear();
        self.format.sent_fields(fields, length, &mut sent.bytes);
    }

    /// Chooses at random whether a request is one of so many of a million; None: of those that the log has.
    pub fn samples(&self, millionths: Option<u32>) -> bool {
        const MILLION: u32 = 1_000_000;
        let millionths = millionths.unwrap_or(self.sample);
        if millionths >= MILLION {
            return true;
        }
        // SplitMix64: what is chosen need not be a secret, but must not follow a pattern of the requests.
        let state = self.draws.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.draws.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % u64::from(MILLION) < u64::from(millionths)
    }

    /// Puts the line of an exchange that is over into the queue.
    pub fn end_line(
        &self,
        pending: Box<PendingLogLine>,
        record: &Record,
        names: RecordedNames<'_>,
        worker: usize,
    ) {
        let sequence = self.sequence.replace(self.sequence.get() + 1);
        // The configuration allows 1024 workers.
        let id = RequestId { process: self.process, worker: worker as u16, sequence };
        let sent = pending.sent.as_ref().map_or(&[][..], |sent| &sent.bytes);
        let ending = Ending { id, record, names, sent };
        self.queue.borrow_mut().append(|out| self.format.end(&pending.line, &ending, out));
        self.keep(pending);
    }

    /// Keeps the memory of a line that is written or not to be written, unless it is unusually large.
    pub fn keep(&self, pending: Box<PendingLogLine>) {
        let mut spare_lines = self.spare_lines.borrow_mut();
        let sent_bytes = pending.sent.as_ref().map_or(0, |sent| sent.bytes.capacity());
        if pending.line.capacity() + sent_bytes <= KEPT_LINE_BYTES && spare_lines.len() < KEPT_LINES {
            spare_lines.push(pending);
        }
    }
}
