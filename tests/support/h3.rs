//! A client of HTTP/3 on a connection of the kit.
//!
//! Every frame that comes is seen and any bytes can be sent on any stream. What comes is judged: frames, fields and
//! streams that the server broke are errors. Nothing here is shared with Ringway's own HTTP/3.

use super::clock::PATIENCE;
use super::h2_stream::Message;
use super::h3_control::ServerStreams;
use super::h3_frames::{CONTROL, DATA, HEADERS, QPACK_DECODER, QPACK_ENCODER, frame, settings, varint};
use super::h3_qpack::encode_section;
use super::h3_stream::{H3Frame, H3Stream, broken};
use super::quic::{Closed, End, Quic, QuicOptions};
use quinn_proto::Dir;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// How a client begins.
#[derive(Clone, Default)]
pub(crate) struct Http3Options {
    pub(crate) quic: QuicOptions,
    /// Identifiers and values of SETTINGS.
    pub(crate) settings: Vec<(u64, u64)>,
    /// Opens no stream: what is to be said at first, the test says.
    pub(crate) is_bare: bool,
}

/// One connection.
pub(crate) struct Http3 {
    pub(crate) quic: Quic,
    streams: BTreeMap<u64, H3Stream>,
    server: ServerStreams,
    /// Streams of which something came while they were held.
    unread: BTreeSet<u64>,
    /// How much of what happened was looked at.
    changes: u64,
    /// The control stream of this client.
    pub(crate) control: u64,
    /// The frames received so far, DATA without its payload.
    pub(crate) seen: Vec<H3Frame>,
}

impl Http3 {
    /// Connects and says what clients say at first. Fails when the handshake does.
    pub(crate) fn with(address: SocketAddr, options: &Http3Options) -> io::Result<Http3> {
        let mut client = Http3 {
            quic: Quic::connect(address, &options.quic)?,
            streams: BTreeMap::new(),
            server: ServerStreams::default(),
            unread: BTreeSet::new(),
            changes: 0,
            control: 0,
            seen: Vec::new(),
        };
        if !options.is_bare {
            client.control = client.open_unidirectional(CONTROL)?;
            client.send(client.control, &settings(&options.settings))?;
            client.open_unidirectional(QPACK_ENCODER)?;
            client.open_unidirectional(QPACK_DECODER)?;
        }
        Ok(client)
    }

    /// Opens a stream in one direction that begins with this type.
    pub(crate) fn open_unidirectional(&mut self, kind: u64) -> io::Result<u64> {
        let stream = self.quic.open(Dir::Uni)?;
        self.send(stream, &varint(kind))?;
        Ok(stream)
    }

    /// Opens a stream for a request, once the server allows one more.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.try_next_id().expect("one more stream may be opened")
    }

    pub(crate) fn try_next_id(&mut self) -> io::Result<u64> {
        let stream = self.quic.open(Dir::Bi)?;
        self.streams.insert(stream, H3Stream::default());
        Ok(stream)
    }

    /// The same if it may be at present.
    pub(crate) fn next_id_at_once(&mut self) -> Option<u64> {
        let stream = self.quic.try_open(Dir::Bi)?;
        self.streams.insert(stream, H3Stream::default());
        Some(stream)
    }

    /// Sends bytes on a stream as they are, and waits where windows are closed.
    pub(crate) fn send(&mut self, stream: u64, bytes: &[u8]) -> io::Result<()> {
        self.send_and_end(stream, bytes, false)
    }

    /// The same, with the end of the stream behind the last of them.
    fn send_and_end(&mut self, stream: u64, bytes: &[u8], ends: bool) -> io::Result<()> {
        let mut rest = bytes;
        loop {
            let known = self.quic.changes();
            rest = &rest[self.quic.write(stream, rest, ends)?..];
            if rest.is_empty() {
                return Ok(());
            }
            self.take_all()?;
            if !self.quic.wait_for_change(known, PATIENCE) {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// Ends our side of a stream.
    pub(crate) fn finish(&mut self, stream: u64) -> io::Result<()> {
        self.quic.finish(stream)
    }

    /// Sends fields in one section.
    pub(crate) fn send_fields(&mut self, stream: u64, fields: &[(&str, &str)], ends: bool) -> io::Result<()> {
        self.send_and_end(stream, &frame(HEADERS, &encode_section(fields)), ends)
    }

    /// Sends content in one frame. Fails once the server wants nothing more of it.
    pub(crate) fn send_content(&mut self, stream: u64, content: &[u8], ends: bool) -> io::Result<()> {
        match (content, ends) {
            ([], true) => self.finish(stream),
            ([], false) => Ok(()),
            _ => self.send_and_end(stream, &frame(DATA, content), ends),
        }
    }

    /// Sends as much of a frame of content as goes at present, and says how much of it that was. What is left of the
    /// frame must go before anything else on this stream.
    pub(crate) fn try_send(&mut self, stream: u64, bytes: &[u8]) -> io::Result<usize> {
        self.quic.write(stream, bytes, false)
    }

    /// Sends RESET_STREAM: what was sent on the stream is void.
    pub(crate) fn reset(&mut self, stream: u64, code: u64) -> io::Result<()> {
        self.quic.reset(stream, code)
    }

    /// Sends STOP_SENDING: what comes on the stream is not wanted.
    pub(crate) fn stop(&mut self, stream: u64, code: u64) -> io::Result<()> {
        self.quic.stop(stream, code)
    }

    /// Reads nothing of this stream, so that its window stays as it is.
    pub(crate) fn hold(&mut self, stream: u64) {
        self.stream_of(stream).is_held = true;
    }

    /// Reads this stream again.
    pub(crate) fn release(&mut self, stream: u64) {
        self.stream_of(stream).is_held = false;
    }

    /// Reads so much of a held stream.
    pub(crate) fn read_some(&mut self, stream: u64, limit: usize) -> io::Result<()> {
        self.read_stream(stream, limit)
    }

    /// What came on a stream so far.
    pub(crate) fn stream(&self, stream: u64) -> &H3Stream {
        self.streams.get(&stream).expect("the stream was opened")
    }

    /// The bytes that came on a stream since they were last taken.
    pub(crate) fn take_content(&mut self, stream: u64) -> Vec<u8> {
        std::mem::take(&mut self.stream_of(stream).body)
    }

    /// The next interim head that came on a stream.
    pub(crate) fn take_interim(&mut self, stream: u64) -> Option<Vec<(String, String)>> {
        let interim = &mut self.stream_of(stream).interim;
        if interim.is_empty() { None } else { Some(interim.remove(0)) }
    }

    /// The server's settings, once they came.
    pub(crate) fn settings(&self) -> Option<&BTreeMap<u64, u64>> {
        self.server.settings()
    }

    /// The id of the server's last GOAWAY: requests from there on are not served.
    pub(crate) fn go_away(&self) -> Option<u64> {
        self.server.go_away()
    }

    /// Receives until `found` gives something; `None` when the server closes the connection without an error.
    pub(crate) fn receive_until<T>(
        &mut self,
        mut found: impl FnMut(&mut Http3) -> Option<T>,
    ) -> io::Result<Option<T>> {
        loop {
            let closed = self.quic.is_closed();
            self.changes = self.quic.changes();
            self.take_all()?;
            if let Some(found) = found(self) {
                return Ok(Some(found));
            }
            if let Some(closed) = closed {
                return end_of(closed);
            }
            if !self.quic.wait_for_change(self.changes, PATIENCE) {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// Receives for that long. Fails when the server breaks the rules or has closed the connection.
    pub(crate) fn receive_within(&mut self, duration: Duration) -> io::Result<()> {
        let end = super::clock::now() + duration;
        loop {
            self.changes = self.quic.changes();
            self.take_all()?;
            if let Some(closed) = self.quic.is_closed() {
                return Err(io::Error::new(ErrorKind::ConnectionAborted, format!("{closed:?}")));
            }
            let left = end.saturating_duration_since(super::clock::now());
            if left.is_zero() || !self.quic.wait_for_change(self.changes, left) {
                return Ok(());
            }
        }
    }

    /// Waits for the end of a response and judges it: the final head, the content, the trailers.
    pub(crate) fn message(&mut self, stream: u64) -> io::Result<Message> {
        self.receive_until(|client| {
            let its = client.stream(stream);
            (its.ended || its.reset.is_some()).then_some(())
        })?;
        let its = self.stream(stream);
        match its.reset {
            _ if its.ended => its.message(),
            Some(code) => {
                Err(io::Error::new(ErrorKind::ConnectionReset, format!("reset with code {code:#x}")))
            }
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads all that came on streams that are not held.
    fn take_all(&mut self) -> io::Result<()> {
        for (stream, code) in self.quic.take_stopped() {
            if let Some(its) = self.streams.get_mut(&stream) {
                its.stopped = Some(code);
            }
        }
        self.unread.extend(self.quic.take_readable());
        for stream in self.unread.clone() {
            let is_held = self.streams.get(&stream).is_some_and(|its| its.is_held);
            if !is_held {
                self.unread.remove(&stream);
                self.read_stream(stream, usize::MAX)?;
            }
        }
        Ok(())
    }

    fn read_stream(&mut self, stream: u64, limit: usize) -> io::Result<()> {
        let read = self.quic.read(stream, limit);
        let Some(its) = self.streams.get_mut(&stream) else {
            let frames = self.server.take(stream, &read.bytes, read.end)?;
            self.seen.extend(frames);
            return Ok(());
        };
        self.seen.extend(its.take(stream, &read.bytes)?);
        match read.end {
            Some(End::Finished) => its.end(),
            Some(End::Reset(code)) => {
                its.reset = Some(code);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn stream_of(&mut self, stream: u64) -> &mut H3Stream {
        self.streams.get_mut(&stream).expect("the stream was opened")
    }
}

/// What the end of a connection means for a test that waits for something else.
fn end_of<T>(closed: Closed) -> io::Result<Option<T>> {
    match closed {
        Closed::Application { code: super::h3_frames::H3_NO_ERROR, .. } => Ok(None),
        Closed::Broken(what) => Err(broken(&what)),
        closed => Err(io::Error::new(ErrorKind::ConnectionAborted, format!("{closed:?}"))),
    }
}
