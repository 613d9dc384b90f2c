//! From a stream that a client has opened to a request that is to be served.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::downstream::h3::halves::PIECE_BYTES;
use crate::downstream::h3::halves::StreamHalves;
use crate::downstream::h3::shared::AwaitedHead;
use crate::downstream::h3::shared::Http3Shared;
use crate::downstream::h3::stream::RequestTask;
use crate::downstream::multiplex::requests;
use crate::downstream::multiplex::requests::HeadFacts;
use crate::downstream::multiplex::stream_state::Traits;
use crate::exchange;
use crate::exchange::Exchange;
use crate::exchange::message::Origin;
use crate::http::headers::Headers;
use crate::proto::h1::error::HeadError;
use crate::proto::h3::event::RequestEvent;
use crate::proto::h3::fault::ErrorCode;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::priority::Priority;
use crate::proto::h3::request::RequestReader;
use crate::proto::scope::Scope;
use crate::quic::end::StreamFailure;
use crate::quic::streams::RecvHalf;
use crate::quic::streams::SendHalf;
use crate::quic::streams::StreamBytes;
use crate::telemetry::reason::Reason;
use crate::worker::snapshot_ref::SnapshotRef;

/// A stream of which nothing was read.
pub(in crate::downstream) struct NewStream {
    pub(super) shared: Rc<Http3Shared>,
    pub(super) awaited: AwaitedHead,
    pub(super) send: SendHalf,
    pub(super) recv: RecvHalf,
}

/// Starts a task for a stream that a client has opened.
pub(in crate::downstream) type RequestSpawner = Rc<dyn Fn(NewStream)>;

/// Reads the head; None when the stream ended instead.
pub(in crate::downstream) async fn receive(stream: NewStream) -> Option<RequestTask> {
    let NewStream { shared, awaited, send, recv } = stream;
    let halves = Rc::new(StreamHalves::new(send, recv));
    let mut reader = RequestReader::new();
    let (event, unread) = read_head(&mut reader, &halves, &shared).await?;
    let task = begin((reader, unread), event == RequestEvent::HeadTooLarge, &halves, &shared);
    // Before that, the connection could end between the two.
    drop(awaited);
    task
}

/// Reads until the head has come, which the codec holds then, with the bytes behind it.
async fn read_head(
    reader: &mut RequestReader,
    halves: &StreamHalves,
    shared: &Http3Shared,
) -> Option<(RequestEvent, StreamBytes)> {
    let timeout = shared.client.http_term(&shared.worker, |terms| terms.client_header_timeout)?;
    let deadline = shared.worker.timers.deadline();
    deadline.set_drainable(timeout);
    loop {
        let reading = pin!(std::future::poll_fn(|cx| halves.recv.borrow_mut().poll_read(PIECE_BYTES, cx)));
        let mut unread = match deadline.guard(reading).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => {
                give_up_by(reader.handle_end().err().unwrap_or(Fault::RequestIncomplete), halves, shared);
                return None;
            }
            Ok(Err(StreamFailure::Reset(_) | StreamFailure::Stopped(_))) => {
                halves.give_up(ErrorCode::RequestCancelled);
                shared.note_early_end();
                return None;
            }
            Ok(Err(_)) => return None,
            Err(_elapsed) => {
                // Nothing was done for it, so that it may come again (RFC 9114 §4.1.1).
                halves.give_up(ErrorCode::RequestRejected);
                return None;
            }
        };
        while !unread.is_empty() {
            let handled = reader.handle_bytes(&unread, &mut shared.codec.borrow_mut(), shared.now());
            match handled {
                Ok(received) => {
                    drop(unread.split_to(received.consumed));
                    if let Some(event) = received.event {
                        return Some((event, unread));
                    }
                }
                Err(fault) => {
                    give_up_by(fault, halves, shared);
                    return None;
                }
            }
        }
    }
}

/// The client has broken a rule before there was a request.
fn give_up_by(fault: Fault, halves: &StreamHalves, shared: &Http3Shared) {
    // What ends the connection is told with its end.
    if fault.scope() == Scope::Stream {
        shared.record(fault);
    }
    shared.fail_stream(halves, fault);
    shared.note_early_end();
}

/// Begins to serve the request whose head the codec holds.
fn begin(
    (reader, unread): (RequestReader, StreamBytes),
    is_too_large: bool,
    halves: &Rc<StreamHalves>,
    shared: &Rc<Http3Shared>,
) -> Option<RequestTask> {
    // Each request is served from the configuration that is in service when it comes.
    let snapshot = shared.worker.snapshot();
    let Some(origin) = admit(&snapshot, shared) else {
        // The client has to come in again, and may ask again there (RFC 9114 §4.1.1).
        halves.give_up(ErrorCode::RequestRejected);
        shared.announce_end();
        return None;
    };
    let head_bytes = shared.codec.borrow().fields().size();
    let Some(counted) = shared.begin_request(halves, head_bytes) else {
        halves.give_up(ErrorCode::RequestRejected);
        shared.note_early_end();
        return None;
    };
    let mut unread = unread;
    let mut ends = false;
    if unread.is_empty() {
        // Most requests end with their head.
        match halves.read_now() {
            Poll::Ready(Ok(Some(piece))) => unread = piece,
            Poll::Ready(Ok(None)) => {
                if let Err(fault) = reader.handle_end() {
                    give_up_by(fault, halves, shared);
                    return None;
                }
                ends = true;
            }
            _ => {}
        }
    }
    let (exchange, traits) = if is_too_large {
        (refuse(requests::refusal(HeadError::HeadTooLarge), &origin, shared), traits_of_refused(shared))
    } else {
        look(ends, &origin, halves, shared)
    };
    halves.is_read.set(ends);
    shared.look_at_count(origin.http);
    Some(RequestTask {
        shared: Rc::clone(shared),
        halves: Rc::clone(halves),
        reader,
        unread,
        snapshot,
        exchange,
        traits,
        counted,
    })
}

/// Where the request would come from, if the connection may have one more.
fn admit<'s>(snapshot: &'s SnapshotRef, shared: &'s Http3Shared) -> Option<Origin<'s>> {
    let terms = snapshot.listener(shared.client.listener())?;
    if shared.client.is_still_admitted(terms) { shared.origin(terms) } else { None }
}

/// Lets the exchange decide about the request.
fn look(ends: bool, origin: &Origin<'_>, halves: &StreamHalves, shared: &Http3Shared) -> (Exchange, Traits) {
    let codec = shared.codec.borrow();
    let mut headers = Headers::new();
    let message = codec.request(&mut headers);
    if let Some(field) = message.head.headers.iter().find(|field| field.name == b"priority") {
        halves.set_priority(Priority::parse(field.value));
    }
    let facts = HeadFacts { ends, bytes: section_bytes(shared) };
    let (looked, traits) = requests::look(message, &facts, (&shared.client, origin), &shared.worker);
    (looked.unwrap_or_else(|reason| refuse(reason, origin, shared)), traits)
}

/// An exchange that refuses the request whose head the codec holds.
fn refuse(reason: Reason, origin: &Origin<'_>, shared: &Http3Shared) -> Exchange {
    let codec = shared.codec.borrow();
    exchange::refuse(reason, &codec.partial_head(), shared.worker.clock.now(), origin, &shared.worker)
}

fn traits_of_refused(shared: &Http3Shared) -> Traits {
    let codec = shared.codec.borrow();
    let is_head = codec.fields().iter().any(|field| field.name == b":method" && field.value == b"HEAD");
    Traits { is_head, wants_tunnel: false, head_bytes: section_bytes(shared) }
}

fn section_bytes(shared: &Http3Shared) -> u32 {
    u32::try_from(shared.codec.borrow().section_bytes()).unwrap_or(u32::MAX)
}
