//! The response on its way out: interim responses and the head.

use std::io::Write;
use std::pin::pin;

use arrayvec::ArrayVec;

use crate::exchange::attempt::Attempt;
use crate::exchange::attempt::Relayed;
use crate::exchange::attempt::unless_gone;
use crate::exchange::compression;
use crate::exchange::compression::Compressed;
use crate::exchange::error::ExchangeError;
use crate::exchange::group_stickiness;
use crate::exchange::record::Recording;
use crate::exchange::response_body;
use crate::exchange::response_edits::Added;
use crate::exchange::stickiness::MAX_REWRITTEN;
use crate::exchange::stickiness::SetCookies;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::Field;
use crate::http::headers::KnownName;
use crate::policy::compression::AcceptedCodings;
use crate::policy::grpc;
use crate::snapshot::error_pages::PageContent;
use crate::snapshot::responses::CompiledResponseRule;
use crate::upstream::error::UpstreamError;
use crate::upstream::message::ResponseFacts;
use crate::upstream::response_reader::ResponseReader;

/// Interim responses that one exchange may have. Applications send a handful; a backend in a loop
/// must not keep a client for ever.
const MAX_INTERIM: usize = 64;

/// Bytes of content that are dropped to keep a connection to a backend whose answer is replaced.
const MAX_DISCARDED: usize = 64 * 1024;

/// What a head asks to do next.
enum HeadStep {
    /// An interim response was written; the next head follows.
    Interim,
    /// The same, and now it is the client's turn.
    Continue,
    Switch,
    /// The body follows, to be compressed if that says how.
    Body(Option<Compressed>),
    Malformed(&'static str),
    /// The head was written, and the page for this status follows.
    ErrorPage(u16),
    /// The rule for responses with this index has another answer.
    Replaced(u8),
    /// Another attempt is made, with this member.
    Retried(u32),
}

/// Receives the response and passes it on, up to its last piece.
pub(super) async fn relay(
    reader: &mut ResponseReader<'_>,
    reply: &mut impl Reply,
    watch: &impl ClientWatch,
    recording: &mut Recording,
    attempt: &Attempt<'_>,
) -> Result<Relayed, ExchangeError> {
    for _ in 0..=MAX_INTERIM {
        let step = {
            let take = |head: &mut ResponseHead<'_, '_>, facts: &ResponseFacts<'_>| {
                act_on_head(head, facts, reply, recording, attempt)
            };
            let head = reader.head(&attempt.worker.buffers, attempt.read_timeout(), take);
            unless_gone(pin!(head), watch, attempt).await??
        };
        match step {
            HeadStep::Interim => reply.send(None, None).await?,
            HeadStep::Continue => {
                // From the end of this send on, the client has `client_body_timeout`.
                reader.suspend_timeout();
                reply.send(None, None).await?;
            }
            HeadStep::Switch => return Ok(Relayed::Switched),
            HeadStep::Body(compressed) => {
                let end = response_body::relay(reader, compressed, (reply, watch), attempt).await?;
                return Ok(Relayed::Whole(end));
            }
            HeadStep::ErrorPage(status) => {
                let is_read = Box::pin(discard(reader, attempt)).await;
                return Ok(Relayed::ErrorPage { status, is_read });
            }
            HeadStep::Replaced(rule) => {
                let is_read = Box::pin(discard(reader, attempt)).await;
                return Ok(Relayed::Replaced { rule, is_read });
            }
            HeadStep::Retried(other) => {
                let is_read = Box::pin(discard(reader, attempt)).await;
                return Ok(Relayed::Retried { other, is_read });
            }
            HeadStep::Malformed(word) => return Err(UpstreamError::BadResponse(word).into()),
        }
    }
    Err(UpstreamError::BadResponse("too_many_interim_responses").into())
}

/// Drops content that is at hand, and tells whether that was all. More is not worth the wait, and what is wrong with it
/// concerns the connection only.
async fn discard(reader: &mut ResponseReader<'_>, attempt: &Attempt<'_>) -> bool {
    let mut left = MAX_DISCARDED;
    while left > 0 && reader.has_more() {
        let piece = reader.body(&attempt.worker.buffers, attempt.read_timeout(), left).await;
        match piece {
            Ok(piece) if piece.finished => return true,
            Ok(piece) => left = left.saturating_sub(piece.bytes.map_or(0, |bytes| bytes.len())),
            Err(_) => return false,
        }
    }
    false
}

fn act_on_head(
    head: &mut ResponseHead<'_, '_>,
    facts: &ResponseFacts<'_>,
    reply: &mut impl Reply,
    recording: &mut Recording,
    attempt: &Attempt<'_>,
) -> HeadStep {
    recording.upstream_answered(head.status);
    let status = head.status;
    match status {
        101 if !attempt.upgrade || facts.upgrade.is_none() => return HeadStep::Malformed("unexpected_101"),
        101 if !is_expected(head, facts, attempt) => return HeadStep::Malformed("bad_websocket_accept"),
        // "The server MUST send a 100 (Continue) response before sending a 101" (RFC 9110 §7.8), and without one the
        // client may keep the content for which the switch waits.
        101 if attempt.awaiting_continue.get() => return HeadStep::Malformed("switch_before_continue"),
        101 => {}
        100..=199 => {
            let client_waited = head.status == 100 && attempt.awaiting_continue.replace(false);
            // A version that knows no interim responses just waits for the final one.
            reply.interim(head);
            return if client_waited { HeadStep::Continue } else { HeadStep::Interim };
        }
        // To a client of HTTP/2, success would mean that its tunnel was set up (RFC 8441 §4).
        200..=299 if attempt.accept.is_some() => return HeadStep::Malformed("websocket_not_switched"),
        _ => {}
    }
    attempt.count_response(status);
    if let Some(other) = attempt.retry(status) {
        attempt.judge(status);
        return HeadStep::Retried(other);
    }
    attempt.terms.iter().for_each(|terms| terms.note_upstream(head));
    recording.response_began(head.status, attempt.worker);
    attempt.note_answer(status);
    let response_rule = attempt.terms.and_then(|terms| terms.response_rule(head));
    if let Some((index, _)) = response_rule.filter(|(_, rule)| status != 101 && rule.respond.is_some()) {
        return HeadStep::Replaced(index);
    }
    let response_rule = response_rule.map(|(_, rule)| rule);
    let mut is_only_trailers = false;
    if recording.is_call {
        // A call that fails at once has its status in the head.
        let mut statuses =
            head.headers.iter().filter_map(|field| grpc::status_of_call(field.name, field.value));
        let status = statuses.next_back();
        is_only_trailers = status.is_some() && head.headers.find(KnownName::ContentLength).is_none();
        recording.note_call_status(status);
    }
    // Callers of gRPC read no pages.
    let terms = attempt.terms.filter(|_| status >= 400 && !recording.is_call);
    let page = terms.and_then(|terms| terms.error_page(status, true));
    pass_head_on(head, facts, (is_only_trailers, response_rule, page), reply, attempt)
}

/// Whether a field of a response is about its content, so that it does not hold for another.
fn describes_content(field: &Field<'_>) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"accept-ranges",
        b"content-digest",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-md5",
        b"content-range",
        b"content-type",
        b"etag",
        b"last-modified",
        b"repr-digest",
    ];
    matches!(field.known, KnownName::ContentLength | KnownName::Trailer)
        || NAMES.iter().any(|name| field.name.eq_ignore_ascii_case(name))
}

/// Writes the head of a final response. `is_only_trailers`: it is all trailers, as of a call that fails at once. A page
/// takes the place of its content.
fn pass_head_on(
    head: &mut ResponseHead<'_, '_>,
    facts: &ResponseFacts<'_>,
    (is_only_trailers, response_rule, page): (bool, Option<&CompiledResponseRule>, Option<&PageContent>),
    reply: &mut impl Reply,
    attempt: &Attempt<'_>,
) -> HeadStep {
    let dates = attempt.worker.dates.borrow();
    let (cookies, group_cookie);
    let mut digits = ArrayVec::<u8, 20>::new();
    let mut added = Added::new();
    if page.is_some() {
        head.headers.retain(|field| !describes_content(field));
    }
    attempt.terms.iter().for_each(|terms| {
        terms.edit(head, response_rule, &mut added);
        terms.mark(head, &mut added);
    });
    cookies = SetCookies::of(
        head,
        &attempt.target,
        (attempt.group, attempt.member),
        attempt.is_secure,
        attempt.worker,
    );
    let is_news = (attempt.target.gives_group, attempt.is_secure);
    group_cookie =
        attempt.terms.and_then(|terms| group_stickiness::set_cookie(head, attempt.group, is_news, terms));
    if let Some(value) = &group_cookie {
        added.push((&b"Set-Cookie"[..], value));
    }
    // RFC 9110 §6.6.1: a recipient that forwards a response without a date supplies it. But callers take every field of such a
    // head for metadata of the call.
    let has_date = is_only_trailers || head.headers.find(KnownName::Date).is_some();
    let close = attempt.uploading.get() && !attempt.request_is_read;
    if let Some(cookies) = &cookies {
        added.extend(cookies.added());
    }
    if !has_date {
        added.push((&b"Date"[..], dates.http().as_bytes()));
    }
    // With any other status, the backend only advertises to us what it could do.
    let upgrade = facts.upgrade.filter(|_| matches!(head.status, 101 | 426));
    let mut replaced = ArrayVec::<_, MAX_REWRITTEN>::new();
    replaced.extend(cookies.iter().flat_map(SetCookies::replaced));
    if let Some(page) = page {
        added.push((&b"Content-Type"[..], page.content_type.as_bytes()));
        if facts.is_to_head {
            // What GET would get (RFC 9110 §8.6). Else it is written as framing.
            let _ = write!(digits, "{}", page.content.len());
            added.push((&b"Content-Length"[..], &digits));
        }
    }
    let length = page.map_or(facts.length, |page| BodyLength::Exact(page.content.len() as u64));
    let (added, replaced) = (&added[..], &replaced[..]);
    let facts = StartFacts { length, is_only_trailers, close, upgrade, added, replaced };
    let accepted = attempt.compression.filter(|_| page.is_none());
    let compressed = start(head, &facts, accepted, reply, attempt);
    match head.status {
        101 => HeadStep::Switch,
        status if page.is_some() => HeadStep::ErrorPage(status),
        _ => HeadStep::Body(compressed),
    }
}

/// Writes the head, for content that is compressed where that is wanted.
#[inline]
fn start(
    head: &mut ResponseHead<'_, '_>,
    facts: &StartFacts<'_>,
    accepted: Option<AcceptedCodings>,
    reply: &mut impl Reply,
    attempt: &Attempt<'_>,
) -> Option<Compressed> {
    let Some(terms) = attempt.terms else {
        reply.start(head, facts);
        return None;
    };
    match accepted.zip(terms.origin.http.compression.as_deref()) {
        Some(asked) => compression::start(head, facts, asked, reply, terms),
        None => {
            terms.start(reply, head, facts);
            None
        }
    }
}

/// Whether a 101 answers the key that the request had. What answers ours means nothing to the client.
fn is_expected(head: &mut ResponseHead<'_, '_>, facts: &ResponseFacts<'_>, attempt: &Attempt<'_>) -> bool {
    let Some(accept) = attempt.accept.as_deref() else { return true };
    let is_answer = |field: &Field<'_>| field.name.eq_ignore_ascii_case(b"Sec-WebSocket-Accept");
    let is_right = head.headers.iter().any(|field| is_answer(field) && field.value == accept);
    head.headers.retain(|field| !is_answer(field));
    is_right && facts.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}
