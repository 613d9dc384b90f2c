//! Names of backends: looked up when a configuration is loaded, and again whenever an answer has run out.
//!
//! A thread of its own does that, which is there only as long as there are names.

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::config::NameServerConfig;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::config::ResolverOpts;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::DnsError;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use tokio::runtime;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::WeakSender;
use tokio::sync::mpsc::channel;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::config::in_order::sort_by_key;
use crate::control::discovery;
use crate::control::discovery::Resolutions;
use crate::control::discovery::dns_cache::DnsCache;
use crate::control::discovery::dns_cache::Found;
use crate::control::discovery::dns_cache::LookupResult;
use crate::control::discovery::dns_cache::MAX_LOOKUPS;
use crate::control::files::Files;
use crate::net::clock::monotonic_ms;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;

/// How long one lookup may take. Each DNS server gets its share of it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// DNS servers that are asked, as many as can be configured.
const MAX_SERVERS: usize = 8;

/// How long a DNS server that did not answer is asked last.
const SILENT_SERVER_TIME: Duration = Duration::from_secs(30);

/// Between two looks at other work of the thread that waits for lookups.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long all lookups of a configuration may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an answer of the hosts file is used; it says nothing about that itself.
const HOSTS_LIFE: Duration = Duration::from_secs(30);

/// Sentences for the operator in a minute. When a resolver dies, all names fail at once.
const MAX_SENTENCES: u32 = 20;

/// Addresses that a sentence lists.
const MAX_LISTED: usize = 8;

/// Orders that wait: the outcomes of all lookups, and some from the one who asks.
const MAX_HEALTH_COMMANDS: usize = 2 * MAX_LOOKUPS;

/// The names of backends.
pub struct WatchedNames {
    resolvers: Vec<SocketAddr>,
    /// An address has changed, and was not asked for since.
    has_changed: Arc<AtomicBool>,
    /// None while there are no names.
    thread: Option<Sender<ResolverCommand>>,
}

enum ResolverCommand {
    /// Looks these names up, and watches them beside those it watches already.
    Resolve(Vec<(String, u16)>, mpsc::Sender<Resolutions>),
    /// Watches no others.
    Watch(Vec<(String, u16)>),
    /// Tells the last good addresses of all names.
    Answer(mpsc::Sender<Resolutions>),
    /// A lookup of this host has ended.
    Note(String, LookupResult),
}

impl WatchedNames {
    /// Without `resolvers`, those of the operating system are asked.
    pub fn new(resolvers: &[SocketAddr]) -> WatchedNames {
        WatchedNames { resolvers: resolvers.to_vec(), has_changed: Arc::default(), thread: None }
    }

    /// Looks the names of a configuration up, which takes some seconds when the resolver does not answer;
    /// `meanwhile` is called every [`LOOK_INTERVAL`]. They are watched from now on, beside those that are watched already.
    pub fn resolve(&mut self, config: &Config, mut meanwhile: impl FnMut()) -> Resolutions {
        let names = names_of(config);
        if names.is_empty() {
            return Resolutions::new();
        }
        let failed = |error: &str| names.iter().map(|name| (name.clone(), Err(error.to_owned()))).collect();
        if self.thread.as_ref().is_none_or(Sender::is_closed) {
            match start(&self.resolvers, &self.has_changed) {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => return failed(&format!("cannot start a thread: {error}")),
            }
        }
        let answers =
            self.send(|sender| ResolverCommand::Resolve(names.clone(), sender)).and_then(|answers| {
                loop {
                    match answers.recv_timeout(LOOK_INTERVAL) {
                        Err(RecvTimeoutError::Timeout) => meanwhile(),
                        answers => return answers.ok(),
                    }
                }
            });
        answers.unwrap_or_else(|| failed("the thread that resolves names has ended"))
    }

    /// Watches the names of this configuration, which were resolved, and no others.
    pub fn watch(&mut self, config: &Config) {
        let names = names_of(config);
        match &self.thread {
            _ if names.is_empty() => self.thread = None,
            // Should the thread have ended, the next `resolve` starts another.
            Some(thread) => drop(thread.blocking_send(ResolverCommand::Watch(names))),
            None => {}
        }
    }

    /// The addresses of all names, if one has changed since the last call. Names of which the last lookup
    /// failed have their last good addresses.
    pub fn changed(&self) -> Option<Resolutions> {
        let has_changed = self.has_changed.swap(false, Ordering::AcqRel);
        has_changed.then(|| self.send(ResolverCommand::Answer)?.recv().ok()).flatten()
    }

    /// Where the answers to a command will come.
    fn send(
        &self,
        command: impl FnOnce(mpsc::Sender<Resolutions>) -> ResolverCommand,
    ) -> Option<mpsc::Receiver<Resolutions>> {
        let (sender, answers) = mpsc::channel();
        self.thread.as_ref()?.blocking_send(command(sender)).ok()?;
        Some(answers)
    }
}

fn names_of(config: &Config) -> Vec<(String, u16)> {
    discovery::names(config).into_iter().map(|(host, port, _)| (host, port)).collect()
}

/// Says which addresses a host has now.
pub fn sentence(host: &str, addresses: &[SocketAddr]) -> String {
    let listed: Vec<_> = addresses.iter().take(MAX_LISTED).map(|address| address.ip().to_string()).collect();
    let listed = listed.join(", ");
    match addresses.len() {
        1 => format!("names: \"{host}\" now has the address {listed}"),
        count @ ..=MAX_LISTED => format!("names: \"{host}\" now has {count} addresses: {listed}"),
        count => {
            let rest = count - MAX_LISTED;
            format!("names: \"{host}\" now has {count} addresses: {listed} and {rest} more")
        }
    }
}

fn start(resolvers: &[SocketAddr], has_changed: &Arc<AtomicBool>) -> io::Result<Sender<ResolverCommand>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, commands) = channel(MAX_HEALTH_COMMANDS);
    let (resolvers, has_changed, weak) = (resolvers.to_vec(), Arc::clone(has_changed), sender.downgrade());
    let body = move || {
        runtime.block_on(async {
            let watcher = Watcher {
                cache: DnsCache::default(),
                sources: Sources::read(resolvers),
                asker: None,
                has_changed,
                commands: weak,
                sentences: 0,
                minute: 0,
            };
            watcher.run(commands).await;
        });
    };
    thread::Builder::new().name("ringway-names".to_owned()).spawn(body)?;
    Ok(sender)
}

/// What the thread does.
struct Watcher {
    cache: DnsCache,
    sources: Sources,
    /// Who waits for all awaited names, and until when.
    asker: Option<(mpsc::Sender<Resolutions>, u64)>,
    has_changed: Arc<AtomicBool>,
    /// For lookups to report to. The thread ends when nothing else can give it commands.
    commands: WeakSender<ResolverCommand>,
    sentences: u32,
    /// The minute in which `sentences` were said.
    minute: u64,
}

impl Watcher {
    async fn run(mut self, mut commands: Receiver<ResolverCommand>) {
        loop {
            self.begin_lookups(monotonic_ms());
            let until_ms =
                self.cache.due_ms().into_iter().chain(self.asker.as_ref().map(|(_, until)| *until)).min();
            let command = match until_ms {
                Some(until) => {
                    let wait = Duration::from_millis(until.saturating_sub(monotonic_ms()));
                    tokio::time::timeout(wait, commands.recv()).await
                }
                None => Ok(commands.recv().await),
            };
            match command {
                Ok(Some(command)) => self.obey(command),
                Ok(None) => return,
                Err(_elapsed) => {}
            }
            self.answer_asker(monotonic_ms());
        }
    }

    fn begin_lookups(&mut self, now_ms: u64) {
        while let Some(host) = self.cache.next_due(now_ms) {
            self.sources.refresh();
            let Some(commands) = self.commands.upgrade() else { return };
            let lookup = look_up(host.clone(), Arc::clone(&self.sources.hosts), self.sources.servers.clone());
            tokio::spawn(async move {
                let outcome = lookup.await;
                // The receiver is gone only when the thread ends.
                let _ = commands.send(ResolverCommand::Note(host, outcome)).await;
            });
        }
    }

    fn obey(&mut self, command: ResolverCommand) {
        let now_ms = monotonic_ms();
        match command {
            ResolverCommand::Resolve(names, sender) => {
                self.cache.await_names(&names, now_ms);
                self.asker = Some((sender, now_ms + RESOLVE_TIMEOUT.as_millis() as u64));
            }
            ResolverCommand::Watch(names) => self.cache.keep(&names),
            ResolverCommand::Answer(sender) => {
                // Who asked may have gone.
                let _ = sender.send(self.cache.resolutions());
            }
            ResolverCommand::Note(host, outcome) => {
                let change = self.cache.note(&host, outcome, now_ms);
                if let Some(sentence) = change.sentence {
                    self.say(&host, &sentence, now_ms);
                }
                if change.is_change {
                    self.has_changed.store(true, Ordering::Release);
                }
            }
        }
    }

    fn answer_asker(&mut self, now_ms: u64) {
        let is_over = self.asker.as_ref().is_some_and(|(_, until)| *until <= now_ms);
        if self.cache.is_awaited() && !is_over {
            return;
        }
        if let Some((sender, _)) = self.asker.take() {
            // Who asked may have gone.
            let _ = sender.send(self.cache.last_outcomes());
            self.cache.stop_awaiting();
        }
    }

    fn say(&mut self, host: &str, sentence: &str, now_ms: u64) {
        let minute = now_ms / 60_000;
        if minute != self.minute {
            (self.minute, self.sentences) = (minute, 0);
        }
        self.sentences += 1;
        match self.sentences {
            ..=MAX_SENTENCES => log_event(News::new(EventKind::NamesFailing, sentence).of("host", host)),
            count if count == MAX_SENTENCES + 1 => {
                let line = "names: more of this happens, and is not told this minute";
                log_event(News::new(EventKind::NamesFailing, line));
            }
            _ => {}
        }
    }
}

/// Where addresses come from: the hosts file and DNS servers, as they are now.
struct Sources {
    /// As configured; empty for those of the operating system.
    resolvers: Vec<SocketAddr>,
    files: Files,
    hosts: Arc<Hosts>,
    servers: Result<Arc<[Server]>, String>,
}

impl Sources {
    fn read(resolvers: Vec<SocketAddr>) -> Sources {
        let files = Files::new(["/etc/hosts", "/etc/resolv.conf"].map(PathBuf::from));
        let hosts = Arc::new(Hosts::from_system().unwrap_or_default());
        let servers = servers(&resolvers);
        Sources { resolvers, files, hosts, servers }
    }

    /// Reads the files again if they are others than before.
    fn refresh(&mut self) {
        if self.files.changed().is_some() {
            *self = Sources::read(std::mem::take(&mut self.resolvers));
        }
    }
}

/// One DNS server. Each is a resolver of its own, because they are asked in their order, and together they would
/// be asked in any: the second may be a public one that knows nothing of internal names.
struct Server {
    resolver: TokioResolver,
    patience: Duration,
    /// It did not answer; until then, the others are asked first.
    silent_until_ms: AtomicU64,
}

fn servers(resolvers: &[SocketAddr]) -> Result<Arc<[Server]>, String> {
    let (config, mut options) = if resolvers.is_empty() {
        read_system_conf().map_err(|_| "/etc/resolv.conf names no resolver".to_owned())?
    } else {
        let server = |address: &SocketAddr| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            connections.iter_mut().for_each(|connection| connection.port = address.port());
            NameServerConfig::new(address.ip(), true, connections)
        };
        let servers = resolvers.iter().map(server).collect();
        (ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default())
    };
    let count = config.name_servers().len().clamp(1, MAX_SERVERS);
    options.timeout = LOOKUP_TIMEOUT / count as u32;
    // A question is sent several times within its time as it is.
    options.attempts = 0;
    // We keep answers ourselves, and look at the hosts file ourselves.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let server = |server: &NameServerConfig| {
        let (domain, search) = (config.domain().cloned(), config.search().to_vec());
        let config = ResolverConfig::from_parts(domain, search, vec![server.clone()]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options.clone();
        let resolver = builder.build().map_err(|error| describe(&error))?;
        Ok(Server { resolver, patience: options.timeout, silent_until_ms: AtomicU64::new(0) })
    };
    config.name_servers().iter().take(count).map(server).collect()
}

impl Server {
    async fn ask(&self, name: Name, family: RecordType) -> Found {
        let answer = tokio::time::timeout(self.patience, self.resolver.lookup(name, family)).await;
        let answer = answer.unwrap_or(Err(NetError::Timeout));
        let silent_until_ms = match answer {
            Err(NetError::Timeout) => monotonic_ms() + SILENT_SERVER_TIME.as_millis() as u64,
            _ => 0,
        };
        self.silent_until_ms.store(silent_until_ms, Ordering::Relaxed);
        match answer {
            Ok(lookup) => {
                let life = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
                Found::Addresses(addresses(&lookup), Duration::from_secs(u64::from(life)))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if none.response_code == ResponseCode::NXDomain =>
            {
                Found::NoSuchHost
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Found::NoAddress,
            Err(error) => Found::Failed(describe(&error)),
        }
    }
}

/// Asks for both families at once. The hosts file has the last word on the names in it.
async fn look_up(host: String, hosts: Arc<Hosts>, servers: Result<Arc<[Server]>, String>) -> LookupResult {
    let Ok(name) = Name::from_ascii(&host) else {
        return LookupResult { v4: Found::NoSuchHost, v6: Found::NoSuchHost };
    };
    let from_file = |family| hosts.lookup_static_host(&Query::query(name.clone(), family));
    let (v4, v6) = (from_file(RecordType::A), from_file(RecordType::AAAA));
    if v4.is_some() || v6.is_some() {
        let found = |lookup: Option<Lookup>| match lookup {
            Some(lookup) => Found::Addresses(addresses(&lookup), HOSTS_LIFE),
            None => Found::NoAddress,
        };
        return LookupResult { v4: found(v4), v6: found(v6) };
    }
    let servers = match servers {
        Ok(servers) => servers,
        Err(error) => return LookupResult { v4: Found::Failed(error.clone()), v6: Found::Failed(error) },
    };
    let v4 = tokio::spawn(ask(Arc::clone(&servers), name.clone(), RecordType::A));
    let v6 = tokio::spawn(ask(servers, name, RecordType::AAAA));
    LookupResult { v4: ended(v4).await, v6: ended(v6).await }
}

async fn ended(lookup: JoinHandle<Found>) -> Found {
    lookup.await.unwrap_or_else(|_panic| Found::Failed("the lookup broke off".to_owned()))
}

/// Asks one server after the other until one knows, even if what it knows is that there is nothing.
async fn ask(servers: Arc<[Server]>, name: Name, family: RecordType) -> Found {
    let now_ms = monotonic_ms();
    let mut in_order: Vec<&Server> = servers.iter().collect();
    sort_by_key(&mut in_order, |server| server.silent_until_ms.load(Ordering::Relaxed) > now_ms);
    let mut failure = "there is no resolver".to_owned();
    for server in in_order {
        match server.ask(name.clone(), family).await {
            Found::Failed(reason) => failure = reason,
            found => return found,
        }
    }
    Found::Failed(failure)
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn describe(error: &NetError) -> String {
    match error {
        NetError::Timeout => "the resolver does not answer".to_owned(),
        NetError::Io(_) | NetError::NoConnections => "the resolver cannot be reached".to_owned(),
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => {
            "the resolver cannot find out (SERVFAIL)".to_owned()
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => {
            "the resolver refuses to answer".to_owned()
        }
        _ => "the resolver's answer makes no sense".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_list_few_addresses() {
        let check = |count: u8, expected: &str| {
            let addresses: Vec<SocketAddr> =
                (1..=count).map(|number| SocketAddr::from(([192, 0, 2, number], 80))).collect();
            assert_eq!(sentence("a", &addresses), format!("names: \"a\" now has {expected}"));
        };
        check(1, "the address 192.0.2.1");
        check(2, "2 addresses: 192.0.2.1, 192.0.2.2");
        let eight = (1..=8).map(|number| format!("192.0.2.{number}")).collect::<Vec<_>>().join(", ");
        check(8, &format!("8 addresses: {eight}"));
        check(10, &format!("10 addresses: {eight} and 2 more"));
    }

    #[test]
    fn servers_share_the_time_of_a_lookup() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let addresses: Vec<SocketAddr> =
            (1..=4).map(|number| SocketAddr::from(([192, 0, 2, number], 5_353))).collect();
        let servers = runtime.block_on(async { servers(&addresses) }).unwrap();
        let shares: Vec<_> = servers.iter().map(|server| server.patience).collect();
        assert_eq!(shares, [LOOKUP_TIMEOUT / 4; 4]);
    }

    #[test]
    fn what_went_wrong_is_said_in_a_few_words() {
        for (error, expected) in [
            (NetError::Timeout, "the resolver does not answer"),
            (NetError::NoConnections, "the resolver cannot be reached"),
            (
                DnsError::ResponseCode(ResponseCode::ServFail).into(),
                "the resolver cannot find out (SERVFAIL)",
            ),
            (DnsError::ResponseCode(ResponseCode::Refused).into(), "the resolver refuses to answer"),
            (NetError::Truncated, "the resolver's answer makes no sense"),
        ] {
            assert_eq!(describe(&error), expected);
        }
    }
}
