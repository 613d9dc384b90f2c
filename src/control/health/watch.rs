//! What the health checker is told to watch.

use std::sync::Arc;
use std::time::Duration;

use crate::config::HealthCheck;
use crate::snapshot::group::Group;
use crate::tls::connect::UpstreamTls;

/// What the health checker watches: a group, and how.
pub struct Watch {
    pub group: Arc<Group>,
    /// None: its backends are not probed.
    pub check: Option<HealthCheck>,
    /// How long the first ejection lasts.
    pub ejection_time: Duration,
    /// For HTTPS probes of a group that speaks in cleartext: terms without verification. A group that
    /// speaks TLS is probed by its own terms.
    pub tls: Option<UpstreamTls>,
}
