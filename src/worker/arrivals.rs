//! A worker's part in the balance of connections: what it hands to others, and what they hand to it.

use std::io;

use crate::net::wake::Wakeups;
use crate::worker::Worker;
use crate::worker::connection_balance::AcceptedConnection;

impl Worker {
    /// Hands a connection that this worker has accepted to one that has fewer; [`Worker::ring_for_arrivals`] is to
    /// follow. What is returned it serves itself.
    pub fn balance(&self, connection: AcceptedConnection) -> Option<AcceptedConnection> {
        let Some(balance) = self.balance.as_ref().filter(|_| !self.is_draining()) else {
            return Some(connection);
        };
        let Some(worker) = balance.less_loaded(self.index, &self.counters) else { return Some(connection) };
        let kept = balance.send(worker, connection);
        if kept.is_none() {
            self.counters.handed_over(self.index);
            // One ring for all that one worker gets in a row.
            if let Some(before) = self.to_ring.replace(Some(worker)).filter(|before| *before != worker) {
                balance.ring(before);
            }
        }
        kept
    }

    /// Wakes who was handed something; to be called before the worker does anything else.
    pub fn ring_for_arrivals(&self) {
        if let (Some(balance), Some(worker)) = (&self.balance, self.to_ring.take()) {
            balance.ring(worker);
        }
    }

    /// What wakes this worker when connections are handed to it; None where none ever are.
    pub fn listen_to_arrivals(&self) -> io::Result<Option<Wakeups>> {
        self.balance.as_ref().map_or(Ok(None), |balance| balance.listen(self.index))
    }

    /// Connections that others have handed to this worker, as many as are to be begun in one turn of its loop. It is woken
    /// again for the rest.
    pub fn arrivals(&self) -> impl Iterator<Item = AcceptedConnection> {
        self.balance.iter().flat_map(|balance| balance.take(self.index))
    }

    /// Wakes this worker again if some were left.
    pub fn look_for_arrivals_again(&self) {
        if let Some(balance) = self.balance.as_ref().filter(|balance| balance.has_arrivals(self.index)) {
            balance.ring(self.index);
        }
    }

    /// Whether a connection is on its way to this worker.
    pub(super) fn has_arrivals(&self) -> bool {
        self.balance.as_ref().is_some_and(|balance| balance.has_arrivals(self.index))
    }

    /// Lets other workers serve what they accept, from now on.
    pub(super) fn refuse_arrivals(&self) {
        if let Some(balance) = &self.balance {
            balance.close(self.index);
        }
    }
}
