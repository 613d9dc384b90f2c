//! Which client stays with which backend, where Ringway has to remember it.
//!
//! A table of fixed size that all workers read and write without locks. What is full forgets whoever was
//! not seen for longest among a few.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

/// Clients that a group can remember: one MiB.
const PLACES: usize = 65_536;

/// Places where a client can stand.
const WAYS: usize = 8;

/// A client that was seen is noted again only after this many seconds, so that busy clients cost no
/// writing to memory that all workers share.
const NOTE_AFTER_S: u32 = 10;

pub struct Affinity {
    places: Box<[TablePlace]>,
}

/// A writer takes the key away, writes the word and sets the key; so a reader that finds the same key
/// before and after has the word that belongs to it. Of two writers, one gives up: what it wanted to note
/// is noted with the client's next request.
#[derive(Default)]
struct TablePlace {
    /// The hash of what tells the client; 0: free; [`BUSY`]: being written.
    key: AtomicU64,
    /// The backend above, the second of the last request below.
    word: AtomicU64,
}

const BUSY: u64 = u64::MAX;

/// Neither free nor busy.
fn as_key(hash: u64) -> u64 {
    hash.clamp(1, BUSY - 1)
}

impl Default for Affinity {
    fn default() -> Affinity {
        Affinity { places: (0..PLACES).map(|_| TablePlace::default()).collect() }
    }
}

impl Affinity {
    /// The backend of a client that was last seen less than `timeout_s` ago. Seconds count from any
    /// moment that all workers share.
    pub fn find(&self, key: u64, now_s: u32, timeout_s: u32) -> Option<u32> {
        let key = as_key(key);
        let (backend, seen) = self.ways(key).find_map(|place| place.read(key))?;
        (now_s.saturating_sub(seen) < timeout_s).then_some(backend)
    }

    /// Remembers that a client that was seen now belongs to this backend.
    pub fn learn(&self, key: u64, backend: u32, now_s: u32) {
        let key = as_key(key);
        let known = self.ways(key).find_map(|place| Some((place, place.read(key)?)));
        let place = match known {
            Some((_, (known, seen))) if known == backend && now_s.saturating_sub(seen) < NOTE_AFTER_S => {
                return;
            }
            Some((place, _)) => Some(place),
            None => self.ways(key).min_by_key(|place| place.age_key()),
        };
        if let Some(place) = place {
            place.write(key, backend, now_s);
        }
    }

    /// Every client that is known: what tells it, its backend, and the second of its last request.
    pub fn known(&self) -> impl Iterator<Item = (u64, u32, u32)> {
        self.places.iter().filter_map(|place| {
            let key = place.key.load(Ordering::Relaxed);
            let (backend, seen_s) = place.read(key).filter(|_| key != 0)?;
            Some((key, backend, seen_s))
        })
    }

    fn ways(&self, key: u64) -> impl Iterator<Item = &TablePlace> {
        // The length is a power of two and a multiple of `WAYS`.
        let first = (key as usize).wrapping_mul(WAYS) & (PLACES - 1);
        self.places.iter().skip(first).take(WAYS)
    }
}

impl TablePlace {
    fn read(&self, key: u64) -> Option<(u32, u32)> {
        if self.key.load(Ordering::Acquire) != key {
            return None;
        }
        let word = self.word.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        (self.key.load(Ordering::Relaxed) == key).then_some(((word >> 32) as u32, word as u32))
    }

    fn write(&self, key: u64, backend: u32, now_s: u32) {
        let before = self.key.load(Ordering::Relaxed);
        let taken = self.key.compare_exchange(before, BUSY, Ordering::Acquire, Ordering::Relaxed);
        if before == BUSY || taken.is_err() {
            return;
        }
        fence(Ordering::Release);
        self.word.store(u64::from(backend) << 32 | u64::from(now_s), Ordering::Relaxed);
        self.key.store(key, Ordering::Release);
    }

    /// Free places first, then the one not seen for longest.
    fn age_key(&self) -> u32 {
        if self.key.load(Ordering::Relaxed) == 0 { 0 } else { self.word.load(Ordering::Relaxed) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_remembered_for_their_time() {
        let affinity = Affinity::default();
        affinity.learn(7, 3, 100);
        assert_eq!(affinity.find(7, 159, 60), Some(3));
        assert_eq!(affinity.find(7, 160, 60), None);
        assert_eq!(affinity.find(8, 100, 60), None);
        affinity.learn(7, 4, 160);
        assert_eq!(affinity.find(7, 200, 60), Some(4));
        // Noted again only after a while.
        affinity.learn(7, 4, 165);
        assert_eq!(affinity.find(7, 220, 60), None);
        affinity.learn(7, 4, 221);
        assert_eq!(affinity.find(7, 240, 60), Some(4));
    }

    #[test]
    fn a_successor_knows_who_was_known() {
        let (affinity, successor) = (Affinity::default(), Affinity::default());
        let key = |client: u64| client.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (1..100).for_each(|client| affinity.learn(key(client), client as u32, 100));
        affinity.known().for_each(|(key, backend, seen_s)| successor.learn(key, backend, seen_s));
        assert!((1..100).all(|client| successor.find(key(client), 110, 60) == Some(client as u32)));
        assert_eq!(successor.known().count(), 99);
    }

    #[test]
    fn a_full_table_forgets_the_oldest() {
        let affinity = Affinity::default();
        // All of them stand in the same places.
        let keys = (1..=WAYS as u64 + 1).map(|number| number * PLACES as u64);
        for (second, key) in (1u32..).zip(keys.clone()) {
            affinity.learn(key, second, second);
        }
        let found: Vec<_> = keys.map(|key| affinity.find(key, 20, 100)).collect();
        assert_eq!(found[0], None);
        assert!(found[1..].iter().all(Option::is_some), "{found:?}");
    }
}
