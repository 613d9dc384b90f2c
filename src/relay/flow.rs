//! One direction of a relayed connection.

use std::time::Duration;

use crate::net::buffer::Buffer;
use crate::net::buffer::SMALL_BYTES;
use crate::net::buffer::TINY_BYTES;
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

/// The room in which the next bytes are received. Where a few follow at once, as the last ones did, they are received right
/// away instead of being waited for without a buffer, which spares an operation. More than a tiny buffer is never held by a
/// side that may be silent for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReceiveSize {
    None,
    Tiny,
    Small,
    Large,
}

impl ReceiveSize {
    /// What is to be expected after so many bytes that came at once where `most` would have fit.
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

/// Bytes that come within so many ticks of those before came at once.
const HOT_TICKS: u64 = 1;

impl Flow<'_> {
    /// Passes bytes on, first those that are at hand already, and then the end.
    pub(super) async fn run(mut self, first: Option<Buffer>) -> Result<(), FlowError> {
        let mut room = ReceiveSize::None;
        let mut spare = None;
        if let Some(bytes) = first.filter(|bytes| !bytes.is_empty()) {
            self.pass(bytes).await?;
        }
        loop {
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
                Ok(0) => break,
                Ok(count) => count,
                Err(_) => return Err(FlowError::From),
            };
            let came_at_once = self.worker.timers.ticks() - waiting_since <= HOT_TICKS;
            let buffer = self.pass(buffer).await?;
            let next = if came_at_once { room.after(count, most) } else { ReceiveSize::None };
            spare = (next == room).then_some(buffer);
            room = next;
        }
        self.to.finish_sending();
        Ok(())
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
