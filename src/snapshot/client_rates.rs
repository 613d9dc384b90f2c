//! How many requests each client has made, as far as limits ask for it.
//!
//! A table of fixed size that all workers read and write without locks, for the limits of all listeners and rules. A
//! client whose next request is not early needs no place: forgetting it changes nothing. So places are taken only
//! from those, and never from one that is at its limit, however many addresses a flood has.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::policy::rate_limit::RateLimit;
use crate::snapshot::keyed_hash::KeyedHash;

/// Clients that can be known at a time, 24 bytes each. At 10 requests per second, one that asks once has its place for a
/// tenth of a second; so it takes millions of addresses a second to fill all.
const PLACES: usize = 262_144;

/// Places where a client can stand.
const WAYS: usize = 8;

/// For so long after a refusal the place of a client stays its own. A client that keeps asking keeps it, also in the
/// moments in which its next request is due.
const REFUSED_NS: u64 = 1_000_000_000;

pub struct ClientRates {
    /// Keyed at random, so that nobody can choose addresses that share the places of another one.
    hasher: KeyedHash,
    places: Box<[ClientPlace]>,
}

#[derive(Default)]
struct ClientPlace {
    /// The hash of limit and client; 0: free.
    key: AtomicU64,
    /// When the next request is due, in nanoseconds of a clock that all workers share.
    due_ns: AtomicU64,
    /// Until when the place stays with its client though a request is due.
    held_until_ns: AtomicU64,
}

impl Default for ClientRates {
    fn default() -> ClientRates {
        ClientRates {
            hasher: KeyedHash::default(),
            places: (0..PLACES).map(|_| ClientPlace::default()).collect(),
        }
    }
}

/// What counts as one client: an IPv4 address, or a network of IPv6 with 64 bits, which is what one customer gets.
pub fn client_number(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        // The highest bit is of no use to tell addresses apart that are in use, and tells them from those of IPv4.
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64 | 1 << 63,
    }
}

/// What is known of one client: a hash, when something is due, and until when the place is held.
pub type KnownRate = (u64, u64, u64);

impl ClientRates {
    /// The table of another process.
    pub fn restored(key: (u64, u64), known: impl IntoIterator<Item = KnownRate>) -> ClientRates {
        let rates = ClientRates { hasher: KeyedHash::of_key(key), ..ClientRates::default() };
        for (hash, due_ns, held_until_ns) in known {
            if let Some(place) = rates.place(hash.max(1), 0) {
                place.due_ns.store(due_ns, Ordering::Relaxed);
                place.held_until_ns.store(held_until_ns, Ordering::Relaxed);
            }
        }
        rates
    }

    /// What clients are told apart by.
    pub fn key(&self) -> (u64, u64) {
        self.hasher.key()
    }

    /// The clients that are limited at this moment.
    pub fn known(&self, now_ns: u64) -> impl Iterator<Item = KnownRate> {
        let known = self.places.iter().map(|place| {
            let [hash, due, held] = [&place.key, &place.due_ns, &place.held_until_ns];
            (hash.load(Ordering::Relaxed), due.load(Ordering::Relaxed), held.load(Ordering::Relaxed))
        });
        known.filter(move |(hash, due, held)| *hash != 0 && (*due > now_ns || *held > now_ns))
    }

    /// Whether a client may make a request now, by the limit with this number. A client for which there is no place may.
    pub fn admit(&self, number: u64, limit: &RateLimit, client: IpAddr, now_ns: u64) -> bool {
        let key = self.hasher.hash_one((number, client_number(client))).max(1);
        self.place(key, now_ns).is_none_or(|place| place.admit(limit, now_ns))
    }

    /// Does `work` with the moment at which something of a client is due, by the limit with this number. None if there is
    /// no place for the client.
    pub(super) fn with_due<T>(
        &self,
        number: impl Hash,
        client: u64,
        now_ns: u64,
        work: impl FnOnce(&AtomicU64) -> T,
    ) -> Option<T> {
        let key = self.hasher.hash_one((number, client)).max(1);
        self.place(key, now_ns).map(|place| work(&place.due_ns))
    }

    /// The place of a client, as it is known or new.
    fn place(&self, key: u64, now_ns: u64) -> Option<&ClientPlace> {
        // The number of places is a power of two and a multiple of `WAYS`.
        let first = (key as usize).wrapping_mul(WAYS) & (PLACES - 1);
        let ways = self.places.get(first..first + WAYS)?;
        let known = ways.iter().find(|place| place.key.load(Ordering::Relaxed) == key);
        known.or_else(|| ways.iter().find(|place| place.take(key, now_ns)))
    }
}

impl ClientPlace {
    /// Makes this the place of another client, if the one that has it needs it no more. What it says then is that a
    /// request is due, which is true of the other one, too.
    fn take(&self, key: u64, now_ns: u64) -> bool {
        let before = self.key.load(Ordering::Relaxed);
        let is_free = self.due_ns.load(Ordering::Relaxed) <= now_ns
            && self.held_until_ns.load(Ordering::Relaxed) <= now_ns;
        is_free && self.key.compare_exchange(before, key, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn admit(&self, limit: &RateLimit, now_ns: u64) -> bool {
        let is_admitted = admit(&self.due_ns, limit, now_ns);
        if !is_admitted && self.held_until_ns.load(Ordering::Relaxed) < now_ns + REFUSED_NS / 2 {
            self.held_until_ns.store(now_ns + REFUSED_NS, Ordering::Relaxed);
        }
        is_admitted
    }
}

/// Counts an event; false if it comes too early.
pub(super) fn admit(due_ns: &AtomicU64, limit: &RateLimit, now_ns: u64) -> bool {
    let mut due = due_ns.load(Ordering::Relaxed);
    loop {
        let (is_admitted, next) = limit.admit(due, now_ns);
        // A refusal changes nothing, as a rule, and then writes nothing.
        if next == due {
            return is_admitted;
        }
        match due_ns.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return is_admitted,
            Err(other) => due = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn each_client_has_its_own_rate() {
        let rates = ClientRates::default();
        let limit = RateLimit::new(10, 0);
        let admit = |number, client: &str, now| rates.admit(number, &limit, client.parse().unwrap(), now);
        let now = 100 * SECOND;
        assert!(admit(1, "192.0.2.1", now));
        assert!(!admit(1, "192.0.2.1", now));
        assert!(!admit(1, "::ffff:192.0.2.1", now));
        assert!(admit(1, "192.0.2.2", now));
        assert!(admit(2, "192.0.2.1", now), "another limit");
        assert!(admit(1, "192.0.2.1", now + SECOND / 10));
        // A network of 64 bits is one client.
        assert!(admit(1, "2001:db8::1", now));
        assert!(!admit(1, "2001:db8::ffff:2", now));
        assert!(admit(1, "2001:db8:0:1::1", now));
    }

    #[test]
    fn a_million_addresses_do_not_free_a_busy_client() {
        let rates = ClientRates::default();
        // Each address of the flood needs a place for a second, so that all places are in use.
        let limit = RateLimit::new(1, 0);
        let busy = "198.51.100.7".parse().unwrap();
        let mut admitted = 0;
        for step in 0..3_000_000u32 {
            // Three seconds.
            let now = 100 * SECOND + u64::from(step) * 1_000;
            rates.admit(1, &limit, Ipv4Addr::from(0x0a00_0000 + step % 1_000_000).into(), now);
            if step % 1_000 == 0 {
                admitted += usize::from(rates.admit(1, &limit, busy, now));
            }
        }
        assert!((3..=4).contains(&admitted), "{admitted}");
    }

    #[test]
    fn a_successor_goes_on_where_it_was() {
        let (rates, limit, now) = (ClientRates::default(), RateLimit::new(1, 0), 100 * SECOND);
        let clients: Vec<_> = (0..1_000).map(|host| Ipv4Addr::from(0x0a00_0000 + host).into()).collect();
        assert!(clients.iter().all(|client| rates.admit(1, &limit, *client, now)));
        let successor = ClientRates::restored(rates.key(), rates.known(now + 1));
        assert!(!clients.iter().any(|client| successor.admit(1, &limit, *client, now + SECOND / 2)));
        assert!(clients.iter().all(|client| successor.admit(2, &limit, *client, now)));
        assert_eq!(rates.known(now + 10 * SECOND).count(), 0);
    }

    #[test]
    fn threads_share_a_rate() {
        let rates = ClientRates::default();
        let limit = RateLimit::new(1_000, 0);
        let client = "192.0.2.1".parse().unwrap();
        let clock = AtomicU64::new(100 * SECOND);
        let of_thread = || {
            let asks = (0..100_000).map(|_| clock.fetch_add(2_500, Ordering::Relaxed));
            asks.filter(|now| rates.admit(7, &limit, client, *now)).count()
        };
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(of_thread)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // One second at 1,000 and what may come early.
        assert!((950..=1_051).contains(&admitted), "{admitted}");
    }
}
