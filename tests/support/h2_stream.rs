//! One stream of HTTP/2 as tests see it: what came so far.

use super::h2::{Role, broken};
use std::io;

/// What came on a stream, and how much may.
pub(crate) struct Stream {
    role: Role,
    /// Heads of 1xx, in their order.
    pub(crate) interim: Vec<Vec<(String, String)>>,
    /// The final head; empty until it comes.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// END_STREAM came.
    pub(crate) ended: bool,
    /// The code of the peer's RST_STREAM.
    pub(crate) reset: Option<u32>,
    /// What may be sent.
    pub(super) window: i64,
    /// What may come.
    pub(super) receive_window: i64,
    pub(super) unreleased: u32,
    pub(super) is_held: bool,
}

/// A whole request or response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    /// Of a response; 0 in a request.
    pub(crate) status: u16,
    pub(crate) interim: Vec<Vec<(String, String)>>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

/// Fields that belong to a connection of HTTP/1 (RFC 9113 §8.2.2).
const CONNECTION_FIELDS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

impl Stream {
    pub(super) fn new(role: Role, window: i64, receive_window: i64) -> Stream {
        Stream {
            role,
            interim: Vec::new(),
            fields: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            ended: false,
            reset: None,
            window,
            receive_window,
            unreleased: 0,
            is_held: false,
        }
    }

    /// The only value of this name, if there is one.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        only(&self.fields, name)
    }

    pub(super) fn take_fields(&mut self, fields: Vec<(String, String)>, ends: bool) -> io::Result<()> {
        check_names(&fields).map_err(|what| broken(&what))?;
        if self.ended {
            return Err(broken("HEADERS behind the end of their stream"));
        }
        self.ended = ends;
        if !self.fields.is_empty() {
            if !ends || fields.iter().any(|(name, _)| name.starts_with(':')) {
                return Err(broken("trailers"));
            }
            self.trailers = fields;
        } else if self.role == Role::Client && status_of(&fields)? < 200 {
            if ends {
                return Err(broken("an interim response that ends its stream"));
            }
            self.interim.push(fields);
        } else {
            self.fields = fields;
        }
        Ok(())
    }

    pub(super) fn take_content(&mut self, content: &[u8], length: u32, ends: bool) -> io::Result<()> {
        if self.fields.is_empty() || self.ended {
            return Err(broken("DATA where none may be"));
        }
        self.receive_window -= i64::from(length);
        if self.receive_window < 0 {
            return Err(broken("more DATA than the stream's window allows"));
        }
        self.unreleased += length;
        self.body.extend_from_slice(content);
        self.ended = ends;
        Ok(())
    }

    pub(super) fn message(&self) -> io::Result<Message> {
        let status = if self.role == Role::Client { status_of(&self.fields)? } else { 0 };
        check_length(self.field("content-length"), &self.body).map_err(|what| broken(&what))?;
        Ok(Message {
            status,
            interim: self.interim.clone(),
            fields: self.fields.clone(),
            body: self.body.clone(),
            trailers: self.trailers.clone(),
        })
    }
}

impl Message {
    /// The only value of this name, if there is one.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        only(&self.fields, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Says which field may not be in a message of HTTP/2 or HTTP/3 (RFC 9113 §8.2, RFC 9114 §4.2), if one is.
pub(super) fn check_names(fields: &[(String, String)]) -> Result<(), String> {
    let bad = fields.iter().find(|(name, value)| {
        let is_lower = !name.contains(|c: char| c.is_ascii_uppercase());
        let is_allowed = !CONNECTION_FIELDS.contains(&name.as_str()) && (name != "te" || value == "trailers");
        !is_lower || !is_allowed
    });
    bad.map_or(Ok(()), |(name, value)| Err(format!("a field `{name}: {value}`")))
}

/// Says how a body contradicts this Content-Length; an empty one may belong to a HEAD.
pub(super) fn check_length(length: Option<&str>, body: &[u8]) -> Result<(), String> {
    match length {
        Some(length) if !body.is_empty() && length.parse() != Ok(body.len()) => {
            Err(format!("Content-Length {length} of {} bytes", body.len()))
        }
        _ => Ok(()),
    }
}

pub(super) fn only<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let mut same = fields.iter().filter(|(its_name, _)| its_name == name);
    let first = same.next();
    assert!(same.next().is_none(), "{name} comes more than once in {fields:?}");
    first.map(|(_, value)| value.as_str())
}

pub(super) fn status_of(fields: &[(String, String)]) -> io::Result<u16> {
    let status = only(fields, ":status").and_then(|status| status.parse().ok());
    status.ok_or_else(|| broken(&format!("no status in {fields:?}")))
}
