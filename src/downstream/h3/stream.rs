//! The task of one request, and how an exchange sees its stream.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::downstream::h3::body::Body;
use crate::downstream::h3::halves::StreamHalves;
use crate::downstream::h3::reply::Reply;
use crate::downstream::h3::shared::CountedRequest;
use crate::downstream::h3::shared::Http3Shared;
use crate::downstream::multiplex::reply_progress::ReplyProgress;
use crate::downstream::multiplex::stream_parts::StreamParts;
use crate::downstream::multiplex::stream_state::StreamError;
use crate::downstream::multiplex::stream_state::Traits;
use crate::exchange;
use crate::exchange::Exchange;
use crate::exchange::stream::ClientWatch;
use crate::proto::h3::fault::ErrorCode;
use crate::proto::h3::request::RequestReader;
use crate::quic::streams::StreamBytes;
use crate::telemetry::reason::Reason;
use crate::worker::snapshot_ref::SnapshotRef;

/// A request that is to be served, on a stream.
pub(in crate::downstream) struct RequestTask {
    pub(super) shared: Rc<Http3Shared>,
    pub(super) halves: Rc<StreamHalves>,
    pub(super) reader: RequestReader,
    /// What was read behind the head.
    pub(super) unread: StreamBytes,
    /// What it is served from.
    pub(super) snapshot: SnapshotRef,
    pub(super) exchange: Exchange,
    pub(super) traits: Traits,
    pub(super) counted: CountedRequest,
}

/// Serves the request.
pub(in crate::downstream) async fn serve(job: RequestTask) {
    let RequestTask { shared, halves, reader, unread, snapshot, mut exchange, traits, counted } = job;
    let ending = RequestEnd { shared: &shared, halves: &halves };
    let terms = snapshot.listener(shared.client.listener());
    if let Some(origin) = terms.and_then(|terms| shared.origin(terms)) {
        let timeout = exchange.body_timeout(&origin);
        let progress = ReplyProgress::new((origin.http, timeout), (traits, exchange.paced()));
        let mut stream = StreamParts {
            body: Body::new((&shared, &halves), (reader, unread), (origin.http, timeout), &exchange),
            reply: Reply::new((&shared, &halves), progress),
            watch: ClientPresence { shared: &shared, halves: &halves },
            head_bytes: traits.head_bytes,
        };
        if halves.is_over_now() {
            // Cancelled right behind its head, before this task had its first turn: nothing is begun for it.
            exchange::abandon(&mut exchange, &mut stream, &origin, &shared.worker);
        } else {
            exchange::serve(&mut exchange, &mut stream, &origin, &shared.worker).await;
        }
    }
    drop(ending);
    drop(counted);
}

/// Ends the stream, also when its task panics.
struct RequestEnd<'s> {
    shared: &'s Http3Shared,
    halves: &'s StreamHalves,
}

impl Drop for RequestEnd<'_> {
    fn drop(&mut self) {
        if self.halves.is_answered.get() {
            return;
        }
        match self.halves.error() {
            // We or a backend broke off: as with HTTP/2, that costs the client nothing.
            None => self.halves.give_up(ErrorCode::InternalError),
            Some(StreamError::Connection) => {}
            Some(error) => {
                if error == StreamError::Client {
                    self.halves.give_up(ErrorCode::RequestCancelled);
                }
                self.shared.note_early_end();
            }
        }
    }
}

struct ClientPresence<'s> {
    shared: &'s Http3Shared,
    halves: &'s StreamHalves,
}

impl ClientWatch for ClientPresence<'_> {
    fn disconnected(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| if self.is_disconnected(cx) { Poll::Ready(()) } else { Poll::Pending })
    }

    fn is_disconnected(&self, cx: &Context<'_>) -> bool {
        self.halves.is_over(cx)
    }

    fn cause(&self) -> Option<Reason> {
        self.halves.error()?.reason(self.shared.end_reason.get())
    }

    fn round_trip_us(&self) -> Option<u32> {
        u32::try_from(self.shared.quic.counters().round_trip.as_micros()).ok()
    }
}
