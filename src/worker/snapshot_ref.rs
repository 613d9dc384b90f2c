//! The snapshot that a worker serves from, counted on its thread alone.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::snapshot::Snapshot;

/// A snapshot that is being served from. Cloning it touches nothing that other workers do.
#[derive(Clone)]
#[expect(clippy::redundant_allocation, reason = "the outer count is this worker's own")]
pub struct SnapshotRef(Rc<Arc<Snapshot>>);

impl SnapshotRef {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> SnapshotRef {
        SnapshotRef(Rc::new(snapshot))
    }
}

impl Deref for SnapshotRef {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}
