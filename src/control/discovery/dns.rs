//! Names of backends: looked up when a configuration is loaded, and again whenever an answer has run out.
//!
//! A thread of its own does that, which is there only as long as there are names, and short-lived ones that wait for servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::Config;
use crate::control::discovery;
use crate::control::discovery::Resolutions;
use crate::control::discovery::dns_cache::DnsCache;
use crate::control::discovery::dns_cache::Found;
use crate::control::discovery::dns_cache::LookupResult;
use crate::control::discovery::dns_cache::MAX_LOOKUPS;
use crate::control::discovery::dns_message::AddressFamily;
use crate::control::discovery::sources::KnownSources;
use crate::control::discovery::sources::Sources;
use crate::net::clock::monotonic_ms;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;

/// Between two looks at other work of the thread that waits for lookups.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long all lookups of a configuration may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

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
    thread: Option<ResolverThread>,
}

/// The thread that resolves names, until this is dropped.
struct ResolverThread {
    commands: SyncSender<ResolverCommand>,
    handle: JoinHandle<()>,
}

impl Drop for ResolverThread {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.commands.send(ResolverCommand::Stop);
    }
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
    Stop,
}

/// Of a thread that asks, which does little else.
const LOOKUP_STACK_BYTES: usize = 64 * 1024;

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
        if self.thread.as_ref().is_none_or(|thread| thread.handle.is_finished()) {
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
            Some(thread) => drop(thread.commands.send(ResolverCommand::Watch(names))),
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
        self.thread.as_ref()?.commands.send(command(sender)).ok()?;
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

fn start(resolvers: &[SocketAddr], has_changed: &Arc<AtomicBool>) -> io::Result<ResolverThread> {
    let (commands, receiver) = mpsc::sync_channel(MAX_HEALTH_COMMANDS);
    let watcher = Watcher {
        cache: DnsCache::default(),
        sources: Sources::read(resolvers.to_vec()),
        asker: None,
        has_changed: Arc::clone(has_changed),
        commands: commands.clone(),
        sentences: 0,
        minute: 0,
    };
    let thread = thread::Builder::new().name("ringway-names".to_owned());
    let handle = thread.spawn(move || watcher.run(&receiver))?;
    Ok(ResolverThread { commands, handle })
}

/// What the thread does.
struct Watcher {
    cache: DnsCache,
    sources: Sources,
    /// Who waits for all awaited names, and until when.
    asker: Option<(mpsc::Sender<Resolutions>, u64)>,
    has_changed: Arc<AtomicBool>,
    /// For lookups to report to.
    commands: SyncSender<ResolverCommand>,
    sentences: u32,
    /// The minute in which `sentences` were said.
    minute: u64,
}

impl Watcher {
    fn run(mut self, commands: &Receiver<ResolverCommand>) {
        loop {
            self.begin_lookups(monotonic_ms());
            let until_ms =
                self.cache.due_ms().into_iter().chain(self.asker.as_ref().map(|(_, until)| *until)).min();
            let command = match until_ms {
                Some(until) => {
                    commands.recv_timeout(Duration::from_millis(until.saturating_sub(monotonic_ms())))
                }
                None => commands.recv().map_err(RecvTimeoutError::from),
            };
            match command {
                Ok(ResolverCommand::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.answer_asker(monotonic_ms());
        }
    }

    fn begin_lookups(&mut self, now_ms: u64) {
        while let Some(host) = self.cache.next_due(now_ms) {
            let (known, commands, name) = (self.sources.known(), self.commands.clone(), host.clone());
            let lookup = move || {
                let outcome = look_up(&name, &known);
                // The receiver is gone when nobody wants to know any more.
                let _ = commands.send(ResolverCommand::Note(name, outcome));
            };
            let thread = thread::Builder::new().name("ringway-lookup".to_owned());
            if let Err(error) = thread.stack_size(LOOKUP_STACK_BYTES).spawn(lookup) {
                let failed = Found::Failed(format!("cannot start a thread: {error}"));
                self.note(&host, LookupResult { v4: failed.clone(), v6: failed }, now_ms);
            }
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
            ResolverCommand::Note(host, outcome) => self.note(&host, outcome, now_ms),
            ResolverCommand::Stop => {}
        }
    }

    fn note(&mut self, host: &str, outcome: LookupResult, now_ms: u64) {
        let change = self.cache.note(host, outcome, now_ms);
        if let Some(sentence) = change.sentence {
            self.say(host, &sentence, now_ms);
        }
        if change.is_change {
            self.has_changed.store(true, Ordering::Release);
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

/// Asks for both families at once. The hosts file has the last word on the names in it.
fn look_up(host: &str, known: &KnownSources) -> LookupResult {
    let (v4, v6) = (AddressFamily::V4, AddressFamily::V6);
    if let (Some(v4), Some(v6)) = (known.in_hosts_file(host, v4), known.in_hosts_file(host, v6)) {
        return LookupResult { v4, v6 };
    }
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("ringway-lookup".to_owned()).stack_size(LOOKUP_STACK_BYTES);
        let other = thread.spawn_scoped(scope, || known.ask(host, v6));
        let v4 = known.ask(host, v4);
        let v6 = match other {
            Ok(other) => {
                other.join().unwrap_or_else(|_panic| Found::Failed("the lookup broke off".to_owned()))
            }
            // One after the other, then.
            Err(_) => known.ask(host, v6),
        };
        LookupResult { v4, v6 }
    })
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
}
