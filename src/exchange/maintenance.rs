//! Requests that are not served for a while.

use arrayvec::ArrayVec;

use crate::exchange::local;
use crate::exchange::local::Answer;
use crate::exchange::record::Recording;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::snapshot::Listener;
use crate::snapshot::maintenance::Maintenance;
use crate::snapshot::maintenance::MaintenanceTerms;
use crate::telemetry::reason::Reason;

/// Status of answers to calls of gRPC, which makes it UNAVAILABLE whatever others get.
const STATUS_FOR_CALLS: u16 = 503;

/// Whether a copy of a request is of no use, because the group with this index is not served.
pub(super) fn stops_copies(listener: &Listener, group: usize) -> bool {
    listener.maintenance.get(group).is_some_and(|maintenance| maintenance.switch.is_on())
}

/// Answers a request in place of the group with this index, or of the rule that took it.
pub(super) async fn answer<B: RequestBody, R: Reply, W>(
    group: Option<u32>,
    (body, reply, _): (&mut B, &mut R, W),
    recording: &mut Recording,
    terms: &ResponseTerms<'_>,
) {
    let Some(maintenance) = maintenance(group, terms) else { return };
    if recording.is_call {
        recording.reason = Reason::Maintenance(STATUS_FOR_CALLS);
        recording.note_call_status(Some(14));
        return local::refuse(recording.reason, true, body, reply, terms).await;
    }
    let status = maintenance.status();
    recording.reason = Reason::Maintenance(status);
    recording.response_began(status, terms.worker);
    let own = maintenance.terms.as_deref();
    let page = own.and_then(|own| own.page.as_deref()).or_else(|| terms.error_page(status, false));
    let content = if page.is_some() { None } else { Some(local::status_page(status, terms.worker)) };
    let content_type = page.map_or(&b"text/html"[..], |page| page.content_type.as_bytes());
    let mut fields = ArrayVec::<(&[u8], &[u8]), 2>::new();
    fields.push((b"Content-Type", content_type));
    if let Some(MaintenanceTerms { retry_after: Some(seconds), .. }) = own {
        fields.push((b"Retry-After", seconds.as_bytes()));
    }
    let page = page.map_or(&[][..], |page| &page.content);
    local::respond(
        Answer { status, fields: &fields, content, page, response_rule: None },
        body,
        reply,
        terms,
    )
    .await;
}

fn maintenance<'a>(group: Option<u32>, terms: &ResponseTerms<'a>) -> Option<&'a Maintenance> {
    match group {
        Some(group) => terms.origin.listener.maintenance.get(group as usize),
        None => Some(&terms.origin.http.rule(terms.rule?)?.maintenance),
    }
}
