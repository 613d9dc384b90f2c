//! Tasks of one worker that wait for something in the order of their arrival.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::net::wake::WakerSlot;

/// A queue of tasks that brought a `B` each and are called with a `C`.
pub struct WaitQueue<B, C> {
    entries: RefCell<VecDeque<Rc<Waiting<B, C>>>>,
}

struct Waiting<B, C> {
    brought: B,
    call: Cell<Option<Call<C>>>,
    waker: WakerSlot,
}

#[derive(Clone, Copy)]
struct Call<C> {
    value: C,
    /// It is for one task, and another one gets it if that was dropped meanwhile.
    is_for_one: bool,
}

impl<B, C> Default for WaitQueue<B, C> {
    fn default() -> WaitQueue<B, C> {
        WaitQueue { entries: RefCell::default() }
    }
}

impl<B: Copy, C: Copy> WaitQueue<B, C> {
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// What the first in the queue brought.
    pub fn first(&self) -> Option<B> {
        self.entries.borrow().front().map(|entry| entry.brought)
    }

    /// Calls the first in the queue.
    pub fn call_next(&self, value: C) {
        let next = self.entries.borrow_mut().pop_front();
        if let Some(entry) = next {
            entry.call(Call { value, is_for_one: true });
        }
    }

    /// Calls everyone in the queue.
    pub fn call_all(&self, value: C) {
        for entry in self.entries.take() {
            entry.call(Call { value, is_for_one: false });
        }
    }

    /// Waits to be called. A future that is dropped leaves the queue; if it was called alone, its call goes to the next.
    pub fn wait(&self, brought: B) -> Wait<'_, B, C> {
        let wait = self.begin(brought);
        self.entries.borrow_mut().push_back(Rc::clone(&wait.entry));
        wait
    }

    /// The same for one that was called in vain: it stands before all that brought more. Several may have been called
    /// before the first of them looked, so the head of the queue is not everyone's place.
    pub fn wait_again(&self, brought: B) -> Wait<'_, B, C>
    where
        B: Ord,
    {
        let wait = self.begin(brought);
        let mut entries = self.entries.borrow_mut();
        let place = entries.iter().position(|entry| entry.brought >= brought).unwrap_or(entries.len());
        entries.insert(place, Rc::clone(&wait.entry));
        drop(entries);
        wait
    }

    fn begin(&self, brought: B) -> Wait<'_, B, C> {
        let entry = Rc::new(Waiting { brought, call: Cell::new(None), waker: WakerSlot::default() });
        Wait { queue: self, entry, is_done: false }
    }
}

impl<B, C> Waiting<B, C> {
    fn call(&self, call: Call<C>) {
        self.call.set(Some(call));
        self.waker.wake();
    }
}

/// See [`WaitQueue::wait`].
pub struct Wait<'q, B: Copy, C: Copy> {
    queue: &'q WaitQueue<B, C>,
    entry: Rc<Waiting<B, C>>,
    is_done: bool,
}

impl<B: Copy, C: Copy> Future for Wait<'_, B, C> {
    type Output = C;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C> {
        let Some(call) = self.entry.call.get() else {
            self.entry.waker.register(cx);
            return Poll::Pending;
        };
        self.is_done = true;
        Poll::Ready(call.value)
    }
}

impl<B: Copy, C: Copy> Drop for Wait<'_, B, C> {
    fn drop(&mut self) {
        match self.entry.call.get() {
            _ if self.is_done => {}
            Some(Call { value, is_for_one: true }) => self.queue.call_next(value),
            Some(_) => {}
            None => self.queue.entries.borrow_mut().retain(|entry| !Rc::ptr_eq(entry, &self.entry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(wait: &mut Wait<'_, u8, char>) -> Poll<char> {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn tasks_are_called_in_the_order_of_their_arrival() {
        let queue = WaitQueue::default();
        let mut waits = [queue.wait(1), queue.wait(2), queue.wait(3)];
        assert!(waits.iter_mut().all(|wait| poll(wait).is_pending()));
        assert_eq!(queue.first(), Some(1));
        queue.call_next('a');
        assert_eq!(waits.each_mut().map(|wait| poll(wait).is_ready()), [true, false, false]);
        assert_eq!(queue.first(), Some(2));
        queue.call_all('b');
        assert_eq!(poll(&mut waits[2]), Poll::Ready('b'));
        assert!(queue.is_empty());
    }

    #[test]
    fn the_call_of_a_dropped_task_goes_to_the_next() {
        let queue = WaitQueue::default();
        let (dropped, called, mut last) = (queue.wait(1), queue.wait(2), queue.wait(3));
        drop(dropped);
        queue.call_next('a');
        drop(called);
        assert_eq!(poll(&mut last), Poll::Ready('a'));
    }

    #[test]
    fn who_was_called_in_vain_is_called_next() {
        let queue = WaitQueue::default();
        let (mut vain, mut last) = (queue.wait(1), queue.wait(2));
        queue.call_next('a');
        assert_eq!(poll(&mut vain), Poll::Ready('a'));
        let mut again = queue.wait_again(1);
        queue.call_next('b');
        assert_eq!((poll(&mut again), poll(&mut last)), (Poll::Ready('b'), Poll::Pending));
    }

    #[test]
    fn those_called_in_vain_together_keep_their_order() {
        let queue = WaitQueue::default();
        let (mut first, mut second, last) = (queue.wait(1), queue.wait(2), queue.wait(3));
        queue.call_next('a');
        queue.call_next('a');
        assert_eq!((poll(&mut first), poll(&mut second)), (Poll::Ready('a'), Poll::Ready('a')));
        let again = [queue.wait_again(1), queue.wait_again(2)];
        let order: Vec<_> = queue.entries.borrow().iter().map(|entry| entry.brought).collect();
        assert_eq!(order, [1, 2, 3]);
        drop((again, last));
    }

    #[test]
    fn what_everyone_was_told_is_no_news_for_those_who_come_later() {
        let queue = WaitQueue::default();
        let told = queue.wait(1);
        queue.call_all('a');
        let mut later = queue.wait(2);
        drop(told);
        assert!(poll(&mut later).is_pending());
    }
}
