//! Counting what goes over sockets.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Bytes that some sockets of one worker have received and sent: of TCP's payload, so with records of TLS and without
/// headers of packets and what was sent again. The worker alone writes; any thread may read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

/// How many bytes went each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteTotals {
    pub received: u64,
    pub sent: u64,
}

impl Traffic {
    pub fn received(&self, bytes: usize) {
        add(&self.received, bytes);
    }

    pub fn sent(&self, bytes: usize) {
        add(&self.sent, bytes);
    }

    /// Adds what sockets of a process before this one have counted, in the direction of this name.
    pub fn add_carried(&self, direction: &str, bytes: u64) {
        match direction {
            "received" => add(&self.received, bytes as usize),
            "sent" => add(&self.sent, bytes as usize),
            _ => {}
        }
    }

    pub fn totals(&self) -> ByteTotals {
        ByteTotals {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }
}

impl std::iter::Sum for ByteTotals {
    fn sum<I: Iterator<Item = ByteTotals>>(all: I) -> ByteTotals {
        all.fold(ByteTotals::default(), |sum, each| ByteTotals {
            received: sum.received + each.received,
            sent: sum.sent + each.sent,
        })
    }
}

/// No other thread writes, so this needs no locked instruction.
fn add(counter: &AtomicU64, bytes: usize) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
}
