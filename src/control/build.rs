//! From a checked configuration to a snapshot: names are resolved, schedules laid out.

use std::net::SocketAddr;
use std::net::ToSocketAddrs;

use crate::config;
use crate::config::BackendAddress;
use crate::config::Config;
use crate::config::Location;
use crate::config::Report;
use crate::control::tls::Security;
use crate::net::address::Address;
use crate::policy::balance::weighted_round_robin::Schedule;
use crate::policy::forwarded::Forwarded;
use crate::policy::forwarded::ForwardedFor;
use crate::policy::forwarded::TrustedProxies;
use crate::policy::identity::Identity;
use crate::snapshot::Group;
use crate::snapshot::Listener;
use crate::snapshot::Quota;
use crate::snapshot::Rate;
use crate::snapshot::ServerTls;
use crate::snapshot::Snapshot;
use crate::snapshot::backend::Backend;
use crate::tls::Published;
use crate::tls::client_certificate::FingerprintHash;

/// What the host adds to a configuration.
pub struct Host {
    pub name: String,
    /// Downstream connections that the descriptor limit allows.
    pub connections: usize,
    pub workers: usize,
}

/// Builds what workers serve from; `None` after reporting what stands against it.
///
/// Names of backends are resolved here, which may take as long as the resolver takes.
pub fn build(config: &Config, security: &mut Security, host: &Host, report: &mut Report) -> Option<Snapshot> {
    let groups = config.server_groups.iter().map(|group| {
        let tls = group.tls.as_ref().and_then(|tls| security.client_terms(tls));
        Group { tls: tls.map(Published::new), ..build_group(group, report) }
    });
    let groups: Vec<_> = groups.collect();
    if report.has_errors() {
        return None;
    }
    // What is to be secured is never served in the clear instead.
    for (group, built) in config.server_groups.iter().zip(&groups) {
        if group.tls.is_some() && built.tls.is_none() {
            refuse(group.location, &format!("the server group \"{}\"", group.name), report);
        }
    }
    let listeners = config.listeners.iter().enumerate().map(|(index, listener)| {
        let tls = listener.tls.as_ref().and_then(|tls| {
            let terms = security.server_terms(index, listener)?;
            Some(ServerTls {
                terms: Published::new(terms),
                handshake_timeout: tls.handshake_timeout,
                fingerprint_hash: match listener.forwarded.fingerprint_hash {
                    config::FingerprintHash::Sha1 => FingerprintHash::Sha1,
                    config::FingerprintHash::Sha256 => FingerprintHash::Sha256,
                },
            })
        });
        Listener { tls, ..build_listener(listener, config, host) }
    });
    let listeners: Vec<_> = listeners.collect();
    for (listener, built) in config.listeners.iter().zip(&listeners) {
        if listener.tls.is_some() && built.tls.is_none() {
            refuse(listener.location, &format!("the listener \"{}\"", listener.name), report);
        }
    }
    if report.has_errors() {
        return None;
    }
    let connections = match config.process.max_connections {
        0 => host.connections,
        limit => limit as usize,
    };
    Some(Snapshot { listeners, groups, connections: Quota::new(connections), workers: host.workers })
}

fn refuse(location: Location, whose: &str, report: &mut Report) {
    let message = format!("{whose} cannot speak TLS with what is configured");
    report.error(location, message, "check its TLS policy, certificates and CAs");
}

fn build_listener(listener: &config::Listener, config: &Config, host: &Host) -> Listener {
    // The checks keep byte limits far below what a usize of any supported machine holds.
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let slb_id = || config.process.instance_id.clone().unwrap_or_else(|| host.name.clone());
    let forwarded = &listener.forwarded;
    Listener {
        name: listener.name.clone(),
        default_group: listener.default_group,
        idle_timeout: listener.idle_timeout,
        client_header_timeout: listener.client_header_timeout,
        client_body_timeout: listener.client_body_timeout,
        keepalive_requests: listener.keepalive_requests,
        max_header_bytes: bytes(listener.max_header_bytes),
        max_headers: listener.max_headers as usize,
        max_uri_bytes: bytes(listener.max_uri_bytes),
        max_body_bytes: listener.max_body_bytes,
        connections: Quota::new(listener.max_connections as usize),
        connection_rate: Rate::new(listener.connections_per_second),
        proxy_protocol: listener.proxy_protocol == config::ProxyProtocol::Accept,
        tls: None,
        trusted_proxies: TrustedProxies::new(listener.trusted_proxies.clone()),
        compression: listener.compression,
        forwarded: Forwarded {
            x_forwarded_for: match forwarded.x_forwarded_for {
                config::ForwardedFor::Append => ForwardedFor::Append,
                config::ForwardedFor::Remove => ForwardedFor::Remove,
                config::ForwardedFor::Preserve => ForwardedFor::Preserve,
            },
            x_forwarded_proto: forwarded.x_forwarded_proto,
            x_forwarded_port: forwarded.x_forwarded_port,
            x_forwarded_host: forwarded.x_forwarded_host,
            x_forwarded_client_srcport: forwarded.x_forwarded_client_srcport,
            x_real_ip: forwarded.x_real_ip,
            slb_id: forwarded.slb_id.then(slb_id),
            identity: Identity::new(forwarded.identity.clone()),
        },
    }
}

fn build_group(group: &config::ServerGroup, report: &mut Report) -> Group {
    let mut backends = Vec::new();
    let mut weights = Vec::new();
    for backend in &group.backends {
        for address in resolve(backend, report) {
            backends.push(Backend { name: address.to_string(), address });
            weights.push(match group.algorithm {
                config::Algorithm::WeightedRoundRobin => backend.weight,
                config::Algorithm::RoundRobin => backend.weight.min(1),
            });
        }
    }
    Group {
        name: group.name.clone(),
        schedule: Schedule::new(&weights),
        backends,
        connect_timeout: group.connect_timeout,
        response_timeout: group.response_timeout,
        keepalive_timeout: group.keepalive_timeout,
        keepalive_connections: group.keepalive_connections as usize,
        max_retries: group.max_retries,
        tls: None,
    }
}

/// Every address of a backend, each once.
fn resolve(backend: &config::Backend, report: &mut Report) -> Vec<Address> {
    let (host, port) = match &backend.address {
        BackendAddress::Ip(address) => return vec![Address::Ip(*address)],
        BackendAddress::Unix(path) => return vec![Address::Unix(path.clone())],
        BackendAddress::Name { host, port } => (host.as_str(), *port),
    };
    let mut addresses: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            let message = format!("cannot resolve \"{host}\": {error}");
            report.error(backend.location, message, "name a host that resolves, or give its address");
            return Vec::new();
        }
    };
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter().map(Address::Ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::control::credentials;

    #[test]
    fn what_cannot_be_secured_is_not_served_in_the_clear() {
        let secure = "[[certificate]]\nname = \"site\"\nchain = \"/a\"\nkey = \"/b\"\n[[listener]]\nname = \"web\"\n\
            address = \"127.0.0.1:0\"\nprotocol = \"https\"\ncertificates = [\"site\"]\n";
        let mut loaded =
            config::load(vec![Source::made_up("<test>", format!("config_version = 1\n{secure}"))]);
        let config = loaded.config.unwrap();
        // The complaints about the files go elsewhere, so that only the builder stands in the way.
        let mut elsewhere = config::load(vec![Source::made_up("<test>", secure.to_owned())]).report;
        let nothing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let mut security = Security::new(credentials::load(&config, &nothing, &mut elsewhere));
        let host = Host { name: "test".to_owned(), connections: 1, workers: 1 };
        assert!(build(&config, &mut security, &host, &mut loaded.report).is_none());
        assert!(loaded.report.to_text(false).contains("the listener \"web\" cannot speak TLS"));
    }
}
