//! Hashes of clients that nobody can choose: keyed at random, by a key that a successor of the process can go on with.

use std::hash::BuildHasher as _;
use std::hash::Hash;
use std::hash::Hasher as _;
use std::hash::RandomState;

use siphasher::sip::SipHasher13;

/// SipHash 1-3 with a key of its own, as tables of the standard library use it.
pub(super) struct KeyedHash(u64, u64);

impl Default for KeyedHash {
    fn default() -> KeyedHash {
        // The standard library keeps its random keys to itself, but not what is hashed with them.
        let random = RandomState::new();
        KeyedHash(random.hash_one(0), random.hash_one(1))
    }
}

impl KeyedHash {
    pub(super) fn of_key((one, other): (u64, u64)) -> KeyedHash {
        KeyedHash(one, other)
    }

    pub(super) fn key(&self) -> (u64, u64) {
        (self.0, self.1)
    }

    pub(super) fn hash_one(&self, value: impl Hash) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_decides() {
        let (one, other) = (KeyedHash::default(), KeyedHash::default());
        assert_ne!(one.hash_one((1, 2)), other.hash_one((1, 2)));
        assert_eq!(one.hash_one((1, 2)), KeyedHash::of_key(one.key()).hash_one((1, 2)));
    }
}
