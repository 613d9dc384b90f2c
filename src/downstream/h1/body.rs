//! The body of a request, as it arrives on an HTTP/1.1 connection.

use std::pin::pin;
use std::time::Duration;

use crate::downstream::connection::Connection;
use crate::downstream::pacer::Pacer;
use crate::exchange::stream::BodyError;
use crate::exchange::stream::BodyTimeout;
use crate::exchange::stream::RequestBody;
use crate::net::buffer::Buffer;
use crate::net::buffer::SMALL_BYTES;
use crate::proto::h1::body;
use crate::proto::h1::body::BodyDecoder;
use crate::proto::h1::framing::Framing;
use crate::snapshot::HttpListener;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::PacedRequest;
use crate::worker::Worker;

pub(super) struct Body<'c> {
    connection: &'c Connection,
    worker: &'c Worker,
    terms: &'c HttpListener,
    /// Between two reads.
    timeout: &'c Duration,
    pacer: Pacer,
    decoder: BodyDecoder,
    /// Bytes received and not yet looked at: of the body, then of the next request.
    input: Option<Buffer>,
    tunnel: bool,
    /// The last receive filled half of its buffer, so more is likely to wait.
    busy: bool,
    received_bytes: u64,
}

impl<'c> Body<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        worker: &'c Worker,
        input: Buffer,
        decoder: BodyDecoder,
        (terms, timeout, paced): (&'c HttpListener, &'c Duration, Option<PacedRequest>),
    ) -> Body<'c> {
        let input = (!input.is_empty()).then_some(input);
        Body {
            connection,
            worker,
            terms,
            timeout,
            pacer: Pacer::new(paced),
            decoder,
            input,
            tunnel: false,
            busy: false,
            received_bytes: 0,
        }
    }

    /// What was received beyond the end of the body.
    pub(super) fn into_rest(self) -> Option<Buffer> {
        self.input
    }

    async fn receive(&mut self, bound: BodyTimeout) -> Result<usize, BodyError> {
        let Connection { transport, deadline, is_sending, .. } = self.connection;
        let timeout = *self.timeout;
        match bound {
            BodyTimeout::Limited => deadline.set(timeout),
            // What is being sent meanwhile stays bounded.
            BodyTimeout::Unlimited if is_sending.get() => {}
            BodyTimeout::Unlimited => deadline.clear(),
        }
        // Waiting holds no buffer: what a slow client costs does not depend on its request.
        let mut readable = pin!(transport.readable());
        loop {
            match deadline.guard(readable.as_mut()).await {
                Ok(readable) => break readable.map_err(|_| BodyError::Gone)?,
                // A client that takes the response is not silent.
                Err(_elapsed) if is_sending.get() && transport.extend(deadline, timeout) => {}
                Err(_elapsed) => return Err(BodyError::TimedOut),
            }
        }
        let much = self.decoder.remaining().map_or(self.busy, |bytes| bytes > SMALL_BYTES as u64);
        let mut buffer = if much { self.worker.buffers.large() } else { self.worker.buffers.small() };
        buffer.clear_for_body();
        let spare = buffer.spare();
        let (result, buffer) = transport.receive(buffer).await;
        let count = result.map_err(|_| BodyError::Gone)?;
        self.busy = count * 2 > spare;
        self.input = (count > 0).then_some(buffer);
        Ok(count)
    }
}

impl RequestBody for Body<'_> {
    fn is_finished(&self) -> bool {
        self.decoder.is_finished()
    }

    fn at_hand(&mut self) -> Result<Option<Buffer>, BodyError> {
        if self.decoder.is_finished() {
            return Ok(None);
        }
        let Some(mut buffer) = self.input.take() else { return Ok(None) };
        let progress = match self.decoder.decode(buffer.filled_mut()) {
            Ok(progress) => progress,
            Err(error) => {
                // Where the next request begins is unknown now, even if all chunks were there: what
                // follows has no end, so that the connection closes.
                self.decoder = BodyDecoder::unlimited(Framing::UntilClose);
                return Err(described(error));
            }
        };
        self.received_bytes += progress.consumed as u64;
        self.pacer.count((progress.body.len(), Direction::Up), self.terms, self.worker);
        if progress.consumed == buffer.len() {
            buffer.truncate(progress.body.end);
            buffer.consume(progress.body.start);
            return Ok((!buffer.is_empty()).then_some(buffer));
        }
        // The next request begins in this buffer, so the piece moves to one of its own.
        let mut piece = self.worker.buffers.small();
        piece.clear_for_body();
        piece.tail().extend_from_slice(buffer.filled().get(progress.body).unwrap_or_default());
        buffer.consume(progress.consumed);
        self.input = Some(buffer);
        Ok((!piece.is_empty()).then_some(piece))
    }

    async fn next(&mut self, bound: BodyTimeout) -> Result<Option<Buffer>, BodyError> {
        if let Some(turn) = self.pacer.wait(self.worker) {
            turn.await;
        }
        loop {
            if let Some(piece) = self.at_hand()? {
                return Ok(Some(piece));
            }
            if self.decoder.is_finished() {
                return Ok(None);
            }
            if self.receive(bound).await? == 0 {
                return if self.tunnel { Ok(None) } else { Err(BodyError::Gone) };
            }
        }
    }

    fn trailers(&self) -> &[u8] {
        self.terms.forwarded.passing_trailers(self.decoder.trailers())
    }

    fn become_tunnel(&mut self) {
        self.decoder = BodyDecoder::unlimited(Framing::UntilClose);
        self.tunnel = true;
    }

    fn received_bytes(&self) -> u64 {
        self.received_bytes
    }
}

fn described(error: body::BodyFormatError) -> BodyError {
    match error {
        body::BodyFormatError::TooLarge => BodyError::TooLarge,
        error => BodyError::Malformed(error.reason()),
    }
}
