//! What is known of a connection and of its streams. Nothing here waits: tasks are woken, and look.

use std::collections::VecDeque;
use std::task::Context;
use std::task::Poll;

use crate::http::headers::Headers;
use crate::net::buffer::Buffers;
use crate::net::timer::Deadline;
use crate::net::wake::WakerSlot;
use crate::proto::h2::connection::Cause;
use crate::proto::h2::connection::Connection as Codec;
use crate::proto::h2::connection::Event;
use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::flow::DEFAULT_WINDOW;
use crate::proto::h2::stream::StreamId;
use crate::upstream::error::UpstreamError;
use crate::upstream::h2::CALLED_AT_ONCE;
use crate::upstream::h2::GROWTH_BYTES;
use crate::upstream::h2::OUTPUT_BYTES;
use crate::upstream::h2::inbox::Inbox;

/// Under the one borrow that [`crate::upstream::h2::connection::SharedConnection`] gives.
pub(super) struct ConnectionState {
    pub(super) codec: Codec,
    /// In the order of their numbers, which only grow. Apart from `streams`, which have the same places, so that
    /// looking for one touches little memory.
    ids: VecDeque<StreamId>,
    pub(super) streams: VecDeque<StreamState>,
    pub(super) driver: WakerSlot,
    /// The task that opened the connection and waits for the backend's settings.
    pub(super) opener: WakerSlot,
    pub(super) has_settings: bool,
    /// The driver sends, and looks for more when that is done.
    pub(super) is_sending: bool,
    /// Streams with content to send that wait for room in the output, the longest first.
    queue: VecDeque<StreamId>,
    /// What the windows of all streams have grown by: never more than [`GROWTH_BYTES`].
    growth: u32,
    /// Deadlines of streams that have ended.
    pub(super) deadlines: Vec<Deadline>,
    /// In ticks: since when there is no stream.
    pub(super) idle_since: u64,
    /// In ticks: when anything came, or there was no stream for which anything could.
    pub(super) heard_at: u64,
    /// In ticks: when a PING was sent that nothing has answered.
    pub(super) pinged: Option<u64>,
    /// That PING stands for a timeout, or is unanswered for some time.
    pub(super) is_suspect: bool,
    /// PINGs since the last part of a response, and whether a stream was opened since the last of them.
    pub(super) pings: u32,
    pub(super) has_news: bool,
    /// In ticks: since when there is nothing left to do but to send what waits.
    pub(super) over_since: Option<u64>,
    /// The backend broke the protocol.
    pub(super) is_faulty: bool,
    /// Nothing can be sent or received any more.
    pub(super) is_lost: bool,
    pub(super) has_served: bool,
    pub(super) is_released: bool,
}

/// A stream that an exchange holds.
#[derive(Default)]
pub(super) struct StreamState {
    pub(super) inbox: Inbox,
    task: WakerSlot,
    awaits_window: bool,
    /// What its window has grown by.
    growth: u32,
}

impl ConnectionState {
    pub(super) fn new(codec: Codec, ticks: u64) -> ConnectionState {
        ConnectionState {
            codec,
            ids: VecDeque::new(),
            streams: VecDeque::new(),
            driver: WakerSlot::default(),
            opener: WakerSlot::default(),
            has_settings: false,
            is_sending: false,
            queue: VecDeque::new(),
            growth: 0,
            deadlines: Vec::new(),
            idle_since: ticks,
            heard_at: ticks,
            pinged: None,
            is_suspect: false,
            pings: 0,
            has_news: false,
            over_since: None,
            is_faulty: false,
            is_lost: false,
            has_served: false,
            is_released: false,
        }
    }

    /// Whether nothing is left to do but to send what waits.
    pub(super) fn is_over(&self) -> bool {
        self.is_lost || self.codec.is_drained()
    }

    pub(super) fn stream(&mut self, id: StreamId) -> Option<&mut StreamState> {
        let place = self.place(id)?;
        self.streams.get_mut(place)
    }

    fn place(&self, id: StreamId) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    pub(super) fn insert(&mut self, id: StreamId) {
        self.ids.push_back(id);
        self.streams.push_back(StreamState::default());
        self.has_served = true;
        self.has_news = true;
        self.is_released = false;
    }

    /// Waits for whatever may happen to a stream.
    pub(super) fn wait<T>(&mut self, id: StreamId, cx: &Context<'_>) -> Poll<T> {
        if let Some(stream) = self.stream(id) {
            stream.task.register(cx);
        }
        Poll::Pending
    }

    /// Waits until a stream's window opens.
    pub(super) fn wait_for_window<T>(&mut self, id: StreamId, cx: &Context<'_>) -> Poll<T> {
        self.leave_queue(id);
        self.call_queue();
        if let Some(stream) = self.stream(id) {
            stream.awaits_window = true;
        }
        self.wait(id, cx)
    }

    /// Whether it is a stream's turn to add to the output; if not, it is called when it is.
    pub(super) fn may_send(&mut self, id: StreamId) -> bool {
        let has_room = self.codec.output_bytes() < OUTPUT_BYTES;
        let place = self.queue.iter().position(|&waiting| waiting == id);
        if has_room && place.map_or(self.queue.is_empty(), |place| place < CALLED_AT_ONCE) {
            return true;
        }
        if place.is_none() {
            self.queue.push_back(id);
        }
        false
    }

    /// A stream had its turn.
    pub(super) fn leave_queue(&mut self, id: StreamId) {
        self.queue.retain(|&waiting| waiting != id);
    }

    /// Wakes the streams whose turn it is.
    pub(super) fn call_queue(&mut self) {
        if self.codec.output_bytes() >= OUTPUT_BYTES {
            return;
        }
        for place in 0..CALLED_AT_ONCE {
            let Some(&id) = self.queue.get(place) else { break };
            if let Some(stream) = self.stream(id) {
                stream.task.wake();
            }
        }
    }

    pub(super) fn handle(&mut self, event: Event, received: &[u8], buffers: &Buffers) {
        // Whatever it is, it is a sign of life.
        self.pinged = None;
        self.is_suspect = false;
        if matches!(event, Event::Head { .. } | Event::Content { .. } | Event::Trailers { .. }) {
            self.pings = 0;
        }
        match event {
            Event::Head { stream, end } => self.put_head(stream, end, buffers),
            Event::Interim { stream } => self.put_head(stream, false, buffers),
            Event::Content { stream, content, end } => {
                let bytes = received.get(content).unwrap_or_default();
                match self.stream(stream) {
                    Some(state) => {
                        if !bytes.is_empty() {
                            state.inbox.put_content(bytes, buffers);
                        }
                        state.inbox.has_ended |= end;
                        state.task.wake();
                        // An exchange that does not take it holds up its own stream, and no other.
                        self.codec.release_connection(bytes.len() as u32);
                    }
                    None => self.codec.release(stream, bytes.len() as u32),
                }
            }
            Event::Trailers { stream } => {
                let place = self.place(stream);
                if let Some(state) = place.and_then(|place| self.streams.get_mut(place)) {
                    state.inbox.put_trailers(self.codec.fields());
                    state.task.wake();
                }
            }
            Event::Reset { stream, cause } => {
                if let Some(state) = self.stream(stream) {
                    let error = reset_error(cause, state.inbox.has_begun);
                    state.inbox.fail(error);
                    state.task.wake();
                }
            }
            Event::WindowOpened { stream: Some(id) } => {
                if let Some(stream) = self.stream(id) {
                    stream.window_opened();
                }
            }
            Event::WindowOpened { stream: None } => {
                self.streams.iter_mut().for_each(StreamState::window_opened)
            }
            Event::Settings => {
                self.has_settings = true;
                self.streams.iter_mut().for_each(StreamState::window_opened);
                self.opener.wake();
            }
            Event::Failed(fault) => {
                self.is_faulty = true;
                self.fail_all(|has_begun| match has_begun {
                    true => UpstreamError::BadResponse(fault.reason()),
                    false => UpstreamError::BrokenConnection(fault.reason()),
                });
            }
            Event::GoAway { last, .. } => self.refuse_beyond(last.map_or(0, StreamId::number)),
            // A client sees no requests.
            Event::Pong(_) | Event::HeadTooLarge { .. } => {}
        }
    }

    fn put_head(&mut self, id: StreamId, end: bool, buffers: &Buffers) {
        let place = self.place(id);
        let Some(stream) = place.and_then(|place| self.streams.get_mut(place)) else { return };
        let mut headers = Headers::new();
        let head = self.codec.response(&mut headers);
        if stream.inbox.put_head(&head, buffers).is_err() {
            stream.inbox.fail(UpstreamError::BadResponse("too_many_interim_responses"));
            drop(headers);
            self.codec.reset(id, ErrorCode::EnhanceYourCalm);
        } else {
            stream.inbox.has_ended |= end;
            stream.inbox.is_bodiless |= end;
        }
        stream.task.wake();
    }

    /// "The GOAWAY frame indicates the highest stream number that might have been processed. Requests on streams
    /// with higher numbers are therefore guaranteed to be safe to retry" (RFC 9113 §8.7).
    fn refuse_beyond(&mut self, last: u32) {
        for (id, stream) in self.ids.iter().zip(&mut self.streams) {
            if id.number() > last {
                // A backend that has answered has looked at the request, whatever it says now.
                stream.inbox.fail(match stream.inbox.has_begun {
                    true => UpstreamError::ResetWithinResponse,
                    false => UpstreamError::Refused,
                });
                stream.task.wake();
            }
        }
    }

    pub(super) fn fail_all(&mut self, error: impl Fn(bool) -> UpstreamError) {
        for stream in &mut self.streams {
            let error = error(stream.inbox.has_begun);
            stream.inbox.fail(error);
            stream.task.wake();
        }
        self.opener.wake();
    }

    /// Takes a stream out. What its exchange did not see to its end is cancelled.
    pub(super) fn remove(&mut self, id: StreamId) {
        self.leave_queue(id);
        let Some(place) = self.place(id) else { return };
        self.ids.remove(place);
        let Some(stream) = self.streams.remove(place) else { return };
        self.growth -= stream.growth;
        self.codec.reset(id, ErrorCode::Cancel);
    }

    /// The exchange took this much content.
    pub(super) fn release(&mut self, id: StreamId, bytes: u32) {
        let place = self.place(id);
        let Some(stream) = place.and_then(|place| self.streams.get_mut(place)) else { return };
        let most = DEFAULT_WINDOW + stream.growth + (GROWTH_BYTES - self.growth);
        if let Some(window) = self.codec.release_stream(id, bytes, most) {
            let more = window.saturating_sub(DEFAULT_WINDOW + stream.growth);
            stream.growth += more;
            self.growth += more;
        }
    }

    pub(super) fn release_memory(&mut self) {
        self.codec.release_memory();
        self.ids = VecDeque::new();
        self.streams = VecDeque::new();
        self.queue = VecDeque::new();
        self.deadlines = Vec::new();
        self.is_released = true;
    }
}

impl StreamState {
    fn window_opened(&mut self) {
        if std::mem::take(&mut self.awaits_window) {
            self.task.wake();
        }
    }
}

/// What the early end of a stream comes down to.
fn reset_error(cause: Cause, has_begun: bool) -> UpstreamError {
    match cause {
        Cause::Fault(fault) => UpstreamError::BadResponse(fault.reason()),
        // "The REFUSED_STREAM error code can be included in a RST_STREAM frame to indicate that the stream is
        // being closed prior to any processing having occurred. Any request that was sent on the reset stream
        // can be safely retried" (RFC 9113 §8.7).
        Cause::Peer(ErrorCode::RefusedStream) if !has_begun => UpstreamError::Refused,
        Cause::Peer(_) if has_begun => UpstreamError::ResetWithinResponse,
        Cause::Peer(_) => UpstreamError::ResetBeforeResponse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::settings::Local;

    /// A connection with this many open streams.
    fn state(streams: usize) -> (ConnectionState, Vec<StreamId>) {
        let mut state = ConnectionState::new(Codec::client(Local::default()), 0);
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let received = state.codec.handle_bytes(&settings, 0);
        state.handle(received.event.unwrap(), &[], &Buffers::default());
        let fields: [(&[u8], &[u8]); 4] =
            [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")];
        let ids = (0..streams).map(|_| {
            let id = state.codec.open(fields, false).unwrap();
            state.insert(id);
            id
        });
        let ids = ids.collect();
        drain(&mut state);
        (state, ids)
    }

    fn drain(state: &mut ConnectionState) {
        state.codec.poll_output(&mut Vec::new());
    }

    #[test]
    fn streams_take_turns_when_the_output_is_full() {
        let (mut state, ids) = state(6);
        assert!(state.may_send(ids[0]));
        state.codec.send_content(ids[0], &[0; OUTPUT_BYTES], false, 0).unwrap();
        for &id in &ids {
            assert!(!state.may_send(id));
        }
        drain(&mut state);
        // The exchange that has waited longest is called, and a newcomer is not.
        let called =
            |state: &mut ConnectionState| ids.iter().map(|&id| state.may_send(id)).filter(|&may| may).count();
        assert_eq!(called(&mut state), CALLED_AT_ONCE);
        assert!(state.may_send(ids[0]) && !state.may_send(ids[5]));
        state.leave_queue(ids[0]);
        assert!(!state.may_send(ids[0]), "it stands behind the others now");
        assert!(state.may_send(ids[CALLED_AT_ONCE]));
        // One that is gone keeps no other waiting.
        (1..5).for_each(|place| state.remove(ids[place]));
        assert!(state.may_send(ids[5]) && state.may_send(ids[0]));
    }

    #[test]
    fn what_goaway_excludes_is_refused_and_the_rest_goes_on() {
        let (mut state, ids) = state(3);
        let last = Some(ids[0]);
        let go_away = Event::GoAway { last, code: ErrorCode::NoError };
        state.handle(go_away, &[], &Buffers::default());
        let failures: Vec<_> = ids.iter().map(|&id| state.stream(id).unwrap().inbox.failure).collect();
        let refused = Some(UpstreamError::Refused);
        assert_eq!(failures, [None, refused, refused]);
    }

    /// Receives a response with this much content on a stream, and takes it if it is `read`.
    fn download(state: &mut ConnectionState, id: StreamId, bytes: usize, now: u64, read: bool) {
        for _ in 0..bytes / 8192 {
            let number = id.number().to_be_bytes();
            let frame = [&[0, 0x20, 0, 0, 0], &number[..], &[b'x'; 8192]].concat();
            let received = state.codec.handle_bytes(&frame, now);
            state.handle(received.event.unwrap(), &frame, &Buffers::default());
            if read {
                let taken = state.stream(id).unwrap().inbox.take_content(8192, &Buffers::default());
                state.release(id, taken.unwrap().len() as u32);
            }
        }
    }

    fn begin_response(state: &mut ConnectionState, id: StreamId) {
        let frame = [&[0, 0, 1, 1, 4], &id.number().to_be_bytes()[..], &[0x88]].concat();
        let received = state.codec.handle_bytes(&frame, 0);
        state.handle(received.event.unwrap(), &frame, &Buffers::default());
    }

    #[test]
    fn content_that_nobody_takes_leaves_the_connection_open() {
        let (mut state, ids) = state(100);
        for &id in &ids {
            begin_response(&mut state, id);
            // More than the connection's window in all.
            download(&mut state, id, 7 * 8192, 0, false);
        }
        assert!(ids.iter().all(|&id| state.stream(id).unwrap().inbox.failure.is_none()));
        assert!(!state.is_faulty);
    }

    #[test]
    fn windows_grow_within_a_bound() {
        let (mut state, ids) = state(6);
        let mut now = 0;
        let pong = b"\0\0\x08\x06\x01\0\0\0\0rw probe";
        for &id in &ids {
            begin_response(&mut state, id);
            for _ in 0..10 {
                now += 100;
                download(&mut state, id, 1 << 20, now, true);
                state.codec.handle_bytes(pong, now);
            }
        }
        let growths: Vec<_> = ids.iter().map(|&id| state.stream(id).unwrap().growth).collect();
        assert_eq!(growths.iter().sum::<u32>(), state.growth);
        assert_eq!(state.growth, GROWTH_BYTES, "{growths:?}");
        state.remove(ids[0]);
        assert_eq!(state.growth, GROWTH_BYTES - growths[0]);
    }

    #[test]
    fn content_of_a_stream_that_is_gone_is_released() {
        let (mut state, ids) = state(1);
        state.codec.release_memory();
        let content = [0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'];
        let head = [0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
        let received = |state: &mut ConnectionState, bytes: &[u8]| {
            let received = state.codec.handle_bytes(bytes, 0);
            state.handle(received.event.unwrap(), bytes, &Buffers::default());
        };
        received(&mut state, &head);
        received(&mut state, &content);
        assert!(state.stream(ids[0]).unwrap().inbox.has_content());
        state.remove(ids[0]);
        assert!(state.stream(ids[0]).is_none());
        assert_eq!(state.codec.open_streams(), 0);
    }
}
