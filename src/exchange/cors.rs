//! Pages of other origins: what their browsers are told, in place of what the backend would say.

use crate::exchange::message::Request;
use crate::exchange::response_edits::Added;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::policy::cors::CorsQuestion;
use crate::snapshot::rules::Rule;
use crate::telemetry::reason::Reason;

/// The origin of a request, if its rule shares responses with it.
#[inline]
pub(super) fn allowed<'b>(request: &Request<'_, 'b>, rule: Option<&Rule>) -> Option<&'b [u8]> {
    rule?.cors.as_ref()?.allowed_origin(request.head.headers)
}

/// Whether a request asks for permission of another that the rule gives.
///
/// # Errors
/// Its origin is none that the rule allows: what backends make of it is not asked.
#[inline]
pub(super) fn is_preflight(request: &Request<'_, '_>, rule: Option<&Rule>) -> Result<bool, Reason> {
    let Some(cors) = rule.and_then(|rule| rule.cors.as_ref()) else { return Ok(false) };
    match cors.question(request.head.method, request.head.headers) {
        CorsQuestion::Request => Ok(false),
        CorsQuestion::Preflight { is_allowed: true } => Ok(true),
        CorsQuestion::Preflight { is_allowed: false } => Err(Reason::OriginDenied),
    }
}

/// Answers a preflight that is allowed.
pub(super) async fn permit<B: RequestBody, R: Reply, W>(
    (body, reply, _): (&mut B, &mut R, W),
    terms: &ResponseTerms<'_>,
) {
    start_permission(body, reply, terms);
    // Failing to do so changes nothing any more.
    let _ = reply.send(None, Some(&[])).await;
}

fn start_permission(body: &impl RequestBody, reply: &mut impl Reply, terms: &ResponseTerms<'_>) {
    let dates = terms.worker.dates.borrow();
    let mut headers = Headers::new();
    for (name, value) in [(&b"Server"[..], &b"ringway"[..]), (b"Date", dates.http().as_bytes())] {
        // There is room for many more.
        let _ = headers.push(Field::new(name, value));
    }
    let mut head = ResponseHead::new(Reason::Preflight.status(), &mut headers);
    let mut added = Added::new();
    terms.edit(&mut head, None, &mut added);
    let rule = terms.rule.and_then(|rule| terms.origin.http.rule(rule));
    if let Some(cors) = rule.and_then(|rule| rule.cors.as_ref()) {
        cors.for_each_permission(|name, value| {
            let _ = added.try_push((name, value));
        });
    }
    let facts = StartFacts {
        length: BodyLength::Exact(0),
        is_only_trailers: false,
        // What is left of the request would be taken for the next one.
        close: !body.is_finished(),
        upgrade: None,
        added: &added,
        replaced: &[],
    };
    terms.start(reply, &head, &facts);
}
