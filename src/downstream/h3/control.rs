//! Our control stream (RFC 9114 §6.2.1), which lasts as long as the connection.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use crate::downstream::h3::shared::Http3Shared;
use crate::proto::h3::fault::Fault;
use crate::quic::end::StreamFailure;
use crate::quic::streams::SendHalf;
use crate::quic::streams::StreamBytes;

/// Says what there is to say, until the connection ends.
pub(super) async fn run(shared: Rc<Http3Shared>) {
    let Ok(mut stream) = shared.quic.open_one().await else { return };
    let mut unsent = StreamBytes::new();
    let failure = poll_fn(|cx| {
        loop {
            if unsent.is_empty() {
                unsent = std::mem::take(&mut *shared.control_output.borrow_mut()).into();
            }
            if unsent.is_empty() {
                shared.control.register(cx);
                return wait_for_refusal(&mut stream, cx);
            }
            match stream.poll_write(&mut unsent, cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(failure)) => return Poll::Ready(failure),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    // "Likewise, the receiver MUST NOT request that the sender close the control stream."
    if let StreamFailure::Stopped(_) = failure {
        shared.fail(Fault::CriticalStreamClosed);
    }
}

/// Waits until the client does not want the stream any more.
fn wait_for_refusal(stream: &mut SendHalf, cx: &std::task::Context<'_>) -> Poll<StreamFailure> {
    match stream.poll_done(cx) {
        Poll::Ready(Err(failure)) => Poll::Ready(failure),
        Poll::Ready(Ok(())) => Poll::Ready(StreamFailure::Ended),
        Poll::Pending => Poll::Pending,
    }
}
