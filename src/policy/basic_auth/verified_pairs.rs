//! Users and passwords that were verified a moment ago, known by a keyed hash alone.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;

use crate::policy::basic_auth::LoginPair;
use crate::policy::basic_auth::htpasswd::Htpasswd;

/// Places in which a pair can stand. With 32 bytes each, all take 128 KiB, and that many people work at a time.
const MAX_PAIRS: usize = 4_096;

/// Places that are looked at for one pair; of these, the one that was verified first is forgotten.
const MAX_WAYS: usize = 4;

/// Seconds for which a verified pair need not be verified again.
const MAX_AGE: u64 = 60;

/// The keyed hash of a pair and of the file that knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PairTag([u8; 16]);

#[derive(Clone, Copy)]
struct VerifiedPair {
    tag: PairTag,
    /// In seconds. 0: nothing stands here.
    until: u64,
}

/// What one worker remembers. Forgotten with its process.
#[derive(Default)]
pub struct VerifiedPairs {
    /// Made with the first pair.
    key: Option<hmac::Key>,
    places: Vec<VerifiedPair>,
}

impl VerifiedPairs {
    /// The tag of a pair; None where there is no randomness for a key, so that nothing is remembered.
    pub fn tag(&mut self, pair: &LoginPair, file: &Htpasswd) -> Option<PairTag> {
        if self.key.is_none() {
            self.key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        }
        let mut hashed = hmac::Context::with_key(self.key.as_ref()?);
        hashed.update(file.digest());
        // The length keeps the two parts apart.
        hashed.update(&(pair.user.len() as u64).to_le_bytes());
        hashed.update(&pair.user);
        hashed.update(&pair.password);
        hashed.sign().as_ref().first_chunk().map(|tag| PairTag(*tag))
    }

    /// Whether the pair with this tag was verified less than a minute ago. `now` is in seconds.
    pub fn contains(&self, tag: PairTag, now: u64) -> bool {
        let set = self.places.get(set_of(tag)..).unwrap_or_default();
        set.iter().take(MAX_WAYS).any(|pair| pair.until > now && pair.tag == tag)
    }

    /// Remembers a pair.
    pub fn insert(&mut self, tag: PairTag, now: u64) {
        if self.places.is_empty() {
            self.places.resize(MAX_PAIRS, VerifiedPair { tag: PairTag([0; 16]), until: 0 });
        }
        let set = self.places.get_mut(set_of(tag)..).unwrap_or_default();
        if let Some(oldest) = set.iter_mut().take(MAX_WAYS).min_by_key(|pair| pair.until) {
            *oldest = VerifiedPair { tag, until: now + MAX_AGE };
        }
    }
}

/// Where the places of a tag begin.
fn set_of(tag: PairTag) -> usize {
    usize::from(u16::from_le_bytes([tag.0[0], tag.0[1]])) % (MAX_PAIRS / MAX_WAYS) * MAX_WAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_known_for_a_minute_and_with_their_file() {
        let mut pairs = VerifiedPairs::default();
        let pair = |user: &str, password: &str| LoginPair { user: user.into(), password: password.into() };
        let (one, other) = (Htpasswd::default(), Htpasswd::parse("# other").unwrap_or_default());
        let Some(tag) = pairs.tag(&pair("a", "bc"), &one) else { return };
        assert!(!pairs.contains(tag, 0));
        pairs.insert(tag, 100);
        assert!(pairs.contains(tag, 100) && pairs.contains(tag, 159) && !pairs.contains(tag, 160));
        assert!(pairs.tag(&pair("a", "bc"), &one) == Some(tag));
        for (user, password, file) in [("ab", "c", &one), ("a", "bd", &one), ("a", "bc", &other)] {
            let unlike = pairs.tag(&pair(user, password), file);
            assert!(unlike.is_some_and(|unlike| !pairs.contains(unlike, 100)), "{user} {password}");
        }
    }

    #[test]
    fn the_table_stays_small_and_forgets_the_oldest() {
        let mut pairs = VerifiedPairs::default();
        for number in 0..100_000u64 {
            let mut tag = [0; 16];
            tag[..8].copy_from_slice(&number.to_le_bytes());
            pairs.insert(PairTag(tag), number / 1_000);
            assert!(pairs.contains(PairTag(tag), number / 1_000));
        }
        assert_eq!(pairs.places.len(), MAX_PAIRS);
    }
}
