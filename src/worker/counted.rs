//! What a worker counts for as long as it is held: connections, buffers, encoders.

use std::rc::Rc;

use crate::snapshot::Listener;
use crate::worker::Worker;

/// Responses that a worker compresses at a time. Each takes up to 2.2 MiB for as long as its client
/// takes to receive it; what comes beyond is sent as it is.
const MAX_ENCODERS: usize = 64;

/// Connections that wait for their next request with a buffer of 8 KiB, on one worker: 8 MiB.
const MAX_WAITING_BUFFERS: usize = 1024;

/// A connection that counts against the quotas of process and listener.
pub struct CountedConnection {
    worker: Rc<Worker>,
    listener: usize,
}

impl CountedConnection {
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// The listener's slot.
    pub fn listener(&self) -> usize {
        self.listener
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.worker.counters.closed(self.worker.index);
        self.worker.quota.release();
        // A listener stays in the snapshot for as long as it has connections.
        if let Some(listener) = self.worker.snapshot().listener(self.listener) {
            listener.connections.release();
        }
    }
}

/// A connection that waits with a buffer.
pub struct CountedBuffer<'w> {
    worker: &'w Worker,
}

impl Drop for CountedBuffer<'_> {
    fn drop(&mut self) {
        self.worker.waiting_buffers.set(self.worker.waiting_buffers.get() - 1);
    }
}

/// A response that is being compressed.
pub struct CountedEncoder<'w> {
    worker: &'w Worker,
}

impl Drop for CountedEncoder<'_> {
    fn drop(&mut self) {
        self.worker.encoders.set(self.worker.encoders.get() - 1);
    }
}

impl Worker {
    /// Counts a connection of the listener with this index, which was accepted against the quotas,
    /// until what is returned is dropped.
    pub fn connection_opened(self: &Rc<Worker>, listener: usize) -> CountedConnection {
        self.counters.opened(self.index);
        CountedConnection { worker: Rc::clone(self), listener }
    }

    /// Counts one more against the quotas of process and listener, until what is returned is dropped; None: one of them is
    /// used up.
    pub fn count_connection(self: &Rc<Worker>, listener: &Listener) -> Option<CountedConnection> {
        if !self.quota.acquire() {
            return None;
        }
        if !listener.connections.acquire() {
            self.quota.release();
            return None;
        }
        Some(self.connection_opened(listener.slot))
    }

    /// Counts a connection that waits with a buffer, until what is returned is dropped; none beyond the limit.
    pub fn count_waiting_buffer(&self) -> Option<CountedBuffer<'_>> {
        let count = self.waiting_buffers.get();
        (count < MAX_WAITING_BUFFERS).then(|| {
            self.waiting_buffers.set(count + 1);
            CountedBuffer { worker: self }
        })
    }

    /// Whether one more response may be compressed.
    pub fn has_encoder_left(&self) -> bool {
        self.encoders.get() < MAX_ENCODERS
    }

    /// Counts a response that is compressed, until what is returned is dropped.
    pub fn count_encoder(&self) -> CountedEncoder<'_> {
        self.encoders.set(self.encoders.get() + 1);
        CountedEncoder { worker: self }
    }
}
