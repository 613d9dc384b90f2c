//! The trace that a request belongs to.

use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::policy::trace::Trace;
use crate::policy::trace::TraceNonces;
use crate::policy::trace::TraceSource;
use crate::worker::Worker;

/// The trace that a request belongs to, be it that of who asks or a new one; None where requests are not traced.
#[inline]
pub(super) fn begin(request: &Request<'_, '_>, origin: &Origin<'_>, worker: &Worker) -> Option<Trace> {
    let terms = origin.http.tracing.as_ref()?;
    let is_believed = match terms.accept_from {
        TraceSource::Everyone => true,
        TraceSource::TrustedProxies => origin.is_trusted(),
    };
    let nonces = TraceNonces { trace: worker.nonce(), span: worker.nonce_of_span() };
    Some(Trace::of(terms, request.head.headers, is_believed, &nonces))
}
