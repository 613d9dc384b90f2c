//! A response on its way out on an HTTP/1.1 connection.

use std::time::Duration;

use crate::downstream::connection::Connection;
use crate::downstream::connection::NextStep;
use crate::downstream::pacer::Pacer;
use crate::downstream::reply_state::ReplyState;
use crate::exchange::message::Origin;
use crate::exchange::stream;
use crate::exchange::stream::ReplyError;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::KnownName;
use crate::net::buffer::Buffer;
use crate::proto::field_lines;
use crate::proto::h1::chunked;
use crate::proto::h1::chunked::ChunkHeader;
use crate::proto::h1::head;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::PacedRequest;
use crate::worker::Worker;

/// What of a request decides how its response is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTraits {
    pub(super) http10: bool,
    pub(super) is_head: bool,
    /// The client keeps the connection open.
    pub(super) wants_more: bool,
    /// And so do we, unless the worker drains meanwhile.
    pub(super) may_have_more: bool,
    pub(super) head_bytes: usize,
}

impl RequestTraits {
    pub(super) fn of_refused(received: usize) -> RequestTraits {
        RequestTraits {
            http10: false,
            is_head: false,
            wants_more: true,
            may_have_more: false,
            head_bytes: received,
        }
    }
}

/// How the content is delimited for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    /// There is none to send, whatever the backend says.
    NoContent,
    /// The length was announced.
    Length,
    Chunks,
    /// The end of the connection, or of our half of a tunnel.
    Close,
}

pub(super) struct Reply<'c> {
    connection: &'c Connection,
    worker: &'c Worker,
    listener: &'c Listener,
    terms: &'c HttpListener,
    /// Between two writes.
    timeout: &'c Duration,
    pacer: Pacer,
    request: RequestTraits,
    state: ReplyState,
    delimiter: Delimiter,
    /// The connection ends with this response.
    close: bool,
    /// A 101 was written; what follows is no HTTP.
    tunnel: bool,
    /// A head that waits for the first piece of content, to be sent with it.
    output: Option<Buffer>,
    content_bytes: u64,
    sent_bytes: u64,
}

impl<'c> Reply<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        worker: &'c Worker,
        (request, timeout): (RequestTraits, &'c Duration),
        paced: Option<PacedRequest>,
        origin: &Origin<'c>,
    ) -> Reply<'c> {
        Reply {
            connection,
            worker,
            listener: origin.listener,
            terms: origin.http,
            timeout,
            pacer: Pacer::new(paced),
            request,
            state: ReplyState::Unstarted,
            delimiter: Delimiter::NoContent,
            close: false,
            tunnel: false,
            output: None,
            content_bytes: 0,
            sent_bytes: 0,
        }
    }

    pub(super) fn head_bytes(&self) -> u64 {
        self.request.head_bytes as u64
    }

    /// Whether another request may follow; if not, how the connection ends.
    pub(super) fn end(&self, request_is_read: bool) -> Result<(), NextStep> {
        match self.state {
            ReplyState::Finished if !self.close && request_is_read => Ok(()),
            ReplyState::Finished if self.request.wants_more || !request_is_read => Err(NextStep::Linger),
            ReplyState::Finished => Err(NextStep::Close),
            ReplyState::Started if self.delimiter == Delimiter::Close => {
                // An orderly end would look like the end of the content.
                self.connection.transport.reset_on_close();
                Err(NextStep::Abort)
            }
            ReplyState::Unstarted | ReplyState::Started | ReplyState::Broken => Err(NextStep::Abort),
        }
    }

    /// Chooses the delimiter for content of this length (RFC 9112 §6).
    fn delimit(&mut self, status: u16, facts: &StartFacts<'_>) {
        self.delimiter = match facts.length {
            _ if status == 101 => Delimiter::Close,
            _ if self.request.is_head || matches!(status, 204 | 304) => Delimiter::NoContent,
            BodyLength::Empty | BodyLength::Exact(_) => Delimiter::Length,
            BodyLength::Unknown if self.request.http10 => Delimiter::Close,
            BodyLength::Unknown => Delimiter::Chunks,
        };
        self.close = facts.close
            || !self.request.may_have_more
            || self.worker.is_draining()
            || self.listener.is_leaving()
            || self.delimiter == Delimiter::Close;
    }

    fn write_framing(&self, status: u16, out: &mut Vec<u8>, facts: &StartFacts<'_>) {
        match (self.delimiter, facts.length) {
            (Delimiter::Length, BodyLength::Exact(bytes)) => field_lines::write_content_length(out, bytes),
            (Delimiter::Length, _) => field_lines::write_content_length(out, 0),
            (Delimiter::Chunks, _) => field_lines::write_field(out, b"Transfer-Encoding", b"chunked"),
            _ => {}
        }
        if let Some(protocols) = facts.upgrade {
            field_lines::write_field(out, b"Connection", b"upgrade");
            field_lines::write_field(out, b"Upgrade", protocols);
        }
        if status == 101 {
            // What ends the connection is up to the protocol that begins now.
        } else if self.close {
            field_lines::write_field(out, b"Connection", b"close");
        } else if self.request.http10 {
            field_lines::write_field(out, b"Connection", b"keep-alive");
        }
        field_lines::write_end(out);
    }

    /// Frames content in place.
    fn frame(&self, piece: &mut Buffer, last: Option<&[u8]>) {
        if self.delimiter != Delimiter::Chunks {
            return;
        }
        if !piece.is_empty() {
            piece.wrap(ChunkHeader::new(piece.len()).as_bytes(), chunked::CHUNK_END);
        }
        if let Some(trailers) = last {
            chunked::write_last_chunk(piece.tail(), trailers);
        }
    }

    async fn flush(&mut self, bytes: Buffer) -> Result<(), ReplyError> {
        let Connection { transport, deadline, is_sending, .. } = self.connection;
        self.sent_bytes += bytes.len() as u64;
        is_sending.set(true);
        let sent = transport.send_within(bytes, deadline, *self.timeout).await;
        is_sending.set(false);
        let result = match sent {
            Ok((Ok(()), _)) => {
                if self.tunnel {
                    // Both directions share the deadline, and a client may be silent in a tunnel.
                    self.connection.deadline.clear();
                }
                return Ok(());
            }
            Ok((Err(_), _)) => ReplyError::Gone,
            Err(_) => ReplyError::TimedOut,
        };
        self.state = ReplyState::Broken;
        Err(result)
    }
}

impl stream::Reply for Reply<'_> {
    fn is_started(&self) -> bool {
        self.state.is_started()
    }

    fn can_delimit(&self) -> bool {
        !self.request.http10
    }

    fn room(&self) -> usize {
        // What was sent before has left.
        self.pacer.room(usize::MAX, self.terms)
    }

    fn retract(&mut self) -> bool {
        // A head leaves with the first send after it, and that takes the output away.
        let is_unsent = self.state.retract(self.output.is_some());
        if is_unsent {
            self.output = None;
            self.tunnel = false;
        }
        is_unsent
    }

    fn can_end_with_trailers(&self) -> bool {
        // A chunk that was sent in part cannot be ended.
        self.state == ReplyState::Started
            && self.delimiter == Delimiter::Chunks
            && !self.connection.is_sending.get()
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) -> bool {
        // RFC 9110 §15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
        if self.request.http10 || !self.terms.early_hints.passes(head.status, false) {
            return false;
        }
        let mut output = self.output.take().unwrap_or_else(|| self.worker.buffers.small());
        let out = output.tail();
        head::write_status_line(out, head.status, head.reason);
        for field in head.headers.iter().filter(|field| field.known != KnownName::ContentLength) {
            field_lines::write_field(out, field.name, field.value);
        }
        field_lines::write_end(out);
        self.output = Some(output);
        true
    }

    fn start(&mut self, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>) {
        self.state = ReplyState::Started;
        // A 426 only names protocols.
        self.tunnel = head.status == 101;
        self.delimit(head.status, facts);
        let mut output = self.output.take().unwrap_or_else(|| self.worker.buffers.small());
        let out = output.tail();
        head::write_status_line(out, head.status, head.reason);
        // Where no content follows, the field only tells what would (RFC 9110 §8.6).
        let length_passes = self.delimiter == Delimiter::NoContent && head.status != 204;
        for field in head.headers.iter() {
            if field.known != KnownName::ContentLength || length_passes {
                field_lines::write_field(out, field.name, facts.value_of(field));
            }
        }
        for (name, value) in facts.added {
            field_lines::write_field(out, name, value);
        }
        self.write_framing(head.status, out, facts);
        self.output = Some(output);
    }

    async fn send(&mut self, piece: Option<Buffer>, last: Option<&[u8]>) -> Result<(), ReplyError> {
        let mut piece = piece.filter(|_| self.delimiter != Delimiter::NoContent);
        if let Some(piece) = &piece {
            self.content_bytes += piece.len() as u64;
            self.pacer.count((piece.len(), Direction::Down), self.terms, self.worker);
            if let Some(turn) = self.pacer.wait(self.worker) {
                turn.await;
            }
        }
        match &mut piece {
            Some(piece) => self.frame(piece, last),
            None if last.is_some() && self.delimiter == Delimiter::Chunks => {
                let mut end = self.output.take().unwrap_or_else(|| self.worker.buffers.small());
                chunked::write_last_chunk(end.tail(), last.unwrap_or_default());
                piece = Some(end);
            }
            None => {}
        }
        let joined = match (self.output.take(), piece) {
            (Some(mut head), Some(piece)) if piece.len() <= head.spare() => {
                head.tail().extend_from_slice(piece.filled());
                Some(head)
            }
            (Some(head), Some(piece)) => {
                self.flush(head).await?;
                Some(piece)
            }
            (head, piece) => head.or(piece),
        };
        if let Some(bytes) = joined {
            self.flush(bytes).await?;
        }
        if last.is_some() {
            self.state = ReplyState::Finished;
            if self.delimiter == Delimiter::Close {
                self.connection.transport.finish_sending();
                // After the end of our half, a tunnel's client may not keep its half open for ever.
                self.connection.deadline.set(*self.timeout);
            }
        }
        Ok(())
    }

    fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}
