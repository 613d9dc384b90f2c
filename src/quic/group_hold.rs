//! How long the sockets of a group stay open: together, because one that is closed gives its index to another (see
//! [`crate::net::udp::steering`]).
//!
//! Who serves there, or has connections there, has a hold. Once the last one is let go there is no way back, and all are closed.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Keeps all sockets of a group open.
#[derive(Clone, Default)]
pub struct GroupHold {
    /// A worker has not got its socket, or has closed it.
    is_incomplete: Arc<AtomicBool>,
}

/// A way back to a hold, as long as anybody has one.
#[derive(Clone)]
pub struct ReleasedHold {
    is_incomplete: Weak<AtomicBool>,
}

impl GroupHold {
    /// What is left when this hold is let go.
    pub fn released(&self) -> ReleasedHold {
        ReleasedHold { is_incomplete: Arc::downgrade(&self.is_incomplete) }
    }

    /// One of the sockets is closed: the group can be left to end, but cannot serve again.
    pub fn note_missing(&self) {
        self.is_incomplete.store(true, Ordering::Release);
    }

    pub fn is_complete(&self) -> bool {
        !self.is_incomplete.load(Ordering::Acquire)
    }
}

impl ReleasedHold {
    /// A hold, if anybody else has one.
    pub fn regain(&self) -> Option<GroupHold> {
        Some(GroupHold { is_incomplete: self.is_incomplete.upgrade()? })
    }

    /// Whether nobody has one any more.
    pub fn is_over(&self) -> bool {
        self.is_incomplete.strong_count() == 0
    }
}
