//! What requests and responses consist of on their way to and from a backend, whatever carries them.

use std::time::Duration;

use crate::http::body::BodyLength;
use crate::net::buffer::Buffer;
use crate::net::timer::Deadline;

/// A request ready to be sent: its head, and as much of its body as there is.
#[derive(Clone, Copy)]
pub struct RequestParts<'r> {
    /// The head, and content behind it.
    pub text: &'r [u8],
    pub head_bytes: usize,
    /// The trailer section, if the content is complete.
    pub last: Option<&'r [u8]>,
}

impl<'r> RequestParts<'r> {
    pub fn head(&self) -> &'r [u8] {
        self.text.get(..self.head_bytes).unwrap_or_default()
    }

    /// As much of it as there is.
    pub fn content(&self) -> &'r [u8] {
        self.text.get(self.head_bytes..).unwrap_or_default()
    }

    /// It is complete without any.
    pub fn has_no_content(&self) -> bool {
        self.last.is_some() && self.content().is_empty()
    }
}

/// How a request's content is delimited on HTTP/1.1.
#[derive(Clone, Copy)]
pub struct PieceFraming<'r> {
    pub length: BodyLength,
    /// The trailer section, if the content is complete.
    pub last: Option<&'r [u8]>,
}

/// What a response head says about the message it begins.
pub struct ResponseFacts<'b> {
    /// The request was HEAD, so that no content follows.
    pub is_to_head: bool,
    pub length: BodyLength,
    /// The protocol of a 101 (RFC 9110 §7.8).
    pub upgrade: Option<&'b [u8]>,
}

/// A part of a body. Without bytes it only says that the body is finished.
pub struct Piece {
    pub bytes: Option<Buffer>,
    pub finished: bool,
}

/// How long a backend may be silent while its response is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadTimeout {
    AtMost(Duration),
    /// The upload minds the deadline: the backend still waits for the request.
    NotOurs,
}

impl ReadTimeout {
    pub(super) fn begin(self, deadline: &Deadline) {
        if let ReadTimeout::AtMost(duration) = self {
            deadline.set(duration);
        }
    }
}
