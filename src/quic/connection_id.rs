//! Connection ids that say which worker has the connection (RFC 9000 §5.1).
//!
//! An id is `word (4) · generation (1) · random (4) · tag (3)`. The word modulo the number of sockets that share the port is the
//! index of the one whose worker has the connection: the kernel steers by it (see [`crate::net::udp::steering`]). The
//! generation tells processes that hand over to each other apart. The tag is a keyed hash of the rest: what does not bear
//! it is garbage and is not worth an answer. Packets are authenticated in any case, so 24 bits are enough.

use std::hash::Hasher as _;
use std::time::Duration;

use quinn_proto::ConnectionId;
use quinn_proto::ConnectionIdGenerator;
use quinn_proto::InvalidCid;
use siphasher::sip::SipHasher13;

use crate::tls::quic_keys::QuicKeys;
use crate::tls::quic_keys::fill_random;

/// Bytes of each of our ids.
pub const ID_BYTES: usize = 12;

const TAG_BYTES: usize = 3;

/// The place of a socket among those that share its port, which is the order in which they were bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketPlace {
    pub index: u32,
    /// How many there are; at least 1.
    pub count: u32,
}

/// What an id that is ours tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdOwner {
    /// The index of the socket.
    pub index: u32,
    pub generation: u8,
}

/// The ids of one socket.
#[derive(Clone)]
pub struct ConnectionIds {
    place: SocketPlace,
    generation: u8,
    tag_key: (u64, u64),
}

impl ConnectionIds {
    /// `generation`: counts the processes that have handed over to each other, modulo 256.
    pub fn new(place: SocketPlace, generation: u8, keys: &QuicKeys) -> ConnectionIds {
        let count = place.count.max(1);
        let place = SocketPlace { index: place.index % count, count };
        ConnectionIds { place, generation, tag_key: keys.id_tag }
    }

    pub fn place(&self) -> SocketPlace {
        self.place
    }

    /// Whose connection this id is of; None if it is none of ours.
    pub fn owner_of(&self, id: &[u8]) -> Option<IdOwner> {
        let id: &[u8; ID_BYTES] = id.try_into().ok()?;
        let (rest, tag) = id.split_at(ID_BYTES - TAG_BYTES);
        let (word, rest) = rest.split_first_chunk()?;
        (self.tag_of(id) == *tag).then(|| IdOwner {
            index: u32::from_be_bytes(*word) % self.place.count,
            generation: rest.first().copied().unwrap_or_default(),
        })
    }

    /// Whose connection a datagram is for, by the id in its first packet (RFC 8999 §5); None if it is none of ours.
    pub fn owner_of_datagram(&self, datagram: &[u8]) -> Option<IdOwner> {
        self.owner_of(destination_of(datagram)?)
    }

    /// The process whose connections have our ids.
    pub fn generation(&self) -> u8 {
        self.generation
    }

    fn tag_of(&self, id: &[u8; ID_BYTES]) -> [u8; TAG_BYTES] {
        let mut hasher = SipHasher13::new_with_keys(self.tag_key.0, self.tag_key.1);
        hasher.write(&id[..ID_BYTES - TAG_BYTES]);
        let [tag @ .., _, _, _, _, _] = hasher.finish().to_be_bytes();
        tag
    }

    /// A word that leads to our socket.
    fn word(&self, random: u32) -> u32 {
        let SocketPlace { index, count } = self.place;
        let begin = random - random % count;
        // The last few words are not as many as there are sockets.
        begin.checked_add(index).unwrap_or_else(|| begin - count + index)
    }
}

/// The id that the first packet of a datagram is sent to (RFC 8999 §5); of a short header, as long as ours are.
pub(super) fn destination_of(datagram: &[u8]) -> Option<&[u8]> {
    const LONG: u8 = 0x80;
    match datagram {
        [first, _, _, _, _, length, rest @ ..] if first & LONG != 0 => rest.get(..usize::from(*length)),
        [_, rest @ ..] => rest.get(..ID_BYTES),
        [] => None,
    }
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        fill_random(&mut id[..ID_BYTES - TAG_BYTES]);
        let [a, b, c, d, generation, ..] = &mut id;
        let word = self.word(u32::from_be_bytes([*a, *b, *c, *d])).to_be_bytes();
        ([*a, *b, *c, *d], *generation) = (word, self.generation);
        let tag = self.tag_of(&id);
        id[ID_BYTES - TAG_BYTES..].copy_from_slice(&tag);
        ConnectionId::new(&id)
    }

    /// One of another worker or of another process is as good: who had it may be gone, and the client is to learn that.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        self.owner_of(id).map(drop).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ids(index: u32, count: u32, generation: u8) -> ConnectionIds {
        ConnectionIds::new(SocketPlace { index, count }, generation, &QuicKeys::new(Some(&[7; 32])))
    }

    #[test]
    fn ids_tell_their_owner() {
        for (index, count) in [(0, 1), (0, 2), (1, 2), (4, 7), (31, 32), (99, 100)] {
            let mut ids = ids(index, count, 9);
            let made: HashSet<_> = (0..200).map(|_| ids.generate_cid()).collect();
            assert_eq!(made.len(), 200);
            for id in made {
                assert_eq!(ids.owner_of(&id), Some(IdOwner { index, generation: 9 }));
                assert!(ids.validate(&id).is_ok());
            }
        }
    }

    #[test]
    fn every_word_leads_to_the_socket() {
        for (index, count) in [(0, 1), (2, 3), (0, 3), (6, 7), (999, 1000)] {
            for random in [0, 1, 2, 6, 1000, u32::MAX - 1000, u32::MAX - 1, u32::MAX] {
                assert_eq!(ids(index, count, 0).word(random) % count, index, "{random} of {count}");
            }
        }
    }

    #[test]
    fn garbage_has_no_owner() {
        let mut ids = ids(1, 4, 0);
        let id = ids.generate_cid();
        for place in 0..ID_BYTES {
            let mut changed = id.to_vec();
            changed[place] ^= 1;
            assert_eq!(ids.owner_of(&changed), None, "byte {place}");
        }
        assert_eq!(ids.owner_of(&id[1..]), None);
        let other = ConnectionIds::new(ids.place(), 0, &QuicKeys::new(None));
        assert_eq!(other.owner_of(&id), None);
    }

    #[test]
    fn datagrams_tell_their_owner() {
        let mut ids = ids(3, 4, 5);
        let (id, owner) = (ids.generate_cid(), IdOwner { index: 3, generation: 5 });
        let short = [&[0x40][..], &id, b"rest"].concat();
        let long = [&[0xc0, 0, 0, 0, 1, 12][..], &id, b"rest"].concat();
        assert_eq!(ids.owner_of_datagram(&short), Some(owner));
        assert_eq!(ids.owner_of_datagram(&long), Some(owner));
        for length in 0..13 {
            assert_eq!(ids.owner_of_datagram(&short[..length]), None);
            assert_eq!(ids.owner_of_datagram(&long[..length]), None);
        }
        // A client chooses its own first.
        assert_eq!(ids.owner_of_datagram(&[0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8]), None);
    }
}
