//! Both directions of a relayed connection side by side, until its end or a long silence.

use std::pin::pin;
use std::task::Context;
use std::task::Poll;

use crate::net::buffer::Buffer;
use crate::net::task;
use crate::relay::end::SessionEnd;
use crate::relay::flow::Flow;
use crate::relay::flow::FlowTerms;
use crate::relay::silence::Milestone;
use crate::snapshot::backend::Backend;
use crate::snapshot::bandwidth::Direction;
use crate::worker::Worker;

/// Relays bytes both ways until both sides have ended, or one is gone. None: both have been silent for long, and
/// `may_rest` has said that the connection need not wait here.
pub(super) async fn relay(
    input: Option<Buffer>,
    terms: &FlowTerms<'_>,
    backend: &Backend,
    mut may_rest: impl FnMut() -> bool,
) -> Option<SessionEnd> {
    let up = Flow { direction: Direction::Up, terms };
    let down = Flow { direction: Direction::Down, terms };
    // Futures are pinned where they are made: moved, they would be held twice.
    let (up, down) = (pin!(up.run(input)), pin!(down.run(None)));
    let both = pin!(task::join(up, down));
    // A silent wait is woken by its deadline, but a busy connection moves that before it passes.
    let when_cut_off = |_: &mut Context<'_>| match cut_off(backend, terms.worker) {
        Some(end) => Poll::Ready(end),
        None => Poll::Pending,
    };
    let mut both = pin!(task::unless(both, when_cut_off));
    let end = loop {
        let outcome = terms.silence.deadline.guard(both.as_mut()).await;
        match (outcome, cut_off(backend, terms.worker)) {
            (Ok(Ok(Ok(()))), _) => break SessionEnd::Complete,
            (Ok(Ok(Err(end)) | Err(end)), _) | (Err(_), Some(end)) => break end,
            (Err(_elapsed), None) => {
                if is_over(terms) {
                    break SessionEnd::Idle;
                }
                if terms.course.is_silent() && may_rest() {
                    return None;
                }
            }
        }
    };
    let is_cut = matches!(
        end,
        SessionEnd::ClientReset | SessionEnd::Drained | SessionEnd::BackendDown | SessionEnd::Stopped
    );
    if is_cut || end == SessionEnd::Idle && terms.backend.has_unsent() {
        terms.backend.reset_on_close();
    }
    Some(end)
}

/// Does what is due after so long a silence; whether it has lasted as long as it may.
fn is_over(terms: &FlowTerms<'_>) -> bool {
    match terms.silence.reached() {
        Milestone::Rest => false,
        Milestone::AskBackend => {
            terms.backend.socket().keep_alive();
            false
        }
        Milestone::End => !terms.silence.goes_on([&terms.client.transport, terms.backend]),
    }
}

/// Why the connection is not to go on whatever the two sides do, if it is not.
pub(super) fn cut_off(backend: &Backend, worker: &Worker) -> Option<SessionEnd> {
    if worker.is_stop_over() {
        return Some(SessionEnd::Stopped);
    }
    match (backend.health.drain_expired(), backend.health.is_cut_off()) {
        (true, _) => Some(SessionEnd::Drained),
        (false, true) => Some(SessionEnd::BackendDown),
        (false, false) => None,
    }
}
