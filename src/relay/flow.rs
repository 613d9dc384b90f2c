//! One direction of a relayed connection.

use std::cell::Cell;

use crate::net::buffer::Buffer;
use crate::net::buffer::SMALL_BYTES;
use crate::net::socket::Socket;
use crate::relay::client::ClientConnection;
use crate::relay::end::SessionEnd;
use crate::relay::pace;
use crate::relay::record::SessionRecord;
use crate::relay::silence::Silence;
use crate::snapshot::bandwidth::Direction;
use crate::telemetry::relay_counters::RelayCounters;
use crate::tls::transport::Transport;
use crate::worker::Worker;

/// Bytes from one side to the other, until the side that they come from ends.
///
/// A side that is silent is waited for without a buffer, and whatever is over soon is boxed: most connections are idle most
/// of the time. What has come is received by a system call. An operation of the ring that waits with a buffer costs as much,
/// and the buffer would stay with a side that falls silent.
pub(super) struct Flow<'f> {
    pub(super) direction: Direction,
    pub(super) terms: &'f FlowTerms<'f>,
}

/// What both directions of a connection have in common.
pub(super) struct FlowTerms<'f> {
    pub(super) client: &'f ClientConnection,
    pub(super) backend: &'f Transport,
    pub(super) silence: Silence<'f>,
    pub(super) record: &'f SessionRecord,
    /// Of all connections that go the same way, some of which last for days. None: nothing is counted.
    pub(super) counters: Option<&'f RelayCounters>,
    pub(super) course: &'f Course,
    pub(super) worker: &'f Worker,
}

/// How far both directions have come.
#[derive(Default)]
pub(super) struct Course {
    pub(super) up: FlowState,
    pub(super) down: FlowState,
}

#[derive(Default)]
pub(super) struct FlowState {
    pub(super) has_ended: Cell<bool>,
    /// Nothing is at hand, and nothing under way.
    is_waiting: Cell<bool>,
}

impl Course {
    fn of(&self, direction: Direction) -> &FlowState {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Whether nothing would be lost if both directions were taken up anew.
    pub(super) fn is_silent(&self) -> bool {
        [&self.up, &self.down].iter().all(|state| state.has_ended.get() || state.is_waiting.get())
    }
}

/// So much has to come in large pieces before the kernel is asked to move bytes: opening a pipe and two more system calls
/// pay off soon.
const SPLICE_AFTER_BYTES: usize = 256 * 1024;

/// What goes into the first segment on any path (RFC 9293 §3.7.1), and so is sent at once in any case.
const FIRST_SEGMENT: usize = 536;

impl Flow<'_> {
    /// Passes bytes on, first those that are at hand already, and then the end. It can be given up while it waits, and
    /// begun again.
    pub(super) async fn run(&self, first: Option<Buffer>) -> Result<(), SessionEnd> {
        let state = self.terms.course.of(self.direction);
        state.is_waiting.set(false);
        if state.has_ended.get() {
            return Ok(());
        }
        // What came last tells how much is to be expected.
        let (mut next, mut is_much, mut much_bytes) = (first, false, 0);
        // Clients' connections are set so by the listening socket.
        let (mut sends_at_once, mut is_second) = (self.direction == Direction::Down, false);
        // What a client says first is there mostly by the time that its backend is connected to.
        let mut is_expected = self.direction == Direction::Up;
        loop {
            if let Some(bytes) = next.take() {
                if !sends_at_once && (is_second || bytes.len() > FIRST_SEGMENT) {
                    self.to().socket().send_at_once();
                    sends_at_once = true;
                }
                is_second = true;
                Box::pin(self.pass(bytes)).await?;
                is_expected = false;
            }
            if !std::mem::take(&mut is_expected) && self.from().is_silent() {
                self.wait_for(self.from().socket()).await;
            }
            if much_bytes >= SPLICE_AFTER_BYTES
                && let Some((from, to)) = self.sockets()
            {
                Box::pin(self.splice(from, to)).await?;
                much_bytes = 0;
            }
            let Some(bytes) = self.receive(is_much).await? else { continue };
            let count = bytes.len();
            if count == 0 {
                self.finish();
                return Ok(());
            }
            is_much = count >= SMALL_BYTES / 2;
            much_bytes = if is_much { much_bytes + count } else { 0 };
            next = Some(bytes);
        }
    }

    /// Waits until something comes. Whatever is wrong shows when it is received.
    async fn wait_for(&self, from: &Socket) {
        let state = self.terms.course.of(self.direction);
        state.is_waiting.set(true);
        let _ = from.readable().await;
        state.is_waiting.set(false);
    }

    /// What has come, which is empty at the end; None: nothing, after all.
    async fn receive(&self, is_much: bool) -> Result<Option<Buffer>, SessionEnd> {
        let buffers = &self.terms.worker.buffers;
        let mut buffer = if is_much { buffers.large() } else { buffers.small() };
        let received = match self.from() {
            Transport::Plain(socket) => socket.receive_now(&mut buffer),
            Transport::Tls(stream) => {
                let (received, returned) = Box::pin(stream.receive(buffer)).await;
                buffer = returned;
                received.map(Some)
            }
        };
        match received {
            Ok(Some(_)) => Ok(Some(buffer)),
            Ok(None) => Ok(None),
            Err(_) => Err(self.end_of_source()),
        }
    }

    /// Lets the kernel move bytes for as long as many come, and nothing else stands against it. Then they are copied again.
    async fn splice(&self, from: &Socket, to: &Socket) -> Result<(), SessionEnd> {
        let FlowTerms { silence, client, worker, .. } = self.terms;
        from.set_nonblocking().map_err(|_| self.end_of_source())?;
        to.set_nonblocking().map_err(|_| self.end_of_target())?;
        loop {
            self.wait_for(from).await;
            if pace::is_limited(client, worker) {
                return Ok(());
            }
            // It is held no longer than there is something in it: a silent side has none.
            let Some(mut pipe) = worker.pipes.take() else { return Ok(()) };
            let count = match pipe.fill(from) {
                // It may be the end, or an urgent byte (RFC 6093) that the kernel stops at: receiving tells.
                Ok(None | Some(0)) => return Ok(()),
                Ok(Some(count)) => count,
                // What broke a connection is told once: whoever receives next would take it for the end.
                Err(_) => return Err(self.end_of_source()),
            };
            silence.begin();
            while !pipe.is_empty() {
                match pipe.empty(to).map_err(|_| self.end_of_target())? {
                    Some(moved) => self.count(moved),
                    None => to.writable().await.map_err(|_| self.end_of_target())?,
                }
                silence.begin();
            }
            if count < SMALL_BYTES {
                return Ok(());
            }
        }
    }

    fn from(&self) -> &Transport {
        match self.direction {
            Direction::Up => &self.terms.client.transport,
            Direction::Down => self.terms.backend,
        }
    }

    fn to(&self) -> &Transport {
        match self.direction {
            Direction::Up => self.terms.backend,
            Direction::Down => &self.terms.client.transport,
        }
    }

    /// Both, where bytes can go from one to the other as they are.
    fn sockets(&self) -> Option<(&Socket, &Socket)> {
        match (self.from(), self.to()) {
            (Transport::Plain(from), Transport::Plain(to)) => Some((from, to)),
            _ => None,
        }
    }

    /// Sends these bytes on.
    async fn pass(&self, bytes: Buffer) -> Result<(), SessionEnd> {
        let FlowTerms { silence, client, worker, .. } = self.terms;
        // Each piece is a sign of life, whichever side it comes from.
        silence.begin();
        let count = bytes.len();
        if let Some(wait) = pace::wait_for((count, self.direction), client, worker) {
            wait.await;
            silence.begin();
        }
        let (sent, bytes) = match self.to() {
            Transport::Plain(socket) => socket.send(bytes).await,
            Transport::Tls(stream) => Box::pin(stream.send(bytes)).await,
        };
        drop(bytes);
        sent.map_err(|_| self.end_of_target())?;
        silence.begin();
        self.count(count);
        Ok(())
    }

    /// Passes the end on. Where it is the second one, both connections are closed at once, which tells the same and more
    /// cheaply, except in TLS.
    fn finish(&self) {
        let Course { up, down } = self.terms.course;
        self.terms.course.of(self.direction).has_ended.set(true);
        let is_second = up.has_ended.get() && down.has_ended.get();
        if !is_second || self.to().is_tls() {
            self.to().finish_sending();
        }
    }

    fn count(&self, bytes: usize) {
        let FlowTerms { record, counters, worker, .. } = self.terms;
        let total = match self.direction {
            Direction::Up => &record.received,
            Direction::Down => &record.sent,
        };
        total.set(total.get() + bytes as u64);
        match (counters, self.direction) {
            (Some(counters), Direction::Up) => counters.received(worker.index, bytes),
            (Some(counters), Direction::Down) => counters.sent(worker.index, bytes),
            (None, _) => {}
        }
    }

    /// The side is broken that bytes come from.
    fn end_of_source(&self) -> SessionEnd {
        match self.direction {
            Direction::Up => SessionEnd::ClientReset,
            Direction::Down => SessionEnd::BackendReset,
        }
    }

    /// The one that they go to is.
    fn end_of_target(&self) -> SessionEnd {
        match self.direction {
            Direction::Up => SessionEnd::BackendReset,
            Direction::Down => SessionEnd::ClientReset,
        }
    }
}
