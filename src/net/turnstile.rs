//! Costly steps, a bounded share per turn of the loop, so that they cannot starve everything else.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::task::Waker;

use crate::net::task;
use crate::net::wake::Pause;

/// Lets tasks pass until their steps cost `per_turn`; then a turn of the loop, with its input and
/// output, comes first. Whoever waits passes in the order of arrival.
pub struct Turnstile {
    inner: Rc<Inner>,
}

struct Inner {
    per_turn: usize,
    /// What steps may still cost before the next turn.
    left: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Ticket>>>,
    /// A task is at work that lets the queue pass.
    reopening: Cell<bool>,
    pause: Pause,
}

/// A place in the queue.
struct Ticket {
    cost: usize,
    may_pass: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Turnstile {
    /// To be called on the worker's thread.
    pub fn new(per_turn: usize) -> io::Result<Turnstile> {
        let inner = Inner {
            per_turn,
            left: Cell::new(per_turn),
            queue: RefCell::default(),
            reopening: Cell::new(false),
            pause: Pause::new()?,
        };
        Ok(Turnstile { inner: Rc::new(inner) })
    }

    /// Waits until a step of this cost may be taken. A future that is dropped gives its place up.
    pub async fn pass(&self, cost: usize) {
        let left = self.inner.left.get();
        if left > 0 && self.inner.queue.borrow().is_empty() {
            self.inner.left.set(left.saturating_sub(cost));
            return;
        }
        let ticket = Rc::new(Ticket { cost, may_pass: Cell::new(false), waker: RefCell::default() });
        self.inner.queue.borrow_mut().push_back(Rc::clone(&ticket));
        if !self.inner.reopening.replace(true) {
            task::spawn(Rc::clone(&self.inner).reopen());
        }
        poll_fn(|turn| {
            if ticket.may_pass.get() {
                return Poll::Ready(());
            }
            *ticket.waker.borrow_mut() = Some(turn.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Inner {
    /// Lets the first of the queue pass, turn by turn, until it is empty.
    async fn reopen(self: Rc<Inner>) {
        while !self.queue.borrow().is_empty() {
            self.pause.take().await;
            self.left.set(self.per_turn);
            self.admit();
        }
        self.reopening.set(false);
    }

    fn admit(&self) {
        while self.left.get() > 0 {
            let Some(ticket) = self.queue.borrow_mut().pop_front() else { return };
            if Rc::strong_count(&ticket) == 1 {
                // Its task was given up meanwhile.
                continue;
            }
            self.left.set(self.left.get().saturating_sub(ticket.cost));
            ticket.may_pass.set(true);
            if let Some(waker) = ticket.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}
