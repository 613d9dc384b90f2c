//! The life of a connection: its handshake, the streams that the client opens, and its end in steps.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use crate::downstream::client_side::ClientSide;
use crate::downstream::h3::head::NewStream;
use crate::downstream::h3::head::RequestSpawner;
use crate::downstream::h3::shared::Http3Shared;
use crate::downstream::h3::shared::Leave;
use crate::downstream::h3::unidirectional;
use crate::net::task;
use crate::net::timer::Deadline;
use crate::net::timer::TICK;
use crate::proto::h3::fault::ErrorCode;
use crate::quic::connection::QuicConnection;
use crate::quic::end::QuicEnd;
use crate::quic::streams::RecvHalf;
use crate::quic::streams::SendHalf;
use crate::worker::Worker;

/// Between the two steps of an end, so that requests that were under way when it was announced still come: more than a round
/// trip of most clients. The same before the connection is closed, for those that come after.
const STEP: Duration = Duration::from_millis(500);

/// A connection that is never idle is asked so often whether it should end.
const LOOK: Duration = Duration::from_secs(1);

/// Runs a connection whose handshake is done to its end.
pub(in crate::downstream) async fn run(
    (quic, client, deadline): (QuicConnection, ClientSide, Deadline),
    worker: Rc<Worker>,
    spawner: RequestSpawner,
) {
    let Some(shared) = Http3Shared::new(quic, client, worker, deadline) else { return };
    task::spawn(unidirectional::run(Rc::clone(&shared)));
    loop {
        shared.look_at_delivery();
        // Also where requests come all the time.
        if shared.leave.get() == Leave::No && shared.should_end() {
            shared.announce_end();
        }
        if shared.leave.get() != Leave::No && is_over(&shared) {
            return shared.close(ErrorCode::NoError);
        }
        arm(&shared);
        let next = pin!(poll_fn(|cx| poll_next(&shared, cx)));
        match shared.deadline.guard(next).await {
            Ok(DriverEvent::Request(send, recv)) => take_request((send, recv), &shared, &spawner),
            Ok(DriverEvent::Look) => {}
            Ok(DriverEvent::End(end)) => return shared.note_end(end),
            Err(_elapsed) => {
                shared.look_at_delivery();
                if is_over(&shared) {
                    return shared.close(ErrorCode::NoError);
                }
                shared.keep_alive();
            }
        }
    }
}

enum DriverEvent {
    Request(SendHalf, RecvHalf),
    /// Something has changed that the deadline depends on.
    Look,
    End(QuicEnd),
}

fn poll_next(shared: &Http3Shared, cx: &Context<'_>) -> Poll<DriverEvent> {
    shared.register_driver(cx);
    if shared.has_changed() || shared.is_delivering() && shared.quic.poll_delivered(cx).is_ready() {
        return Poll::Ready(DriverEvent::Look);
    }
    match shared.quic.poll_accept_both(cx) {
        Poll::Ready(Ok((send, recv))) => return Poll::Ready(DriverEvent::Request(send, recv)),
        Poll::Ready(Err(end)) => return Poll::Ready(DriverEvent::End(end)),
        Poll::Pending => {}
    }
    shared.quic.poll_closed(cx).map(DriverEvent::End)
}

fn take_request(
    (mut send, mut recv): (SendHalf, RecvHalf),
    shared: &Rc<Http3Shared>,
    spawner: &RequestSpawner,
) {
    let stream = send.id();
    if !shared.codec.borrow().admits(stream) {
        let code = ErrorCode::RequestRejected.to_wire() as u32;
        send.reset(code);
        recv.stop(code);
        return shared.note_early_end();
    }
    shared.note_stream(stream);
    spawner(NewStream { shared: Rc::clone(shared), awaited: shared.await_head(), send, recv });
}

/// Sets the deadline of the next look.
fn arm(shared: &Http3Shared) {
    let now = shared.worker.clock.now();
    let idle = now.since(shared.idle_since.get());
    let since_step = now.since(shared.leave_since.get());
    let wait = match (shared.leave.get(), shared.idle_timeout()) {
        (Leave::No, Some(timeout)) => timeout.saturating_sub(idle),
        // Nobody tells when the client takes nothing more.
        (Leave::No | Leave::Final, None) if shared.is_delivering() => STEP,
        (Leave::No, None) => LOOK,
        (Leave::Announced, _) => STEP.saturating_sub(since_step),
        (Leave::Final, Some(_)) if !shared.awaits_heads() => STEP.saturating_sub(idle.min(since_step)),
        (Leave::Final, _) => LOOK,
    };
    shared.deadline.set_drainable(wait);
    if shared.is_idle() {
        let idle_ticks = (idle.as_millis() / TICK.as_millis()) as u64;
        shared.deadline.mark_idle(shared.worker.timers.ticks().saturating_sub(idle_ticks));
    }
}

/// Does what is due, and tells whether the connection is to be closed.
fn is_over(shared: &Http3Shared) -> bool {
    let now = shared.worker.clock.now();
    let idle = now.since(shared.idle_since.get());
    let since_step = now.since(shared.leave_since.get());
    match shared.leave.get() {
        Leave::No => {
            let is_evicted = shared.is_idle() && shared.deadline.is_evicted();
            let is_too_idle = shared.idle_timeout().is_some_and(|timeout| idle >= timeout);
            if is_evicted || is_too_idle || shared.should_end() {
                shared.announce_end();
            }
            // A client that has begun no request loses none.
            is_evicted || is_too_idle && !shared.has_had_requests() && !shared.awaits_heads()
        }
        Leave::Announced if since_step >= STEP => {
            shared.refuse_further();
            false
        }
        Leave::Announced => false,
        Leave::Final => shared.is_idle() && !shared.awaits_heads() && idle.min(since_step) >= STEP,
    }
}
