//! The snapshot of a configuration that is not in service.

use std::sync::Arc;

use crate::config::Config;
use crate::config::Report;
use crate::control::build;
use crate::control::build::Host;
use crate::control::build::Parts;
use crate::control::build::access_logs::OpenLogs;
use crate::control::build::binding::Binding;
use crate::control::build::binding::kinds_of;
use crate::control::build::registry::Registry;
use crate::control::credentials::Credentials;
use crate::control::credentials::tls::Security;
use crate::control::discovery::Addresses;
use crate::control::process::rlimits;
use crate::snapshot::Snapshot;
use crate::telemetry::backend_counters::BackendCounters;

/// Makes the snapshot that workers would serve from, without a socket: all backends count as healthy, and names of
/// backends stay without addresses. None after reporting what is wrong.
pub fn snapshot(config: &Config, credentials: Credentials, report: &mut Report) -> Option<Snapshot> {
    let mut security = Security::new(credentials);
    let terms = build::terms(config, &mut security, report)?;
    let of_listener =
        |(listener, address)| kinds_of(listener).iter().map(move |kind| (listener, *kind, address));
    let bindings: Vec<Binding> = (0..)
        .zip(config.bound_addresses().flat_map(of_listener))
        .map(|(number, (listener, kind, address))| Binding::unbound(number, (listener, kind), address))
        .collect();
    let host = Host { name: rlimits::host_name(), connections: 0, workers: 1 };
    let parts = Parts {
        config,
        host: &host,
        security: &security,
        addresses: &Addresses::new(),
        bindings: &bindings,
        logs: &OpenLogs::of(config),
        now_ms: 0,
    };
    let mut registry = Registry::new(Arc::new(BackendCounters::new(1)), Arc::default());
    build::build(&parts, terms, &mut registry, 1, report)
}
