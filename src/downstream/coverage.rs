//! For which hosts a connection may carry requests.

use std::sync::Arc;

use crate::tls::accept::DownstreamTls;

/// For which hosts a connection that was opened for one may carry requests. Browsers use a connection for
/// every host that its certificate names.
pub(super) struct Coverage {
    pub(super) terms: Arc<DownstreamTls>,
    /// In lower case; None if the client named no host.
    pub(super) opened_for: Option<String>,
}

impl Coverage {
    /// `host` may have a port.
    pub(super) fn covers(&self, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else { return false };
        let without_port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let name = without_port.map_or(host, |(name, _)| name);
        let opened_for = self.opened_for.as_deref();
        opened_for.is_some_and(|opened_for| opened_for.eq_ignore_ascii_case(name))
            || self.terms.covers(opened_for, name)
    }
}
