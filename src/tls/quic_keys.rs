//! What endpoints of QUIC share over all workers, and with the next process.

use std::sync::Arc;

use aws_lc_rs::hkdf;
use aws_lc_rs::hmac;
use aws_lc_rs::rand;

/// As long as the hash that the keys are derived with.
const MATERIAL_BYTES: usize = 32;

/// The keys of a whole process, or of every process with the same seed.
pub struct QuicKeys {
    /// Makes the tokens of stateless resets (RFC 9000 §10.3.2).
    pub reset: Arc<hmac::Key>,
    /// Seals the tokens of Retry packets (RFC 9000 §8.1.2).
    pub retry: Arc<hkdf::Prk>,
    /// Tells our connection ids from garbage.
    pub id_tag: (u64, u64),
    /// What they were made of, for a successor of the process.
    material: [u8; MATERIAL_BYTES],
}

impl QuicKeys {
    /// With the seed that session tickets are sealed by, keys survive a restart; without one they are random.
    pub fn new(seed: Option<&[u8]>) -> QuicKeys {
        let mut material = [0; MATERIAL_BYTES];
        match seed {
            Some(seed) => expand(&prk(seed), b"master v1", &mut material),
            None => fill_random(&mut material),
        }
        QuicKeys::of_material(material)
    }

    /// The keys of another process; None if it has none.
    pub fn restored(carried: &[u8]) -> Option<QuicKeys> {
        carried.try_into().ok().map(QuicKeys::of_material)
    }

    /// What another process needs to have the same keys. A secret.
    pub fn carried(&self) -> &[u8] {
        &self.material
    }

    fn of_material(material: [u8; MATERIAL_BYTES]) -> QuicKeys {
        let master = prk(&material);
        let (mut reset, mut retry, mut tag) = ([0; 32], [0; 32], [0; 16]);
        expand(&master, b"stateless reset v1", &mut reset);
        expand(&master, b"retry token v1", &mut retry);
        expand(&master, b"connection id v1", &mut tag);
        let tag = u128::from_be_bytes(tag);
        QuicKeys {
            reset: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset)),
            retry: Arc::new(prk(&retry)),
            id_tag: ((tag >> 64) as u64, tag as u64),
            material,
        }
    }
}

/// Random bytes that nobody can foresee.
pub fn fill_random(bytes: &mut [u8]) {
    let filled = rand::fill(bytes);
    debug_assert!(filled.is_ok(), "the generator of the operating system does not fail once it has begun");
}

fn prk(secret: &[u8]) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"ringway quic").extract(secret)
}

fn expand(prk: &hkdf::Prk, label: &[u8], bytes: &mut [u8]) {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let filled = prk.expand(&[label], Length(bytes.len())).and_then(|output| output.fill(bytes));
    debug_assert!(filled.is_ok(), "at most 255 times the hash can be derived");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_the_keys() {
        let mark = |keys: &QuicKeys| (hmac::sign(&keys.reset, b"id").as_ref().to_vec(), keys.id_tag);
        let seeded = QuicKeys::new(Some(&[7; 32]));
        assert_eq!(mark(&seeded), mark(&QuicKeys::new(Some(&[7; 32]))));
        assert_ne!(mark(&seeded), mark(&QuicKeys::new(Some(&[8; 32]))));
        let random = QuicKeys::new(None);
        assert_ne!(mark(&random), mark(&QuicKeys::new(None)));
        assert_eq!(mark(&random), mark(&QuicKeys::restored(random.carried()).unwrap()));
        assert!(QuicKeys::restored(&[1; 31]).is_none());
    }

    #[test]
    fn no_key_tells_of_another() {
        let keys = QuicKeys::new(Some(&[7; 32]));
        let derived = |prk: &hkdf::Prk| {
            let mut bytes = [0; 32];
            expand(prk, b"x", &mut bytes);
            bytes
        };
        assert_ne!(derived(&keys.retry), derived(&prk(keys.carried())));
        assert_ne!(hmac::sign(&keys.reset, b"x").as_ref(), derived(&keys.retry));
    }
}
