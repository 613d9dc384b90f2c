//! The sessions of one worker: found by their client, by their token, and by the time at which they may be over.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::BuildHasherDefault;
use std::hash::Hasher;
use std::hash::RandomState;
use std::net::SocketAddr;

use crate::datagram::expiry::ExpiryWheel;
use crate::datagram::session::ClientSession;
use crate::net::udp::datagrams::LocalAddress;

/// Names a session for as long as it lasts; one that takes its place later has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionToken(u64);

impl SessionToken {
    fn new(index: u32, generation: u32) -> SessionToken {
        SessionToken(u64::from(generation) << 32 | u64::from(index))
    }

    pub(super) fn from_bits(bits: u64) -> SessionToken {
        SessionToken(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What tells clients apart: the number of the socket that they send to, their address, and the one that they have asked.
pub(super) type ClientKey = (u64, SocketAddr, Option<LocalAddress>);

#[derive(Default)]
pub(super) struct SessionTable {
    slots: Vec<TableSlot>,
    free: Vec<u32>,
    /// By the hash of their client. It is keyed at random and has 64 bits, so that clients do not share one, and nobody
    /// can make them.
    by_client: HashMap<u64, u32, BuildHasherDefault<HashedAlready>>,
    hasher: RandomState,
    wheel: ExpiryWheel,
}

#[derive(Default)]
struct TableSlot {
    generation: u32,
    session: Option<Box<ClientSession>>,
}

/// What is looked for is a hash.
#[derive(Default)]
struct HashedAlready(u64);

impl Hasher for HashedAlready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(false, "only whole numbers are hashed, not {} bytes", bytes.len());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl SessionTable {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The session to which the next datagram of a client belongs.
    pub(super) fn find(&self, client: &ClientKey) -> Option<SessionToken> {
        let index = *self.by_client.get(&self.hasher.hash_one(client))?;
        let slot = self.slots.get(index as usize)?;
        slot.session.as_ref()?.is_of(client).then(|| SessionToken::new(index, slot.generation))
    }

    pub(super) fn get_mut(&mut self, token: SessionToken) -> Option<&mut ClientSession> {
        let slot = self.slots.get_mut(token.index())?;
        if slot.generation == token.generation() { slot.session.as_deref_mut() } else { None }
    }

    /// The token that the next session will have.
    pub(super) fn next_token(&self) -> SessionToken {
        match self.free.last() {
            Some(index) => {
                let generation = self.slots.get(*index as usize).map_or(0, |slot| slot.generation);
                SessionToken::new(*index, generation)
            }
            None => SessionToken::new(self.slots.len() as u32, 0),
        }
    }

    /// Puts a session in, which is looked at again after this many ticks.
    pub(super) fn insert(&mut self, session: Box<ClientSession>, idle_ticks: u64) -> SessionToken {
        let token = self.next_token();
        self.by_client.insert(self.hasher.hash_one(session.key()), token.index() as u32);
        self.wheel.add(token.bits(), session.last_tick + idle_ticks);
        match self.free.pop().and_then(|index| self.slots.get_mut(index as usize)) {
            Some(slot) => slot.session = Some(session),
            None => self.slots.push(TableSlot { generation: 0, session: Some(session) }),
        }
        token
    }

    /// The next datagram of its client begins another session; this one goes on.
    pub(super) fn forget_client(&mut self, token: SessionToken) {
        let Some(session) = self.slots.get(token.index()).and_then(|slot| slot.session.as_ref()) else {
            return;
        };
        let hash = self.hasher.hash_one(session.key());
        if self.by_client.get(&hash).is_some_and(|index| *index as usize == token.index()) {
            self.by_client.remove(&hash);
        }
    }

    pub(super) fn remove(&mut self, token: SessionToken) -> Option<Box<ClientSession>> {
        self.get_mut(token)?;
        self.forget_client(token);
        let slot = self.slots.get_mut(token.index())?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.index() as u32);
        let removed = slot.session.take();
        self.shrink();
        removed
    }

    /// Gives the memory of a flood back once it is over.
    fn shrink(&mut self) {
        if self.len() == 0 && self.slots.len() > MAX_EMPTY_SLOTS {
            // Tokens of sessions that are over may still be on their way, so generations go on where they were.
            let generation = self.slots.iter().map(|slot| slot.generation).max().unwrap_or(0).wrapping_add(1);
            self.slots.truncate(MAX_EMPTY_SLOTS);
            self.slots.iter_mut().for_each(|slot| slot.generation = generation);
            self.slots.shrink_to_fit();
            self.free = (0..MAX_EMPTY_SLOTS as u32).collect();
            self.by_client.shrink_to_fit();
        }
    }

    /// Those that may be over at this tick, which has to follow the last one.
    pub(super) fn advance(&mut self, now: u64, due: &mut Vec<SessionToken>) {
        self.wheel.advance(now, |bits| due.push(SessionToken(bits)));
    }

    /// Looks at a session again at that tick.
    pub(super) fn look_at(&mut self, token: SessionToken, due: u64) {
        self.wheel.add(token.bits(), due);
    }

    /// All that there are.
    pub(super) fn tokens(&self) -> Vec<SessionToken> {
        let slots = (0u32..).zip(&self.slots).filter(|(_, slot)| slot.session.is_some());
        slots.map(|(index, slot)| SessionToken::new(index, slot.generation)).collect()
    }
}

/// Places that stay while there are no sessions.
const MAX_EMPTY_SLOTS: usize = 256;

impl ClientSession {
    pub(super) fn key(&self) -> ClientKey {
        (self.socket.number, self.client, self.local)
    }

    fn is_of(&self, client: &ClientKey) -> bool {
        self.key() == *client
    }
}
