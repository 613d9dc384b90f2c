//! One stream (RFC 9113 §5.1). All its transitions are here.
//!
//! ```text
//!               HEADERS            END_STREAM sent
//!      idle ───────────────▶ open ─────────────────▶ half-closed (local)
//!                              │                               │
//!             END_STREAM       │                               │ END_STREAM received
//!             received         ▼                               ▼
//!                  half-closed (remote) ────────────────▶ closed ◀── RST_STREAM either way, from
//!                                        END_STREAM sent             every state but idle
//! ```
//!
//! Push is never allowed, so there are no reserved states. Idle and closed streams take no memory: which
//! of the two a stream is that is not open, `streams.rs` knows. Each half of an open one goes its own way,
//! through head, content and end, so a state is kept for each half:
//!
//! ```text
//! [Half::Head] ──HEADERS──▶ [Half::Content] ──END_STREAM──▶ [Half::Ended]
//!      │  ▲                       │                              ▲
//!      └──┘ interim response      └──HEADERS (trailers)──────────┘
//! ```

use std::num::NonZeroU32;

use crate::proto::fields::content_count::ContentCount;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::flow::ReceiveWindow;
use crate::proto::h2::flow::SendWindow;
use crate::proto::h2::limits::STALL_BYTES;
use crate::proto::token_bucket::Millis;

/// The number of a stream, which is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(NonZeroU32);

impl StreamId {
    /// 31 bits.
    pub const LARGEST: u32 = (1 << 31) - 1;

    /// `None` for 0, which is the connection.
    pub fn new(number: u32) -> Option<StreamId> {
        NonZeroU32::new(number).map(StreamId)
    }

    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// "Streams initiated by a client MUST use odd-numbered stream identifiers" (RFC 9113 §5.1.1).
    pub fn is_clients(self) -> bool {
        self.number() % 2 == 1
    }
}

/// How far one side's message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfState {
    Head,
    Content,
    Ended,
}

/// A stream that is open or half-closed.
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) opened: Millis,
    pub(super) receiving: HalfState,
    pub(super) sending: HalfState,
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    content: ContentCount,
    /// The response can have no content, whatever its Content-Length says: HEAD was asked.
    pub(super) head_only: bool,
    /// Behind a 2xx there is a tunnel, not content.
    pub(super) is_connect: bool,
    /// The work for it has ended already.
    pub(super) is_settled: bool,
    stall: Option<Stall>,
}

/// A stream that has something to send and no window for it.
#[derive(Clone, Copy)]
struct Stall {
    since: Millis,
    /// Bytes that were sent all the same.
    sent: u32,
}

impl Stream {
    pub(super) fn new(
        id: StreamId,
        opened: Millis,
        (send_window, receive_window): (SendWindow, ReceiveWindow),
    ) -> Stream {
        Stream {
            id,
            opened,
            receiving: HalfState::Head,
            sending: HalfState::Head,
            send_window,
            receive_window,
            content: ContentCount::UNKNOWN,
            head_only: false,
            is_connect: false,
            is_settled: false,
            stall: None,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.receiving == HalfState::Ended && self.sending == HalfState::Ended
    }

    /// A final head came, with the Content-Length that counts for this stream.
    pub(super) fn receive_head(&mut self, content_length: u64, end: bool) -> Result<(), Fault> {
        self.receiving = HalfState::Content;
        self.content = ContentCount::new(content_length);
        if end { self.receive_end() } else { Ok(()) }
    }

    /// Content comes, perhaps the last.
    pub(super) fn receive_content(&mut self, bytes: u32, end: bool) -> Result<(), Fault> {
        match self.receiving {
            HalfState::Head => return Err(Fault::ContentWithoutHead),
            HalfState::Ended => return Err(Fault::EndedStream),
            HalfState::Content => {}
        }
        self.content.take(u64::from(bytes))?;
        if end { self.receive_end() } else { Ok(()) }
    }

    /// The peer's message ends, with its content or with trailers.
    pub(super) fn receive_end(&mut self) -> Result<(), Fault> {
        self.content.end()?;
        self.receiving = HalfState::Ended;
        Ok(())
    }

    /// We were asked to send `wanted` bytes and the windows allowed `sent`.
    pub(super) fn note_progress(&mut self, wanted: usize, sent: u32, now: Millis) {
        if sent as usize >= wanted {
            self.stall = None;
            return;
        }
        let stall = self.stall.get_or_insert(Stall { since: now, sent: 0 });
        stall.sent = stall.sent.saturating_add(sent);
        if stall.sent >= STALL_BYTES {
            *stall = Stall { since: now, sent: 0 };
        }
    }

    /// Since when it waits for a window.
    pub(super) fn stalled_since(&self) -> Option<Millis> {
        self.stall.map(|stall| stall.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fields::message::Malformed;
    use crate::proto::fields::message::UNKNOWN_LENGTH;

    fn stream() -> Stream {
        Stream::new(StreamId::new(1).unwrap(), 0, (SendWindow::new(10), ReceiveWindow::new(10)))
    }

    #[test]
    fn content_equals_its_announced_length() {
        let check = |length: u64, pieces: &[u32], expected: Result<(), Fault>| {
            let mut stream = stream();
            stream.receive_head(length, false).unwrap();
            let (last, before) = pieces.split_last().unwrap();
            let outcome = before.iter().try_for_each(|&piece| stream.receive_content(piece, false));
            assert_eq!(outcome.and_then(|()| stream.receive_content(*last, true)), expected, "{pieces:?}");
        };
        let wrong = Err(Fault::Malformed(Malformed::ContentLength));
        check(3, &[3], Ok(()));
        check(3, &[1, 0, 2, 0], Ok(()));
        check(0, &[0], Ok(()));
        check(UNKNOWN_LENGTH, &[7, 8], Ok(()));
        check(3, &[2], wrong);
        check(3, &[4], wrong);
        check(3, &[3, 1], wrong);
        assert_eq!(stream().receive_head(1, true), wrong);
        assert_eq!(stream().receive_head(0, true), Ok(()));
    }

    #[test]
    fn halves_end_one_after_the_other() {
        let mut stream = stream();
        let early = Err(Fault::ContentWithoutHead);
        assert_eq!(stream.receive_content(0, true), early);
        stream.receive_head(UNKNOWN_LENGTH, true).unwrap();
        assert_eq!(stream.receive_content(0, true), Err(Fault::EndedStream));
        assert!(!stream.is_closed());
        stream.sending = HalfState::Ended;
        assert!(stream.is_closed());
    }

    #[test]
    fn a_trickle_is_a_stall() {
        let mut stream = stream();
        stream.note_progress(100, 0, 5);
        stream.note_progress(100, 99, 50);
        assert_eq!(stream.stalled_since(), Some(5));
        stream.note_progress(9999, STALL_BYTES, 60);
        assert_eq!(stream.stalled_since(), Some(60));
        stream.note_progress(7, 7, 70);
        assert_eq!(stream.stalled_since(), None);
    }

    #[test]
    fn a_stream_is_small() {
        assert!(size_of::<Stream>() <= 72, "{}", size_of::<Stream>());
    }
}
