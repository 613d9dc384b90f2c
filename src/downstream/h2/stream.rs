//! The task of one stream, and how an exchange sees the stream.

use std::future::Future;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::downstream::h2::body::Body;
use crate::downstream::h2::reply::Reply;
use crate::downstream::h2::shared::Shared;
use crate::downstream::multiplex::reply_progress::ReplyProgress;
use crate::downstream::multiplex::stream_parts::StreamParts;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::downstream::multiplex::stream_state::Traits;
use crate::exchange;
use crate::exchange::Exchange;
use crate::exchange::stream::ClientWatch;
use crate::telemetry::reason::Reason;
use crate::worker::snapshot_ref::SnapshotRef;

/// A request that is to be served, on a stream.
pub(crate) struct StreamTask {
    pub(super) shared: Rc<Shared>,
    pub(super) state: Rc<StreamState>,
    /// What it is served from.
    pub(super) snapshot: SnapshotRef,
    pub(super) exchange: Exchange,
    pub(super) traits: Traits,
}

/// Starts a task that serves one stream.
pub(in crate::downstream) type Spawner = Rc<dyn Fn(StreamTask)>;

/// Serves the request.
pub(crate) async fn serve(job: StreamTask) {
    let StreamTask { shared, state, snapshot, mut exchange, traits } = job;
    let ending = StreamEnd { shared: &shared, state: &state };
    let terms = snapshot.listener(shared.connection.listener());
    if let Some(origin) = terms.and_then(|terms| shared.origin(terms)) {
        let timeout = exchange.body_timeout(&origin);
        let progress = ReplyProgress::new((origin.http, timeout), (traits, exchange.paced()));
        let mut stream = StreamParts {
            body: Body::new((&shared, &state), origin.http, timeout, (traits.wants_tunnel, &exchange)),
            reply: Reply::new(&shared, &state, progress),
            watch: ClientPresence { shared: &shared, state: &state },
            head_bytes: traits.head_bytes,
        };
        if state.error().is_some() {
            // Cancelled right behind its head, before this task had its first turn: nothing is begun for it.
            exchange::abandon(&mut exchange, &mut stream, &origin, &shared.worker);
        } else {
            exchange::serve(&mut exchange, &mut stream, &origin, &shared.worker).await;
        }
    }
    drop(ending);
}

/// Ends the stream, also when its task panics.
struct StreamEnd<'s> {
    shared: &'s Shared,
    state: &'s StreamState,
}

impl Drop for StreamEnd<'_> {
    fn drop(&mut self) {
        self.shared.end_stream(self.state);
    }
}

struct ClientPresence<'s> {
    shared: &'s Shared,
    state: &'s StreamState,
}

impl ClientWatch for ClientPresence<'_> {
    fn disconnected(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| if self.is_disconnected(cx) { Poll::Ready(()) } else { Poll::Pending })
    }

    fn is_disconnected(&self, cx: &Context<'_>) -> bool {
        self.state.register_task(cx);
        self.state.error().is_some()
    }

    fn cause(&self) -> Option<Reason> {
        self.state.error()?.reason(self.shared.end_reason.get())
    }

    fn round_trip_us(&self) -> Option<u32> {
        self.shared.connection.round_trip_us()
    }
}
