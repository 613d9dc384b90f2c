//! Session tickets that any worker, and any host with the same seed, can resume (RFC 8446 §4.6.1,
//! RFC 5077).
//!
//! A ticket is `name (16) · nonce (12) · AES-256-GCM(issued (8) · session) · tag (16)`. Time is cut
//! into epochs of half a ticket lifetime. Each epoch has a key of its own, which seals tickets in it
//! and opens them during the two epochs that follow; then it is forgotten.

use std::cell::Cell;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::AES_256_GCM;
use aws_lc_rs::aead::Aad;
use aws_lc_rs::aead::Nonce;
use aws_lc_rs::aead::RandomizedNonceKey;
use aws_lc_rs::digest;
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
pub const MIN_SEED_BYTES: usize = 32;

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
    keys: Vec<Arc<TicketKey>>,
}

struct TicketKey {
    epoch: u64,
    name: [u8; NAME_BYTES],
    aead: RandomizedNonceKey,
    /// What it was made of, for a successor of the process; only of random ones.
    material: Option<Box<KeyMaterial>>,
}

/// A name and a key.
type KeyMaterial = [u8; NAME_BYTES + KEY_BYTES];

/// A random key with its epoch, on its way to a successor of the process. A secret.
pub struct CarriedTicketKey {
    pub epoch: u64,
    pub material: Vec<u8>,
}

impl TicketKeys {
    /// Keys for tickets that last `lifetime`, at least two seconds. With a seed, at least
    /// [`MIN_SEED_BYTES`] long, every process that has it derives the same keys from the wall clock.
    pub fn new(lifetime: Duration, seed: Option<&[u8]>) -> TicketKeys {
        let seed =
            seed.map(|seed| hkdf::Salt::new(hkdf::HKDF_SHA256, b"ringway session tickets").extract(seed));
        let keys =
            TicketKeys { lifetime, seed, ring: ArcSwap::from_pointee(Ring { epoch: 0, keys: Vec::new() }) };
        keys.ring(wall_now());
        keys
    }

    /// The same with the keys of another process. With a seed, they are not needed.
    pub fn restored(lifetime: Duration, seed: Option<&[u8]>, carried: &[CarriedTicketKey]) -> TicketKeys {
        let keys = TicketKeys::new(lifetime, seed);
        if seed.is_none() && !carried.is_empty() {
            let restored = carried.iter().filter_map(|CarriedTicketKey { epoch, material }| {
                let material = material.as_slice().try_into().ok()?;
                random_key(*epoch, material)
            });
            // The first seals, if its epoch is the present one.
            let epoch = carried.iter().map(|key| key.epoch).max().unwrap_or(0);
            keys.ring.store(Arc::new(Ring { epoch, keys: restored.collect() }));
        }
        keys
    }

    /// What another process needs to open and seal the same tickets; empty with a seed.
    pub fn carried(&self) -> Vec<CarriedTicketKey> {
        let ring = self.ring(wall_now());
        let random = ring.keys.iter().filter_map(|key| {
            let material = key.material.as_ref()?.to_vec();
            Some(CarriedTicketKey { epoch: key.epoch, material })
        });
        random.collect()
    }

    /// When the key that seals tickets came into use, since the Unix epoch.
    pub fn key_since(&self) -> Duration {
        Duration::from_secs(self.ring(wall_now()).epoch * self.epoch_seconds())
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
                let kept = |key: &&Arc<TicketKey>| key.epoch + KEPT_EPOCHS >= epoch && key.epoch < epoch;
                random(epoch).into_iter().chain(old.keys.iter().filter(kept).cloned()).collect()
            }
        };
        Ring { epoch, keys }
    }

    fn derived(&self, seed: &hkdf::Prk, epoch: u64) -> Option<Arc<TicketKey>> {
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
        key(epoch, &material).map(Arc::new)
    }

    fn epoch_seconds(&self) -> u64 {
        (self.lifetime.as_secs() / 2).max(1)
    }
}

fn random(epoch: u64) -> Option<Arc<TicketKey>> {
    let mut material = [0; NAME_BYTES + KEY_BYTES];
    aws_lc_rs::rand::fill(&mut material).ok()?;
    random_key(epoch, material)
}

fn random_key(epoch: u64, material: KeyMaterial) -> Option<Arc<TicketKey>> {
    Some(Arc::new(TicketKey { material: Some(Box::new(material)), ..key(epoch, &material)? }))
}

fn key(epoch: u64, material: &KeyMaterial) -> Option<TicketKey> {
    let (name, key) = material.split_first_chunk::<NAME_BYTES>()?;
    let aead = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    Some(TicketKey { epoch, name: *name, aead, material: None })
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

    /// The session in a ticket, and how many seconds ago it was issued.
    fn open(&self, ticket: &[u8], now: Duration) -> Option<(Vec<u8>, u64)> {
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
        (age <= self.keys.lifetime.as_secs()).then(|| (session.to_vec(), age))
    }

    /// Opens a ticket that a client came with. One of TLS 1.2 that is younger than half its lifetime is kept
    /// for [`Tickets::issue`].
    fn accept(&self, ticket: &[u8], now: Duration) -> Option<Vec<u8>> {
        PRESENTED.take();
        let (session, age) = self.open(ticket, now)?;
        OPENED.set(true);
        if version_of(&session) == Some(TLS12) && age < self.keys.lifetime.as_secs() / 2 {
            let presented = Presented { session: digest_of(&session)?, ticket: ticket.to_vec() };
            PRESENTED.set(Some(presented));
        }
        Some(session)
    }

    /// The ticket for a session: the one that the client came with, if it is young and stands for this session.
    fn issue(&self, session: &[u8], now: Duration) -> Option<Vec<u8>> {
        match PRESENTED.take() {
            Some(presented) if Some(presented.session) == digest_of(session) => Some(presented.ticket),
            _ => self.seal(session, now),
        }
    }
}

thread_local! {
    /// The ticket that a client came with last on this thread. rustls opens a ticket of TLS 1.2 and asks for
    /// one to send back within one step of a handshake, and tells the two of each other.
    static PRESENTED: RefCell<Option<Presented>> = const { RefCell::new(None) };
    /// A ticket was opened.
    static OPENED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a ticket was opened on this thread since this was last called. Of a session over QUIC nobody else tells that it was
/// resumed.
pub(super) fn take_opened() -> bool {
    OPENED.take()
}

/// A ticket that is good enough to be sent back as it came (RFC 5077 §3.3 leaves the renewal to the server):
/// sealing another one would only make the client forget it.
struct Presented {
    /// A digest of what the session consists of.
    session: [u8; digest::SHA256_OUTPUT_LEN],
    ticket: Vec<u8>,
}

/// As on the wire.
const TLS12: u16 = 0x0303;

/// How rustls ends an encoded session: when it was encoded (8), and an offset that TLS 1.2 does not use (4).
const TIME_BYTES: usize = 12;

/// A digest of an encoded session without its time. It has the master secret in it, so equal ones are of one
/// session.
fn digest_of(session: &[u8]) -> Option<[u8; digest::SHA256_OUTPUT_LEN]> {
    let lasting = session.get(..session.len().checked_sub(TIME_BYTES)?)?;
    digest::digest(&digest::SHA256, lasting).as_ref().try_into().ok()
}

/// The version of an encoded session, which stands behind the server name.
fn version_of(session: &[u8]) -> Option<u16> {
    let behind_name = match session {
        [1, length, rest @ ..] => rest.get(usize::from(*length)..)?,
        [0, rest @ ..] => rest,
        _ => return None,
    };
    behind_name.first_chunk().map(|version| u16::from_be_bytes(*version))
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
        self.issue(plain, wall_now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.accept(cipher, wall_now())
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
        assert_eq!(open(keys(Some(&seed)), after(20)), Some((b"session".to_vec(), 20)));
        // A host whose clock is behind.
        assert!(open(keys(Some(&seed)), NOW - Duration::from_secs(100)).is_some());
        assert!(open(keys(Some(&[8; 32])), NOW).is_none());
        assert!(open(keys(None), NOW).is_none());
    }

    #[test]
    fn a_successor_opens_and_seals_the_same_tickets() {
        let keys = keys(None);
        let now = wall_now();
        let ticket = keys.bound_to([0; 32]).seal(b"session", now).unwrap();
        let successor = Arc::new(TicketKeys::restored(LIFETIME, None, &keys.carried()));
        assert!(successor.clone().bound_to([0; 32]).open(&ticket, now).is_some());
        let answer = successor.bound_to([0; 32]).seal(b"session", now).unwrap();
        assert!(keys.bound_to([0; 32]).open(&answer, now).is_some());
        // With a seed there is nothing to carry, and nothing is taken.
        assert!(super::tests::keys(Some(&[7; 32])).carried().is_empty());
        let seeded = Arc::new(TicketKeys::restored(LIFETIME, Some(&[7; 32]), &keys.carried()));
        assert!(seeded.bound_to([0; 32]).open(&ticket, now).is_none());
    }

    /// As rustls encodes one: a name, the version, some secret, then the time.
    fn session(version: u16, secret: u8, time: u8) -> Vec<u8> {
        [&[1, 4][..], b"site", &version.to_be_bytes(), &[secret; 48], &[time; TIME_BYTES]].concat()
    }

    #[test]
    fn a_young_ticket_of_tls_1_2_is_sent_back_as_it_came() {
        let tickets = keys(None).bound_to([0; 32]);
        let first = tickets.issue(&session(TLS12, 7, 1), NOW).unwrap();
        for (later, is_same) in [(0, true), (149, true), (150, false), (299, false)] {
            assert!(tickets.accept(&first, after(later)).is_some());
            let again = tickets.issue(&session(TLS12, 7, 2), after(later)).unwrap();
            assert_eq!(again == first, is_same, "{later}");
            assert_eq!(tickets.open(&again, after(later)).unwrap().1, if is_same { later } else { 0 });
        }
        // It is sent back once, and only for its own session.
        let tickets = keys(None).bound_to([0; 32]);
        let first = tickets.issue(&session(TLS12, 7, 1), NOW).unwrap();
        for other in [session(TLS12, 8, 1), session(0x0304, 7, 1)] {
            tickets.accept(&first, NOW).unwrap();
            assert_ne!(tickets.issue(&other, NOW).unwrap(), first);
            assert_ne!(tickets.issue(&session(TLS12, 7, 1), NOW).unwrap(), first);
        }
        // The next client came with none, or with one of TLS 1.3, which are used once.
        tickets.accept(&first, NOW).unwrap();
        assert!(tickets.accept(b"anything", NOW).is_none());
        assert_ne!(tickets.issue(&session(TLS12, 7, 1), NOW).unwrap(), first);
        let other = tickets.issue(&session(0x0304, 9, 1), NOW).unwrap();
        tickets.accept(&other, NOW).unwrap();
        assert_ne!(tickets.issue(&session(0x0304, 9, 1), NOW).unwrap(), other);
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
