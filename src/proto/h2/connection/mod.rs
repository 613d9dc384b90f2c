//! One connection: bytes and `now` in, events and bytes out.
//!
//! Here is what it holds and what it can be asked; `receive.rs` takes bytes apart into frames,
//! `control.rs` and `blocks.rs` say what a frame means, and `commands.rs` is what its owner may do.

mod blocks;
mod commands;
mod control;
mod receive;

use std::ops::Range;

use crate::http::head::PartialHead;
use crate::http::head::ResponseHead;
use crate::http::head::Version;
use crate::http::headers::Headers;
use crate::http::headers::MAX_FIELDS;
use crate::proto::fields::list::Fields;
use crate::proto::fields::message;
use crate::proto::fields::message::RequestMessage;
use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::flow::AdaptiveWindow;
use crate::proto::h2::flow::DEFAULT_WINDOW;
use crate::proto::h2::flow::ReceiveWindow;
use crate::proto::h2::flow::SendWindow;
use crate::proto::h2::frame::PREFACE;
use crate::proto::h2::frame::go_away;
use crate::proto::h2::frame::ping;
use crate::proto::h2::frame::rst_stream;
use crate::proto::h2::frame::window_update;
use crate::proto::h2::hpack::DEFAULT_TABLE_BYTES;
use crate::proto::h2::hpack::decoder::Decoder;
use crate::proto::h2::hpack::decoder::long_block::LongBlock;
use crate::proto::h2::hpack::encoder::Encoder;
use crate::proto::h2::limits;
use crate::proto::h2::limits::Budgets;
use crate::proto::h2::limits::INNOCENT_MS;
use crate::proto::h2::limits::Limit;
use crate::proto::h2::limits::SILLY_WINDOW_BYTES;
use crate::proto::h2::limits::SILLY_WINDOW_MS;
use crate::proto::h2::settings::Acknowledgement;
use crate::proto::h2::settings::Local;
use crate::proto::h2::settings::Peer;
use crate::proto::h2::settings::PeerRole;
use crate::proto::h2::stream::HalfState;
use crate::proto::h2::stream::Stream;
use crate::proto::h2::stream::StreamId;
use crate::proto::h2::streams::StreamStatus;
use crate::proto::h2::streams::Streams;
use crate::proto::scope::Scope;
use crate::proto::token_bucket::Millis;

pub use commands::CannotOpen;
pub use commands::StreamGone;
pub use receive::Received;

/// An HTTP/2 connection in either role.
///
/// - Handlers take what comes: [`Connection::handle_bytes`], [`Connection::handle_timeout`].
/// - Commands: `open`, `send_*`, `frame_content`, `reset`, `release`, `settled`, `ping`, `shut_down`, `close`.
/// - [`Connection::poll_output`] gives what is to be sent. It is to be asked after every handler and before
///   the owner waits.
/// - Getters tell the rest.
///
/// An owner that gets [`Event::Failed`] sends what there is to send and closes.
pub struct Connection {
    role: PeerRole,
    local: Local,
    peer: Peer,
    acknowledgement: Acknowledgement,
    /// Nothing may come before the peer's settings.
    has_peer_settings: bool,
    reading: Reading,
    /// The header block that is not complete.
    block: Option<HeaderBlock>,
    /// What came of that block so far.
    fragments: Vec<u8>,
    decoder: Decoder,
    encoder: Encoder,
    /// The fields of the last header block.
    fields: Fields,
    /// Bytes of the last header block, as it came.
    block_bytes: u32,
    /// The cookies of the last request, their crumbs joined.
    cookies: Vec<u8>,
    streams: Streams,
    /// Streams that are gone, but the work for them is not; see [`Connection::settled`].
    lingering: u32,
    send_window: SendWindow,
    silly_window: SillyWindow,
    receive_window: ReceiveWindow,
    adaptive_window: AdaptiveWindow,
    /// No stream's stall began before this.
    first_stall: Option<Millis>,
    budgets: Budgets,
    go_away: GoAwayState,
    /// What the peer's GOAWAY left us.
    peer_last_stream: u32,
    output: Vec<u8>,
}

/// What happened. All but [`Event::Failed`] leave the connection usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request's head, or the final head of a response: [`Connection::request`] and
    /// [`Connection::response`] give it until the next bytes are handled.
    Head { stream: StreamId, end: bool },
    /// A 1xx response, likewise.
    Interim { stream: StreamId },
    /// A request whose head passed our limits. It may be answered with 431 and reset.
    HeadTooLarge { stream: StreamId, end: bool },
    /// Content, where it lies in the bytes that were handled. Every byte of it must be released once with
    /// [`Connection::release`], even if the stream is gone meanwhile.
    Content { stream: StreamId, content: Range<usize>, end: bool },
    /// Trailers end the peer's message; [`Connection::fields`] gives them.
    Trailers { stream: StreamId },
    /// The stream is gone before both sides had ended it. A server calls [`Connection::settled`] once the
    /// work for it has ended too, if it had learned of the stream.
    Reset { stream: StreamId, cause: Cause },
    /// A stream, or with `None` any stream, that waited for a window may send again.
    WindowOpened { stream: Option<StreamId> },
    /// The peer's settings changed, and with them what may be sent and opened.
    Settings,
    /// The peer looks at no stream of ours beyond `last`: those are gone, unprocessed, and may be tried
    /// elsewhere. No other can be opened. A client is about to leave.
    GoAway { last: Option<StreamId>, code: ErrorCode },
    /// A PING of [`Connection::ping`] came back.
    Pong(ping::Opaque),
    /// The connection is lost and GOAWAY is written.
    Failed(Fault),
}

/// Who ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Peer(ErrorCode),
    /// We, because of this fault of the peer.
    Fault(Fault),
}

/// What the next bytes belong to.
#[derive(Clone, Copy)]
enum Reading {
    Preface,
    Header,
    Content {
        stream: StreamId,
        left: u32,
        padding: u32,
        end: bool,
    },
    /// A part of a header block.
    Fragment {
        left: u32,
        padding: u32,
        is_last: bool,
    },
    Skip(u32),
}

/// A header block on its way.
struct HeaderBlock {
    stream: StreamId,
    end_stream: bool,
    purpose: Purpose,
    continuations: usize,
    /// So far.
    bytes: usize,
    /// It is longer than is kept.
    long: Option<Box<LongBlock>>,
    due: Millis,
}

/// What a header block will be, once it is complete.
#[derive(Clone, Copy)]
enum Purpose {
    Request,
    Response,
    Trailers,
    /// It is decoded for the sake of the table only; then the stream ends with the fault, if there is one.
    Discard(Option<Fault>),
}

/// What becomes of the last bytes of the connection's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SillyWindow {
    Kept,
    /// Content waits since this time, because the window is a silly one (RFC 9293 §3.8.6.2.1).
    Awaited(Millis),
    /// The peer was waited for in vain: perhaps it opens its window only when nothing is left.
    Free,
}

/// How far the end of the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GoAwayState {
    NotYet,
    /// The first GOAWAY is written; at this time at the latest, or with the last stream, the second is.
    Announced(Millis),
    /// The last GOAWAY is written: streams of the peer beyond this number are ignored.
    Final(u32),
    Failed,
}

/// The payload of PINGs that measure the path.
const BDP_PING: ping::Opaque = *b"rw probe";

impl Connection {
    /// The side that accepted the connection. Its settings are the first output.
    pub fn server(local: Local) -> Connection {
        Connection::new(PeerRole::Server, local)
    }

    /// The side that opened the connection. The preface and its settings are the first output.
    pub fn client(local: Local) -> Connection {
        Connection::new(PeerRole::Client, local)
    }

    fn new(role: PeerRole, local: Local) -> Connection {
        let local = Local { max_headers: local.max_headers.min(MAX_FIELDS), ..local.in_bounds() };
        let mut output = Vec::new();
        if role == PeerRole::Client {
            output.extend_from_slice(PREFACE);
        }
        local.write(role, &mut output);
        window_update::write(&mut output, None, local.connection_window_bytes - DEFAULT_WINDOW);
        let largest_window = local.connection_window_bytes / 2;
        Connection {
            role,
            local,
            peer: Peer::default(),
            acknowledgement: Acknowledgement::Unsent,
            has_peer_settings: false,
            reading: if role == PeerRole::Server { Reading::Preface } else { Reading::Header },
            block: None,
            fragments: Vec::new(),
            decoder: Decoder::new(),
            encoder: Encoder::new(DEFAULT_TABLE_BYTES),
            fields: Fields::new(),
            block_bytes: 0,
            cookies: Vec::new(),
            streams: Streams::new(role),
            lingering: 0,
            send_window: SendWindow::new(DEFAULT_WINDOW),
            silly_window: SillyWindow::Kept,
            receive_window: ReceiveWindow::new(local.connection_window_bytes),
            adaptive_window: AdaptiveWindow::new(local.stream_window_bytes, largest_window),
            first_stall: None,
            budgets: limits::budgets(local.resets),
            go_away: GoAwayState::NotYet,
            peer_last_stream: StreamId::LARGEST,
            output,
        }
    }

    /// What the peer asked for.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Streams that are open or half-closed.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether nothing is left to do after [`Connection::shut_down`] or a server's GOAWAY. That of a client
    /// takes nothing away: servers open no streams.
    pub fn is_drained(&self) -> bool {
        let is_left = self.role == PeerRole::Client && self.peer_last_stream < StreamId::LARGEST;
        let is_ending = is_left || matches!(self.go_away, GoAwayState::Final(_));
        self.go_away == GoAwayState::Failed || (is_ending && self.streams.len() == 0)
    }

    /// Whether this side may still send on a stream.
    pub fn is_sending(&self, stream: StreamId) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.sending != HalfState::Ended)
    }

    /// Bytes of content that the windows allow on a stream at present. What is left of the connection's window
    /// is not used up in small pieces: many streams that wait for it would make more and more of them out of it.
    pub fn send_capacity(&self, stream: StreamId) -> usize {
        if self.is_shut() {
            return 0;
        }
        let window = self.streams.get(stream).map_or(0, |stream| stream.send_window.available());
        window.min(self.send_window.available()) as usize
    }

    /// Whether the connection's window is waited for.
    fn is_shut(&self) -> bool {
        let least = if self.silly_window == SillyWindow::Free { 1 } else { SILLY_WINDOW_BYTES };
        self.send_window.available() < least
    }

    /// The request of the last [`Event::Head`].
    pub fn request<'h, 'b>(&'b self, headers: &'h mut Headers<'b>) -> RequestMessage<'h, 'b> {
        message::request(&self.fields, &self.cookies, headers, Version::Http2)
    }

    /// What the last header block says of a request, whether it is one or not.
    pub fn partial_head(&self) -> PartialHead<'_> {
        message::partial_head(&self.fields, Version::Http2)
    }

    /// The response of the last [`Event::Head`] or [`Event::Interim`].
    pub fn response<'h, 'b>(&'b self, headers: &'h mut Headers<'b>) -> ResponseHead<'h, 'b> {
        message::response(&self.fields, headers, Version::Http2)
    }

    /// The fields of the last header block, as far as they are within the limits: trailers after [`Event::Trailers`].
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The length of the last header block as it came, in bytes.
    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// Bytes that wait to be sent.
    pub fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Gives what is to be sent: in place of `out`, if that is empty, else behind what it holds.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        if self.is_quiet() {
            self.finish_shutdown();
        }
        if out.is_empty() {
            std::mem::swap(out, &mut self.output);
        } else {
            out.append(&mut self.output);
        }
    }

    /// When [`Connection::handle_timeout`] is to be called next; 0: at once.
    pub fn deadline(&self) -> Option<Millis> {
        if self.go_away == GoAwayState::Failed {
            return None;
        }
        let farewell = match self.go_away {
            GoAwayState::Announced(_) if self.is_quiet() => Some(0),
            GoAwayState::Announced(due) => Some(due),
            _ => None,
        };
        let block = self.block.as_ref().map(|block| block.due);
        let stall = self.first_stall.zip(self.local.stall_timeout_ms).map(|(since, limit)| since + limit);
        let silly_window = match self.silly_window {
            SillyWindow::Awaited(since) => Some(since + SILLY_WINDOW_MS),
            SillyWindow::Kept | SillyWindow::Free => None,
        };
        [self.acknowledgement.deadline(), farewell, block, stall, silly_window].into_iter().flatten().min()
    }

    /// Does what is due. To be called again until it gives no event.
    pub fn handle_timeout(&mut self, now: Millis) -> Option<Event> {
        if self.deadline().is_none_or(|due| now < due) {
            return None;
        }
        if self.acknowledgement.deadline().is_some_and(|due| due <= now) {
            return self.fail(Fault::SettingsTimedOut, None, now);
        }
        if self.block.as_ref().is_some_and(|block| block.due <= now) {
            return self.fail(Fault::Limit(Limit::SlowHeaderBlock), None, now);
        }
        if self.is_quiet() || matches!(self.go_away, GoAwayState::Announced(due) if due <= now) {
            self.finish_shutdown();
        }
        if matches!(self.silly_window, SillyWindow::Awaited(since) if since + SILLY_WINDOW_MS <= now) {
            self.silly_window = SillyWindow::Free;
            if self.send_window.available() > 0 {
                return Some(Event::WindowOpened { stream: None });
            }
        }
        self.end_stall(now)
    }

    /// The memory it holds beyond itself, in bytes.
    pub fn capacity(&self) -> usize {
        let tables = self.decoder.capacity() + self.encoder.capacity() + self.fields.capacity();
        let bytes = self.fragments.capacity() + self.cookies.capacity() + self.output.capacity();
        let long = self.block.as_ref().and_then(|block| block.long.as_ref());
        tables + bytes + self.streams.capacity() + long.map_or(0, |long| long.capacity())
    }

    /// Gives back the memory that an idle connection does not need. It goes on as before.
    pub fn release_memory(&mut self) {
        self.decoder.release();
        self.encoder.release();
        self.fields.release();
        self.cookies = Vec::new();
        self.fragments.shrink_to_fit();
        self.output.shrink_to_fit();
        self.streams.release();
    }

    /// Ends one stream that has been stalled for too long, or the connection if it is at fault.
    fn end_stall(&mut self, now: Millis) -> Option<Event> {
        let limit = self.local.stall_timeout_ms?;
        let since = |stream: &Stream| Some((stream.stalled_since()?, stream.id));
        self.first_stall = None;
        let (first, id) = self.streams.iter().filter_map(since).min()?;
        self.first_stall = Some(first);
        if first + limit > now {
            return None;
        }
        if self.is_shut() {
            return self.fail(Fault::Limit(Limit::StalledConnection), None, now);
        }
        self.fail(Fault::Stalled, Some(id), now)
    }

    /// Tells the peer of a fault and ends what it ends.
    fn fail(&mut self, fault: Fault, stream: Option<StreamId>, now: Millis) -> Option<Event> {
        let Some(id) = stream.filter(|_| fault.scope() == Scope::Stream) else {
            return self.fail_connection(fault);
        };
        // "A RST_STREAM frame MUST NOT be sent for a stream in the idle state" (RFC 9113 §6.4).
        if self.streams.status(id) == StreamStatus::Idle {
            return self.fail_connection(fault);
        }
        if let Err(flood) = self.spend_reset(id, now) {
            return self.fail_connection(flood);
        }
        rst_stream::write(&mut self.output, id, fault.code());
        self.streams.remember_reset(id);
        self.forget(id);
        self.stop_reading(id);
        self.spare_others(now);
        Some(Event::Reset { stream: id, cause: Cause::Fault(fault) })
    }

    fn fail_connection(&mut self, fault: Fault) -> Option<Event> {
        go_away::write(&mut self.output, self.streams.highest_of_peer(), fault.code());
        self.go_away = GoAwayState::Failed;
        Some(Event::Failed(fault))
    }

    /// A frame came on a stream that we had ended. To a server that is answered too late for its client, more of
    /// them come the more clients leave: that is our doing, and DATA is bounded by the windows.
    fn spend_late_frame(&mut self, now: Millis) -> Result<(), Fault> {
        if self.role == PeerRole::Client {
            return Ok(());
        }
        Ok(self.budgets.spend(Limit::UselessFrames, 1, now)?)
    }

    /// A client that makes streams end early, whoever ends them, makes us work for nothing; but not where the
    /// response is complete: then it cost no more than any other. A server only harms itself.
    fn spend_reset(&mut self, id: StreamId, now: Millis) -> Result<(), Fault> {
        let is_answered = self.streams.get(id).is_some_and(|stream| stream.sending == HalfState::Ended);
        if self.role == PeerRole::Client || is_answered {
            return Ok(());
        }
        Ok(self.budgets.spend(Limit::Resets, 1, now)?)
    }

    /// Asks a client that ends many streams early to reconnect, before its last ones are spent: what has been in
    /// flight for a while is innocent of that, and would be lost with the connection.
    fn spare_others(&mut self, now: Millis) {
        let is_wanted = self.role == PeerRole::Server && self.budgets.is_short_of_resets();
        // The numbers of streams grow, so the first is the oldest.
        let oldest = self.streams.iter().next().filter(|_| is_wanted).map(|stream| stream.opened);
        if oldest.is_some_and(|opened| now.saturating_sub(opened) >= INNOCENT_MS) {
            self.shut_down(now);
        }
    }

    /// Takes a stream that ended early out of the list. Its place stays taken until the work has ended.
    fn forget(&mut self, id: StreamId) {
        let removed = self.streams.remove(id);
        if removed.is_some_and(|stream| !stream.is_settled) && self.role == PeerRole::Server {
            self.lingering += 1;
        }
    }

    /// Whether an end was announced and nothing is in flight any more.
    fn is_quiet(&self) -> bool {
        matches!(self.go_away, GoAwayState::Announced(_)) && self.streams.len() == 0
    }

    fn finish_shutdown(&mut self) {
        if matches!(self.go_away, GoAwayState::NotYet | GoAwayState::Announced(_)) {
            let last = self.streams.highest_of_peer();
            go_away::write(&mut self.output, last, ErrorCode::NoError);
            self.go_away = GoAwayState::Final(last.map_or(0, StreamId::number));
        }
    }
}
