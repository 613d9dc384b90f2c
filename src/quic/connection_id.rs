//! Connection ids that say which worker has the connection (RFC 9000 §5.1).
//!
//! An id is `word (4) · generation (1) · random (4) · tag (3)`. The word modulo the number of sockets that share the port is the
//! index of the one that its packets come to: the kernel steers by it (see [`crate::net::udp::steering`]). Modulo the least
//! multiple of that number that is no less than the number of endpoints, it is the index of the endpoint that has the
//! connection. Where each endpoint has a socket, both are the same. The
//! generation tells processes that hand over to each other apart. The tag is a keyed hash of the rest: what does not bear
//! it is garbage and is not worth an answer. Packets are authenticated in any case, so 24 bits are enough.

use std::hash::Hasher as _;
use std::ops::RangeInclusive;
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

/// Bytes of an id that a client may choose as its first (RFC 9000 §7.2, §17.2).
const FIRST_ID_BYTES: RangeInclusive<usize> = 8..=20;

/// In the first byte of a packet (RFC 8999 §5.1).
const LONG_HEADER: u8 = 0x80;

/// The place of an endpoint among those that share a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointPlace {
    pub index: u32,
    /// Sockets that share the port, numbered as they were bound; at least 1. Each is of the endpoint with its index.
    pub sockets: u32,
    /// At least as many as sockets, and more in a process with more workers than the one that has bound them: those get what
    /// is theirs from the others.
    pub endpoints: u32,
}

impl EndpointPlace {
    /// Whether it receives.
    pub fn has_socket(self) -> bool {
        self.index < self.sockets
    }
}

/// What an id that is ours tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdOwner {
    /// The index of the endpoint; of another process, that of the socket.
    pub index: u32,
    pub generation: u8,
}

/// The ids of one endpoint.
#[derive(Clone)]
pub struct ConnectionIds {
    place: EndpointPlace,
    /// By which a word gives the index of an endpoint, and a multiple of the number of sockets.
    modulus: u32,
    generation: u8,
    tag_key: (u64, u64),
}

impl ConnectionIds {
    /// `generation`: counts the processes that have handed over to each other, modulo 256.
    pub fn new(place: EndpointPlace, generation: u8, keys: &QuicKeys) -> ConnectionIds {
        let sockets = place.sockets.max(1);
        let endpoints = place.endpoints.max(sockets);
        let place = EndpointPlace { index: place.index % endpoints, sockets, endpoints };
        let modulus = endpoints.div_ceil(sockets) * sockets;
        ConnectionIds { place, modulus, generation, tag_key: keys.id_tag }
    }

    pub fn place(&self) -> EndpointPlace {
        self.place
    }

    /// Whose connection this id is of; None if it is none of ours.
    pub fn owner_of(&self, id: &[u8]) -> Option<IdOwner> {
        let id: &[u8; ID_BYTES] = id.try_into().ok()?;
        let (rest, tag) = id.split_at(ID_BYTES - TAG_BYTES);
        let (word, rest) = rest.split_first_chunk()?;
        (self.tag_of(id) == *tag).then(|| {
            let word = u32::from_be_bytes(*word);
            let generation = rest.first().copied().unwrap_or_default();
            // How many endpoints another process has is not known.
            let is_own = generation == self.generation;
            let index = if is_own { self.endpoint_of(word) } else { word % self.place.sockets };
            IdOwner { index, generation }
        })
    }

    /// The endpoint that a word names. With the same keys before a restart, it may name one that is not there: the socket's
    /// answers for that.
    fn endpoint_of(&self, word: u32) -> u32 {
        let index = word % self.modulus;
        if index < self.place.endpoints { index } else { word % self.place.sockets }
    }

    /// The endpoint that is to have a client that begins, by the id of its choice, wherever it comes in. None: the one that has
    /// received it, as each has a socket, or as the datagram begins nothing.
    pub(super) fn endpoint_for_beginning(&self, datagram: &[u8]) -> Option<(u32, ConnectionId)> {
        if self.place.endpoints == self.place.sockets {
            return None;
        }
        let id = first_id_of(datagram)?;
        let mut hasher = SipHasher13::new_with_keys(self.tag_key.0, self.tag_key.1);
        hasher.write(id);
        let endpoint = hasher.finish() % u64::from(self.place.endpoints);
        Some((endpoint as u32, ConnectionId::new(id)))
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

    /// A word that leads to us, by our socket or by that of another endpoint.
    fn word(&self, random: u32) -> u32 {
        let (index, modulus) = (self.place.index, self.modulus);
        let begin = random - random % modulus;
        // The last few words are not as many as there are endpoints.
        begin.checked_add(index).unwrap_or_else(|| begin - modulus + index)
    }
}

/// The id that a client has chosen for a connection that it begins, if a datagram may be of one.
fn first_id_of(datagram: &[u8]) -> Option<&[u8]> {
    let is_long = datagram.first().is_some_and(|first| first & LONG_HEADER != 0);
    let id = destination_of(datagram).filter(|_| is_long)?;
    FIRST_ID_BYTES.contains(&id.len()).then_some(id)
}

/// The id that the first packet of a datagram is sent to (RFC 8999 §5); of a short header, as long as ours are.
pub(super) fn destination_of(datagram: &[u8]) -> Option<&[u8]> {
    match datagram {
        [first, _, _, _, _, length, rest @ ..] if first & LONG_HEADER != 0 => {
            rest.get(..usize::from(*length))
        }
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

    fn ids(index: u32, sockets: u32, endpoints: u32, generation: u8) -> ConnectionIds {
        let place = EndpointPlace { index, sockets, endpoints };
        ConnectionIds::new(place, generation, &QuicKeys::new(Some(&[7; 32])))
    }

    #[test]
    fn ids_tell_their_owner() {
        let places = [
            (0, 1, 1),
            (0, 2, 2),
            (1, 2, 2),
            (4, 7, 7),
            (31, 32, 32),
            (99, 100, 100),
            (0, 1, 2),
            (1, 1, 2),
            (2, 2, 3),
            (63, 3, 64),
        ];
        for (index, sockets, endpoints) in places {
            let mut ids = ids(index, sockets, endpoints, 9);
            let made: HashSet<_> = (0..200).map(|_| ids.generate_cid()).collect();
            assert_eq!(made.len(), 200);
            for id in made {
                assert_eq!(ids.owner_of(&id), Some(IdOwner { index, generation: 9 }));
                assert!(ids.validate(&id).is_ok());
            }
        }
    }

    #[test]
    fn every_word_leads_to_the_endpoint_and_to_the_socket_that_receives_for_it() {
        let places =
            [(0, 1, 1), (2, 3, 3), (0, 3, 3), (6, 7, 7), (999, 1000, 1000), (1, 1, 2), (4, 3, 5), (7, 2, 9)];
        for (index, sockets, endpoints) in places {
            for random in [0, 1, 2, 6, 1000, u32::MAX - 1000, u32::MAX - 1, u32::MAX] {
                let ids = ids(index, sockets, endpoints, 0);
                let word = ids.word(random);
                let found = (word % sockets, ids.endpoint_of(word));
                assert_eq!(found, (index % sockets, index), "{random}, {index} of {endpoints} by {sockets}");
            }
        }
    }

    #[test]
    fn every_word_leads_to_an_endpoint_that_is_there() {
        for (sockets, endpoints) in [(1, 1), (4, 4), (1, 3), (2, 3), (3, 8)] {
            let ids = ids(0, sockets, endpoints, 0);
            for word in (0..50).chain(u32::MAX - 50..=u32::MAX) {
                let endpoint = ids.endpoint_of(word);
                assert!(endpoint < endpoints && endpoint % sockets == word % sockets, "{word}: {endpoint}");
            }
        }
    }

    #[test]
    fn of_another_process_the_socket_is_known() {
        for before in [1, 2, 3, 5] {
            for index in 0..before.max(2) {
                let id = ids(index, 2, before, 8).generate_cid();
                let owner = IdOwner { index: index % 2, generation: 8 };
                assert_eq!(ids(1, 2, 7, 9).owner_of(&id), Some(owner));
            }
        }
    }

    #[test]
    fn clients_that_begin_are_spread_over_endpoints_where_some_have_no_socket() {
        let long = |id: &[u8]| [&[0xc0, 0, 0, 0, 1, id.len() as u8][..], id, b"rest"].concat();
        let first = |number: u32| long(&[&number.to_be_bytes()[..], &[1; 4]].concat());
        let mut counts = [0; 3];
        for number in 0..3_000 {
            let chosen = ids(0, 2, 3, 0).endpoint_for_beginning(&first(number)).unwrap();
            assert_eq!(ids(2, 2, 3, 0).endpoint_for_beginning(&first(number)), Some(chosen));
            counts[chosen.0 as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        assert_eq!(ids(0, 3, 3, 0).endpoint_for_beginning(&first(1)), None);
        for other in [long(&[1; 7]), long(&[1; 21]), vec![0x40; 30], long(&[1; 8])[..10].to_vec(), vec![]] {
            assert_eq!(ids(0, 2, 3, 0).endpoint_for_beginning(&other), None, "{other:?}");
        }
    }

    #[test]
    fn garbage_has_no_owner() {
        let mut ids = ids(1, 4, 4, 0);
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
        let mut ids = ids(3, 4, 4, 5);
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
