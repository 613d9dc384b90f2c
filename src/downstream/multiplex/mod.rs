//! Many exchanges on one connection, as far as that knows no frame.

/// What came of a body and was not taken yet.
pub(super) mod inbox;
/// The head of a response, before it is compressed.
pub(super) mod reply_head;
/// How far a response has come.
pub(super) mod reply_progress;
/// From a head to an exchange.
pub(super) mod requests;
/// What an exchange sees of a stream.
pub(super) mod stream_parts;
/// What driver and task of a stream tell each other.
pub(super) mod stream_state;
