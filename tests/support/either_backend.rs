//! One request at a backend that speaks either version of HTTP.

use super::backend::Peer;
use super::either::{chunk, last_chunk, lower};
use super::h2::Http2;
use super::message::Head;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// A request as its backend reads it, and the response as it writes it.
pub(crate) trait Exchange {
    fn method(&self) -> String;

    fn path(&self) -> String;

    /// The only value of this name.
    fn field(&self, name: &str) -> Option<String>;

    /// Some of the request's content, at least one byte; `None` at its end.
    fn read_some(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// The trailers of a request that was read to its end, with names in lower case.
    fn trailers(&self) -> Vec<(String, String)>;

    fn interim(&mut self, status: u16, fields: &[(&str, &str)]) -> io::Result<()>;

    /// The head of a response, with Content-Length if `length` is there. Content follows, or [`Exchange::end`].
    fn head(&mut self, status: u16, fields: &[(&str, &str)], length: Option<usize>) -> io::Result<()>;

    fn write(&mut self, content: &[u8]) -> io::Result<()>;

    /// Trailers only where no length was told.
    fn end(&mut self, trailers: &[(&str, &str)]) -> io::Result<()>;

    /// Breaks off; for HTTP/1 with the connection.
    fn abort(&mut self) -> io::Result<()>;

    /// The rest of the request's content.
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.read_some()? {
            all.extend(piece);
        }
        Ok(all)
    }

    /// A whole response with its length.
    fn respond(&mut self, status: u16, content: &[u8]) -> io::Result<()> {
        self.head(status, &[], Some(content.len()))?;
        self.write(content)?;
        self.end(&[])
    }
}

/// What is left of a request's content.
enum Left {
    Bytes(usize),
    Chunks,
    Nothing,
}

pub(super) struct Http1Exchange<'p> {
    peer: &'p mut Peer,
    head: Head,
    left: Left,
    trailers: Vec<(String, String)>,
    is_chunked: bool,
    is_head_request: bool,
}

impl Http1Exchange<'_> {
    pub(super) fn next(peer: &mut Peer) -> io::Result<Option<Http1Exchange<'_>>> {
        let Some(head) = peer.read_head()? else { return Ok(None) };
        let length = head.field("content-length").map(|value| value.parse().unwrap_or(0));
        let left = match length {
            _ if head.field("transfer-encoding").is_some() => Left::Chunks,
            Some(length) if length > 0 => Left::Bytes(length),
            _ => Left::Nothing,
        };
        let is_head_request = head.start_line.starts_with("HEAD ");
        Ok(Some(Http1Exchange { peer, head, left, trailers: Vec::new(), is_chunked: false, is_head_request }))
    }

    /// What was not read is not the next request.
    pub(super) fn finish(self) -> io::Result<()> {
        if matches!(self.left, Left::Nothing) { Ok(()) } else { Err(ErrorKind::ConnectionAborted.into()) }
    }

    fn word(&self, number: usize) -> String {
        self.head.start_line.split(' ').nth(number).unwrap_or_default().to_owned()
    }
}

impl Exchange for Http1Exchange<'_> {
    fn method(&self) -> String {
        self.word(0)
    }

    fn path(&self) -> String {
        self.word(1)
    }

    fn field(&self, name: &str) -> Option<String> {
        self.head.field(name).map(str::to_owned)
    }

    fn read_some(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.left {
            Left::Nothing => Ok(None),
            Left::Bytes(left) => {
                let piece = self.peer.read_some_of(left)?;
                self.left = if piece.len() == left { Left::Nothing } else { Left::Bytes(left - piece.len()) };
                Ok(Some(piece))
            }
            Left::Chunks => match self.peer.read_chunk()? {
                Ok(piece) => Ok(Some(piece)),
                Err(trailers) => {
                    (self.left, self.trailers) = (Left::Nothing, lower(&trailers));
                    Ok(None)
                }
            },
        }
    }

    fn trailers(&self) -> Vec<(String, String)> {
        self.trailers.clone()
    }

    fn interim(&mut self, status: u16, fields: &[(&str, &str)]) -> io::Result<()> {
        self.peer.write(head_text(status, fields, "").as_bytes())
    }

    fn head(&mut self, status: u16, fields: &[(&str, &str)], length: Option<usize>) -> io::Result<()> {
        let is_bodiless = self.is_head_request || status == 204 || status == 304;
        self.is_chunked = length.is_none() && !is_bodiless;
        let framing = match length {
            Some(length) => format!("Content-Length: {length}\r\n"),
            None if self.is_chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            None => String::new(),
        };
        self.peer.write(head_text(status, fields, &framing).as_bytes())
    }

    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        if self.is_head_request || content.is_empty() {
            return Ok(());
        }
        if self.is_chunked { self.peer.write(&chunk(content)) } else { self.peer.write(content) }
    }

    fn end(&mut self, trailers: &[(&str, &str)]) -> io::Result<()> {
        if self.is_chunked { self.peer.write(&last_chunk(trailers)) } else { Ok(()) }
    }

    fn abort(&mut self) -> io::Result<()> {
        socket2::SockRef::from(self.peer.stream()).set_linger(Some(Duration::ZERO))?;
        Err(ErrorKind::ConnectionAborted.into())
    }
}

fn head_text(status: u16, fields: &[(&str, &str)], framing: &str) -> String {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Status\r\n{framing}{lines}\r\n")
}

pub(super) struct Http2Exchange<'e> {
    end: &'e mut Http2,
    stream: u32,
    is_head_request: bool,
}

impl Http2Exchange<'_> {
    pub(super) fn new(end: &mut Http2, stream: u32) -> Http2Exchange<'_> {
        let is_head_request = end.stream(stream).field(":method") == Some("HEAD");
        Http2Exchange { end, stream, is_head_request }
    }
}

impl Exchange for Http2Exchange<'_> {
    fn method(&self) -> String {
        self.field(":method").unwrap_or_default()
    }

    fn path(&self) -> String {
        self.field(":path").unwrap_or_default()
    }

    fn field(&self, name: &str) -> Option<String> {
        self.end.stream(self.stream).field(name).map(str::to_owned)
    }

    fn read_some(&mut self) -> io::Result<Option<Vec<u8>>> {
        let stream = self.stream;
        let found = self.end.receive_until(|end| {
            let content = end.take_content(stream);
            let its = end.stream(stream);
            match its.reset {
                _ if !content.is_empty() => Some(Ok(Some(content))),
                Some(_) => Some(Err(ErrorKind::ConnectionReset.into())),
                None => its.ended.then_some(Ok(None)),
            }
        })?;
        found.unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()))
    }

    fn trailers(&self) -> Vec<(String, String)> {
        self.end.stream(self.stream).trailers.clone()
    }

    fn interim(&mut self, status: u16, fields: &[(&str, &str)]) -> io::Result<()> {
        self.fields(status, fields, false)
    }

    fn head(&mut self, status: u16, fields: &[(&str, &str)], length: Option<usize>) -> io::Result<()> {
        let length = length.map(|length| length.to_string());
        let mut fields = fields.to_vec();
        if let Some(length) = &length {
            fields.push(("content-length", length));
        }
        let is_bodiless = self.is_head_request || status == 204 || status == 304;
        self.fields(status, &fields, is_bodiless)?;
        self.is_head_request |= is_bodiless;
        Ok(())
    }

    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        if self.is_head_request || content.is_empty() {
            return Ok(());
        }
        self.end.send_content(self.stream, content, false)
    }

    fn end(&mut self, trailers: &[(&str, &str)]) -> io::Result<()> {
        if self.is_head_request {
            Ok(())
        } else if trailers.is_empty() {
            self.end.send_content(self.stream, b"", true)
        } else {
            self.end.send_fields(self.stream, trailers, true)
        }
    }

    fn abort(&mut self) -> io::Result<()> {
        const INTERNAL_ERROR: u32 = 2;
        self.end.reset(self.stream, INTERNAL_ERROR)
    }
}

impl Http2Exchange<'_> {
    fn fields(&mut self, status: u16, fields: &[(&str, &str)], ends: bool) -> io::Result<()> {
        let status = status.to_string();
        let mut all = vec![(":status", status.as_str())];
        all.extend(fields);
        self.end.send_fields(self.stream, &all, ends)
    }
}
