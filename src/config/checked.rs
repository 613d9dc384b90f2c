//! All tables of a configuration that has been checked.

use crate::config::admin::Admin;
use crate::config::error_page::ErrorPage;
use crate::config::ip_group::IpGroup;
use crate::config::listener::Carriers;
use crate::config::listener::ListenAddress;
use crate::config::listener::Listener;
use crate::config::named_file::Authority;
use crate::config::named_file::Certificate;
use crate::config::process::AccessLog;
use crate::config::process::Metrics;
use crate::config::process::Process;
use crate::config::rule::ResponseRule;
use crate::config::rule::Rule;
use crate::config::server_group::Backend;
use crate::config::server_group::ServerGroup;
use crate::config::tracing::Tracing;

/// The whole configuration, defaults filled in and references resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub process: Process,
    pub admin: Admin,
    pub metrics: Metrics,
    pub tracing: Tracing,
    /// Empty: no access log.
    pub access_logs: Vec<AccessLog>,
    pub certificates: Vec<Certificate>,
    pub authorities: Vec<Authority>,
    pub ip_groups: Vec<IpGroup>,
    pub listeners: Vec<Listener>,
    pub server_groups: Vec<ServerGroup>,
    pub rules: Vec<Rule>,
    /// In the order in which they are looked for.
    pub error_pages: Vec<ErrorPage>,
    /// Rules for responses.
    pub response_rules: Vec<ResponseRule>,
}

impl Config {
    /// Backends that may get requests, of all groups.
    pub fn enabled_backends(&self) -> impl Iterator<Item = &Backend> {
        let groups = self.server_groups.iter().filter(|group| group.enabled);
        groups.flat_map(|group| &group.backends).filter(|backend| backend.enabled)
    }

    /// How many sockets each worker has of listeners: one for each address, and one more where that has QUIC beside TCP.
    pub fn bound_sockets(&self) -> usize {
        let of = |(listener, _): (&Listener, _)| {
            if listener.carriers() == Carriers::TcpAndUdp { 2 } else { 1 }
        };
        self.bound_addresses().map(of).sum()
    }

    /// Where it listens, each with the name of the listener.
    pub fn bound_addresses(&self) -> impl Iterator<Item = (&Listener, &ListenAddress)> {
        let listeners = self.listeners.iter().filter(|listener| listener.enabled);
        listeners.flat_map(|listener| listener.addresses.iter().map(move |address| (listener, address)))
    }
}
