//! Spans on their way to a collector.

mod collector;
pub mod exporter;

use crate::config::Config;
use crate::control::credentials::Credentials;
use crate::control::tracing::collector::CollectorTarget;
use crate::tls::connect::Alpn;
use crate::tls::connect::Trust;
use crate::tls::connect::UpstreamTls;

/// Who gets spans, by a configuration; None: nobody does. `host` is the name of this one.
pub fn target(config: &Config, credentials: &Credentials, host: &str) -> Option<CollectorTarget> {
    let collector = config.tracing.collector.as_ref()?;
    let trust = match (&credentials.collector.ca, &credentials.system_roots) {
        (Some(ca), _) => Some(Trust::Ca(ca.clone())),
        (None, Some(roots)) => Some(Trust::System(roots.clone())),
        // Loading has reported it.
        (None, None) => None,
    };
    let tls = trust.filter(|_| collector.url.is_secure);
    let tls = tls.and_then(|trust| UpstreamTls::new(trust, None, None, Alpn::Http1).ok());
    let instance = config.process.instance_id.as_deref().unwrap_or(host);
    let secret = credentials.collector.headers.iter();
    Some(CollectorTarget {
        url: collector.url.clone(),
        tls,
        headers: collector.headers.iter().chain(secret).cloned().collect(),
        timeout: collector.timeout,
        gzip: collector.gzip,
        resource: vec![
            ("service.name", collector.service_name.clone()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", instance.to_owned()),
            ("host.name", host.to_owned()),
        ],
    })
}
