//! Copies of requests that are on their way.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::snapshot::quota::Quota;

/// Copies that a worker has on their way at a time: what the target of a mirror that is slow may cost of streams and
/// connections.
const MAX_COPIES: usize = 256;

/// Bytes of content that all copies of a worker hold together.
const MAX_COPIED_BYTES: usize = 16 * 1024 * 1024;

/// What a worker knows of the copies that it has made.
pub struct Mirrors {
    /// Bytes of content.
    pub memory: Arc<Quota>,
    on_their_way: Rc<Cell<usize>>,
}

impl Default for Mirrors {
    fn default() -> Mirrors {
        Mirrors { memory: Arc::new(Quota::new(MAX_COPIED_BYTES)), on_their_way: Rc::default() }
    }
}

impl Mirrors {
    /// Room for one more copy; None where too many are on their way.
    pub fn begin(&self) -> Option<MirrorPlace> {
        let count = self.on_their_way.get();
        (count < MAX_COPIES).then(|| {
            self.on_their_way.set(count + 1);
            MirrorPlace(Rc::clone(&self.on_their_way))
        })
    }
}

/// A copy that is counted until this is dropped.
pub struct MirrorPlace(Rc<Cell<usize>>);

impl Drop for MirrorPlace {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
