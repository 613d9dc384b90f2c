//! What is known about hosts, and when each is to be looked up again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::in_order;
use crate::control::discovery::Resolutions;

/// Hosts that are looked up at the same time.
pub(super) const MAX_LOOKUPS: usize = 16;

/// An answer is used at least as long, lest a time to live of nothing becomes a flood of questions, and at
/// most as long, lest a mistake stays for days.
const MIN_LIFE: Duration = Duration::from_secs(1);
/// How long the addresses of a host are used without asking again, whatever its time to live.
const MAX_LIFE: Duration = Duration::from_secs(3_600);

/// How long after a lookup that failed the next one comes; doubled with each that fails too.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// For a name that never had an address, so that no backend serves for it.
const FIRST_RETRY_OF_NOBODY: Duration = Duration::from_secs(1);
/// The longest pause before a host that does not resolve is asked for again.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Addresses of one family that a name may have; an answer with more is cut.
const MAX_ADDRESSES: usize = 256;

/// What asking for the addresses of one family gave.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// With the time that the answer lives.
    Addresses(Vec<IpAddr>, Duration),
    NoSuchHost,
    NoAddress,
    /// The answer is unknown; in a few words, why.
    Failed(String),
}

/// What a lookup gave.
#[derive(Clone, Debug)]
pub(super) struct LookupResult {
    pub(super) v4: Found,
    pub(super) v6: Found,
}

/// What an outcome means to others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LookupChange {
    /// There are other addresses than before.
    pub(super) is_change: bool,
    /// For the operator.
    pub(super) sentence: Option<String>,
}

/// All hosts that are watched.
#[derive(Default)]
pub(super) struct DnsCache {
    hosts: BTreeMap<String, CachedHost>,
    /// Lookups, those of forgotten hosts too.
    in_flight: usize,
}

#[derive(Default)]
struct CachedHost {
    ports: BTreeSet<u16>,
    /// Addresses of the last good answers, each once and in order.
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    /// Lookups that failed since the last good answer, and why the last of them did.
    failures: u32,
    trouble: Option<String>,
    is_in_flight: bool,
    /// A caller waits for the next outcome.
    is_awaited: bool,
    due_ms: u64,
}

impl DnsCache {
    /// Adds names; their hosts are due at once, those known before too.
    pub(super) fn await_names(&mut self, names: &[(String, u16)], now_ms: u64) {
        for (host, port) in names {
            let host = self.hosts.entry(host.clone()).or_default();
            host.ports.insert(*port);
            host.is_awaited = true;
            host.due_ms = now_ms;
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.hosts.values().any(|host| host.is_awaited)
    }

    /// No caller waits any longer.
    pub(super) fn stop_awaiting(&mut self) {
        self.hosts.values_mut().for_each(|host| host.is_awaited = false);
    }

    /// Forgets all other names.
    pub(super) fn keep(&mut self, names: &[(String, u16)]) {
        let mut wanted: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
        for (host, port) in names {
            wanted.entry(host).or_default().insert(*port);
        }
        self.hosts.retain(|name, host| match wanted.remove(name.as_str()) {
            Some(ports) => {
                host.ports = ports;
                true
            }
            None => false,
        });
    }

    /// The next host to look up; from now on it is in flight, until [`DnsCache::note`].
    pub(super) fn next_due(&mut self, now_ms: u64) -> Option<String> {
        if self.in_flight >= MAX_LOOKUPS {
            return None;
        }
        let due = self.hosts.iter_mut().filter(|(_, host)| !host.is_in_flight && host.due_ms <= now_ms);
        let (name, host) = due.min_by_key(|(_, host)| host.due_ms)?;
        host.is_in_flight = true;
        self.in_flight += 1;
        Some(name.clone())
    }

    /// When a host is due, if an outcome does not come before that.
    pub(super) fn due_ms(&self) -> Option<u64> {
        if self.in_flight >= MAX_LOOKUPS {
            return None;
        }
        self.hosts.values().filter(|host| !host.is_in_flight).map(|host| host.due_ms).min()
    }

    /// Takes what a lookup gave. Only addresses replace addresses.
    pub(super) fn note(&mut self, name: &str, outcome: LookupResult, now_ms: u64) -> LookupChange {
        self.in_flight = self.in_flight.saturating_sub(1);
        // The host may be of no interest any more.
        let Some(host) = self.hosts.get_mut(name) else { return LookupChange::default() };
        host.is_in_flight = false;
        let is_awaited = std::mem::take(&mut host.is_awaited);
        match trouble(&outcome) {
            None => host.succeed(name, outcome, now_ms),
            Some(trouble) => {
                host.failures = host.failures.saturating_add(1);
                let serves = !host.addresses().is_empty();
                let first_retry = if serves { FIRST_RETRY } else { FIRST_RETRY_OF_NOBODY };
                host.due_ms = now_ms + milliseconds(retry_after(first_retry, host.failures));
                let is_first = host.failures == 1;
                let sentence = match serves {
                    true => format!(
                        "warning: cannot resolve host name \"{name}\" any more: {trouble}; its last addresses stay in use"
                    ),
                    false => {
                        format!(
                            "warning: cannot resolve host name \"{name}\": {trouble}; nobody serves for it yet"
                        )
                    }
                };
                host.trouble = Some(trouble);
                // Who waits will say it, with the place of the name.
                LookupChange { is_change: false, sentence: (is_first && !is_awaited).then_some(sentence) }
            }
        }
    }

    /// The last good addresses of all names, or why there never were any.
    pub(super) fn resolutions(&self) -> Resolutions {
        self.each_port(|host| match host.addresses() {
            addresses if addresses.is_empty() => Err(host.reason()),
            addresses => Ok(addresses),
        })
    }

    /// What the last lookups of all names gave, even where last good addresses stay in use.
    pub(super) fn last_outcomes(&self) -> Resolutions {
        self.each_port(|host| match (host.is_awaited, &host.trouble, host.addresses()) {
            (false, None, addresses) if !addresses.is_empty() => Ok(addresses),
            _ => Err(host.reason()),
        })
    }

    fn each_port(&self, answer: impl Fn(&CachedHost) -> Result<Vec<IpAddr>, String>) -> Resolutions {
        let mut resolutions = Resolutions::new();
        for (name, host) in &self.hosts {
            let answer = answer(host);
            for port in &host.ports {
                let with_port = |addresses: &Vec<IpAddr>| {
                    addresses.iter().map(|address| SocketAddr::new(*address, *port)).collect()
                };
                resolutions
                    .insert((name.clone(), *port), answer.as_ref().map(with_port).map_err(Clone::clone));
            }
        }
        resolutions
    }
}

impl CachedHost {
    fn addresses(&self) -> Vec<IpAddr> {
        [self.v4.as_slice(), self.v6.as_slice()].concat()
    }

    fn reason(&self) -> String {
        self.trouble.clone().unwrap_or_else(|| "the resolver does not answer".to_owned())
    }

    fn succeed(&mut self, name: &str, outcome: LookupResult, now_ms: u64) -> LookupChange {
        let before = self.addresses();
        let mut life = MAX_LIFE;
        for (known, found) in [(&mut self.v4, outcome.v4), (&mut self.v6, outcome.v6)] {
            match found {
                Found::Addresses(addresses, lives) => {
                    *known = tidied(addresses);
                    life = life.min(lives);
                }
                Found::NoSuchHost | Found::NoAddress => known.clear(),
                // One family answered, so the host is there; the other has what it had.
                Found::Failed(_) => {}
            }
        }
        self.due_ms = now_ms + milliseconds(bounded(life));
        self.trouble = None;
        let has_failed = std::mem::take(&mut self.failures) > 0;
        LookupChange {
            is_change: self.addresses() != before,
            sentence: has_failed.then(|| match before.is_empty() {
                true => format!("names: \"{name}\" resolves now"),
                false => format!("names: \"{name}\" resolves again"),
            }),
        }
    }
}

/// Why there is no address at all.
fn trouble(outcome: &LookupResult) -> Option<String> {
    let has_address = |found: &Found| match found {
        Found::Addresses(addresses, _) => addresses.iter().any(is_usable),
        _ => false,
    };
    match (&outcome.v4, &outcome.v6) {
        (v4, v6) if has_address(v4) || has_address(v6) => None,
        (Found::Failed(reason), _) | (_, Found::Failed(reason)) => Some(reason.clone()),
        (Found::NoSuchHost, _) | (_, Found::NoSuchHost) => Some("no such host".to_owned()),
        _ => Some("it has no address".to_owned()),
    }
}

/// Each address once, in order, without those that cannot be connected to.
fn tidied(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.retain(is_usable);
    in_order::sort_by(&mut addresses, IpAddr::cmp);
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// Resolvers that block a name like to answer 0.0.0.0, which would be this host.
fn is_usable(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

fn bounded(life: Duration) -> Duration {
    life.clamp(MIN_LIFE, MAX_LIFE)
}

fn retry_after(first: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    (first * (1 << doublings)).min(MAX_RETRY)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hosts: &[&str]) -> Vec<(String, u16)> {
        hosts.iter().map(|host| ((*host).to_owned(), 80)).collect()
    }

    fn given(addresses: &[&str], seconds: u64) -> Found {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Found::Addresses(addresses, Duration::from_secs(seconds))
    }

    fn failed(reason: &str) -> Found {
        Found::Failed(reason.to_owned())
    }

    /// One host `a`, which was looked up and has these addresses.
    fn cache(addresses: &[&str], seconds: u64) -> DnsCache {
        let mut cache = DnsCache::default();
        cache.await_names(&names(&["a"]), 0);
        assert_eq!(cache.next_due(0).as_deref(), Some("a"));
        let change = cache.note("a", LookupResult { v4: given(addresses, seconds), v6: Found::NoAddress }, 0);
        assert_eq!(change, LookupChange { is_change: true, sentence: None });
        cache
    }

    fn addresses(cache: &DnsCache) -> String {
        match &cache.resolutions()[&("a".to_owned(), 80)] {
            Ok(addresses) => {
                addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ")
            }
            Err(reason) => format!("({reason})"),
        }
    }

    #[test]
    fn answers_live_as_long_as_they_say_within_bounds() {
        for (seconds, due_ms) in
            [(0, 1_000), (1, 1_000), (30, 30_000), (3_600, 3_600_000), (86_400, 3_600_000)]
        {
            let mut cache = cache(&["192.0.2.1"], seconds);
            assert_eq!(cache.due_ms(), Some(due_ms));
            assert_eq!(cache.next_due(due_ms - 1), None);
            assert_eq!(cache.next_due(due_ms).as_deref(), Some("a"));
            assert_eq!(cache.due_ms(), None);
        }
    }

    #[test]
    fn the_shorter_life_of_both_families_counts() {
        let mut cache = cache(&["192.0.2.1"], 9);
        cache.note("a", LookupResult { v4: given(&["192.0.2.1"], 60), v6: given(&["::1"], 20) }, 0);
        assert_eq!(cache.due_ms(), Some(20_000));
    }

    #[test]
    fn only_other_addresses_are_a_change() {
        let none = || Found::NoAddress;
        for (v4, v6, is_change, now) in [
            (given(&["192.0.2.2", "192.0.2.1"], 1), none(), false, "192.0.2.1 192.0.2.2"),
            (given(&["192.0.2.1", "192.0.2.2", "192.0.2.1"], 1), none(), false, "192.0.2.1 192.0.2.2"),
            (given(&["192.0.2.1"], 1), none(), true, "192.0.2.1"),
            (given(&["192.0.2.1", "0.0.0.0", "224.0.0.1"], 1), Found::NoSuchHost, true, "192.0.2.1"),
            (
                given(&["192.0.2.2", "192.0.2.1"], 1),
                given(&["::1", "::"], 1),
                true,
                "192.0.2.1 192.0.2.2 ::1",
            ),
            (none(), given(&["::1"], 1), true, "::1"),
            // A family of which nothing was learnt has what it had.
            (failed("x"), given(&["::1"], 1), true, "192.0.2.1 192.0.2.2 ::1"),
            (given(&["192.0.2.1", "192.0.2.2"], 1), failed("x"), false, "192.0.2.1 192.0.2.2"),
        ] {
            let mut cache = cache(&["192.0.2.2", "192.0.2.1"], 1);
            let change = cache.note("a", LookupResult { v4, v6 }, 0);
            assert_eq!((change.is_change, addresses(&cache).as_str()), (is_change, now));
            assert_eq!(change.sentence, None);
        }
    }

    #[test]
    fn what_gives_no_address_changes_none() {
        for (v4, v6, reason) in [
            (Found::NoSuchHost, Found::NoSuchHost, "no such host"),
            (Found::NoAddress, Found::NoSuchHost, "no such host"),
            (Found::NoAddress, Found::NoAddress, "it has no address"),
            (given(&[], 1), given(&["::"], 1), "it has no address"),
            (Found::NoSuchHost, failed("it is late"), "it is late"),
            (failed("it is late"), given(&["ff02::1"], 1), "it is late"),
        ] {
            let mut cache = cache(&["192.0.2.1"], 1);
            let change = cache.note("a", LookupResult { v4, v6 }, 0);
            let sentence = change.sentence.unwrap();
            assert!(sentence.contains(&format!("\"a\" any more: {reason};")), "{sentence}");
            assert!(!change.is_change);
            assert_eq!(addresses(&cache), "192.0.2.1");
            assert_eq!(cache.last_outcomes()[&("a".to_owned(), 80)], Err(reason.to_owned()));
        }
    }

    #[test]
    fn failures_come_less_and_less_often_and_are_told_once() {
        let mut cache = cache(&["192.0.2.1"], 1);
        let failure = || LookupResult { v4: failed("x"), v6: failed("y") };
        for (round, seconds) in [5, 10, 20, 40, 60, 60].into_iter().enumerate() {
            let change = cache.note("a", failure(), 1_000);
            assert_eq!(change.sentence.is_some(), round == 0);
            assert_eq!(cache.due_ms(), Some(1_000 + seconds * 1_000));
        }
        let same = LookupResult { v4: given(&["192.0.2.1"], 7), v6: Found::NoAddress };
        let change = cache.note("a", same.clone(), 0);
        assert_eq!(
            change,
            LookupChange { is_change: false, sentence: Some("names: \"a\" resolves again".to_owned()) }
        );
        assert_eq!(cache.due_ms(), Some(7_000));
        assert_eq!(cache.note("a", same, 0), LookupChange::default());
        assert_eq!(retry_after(FIRST_RETRY, u32::MAX), MAX_RETRY);
    }

    #[test]
    fn who_waits_gets_the_failure_instead_of_the_operator() {
        let mut cache = cache(&["192.0.2.1"], 600);
        assert!(!cache.is_awaited());
        cache.await_names(&names(&["a", "b"]), 5);
        assert!(cache.is_awaited());
        let unknown = Err("the resolver does not answer".to_owned());
        assert_eq!(cache.last_outcomes()[&("a".to_owned(), 80)], unknown);
        assert_eq!(
            [cache.next_due(5), cache.next_due(5), cache.next_due(5)].map(|due| due.is_some()),
            [true, true, false]
        );
        let change = cache.note("a", LookupResult { v4: Found::NoSuchHost, v6: Found::NoSuchHost }, 6);
        assert_eq!(change, LookupChange::default());
        assert!(cache.is_awaited());
        cache.stop_awaiting();
        assert_eq!(cache.last_outcomes()[&("b".to_owned(), 80)], unknown);
        assert_eq!(cache.resolutions()[&("a".to_owned(), 80)], Ok(vec!["192.0.2.1:80".parse().unwrap()]));
    }

    #[test]
    fn a_host_is_looked_up_once_for_all_its_ports() {
        let mut cache = DnsCache::default();
        let both = vec![("a".to_owned(), 80), ("a".to_owned(), 81)];
        cache.await_names(&both, 0);
        assert_eq!([cache.next_due(0), cache.next_due(0)], [Some("a".to_owned()), None]);
        cache.note("a", LookupResult { v4: Found::NoAddress, v6: given(&["::1"], 1) }, 0);
        let resolutions = cache.resolutions();
        assert_eq!(resolutions[&both[0]], Ok(vec!["[::1]:80".parse().unwrap()]));
        assert_eq!(resolutions[&both[1]], Ok(vec!["[::1]:81".parse().unwrap()]));
        cache.keep(&both[1..]);
        assert_eq!(cache.resolutions().into_keys().collect::<Vec<_>>(), both[1..]);
        cache.keep(&[]);
        assert_eq!((cache.resolutions().len(), cache.due_ms()), (0, None));
    }

    #[test]
    fn few_lookups_are_in_flight_even_when_names_are_forgotten() {
        let mut cache = DnsCache::default();
        let hosts: Vec<_> = (0..20).map(|number| format!("host-{number}")).collect();
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        cache.await_names(&names(&hosts), 0);
        let begun: Vec<_> = std::iter::from_fn(|| cache.next_due(0)).collect();
        assert_eq!((begun.len(), cache.due_ms()), (MAX_LOOKUPS, None));
        cache.keep(&[]);
        cache.await_names(&names(&["a"]), 0);
        assert_eq!(cache.next_due(0), None);
        cache.note(&begun[0], LookupResult { v4: Found::NoAddress, v6: Found::NoAddress }, 0);
        assert_eq!(cache.next_due(0).as_deref(), Some("a"));
    }
}
