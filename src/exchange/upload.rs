//! The rest of a request's body, on its way while the response may begin.

use crate::exchange::attempt::Attempt;
use crate::exchange::error::ExchangeError;
use crate::exchange::stream::BodyError;
use crate::exchange::stream::BodyTimeout;
use crate::exchange::stream::RequestBody;
use crate::http::body::BodyLength;
use crate::net::buffer::Buffer;
use crate::upstream::message::PieceFraming;
use crate::upstream::stream::UpstreamStream;

/// Content that was received before is copied in slices of this size to be sent.
const SLICE_BYTES: usize = 64 * 1024;

/// What of a body was not sent with its head.
pub(super) struct Rest {
    pub(super) early_piece: Option<Buffer>,
    pub(super) length: BodyLength,
    /// Bytes that were, as they stand in the request.
    pub(super) kept: usize,
}

impl Rest {
    /// The content that is still to be sent over HTTP/1.1, where its length ends it: a client whose version has
    /// an end of its own may be late with that. Unknown, or to be ended by us, it has no bound.
    fn left(&self, upstream: &UpstreamStream) -> u64 {
        match self.length {
            BodyLength::Exact(length) if upstream.delimits_by_length() => {
                length.saturating_sub(self.kept as u64)
            }
            _ => u64::MAX,
        }
    }
}

/// Sends the rest of the request's body. A backend that stops taking it may still answer, so its
/// refusal ends the upload without an error.
pub(super) async fn upload(
    mut rest: Rest,
    body: &mut impl RequestBody,
    upstream: &UpstreamStream,
    attempt: &Attempt<'_>,
) -> Result<(), ExchangeError> {
    let timeout = attempt.response_timeout();
    let (length, mut left) = (rest.length, rest.left(upstream));
    let mut offset = 0;
    while let Some(buffered) = attempt.buffered.as_ref().filter(|buffered| offset < buffered.len()) {
        let piece = buffered.slice(offset, SLICE_BYTES, &attempt.worker.buffers);
        offset += piece.len();
        left = left.saturating_sub(piece.len() as u64);
        let is_last = offset == buffered.len() && rest.early_piece.is_none() && body.is_finished();
        let framing = PieceFraming { length, last: is_last.then(|| body.trailers()) };
        if upstream.send_piece(piece, framing, timeout).await.is_err() {
            attempt.upload_refused.set(true);
            return Ok(());
        }
    }
    if let Some(piece) = rest.early_piece.take() {
        left = left.saturating_sub(piece.len() as u64);
        let last = body.is_finished().then(|| body.trailers());
        if upstream.send_piece(piece, PieceFraming { length, last }, timeout).await.is_err() {
            attempt.upload_refused.set(true);
            return Ok(());
        }
    }
    let mut heard = attempt.worker.clock.now();
    while !body.is_finished() && left > 0 {
        let bound =
            if attempt.awaiting_continue.get() { BodyTimeout::Unlimited } else { BodyTimeout::Limited };
        if bound == BodyTimeout::Limited {
            // The backend waits for the client, so its silence proves nothing.
            upstream.suspend_timeout();
        }
        let piece = match body.next(bound).await {
            Err(BodyError::TimedOut) if attempt.allows_silence(heard) => continue,
            piece => piece?,
        };
        heard = attempt.worker.clock.now();
        attempt.awaiting_continue.set(false);
        let last = body.is_finished().then(|| body.trailers());
        let piece = piece.unwrap_or_else(|| attempt.worker.buffers.small());
        left = left.saturating_sub(piece.len() as u64);
        if upstream.send_piece(piece, PieceFraming { length, last }, timeout).await.is_err() {
            attempt.upload_refused.set(true);
            return Ok(());
        }
    }
    upstream.wait_at_most(timeout);
    attempt.uploading.set(false);
    attempt.release_sent();
    Ok(())
}
