//! The two halves of a stream.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use quinn_proto::Dir;
use quinn_proto::FinishError;
use quinn_proto::ReadError;
use quinn_proto::StreamId;
use quinn_proto::VarInt;
use quinn_proto::WriteError;

use crate::quic::end::StreamFailure;
use crate::quic::shared::QuicShared;
use crate::quic::shared::StreamHalf;

/// What is received and sent: memory that is shared where it is cut.
pub type StreamBytes = Bytes;

/// Shorter pieces are copied out of the datagram that they came in, which is freed so.
const SMALL_BYTES: usize = 512;

/// What is sent on a stream. Dropped before it is finished, it is reset.
pub struct SendHalf {
    shared: Rc<QuicShared>,
    id: StreamId,
    /// It was finished, reset, or stopped by the peer.
    is_over: bool,
}

/// What is received on a stream. Dropped before its end, the peer is asked to stop.
pub struct RecvHalf {
    shared: Rc<QuicShared>,
    id: StreamId,
    is_over: bool,
}

impl SendHalf {
    pub(super) fn new(shared: Rc<QuicShared>, id: StreamId) -> SendHalf {
        SendHalf { shared, id, is_over: false }
    }

    /// The number of the stream (RFC 9000 §2.1).
    pub fn id(&self) -> u64 {
        VarInt::from(self.id).into_inner()
    }

    /// Takes what there is room for out of `bytes`, at least one if there are any, without a copy; gives how many.
    pub fn poll_write(&mut self, bytes: &mut Bytes, cx: &Context<'_>) -> Poll<Result<usize, StreamFailure>> {
        let mut state = self.shared.state.borrow_mut();
        if let Some(end) = state.end {
            return Poll::Ready(Err(StreamFailure::Connection(end)));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = state.connection.send_stream(self.id).write_chunks(std::slice::from_mut(bytes));
        match written {
            Ok(written) => {
                drop(state);
                self.shared.touch();
                Poll::Ready(Ok(written.bytes))
            }
            Err(WriteError::Blocked) => {
                // Where all streams together have no room, quinn-proto does not look whether this one is wanted.
                if let Ok(Some(code)) = state.connection.send_stream(self.id).stopped() {
                    return Poll::Ready(Err(StreamFailure::Stopped(code.into_inner())));
                }
                state.wait_stream(self.id, StreamHalf::Write, cx);
                drop(state);
                // The peer is told that it holds us up.
                self.shared.touch();
                Poll::Pending
            }
            Err(WriteError::Stopped(code)) => Poll::Ready(Err(StreamFailure::Stopped(code.into_inner()))),
            Err(WriteError::ClosedStream) => Poll::Ready(Err(StreamFailure::Ended)),
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The peer does not want it, or the connection is over.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StreamFailure> {
        let mut left = bytes;
        while !left.is_empty() {
            poll_fn(|cx| self.poll_write(&mut left, cx)).await?;
        }
        Ok(())
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// The peer does not want what was written, or the connection is over.
    pub fn finish(&mut self) -> Result<(), StreamFailure> {
        let mut state = self.shared.state.borrow_mut();
        if let Some(end) = state.end {
            return Err(StreamFailure::Connection(end));
        }
        let finished = state.connection.send_stream(self.id).finish();
        if finished.is_ok() {
            state.finishing.push(self.id);
        }
        drop(state);
        self.is_over = true;
        self.shared.touch();
        finished.map_err(|error| match error {
            FinishError::Stopped(code) => StreamFailure::Stopped(code.into_inner()),
            FinishError::ClosedStream => StreamFailure::Ended,
        })
    }

    /// Sends no more of it, not even what was written (RESET_STREAM).
    pub fn reset(&mut self, code: u32) {
        self.reset_with(VarInt::from_u32(code));
    }

    fn reset_with(&mut self, code: VarInt) {
        self.is_over = true;
        let mut state = self.shared.state.borrow_mut();
        // It may be over already, which is as good.
        let _ = state.connection.send_stream(self.id).reset(code);
        state.finishing.retain(|finishing| *finishing != self.id);
        drop(state);
        self.shared.touch();
    }

    /// Streams with a higher priority send first; those with the same in turn. 0 at first.
    pub fn set_priority(&self, priority: i32) {
        // Of a stream that is over, it does not matter.
        let _ = self.shared.state.borrow_mut().connection.send_stream(self.id).set_priority(priority);
    }

    /// Waits until the peer has everything up to the end, or does not want it any more.
    ///
    /// # Errors
    /// The peer does not want it, or the connection is over.
    pub fn poll_done(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamFailure>> {
        let mut state = self.shared.state.borrow_mut();
        if let Some(end) = state.end {
            return Poll::Ready(Err(StreamFailure::Connection(end)));
        }
        let stopped = state.connection.send_stream(self.id).stopped();
        match stopped {
            Ok(None) => {
                state.wait_stream(self.id, StreamHalf::Write, cx);
                Poll::Pending
            }
            Ok(Some(code)) => Poll::Ready(Err(StreamFailure::Stopped(code.into_inner()))),
            // What the peer has is forgotten.
            Err(_) => Poll::Ready(Ok(())),
        }
    }

    /// See [`SendHalf::poll_done`].
    pub async fn done(&mut self) -> Result<(), StreamFailure> {
        poll_fn(|cx| self.poll_done(cx)).await
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        let mut state = self.shared.state.borrow_mut();
        state.forget_wait(self.id, StreamHalf::Write);
        if self.id.dir() == Dir::Bi {
            state.served_streams = state.served_streams.saturating_sub(1);
        }
        let (is_open, code) = (state.end.is_none(), state.abandoned_stream);
        drop(state);
        if is_open && !self.is_over {
            self.reset_with(code);
        }
    }
}

impl RecvHalf {
    pub(super) fn new(shared: Rc<QuicShared>, id: StreamId) -> RecvHalf {
        RecvHalf { shared, id, is_over: false }
    }

    /// The number of the stream (RFC 9000 §2.1).
    pub fn id(&self) -> u64 {
        VarInt::from(self.id).into_inner()
    }

    /// The next piece, in order, of at most `most` bytes; None at the end. What is not read holds the peer up.
    pub fn poll_read(&mut self, most: usize, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, StreamFailure>> {
        if self.is_over {
            return Poll::Ready(Err(StreamFailure::Ended));
        }
        let mut state = self.shared.state.borrow_mut();
        let mut stream = state.connection.recv_stream(self.id);
        // What came before the connection ended was not asked for in time.
        let read = match stream.read(true) {
            Ok(mut chunks) => {
                let read = chunks.next(most);
                (read, chunks.finalize().should_transmit())
            }
            Err(_) => return Poll::Ready(Err(StreamFailure::Ended)),
        };
        let outcome = match read.0 {
            Ok(Some(chunk)) if chunk.bytes.len() < SMALL_BYTES => {
                Poll::Ready(Ok(Some(Bytes::copy_from_slice(&chunk.bytes))))
            }
            Ok(Some(chunk)) => Poll::Ready(Ok(Some(chunk.bytes))),
            Ok(None) => {
                self.is_over = true;
                Poll::Ready(Ok(None))
            }
            Err(ReadError::Reset(code)) => {
                self.is_over = true;
                Poll::Ready(Err(StreamFailure::Reset(code.into_inner())))
            }
            Err(ReadError::Blocked) => match state.end {
                Some(end) => Poll::Ready(Err(StreamFailure::Connection(end))),
                None => {
                    state.wait_stream(self.id, StreamHalf::Read, cx);
                    Poll::Pending
                }
            },
        };
        drop(state);
        if read.1 {
            self.shared.touch();
        }
        outcome
    }

    /// See [`RecvHalf::poll_read`].
    pub async fn read(&mut self, most: usize) -> Result<Option<Bytes>, StreamFailure> {
        poll_fn(|cx| self.poll_read(most, cx)).await
    }

    /// Asks the peer to send no more of it (STOP_SENDING).
    pub fn stop(&mut self, code: u32) {
        self.stop_with(VarInt::from_u32(code));
    }

    fn stop_with(&mut self, code: VarInt) {
        self.is_over = true;
        // It may be over already, which is as good.
        let _ = self.shared.state.borrow_mut().connection.recv_stream(self.id).stop(code);
        self.shared.touch();
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        let mut state = self.shared.state.borrow_mut();
        state.forget_wait(self.id, StreamHalf::Read);
        let (is_open, code) = (state.end.is_none(), state.abandoned_stream);
        drop(state);
        if is_open && !self.is_over {
            self.stop_with(code);
        }
    }
}
