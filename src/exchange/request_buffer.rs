//! Requests that are received before a backend is chosen, as far as their group wants that: a slow upload then keeps
//! none of its backends busy.

use std::sync::Arc;

use crate::exchange::error::ExchangeError;
use crate::exchange::forward::Forward;
use crate::exchange::stream::Patience;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::http::head::ResponseHead;
use crate::http::head::Version;
use crate::http::headers::Headers;
use crate::net::buffer::Buffer;
use crate::snapshot::quota::Quota;
use crate::upstream::h1;
use crate::upstream::h1::MOST_FRAMING_BYTES;
use crate::worker::Worker;

/// Content that waits to be sent. It is counted in bytes against what the process may hold of it.
pub(super) struct RequestBuffer {
    bytes: Vec<u8>,
    /// Of the quota; as much as `bytes` has room for.
    counted: usize,
    memory: Arc<Quota>,
}

impl RequestBuffer {
    fn new(memory: &Arc<Quota>) -> RequestBuffer {
        RequestBuffer { bytes: Vec::new(), counted: 0, memory: Arc::clone(memory) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a piece; false, and nothing done, if the process holds too much already.
    fn append(&mut self, piece: &[u8]) -> bool {
        let wanted = self.bytes.len() + piece.len();
        if wanted > self.counted {
            // It grows with what came, not with what was announced, and by halves, so that it is seldom copied.
            let mut room = wanted.max(self.counted + self.counted / 2);
            if !self.memory.take_many(room - self.counted) {
                room = wanted;
                if !self.memory.take_many(room - self.counted) {
                    return false;
                }
            }
            self.bytes.reserve_exact(room - self.bytes.len());
            self.counted = room;
        }
        self.bytes.extend_from_slice(piece);
        true
    }
}

impl Drop for RequestBuffer {
    fn drop(&mut self) {
        self.memory.give_back_many(self.counted);
    }
}

impl Forward {
    /// Receives content, behind what came with the head, until it is complete or has `most` bytes, or the process holds
    /// too much of it. A client that waits to continue is told so here: no backend is asked yet.
    pub(super) async fn receive_content<S: Stream>(
        &mut self,
        stream: &mut S,
        most: usize,
        worker: &Worker,
    ) -> Result<(), ExchangeError> {
        let (body, reply, _) = stream.parts();
        if body.is_finished() && self.early_piece.is_none() {
            return Ok(());
        }
        let mut held = RequestBuffer::new(&worker.request_memory);
        let mut piece = self.early_piece.take();
        if self.expects_continue && !body.is_finished() && body.received_bytes() == 0 {
            write_continue(reply);
            reply.send(None, None).await?;
        }
        // Whoever waited does so no more, and no backend was told of it.
        self.expects_continue = false;
        loop {
            if let Some(piece) = piece.take()
                && !held.append(piece.filled())
            {
                self.early_piece = Some(piece);
                break;
            }
            if body.is_finished() || held.bytes.len() >= most {
                break;
            }
            piece = body.next(Patience::Limited).await?;
        }
        let last = body.is_finished().then(|| body.trailers());
        self.keep_content(held, last, worker);
        Ok(())
    }

    /// Keeps content behind the head where all of it fits there, else apart.
    fn keep_content(&mut self, held: RequestBuffer, last: Option<&[u8]>, worker: &Worker) {
        let Some(request) = &mut self.request else { return };
        let is_whole = last.is_some() && self.early_piece.is_none();
        if is_whole && held.bytes.len() + MOST_FRAMING_BYTES <= request.spare() {
            let mut piece: Buffer = worker.buffers.for_body(held.bytes.len());
            piece.tail().extend_from_slice(&held.bytes);
            if self.is_framed {
                h1::frame_body(&mut piece, self.length, last);
            }
            request.tail().extend_from_slice(piece.filled());
        } else if !held.bytes.is_empty() {
            self.buffered = Some(Box::new(held));
        }
    }
}

fn write_continue(reply: &mut impl Reply) {
    let mut headers = Headers::new();
    let head =
        ResponseHead { status: 100, reason: b"Continue", version: Version::Http11, headers: &mut headers };
    // Only clients whose version knows interim responses wait for one.
    reply.interim(&head);
}
