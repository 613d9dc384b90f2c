//! The body of a response on its way out, as it is or compressed.

use std::pin::pin;

use crate::exchange::attempt::Attempt;
use crate::exchange::attempt::ResponseEnd;
use crate::exchange::attempt::unless_gone;
use crate::exchange::compression::Compressed;
use crate::exchange::compression::Compressor;
use crate::exchange::error::ExchangeError;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::upstream::response_reader::ResponseReader;

/// Receives the body and passes it on, up to its last piece, which is returned.
pub(super) async fn relay(
    reader: &mut ResponseReader<'_>,
    compressed: Option<Compressed>,
    (reply, watch): (&mut impl Reply, &impl ClientWatch),
    attempt: &Attempt<'_>,
) -> Result<ResponseEnd, ExchangeError> {
    // Boxed, as are its steps below, because most responses are not compressed.
    let mut compressor = compressed.map(|compressed| Box::new(Compressor::new(compressed, attempt.worker)));
    if !reader.has_more() {
        // A client may act on a head long before the first event of its stream.
        reply.send(None, None).await?;
    }
    loop {
        let body = reader.body(&attempt.worker.buffers, attempt.read_timeout(), reply.room());
        let piece = unless_gone(pin!(body), watch, attempt).await??;
        if piece.finished {
            let piece = match &mut compressor {
                Some(compressor) => Box::pin(compressor.finish(piece.bytes, reply)).await?,
                None => piece.bytes,
            };
            return Ok(ResponseEnd { piece, trailers: reader.trailers().to_vec() });
        }
        attempt.note_flow();
        match &mut compressor {
            Some(compressor) => {
                let flush = !reader.has_more();
                Box::pin(compressor.pass(piece.bytes, flush, reply)).await?;
            }
            None => reply.send(piece.bytes, None).await?,
        }
    }
}
