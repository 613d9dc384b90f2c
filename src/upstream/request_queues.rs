//! One worker's part of the queues of requests that wait for a backend with room.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use crate::net::wait_queue::Wait;
use crate::net::wait_queue::WaitQueue;
use crate::net::wake::Doorbell;
use crate::snapshot::request_queue::QueueState;

/// Those who brought the time of their arrival.
type WaitingLine = Rc<WaitQueue<u64, ()>>;

/// The requests that wait at this worker.
pub struct RequestQueues {
    worker: usize,
    /// What wakes each worker.
    bells: Arc<[Doorbell]>,
    lines: RefCell<Vec<(Arc<QueueState>, WaitingLine)>>,
}

/// A place in the queue of a group, until this is dropped.
pub struct QueuePlace<'q> {
    queues: &'q RequestQueues,
    state: Arc<QueueState>,
    line: WaitingLine,
    /// When the request came.
    since: u64,
}

impl RequestQueues {
    pub fn new(worker: usize, bells: Arc<[Doorbell]>) -> RequestQueues {
        RequestQueues { worker, bells, lines: RefCell::default() }
    }

    /// A place for a request that came at this moment of the clock that all workers share; None if all of `size` are
    /// taken.
    pub fn enter(&self, state: &Arc<QueueState>, size: usize, since: u64) -> Option<QueuePlace<'_>> {
        if !state.enter(size) {
            return None;
        }
        let mut lines = self.lines.borrow_mut();
        let known = lines.iter().find(|(known, _)| Arc::ptr_eq(known, state));
        let line = known.map(|(_, line)| Rc::clone(line)).unwrap_or_else(|| {
            let line = WaitingLine::default();
            lines.push((Arc::clone(state), Rc::clone(&line)));
            line
        });
        Some(QueuePlace { queues: self, state: Arc::clone(state), line, since })
    }

    /// Tells the one who waits longest, at whichever worker, that a backend may have room. That another worker enters
    /// the queue at this very moment may be missed: it looks again with its next tick.
    pub fn room_made(&self, state: &QueueState) {
        match state.next_worker() {
            None => {}
            Some(worker) if worker == self.worker => self.call_first(state),
            Some(other) => {
                if let Some(bell) = self.bells.get(other) {
                    bell.ring();
                }
            }
        }
    }

    /// Lets the first in each queue of this worker look again.
    pub fn call_all(&self) {
        let lines = self.lines.borrow();
        lines.iter().for_each(|(_, line)| line.call_next(()));
    }

    fn call_first(&self, state: &QueueState) {
        let lines = self.lines.borrow();
        if let Some((_, line)) = lines.iter().find(|(known, _)| std::ptr::eq(&**known, state)) {
            line.call_next(());
        }
    }
}

impl QueuePlace<'_> {
    /// Waits to be the first and called; then it is worth looking for a backend. Who was called in vain waits where it
    /// stood.
    pub fn wait(&self, was_called: bool) -> PlaceWait<'_> {
        let wait = if was_called { self.line.wait_again(self.since) } else { self.line.wait(self.since) };
        self.note_first();
        PlaceWait { wait: Some(wait), place: self }
    }

    fn note_first(&self) {
        self.state.note_first(self.queues.worker, self.line.first());
    }
}

/// See [`QueuePlace::wait`]. However it ends, it is noted who is the first then.
pub struct PlaceWait<'p> {
    wait: Option<Wait<'p, u64, ()>>,
    place: &'p QueuePlace<'p>,
}

impl Future for PlaceWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.as_mut().map_or(Poll::Ready(()), |wait| Pin::new(wait).poll(cx))
    }
}

impl Drop for PlaceWait<'_> {
    fn drop(&mut self) {
        // It leaves the queue, or hands its call on.
        self.wait = None;
        self.place.note_first();
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.state.leave();
        if self.line.is_empty() {
            let mut lines = self.queues.lines.borrow_mut();
            // The place itself and the list.
            lines.retain(|(_, line)| !Rc::ptr_eq(line, &self.line) || Rc::strong_count(line) > 2);
        }
    }
}
