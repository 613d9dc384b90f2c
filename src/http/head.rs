//! Request and response heads: method, target, status and header list.

use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;

/// The head of a request, borrowed from the bytes it was parsed from.
pub struct RequestHead<'h, 'b> {
    pub method: Method<'b>,
    pub target: Target<'b>,
    pub version: Version,
    /// The list may be edited on the way through, the bytes may not.
    pub headers: &'h mut Headers<'b>,
}

/// What could be read of a request that is refused. What could not is empty; nothing of it is to be believed.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartialHead<'b> {
    pub method: &'b [u8],
    pub target: &'b [u8],
    pub version: &'static str,
    pub host: &'b [u8],
    pub referer: &'b [u8],
    pub user_agent: &'b [u8],
    /// The last `X-Request-ID`, and how many there are.
    pub x_request_id: (&'b [u8], usize),
}

impl<'b> PartialHead<'b> {
    /// Takes a field over, if it is one of those that matter and the first of its name.
    pub fn note(&mut self, field: &Field<'b>) {
        let slot = match field.known {
            KnownName::Host => &mut self.host,
            KnownName::Referer => &mut self.referer,
            KnownName::UserAgent => &mut self.user_agent,
            KnownName::XRequestId if !field.name.contains(&b'_') => {
                self.x_request_id = (field.value, self.x_request_id.1 + 1);
                return;
            }
            _ => return,
        };
        if slot.is_empty() {
            *slot = field.value;
        }
    }
}

/// The head of a response, borrowed from the bytes it was parsed from.
pub struct ResponseHead<'h, 'b> {
    /// 100..=999.
    pub status: u16,
    /// The reason phrase; often empty, never interpreted (RFC 9112 §4).
    pub reason: &'b [u8],
    pub version: Version,
    pub headers: &'h mut Headers<'b>,
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// The head of a response that is not received but made.
    pub fn new(status: u16, headers: &'h mut Headers<'b>) -> ResponseHead<'h, 'b> {
        ResponseHead { status, reason: b"", version: Version::Http11, headers }
    }
}

/// The HTTP version a message was received in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    Http2,
    Http3,
}

impl Version {
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
            Version::Http3 => "HTTP/3.0",
        }
    }
}

/// A request method (RFC 9110 §9). Methods are case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'b> {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token; forwarded as it is and taken for unsafe.
    Other(&'b [u8]),
}

impl<'b> Method<'b> {
    pub fn from_bytes(token: &'b [u8]) -> Method<'b> {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            other => Method::Other(other),
        }
    }

    pub fn as_bytes(&self) -> &'b [u8] {
        match self {
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            Method::Post => b"POST",
            Method::Put => b"PUT",
            Method::Delete => b"DELETE",
            Method::Connect => b"CONNECT",
            Method::Options => b"OPTIONS",
            Method::Trace => b"TRACE",
            Method::Patch => b"PATCH",
            Method::Other(token) => token,
        }
    }

    /// Whether sending the request twice means the same as sending it once (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self,
            Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options | Method::Trace
        )
    }
}

/// The target of a request (RFC 9112 §3.2), with its form already taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// As the client wrote it.
    pub raw: &'b [u8],
    pub form: TargetForm<'b>,
    /// What an origin server is asked for: path and query, or `*`. Never empty; a query without a path
    /// stands for one behind `/`.
    pub path_and_query: &'b [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm<'b> {
    /// `/path?query`
    Origin,
    /// `http://authority/path?query`; the authority replaces the Host field (RFC 9112 §3.2.2).
    Absolute { authority: &'b [u8] },
    /// `authority`, for CONNECT only.
    Authority,
    /// `*`, for OPTIONS only.
    Asterisk,
}
