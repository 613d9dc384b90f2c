//! Word from one thread to the loop of another: a bounded queue and a bell.

use std::io;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::net::wake::Doorbell;
use crate::net::wake::Wakeups;

/// Where messages for one loop wait. Cloning gives another hold on the same mailbox.
pub struct Mailbox<T> {
    messages: Arc<ArrayQueue<T>>,
    bell: Doorbell,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Mailbox<T> {
        Mailbox { messages: Arc::clone(&self.messages), bell: self.bell.clone() }
    }
}

impl<T> Mailbox<T> {
    /// Room for this many messages that were not taken yet.
    pub fn new(capacity: usize) -> io::Result<Mailbox<T>> {
        Ok(Mailbox { messages: Arc::new(ArrayQueue::new(capacity)), bell: Doorbell::new()? })
    }

    /// Puts a message in and rings; gives it back when the mailbox is full. Never waits.
    pub fn send(&self, message: T) -> Result<(), T> {
        self.messages.push(message)?;
        self.bell.ring();
        Ok(())
    }

    /// Puts a message in without a ring, which is to follow; gives it back when the mailbox is full.
    pub fn put(&self, message: T) -> Result<(), T> {
        self.messages.push(message)
    }

    /// Puts a message in and rings; when the mailbox is full, it takes the place of the oldest. Never waits.
    pub fn send_latest(&self, message: T) {
        drop(self.messages.force_push(message));
        self.bell.ring();
    }

    /// Rings without a message.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// The next message, if one waits.
    pub fn take(&self) -> Option<T> {
        self.messages.pop()
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What wakes the loop of the thread that calls this; for one thread only.
    pub fn listen(&self) -> io::Result<Wakeups> {
        self.bell.listen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_in_their_order_until_the_box_is_full() {
        let mailbox = Mailbox::new(2).unwrap();
        assert_eq!([mailbox.send(1), mailbox.clone().send(2), mailbox.send(3)], [Ok(()), Ok(()), Err(3)]);
        mailbox.send_latest(4);
        assert_eq!([mailbox.take(), mailbox.take(), mailbox.take()], [Some(2), Some(4), None]);
    }
}
