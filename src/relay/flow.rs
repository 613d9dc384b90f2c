//! One direction of a relayed connection.

use std::time::Duration;

use crate::net::buffer::Buffer;
use crate::net::buffer::SMALL_BYTES;
use crate::net::buffer::TINY_BYTES;
use crate::net::socket::Socket;
use crate::net::timer::Deadline;
use crate::relay::pace::FlowPace;
use crate::relay::passed::PassedBytes;
use crate::tls::transport::Transport;
use crate::worker::Worker;

/// Bytes from one side to the other, until the side that they come from ends.
pub(super) struct Flow<'f> {
    pub(super) from: &'f Transport,
    pub(super) to: &'f Transport,
    pub(super) passed: PassedBytes<'f>,
    pub(super) silence: Silence<'f>,
    pub(super) pace: FlowPace,
    pub(super) worker: &'f Worker,
}

/// What bounds the time in which neither side says anything.
#[derive(Clone, Copy)]
pub(super) struct Silence<'f> {
    pub(super) deadline: &'f Deadline,
    pub(super) timeout: Duration,
}

/// Which side broke its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowError {
    /// The one that bytes come from.
    From,
    /// The one that they go to.
    To,
}

/// The room in which the next bytes are received: what came last tells how much. Where a few follow at once, as the last ones
/// did, they are received right away instead of being waited for without a buffer, which spares an operation. More than a tiny buffer is never held by a
/// side that may be silent for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReceiveSize {
    None,
    Tiny,
    Small,
    Large,
}

impl ReceiveSize {
    /// What is to be expected after so many bytes where `most` would have fit.
    fn after(self, count: usize, most: usize) -> ReceiveSize {
        let much = count * 2 > most;
        match self {
            ReceiveSize::Large if count >= SMALL_BYTES / 2 => ReceiveSize::Large,
            ReceiveSize::None | ReceiveSize::Small if much => ReceiveSize::Large,
            _ if much || count >= TINY_BYTES => ReceiveSize::Small,
            _ => ReceiveSize::Tiny,
        }
    }
}

/// How copying ended.
enum Copied {
    /// The side that bytes come from has ended.
    End,
    Much,
}

/// So much has to come in large pieces before the kernel is asked to move bytes: opening a pipe and two more system calls
/// pay off soon.
const SPLICE_AFTER_BYTES: usize = 256 * 1024;

/// Bytes that come within so many ticks of those before came at once.
const HOT_TICKS: u64 = 1;

impl Flow<'_> {
    /// Passes bytes on, first those that are at hand already, and then the end.
    pub(super) async fn run(mut self, first: Option<Buffer>) -> Result<(), FlowError> {
        if let Some(bytes) = first.filter(|bytes| !bytes.is_empty()) {
            self.pass(bytes).await?;
        }
        loop {
            match self.copy().await? {
                Copied::End => break,
                Copied::Much => {}
            }
            if let Some((from, to)) = self.sockets() {
                self.splice(from, to).await?;
            }
        }
        self.to.finish_sending();
        Ok(())
    }

    /// Copies until much came in large pieces.
    async fn copy(&mut self) -> Result<Copied, FlowError> {
        let (mut room, mut spare, mut much) = (ReceiveSize::None, None, 0);
        while much < SPLICE_AFTER_BYTES {
            let waiting_since = self.worker.timers.ticks();
            if room != ReceiveSize::Tiny {
                spare = None;
                // Whatever is wrong shows when something is received.
                let _ = self.from.readable().await;
            }
            let buffer = spare.take().unwrap_or_else(|| self.buffer(room));
            let most = buffer.spare();
            let (received, buffer) = self.from.receive(buffer).await;
            let count = match received {
                Ok(0) => return Ok(Copied::End),
                Ok(count) => count,
                Err(_) => return Err(FlowError::From),
            };
            let came_at_once = self.worker.timers.ticks() - waiting_since <= HOT_TICKS;
            let buffer = self.pass(buffer).await?;
            let next = match room.after(count, most) {
                ReceiveSize::Tiny if !came_at_once => ReceiveSize::None,
                next => next,
            };
            spare = (next == room).then_some(buffer);
            much = if next == ReceiveSize::Large { much + count } else { 0 };
            room = next;
        }
        Ok(Copied::Much)
    }

    /// Lets the kernel move bytes for as long as many come, and nothing else stands against it. Then they are copied again.
    async fn splice(&self, from: &Socket, to: &Socket) -> Result<(), FlowError> {
        from.set_nonblocking().map_err(|_| FlowError::From)?;
        to.set_nonblocking().map_err(|_| FlowError::To)?;
        loop {
            // Whatever is wrong shows when something is received.
            let _ = from.readable().await;
            if self.pace.is_limited(self.worker) {
                return Ok(());
            }
            // It is held no longer than there is something in it: a silent side has none.
            let Some(mut pipe) = self.worker.pipes.take() else { return Ok(()) };
            let count = match pipe.fill(from) {
                // It may be the end, or an urgent byte (RFC 6093) that the kernel stops at: receiving tells.
                Ok(None | Some(0)) => return Ok(()),
                Ok(Some(count)) => count,
                // What broke a connection is told once: whoever receives next would take it for the end.
                Err(_) => return Err(FlowError::From),
            };
            self.silence.begin();
            while !pipe.is_empty() {
                match pipe.empty(to).map_err(|_| FlowError::To)? {
                    Some(moved) => self.passed.add(moved, self.worker.index),
                    None => to.writable().await.map_err(|_| FlowError::To)?,
                }
                self.silence.begin();
            }
            if count < SMALL_BYTES {
                return Ok(());
            }
        }
    }

    /// Both, where bytes can go from one to the other as they are.
    fn sockets(&self) -> Option<(&Socket, &Socket)> {
        match (self.from, self.to) {
            (Transport::Plain(from), Transport::Plain(to)) => Some((from, to)),
            _ => None,
        }
    }

    fn buffer(&self, room: ReceiveSize) -> Buffer {
        let buffers = &self.worker.buffers;
        match room {
            ReceiveSize::None | ReceiveSize::Small => buffers.small(),
            ReceiveSize::Tiny => buffers.tiny(),
            ReceiveSize::Large => buffers.large(),
        }
    }

    /// Sends these bytes on. Returns the buffer, empty.
    async fn pass(&mut self, bytes: Buffer) -> Result<Buffer, FlowError> {
        // Each piece is a sign of life, whichever side it comes from.
        self.silence.begin();
        if let Some(wait) = self.pace.wait_for(bytes.len(), self.worker) {
            wait.await;
            self.silence.begin();
        }
        let count = bytes.len();
        let (sent, mut buffer) = self.to.send(bytes).await;
        sent.map_err(|_| FlowError::To)?;
        self.silence.begin();
        self.passed.add(count, self.worker.index);
        buffer.clear();
        Ok(buffer)
    }
}

impl Silence<'_> {
    /// Counts from now on.
    pub(super) fn begin(self) {
        self.deadline.set(self.timeout);
    }
}
