//! For which hosts a connection may carry requests.

use std::sync::Arc;

use crate::http::head::RequestHead;
use crate::http::head::TargetForm;
use crate::http::headers::KnownName;
use crate::tls::accept::DownstreamTls;

/// For which hosts a connection that was opened for one may carry requests. Browsers use a connection for
/// every host that its certificate names.
pub(super) struct Coverage {
    pub(super) terms: Arc<DownstreamTls>,
    /// In lower case; None if the client named no host.
    pub(super) opened_for: Option<String>,
}

impl Coverage {
    /// The same of the host that a request of HTTP/1.1 asks for; one that names none asks for whatever there is.
    pub(super) fn covers_request(&self, head: &RequestHead<'_, '_>) -> bool {
        let host = match head.target.form {
            TargetForm::Absolute { authority } => authority,
            _ => head.headers.find(KnownName::Host).map_or(&b""[..], |field| field.value),
        };
        host.is_empty() || self.covers(host)
    }

    /// `host` may have a port.
    pub(super) fn covers(&self, host: &[u8]) -> bool {
        // An IPv6 address stands in brackets.
        let without_port = match host.iter().rposition(|&byte| byte == b':') {
            Some(colon) if host.last() != Some(&b']') => host.get(..colon),
            _ => Some(host),
        };
        let Some(Ok(name)) = without_port.map(std::str::from_utf8) else { return false };
        let opened_for = self.opened_for.as_deref();
        opened_for.is_some_and(|opened_for| opened_for.eq_ignore_ascii_case(name))
            || self.terms.covers(opened_for, name)
    }
}
