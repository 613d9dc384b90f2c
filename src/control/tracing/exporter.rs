//! The thread that sends finished spans to a collector.
//!
//! It collects what the workers hand over and sends it about once a second. A batch that the collector could not take
//! is tried again for a minute, with pauses that grow; meanwhile the queues of the workers fill up, and then spans are
//! dropped and counted there. Nothing ever waits for a collector.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::time::Duration;
use std::time::Instant;

use crate::control::tracing::collector::CollectorAnswer;
use crate::control::tracing::collector::CollectorTarget;
use crate::net::clock::instant_now;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_line;
use crate::telemetry::operator::log_repeatedly;
use crate::telemetry::otlp;
use crate::telemetry::otlp::PartialSuccess;
use crate::telemetry::span_queue::SpanLoss;
use crate::telemetry::span_queue::SpanQueues;

/// How long spans are collected before they are sent.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of spans from which on a batch takes no more. Collectors take requests of some megabytes.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// How long a batch is tried again before it is given up.
const MAX_BATCH_AGE: Duration = Duration::from_secs(60);
/// The first pause after a failure, which doubles with each, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause before spans are sent again to a collector that does not take them.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause that a collector may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// How long the last spans may take at the end.
pub const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(2);

/// Who sends spans, as seen by who says where to.
pub struct SpanExporter {
    queues: Arc<SpanQueues>,
    /// None until there is a collector.
    orders: Option<Sender<Option<CollectorTarget>>>,
}

impl SpanExporter {
    pub fn new(queues: Arc<SpanQueues>) -> SpanExporter {
        SpanExporter { queues, orders: None }
    }

    /// Sends what follows there. The thread begins with the first collector.
    pub fn retarget(&mut self, target: Option<CollectorTarget>) -> io::Result<()> {
        if target.is_none() && self.orders.is_none() {
            return Ok(());
        }
        let orders = match &self.orders {
            Some(orders) => orders,
            None => {
                let (sender, receiver) = mpsc::channel();
                let queues = Arc::clone(&self.queues);
                let thread = std::thread::Builder::new().name("ringway-spans".to_owned());
                thread.spawn(move || Export::new(queues, receiver).run())?;
                self.orders.insert(sender)
            }
        };
        // The thread lives as long as the process.
        let _ = orders.send(target);
        self.queues.wake();
        Ok(())
    }
}

/// Spans that are to be sent together.
struct Batch {
    /// As they are sent.
    bytes: Vec<u8>,
    count: u64,
    /// None: it was not tried yet.
    failed_first: Option<Instant>,
}

struct Export {
    queues: Arc<SpanQueues>,
    orders: Receiver<Option<CollectorTarget>>,
    target: Option<CollectorTarget>,
    batch: Batch,
    /// The pause after the next failure.
    pause: Duration,
    /// The collector has failed since spans were taken last.
    is_failing: bool,
}

/// What became of a batch.
enum Outcome {
    /// Done with, be it that spans were taken or refused.
    Settled,
    /// To be tried again after this time.
    Later(Duration),
}

impl Export {
    fn new(queues: Arc<SpanQueues>, orders: Receiver<Option<CollectorTarget>>) -> Export {
        let batch = Batch { bytes: Vec::new(), count: 0, failed_first: None };
        Export { queues, orders, target: None, batch, pause: FIRST_PAUSE, is_failing: false }
    }

    fn run(mut self) {
        self.queues.listen();
        let mut not_before = instant_now();
        loop {
            // Read before anything else, so that spans handed over before the stop are sent.
            let is_stopping = self.queues.is_stopping();
            if let Some(target) = self.orders.try_iter().last() {
                self.target = target;
                self.pause = FIRST_PAUSE;
                not_before = instant_now();
            }
            if is_stopping {
                self.send_last();
                return self.queues.finish();
            }
            if instant_now() >= not_before && self.has_work() {
                match self.send(None) {
                    Outcome::Settled if self.queues.is_empty() => {}
                    // One batch between two looks at what is ordered, so that a busy collector holds no order up.
                    Outcome::Settled => continue,
                    Outcome::Later(pause) => not_before = instant_now() + pause,
                }
            }
            self.wait(not_before);
        }
    }

    /// Waits for the time of the next batch, or of the next try. A full chunk ends that, and so does a stop.
    fn wait(&self, not_before: Instant) {
        let until_next_try = not_before.saturating_duration_since(instant_now());
        std::thread::park_timeout(if self.batch.count > 0 { until_next_try } else { BATCH_INTERVAL });
    }

    /// Whether there is something to send.
    fn has_work(&mut self) -> bool {
        if self.batch.count == 0 {
            self.batch.bytes.clear();
            self.batch.failed_first = None;
            self.batch.count = self.queues.take(MAX_BATCH_BYTES, &mut self.batch.bytes);
        }
        self.batch.count > 0
    }

    /// Sends what is left, as far as the time allows.
    fn send_last(&mut self) {
        let end = instant_now() + LAST_SPANS_TIMEOUT;
        while self.has_work() {
            let left = end.saturating_duration_since(instant_now());
            if left.is_zero() || matches!(self.send(Some(left)), Outcome::Later(_)) {
                self.lose(SpanLoss::Unavailable);
                return;
            }
        }
    }

    /// Sends the batch, within `most` if that is shorter than the collector's own time.
    fn send(&mut self, most: Option<Duration>) -> Outcome {
        let Some(target) = &self.target else {
            self.lose(SpanLoss::Unavailable);
            return Outcome::Settled;
        };
        let mut message = Vec::new();
        let resource: Vec<_> = target.resource.iter().map(|(key, value)| (*key, value.as_str())).collect();
        otlp::write_request(&resource, &self.batch.bytes, &mut message);
        let timeout = most.map_or(target.timeout, |most| most.min(target.timeout));
        let answer = target.post(&message, timeout);
        let url = target.url.authority();
        match answer {
            Ok(CollectorAnswer { status: 200..=299, content, .. }) => {
                self.taken(&otlp::read_response(&content), &url)
            }
            // "The request is retryable" (OTLP, "Retryable Response Codes").
            Ok(CollectorAnswer { status: status @ (429 | 502 | 503 | 504), retry_after, .. }) => {
                self.retry(retry_after, &format!("it answers with {status}"), &url)
            }
            Ok(CollectorAnswer { status, .. }) => {
                let count = self.lose(SpanLoss::Refused);
                log_repeatedly(MessageKind::Spans, || {
                    format!("warning: the collector at {url} refuses {count} spans: it answers with {status}")
                });
                Outcome::Settled
            }
            Err(reason) => self.retry(None, &reason, &url),
        }
    }

    /// The collector has taken the batch, or some of it.
    fn taken(&mut self, told: &PartialSuccess, url: &str) -> Outcome {
        let rejected = told.rejected_spans.min(self.batch.count);
        self.queues.count_exported(self.batch.count - rejected);
        self.batch.count = rejected;
        self.lose(SpanLoss::Refused);
        if rejected > 0 || !told.message.is_empty() {
            let message = told.message.escape_debug();
            log_repeatedly(MessageKind::Spans, || {
                format!("warning: the collector at {url} rejects {rejected} spans and says \"{message}\"")
            });
        }
        if std::mem::take(&mut self.is_failing) {
            log_line(&format!("the collector at {url} takes spans again"));
        }
        self.pause = FIRST_PAUSE;
        Outcome::Settled
    }

    /// The collector could not take the batch for now.
    fn retry(&mut self, retry_after: Option<Duration>, reason: &str, url: &str) -> Outcome {
        self.is_failing = true;
        let now = instant_now();
        let failed_first = *self.batch.failed_first.get_or_insert(now);
        log_repeatedly(MessageKind::Spans, || {
            format!(
                "warning: the collector at {url} takes no spans: {reason}; they are tried again for a minute"
            )
        });
        if now.saturating_duration_since(failed_first) >= MAX_BATCH_AGE {
            self.lose(SpanLoss::Unavailable);
        }
        // A collector may ask for longer pauses, but not for shorter ones: `Retry-After: 0` would keep it and this
        // thread busy.
        let pause = self.pause.max(retry_after.map_or(Duration::ZERO, |asked| asked.min(MAX_RETRY_AFTER)));
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Outcome::Later(pause)
    }

    /// Gives the batch up; returns how many spans that are.
    fn lose(&mut self, loss: SpanLoss) -> u64 {
        let count = std::mem::take(&mut self.batch.count);
        self.queues.count_lost(count, loss);
        count
    }
}
