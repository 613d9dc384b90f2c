//! Our control stream (RFC 9114 §6.2.1), which lasts as long as the connection.

use std::task::Context;
use std::task::Poll;

use crate::downstream::h3::shared::Http3Shared;
use crate::proto::h3::fault::Fault;
use crate::quic::end::StreamFailure;
use crate::quic::streams::SendHalf;
use crate::quic::streams::StreamBytes;

#[derive(Default)]
pub(super) struct ControlStream {
    /// None: the client has not let us open it, or it is over.
    stream: Option<SendHalf>,
    has_been_opened: bool,
    unsent: StreamBytes,
}

impl ControlStream {
    /// Says what there is to say.
    pub(super) fn poll(&mut self, shared: &Http3Shared, cx: &Context<'_>) {
        if !self.has_been_opened
            && let Poll::Ready(Ok(stream)) = shared.quic.poll_open_one(cx)
        {
            (self.stream, self.has_been_opened) = (Some(stream), true);
        }
        let Some(stream) = &mut self.stream else { return };
        if let Poll::Ready(failure) = poll_stream(stream, &mut self.unsent, shared, cx) {
            self.stream = None;
            // "Likewise, the receiver MUST NOT request that the sender close the control stream."
            if let StreamFailure::Stopped(_) = failure {
                shared.fail(Fault::CriticalStreamClosed);
            }
        }
    }
}

/// Ready when nothing more can be said.
fn poll_stream(
    stream: &mut SendHalf,
    unsent: &mut StreamBytes,
    shared: &Http3Shared,
    cx: &Context<'_>,
) -> Poll<StreamFailure> {
    loop {
        if unsent.is_empty() {
            *unsent = std::mem::take(&mut *shared.control_output.borrow_mut()).into();
        }
        if unsent.is_empty() {
            shared.control.register(cx);
            return wait_for_refusal(stream, cx);
        }
        match std::task::ready!(stream.poll_write(unsent, cx)) {
            Ok(_) => {}
            Err(failure) => return Poll::Ready(failure),
        }
    }
}

/// Waits until the client does not want the stream any more.
fn wait_for_refusal(stream: &mut SendHalf, cx: &Context<'_>) -> Poll<StreamFailure> {
    match std::task::ready!(stream.poll_done(cx)) {
        Err(failure) => Poll::Ready(failure),
        Ok(()) => Poll::Ready(StreamFailure::Ended),
    }
}
