//! The task of a connection: it receives and sends for all streams.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::net::buffer::Buffer;
use crate::net::buffer::TAILROOM_BYTES;
use crate::net::task;
use crate::proto::h2::limits::MAX_OUTPUT_BYTES;
use crate::upstream::h2::connection::SharedConnection;

/// Drives a connection to its end.
pub(super) async fn drive(shared: Rc<SharedConnection>) {
    let lost = poll_fn(|cx| {
        let state = shared.state();
        state.driver.register(cx);
        if state.is_lost { Poll::Ready(()) } else { Poll::Pending }
    });
    // What came is dealt with first, so that answers to it leave in the same send.
    task::race(lost, task::race(pin!(receive(&shared)), pin!(send(&shared)))).await;
    shared.lose();
}

/// Receives until the backend ends the connection, or breaks it.
async fn receive(shared: &SharedConnection) {
    let mut rest: Option<Buffer> = None;
    let mut is_busy = false;
    loop {
        // Waiting holds no buffer but the beginning of a frame.
        if shared.connection.transport.readable().await.is_err() {
            return;
        }
        let mut buffer = match shared.open_streams() {
            // With TLS, what comes may be the beginning of something that takes its time.
            0 => shared.buffers.tiny(),
            _ if is_busy => shared.buffers.large(),
            _ => shared.buffers.small(),
        };
        if let Some(rest) = rest.take() {
            buffer.tail().extend_from_slice(rest.filled());
            buffer.make_room(TAILROOM_BYTES + 1);
        }
        let spare = buffer.spare();
        let (received, mut buffer) = shared.connection.transport.receive(buffer).await;
        let Ok(count @ 1..) = received else { return };
        shared.heard();
        is_busy = count * 2 > spare;
        loop {
            take_in(shared, &mut buffer);
            if !is_output_full(shared) {
                break;
            }
            // The backend makes us answer and does not read: it is read from when it has.
            poll_fn(|_cx| if is_output_full(shared) { Poll::Pending } else { Poll::Ready(()) }).await;
        }
        rest = (!buffer.is_empty()).then(|| {
            let mut rest = shared.buffers.small();
            rest.tail().extend_from_slice(buffer.filled());
            rest
        });
    }
}

/// Hands received bytes to the codec, as far as it takes them.
fn take_in(shared: &SharedConnection, buffer: &mut Buffer) {
    loop {
        let now = shared.now();
        let received = shared.state().codec.handle_bytes(buffer.filled(), now);
        let Some(event) = received.event else {
            buffer.consume(received.consumed);
            return;
        };
        shared.handle(event, buffer.filled());
        buffer.consume(received.consumed);
    }
}

fn is_output_full(shared: &SharedConnection) -> bool {
    let state = shared.state();
    !state.is_over() && state.codec.output_bytes() > MAX_OUTPUT_BYTES
}

/// Sends what the streams and the codec have written, as much as there is at a time, until the connection is
/// over or breaks.
async fn send(shared: &SharedConnection) {
    let mut spare: Option<Buffer> = None;
    loop {
        let has_more = poll_fn(|_cx| {
            let state = shared.state();
            match state.codec.output_bytes() {
                1.. => Poll::Ready(true),
                0 if state.is_over() => Poll::Ready(false),
                0 => Poll::Pending,
            }
        });
        if !has_more.await {
            return;
        }
        let mut buffer = spare.take().unwrap_or_else(|| shared.buffers.small());
        {
            let mut state = shared.state();
            // The memory of both changes places, so that a busy connection allocates none.
            state.codec.poll_output(buffer.tail());
            state.is_sending = true;
            state.call_queue();
        }
        let (sent, mut buffer) = shared.connection.transport.send(buffer).await;
        shared.state().is_sending = false;
        if sent.is_err() {
            return;
        }
        buffer.clear();
        spare = (shared.open_streams() > 0).then_some(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each connection to a backend has one.
    #[test]
    fn the_future_of_a_connection_is_no_larger_than_it_was() {
        fn size_of_future<A, F: Future>(_make: impl FnOnce(A) -> F) -> usize {
            size_of::<F>()
        }
        let size = size_of_future(drive);
        assert!(size <= 560, "{size} bytes");
    }
}
