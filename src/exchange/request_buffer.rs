//! Requests that are received before a backend is chosen, as far as their group wants that: a slow upload then keeps
//! none of its backends busy.

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::exchange::error::ExchangeError;
use crate::exchange::stream::BodyTimeout;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::http::head::ResponseHead;
use crate::http::headers::Headers;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::snapshot::quota::Quota;
use crate::upstream::request::PreparedRequest;
use crate::worker::Worker;

/// Content that waits to be sent. It is counted in bytes against what the process may hold of it.
pub(super) struct RequestBuffer {
    bytes: RefCell<Vec<u8>>,
    /// What was taken of the quota: as much as `bytes` has room for.
    counted: Cell<usize>,
    memory: Arc<Quota>,
}

impl RequestBuffer {
    pub(super) fn new(memory: &Arc<Quota>) -> RequestBuffer {
        RequestBuffer { bytes: RefCell::default(), counted: Cell::new(0), memory: Arc::clone(memory) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    /// Copies what lies behind `offset`, at most `most` bytes, into a buffer that can be framed and sent.
    pub(super) fn slice(&self, offset: usize, most: usize, buffers: &Buffers) -> Buffer {
        let bytes = self.bytes.borrow();
        let rest = bytes.get(offset..).unwrap_or_default();
        let slice = rest.get(..most).unwrap_or(rest);
        let mut piece = buffers.for_body(slice.len());
        piece.tail().extend_from_slice(slice);
        piece
    }

    /// Gives the memory back: all was sent, and there will be no other attempt.
    pub(super) fn release(&self) {
        self.bytes.take();
        self.memory.release_many(self.counted.take());
    }

    /// Appends a piece; false, and nothing done, if the process holds too much already.
    pub(super) fn append(&self, piece: &[u8]) -> bool {
        let mut bytes = self.bytes.borrow_mut();
        let (wanted, counted) = (bytes.len() + piece.len(), self.counted.get());
        if wanted > counted {
            // It grows with what came, not with what was announced, and by halves, so that it is seldom copied.
            let rooms = [wanted.max(counted + counted / 2), wanted];
            let Some(room) = rooms.into_iter().find(|room| self.memory.acquire_many(room - counted)) else {
                return false;
            };
            let more = room - bytes.len();
            bytes.reserve_exact(more);
            self.counted.set(room);
        }
        bytes.extend_from_slice(piece);
        true
    }
}

impl Drop for RequestBuffer {
    fn drop(&mut self) {
        self.release();
    }
}

/// Receives content, behind what came with the head, until it is complete or has `most` bytes, or the process holds too
/// much of it. A client that waits to continue is told so here: no backend is asked yet. What does not fit behind the head
/// is returned.
pub(super) async fn receive<S: Stream>(
    request: &mut PreparedRequest,
    stream: &mut S,
    most: usize,
    expects_continue: bool,
    worker: &Worker,
) -> Result<Option<Rc<RequestBuffer>>, ExchangeError> {
    let (body, reply, _) = stream.parts();
    if body.is_finished() && !request.has_early_piece() {
        return Ok(None);
    }
    let held = RequestBuffer::new(&worker.request_memory);
    let mut piece = request.take_early_piece();
    if expects_continue && !body.is_finished() && body.received_bytes() == 0 {
        write_continue(reply);
        reply.send(None, None).await?;
    }
    loop {
        if let Some(piece) = piece.take()
            && !held.append(piece.filled())
        {
            request.keep_early_piece(piece);
            break;
        }
        if body.is_finished() || held.len() >= most {
            break;
        }
        piece = body.next(BodyTimeout::Limited).await?;
    }
    let last = body.is_finished().then(|| body.trailers());
    Ok(keep_content(request, held, last, worker))
}

/// Keeps content behind the head where all of it fits there; else it is returned.
fn keep_content(
    request: &mut PreparedRequest,
    held: RequestBuffer,
    last: Option<&[u8]>,
    worker: &Worker,
) -> Option<Rc<RequestBuffer>> {
    match (held.len(), last.filter(|_| !request.has_early_piece())) {
        // What came with the head was all; only its end was late.
        (0, Some(trailers)) => request.end(trailers),
        (0, None) => {}
        (bytes, last @ Some(_)) if request.has_room(bytes) => {
            request.append(held.slice(0, bytes, &worker.buffers), last);
        }
        _ => return Some(Rc::new(held)),
    }
    None
}

fn write_continue(reply: &mut impl Reply) {
    // Only clients whose version knows interim responses wait for one.
    reply.interim(&ResponseHead::new(100, &mut Headers::new()));
}
