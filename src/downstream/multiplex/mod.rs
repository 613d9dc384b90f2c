//! Many exchanges on one connection, as far as that knows no frame.

/// What came of a body and was not taken yet.
pub(super) mod inbox;
/// What driver and task of a stream tell each other.
pub(super) mod stream_state;
