//! Addresses: where listeners accept, where backends are, and who is trusted.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV6;
use std::path::Path;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::Value as Json;

use crate::config::BackendAddress;
use crate::config::ListenAddress;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::ip_list::parse_network;

/// The kernel's limit for the path of a unix socket, its end mark left out (unix(7)).
pub(super) const MAX_SOCKET_PATH: usize = 107;
/// RFC 1035 §2.3.4.
pub(super) const MAX_HOST_NAME: usize = 253;
/// Characters between two dots of a host name (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// An IP address with a port, as a regular expression.
pub(super) const ADDRESS_WITH_PORT: &str = "^(\\[[0-9A-Fa-f:.%]+\\]|[0-9.]+):[0-9]+$";
/// The same, or an IP address alone, where the ports stand in a key of their own.
const LISTEN_ADDRESS: &str = "^((\\[[0-9A-Fa-f:.%]+\\]|[0-9.]+)(:[0-9]+)?|[0-9A-Fa-f:.]+)$";
/// An IP address or a network.
const NETWORK: &str = "^[0-9A-Fa-f:.]+(/[0-9]+)?$";

/// One listening address, or a list of them. Which of them are dual-stack shows when all listeners
/// are read.
pub(super) struct ListenAddresses {
    /// The ports stand in a key of their own: these are IP addresses, each with port 0.
    pub(super) has_ports: bool,
}

impl Kind for ListenAddresses {
    type Value = Vec<ListenAddress>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let values = match &raw.kind {
            raw::Kind::Array(values) => values.as_slice(),
            _ => std::slice::from_ref(raw),
        };
        if values.is_empty() {
            let example = if self.has_ports { "0.0.0.0" } else { "0.0.0.0:8080" };
            report.error(
                raw.location,
                format!("`{key}` is an empty list"),
                format!("add an address: \"{example}\""),
            );
            return None;
        }
        let parse = if self.has_ports { listen_ip } else { listen_address };
        let parsed: Vec<_> = values.iter().filter_map(|value| parse(key, value, report)).collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Self::Value) -> Json {
        let show = |entry: &ListenAddress| match self.has_ports {
            true => entry.address.ip().to_string(),
            false => entry.address.to_string(),
        };
        match value.as_slice() {
            [only] => Json::String(show(only)),
            several => several.iter().map(|entry| Json::String(show(entry))).collect(),
        }
    }

    fn schema(&self) -> Json {
        schema::one_or_list(schema::pattern(LISTEN_ADDRESS))
    }
}

fn listen_ip(key: &str, raw: &raw::Value, report: &mut Report) -> Option<ListenAddress> {
    let raw::Kind::Text(text) = &raw.kind else {
        return refuse_kind(key, raw, "an address such as \"0.0.0.0\"", report);
    };
    match bare_ip(text) {
        Ok(ip) => {
            let address = SocketAddr::new(ip, 0);
            Some(ListenAddress { address, dual_stack: false, location: raw.location })
        }
        Err(problem) => {
            let help = "beside `ports` write \"0.0.0.0\" (all IPv4), \"::\" (all) or \"127.0.0.1\" (this machine only)";
            report.error(raw.location, format!("`{key}` \"{}\" {problem}", text.escape_debug()), help);
            None
        }
    }
}

/// An IP address alone, in brackets or without. The problem completes "`address` "x" …".
fn bare_ip(text: &str) -> Result<IpAddr, &'static str> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::from),
        None => text.parse::<IpAddr>(),
    };
    match ip {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => Err("is an IPv4 address written as IPv6"),
        Ok(ip) => Ok(ip),
        Err(_) if text.parse::<SocketAddr>().is_ok() => Err("has a port, and there are `ports`"),
        Err(_) => Err("is not an IP address"),
    }
}

fn listen_address(key: &str, raw: &raw::Value, report: &mut Report) -> Option<ListenAddress> {
    let raw::Kind::Text(text) = &raw.kind else {
        return refuse_kind(key, raw, "an address such as \"0.0.0.0:8080\"", report);
    };
    let problem = match text.parse::<SocketAddr>() {
        Ok(SocketAddr::V6(address)) if address.ip().to_ipv4_mapped().is_some() => {
            "is an IPv4 address written as IPv6"
        }
        Ok(address) => {
            return Some(ListenAddress { address, dual_stack: false, location: raw.location });
        }
        Err(_) if has_large_port(text) => LARGE_PORT,
        Err(_) if text.starts_with("unix:") => "is a unix socket, but a listener accepts IP addresses only",
        Err(_) if is_range(text) => {
            let help = "write the IP address alone, and ports = \"8000-8010\" beside it";
            report.error(
                raw.location,
                format!("`{key}` \"{}\" is a range of ports", text.escape_debug()),
                help,
            );
            return None;
        }
        Err(_) if text.parse::<IpAddr>().is_ok() => "has no port",
        Err(_) if is_port(text.strip_prefix(':').unwrap_or(text)) => "has no IP address",
        Err(_) if host_and_port(text).is_some() => "is a name, but a listener accepts IP addresses only",
        Err(_) => "is not an IP address with a port",
    };
    let help =
        "write \"0.0.0.0:8080\" (all IPv4), \"[::]:8080\" (all) or \"127.0.0.1:8080\" (this machine only)";
    report.error(raw.location, format!("`{key}` \"{}\" {problem}", text.escape_debug()), help);
    None
}

/// An address with two ports, as other servers write a range.
fn is_range(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(first, last)| is_port(last) && first.parse::<SocketAddr>().is_ok())
}

/// Where a backend is: IP and port, name and port, or `unix:` and a path.
pub(super) struct BackendPlace {
    /// Without a port, it is asked at the port that the client came to.
    pub(super) may_lack_port: bool,
}

impl Kind for BackendPlace {
    type Value = BackendAddress;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<BackendAddress> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "an address such as \"127.0.0.1:9001\"", report);
        };
        let any_port = if self.may_lack_port { without_port(text) } else { None };
        match any_port.map_or_else(|| backend_address(text, report.folder(raw.location)), Ok) {
            Ok(address) => Some(address),
            Err(problem) => {
                let help = match self.may_lack_port {
                    true => {
                        "write \"127.0.0.1:9001\", \"[::1]:9001\" or \"name.example:9001\"; without a port, as \"127.0.0.1\" or \
                         \"[::1]\", it is asked at the port that the client came to"
                    }
                    false => {
                        "write \"127.0.0.1:9001\", \"[::1]:9001\", \"name.example:9001\" or \"unix:/run/app.sock\""
                    }
                };
                report.error(raw.location, format!("`{key}` \"{}\" {problem}", text.escape_debug()), help);
                None
            }
        }
    }

    fn show(&self, value: &BackendAddress) -> Json {
        Json::String(value.to_string())
    }

    fn schema(&self) -> Json {
        schema::pattern("^(unix:.+|.+:[0-9]+|\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)$")
    }
}

/// A backend that is asked at the port that the client came to.
fn without_port(text: &str) -> Option<BackendAddress> {
    match bare_ip(text) {
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() => None,
        // Its last part may be meant as a port.
        Ok(IpAddr::V6(_)) if !text.starts_with('[') => None,
        Ok(ip) => Some(BackendAddress::Ip(SocketAddr::new(ip, 0))),
        Err(_) => is_host_name(text).then(|| BackendAddress::Name { host: text.to_owned(), port: 0 }),
    }
}

/// The problem completes "`address` "x" …".
pub(super) fn backend_address(text: &str, folder: &Path) -> Result<BackendAddress, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = resolve(path, folder).ok_or("has no usable path")?;
        return match path.as_os_str().len() {
            0..=MAX_SOCKET_PATH => Ok(BackendAddress::Unix(path)),
            _ => Err("is longer than the 107 bytes a socket path may have"),
        };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address {
            _ if address.port() == 0 => Err("has port 0"),
            _ if address.ip().is_unspecified() => Err("is an address to listen at, not one to connect to"),
            _ if address.ip().is_multicast() => Err("is a multicast address"),
            _ => Ok(BackendAddress::Ip(address)),
        };
    }
    if text.starts_with('/') {
        return Err("is a path: a unix socket begins with `unix:`");
    }
    if has_large_port(text) {
        return Err(LARGE_PORT);
    }
    if text.contains("://") {
        return Err("is a URL, not an address");
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err("is an IPv6 address without brackets");
    }
    if text.parse::<IpAddr>().is_ok() || is_host_name(text) {
        return Err("has no port");
    }
    let (host, port) = host_and_port(text).ok_or("is not an address with a port from 1 to 65535")?;
    Ok(BackendAddress::Name { host, port })
}

const LARGE_PORT: &str = "has a port beyond 65535";

pub(super) fn has_large_port(text: &str) -> bool {
    let port = text.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u64>().is_ok_and(|port| port > u64::from(u16::MAX)))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|_| is_port(port))?;
    is_host_name(host).then(|| (host.to_owned(), port))
}

/// Letters, digits, `-` and `_` in labels; a last label of digits alone is a mistyped IPv4 address.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= MAX_HOST_NAME && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// What stands in SNI: a host name without `_` and without a dot at its end.
pub(super) fn is_dns_name(text: &str) -> bool {
    let is_edge = |label: &str| label.starts_with('-') || label.ends_with('-');
    is_host_name(text) && !text.contains('_') && !text.ends_with('.') && !text.split('.').any(is_edge)
}

/// What stands in a Host field: a name or an IP address, with a port or without.
pub(super) fn is_host(text: &str) -> bool {
    let is_ipv6 = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    let is_bare = |host: &str| is_host_name(host) || host.parse::<Ipv4Addr>().is_ok() || is_ipv6(host);
    is_bare(text) || text.rsplit_once(':').is_some_and(|(host, port)| is_bare(host) && is_port(port))
}

/// The host of requests that name none; empty: none.
pub(super) struct DefaultHost;

/// A name of DNS, a colon and a port.
const MAX_HOST_LENGTH: usize = 253 + 6;

impl Kind for DefaultHost {
    type Value = Option<String>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Option<String>> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if text.is_empty() {
            return Some(None);
        }
        if !is_host(text) || text.len() > MAX_HOST_LENGTH {
            let help = "write a name or an IP address, with a port or without: \"www.example.com\"";
            report.error(raw.location, format!("`{key}` is not a valid host"), help);
            return None;
        }
        Some(Some(text.clone()))
    }

    fn show(&self, value: &Option<String>) -> Json {
        Json::from(value.as_deref().unwrap_or_default())
    }

    fn schema(&self) -> Json {
        schema::text_of(0..=MAX_HOST_LENGTH)
    }
}

/// Resolvers for host names.
pub(super) struct Resolvers;

/// DNS servers that may be named; each is asked until one answers.
const MAX_RESOLVERS: usize = 8;
const DNS_PORT: u16 = 53;

impl Kind for Resolvers {
    type Value = Vec<SocketAddr>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list such as [\"192.0.2.1\"]", report);
        };
        if values.len() > MAX_RESOLVERS {
            let message = format!("`{key}` has {} items", values.len());
            report.error(raw.location, message, format!("allowed are up to {MAX_RESOLVERS}"));
            return None;
        }
        let parsed: Vec<_> = values.iter().filter_map(|value| resolver(key, value, report)).collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().map(|resolver| Json::String(resolver.to_string())).collect()
    }

    fn schema(&self) -> Json {
        schema::list(schema::text_of(1..=usize::MAX), 0..=MAX_RESOLVERS)
    }
}

fn resolver(key: &str, raw: &raw::Value, report: &mut Report) -> Option<SocketAddr> {
    let raw::Kind::Text(text) = &raw.kind else {
        return refuse_kind(key, raw, "a list of strings such as [\"192.0.2.1\"]", report);
    };
    let with_usual_port = || Some(SocketAddr::new(text.parse().ok()?, DNS_PORT));
    let problem = match text.parse::<SocketAddr>().ok().or_else(with_usual_port) {
        Some(SocketAddr::V6(address)) if needs_zone(&address) => "is link-local and lacks its interface",
        Some(address) if address.port() == 0 => "has port 0",
        Some(address) if address.ip().is_unspecified() => "is an address to listen at, not one to ask",
        Some(address) if address.ip().is_multicast() => "is a multicast address",
        Some(address) => return Some(address),
        None => "is not an IP address, with a port or without",
    };
    let help = "write \"192.0.2.1\", \"127.0.0.1:5353\", \"[::1]:53\", or \"[fe80::1%2]:53\" with the number of the interface (ip link)";
    report.error(raw.location, format!("`{key}` \"{}\" {problem}", text.escape_debug()), help);
    None
}

fn needs_zone(address: &SocketAddrV6) -> bool {
    address.ip().is_unicast_link_local() && address.scope_id() == 0
}

/// IP addresses and networks, each with its place.
pub(super) struct Networks;

impl Kind for Networks {
    type Value = Vec<(IpNet, Location)>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list such as [\"10.0.0.0/8\"]", report);
        };
        let parsed: Vec<_> = values.iter().filter_map(|value| network(key, value, report)).collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().map(|(network, _)| Json::String(network.to_string())).collect()
    }

    fn schema(&self) -> Json {
        schema::list(schema::pattern(NETWORK), 0..=usize::MAX)
    }
}

/// An address without a prefix length is a network of one.
fn network(key: &str, raw: &raw::Value, report: &mut Report) -> Option<(IpNet, Location)> {
    let raw::Kind::Text(text) = &raw.kind else {
        return refuse_kind(key, raw, "a list of strings such as [\"10.0.0.0/8\"]", report);
    };
    let Some(network) = parse_network(text) else {
        let message = format!("`{key}` \"{}\" is neither an IP address nor a network", text.escape_debug());
        report.error(raw.location, message, "write \"192.0.2.7\" or \"192.0.2.0/24\"");
        return None;
    };
    if network.trunc() != network {
        let message = format!("`{key}` \"{network}\" has host bits set, which are ignored");
        report.warning(raw.location, message, format!("write \"{}\"", network.trunc()));
    }
    Some((network.trunc(), raw.location))
}

/// A path as it is meant: relative to the folder of the file it stands in. None for a path that no
/// file can have, or that would garble a log line.
pub(super) fn resolve(path: &str, folder: &Path) -> Option<PathBuf> {
    (!path.is_empty() && !path.contains(char::is_control)).then(|| folder.join(path))
}
