//! TLS for threads that may wait: over anything that reads and writes.

use std::io::Read;
use std::io::Write;

use rustls::ClientConnection;
use rustls::StreamOwned;

/// What a thread reads from and writes to.
pub trait BlockingStream: Read + Write {}

impl<S: Read + Write> BlockingStream for S {}

/// A client's end of a connection. The handshake is made with the first bytes, and takes as long as `stream` lets it.
pub(super) fn secure<'s>(
    connection: ClientConnection,
    stream: impl BlockingStream + 's,
) -> Box<dyn BlockingStream + 's> {
    Box::new(StreamOwned::new(connection, stream))
}
