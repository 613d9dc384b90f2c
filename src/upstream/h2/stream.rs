//! One exchange on a connection that it shares with others.

use std::cell::Cell;
use std::cell::OnceCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::head::Version;
use crate::http::headers::Field;
use crate::http::headers::FieldLine;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::buffer::SMALL_BYTES;
use crate::net::timer::Deadline;
use crate::net::timer::Elapsed;
use crate::policy::websocket;
use crate::proto::field_lines;
use crate::proto::h2::connection::StreamGone;
use crate::proto::h2::stream::StreamId;
use crate::upstream::error::UpstreamError;
use crate::upstream::h2::TURN_BYTES;
use crate::upstream::h2::connection::SharedConnection;
use crate::upstream::h2::inbox::Inbox;
use crate::upstream::h2::request::Hop;
use crate::upstream::h2::request::RequestText;
use crate::upstream::h2::state::ConnectionState;
use crate::upstream::message::Piece;
use crate::upstream::message::ReadTimeout;
use crate::upstream::message::RequestParts;
use crate::upstream::message::ResponseFacts;

/// It has no use over HTTP/2 (RFC 8441 §5); what a backend says with it is no answer to the client's key.
const ACCEPT: &[u8] = b"Sec-WebSocket-Accept";

/// A stream on loan to one exchange. Dropping it gives its place to another; unless both messages ended by then,
/// the backend is told that the rest is not wanted.
pub struct Stream {
    shared: Rc<SharedConnection>,
    /// None before the request is sent.
    id: Cell<Option<StreamId>>,
    /// Taken only by `drop`.
    deadline: Option<Deadline>,
    is_grpc: bool,
    /// Set when the request asks for a tunnel.
    tunnel: OnceCell<Box<Tunnel>>,
}

struct Tunnel {
    /// What a client of HTTP/1.1 expects in the answer.
    accept: Option<websocket::Accept>,
}

impl Stream {
    pub(super) fn new(shared: Rc<SharedConnection>, is_grpc: bool) -> Stream {
        let deadline = Some(shared.deadline());
        shared.lend();
        Stream { shared, id: Cell::new(None), deadline, is_grpc, tunnel: OnceCell::new() }
    }

    /// Bounds the wait for the backend, whatever it is waited for; without a time it is not bounded.
    pub fn wait_at_most(&self, time: Option<Duration>) {
        match (&self.deadline, time) {
            (Some(deadline), Some(time)) => deadline.set(time),
            (Some(deadline), None) => deadline.clear(),
            (None, _) => {}
        }
    }

    /// Opens the stream with a request and sends what there is of its body.
    pub async fn send_request(
        &self,
        request: &RequestParts<'_>,
        timeout: Duration,
    ) -> Result<(), UpstreamError> {
        let content = request.content();
        let ends_with_head = request.has_no_content() && request.last.is_some_and(<[u8]>::is_empty);
        self.open(request, ends_with_head)?;
        if ends_with_head || content.is_empty() && request.last.is_none() {
            return Ok(());
        }
        match self.send_piece(content, request.last, timeout).await {
            // The response tells more than that the rest of the request is not read.
            Err(_) if self.has_answer() => Ok(()),
            outcome => outcome,
        }
    }

    /// Whether the backend takes the upgrade that the request with this head asks for: WebSocket is the one that HTTP/2
    /// has a counterpart of, an extended CONNECT, which has no content of its own.
    pub(in crate::upstream) fn can_carry(&self, head: &[u8], has_content: bool) -> bool {
        let is_websocket = RequestText::parse(head).is_some_and(|text| text.protocol.is_some());
        is_websocket && !has_content && self.shared.with(|state| state.codec.peer().connect_protocol)
    }

    fn open(&self, request: &RequestParts<'_>, end: bool) -> Result<(), UpstreamError> {
        let Some(text) = RequestText::parse(request.head()) else { return Err(UpstreamError::NothingSent) };
        let is_tls = self.shared.connection.transport.is_tls();
        let hop = Hop { scheme: if is_tls { b"https" } else { b"http" }, is_grpc: self.is_grpc };
        let end = end && text.protocol.is_none();
        let opened = self.shared.with(|state| {
            // An extended CONNECT has no content of its own; all that follows it is the tunnel's.
            let can_tunnel = request.has_no_content() && state.codec.peer().connect_protocol;
            if text.protocol.is_some() && !can_tunnel {
                return Err(UpstreamError::NoTunnels);
            }
            let opened = state.codec.open(text.fields(hop), end).map_err(|_| UpstreamError::Refused)?;
            state.insert(opened);
            Ok(opened)
        })?;
        self.id.set(Some(opened));
        self.shared.unlend();
        if text.protocol.is_some() {
            // No stream is opened twice.
            let _ = self.tunnel.set(Box::new(Tunnel { accept: text.key.map(websocket::accept) }));
        }
        Ok(())
    }

    /// Sends a piece of the request's body, for as long as the backend takes some of it every `timeout`; `last` ends it
    /// and gives the lines of the trailer section.
    pub async fn send_piece(
        &self,
        piece: &[u8],
        last: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<(), UpstreamError> {
        let (Some(id), Some(deadline)) = (self.id.get(), &self.deadline) else {
            return Err(UpstreamError::NothingSent);
        };
        deadline.set(timeout);
        let mut sent = 0;
        let is_tunnel = self.tunnel.get().is_some();
        let mut sending = pin!(poll_fn(|cx| {
            let now = self.shared.now();
            let sent_before = sent;
            let outcome = self.shared.with(|state| {
                let mut writing = Writing { id, state, now, is_tunnel };
                writing.poll(piece, &mut sent, last, cx)
            });
            if sent > sent_before {
                deadline.set(timeout);
            }
            outcome
        }));
        let outcome = loop {
            match deadline.guard(sending.as_mut()).await {
                Err(Elapsed) if self.waits_for_connection(id) && self.shared.extend(deadline, timeout) => {}
                outcome => break outcome,
            }
        };
        if !matches!(outcome, Ok(Ok(()))) {
            // A stream that sends no more keeps no other waiting.
            self.shared.with(|state| {
                state.leave_queue(id);
                state.call_queue();
            });
        }
        self.unless_elapsed(outcome)
    }

    /// Whether the backend would take more on this stream, if only the connection carried it.
    fn waits_for_connection(&self, id: StreamId) -> bool {
        self.shared.with(|state| state.codec.send_capacity(id) > 0)
    }

    /// Ends this side; receiving goes on.
    pub fn finish_sending(&self) {
        let Some(id) = self.id.get() else { return };
        let now = self.shared.now();
        // A stream that is gone has ended already.
        let _ = self.shared.with(|state| state.codec.send_content(id, &[], true, now));
    }

    /// Whether a response came that there is no use in sending more for.
    fn has_answer(&self) -> bool {
        self.inbox(|inbox| inbox.has_ended || inbox.failure.is_none() && inbox.has_begun).unwrap_or(false)
    }

    fn inbox<T>(&self, look: impl FnOnce(&mut Inbox) -> T) -> Option<T> {
        let id = self.id.get()?;
        self.shared.with(|state| state.stream(id).map(|stream| look(&mut stream.inbox)))
    }

    /// Waits until `take` finds something in the inbox, or nothing more comes.
    async fn receive<T>(
        &self,
        timeout: ReadTimeout,
        mut take: impl FnMut(&mut Inbox) -> Option<T>,
    ) -> Result<T, UpstreamError> {
        let (Some(id), Some(deadline)) = (self.id.get(), &self.deadline) else {
            return Err(UpstreamError::ClosedBeforeResponse);
        };
        timeout.begin(deadline);
        let receiving = poll_fn(|cx| {
            self.shared.with(|state| {
                let Some(stream) = state.stream(id) else {
                    return Poll::Ready(Err(UpstreamError::ClosedWithinResponse));
                };
                if let Some(taken) = take(&mut stream.inbox) {
                    return Poll::Ready(Ok(taken));
                }
                match stream.inbox.failure {
                    Some(error) => Poll::Ready(Err(error)),
                    None => state.wait(id, cx),
                }
            })
        });
        let outcome = deadline.guard(pin!(receiving)).await;
        self.unless_elapsed(outcome)
    }

    fn unless_elapsed<T>(
        &self,
        outcome: Result<Result<T, UpstreamError>, Elapsed>,
    ) -> Result<T, UpstreamError> {
        outcome.unwrap_or_else(|_elapsed| {
            self.shared.suspect();
            Err(UpstreamError::ResponseTimeout)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let deadline = self.deadline.take();
        match self.id.get() {
            Some(id) => self.shared.release(id, deadline),
            None => self.shared.give_back(),
        }
    }
}

/// A turn of a stream that has content to send.
struct Writing<'s> {
    id: StreamId,
    state: &'s mut ConnectionState,
    now: u64,
    is_tunnel: bool,
}

impl Writing<'_> {
    fn poll(
        &mut self,
        piece: &[u8],
        sent: &mut usize,
        last: Option<&[u8]>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), UpstreamError>> {
        loop {
            if let Some(error) = self.refusal() {
                return Poll::Ready(Err(error));
            }
            if !self.state.may_send(self.id) {
                return self.state.wait(self.id, cx);
            }
            let rest = piece.get(*sent..).unwrap_or_default();
            match self.send_some(rest, last) {
                Err(StreamGone) => return Poll::Ready(Err(UpstreamError::ClosedWithinResponse)),
                Ok(0) if !rest.is_empty() => return self.state.wait_for_window(self.id, cx),
                Ok(count) => *sent += count,
            }
            self.state.leave_queue(self.id);
            self.state.call_queue();
            if *sent == piece.len() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Why there is no use in sending more.
    fn refusal(&mut self) -> Option<UpstreamError> {
        let Some(stream) = self.state.stream(self.id) else {
            return Some(UpstreamError::ClosedWithinResponse);
        };
        let inbox = &stream.inbox;
        // The sides of a tunnel end apart.
        let is_useless = inbox.stopped_reading || inbox.has_ended && !self.is_tunnel;
        inbox.failure.or(is_useless.then_some(UpstreamError::ClosedWithinResponse))
    }

    /// Sends one turn's worth, and the end if that is all.
    fn send_some(&mut self, rest: &[u8], last: Option<&[u8]>) -> Result<usize, StreamGone> {
        let part = rest.get(..TURN_BYTES).unwrap_or(rest);
        let is_all = part.len() == rest.len();
        match last {
            Some(trailers) if is_all && !trailers.is_empty() => {
                let count = self.state.codec.send_content(self.id, part, false, self.now)?;
                if count == part.len() {
                    self.state.codec.send_trailers(self.id, field_lines::field_lines(trailers))?;
                }
                Ok(count)
            }
            _ => self.state.codec.send_content(self.id, part, is_all && last.is_some(), self.now),
        }
    }
}

/// Receives the response on a stream.
pub struct ResponseReader<'s> {
    stream: &'s Stream,
    /// Heads that came and were not handed on, as text.
    heads: Option<Buffer>,
    request_was_head: bool,
    is_finished: bool,
    trailers: Vec<u8>,
}

impl<'s> ResponseReader<'s> {
    pub fn new(stream: &'s Stream, request_was_head: bool) -> ResponseReader<'s> {
        ResponseReader { stream, heads: None, request_was_head, is_finished: false, trailers: Vec::new() }
    }

    /// Receives a response head and hands it to `take`. To be called again after an interim response.
    pub async fn head<T>(
        &mut self,
        timeout: ReadTimeout,
        mut take: impl FnMut(&mut ResponseHead<'_, '_>, &ResponseFacts<'_>) -> T,
    ) -> Result<T, UpstreamError> {
        if self.heads.is_none() {
            self.heads = Some(self.stream.receive(timeout, Inbox::take_heads).await?);
        }
        // There is one now.
        let mut heads = self.heads.take().ok_or(UpstreamError::ClosedBeforeResponse)?;
        let (taken, length) = self.read_head(heads.filled(), &mut take)?;
        heads.consume(length);
        self.heads = Some(heads).filter(|heads| !heads.is_empty());
        Ok(taken)
    }

    /// The first head of `text`, and its length.
    fn read_head<T>(
        &self,
        text: &[u8],
        take: &mut impl FnMut(&mut ResponseHead<'_, '_>, &ResponseFacts<'_>) -> T,
    ) -> Result<(T, usize), UpstreamError> {
        let cut = UpstreamError::ClosedWithinResponse;
        let (line, fields) = field_lines::split_line(text).ok_or(cut)?;
        let digits = line.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let status: u16 = digits.and_then(|digits| digits.parse().ok()).ok_or(cut)?;
        let mut headers = Headers::new();
        let tunnel = self.stream.tunnel.get().filter(|_| (200..300).contains(&status));
        let accept = tunnel.and_then(|tunnel| tunnel.accept.as_ref());
        for FieldLine { name, value, is_sensitive } in field_lines::field_lines(fields) {
            if accept.is_some() && name.eq_ignore_ascii_case(ACCEPT) {
                continue;
            }
            // The codec allows no more than fit.
            let _ = headers.push(Field { is_sensitive, ..Field::new(name, value) });
        }
        let end = text.windows(4).position(|part| part == b"\r\n\r\n").ok_or(cut)? + 4;
        let facts = ResponseFacts {
            is_to_head: self.request_was_head,
            length: self.length(status, &headers),
            upgrade: tunnel.map(|_| &b"websocket"[..]),
        };
        if let Some(accept) = accept {
            let _ = headers.push(Field::new(ACCEPT, accept));
        }
        // What says yes to an extended CONNECT, as every version says it to an exchange (RFC 8441 §5).
        let status = if tunnel.is_some() { 101 } else { status };
        let mut head = ResponseHead { status, reason: b"", version: Version::Http2, headers: &mut headers };
        Ok((take(&mut head, &facts), end))
    }

    fn length(&self, status: u16, headers: &Headers<'_>) -> BodyLength {
        if self.request_was_head || matches!(status, 100..=199 | 204 | 304) {
            return BodyLength::Empty;
        }
        let declared = headers.find(KnownName::ContentLength);
        let declared = declared.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
        let is_bodiless = |inbox: &mut Inbox| inbox.is_bodiless;
        match declared {
            Some(length) => BodyLength::Exact(length),
            None if self.stream.inbox(is_bodiless) == Some(true) => BodyLength::Exact(0),
            None => BodyLength::Unknown,
        }
    }

    /// Receives the next piece of the body, not much more than there is `room` for; to be called until it is
    /// finished.
    pub async fn body(
        &mut self,
        buffers: &Buffers,
        timeout: ReadTimeout,
        room: usize,
    ) -> Result<Piece, UpstreamError> {
        let take = |inbox: &mut Inbox| {
            let bytes = inbox.take_content(room.max(SMALL_BYTES), buffers);
            let finished = inbox.has_ended && !inbox.has_content();
            (bytes.is_some() || finished).then_some(Piece { bytes, finished })
        };
        let piece = self.stream.receive(timeout, take).await?;
        if let (Some(bytes), Some(id)) = (&piece.bytes, self.stream.id.get()) {
            // Its place in the window is free: the exchange takes no further piece before it has sent this.
            self.stream.shared.with(|state| state.release(id, bytes.len() as u32));
        }
        if piece.finished {
            self.is_finished = true;
            self.trailers = self.stream.inbox(Inbox::take_trailers).unwrap_or_default();
        }
        Ok(piece)
    }

    /// Trailer lines after the body, each with its line end; empty without trailers.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Whether more of the response, or its end, can be had without waiting for the backend.
    pub fn has_more(&self) -> bool {
        let came = |inbox: &mut Inbox| inbox.has_content() || inbox.has_ended || inbox.failure.is_some();
        self.is_finished || self.stream.inbox(came).unwrap_or(true)
    }
}
