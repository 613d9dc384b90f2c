//! Asking a service of the operator's whether a request may pass.

use std::future::Future;
use std::pin::pin;

use crate::exchange::error::ExchangeError;
use crate::exchange::forward::Forward;
use crate::exchange::forward::ForwardTo;
use crate::exchange::local;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::message::host_for_rules;
use crate::exchange::record::Recording;
use crate::exchange::request;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::route;
use crate::exchange::stickiness::StickyTarget;
use crate::exchange::stream::Reply;
use crate::exchange::stream::ReplyError;
use crate::exchange::stream::StartFacts;
use crate::exchange::stream::Stream;
use crate::exchange::subrequest::NothingMore;
use crate::exchange::subrequest::Subrequest;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::net::buffer::Buffer;
use crate::net::task;
use crate::policy::forward_auth::AuthVerdict;
use crate::policy::forwarded::Client;
use crate::snapshot::gates::ForwardAuth;
use crate::snapshot::gates::Gates;
use crate::snapshot::group::Group;
use crate::telemetry::reason::Reason;
use crate::upstream::request::PreparedRequest;
use crate::upstream::request::RequestTarget;
use crate::upstream::request::RequestWriter;
use crate::upstream::request::Wording;
use crate::worker::Worker;
use crate::worker::spans::AttemptPurpose;

/// Content of an answer that a client is given. A page for people who are to log in is smaller, and it is held as a whole.
const MAX_CONTENT: usize = 64 * 1024;

/// Writes the question about a request.
pub(super) fn prepare(
    request: &Request<'_, '_>,
    (client, origin): (&Client<'_>, &Origin<'_>),
    (auth, gates): (&ForwardAuth, &Gates),
    worker: &Worker,
) -> Option<Box<Forward>> {
    let group = origin.listener.group(auth.group)?;
    let head = &request.head;
    let host = request::default_host(origin, group);
    let line = RequestTarget { target: auth.path.as_bytes(), host };
    let forwarded = &origin.http.forwarded;
    let passes = |field: &Field<'_>| {
        auth.asks_with(field.name)
            && !forwarded.withholds(field)
            && !gates.keeps_secret(field.name)
            && client.trace.is_none_or(|trace| !trace.withholds(field))
    };
    let mut writer =
        RequestWriter::begin_get(worker.buffers.small(), head.headers, line, Wording::of(group), passes);
    let is_secure = client.asks_by_https(head.headers);
    writer.field(b"X-Forwarded-Method", head.method.as_bytes());
    writer.field(b"X-Forwarded-Proto", if is_secure { b"https" } else { b"http" });
    writer.field(b"X-Forwarded-Host", host_for_rules(client, origin));
    let mut scratch = worker.scratch.borrow_mut();
    writer.field(b"X-Forwarded-Uri", spelled_target(head.target.path_and_query, worker, &mut scratch));
    scratch.clear();
    // Writing to a vector cannot fail.
    let _ = std::io::Write::write_fmt(&mut *scratch, format_args!("{}", client.address));
    writer.field(b"X-Forwarded-For", &scratch);
    if !client.request_id.is_empty() {
        writer.field(b"X-Request-ID", client.request_id);
    }
    if let Some(trace) = client.trace {
        request::write_trace(trace, head.headers, None, &mut scratch, &mut writer);
    }
    // A service that sends its questions through the same rule would be asked about them for ever.
    if let Some(marks) = &origin.http.hop_marks {
        let came = (&*head.headers, head.version);
        marks.for_each_added(came, &mut scratch, |name, value| writer.field(name, value));
    }
    if let Some(client_tls) = origin.client_tls {
        writer.lines(&client_tls.identity);
    }
    Some(Box::new(Forward {
        group: auth.group,
        target: StickyTarget::of(head, client.address, group, worker),
        is_secure,
        request: writer.finish(BodyLength::Empty, None),
        buffered: None,
        request_buffer: 0,
        streamed: false,
        pool_key: worker.pool.key(group, host),
        proxied: request::proxied(origin, group),
        names_request: !client.request_id.is_empty(),
        idempotent: true,
        is_head: false,
        upgrade: false,
        accept: None,
        expects_continue: false,
        compression: None,
    }))
}

/// Path and query of a request that a rule has just taken, in the spelling that the rule saw: were the service asked about
/// another one than backends get, it could be led to let pass what it does not mean to.
fn spelled_target<'t>(target: &'t [u8], worker: &Worker, scratch: &'t mut Vec<u8>) -> &'t [u8] {
    let memory = worker.router.borrow();
    if memory.path.is_empty() {
        return target;
    }
    route::write_target(&memory.path, target, scratch);
    scratch
}

/// Asks, and gives the request the fields that the answer has for it. What is returned denies the request.
pub(super) async fn ask<S: Stream>(
    question: Option<&mut Forward>,
    request: Option<&mut PreparedRequest>,
    (stream, recording): (&mut S, &mut Recording),
    (auth, group): (&ForwardAuth, Option<&Group>),
    worker: &Worker,
) -> Result<Option<AuthAnswer>, ExchangeError> {
    let answer = match question.zip(group) {
        Some((question, group)) => answer(question, (stream, recording), (auth, group), worker).await?,
        None => None,
    };
    match answer.map(|answer| (AuthVerdict::of(answer.status), answer)) {
        Some((AuthVerdict::Pass, answer)) => {
            if let Some(request) = request {
                let set = answer.fields().filter(|(name, _)| auth.sets(name));
                set.for_each(|(name, value)| request.add_field(name, value));
            }
            Ok(None)
        }
        Some((AuthVerdict::Deny, answer)) if answer.is_whole => Ok(Some(answer)),
        _ if auth.passes_on_failure => Ok(None),
        _ => Err(ExchangeError::Refused(Reason::ForwardAuthFailed)),
    }
}

/// The answer to a question; None if there is none in time.
async fn answer<S: Stream>(
    question: &mut Forward,
    (stream, recording): (&mut S, &mut Recording),
    (auth, group): (&ForwardAuth, &Group),
    worker: &Worker,
) -> Result<Option<AuthAnswer>, ExchangeError> {
    let (_, _, watch) = stream.parts();
    let mut asking = Subrequest { body: NothingMore, reply: AuthAnswer::new(worker), watch };
    let mut own = Recording::unlogged(recording.lend_trace(AttemptPurpose::Question), worker);
    let to = &ForwardTo { group, worker, terms: None };
    let outcome = {
        let asked = pin!(question.run(&mut asking, &mut own, to));
        let mut is_late = pin!(worker.timers.sleep(auth.timeout));
        task::unless(asked, |cx| is_late.as_mut().poll(cx)).await
    };
    let failure = if asking.reply.status == 0 { Reason::ForwardAuthFailed } else { Reason::None };
    recording.take_back_trace(&mut own, failure, worker);
    if matches!(outcome, Ok(Err(ExchangeError::ClientGone))) {
        return Err(ExchangeError::ClientGone);
    }
    // Whether a request passes is said by the status: what is wrong with the content behind it does not matter then.
    Ok(Some(asking.reply).filter(|answer| answer.status != 0))
}

/// Gives the client the answer that denies its request.
pub(super) async fn deny<S: Stream>(
    mut answer: AuthAnswer,
    stream: &mut S,
    recording: &mut Recording,
    terms: &ResponseTerms<'_>,
) {
    recording.reason = Reason::ForwardAuthDenied;
    recording.response_began(answer.status, terms.worker);
    let content = answer.content.take();
    let mut headers = Headers::new();
    for (name, value) in answer.fields() {
        // No more were received than fit, but for what stickiness adds.
        let _ = headers.push(Field::new(name, value));
    }
    local::pass_on(ResponseHead::new(answer.status, &mut headers), content, stream.parts(), terms).await;
}

/// What the service says, in the place of a client's response.
pub(super) struct AuthAnswer {
    /// 0 until it has begun.
    status: u16,
    /// Field lines.
    lines: Buffer,
    content: Option<Buffer>,
    is_whole: bool,
}

impl AuthAnswer {
    fn new(worker: &Worker) -> AuthAnswer {
        AuthAnswer { status: 0, lines: worker.buffers.small(), content: None, is_whole: false }
    }

    fn write_field(&mut self, name: &[u8], value: &[u8]) {
        let out = self.lines.tail();
        for part in [name, b":", value, b"\n"] {
            out.extend_from_slice(part);
        }
    }

    /// Received names have no colon, and values no line end.
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.lines.filled().split(|&byte| byte == b'\n');
        lines.filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((line.get(..colon)?, line.get(colon + 1..)?))
        })
    }
}

impl Reply for AuthAnswer {
    fn is_started(&self) -> bool {
        self.status != 0
    }

    fn can_delimit(&self) -> bool {
        true
    }

    fn room(&self) -> usize {
        MAX_CONTENT.saturating_sub(self.content.as_ref().map_or(0, Buffer::len))
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

    fn start(&mut self, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>) {
        self.status = head.status;
        for field in head.headers.iter() {
            self.write_field(field.name, facts.value_of(field));
        }
        for (name, value) in facts.added {
            self.write_field(name, value);
        }
    }

    /// Fails where there is more than a client is given.
    async fn send(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), ReplyError> {
        if let Some(piece) = piece {
            if piece.len() > self.room() {
                return Err(ReplyError::Gone);
            }
            match &mut self.content {
                Some(content) => content.tail().extend_from_slice(piece.filled()),
                None => self.content = Some(piece),
            }
        }
        self.is_whole |= last.is_some();
        Ok(())
    }

    fn content_bytes(&self) -> u64 {
        0
    }

    fn sent_bytes(&self) -> u64 {
        0
    }
}
