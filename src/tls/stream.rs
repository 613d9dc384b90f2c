//! A TLS connection over a socket, with the operations of a socket.
//!
//! ```text
//! receive: kernel ─▶ incoming (sealed) ─ open ─▶ the caller's buffer
//! send:    the caller's buffer ─ seal ─▶ a buffer of ours ─▶ kernel
//! ```
//!
//! While nothing is in motion, the stream holds no buffer: what remains is the state of the session and, of a
//! record that came in part, the bytes that came.

use std::cell::Cell;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use rustls::Error;

use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::buffer::HEADROOM_BYTES;
use crate::net::buffer::SMALL_BYTES;
use crate::net::buffer::TAILROOM_BYTES;
use crate::net::buffer::TINY_BYTES;
use crate::net::socket::Pending;
use crate::net::socket::SendError;
use crate::net::socket::Socket;
use crate::net::traffic::Traffic;
use crate::tls::framing::begins_with_record;
use crate::tls::framing::missing_bytes;
#[cfg(doc)]
use crate::tls::session::Opened;
use crate::tls::session::Session;

pub struct TlsStream {
    socket: Socket,
    buffers: Buffers,
    /// Never borrowed across an `await`.
    session: RefCell<Session>,
    /// Received bytes of a record that is not there in full, or of a message that is not.
    incoming: RefCell<Vec<u8>>,
    /// It is a message, in whole records; see [`Opened::held`].
    held: Cell<bool>,
    /// Opened bytes that nobody has asked for yet.
    early: RefCell<Option<Buffer>>,
    /// Sealed bytes that must leave before any others.
    outgoing: RefCell<Vec<u8>>,
    /// The peer's close_notify came.
    peer_closed: Cell<bool>,
    /// A record may be on its way in part: nothing else may be sent.
    sending: Cell<bool>,
    /// It is to end by a reset, and nothing may look like an orderly end before.
    is_cut: Cell<bool>,
}

impl TlsStream {
    pub(super) fn new(socket: Socket, session: Session, buffers: Buffers) -> TlsStream {
        TlsStream {
            socket,
            buffers,
            session: RefCell::new(session),
            incoming: RefCell::default(),
            held: Cell::new(false),
            early: RefCell::default(),
            outgoing: RefCell::default(),
            peer_closed: Cell::new(false),
            sending: Cell::new(false),
            is_cut: Cell::new(false),
        }
    }

    /// Waits, holding no buffer, until there is something to receive or the connection ended.
    pub async fn readable(&self) -> io::Result<()> {
        if self.is_silent() { self.socket.readable().await } else { Ok(()) }
    }

    /// Whether neither content nor the end is at hand.
    pub(super) fn is_silent(&self) -> bool {
        !self.has_early() && !self.peer_closed.get() && !self.has_failed()
    }

    /// Receives content behind the filled bytes of `buffer`, which grows if one record needs it. Zero
    /// bytes mean the peer's close_notify. An end without it is [`io::ErrorKind::UnexpectedEof`]: what
    /// came may have been cut short (RFC 8446 §6.1).
    pub async fn receive(&self, mut buffer: Buffer) -> (io::Result<usize>, Buffer) {
        let mut within_record = false;
        loop {
            if let Some(count) = self.take_early(&mut buffer) {
                return (Ok(count), buffer);
            }
            if self.peer_closed.get() {
                return (Ok(0), buffer);
            }
            if self.has_failed() {
                return (Err(io::ErrorKind::InvalidData.into()), buffer);
            }
            if within_record && self.socket.pending() == Pending::Nothing {
                // A peer that drips a record makes us hold no more than it sent.
                let _ = self.socket.readable().await;
            }
            let (received, sealed) = self.socket.receive(self.room_for_incoming(buffer.spare())).await;
            let result = match received {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.open(sealed, &mut buffer).map_err(io::Error::other),
                Err(error) => Err(error),
            };
            if !matches!(result, Ok(1..)) {
                // Nobody is about to send anything that would take this along.
                self.flush_now();
            }
            match result {
                Ok(0) if !self.peer_closed.get() => within_record = true,
                result => return (result, buffer),
            }
        }
    }

    /// Sends the filled bytes of `buffer` and returns them untouched, with what was sent of them if
    /// the connection broke; a part of a record counts as nothing.
    pub async fn send(&self, buffer: Buffer) -> (Result<(), SendError>, Buffer) {
        let mut sent = 0;
        while sent < buffer.len() {
            let Ok((sealed, count)) = self.seal(buffer.filled().get(sent..).unwrap_or_default()) else {
                return (Err(SendError { sent }), buffer);
            };
            self.sending.set(true);
            if let (Err(error), _) = self.socket.send(sealed).await {
                // Which records got through does not matter: only "nothing at all" allows to send again.
                return (Err(SendError { sent: sent + error.sent }), buffer);
            }
            self.sending.set(false);
            sent += count;
        }
        self.flush_now();
        (Ok(()), buffer)
    }

    /// Whether content, or the peer's end, can be had without waiting.
    pub fn pending(&self) -> Pending {
        if self.has_early() {
            return Pending::Bytes;
        }
        if self.peer_closed.get() || self.has_failed() {
            return Pending::End;
        }
        match self.socket.pending() {
            Pending::Bytes => self.look(),
            other => other,
        }
    }

    /// Sends close_notify and ends our side; receiving goes on.
    pub fn finish_sending(&self) {
        self.close();
        self.socket.finish_sending();
    }

    /// Lets the close reset the connection; no close_notify is sent any more.
    pub fn reset_on_close(&self) {
        self.is_cut.set(true);
        self.socket.reset_on_close();
    }

    /// Sends close_notify, as far as the kernel takes it at once.
    pub fn close(&self) {
        if self.is_cut.get() {
            return;
        }
        let mut incoming = self.incoming.borrow_mut();
        self.session.borrow_mut().close(&mut self.outgoing.borrow_mut(), self.held_bytes(&mut incoming));
        drop(incoming);
        self.flush_now();
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn count_in(&mut self, traffic: Option<Arc<Traffic>>) {
        self.socket.count_in(traffic);
    }

    pub(super) fn session(&self) -> &RefCell<Session> {
        &self.session
    }

    fn has_failed(&self) -> bool {
        self.session.borrow().has_failed()
    }

    /// Feeds received bytes to the handshake; content that came behind it is kept.
    pub(super) fn advance(&self, sealed: Buffer) -> Result<(), Error> {
        let mut content = self.early.take().unwrap_or_else(|| self.buffer_for_content(0));
        let opened = self.open(sealed, &mut content);
        if !content.is_empty() {
            *self.early.borrow_mut() = Some(content);
        }
        opened.map(drop)
    }

    /// What must be sent before the peer says more.
    pub(super) fn take_handshake_output(&self) -> Option<Buffer> {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.is_empty() {
            return None;
        }
        let mut buffer =
            if outgoing.len() <= SMALL_BYTES { self.buffers.small() } else { self.buffers.large() };
        buffer.tail().extend_from_slice(&outgoing);
        // Handshakes are rare on a connection, so its memory is not kept.
        *outgoing = Vec::new();
        Some(buffer)
    }

    /// Whether the peer has said that nothing more follows.
    pub(super) fn peer_has_closed(&self) -> bool {
        self.peer_closed.get()
    }

    pub(super) fn has_early(&self) -> bool {
        self.early.borrow().is_some()
    }

    /// A buffer for the next bytes of a handshake.
    pub(super) fn room_for_handshake(&self) -> Buffer {
        self.room_for_incoming(SMALL_BYTES)
    }

    /// A buffer for the next sealed bytes, beginning with those that came before.
    fn room_for_incoming(&self, wanted: usize) -> Buffer {
        let mut incoming = self.incoming.borrow_mut();
        let needed = incoming.len() + missing_bytes(&incoming);
        let mut buffer = match wanted.max(needed) {
            ..=TINY_BYTES => self.buffers.tiny(),
            ..=SMALL_BYTES if needed < SMALL_BYTES / 2 => self.buffers.small(),
            _ => self.buffers.large(),
        };
        buffer.tail().extend_from_slice(&incoming);
        if !self.held.get() {
            *incoming = Vec::new();
        }
        buffer
    }

    /// Opens what is complete in `sealed` and keeps the rest. Returns the bytes of content.
    fn open(&self, mut sealed: Buffer, content: &mut Buffer) -> Result<usize, Error> {
        if !sealed.is_empty() && !begins_with_record(sealed.filled()) {
            self.keep_incoming(&sealed);
            return Ok(0);
        }
        if content.is_empty() && content.spare() < sealed.len() {
            *content = self.buffer_for_content(sealed.len());
        }
        content.make_room(sealed.len());
        let before = content.len();
        let opened = {
            let mut session = self.session.borrow_mut();
            let outgoing = &mut self.outgoing.borrow_mut();
            session.open(sealed.filled_mut(), content.tail(), outgoing)
        };
        let opened = opened?;
        if opened.closed {
            self.peer_closed.set(true);
        }
        sealed.consume(opened.consumed);
        self.held.set(opened.held);
        self.keep_incoming(&sealed);
        Ok(content.len() - before)
    }

    /// Receives without waiting, and says what came.
    fn look(&self) -> Pending {
        let mut content = self.buffer_for_content(0);
        let mut sealed = self.room_for_incoming(content.spare());
        let opened = match self.socket.receive_now(&mut sealed) {
            Ok(Some(1..)) => self.open(sealed, &mut content),
            Ok(None) => {
                self.keep_incoming(&sealed);
                return Pending::Nothing;
            }
            Ok(Some(_)) | Err(_) => return Pending::End,
        };
        self.flush_now();
        match opened {
            Ok(0) if self.peer_closed.get() => Pending::End,
            Ok(0) => Pending::Nothing,
            Ok(_) => {
                *self.early.borrow_mut() = Some(content);
                Pending::Bytes
            }
            Err(_) => Pending::End,
        }
    }

    fn keep_incoming(&self, sealed: &Buffer) {
        let mut incoming = self.incoming.borrow_mut();
        if !sealed.is_empty() || !incoming.is_empty() {
            *incoming = sealed.filled().to_vec();
        }
    }

    /// What rustls must be shown when nothing new came.
    fn held_bytes<'i>(&self, incoming: &'i mut [u8]) -> &'i mut [u8] {
        if self.held.get() { incoming } else { &mut [] }
    }

    fn take_early(&self, buffer: &mut Buffer) -> Option<usize> {
        let early = self.early.take()?;
        let count = early.len();
        if buffer.is_empty() {
            *buffer = early;
        } else {
            buffer.make_room(count);
            buffer.tail().extend_from_slice(early.filled());
        }
        Some(count)
    }

    fn buffer_for_content(&self, bytes: usize) -> Buffer {
        let fits_small = bytes + HEADROOM_BYTES <= SMALL_BYTES;
        let mut buffer = if fits_small { self.buffers.small() } else { self.buffers.large() };
        buffer.clear_for_body();
        buffer
    }

    /// Seals as much of `content` as fits one buffer, behind what must leave first.
    fn seal(&self, content: &[u8]) -> Result<(Buffer, usize), Error> {
        let mut outgoing = self.outgoing.borrow_mut();
        let small = content.len() + outgoing.len() + TAILROOM_BYTES <= SMALL_BYTES;
        let mut sealed = if small { self.buffers.small() } else { self.buffers.large() };
        // Sealed bytes need no room for framing.
        sealed.clear();
        if !outgoing.is_empty() {
            sealed.tail().extend_from_slice(&outgoing);
            *outgoing = Vec::new();
        }
        let mut incoming = self.incoming.borrow_mut();
        let held = self.held_bytes(&mut incoming);
        let count = self.session.borrow_mut().seal(content, &mut sealed, held)?;
        Ok((sealed, count))
    }

    /// Sends what waits, as far as the kernel takes it at once; the rest leaves with the next send.
    ///
    fn flush_now(&self) {
        let mut outgoing = self.outgoing.borrow_mut();
        if !outgoing.is_empty() && !self.sending.get() {
            let waiting = outgoing.len();
            let sent = self.socket.send_now(&outgoing).unwrap_or(waiting);
            outgoing.drain(..sent.min(waiting));
        }
    }
}
