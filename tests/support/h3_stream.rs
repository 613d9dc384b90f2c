//! One stream of a request of HTTP/3 as its client sees it: frames in their order, and what they say so far.

use super::h2_stream::{Message, check_length, check_names, only, status_of};
use super::h3_frames::{
    CANCEL_PUSH, DATA, GOAWAY, HEADERS, MAX_PUSH_ID, PRIORITY_UPDATE, PUSH_PROMISE, RESERVED_FRAMES,
    SETTINGS, varint_at,
};
use super::h3_qpack::{DecodedField, decode_section};
use std::io::{self, ErrorKind};

/// A received frame. DATA is told without its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct H3Frame {
    pub(crate) stream: u64,
    pub(crate) kind: u64,
    pub(crate) payload: Vec<u8>,
}

/// Frames out of the bytes of a stream.
#[derive(Default)]
pub(super) struct FrameReader {
    /// Received, and not yet a whole frame.
    ahead: Vec<u8>,
    /// Bytes of a DATA frame that are still to come.
    data_left: u64,
}

/// What comes next on a stream.
pub(super) enum Next {
    /// The head of a DATA frame.
    Data,
    /// Some of its payload.
    Content(Vec<u8>),
    /// A whole frame of another kind.
    Frame(u64, Vec<u8>),
}

impl FrameReader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.ahead.extend_from_slice(bytes);
    }

    /// Whether the stream may end here.
    pub(super) fn is_between_frames(&self) -> bool {
        self.ahead.is_empty() && self.data_left == 0
    }

    pub(super) fn next(&mut self) -> Option<Next> {
        if self.data_left > 0 {
            let length = self.data_left.min(self.ahead.len() as u64) as usize;
            self.data_left -= length as u64;
            return (length > 0).then(|| Next::Content(self.ahead.drain(..length).collect()));
        }
        let (kind, kind_bytes) = varint_at(&self.ahead)?;
        let (length, length_bytes) = varint_at(&self.ahead[kind_bytes..])?;
        let head_bytes = kind_bytes + length_bytes;
        if kind == DATA {
            self.ahead.drain(..head_bytes);
            self.data_left = length;
            return Some(Next::Data);
        }
        let end = head_bytes + usize::try_from(length).ok()?;
        let payload = self.ahead.get(head_bytes..end)?.to_vec();
        self.ahead.drain(..end);
        Some(Next::Frame(kind, payload))
    }
}

/// What came on a stream.
#[derive(Default)]
pub(crate) struct H3Stream {
    /// Heads of 1xx, in their order.
    pub(crate) interim: Vec<Vec<(String, String)>>,
    /// The final head; empty until it comes.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// The peer has sent everything.
    pub(crate) ended: bool,
    /// The code of the peer's RESET_STREAM.
    pub(crate) reset: Option<u64>,
    /// The code of the peer's STOP_SENDING.
    pub(crate) stopped: Option<u64>,
    /// Names of the fields that came as never to be indexed.
    pub(crate) sensitive: Vec<String>,
    pub(super) is_held: bool,
    reader: FrameReader,
}

impl H3Stream {
    /// The only value of this name, if there is one.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        only(&self.fields, name)
    }

    pub(super) fn take(&mut self, stream: u64, bytes: &[u8]) -> io::Result<Vec<H3Frame>> {
        let mut frames = Vec::new();
        self.reader.push(bytes);
        while let Some(next) = self.reader.next() {
            match next {
                Next::Data if self.fields.is_empty() || !self.trailers.is_empty() => {
                    return Err(broken("DATA where none may be"));
                }
                Next::Data => frames.push(H3Frame { stream, kind: DATA, payload: Vec::new() }),
                Next::Content(content) => self.body.extend(content),
                Next::Frame(kind, payload) => {
                    self.take_frame(kind, &payload)?;
                    frames.push(H3Frame { stream, kind, payload });
                }
            }
        }
        Ok(frames)
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        if !self.reader.is_between_frames() {
            return Err(broken("a stream that ends in the midst of a frame"));
        }
        if self.fields.is_empty() {
            return Err(broken("a stream that ends without a response"));
        }
        self.ended = true;
        Ok(())
    }

    fn take_frame(&mut self, kind: u64, payload: &[u8]) -> io::Result<()> {
        match kind {
            HEADERS => {
                let fields = decode_section(payload).map_err(broken)?;
                self.take_fields(fields)
            }
            CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID | PRIORITY_UPDATE => {
                Err(broken(&format!("a frame of type {kind:#x} on a stream of a request")))
            }
            _ if RESERVED_FRAMES.contains(&kind) => Err(broken("a frame of HTTP/2")),
            // Types without a meaning are to be ignored (§9).
            _ => Ok(()),
        }
    }

    fn take_fields(&mut self, fields: Vec<DecodedField>) -> io::Result<()> {
        let sensitive = fields.iter().filter(|field| field.is_sensitive).map(|field| field.name.clone());
        self.sensitive.extend(sensitive);
        let fields: Vec<_> = fields.into_iter().map(|field| (field.name, field.value)).collect();
        check_names(&fields).map_err(|what| broken(&what))?;
        if !self.fields.is_empty() {
            let is_first = self.trailers.is_empty();
            if !is_first || fields.is_empty() || fields.iter().any(|(name, _)| name.starts_with(':')) {
                return Err(broken("trailers"));
            }
            self.trailers = fields;
        } else if status_of(&fields)? < 200 {
            self.interim.push(fields);
        } else {
            self.fields = fields;
        }
        Ok(())
    }

    pub(super) fn message(&self) -> io::Result<Message> {
        check_length(self.field("content-length"), &self.body).map_err(|what| broken(&what))?;
        Ok(Message {
            status: status_of(&self.fields)?,
            interim: self.interim.clone(),
            fields: self.fields.clone(),
            body: self.body.clone(),
            trailers: self.trailers.clone(),
        })
    }
}

pub(super) fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not HTTP/3: {what}"))
}
