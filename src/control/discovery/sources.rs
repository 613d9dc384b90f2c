//! Where addresses of names come from: the hosts file and DNS servers, as they are now.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::SocketAddrV6;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use resolv_conf::ScopedIp;

use crate::config::in_order::sort_by_key;
use crate::control::discovery::dns_cache::Found;
use crate::control::discovery::dns_client;
use crate::control::discovery::dns_client::Unanswered;
use crate::control::discovery::dns_message::AddressFamily;
use crate::control::files;
use crate::control::files::Files;
use crate::net::address::interface_number;
use crate::net::clock::monotonic_ms;

/// How long one lookup may take. Each DNS server gets its share of it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// DNS servers that are asked, as many as can be configured.
const MAX_SERVERS: usize = 8;

/// How long a DNS server that did not answer is asked last.
const SILENT_SERVER_TIME: Duration = Duration::from_secs(30);

/// How long an answer of the hosts file is used; it says nothing about that itself.
const HOSTS_LIFE: Duration = Duration::from_secs(30);

/// Search domains that are tried, as many as the C library takes.
const MAX_SEARCH_DOMAINS: usize = 6;

/// Bytes of the files that are read: some hosts files are lists of thousands of names that are to lead nowhere.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

const HOSTS_FILE: &str = "/etc/hosts";
const RESOLVER_FILE: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;

/// What is looked at for names, and read again when the files are others.
pub(super) struct Sources {
    /// As configured; empty for those of the operating system.
    resolvers: Vec<SocketAddr>,
    files: Files,
    known: Arc<KnownSources>,
}

/// The same at one moment, for all lookups that begin then.
pub(super) struct KnownSources {
    /// By the names in lower case.
    hosts: HashMap<String, Vec<IpAddr>>,
    servers: Result<DnsServers, String>,
}

/// DNS servers, and how names are asked for.
struct DnsServers {
    servers: Vec<DnsServer>,
    /// What may be missing at the end of a name.
    search: Vec<String>,
    /// A name with so many dots is taken as it is before anything is put behind it.
    dots: usize,
}

struct DnsServer {
    address: SocketAddr,
    patience: Duration,
    /// It did not answer; until then, the others are asked first.
    silent_until_ms: AtomicU64,
}

impl Sources {
    pub(super) fn read(resolvers: Vec<SocketAddr>) -> Sources {
        let files = Files::new([HOSTS_FILE, RESOLVER_FILE].map(PathBuf::from));
        let read = |path| files::read(Path::new(path), MAX_FILE_BYTES).unwrap_or_default();
        let hosts = hosts(&read(HOSTS_FILE));
        let servers = if resolvers.is_empty() {
            DnsServers::of_system(&read(RESOLVER_FILE))
        } else {
            Ok(DnsServers::new(&resolvers, Vec::new(), 1))
        };
        Sources { resolvers, files, known: Arc::new(KnownSources { hosts, servers }) }
    }

    /// What is known now: the files are read again if they are others than before.
    pub(super) fn known(&mut self) -> Arc<KnownSources> {
        if self.files.changed().is_some() {
            *self = Sources::read(std::mem::take(&mut self.resolvers));
        }
        Arc::clone(&self.known)
    }
}

impl KnownSources {
    /// What the hosts file says of a name, in a family; None if it does not know the name.
    pub(super) fn in_hosts_file(&self, host: &str, family: AddressFamily) -> Option<Found> {
        let addresses = self.hosts.get(host.trim_end_matches('.').to_ascii_lowercase().as_str())?;
        let is_v4 = family == AddressFamily::V4;
        let addresses: Vec<_> =
            addresses.iter().copied().filter(|address| address.is_ipv4() == is_v4).collect();
        Some(if addresses.is_empty() { Found::NoAddress } else { Found::Addresses(addresses, HOSTS_LIFE) })
    }

    /// Asks one server after the other until one knows, even if what it knows is that there is nothing.
    pub(super) fn ask(&self, host: &str, family: AddressFamily) -> Found {
        let known = match &self.servers {
            Ok(known) => known,
            Err(error) => return Found::Failed(error.clone()),
        };
        let now_ms = monotonic_ms();
        let mut in_order: Vec<_> = known.servers.iter().collect();
        sort_by_key(&mut in_order, |server| server.silent_until_ms.load(Ordering::Relaxed) > now_ms);
        let names = known.names(host);
        let mut failure = "there is no resolver".to_owned();
        for server in in_order {
            match server.ask(&names, family) {
                Found::Failed(reason) => failure = reason,
                found => return found,
            }
        }
        Found::Failed(failure)
    }
}

impl DnsServers {
    /// Those of a file like `/etc/resolv.conf`.
    fn of_system(text: &[u8]) -> Result<DnsServers, String> {
        // What it does not know it passes over, as the C library does.
        let (file, _errors) = resolv_conf::Config::parse_with_errors(text);
        let addresses: Vec<_> = file.nameservers.iter().filter_map(address_of).collect();
        if addresses.is_empty() {
            return Err(format!("{RESOLVER_FILE} names no resolver"));
        }
        let search = file.get_last_search_or_domain().map(|domain| domain.trim_matches('.').to_owned());
        let search = search.filter(|domain| !domain.is_empty()).take(MAX_SEARCH_DOMAINS).collect();
        Ok(DnsServers::new(&addresses, search, file.ndots as usize))
    }

    fn new(addresses: &[SocketAddr], search: Vec<String>, dots: usize) -> DnsServers {
        let count = addresses.len().clamp(1, MAX_SERVERS);
        let server = |address: &SocketAddr| DnsServer {
            address: *address,
            patience: LOOKUP_TIMEOUT / count as u32,
            silent_until_ms: AtomicU64::new(0),
        };
        DnsServers { servers: addresses.iter().take(count).map(server).collect(), search, dots }
    }

    /// What to ask for, one after the other until there is something.
    fn names(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let mut names: Vec<_> = self.search.iter().map(|domain| format!("{host}.{domain}.")).collect();
        let as_it_is = if host.matches('.').count() >= self.dots { 0 } else { names.len() };
        names.insert(as_it_is, format!("{host}."));
        names
    }
}

impl DnsServer {
    /// Asks for one name after the other until there are addresses; all of them share the time.
    fn ask(&self, names: &[String], family: AddressFamily) -> Found {
        let end_ms = monotonic_ms() + self.patience.as_millis() as u64;
        let mut nothing = Found::NoSuchHost;
        // One search domain that is broken does not hide what is found behind another.
        let mut failure = None;
        for name in names {
            let left = Duration::from_millis(end_ms.saturating_sub(monotonic_ms()));
            let answer = dns_client::ask(self.address, name, family, left);
            let is_silent = matches!(answer, Err(Unanswered::Silence));
            let silent_until_ms =
                if is_silent { monotonic_ms() + SILENT_SERVER_TIME.as_millis() as u64 } else { 0 };
            self.silent_until_ms.store(silent_until_ms, Ordering::Relaxed);
            match answer {
                Ok(Found::NoSuchHost) | Err(Unanswered::NoName) => {}
                Ok(Found::NoAddress) => nothing = Found::NoAddress,
                Ok(Found::Failed(reason)) => failure = Some(Found::Failed(reason)),
                Ok(found) => return found,
                Err(Unanswered::Silence) => return Found::Failed("the resolver does not answer".to_owned()),
                Err(Unanswered::Unreachable) => {
                    return Found::Failed("the resolver cannot be reached".to_owned());
                }
            }
        }
        failure.unwrap_or(nothing)
    }
}

/// A scope is the name or the number of an interface.
fn address_of(server: &ScopedIp) -> Option<SocketAddr> {
    match server {
        ScopedIp::V4(ip) => Some(SocketAddr::from((*ip, DNS_PORT))),
        ScopedIp::V6(ip, None) => Some(SocketAddr::from((*ip, DNS_PORT))),
        ScopedIp::V6(ip, Some(scope)) => {
            let number = scope.parse().ok().or_else(|| interface_number(scope))?;
            Some(SocketAddrV6::new(*ip, DNS_PORT, 0, number).into())
        }
    }
}

/// Reads a file like `/etc/hosts` (hosts(5)): an address and its names in each line. What is none is passed over.
fn hosts(text: &[u8]) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            let addresses = hosts.entry(name.to_ascii_lowercase()).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(known: &KnownSources, host: &str, family: AddressFamily) -> String {
        match known.in_hosts_file(host, family) {
            Some(Found::Addresses(addresses, _)) => format!("{addresses:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_hosts_file_has_the_last_word_on_the_names_in_it() {
        let text = b"\xef\xbb\xbf# of this host\n127.0.0.1\tlocalhost db.internal # and\n::1 localhost\n\
            10.0.0.1 App.internal\n10.0.0.2  app.internal app\r\nnonsense app\n10.0.0.1 app.internal\n";
        let known = KnownSources { hosts: hosts(text), servers: Err(String::new()) };
        let (v4, v6) = (AddressFamily::V4, AddressFamily::V6);
        assert_eq!(told(&known, "localhost", v6), "[::1]");
        assert_eq!(told(&known, "APP.internal.", v4), "[10.0.0.1, 10.0.0.2]");
        assert_eq!(told(&known, "app", v4), "[10.0.0.2]");
        assert_eq!(told(&known, "app", v6), "Some(NoAddress)");
        assert_eq!(told(&known, "and", v4), "None");
    }

    #[test]
    fn servers_share_the_time_of_a_lookup() {
        let addresses: Vec<_> =
            (1..=4).map(|number| SocketAddr::from(([192, 0, 2, number], 5_353))).collect();
        let servers = DnsServers::new(&addresses, Vec::new(), 1);
        let shares: Vec<_> = servers.servers.iter().map(|server| server.patience).collect();
        assert_eq!(shares, [LOOKUP_TIMEOUT / 4; 4]);
    }

    #[test]
    fn the_file_of_the_system_says_whom_to_ask_for_what() {
        let text =
            b"search one.example. two.example\noptions ndots:2 rotate unknown:1\nnameserver 192.0.2.53\n\
            nameserver nonsense\nnameserver fe80::1%1\n";
        let servers = DnsServers::of_system(text).unwrap();
        let addresses: Vec<_> = servers.servers.iter().map(|server| server.address.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.53:53", "[fe80::1%1]:53"]);
        assert_eq!(servers.names("db.a"), ["db.a.one.example.", "db.a.two.example.", "db.a."]);
        assert_eq!(servers.names("db.a.b"), ["db.a.b.", "db.a.b.one.example.", "db.a.b.two.example."]);
        assert_eq!(servers.names("db.a."), ["db.a."]);
        let none = DnsServers::of_system(b"search one.example\n").err();
        assert_eq!(none.as_deref(), Some("/etc/resolv.conf names no resolver"));
    }
}
