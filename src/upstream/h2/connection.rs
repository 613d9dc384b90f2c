//! A connection that its driver and its exchanges share.

use std::cell::Cell;
use std::cell::RefCell;
use std::cell::RefMut;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::net::buffer::Buffers;
use crate::net::socket::Pending;
use crate::net::timer::Deadline;
use crate::net::timer::TICK;
use crate::net::timer::Tag;
use crate::net::timer::Timers;
use crate::net::wait_queue::WaitQueue;
use crate::proto::h2::connection::CannotOpen;
use crate::proto::h2::connection::Connection as Codec;
use crate::proto::h2::connection::Event;
use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::settings::Local;
use crate::proto::h2::stream::StreamId;
use crate::proto::token_bucket::Millis;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::ResponseLimits;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::h2::CLOSE_TIMEOUT;
use crate::upstream::h2::CONNECTION_WINDOW_BYTES;
use crate::upstream::h2::PONG_TIMEOUT;
use crate::upstream::h2::RELEASE_AFTER;
use crate::upstream::h2::state::ConnectionState;

/// Exchanges that wait for a stream to a backend under one key. They are told to look again, or why it is of no use.
pub(super) type Waiters = WaitQueue<(), Result<(), UpstreamError>>;

/// A connection that speaks HTTP/2, and its streams.
pub(super) struct SharedConnection {
    /// Its deadline is not used: each stream has one.
    pub(super) connection: Connection,
    pub(super) backend: Arc<Backend>,
    pub(super) buffers: Buffers,
    timers: Timers,
    /// As the group has it that used the connection last.
    pub(super) keepalive_timeout: Cell<Duration>,
    /// The number of the stream that was lent last, among all of the worker.
    pub(super) last_lent: Cell<u64>,
    /// The exchanges that wait for a stream to the backend under this name.
    waiting: Rc<Waiters>,
    /// Streams that are lent and not yet opened: their places are taken.
    lent: Cell<usize>,
    state: RefCell<ConnectionState>,
}

impl SharedConnection {
    pub(super) fn new(
        mut connection: Connection,
        backend: &Arc<Backend>,
        (timers, buffers): (&Timers, &Buffers),
        waiting: &Rc<Waiters>,
        limits: ResponseLimits,
    ) -> SharedConnection {
        let local = Local {
            connection_window_bytes: CONNECTION_WINDOW_BYTES,
            max_header_bytes: limits.max_header_bytes,
            max_headers: limits.max_headers,
            // The timeout of the stream's exchange counts.
            stall_timeout_ms: None,
            ..Local::default()
        };
        // The old one remembers the task that opened the connection, and would keep its memory.
        connection.deadline = timers.deadline();
        let state = ConnectionState::new(Codec::client(local), timers.ticks());
        SharedConnection {
            connection,
            backend: Arc::clone(backend),
            buffers: buffers.clone(),
            timers: timers.clone(),
            keepalive_timeout: Cell::default(),
            last_lent: Cell::default(),
            waiting: Rc::clone(waiting),
            lent: Cell::default(),
            state: RefCell::new(state),
        }
    }

    /// Runs `work` with the state, then wakes the driver if there is anything for it to do.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut ConnectionState) -> T) -> T {
        let mut state = self.state();
        let done = work(&mut state);
        let has_output = state.codec.output_bytes() > 0 && !state.is_sending;
        if has_output || state.is_over() {
            state.driver.wake_by_ref();
        }
        done
    }

    /// The state for the driver itself.
    pub(super) fn state(&self) -> RefMut<'_, ConnectionState> {
        self.state.borrow_mut()
    }

    /// Time as coarse as the limits of the codec need it.
    pub(super) fn now(&self) -> Millis {
        self.timers.ticks() * TICK.as_millis() as Millis
    }

    /// Completes when the backend has sent its settings, so that it is known to speak HTTP/2.
    pub(super) async fn ready(&self) -> Result<(), UpstreamError> {
        poll_fn(|cx| {
            self.with(|state| {
                if state.is_faulty {
                    return Poll::Ready(Err(UpstreamError::NotHttp2));
                }
                if state.is_over() {
                    return Poll::Ready(Err(UpstreamError::ConnectFailed));
                }
                if state.has_settings {
                    return Poll::Ready(Ok(()));
                }
                state.opener.register(cx);
                Poll::Pending
            })
        })
        .await
    }

    /// Moves a deadline that has passed, if the backend took some of what waits to be sent within `timeout`.
    pub(super) fn extend(&self, deadline: &Deadline, timeout: Duration) -> bool {
        self.connection.transport.extend(deadline, timeout)
    }

    /// A deadline for a stream, used before or new.
    pub(super) fn deadline(&self) -> Deadline {
        let used = self.with(|state| state.deadlines.pop());
        used.unwrap_or_else(|| {
            let deadline = self.timers.deadline();
            deadline.set_tag(Tag::Backend(self.backend.slot));
            deadline
        })
    }

    /// Whether a stream may be opened now. A connection that may be dead gets none.
    pub(super) fn can_open(&self) -> bool {
        let state = self.state.borrow();
        let places = state.codec.peer().max_concurrent_streams as usize;
        let is_usable = state.has_settings && !state.is_lost && !state.is_suspect;
        is_usable && state.codec.can_open().is_ok() && state.codec.open_streams() + self.lent.get() < places
    }

    /// Keeps a place for a stream.
    pub(super) fn lend(&self) {
        self.lent.set(self.lent.get() + 1);
    }

    /// The stream was opened, or will not be.
    pub(super) fn unlend(&self) {
        self.lent.set(self.lent.get() - 1);
    }

    /// Whether its backend has closed it while it was idle. Bytes that wait may be its farewell; then it
    /// refuses what comes after that, and another connection gets it.
    pub(super) fn is_stale(&self) -> bool {
        self.open_streams() == 0 && self.connection.transport.socket().pending() == Pending::End
    }

    /// Whether it counts among those that a worker may have, because streams can be opened sooner or later.
    pub(super) fn counts(&self) -> bool {
        let state = self.state();
        !state.is_lost && state.codec.can_open() != Err(CannotOpen::Ending)
    }

    /// Streams that are open, or lent.
    pub(super) fn open_streams(&self) -> usize {
        self.state.borrow().streams.len() + self.lent.get()
    }

    /// Whether it is kept for streams to come, and has none.
    pub(super) fn is_idle(&self) -> bool {
        self.counts() && self.open_streams() == 0
    }

    pub(super) fn is_lost(&self) -> bool {
        self.state().is_lost
    }

    /// A stream was opened on it before.
    pub(super) fn has_served(&self) -> bool {
        self.state().has_served
    }

    /// Begins to end the connection. Its streams go on.
    pub(super) fn shut_down(&self) {
        let now = self.now();
        self.with(|state| state.codec.shut_down(now));
    }

    /// The exchange waited for too long. Whether that is its own bad luck or the connection's, a PING shows.
    pub(super) fn suspect(&self) {
        let now = self.timers.ticks();
        self.with(|state| {
            if state.is_over() {
                return;
            }
            state.is_suspect = true;
            if state.pinged.is_none() {
                state.ping(now);
            }
        });
    }

    /// Something came, whatever it is.
    pub(super) fn heard(&self) {
        self.state().heard_at = self.timers.ticks();
    }

    /// Acts on what the codec made of received bytes.
    pub(super) fn handle(&self, event: Event, received: &[u8]) {
        let is_alive = self.state().pinged.is_some();
        let frees_places =
            is_alive || matches!(event, Event::Settings | Event::Reset { .. } | Event::GoAway { .. });
        self.state().handle(event, received, &self.buffers);
        if frees_places {
            self.waiting.call_next(Ok(()));
        }
    }

    /// Nothing more can be received or sent.
    pub(super) fn lose(&self) {
        self.with(|state| {
            state.codec.close(ErrorCode::NoError);
            state.is_lost = true;
            state.fail_all(|has_begun| match has_begun {
                true => UpstreamError::ClosedWithinResponse,
                false => UpstreamError::ClosedBeforeResponse,
            });
        });
        self.waiting.call_next(Ok(()));
    }

    /// The work of each second; false when the connection is gone.
    pub(super) fn sweep(&self) -> bool {
        let ticks = self.timers.ticks();
        let now = self.now();
        loop {
            let event = self.with(|state| state.codec.handle_timeout(now));
            let Some(event) = event else { break };
            self.handle(event, &[]);
        }
        let has_passed =
            |since: u64, limit: Duration| TICK * u32::try_from(ticks - since).unwrap_or(u32::MAX) >= limit;
        let is_dead = self.with(|state| {
            state.ping_if_silent(ticks);
            let over_since = state.is_over().then(|| *state.over_since.get_or_insert(ticks));
            let is_stuck = over_since.is_some_and(|since| has_passed(since, CLOSE_TIMEOUT));
            is_stuck || state.pinged.is_some_and(|since| has_passed(since, PONG_TIMEOUT))
        });
        if is_dead {
            self.lose();
        }
        let is_unwanted = self.with(|state| {
            if state.is_over() || !state.streams.is_empty() || self.lent.get() > 0 {
                return false;
            }
            if !state.is_released && has_passed(state.idle_since, RELEASE_AFTER) {
                state.release_memory();
            }
            let is_leaving = self.backend.health.draining_since_ms() != 0;
            is_leaving || has_passed(state.idle_since, self.keepalive_timeout.get())
        });
        if is_unwanted {
            self.shut_down();
        }
        !self.with(|state| state.is_lost)
    }

    /// An exchange lets its stream go that it did not open.
    pub(super) fn give_back(&self) {
        self.unlend();
        self.waiting.call_next(Ok(()));
    }

    /// An exchange lets its stream go.
    pub(super) fn release(&self, id: StreamId, deadline: Option<Deadline>) {
        let ticks = self.timers.ticks();
        let is_idle = self.with(|state| {
            state.remove(id);
            state.call_queue();
            if let Some(deadline) = deadline {
                deadline.clear();
                state.deadlines.push(deadline);
            }
            state.idle_since = ticks;
            state.streams.is_empty()
        });
        if is_idle && self.keepalive_timeout.get().is_zero() {
            self.shut_down();
        }
        self.waiting.call_next(Ok(()));
    }
}
