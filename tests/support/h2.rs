//! HTTP/2 on a connection of the kit, in either role.
//!
//! Every frame that comes is seen, any bytes can be sent, and what a well-behaved peer does by itself (to
//! acknowledge, to open windows) can be left undone. What comes is judged: frames, header compression and
//! windows that the peer broke are errors.

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use super::h2_stream::{Message, Stream};
use super::wire::Wire;
use ringway::proto::fields::list::{FieldLimits, Fields};
use ringway::proto::h2::hpack::decoder::{Decoded, Decoder};
use ringway::proto::h2::hpack::encoder::Encoder;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One received frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What an end answers by itself; all of it, unless a test plays a peer that does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AutoReplies {
    pub(crate) acknowledges_settings: bool,
    pub(crate) answers_pings: bool,
    /// Gives the connection's window back for what was received.
    pub(crate) opens_connection: bool,
    /// Gives a stream's window back; [`Http2::hold`] makes an exception for one stream.
    pub(crate) opens_streams: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Client,
    Server,
}

/// One end of a connection.
pub(crate) struct Http2 {
    role: Role,
    input: Box<dyn Read + Send>,
    wire: Wire,
    /// Received, and not yet a whole frame.
    ahead: Vec<u8>,
    encoder: Encoder,
    decoder: Decoder,
    /// Of a header block whose end has not come: its stream, whether it ends it, its fragments.
    block: Option<(u32, bool, Vec<u8>)>,
    streams: BTreeMap<u32, Stream>,
    next_stream: u32,
    /// Streams that the client opened and [`Http2::next_request`] has not told.
    fresh: VecDeque<u32>,
    /// How many streams the client opened, for who counts requests.
    requests: Arc<AtomicUsize>,
    /// What may be sent on the connection, and what may come.
    window: i64,
    receive_window: i64,
    unreleased: u32,
    own_stream_window: i64,
    pub(crate) auto_replies: AutoReplies,
    /// The peer's settings.
    pub(crate) settings: BTreeMap<u16, u32>,
    /// The frames received so far, DATA without its payload.
    pub(crate) seen: Vec<Frame>,
    /// Names of the fields that came as never to be indexed, over and over.
    pub(crate) sensitive: Vec<String>,
    /// Last stream and code of the last GOAWAY.
    pub(crate) go_away: Option<(u32, u32)>,
}

pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

const DEFAULT_WINDOW: u32 = 65_535;
const MAX_FRAME_BYTES: usize = 16_384;
/// A window is given back in pieces of at least so much.
const RELEASE_BYTES: u32 = 16_384;
const NO_LIMITS: FieldLimits = FieldLimits { max_bytes: 1 << 24, max_fields: 1 << 16 };

impl Http2 {
    /// Begins as a client or a server that has these settings.
    pub(crate) fn begin(
        role: Role,
        wire: Wire,
        input: Box<dyn Read + Send>,
        settings: &[(u16, u32)],
    ) -> io::Result<Http2> {
        let own_window = settings.iter().rfind(|(identifier, _)| *identifier == INITIAL_WINDOW_SIZE);
        let mut end = Http2 {
            role,
            input,
            wire,
            ahead: Vec::new(),
            encoder: Encoder::new(4096),
            decoder: Decoder::new(),
            block: None,
            streams: BTreeMap::new(),
            next_stream: 1,
            fresh: VecDeque::new(),
            requests: Arc::default(),
            window: i64::from(DEFAULT_WINDOW),
            receive_window: i64::from(DEFAULT_WINDOW),
            unreleased: 0,
            own_stream_window: i64::from(own_window.map_or(DEFAULT_WINDOW, |(_, value)| *value)),
            auto_replies: AutoReplies {
                acknowledges_settings: true,
                answers_pings: true,
                opens_connection: true,
                opens_streams: true,
            },
            settings: BTreeMap::new(),
            seen: Vec::new(),
            sensitive: Vec::new(),
            go_away: None,
        };
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend(identifier.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let preface: &[u8] = if role == Role::Client { super::h2_client::PREFACE } else { b"" };
        end.send(&[preface, &frame(SETTINGS, 0, 0, &payload)].concat())?;
        Ok(end)
    }

    pub(crate) fn counting(mut self, requests: Arc<AtomicUsize>) -> Http2 {
        self.requests = requests;
        self
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)
    }

    /// Sends fields in one header block, in as many frames as it takes.
    pub(crate) fn send_fields(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) -> io::Result<()> {
        let block = self.encode(fields);
        self.stream_of(stream);
        let (first, rest) = block.split_at(block.len().min(MAX_FRAME_BYTES));
        let mut kind = HEADERS;
        let mut flags = if ends { END_STREAM } else { 0 };
        let mut bytes = Vec::new();
        let mut pieces = std::iter::once(first).chain(rest.chunks(MAX_FRAME_BYTES)).peekable();
        while let Some(piece) = pieces.next() {
            flags |= if pieces.peek().is_none() { END_HEADERS } else { 0 };
            bytes.extend(frame(kind, flags, stream, piece));
            (kind, flags) = (CONTINUATION, 0);
        }
        self.send(&bytes)
    }

    /// The header block of these fields, which must be sent before the next.
    pub(crate) fn encode(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut block = self.encoder.block(&mut out);
        for (name, value) in fields {
            block.field(name.as_bytes(), value.as_bytes());
        }
        out
    }

    /// Sends content as far as windows allow, and waits for them to open. Fails once the stream is reset.
    pub(crate) fn send_content(&mut self, stream: u32, content: &[u8], ends: bool) -> io::Result<()> {
        let mut rest = content;
        loop {
            let sent = self.try_send_content(stream, rest, ends)?;
            rest = &rest[sent..];
            if rest.is_empty() {
                return Ok(());
            }
            if self.receive()?.is_none() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends what the windows allow at present and says how much that was.
    pub(crate) fn try_send_content(&mut self, stream: u32, content: &[u8], ends: bool) -> io::Result<usize> {
        let mut sent = 0;
        loop {
            if let Some(code) = self.stream_of(stream).reset {
                return Err(io::Error::new(ErrorKind::ConnectionReset, format!("reset with code {code}")));
            }
            let rest = &content[sent..];
            let room = self.window.min(self.stream_of(stream).window).clamp(0, MAX_FRAME_BYTES as i64);
            if (room == 0 && !rest.is_empty()) || (rest.is_empty() && !(ends && content.is_empty())) {
                return Ok(sent);
            }
            let piece = &rest[..rest.len().min(room as usize)];
            let is_last = piece.len() == rest.len();
            let flags = if ends && is_last { END_STREAM } else { 0 };
            self.send(&frame(DATA, flags, stream, piece))?;
            self.window -= piece.len() as i64;
            self.stream_of(stream).window -= piece.len() as i64;
            sent += piece.len();
            if is_last {
                return Ok(sent);
            }
        }
    }

    pub(crate) fn reset(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.send(&frame(RST_STREAM, 0, stream, &code.to_be_bytes()))
    }

    /// Says that streams above `last` are not served.
    pub(crate) fn send_go_away(&mut self, last: u32, code: u32) -> io::Result<()> {
        self.send(&frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()))
    }

    /// Opens the window of a stream, or of the connection with stream 0.
    pub(crate) fn open_window(&mut self, stream: u32, bytes: u32) -> io::Result<()> {
        match stream {
            0 => self.receive_window += i64::from(bytes),
            stream => self.stream_of(stream).receive_window += i64::from(bytes),
        }
        self.send(&super::frames::window_update(stream, bytes))
    }

    /// Gives nothing back of what comes on this stream.
    pub(crate) fn hold(&mut self, stream: u32) {
        self.stream_of(stream).is_held = true;
    }

    /// What came on a stream so far.
    pub(crate) fn stream(&self, stream: u32) -> &Stream {
        self.streams.get(&stream).expect("the stream was opened")
    }

    /// The bytes that came on a stream since they were last taken.
    pub(crate) fn take_content(&mut self, stream: u32) -> Vec<u8> {
        std::mem::take(&mut self.stream_of(stream).body)
    }

    /// The next interim head that came on a stream.
    pub(crate) fn take_interim(&mut self, stream: u32) -> Option<Vec<(String, String)>> {
        let interim = &mut self.stream_of(stream).interim;
        if interim.is_empty() { None } else { Some(interim.remove(0)) }
    }

    /// Opens a stream of ours.
    pub(crate) fn next_id(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.stream_of(stream);
        stream
    }

    /// Goes on with streams of these numbers.
    pub(crate) fn stream_number(&mut self, next: u32) {
        self.next_stream = next;
    }

    /// Waits until a client opens a stream; `None` when it has closed the connection.
    pub(crate) fn next_request(&mut self) -> io::Result<Option<u32>> {
        self.receive_until(|end| end.fresh.pop_front())
    }

    /// The streams that the client opened and nobody was told of.
    pub(crate) fn take_new_streams(&mut self) -> Vec<u32> {
        self.fresh.drain(..).collect()
    }

    /// Receives until `found` gives something; `None` when the peer has closed.
    pub(crate) fn receive_until<T>(
        &mut self,
        mut found: impl FnMut(&mut Http2) -> Option<T>,
    ) -> io::Result<Option<T>> {
        loop {
            if let Some(found) = found(self) {
                return Ok(Some(found));
            }
            if self.receive()?.is_none() {
                return Ok(None);
            }
        }
    }

    /// Waits for the end of a message and judges it: the final head, the content, the trailers.
    pub(crate) fn message(&mut self, stream: u32) -> io::Result<Message> {
        let ended = self.receive_until(|end| {
            let its = end.stream_of(stream);
            (its.ended || its.reset.is_some()).then_some(())
        })?;
        let its = self.stream(stream);
        match (ended, its.reset) {
            (Some(()), _) if its.ended => its.message(),
            (_, Some(code)) => {
                Err(io::Error::new(ErrorKind::ConnectionReset, format!("reset with code {code}")))
            }
            _ => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Receives one frame and sends the replies that it calls for; `None` when the peer has closed in order.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Frame>> {
        let Some(received) = self.read_frame()? else { return Ok(None) };
        self.take(&received)?;
        let is_content = received.kind == DATA;
        let payload = if is_content { Vec::new() } else { received.payload.clone() };
        self.seen.push(Frame { payload, ..received });
        Ok(Some(received))
    }

    fn read_frame(&mut self) -> io::Result<Option<Frame>> {
        const HEADER_BYTES: usize = 9;
        loop {
            if let Some(&[a, b, c, kind, flags, s0, s1, s2, s3]) = self.ahead.first_chunk() {
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                if length > MAX_FRAME_BYTES {
                    return Err(broken("a frame that is too large"));
                }
                if self.ahead.len() >= HEADER_BYTES + length {
                    let rest = self.ahead.split_off(HEADER_BYTES + length);
                    let payload = std::mem::replace(&mut self.ahead, rest).split_off(HEADER_BYTES);
                    let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
                    return Ok(Some(Frame { kind, flags, stream, payload }));
                }
            }
            let mut piece = [0; 32 * 1024];
            match self.input.read(&mut piece)? {
                0 if self.ahead.is_empty() => return Ok(None),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.ahead.extend_from_slice(&piece[..count]),
            }
        }
    }

    fn take(&mut self, frame: &Frame) -> io::Result<()> {
        if self.block.is_some() && frame.kind != CONTINUATION {
            return Err(broken("a header block without its end"));
        }
        match frame.kind {
            DATA => self.take_content_frame(frame),
            HEADERS => {
                let fragment = fragment_of(frame)?;
                self.block = Some((frame.stream, frame.flags & END_STREAM != 0, fragment));
                self.end_block(frame)
            }
            CONTINUATION => {
                let (_, _, block) = self.block.as_mut().ok_or_else(|| broken("a stray CONTINUATION"))?;
                block.extend(&frame.payload);
                self.end_block(frame)
            }
            RST_STREAM => {
                self.stream_of(frame.stream).reset = Some(number_at(frame, 0)?);
                Ok(())
            }
            SETTINGS if frame.flags & ACK == 0 => self.take_settings(frame),
            PING if frame.flags & ACK == 0 && self.auto_replies.answers_pings => {
                self.answer(&super::frames::frame(PING, ACK, 0, &frame.payload))
            }
            GOAWAY => {
                self.go_away = Some((number_at(frame, 0)?, number_at(frame, 4)?));
                Ok(())
            }
            WINDOW_UPDATE => {
                let increment = i64::from(number_at(frame, 0)?);
                match frame.stream {
                    0 => self.window += increment,
                    stream => self.stream_of(stream).window += increment,
                }
                Ok(())
            }
            PUSH_PROMISE => Err(broken("a push")),
            _ => Ok(()),
        }
    }

    fn take_settings(&mut self, frame: &Frame) -> io::Result<()> {
        for setting in frame.payload.chunks_exact(6) {
            let identifier = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            let before = self.settings.insert(identifier, value);
            if identifier == INITIAL_WINDOW_SIZE {
                let difference = i64::from(value) - i64::from(before.unwrap_or(DEFAULT_WINDOW));
                self.streams.values_mut().for_each(|stream| stream.window += difference);
            }
        }
        if !self.auto_replies.acknowledges_settings {
            return Ok(());
        }
        self.answer(&super::frames::frame(SETTINGS, ACK, 0, b""))
    }

    fn end_block(&mut self, frame: &Frame) -> io::Result<()> {
        if frame.flags & END_HEADERS == 0 {
            return Ok(());
        }
        let Some((stream, ends, block)) = self.block.take() else { return Ok(()) };
        let mut fields = Fields::new();
        match self.decoder.decode(&block, &NO_LIMITS, &mut fields) {
            Ok(Decoded::Whole) => {}
            other => return Err(broken(&format!("a header block: {other:?}"))),
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let sensitive = fields.iter().filter(|its| its.is_sensitive).map(|its| text(its.name));
        self.sensitive.extend(sensitive);
        let fields = fields.iter().map(|its| (text(its.name), text(its.value))).collect();
        if self.role == Role::Server && !self.streams.contains_key(&stream) {
            self.requests.fetch_add(1, Ordering::SeqCst);
            self.fresh.push_back(stream);
        } else if !self.streams.contains_key(&stream) {
            return Err(broken("a response to nothing"));
        }
        self.stream_of(stream).take_fields(fields, ends)
    }

    fn take_content_frame(&mut self, frame: &Frame) -> io::Result<()> {
        let length = frame.payload.len() as u32;
        self.receive_window -= i64::from(length);
        let content = unpadded(frame)?.to_vec();
        let is_exceeded = self.receive_window < 0;
        let opens = self.auto_replies.opens_streams;
        let its = self.stream_of(frame.stream);
        its.take_content(&content, length, frame.flags & END_STREAM != 0)?;
        if is_exceeded {
            return Err(broken("more DATA than the connection's window allows"));
        }
        let releases = opens && !its.is_held && !its.ended && its.unreleased >= RELEASE_BYTES;
        let on_stream = if releases { std::mem::take(&mut its.unreleased) } else { 0 };
        self.unreleased += length;
        if on_stream > 0 {
            self.receive_window_answer(frame.stream, on_stream)?;
        }
        if self.auto_replies.opens_connection && self.unreleased >= RELEASE_BYTES {
            let released = std::mem::take(&mut self.unreleased);
            self.receive_window_answer(0, released)?;
        }
        Ok(())
    }

    fn receive_window_answer(&mut self, stream: u32, bytes: u32) -> io::Result<()> {
        unless_closed(self.open_window(stream, bytes))
    }

    /// Sends an automatic reply; a peer that has closed meanwhile still has words to be read.
    fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        unless_closed(self.send(bytes))
    }

    fn stream_of(&mut self, stream: u32) -> &mut Stream {
        let initial = self.settings.get(&INITIAL_WINDOW_SIZE).copied().unwrap_or(DEFAULT_WINDOW);
        let (role, own) = (self.role, self.own_stream_window);
        self.streams.entry(stream).or_insert_with(|| Stream::new(role, i64::from(initial), own))
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }
}

fn unless_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
        result => result,
    }
}

fn fragment_of(frame: &Frame) -> io::Result<Vec<u8>> {
    const PRIORITY_FLAG: u8 = 0x20;
    let bytes = unpadded(frame)?;
    let skipped = if frame.flags & PRIORITY_FLAG != 0 { 5 } else { 0 };
    bytes.get(skipped..).map(<[u8]>::to_vec).ok_or_else(|| broken("HEADERS that are too short"))
}

fn unpadded(frame: &Frame) -> io::Result<&[u8]> {
    if frame.flags & PADDED == 0 {
        return Ok(&frame.payload);
    }
    let unpadded = frame
        .payload
        .split_first()
        .and_then(|(&padding, rest)| rest.get(..rest.len().checked_sub(usize::from(padding))?));
    unpadded.ok_or_else(|| broken("padding"))
}

fn number_at(frame: &Frame, offset: usize) -> io::Result<u32> {
    let bytes = frame.payload.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(|| broken("a frame that is too short"))
}

pub(super) fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not HTTP/2: {what}"))
}
