//! What the client sends on its unidirectional streams: settings, and little else.

use std::rc::Rc;

use crate::downstream::h3::shared::Http3Shared;
use crate::proto::h3::event::UnidirectionalEvent;
use crate::proto::h3::fault::ErrorCode;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::unidirectional::UnidirectionalReader;
use crate::quic::end::StreamFailure;
use crate::quic::streams::RecvHalf;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 4096;

/// Reads one of them until it ends, or the connection does.
pub(super) async fn read(mut stream: RecvHalf, shared: Rc<Http3Shared>) {
    let mut reader = UnidirectionalReader::new();
    loop {
        let piece = match stream.read(PIECE_BYTES).await {
            Ok(Some(piece)) => piece,
            Err(StreamFailure::Connection(_) | StreamFailure::Ended) => return,
            Ok(None) | Err(_) => return reader.handle_end().unwrap_or_else(|fault| shared.fail(fault)),
        };
        match take(&mut reader, &piece, &shared) {
            Ok(true) => {}
            Ok(false) => return stream.stop(ErrorCode::StreamCreationError.to_wire() as u32),
            Err(fault) => return shared.fail(fault),
        }
    }
}

/// Whether more of the stream is of use.
fn take(reader: &mut UnidirectionalReader, piece: &[u8], shared: &Http3Shared) -> Result<bool, Fault> {
    let mut rest = piece;
    loop {
        let mut codec = shared.codec.borrow_mut();
        let received = reader.handle_bytes(rest, &mut codec, shared.now())?;
        drop(codec);
        rest = rest.get(received.consumed..).unwrap_or_default();
        match received.event {
            None => return Ok(true),
            Some(UnidirectionalEvent::UnknownStream) => return Ok(false),
            // Nothing that we send waits for them (RFC 9114 §7.2.4.2).
            Some(UnidirectionalEvent::Settings) => {}
            Some(UnidirectionalEvent::GoAway) => shared.announce_end(),
            Some(UnidirectionalEvent::Priority { stream, priority }) => {
                shared.set_priority(stream, priority)?
            }
        }
    }
}
