//! All streams of a connection, and what is remembered of those that ended.

use std::collections::VecDeque;

use crate::proto::h2::limits::REMEMBERED_RESETS;
use crate::proto::h2::settings::PeerRole;
use crate::proto::h2::stream::Stream;
use crate::proto::h2::stream::StreamId;

/// What is known about a stream that a frame names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StreamStatus {
    /// At this place among those alive.
    Live(usize),
    /// Never opened.
    Idle,
    /// We ended it, so frames that the peer sent before it knew are to be expected.
    ResetByUs,
    Closed,
}

/// Open and half-closed streams.
pub(super) struct Streams {
    role: PeerRole,
    /// In the order of their numbers, which only grow. Those that end are often the oldest or the newest, and at
    /// either end a queue moves few others.
    live: VecDeque<Stream>,
    /// The largest number that the peer opened; 0 for none.
    highest_of_peer: u32,
    /// The last numbers that the peer left out: from one to another, both included.
    skipped: (u32, u32),
    /// The same as `highest_of_peer` for us.
    highest_of_ours: u32,
    /// The last [`REMEMBERED_RESETS`] streams that we ended; the oldest is overwritten.
    reset: Vec<StreamId>,
    next_reset: usize,
    /// Some were overwritten, and of those the largest number.
    has_forgotten: bool,
    last_forgotten: u32,
}

impl Streams {
    pub(super) fn new(role: PeerRole) -> Streams {
        Streams {
            role,
            live: VecDeque::new(),
            highest_of_peer: 0,
            skipped: (1, 0),
            highest_of_ours: 0,
            reset: Vec::new(),
            next_reset: 0,
            has_forgotten: false,
            last_forgotten: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.live.iter_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.live.iter()
    }

    pub(super) fn status(&self, id: StreamId) -> StreamStatus {
        match self.place(id) {
            Some(place) => StreamStatus::Live(place),
            None if self.is_idle(id) => StreamStatus::Idle,
            None if self.reset.contains(&id) => StreamStatus::ResetByUs,
            None => StreamStatus::Closed,
        }
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.live.get(self.place(id)?)
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let place = self.place(id)?;
        self.live.get_mut(place)
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut Stream> {
        self.live.get_mut(place)
    }

    /// The largest number that the peer opened.
    pub(super) fn highest_of_peer(&self) -> Option<StreamId> {
        StreamId::new(self.highest_of_peer)
    }

    /// Whether only the peer may open this stream.
    pub(super) fn is_peers(&self, id: StreamId) -> bool {
        id.is_clients() == (self.role == PeerRole::Server)
    }

    /// The peer used this number. Smaller ones that were idle are closed now (RFC 9113 §5.1.1).
    pub(super) fn note_used(&mut self, id: StreamId) {
        let before = self.highest_of_peer;
        if id.number() > before.saturating_add(2) {
            self.skipped = (before + 1, id.number() - 1);
        }
        self.highest_of_peer = before.max(id.number());
    }

    /// Whether a number that counts as closed was never used. Only the last ones left out are remembered.
    pub(super) fn was_skipped(&self, id: StreamId) -> bool {
        (self.skipped.0..=self.skipped.1).contains(&id.number())
    }

    /// The number that our next stream gets; `None` when all are used up.
    pub(super) fn next_own(&self) -> Option<StreamId> {
        let next = if self.highest_of_ours == 0 { 1 } else { self.highest_of_ours + 2 };
        StreamId::new(next).filter(|id| id.number() <= StreamId::LARGEST)
    }

    pub(super) fn insert(&mut self, stream: Stream) {
        let highest =
            if self.is_peers(stream.id) { &mut self.highest_of_peer } else { &mut self.highest_of_ours };
        *highest = stream.id.number().max(*highest);
        debug_assert!(self.live.back().is_none_or(|newest| newest.id < stream.id));
        self.live.push_back(stream);
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let place = self.place(id)?;
        self.live.remove(place)
    }

    /// Ends the streams of ours that the peer will not look at.
    pub(super) fn remove_own_above(&mut self, last: u32) {
        let role = self.role;
        self.live.retain(|stream| {
            let is_peers = stream.id.is_clients() == (role == PeerRole::Server);
            is_peers || stream.id.number() <= last
        });
    }

    /// Late frames on this stream are no fault of the peer.
    pub(super) fn remember_reset(&mut self, id: StreamId) {
        if let Some(oldest) = self.reset.get_mut(self.next_reset) {
            self.last_forgotten = self.last_forgotten.max(oldest.number());
            *oldest = id;
            self.has_forgotten = true;
        } else {
            self.reset.push(id);
        }
        self.next_reset = (self.next_reset + 1) % REMEMBERED_RESETS;
    }

    /// Whether a stream that counts as closed may be one of ours, or of the peer's, that we ended and do not
    /// remember.
    pub(super) fn may_have_forgotten(&self, id: StreamId) -> bool {
        self.has_forgotten && (!self.is_peers(id) || id.number() <= self.last_forgotten)
    }

    /// Gives back the memory of streams that are gone.
    pub(super) fn release(&mut self) {
        self.live.shrink_to_fit();
        self.reset.shrink_to_fit();
    }

    pub(super) fn capacity(&self) -> usize {
        self.live.capacity() * size_of::<Stream>() + self.reset.capacity() * size_of::<StreamId>()
    }

    fn place(&self, id: StreamId) -> Option<usize> {
        self.live.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    fn is_idle(&self, id: StreamId) -> bool {
        let highest = if self.is_peers(id) { self.highest_of_peer } else { self.highest_of_ours };
        // Nobody opens even streams: push is not allowed.
        id.number() > highest || !id.is_clients()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::flow::ReceiveWindow;
    use crate::proto::h2::flow::SendWindow;

    fn id(number: u32) -> StreamId {
        StreamId::new(number).unwrap()
    }

    fn stream(number: u32) -> Stream {
        Stream::new(id(number), 0, (SendWindow::new(1), ReceiveWindow::new(1)))
    }

    #[test]
    fn streams_are_idle_then_live_then_closed() {
        let mut streams = Streams::new(PeerRole::Server);
        assert_eq!(streams.status(id(3)), StreamStatus::Idle);
        streams.insert(stream(3));
        assert_eq!(streams.status(id(3)), StreamStatus::Live(0));
        assert_eq!(streams.status(id(1)), StreamStatus::Closed);
        assert_eq!(streams.status(id(5)), StreamStatus::Idle);
        assert_eq!(streams.status(id(2)), StreamStatus::Idle);
        streams.remove(id(3));
        assert_eq!(streams.status(id(3)), StreamStatus::Closed);
        streams.remember_reset(id(3));
        assert_eq!(streams.status(id(3)), StreamStatus::ResetByUs);
    }

    #[test]
    fn memory_of_resets_is_bounded() {
        let mut streams = Streams::new(PeerRole::Server);
        for number in 0..1000 {
            streams.note_used(id(2 * number + 1));
            streams.remember_reset(id(2 * number + 1));
        }
        assert_eq!(streams.reset.len(), REMEMBERED_RESETS);
        assert_eq!(streams.status(id(1999)), StreamStatus::ResetByUs);
        assert_eq!(streams.status(id(1999 - 2 * REMEMBERED_RESETS as u32)), StreamStatus::Closed);
    }

    #[test]
    fn our_numbers_end() {
        let mut streams = Streams::new(PeerRole::Client);
        assert_eq!(streams.next_own(), Some(id(1)));
        streams.insert(stream(1));
        assert_eq!(streams.next_own(), Some(id(3)));
        streams.insert(stream(StreamId::LARGEST));
        assert_eq!(streams.next_own(), None);
        streams.remove_own_above(1);
        assert_eq!(streams.len(), 1);
    }
}
