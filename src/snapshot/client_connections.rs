//! How many connections each client has, as far as limits ask for it.
//!
//! A table of fixed size that all workers read and write without locks. A place is one word, so what it says is always of
//! one client; one without connections is free for any.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::snapshot::client_rates::client_number;

/// Clients that can be counted at a time, 8 bytes each.
const PLACES: usize = 524_288;

/// Places where a client can stand: a cache line.
const WAYS: usize = 8;

/// The lower bits of a place count, the others tell the client.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

pub struct ClientConnections {
    /// Keyed at random, so that nobody can choose addresses that share the places of another one.
    hasher: RandomState,
    places: Box<[AtomicU64]>,
}

/// One connection of a client, until it is dropped.
pub struct ClientShare {
    table: Arc<ClientConnections>,
    /// None: there was no place to count it.
    place: Option<usize>,
}

impl Drop for ClientShare {
    fn drop(&mut self) {
        if let Some(place) = self.place.and_then(|place| self.table.places.get(place)) {
            place.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Default for ClientConnections {
    fn default() -> ClientConnections {
        ClientConnections {
            hasher: RandomState::new(),
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl ClientConnections {
    /// Counts a connection by the limit with this number; None if the client has as many as it may. A client for which
    /// there is no place may have any.
    pub fn open(self: &Arc<Self>, number: u64, max: u32, client: IpAddr) -> Option<ClientShare> {
        let hash = self.hasher.hash_one((number, client_number(client)));
        let tag = hash & !COUNT_MASK;
        // The number of places is a power of two and a multiple of `WAYS`; the bits of the tag are others.
        let first = (hash as usize).wrapping_mul(WAYS) & (PLACES - 1);
        let ways = first..first + WAYS;
        let load = |place: usize| self.places.get(place).map_or(0, |word| word.load(Ordering::SeqCst));
        let is_own = |word: u64| word & COUNT_MASK != 0 && word & !COUNT_MASK == tag;
        // Workers that count the first ones of a client at the same moment can take a place each, so all of them count.
        let total =
            || ways.clone().map(load).filter(|word| is_own(*word)).map(|word| word & COUNT_MASK).sum::<u64>();
        // Each turn but the last was lost to another worker that has counted one.
        while total() < u64::from(max) {
            let known = ways.clone().find(|place| is_own(load(*place)));
            let free = || ways.clone().find(|place| load(*place) & COUNT_MASK == 0);
            let Some(place) = known.or_else(free) else {
                return Some(ClientShare { table: Arc::clone(self), place: None });
            };
            let before = load(place);
            let count = if is_own(before) { before & COUNT_MASK } else { 0 };
            let is_unchanged = is_own(before) || before & COUNT_MASK == 0;
            if is_unchanged
                && let Some(word) = self.places.get(place)
                && word
                    .compare_exchange(before, tag | (count + 1), Ordering::SeqCst, Ordering::Relaxed)
                    .is_ok()
            {
                let share = ClientShare { table: Arc::clone(self), place: Some(place) };
                if total() <= u64::from(max) {
                    return Some(share);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_client_has_its_own_connections() {
        let table = Arc::new(ClientConnections::default());
        let open = |number, client: &str| table.open(number, 2, client.parse().unwrap());
        let first = open(1, "192.0.2.1");
        let second = open(1, "192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(open(1, "192.0.2.1").is_none());
        assert!(open(1, "192.0.2.2").is_some() && open(2, "192.0.2.1").is_some());
        drop(first);
        assert!(open(1, "192.0.2.1").is_some());
        let v6 = (open(1, "2001:db8::1"), open(1, "2001:db8::2"));
        assert!(v6.0.is_some() && v6.1.is_some() && open(1, "2001:db8::3").is_none());
        drop((second, v6));
        assert!(table.places.iter().all(|place| place.load(Ordering::Relaxed) & COUNT_MASK == 0));
    }

    #[test]
    fn a_full_table_counts_those_that_it_has() {
        let table = Arc::new(ClientConnections::default());
        let busy = "198.51.100.7".parse().unwrap();
        let own = table.open(1, 1, busy);
        let flood: Vec<_> = (0..1_000_000)
            .map(|number| table.open(1, 1, Ipv4Addr::from(0x0a00_0000 + number).into()))
            .collect();
        assert!(flood.iter().all(Option::is_some));
        assert!(table.open(1, 1, busy).is_none());
        drop(own);
        drop(flood);
        assert!(table.places.iter().all(|place| place.load(Ordering::Relaxed) & COUNT_MASK == 0));
    }

    #[test]
    fn threads_count_together() {
        let table = Arc::new(ClientConnections::default());
        let client = "192.0.2.1".parse().unwrap();
        let open = AtomicU64::new(0);
        let open_and_close = || {
            if let Some(share) = table.open(1, 2, client) {
                assert!(open.fetch_add(1, Ordering::SeqCst) < 2);
                open.fetch_sub(1, Ordering::SeqCst);
                drop(share);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200_000).for_each(|_| open_and_close()));
            }
        });
        assert!(table.places.iter().all(|place| place.load(Ordering::Relaxed) & COUNT_MASK == 0));
    }

    #[test]
    fn all_places_of_a_client_count() {
        let table = Arc::new(ClientConnections::default());
        let client = "192.0.2.1".parse().unwrap();
        let share = table.open(1, 3, client).unwrap();
        // Two workers, to which it came at the same moment, took the next one, too.
        let place = share.place.unwrap();
        let word = table.places[place].load(Ordering::Relaxed);
        table.places[place + 1].store(word, Ordering::Relaxed);
        let third = table.open(1, 3, client).unwrap();
        assert!(table.open(1, 3, client).is_none());
        drop((share, third));
        assert!(table.open(1, 3, client).is_some());
    }
}
