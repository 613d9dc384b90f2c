//! Session tickets that any worker, and any host with the same seed, can resume (RFC 8446 §4.6.1,
//! RFC 5077).
//!
//! A ticket is `name (16) · nonce (12) · AES-256-GCM(issued (8) · session) · tag (16)`. Time is cut
//! into epochs of half a ticket lifetime. Each epoch has a key of its own, which seals tickets in it
//! and opens them during the two epochs that follow; then it is forgotten.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::AES_256_GCM;
use aws_lc_rs::aead::Aad;
use aws_lc_rs::aead::Nonce;
use aws_lc_rs::aead::RandomizedNonceKey;
use aws_lc_rs::hkdf;
use rustls::server::ProducesTickets;

use crate::net::clock::wall_now;

const NAME_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const ISSUED_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// Epochs after its own in which a key still opens tickets.
const KEPT_EPOCHS: u64 = 2;

/// The fewest bytes of a seed: as much entropy as the keys have.
pub const SEED_BYTES_MIN: usize = 32;

/// The keys of the whole process for tickets of one lifetime.
pub struct TicketKeys {
    lifetime: Duration,
    /// None: every epoch gets a random key, and no other process can open our tickets.
    seed: Option<hkdf::Prk>,
    ring: ArcSwap<Ring>,
}

/// The keys of an epoch and of its neighbours.
struct Ring {
    epoch: u64,
    /// The first seals.
    keys: Vec<Arc<Key>>,
}

struct Key {
    epoch: u64,
    name: [u8; NAME_BYTES],
    aead: RandomizedNonceKey,
}

impl TicketKeys {
    /// Keys for tickets that last `lifetime`, at least two seconds. With a seed, at least
    /// [`SEED_BYTES_MIN`] long, every process that has it derives the same keys from the wall clock.
    pub fn new(lifetime: Duration, seed: Option<&[u8]>) -> TicketKeys {
        let seed =
            seed.map(|seed| hkdf::Salt::new(hkdf::HKDF_SHA256, b"ringway session tickets").extract(seed));
        let keys =
            TicketKeys { lifetime, seed, ring: ArcSwap::from_pointee(Ring { epoch: 0, keys: Vec::new() }) };
        keys.ring(wall_now());
        keys
    }

    /// The tickets of listeners that authenticate clients as `binding` describes. A ticket issued
    /// under another binding is not accepted.
    pub fn bound_to(self: &Arc<TicketKeys>, binding: [u8; 32]) -> Tickets {
        Tickets { keys: Arc::clone(self), binding }
    }

    /// The keys at this time. Whoever comes first in an epoch makes them.
    fn ring(&self, now: Duration) -> Arc<Ring> {
        let epoch = now.as_secs() / self.epoch_seconds();
        let ring = self.ring.load();
        if ring.epoch == epoch && !ring.keys.is_empty() {
            return Arc::clone(&ring);
        }
        self.ring.rcu(|ring| {
            if ring.epoch == epoch && !ring.keys.is_empty() {
                Arc::clone(ring)
            } else {
                Arc::new(self.turn(ring, epoch))
            }
        });
        self.ring.load_full()
    }

    fn turn(&self, old: &Ring, epoch: u64) -> Ring {
        let keys = match &self.seed {
            Some(seed) => {
                // A host whose clock is ahead seals with the key of the next epoch.
                let epochs = [epoch, epoch + 1, epoch.saturating_sub(1), epoch.saturating_sub(2)];
                epochs.into_iter().filter_map(|epoch| self.derived(seed, epoch)).collect()
            }
            None => {
                let kept = |key: &&Arc<Key>| key.epoch + KEPT_EPOCHS >= epoch && key.epoch < epoch;
                random(epoch).into_iter().chain(old.keys.iter().filter(kept).cloned()).collect()
            }
        };
        Ring { epoch, keys }
    }

    fn derived(&self, seed: &hkdf::Prk, epoch: u64) -> Option<Arc<Key>> {
        struct Length;
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                NAME_BYTES + KEY_BYTES
            }
        }
        let lifetime = self.lifetime.as_secs().to_be_bytes();
        let epoch_bytes = epoch.to_be_bytes();
        let mut material = [0; NAME_BYTES + KEY_BYTES];
        seed.expand(&[b"ticket key v1", &lifetime, &epoch_bytes], Length).ok()?.fill(&mut material).ok()?;
        key(epoch, &material)
    }

    fn epoch_seconds(&self) -> u64 {
        (self.lifetime.as_secs() / 2).max(1)
    }
}

fn random(epoch: u64) -> Option<Arc<Key>> {
    let mut material = [0; NAME_BYTES + KEY_BYTES];
    aws_lc_rs::rand::fill(&mut material).ok()?;
    key(epoch, &material)
}

fn key(epoch: u64, material: &[u8; NAME_BYTES + KEY_BYTES]) -> Option<Arc<Key>> {
    let (name, key) = material.split_first_chunk::<NAME_BYTES>()?;
    Some(Arc::new(Key { epoch, name: *name, aead: RandomizedNonceKey::new(&AES_256_GCM, key).ok()? }))
}

/// The tickets of one listener.
pub struct Tickets {
    keys: Arc<TicketKeys>,
    binding: [u8; 32],
}

impl Tickets {
    fn seal(&self, session: &[u8], now: Duration) -> Option<Vec<u8>> {
        let ring = self.keys.ring(now);
        let key = ring.keys.first()?;
        let mut sealed = Vec::with_capacity(ISSUED_BYTES + session.len() + TAG_BYTES);
        sealed.extend_from_slice(&now.as_secs().to_be_bytes());
        sealed.extend_from_slice(session);
        let nonce = key.aead.seal_in_place_append_tag(Aad::from(self.binding), &mut sealed).ok()?;
        Some([&key.name[..], nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, ticket: &[u8], now: Duration) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let ring = self.keys.ring(now);
        // The name is no secret, so how long the comparison takes tells nothing.
        let key = ring.keys.iter().find(|key| key.name == *name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.aead.open_in_place(nonce, Aad::from(self.binding), &mut sealed).ok()?;
        let (issued, session) = opened.split_first_chunk::<ISSUED_BYTES>()?;
        let age = now.as_secs().saturating_sub(u64::from_be_bytes(*issued));
        (age <= self.keys.lifetime.as_secs()).then(|| session.to_vec())
    }
}

impl fmt::Debug for Tickets {
    /// Says nothing of keys.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tickets({:?})", self.keys.lifetime)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.keys.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, wall_now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, wall_now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000_000);
    const LIFETIME: Duration = Duration::from_secs(300);

    fn keys(seed: Option<&[u8]>) -> Arc<TicketKeys> {
        Arc::new(TicketKeys::new(LIFETIME, seed))
    }

    fn after(seconds: u64) -> Duration {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn a_ticket_opens_until_its_lifetime_is_over() {
        for seed in [None, Some(&[7; 32][..])] {
            let tickets = keys(seed).bound_to([0; 32]);
            for begin in [0, 1, 75, 149, 150, 151] {
                let ticket = tickets.seal(b"session", after(begin)).unwrap();
                for (later, opens) in
                    [(0, true), (1, true), (299, true), (300, true), (301, false), (9000, false)]
                {
                    let opened = tickets.open(&ticket, after(begin + later));
                    assert_eq!(opened.is_some(), opens, "{begin} + {later}");
                }
            }
        }
    }

    #[test]
    fn old_keys_are_forgotten() {
        let tickets = keys(None).bound_to([0; 32]);
        let ticket = tickets.seal(b"session", NOW).unwrap();
        assert!(tickets.open(&ticket, after(10_000)).is_none());
        // Not even a clock that is set back brings a random key again.
        assert!(tickets.open(&ticket, NOW).is_none());
    }

    #[test]
    fn who_has_the_seed_resumes() {
        let seed = [9; 32];
        let ticket = keys(Some(&seed)).bound_to([0; 32]).seal(b"session", NOW).unwrap();
        let open = |keys: Arc<TicketKeys>, now| keys.bound_to([0; 32]).open(&ticket, now);
        assert_eq!(open(keys(Some(&seed)), after(20)).as_deref(), Some(&b"session"[..]));
        // A host whose clock is behind.
        assert!(open(keys(Some(&seed)), NOW - Duration::from_secs(100)).is_some());
        assert!(open(keys(Some(&[8; 32])), NOW).is_none());
        assert!(open(keys(None), NOW).is_none());
    }

    #[test]
    fn another_binding_or_any_changed_byte_is_refused() {
        let keys = keys(None);
        let ticket = keys.bound_to([1; 32]).seal(b"session", NOW).unwrap();
        assert!(keys.bound_to([2; 32]).open(&ticket, NOW).is_none());
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert!(keys.bound_to([1; 32]).open(&changed, NOW).is_none(), "byte {index}");
            assert!(keys.bound_to([1; 32]).open(&ticket[..index], NOW).is_none(), "{index} bytes");
        }
    }
}
