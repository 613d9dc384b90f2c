//! Streams in one direction: our control stream, and what the client sends on its own, which is settings, and little else.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::downstream::h3::control::ControlStream;
use crate::downstream::h3::shared::Http3Shared;
use crate::proto::h3::event::UnidirectionalEvent;
use crate::proto::h3::fault::ErrorCode;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::unidirectional::UnidirectionalReader;
use crate::quic::end::StreamFailure;
use crate::quic::streams::RecvHalf;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 4096;

/// Serves all of them until the connection ends. They are silent nearly always, so one task for all spares memory.
pub(super) async fn run(shared: Rc<Http3Shared>) {
    let mut control = ControlStream::default();
    let mut readers: Vec<UnidirectionalStream> = Vec::new();
    poll_fn(|cx| {
        loop {
            match shared.quic.poll_accept_one(cx) {
                Poll::Ready(Ok(stream)) => {
                    readers.push(UnidirectionalStream { stream, reader: UnidirectionalReader::new() });
                }
                Poll::Ready(Err(_end)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        control.poll(&shared, cx);
        readers.retain_mut(|reader| reader.poll(&shared, cx).is_pending());
        Poll::Pending
    })
    .await;
}

/// One that the client has opened.
struct UnidirectionalStream {
    stream: RecvHalf,
    reader: UnidirectionalReader,
}

impl UnidirectionalStream {
    /// Reads what has come. Ready: it is over, or of no use.
    fn poll(&mut self, shared: &Http3Shared, cx: &Context<'_>) -> Poll<()> {
        loop {
            let piece = match std::task::ready!(self.stream.poll_read(PIECE_BYTES, cx)) {
                Ok(Some(piece)) => piece,
                Err(StreamFailure::Connection(_) | StreamFailure::Ended) => return Poll::Ready(()),
                Ok(None) | Err(_) => {
                    self.reader.handle_end().unwrap_or_else(|fault| shared.fail(fault));
                    return Poll::Ready(());
                }
            };
            match take(&mut self.reader, &piece, shared) {
                Ok(true) => {}
                Ok(false) => {
                    self.stream.stop(ErrorCode::StreamCreationError.to_wire() as u32);
                    return Poll::Ready(());
                }
                Err(fault) => {
                    shared.fail(fault);
                    return Poll::Ready(());
                }
            }
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
