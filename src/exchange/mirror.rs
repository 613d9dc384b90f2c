//! Copies of requests for another group. What becomes of them is nobody's concern: they neither delay nor fail the request
//! that they are of.

use std::future::Future;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use crate::exchange::error::ExchangeError;
use crate::exchange::forward::Forward;
use crate::exchange::forward::ForwardTo;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::record::Recording;
use crate::exchange::request;
use crate::exchange::request::Changes;
use crate::exchange::request_buffer::RequestBuffer;
use crate::exchange::stream::BodyError;
use crate::exchange::stream::BodyTimeout;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::exchange::stream::ReplyError;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::StartFacts;
use crate::exchange::stream::Stream;
use crate::exchange::subrequest::NothingMore;
use crate::exchange::subrequest::Subrequest;
use crate::exchange::trace;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::net::buffer::Buffer;
use crate::net::task;
use crate::policy::forwarded::Client;
use crate::snapshot::group::Group;
use crate::snapshot::rules::Mirror;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;
use crate::worker::mirrors::MirrorPlace;
use crate::worker::spans::PendingTrace;

/// Content that one copy may have. It is held as a whole until the request was received.
const MAX_CONTENT: usize = 1024 * 1024;

/// Bytes of a response that are thrown away. A connection with more to come is closed.
const MAX_DISCARDED: usize = 1024 * 1024;

/// How long a copy may take, whatever the timeouts of its group allow.
const MAX_TIME: Duration = Duration::from_secs(60);

/// A request that is copied while it is forwarded.
pub(super) struct Mirrored {
    pub(super) forward: Forward,
    pub(super) copy: RequestCopy,
}

/// A copy that waits for the content of its request.
pub(super) struct RequestCopy {
    group: Arc<Group>,
    /// Gone once it was sent, or given up.
    forward: Option<Forward>,
    content: RequestBuffer,
    with_content: bool,
    /// Of the content.
    length: BodyLength,
    /// What a collector is told of it.
    trace: Option<Box<PendingTrace>>,
}

/// Writes the copy of a request that chance and the mirror choose.
pub(super) fn prepare(
    request: &Request<'_, '_>,
    (client, origin): (&Client<'_>, &Origin<'_>),
    mirror: &Mirror,
    changes: &Changes<'_>,
    worker: &Worker,
) -> Option<RequestCopy> {
    let group = origin.listener.shared_group(mirror.group)?;
    // A tunnel cannot be in two places.
    if request.upgrade.is_some() || !mirror.takes(|| worker.chance()) {
        return None;
    }
    let with_content = mirror.with_content && !request.length.is_empty();
    if let BodyLength::Exact(bytes) = request.length
        && with_content
        && bytes > MAX_CONTENT as u64
    {
        give_up(&group, "its content has more than 1 MiB");
        return None;
    }
    let copied = if with_content { request.length } else { BodyLength::Empty };
    let changes = Changes { copied: Some(copied), ..*changes };
    let copy = request::prepare(request, (client, origin), (mirror.group, &group), &changes, worker);
    let copy = Forward { request_buffer: 0, expects_continue: false, compression: None, ..copy };
    let content = RequestBuffer::new(&worker.mirrors.memory);
    let trace = trace::record_copy(request, client, origin, worker);
    Some(RequestCopy { group, forward: Some(copy), content, with_content, length: request.length, trace })
}

/// Forwards the request, and sends the copy as soon as all of its content is there.
pub(super) async fn run<S: Stream>(
    mirrored: &mut Mirrored,
    stream: &mut S,
    recording: &mut Recording,
    to: &ForwardTo<'_>,
) -> Result<(), ExchangeError> {
    let Mirrored { forward, copy } = mirrored;
    let (inner, reply, watch) = stream.parts();
    let mut body = CopiedBody { inner, copy, worker: to.worker };
    body.send_if_whole();
    forward.run(&mut CopiedStream::<S> { body, reply, watch }, recording, to).await
}

/// Tells the operator that a copy is not made.
fn give_up(group: &Group, why: &str) {
    log_repeatedly(MessageKind::Mirror, || {
        format!("warning: a request is not copied to group \"{}\": {why}", group.name)
    });
}

/// A stream whose content is copied as it is read.
struct CopiedStream<'s, S: Stream> {
    body: CopiedBody<'s, S::Body>,
    reply: &'s mut S::Reply,
    watch: &'s S::ClientWatch,
}

impl<'s, S: Stream> Stream for CopiedStream<'s, S> {
    type Body = CopiedBody<'s, S::Body>;
    type Reply = S::Reply;
    type ClientWatch = S::ClientWatch;

    fn parts(&mut self) -> (&mut Self::Body, &mut S::Reply, &S::ClientWatch) {
        (&mut self.body, self.reply, self.watch)
    }

    fn head_bytes(&self) -> u64 {
        0
    }
}

struct CopiedBody<'s, B> {
    inner: &'s mut B,
    copy: &'s mut RequestCopy,
    worker: &'s Worker,
}

impl RequestCopy {
    /// Whether all content that was announced is there: the end of a stream may come later, and nobody waits for it.
    fn has_all(&self) -> bool {
        matches!(self.length, BodyLength::Exact(length) if self.content.len() as u64 >= length)
    }
}

impl<B: RequestBody> CopiedBody<'_, B> {
    fn take(&mut self, piece: Option<&Buffer>) {
        if let (Some(piece), true) = (piece, self.copy.with_content && self.copy.forward.is_some()) {
            let fits = self.copy.content.len() + piece.len() <= MAX_CONTENT;
            if !fits || !self.copy.content.append(piece.filled()) {
                self.copy.forward = None;
                self.copy.content.release();
                give_up(
                    &self.copy.group,
                    if fits { "copies hold 16 MiB already" } else { "its content has more than 1 MiB" },
                );
            }
        }
        self.send_if_whole();
    }

    /// Lets the copy go its own way once nothing more is to come for it.
    fn send_if_whole(&mut self) {
        if self.copy.with_content && !self.inner.is_finished() && !self.copy.has_all() {
            return;
        }
        let Some(mut forward) = self.copy.forward.take() else { return };
        let place = self.worker.shared().zip(self.worker.mirrors.begin());
        let Some((worker, place)) = place else {
            return give_up(&self.copy.group, "256 copies are on their way");
        };
        if self.copy.content.len() > 0 {
            let nothing = RequestBuffer::new(&worker.mirrors.memory);
            forward.buffered = Some(Rc::new(std::mem::replace(&mut self.copy.content, nothing)));
        }
        let recording = Recording::unlogged(self.copy.trace.take(), &worker);
        task::spawn(send(forward, Arc::clone(&self.copy.group), (worker, recording), place));
    }
}

/// Sends a copy, and throws the response away.
async fn send(
    mut forward: Forward,
    group: Arc<Group>,
    (worker, mut recording): (Rc<Worker>, Recording),
    _place: MirrorPlace,
) {
    let mut stream = Subrequest { body: NothingMore, reply: Discarded(MAX_DISCARDED), watch: &Nobody };
    let to = &ForwardTo { group: &group, worker: &worker, terms: None };
    {
        let sent = pin!(forward.run(&mut stream, &mut recording, to));
        let mut is_late = pin!(worker.timers.sleep(MAX_TIME));
        // Whatever comes of it, nobody waits.
        let _ = task::unless(sent, |cx| is_late.as_mut().poll(cx)).await;
    }
    if let Some(trace) = recording.into_trace() {
        trace::end_copy(trace, &group, &worker);
    }
}

impl<B: RequestBody> RequestBody for CopiedBody<'_, B> {
    fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    fn at_hand(&mut self) -> Result<Option<Buffer>, BodyError> {
        let piece = self.inner.at_hand()?;
        self.take(piece.as_ref());
        Ok(piece)
    }

    async fn next(&mut self, bound: BodyTimeout) -> Result<Option<Buffer>, BodyError> {
        let piece = self.inner.next(bound).await?;
        self.take(piece.as_ref());
        Ok(piece)
    }

    fn trailers(&self) -> &[u8] {
        self.inner.trailers()
    }

    fn become_tunnel(&mut self) {
        self.inner.become_tunnel();
    }

    fn received_bytes(&self) -> u64 {
        self.inner.received_bytes()
    }
}

/// A response of which this many bytes more are thrown away.
struct Discarded(usize);

impl Reply for Discarded {
    fn is_started(&self) -> bool {
        false
    }

    fn can_delimit(&self) -> bool {
        true
    }

    fn room(&self) -> usize {
        self.0
    }

    fn retract(&mut self) -> bool {
        false
    }

    fn can_end_with_trailers(&self) -> bool {
        false
    }

    fn interim(&mut self, _head: &ResponseHead<'_, '_>) -> bool {
        false
    }

    fn start(&mut self, _head: &ResponseHead<'_, '_>, _facts: &StartFacts<'_>) {}

    async fn send(&mut self, piece: Option<Buffer>, _last: Option<&[u8]>) -> Result<(), ReplyError> {
        let bytes = piece.as_ref().map_or(0, Buffer::len);
        self.0 = self.0.checked_sub(bytes).ok_or(ReplyError::Gone)?;
        Ok(())
    }

    fn content_bytes(&self) -> u64 {
        0
    }

    fn sent_bytes(&self) -> u64 {
        0
    }
}

/// Nobody waits for the response to a copy, so that nobody leaves.
struct Nobody;

impl ClientWatch for Nobody {
    fn disconnected(&self) -> impl Future<Output = ()> {
        pending()
    }

    fn is_disconnected(&self, _cx: &Context<'_>) -> bool {
        false
    }

    fn cause(&self) -> Option<Reason> {
        None
    }

    fn round_trip_us(&self) -> Option<u32> {
        None
    }
}
