//! What stands for a backend in sticky cookies: a keyed hash, which tells its reader nothing.

use aws_lc_rs::hmac;
use aws_lc_rs::rand;

/// The key of the tokens of a whole process, or of every process with the same seed.
pub struct StickyKey {
    key: hmac::Key,
    /// What it was made of, for a successor of the process.
    bytes: [u8; KEY_BYTES],
}

/// As long as the hash.
const KEY_BYTES: usize = 32;

impl StickyKey {
    /// With a seed, tokens survive a restart; without one the key is random.
    pub fn new(seed: Option<&[u8]>) -> StickyKey {
        let mut bytes = [0; KEY_BYTES];
        match seed {
            Some(seed) => {
                let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), b"ringway sticky cookies");
                bytes.copy_from_slice(derived.as_ref().get(..KEY_BYTES).unwrap_or(&[0; KEY_BYTES]));
            }
            // The generator of the operating system does not fail once it has begun.
            None => drop(rand::fill(&mut bytes)),
        }
        StickyKey { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), bytes }
    }

    /// The key of another process; None if it is none.
    pub fn restored(carried: &[u8]) -> Option<StickyKey> {
        let bytes: [u8; KEY_BYTES] = carried.try_into().ok()?;
        Some(StickyKey { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), bytes })
    }

    /// What another process needs to make the same tokens. A secret.
    pub fn carried(&self) -> &[u8] {
        &self.bytes
    }

    /// A tag and a mask for the backend of a group.
    pub fn token(&self, group: &str, backend: &str) -> ([u8; 12], u32) {
        let mut whole = hmac::Context::with_key(&self.key);
        whole.update(group.as_bytes());
        whole.update(&[0]);
        whole.update(backend.as_bytes());
        let hash = whole.sign();
        let (tag, rest) = hash.as_ref().split_at_checked(12).unwrap_or_default();
        let mask = rest.first_chunk().copied().unwrap_or_default();
        (tag.try_into().unwrap_or_default(), u32::from_be_bytes(mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_the_tokens() {
        let token = |seed: Option<&[u8]>, group, backend| StickyKey::new(seed).token(group, backend);
        let seed = &[7; 32][..];
        let one = token(Some(seed), "app", "127.0.0.1:1");
        assert_eq!(one, token(Some(seed), "app", "127.0.0.1:1"));
        let random = StickyKey::new(None);
        let successor = StickyKey::restored(random.carried()).unwrap();
        assert_eq!(random.token("app", "127.0.0.1:1"), successor.token("app", "127.0.0.1:1"));
        for other in [
            token(Some(seed), "app", "127.0.0.1:2"),
            token(Some(seed), "ap", "p127.0.0.1:1"),
            token(Some(&[8; 32]), "app", "127.0.0.1:1"),
            token(None, "app", "127.0.0.1:1"),
        ] {
            assert_ne!(one.0, other.0);
        }
    }
}
