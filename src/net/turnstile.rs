//! Costly steps, a few per turn of the loop, so that they cannot starve everything else.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::task::Waker;

use crate::net::task;
use crate::net::wake::Doorbell;
use crate::net::wake::Wakeups;

/// Lets `per_turn` tasks pass; then a turn of the loop, with its input and output, comes first.
/// Whoever waits passes in the order of arrival.
pub struct Turnstile {
    per_turn: usize,
    inner: Rc<Inner>,
    bell: Doorbell,
    /// Hears the bell in the next turn.
    turns: Rc<Wakeups>,
}

struct Inner {
    left: Cell<usize>,
    /// Tasks that wait, each with the mark that it may pass.
    queue: RefCell<VecDeque<Rc<Ticket>>>,
    reopening: Cell<bool>,
}

#[derive(Default)]
struct Ticket {
    may_pass: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Turnstile {
    /// To be called on the worker's thread.
    pub fn new(per_turn: usize) -> io::Result<Turnstile> {
        let bell = Doorbell::new()?;
        let turns = Rc::new(bell.listen()?);
        let inner =
            Inner { left: Cell::new(per_turn), queue: RefCell::default(), reopening: Cell::new(false) };
        Ok(Turnstile { per_turn, inner: Rc::new(inner), bell, turns })
    }

    /// Waits until the next step may be taken. A future that is dropped gives its place up.
    pub async fn pass(&self) {
        let left = self.inner.left.get();
        if left > 0 && self.inner.queue.borrow().is_empty() {
            self.inner.left.set(left - 1);
            return;
        }
        let ticket = Rc::new(Ticket::default());
        self.inner.queue.borrow_mut().push_back(Rc::clone(&ticket));
        self.reopen();
        poll_fn(|turn| {
            if ticket.may_pass.get() {
                return Poll::Ready(());
            }
            *ticket.waker.borrow_mut() = Some(turn.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets the first of the queue pass, turn by turn, until it is empty.
    fn reopen(&self) {
        if self.inner.reopening.replace(true) {
            return;
        }
        let (inner, bell, turns) = (Rc::clone(&self.inner), self.bell.clone(), Rc::clone(&self.turns));
        let per_turn = self.per_turn;
        task::spawn(async move {
            while !inner.queue.borrow().is_empty() {
                bell.ring();
                // The kernel's answer comes with those to everybody else. Should the eventfd fail,
                // which it does not, nobody waits for ever.
                let _ = turns.next().await;
                inner.left.set(per_turn);
                inner.admit();
            }
            inner.reopening.set(false);
        });
    }
}

impl Inner {
    fn admit(&self) {
        while self.left.get() > 0 {
            let Some(ticket) = self.queue.borrow_mut().pop_front() else { return };
            if Rc::strong_count(&ticket) == 1 {
                // Its task was given up meanwhile.
                continue;
            }
            self.left.set(self.left.get() - 1);
            ticket.may_pass.set(true);
            if let Some(waker) = ticket.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}
