//! HTTP/1.1 messages as tests see them: bytes taken apart, strictly.

use std::io::{self, ErrorKind, Read};

/// The start line and the fields of a request or a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// The first line without its end, such as `HTTP/1.1 200 OK`.
    pub(crate) start_line: String,
    /// Names and values as they came, in their order.
    pub(crate) fields: Vec<(String, String)>,
    /// The bytes of the whole head with its final empty line.
    pub(crate) bytes: Vec<u8>,
}

/// A whole response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Fields behind a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
    /// The body ended because the connection did.
    pub(crate) is_close_delimited: bool,
}

/// Fields behind a body.
pub(crate) type Trailers = Vec<(String, String)>;

/// A head or a line that is longer fails the test.
const MAX_HEAD_BYTES: usize = 1 << 20;

impl Head {
    /// The value of the only field of this name, whatever the case; two such fields fail the test.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} comes {} times in {}", values.len(), self.text());
        values.first().copied()
    }

    /// The values of all fields of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = self.fields.iter().filter(|(its_name, _)| its_name.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    fn content_length(&self) -> io::Result<Option<usize>> {
        let Some(value) = self.field("content-length") else { return Ok(None) };
        value.parse().map(Some).map_err(|_| invalid(&format!("Content-Length `{value}`")))
    }
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads messages from a stream and keeps what came too early for the next one.
pub(crate) struct Reader<S> {
    stream: S,
    /// Bytes read from the stream that belong to what follows.
    ahead: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub(crate) fn new(stream: S) -> Reader<S> {
        Reader { stream, ahead: Vec::new() }
    }

    /// Gives out what was read too early.
    pub(crate) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    /// Reads a head. An end of the stream before its first byte is `None`, later it is an error.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        let mut bytes = Vec::new();
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.line(&mut bytes)? else {
                return if bytes.is_empty() { Ok(None) } else { Err(cut_off()) };
            };
            if line.is_empty() && !lines.is_empty() {
                break;
            }
            lines.push(line);
        }
        let start_line = lines.remove(0);
        let fields = lines.iter().map(|line| parse_field(line)).collect::<io::Result<Vec<_>>>()?;
        Ok(Some(Head { start_line, fields, bytes }))
    }

    /// Reads the body that a head announces; `None` when only the end of the connection ends it.
    pub(crate) fn body(&mut self, head: &Head) -> io::Result<Option<Body>> {
        if head.is_chunked() {
            if head.content_length()?.is_some() {
                return Err(invalid("Content-Length beside Transfer-Encoding"));
            }
            return self.chunked().map(Some);
        }
        match head.content_length()? {
            Some(length) => Ok(Some(Body { bytes: self.exactly(length)?, trailers: Vec::new() })),
            None => Ok(None),
        }
    }

    /// Reads a response to a request with this method, 1xx responses included.
    pub(crate) fn response(&mut self, method: &str) -> io::Result<Response> {
        let head = self.head()?.ok_or_else(cut_off)?;
        let status = parse_status(&head.start_line)?;
        let mut response =
            Response { status, head, body: Vec::new(), trailers: Vec::new(), is_close_delimited: false };
        let is_tunnel = method == "CONNECT" && (200..300).contains(&status);
        if method == "HEAD" || status < 200 || status == 204 || status == 304 || is_tunnel {
            return Ok(response);
        }
        match self.body(&response.head)? {
            Some(body) => (response.body, response.trailers) = (body.bytes, body.trailers),
            None => {
                response.is_close_delimited = true;
                response.body = self.rest()?;
            }
        }
        Ok(response)
    }

    /// Reads the rest, until the peer has closed.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.ahead);
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads this many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < count {
            if !self.more()? {
                return Err(cut_off());
            }
        }
        let rest = self.ahead.split_off(count);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    /// Reads what there is, at least one byte; nothing at the end.
    pub(crate) fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() {
            self.more()?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    fn chunked(&mut self) -> io::Result<Body> {
        let mut bytes = Vec::new();
        loop {
            match self.chunk()? {
                Ok(chunk) => bytes.extend(chunk),
                Err(trailers) => return Ok(Body { bytes, trailers }),
            }
        }
    }

    /// Reads one chunk, or the trailers behind the last.
    pub(crate) fn chunk(&mut self) -> io::Result<Result<Vec<u8>, Trailers>> {
        let line = self.line(&mut Vec::new())?.ok_or_else(cut_off)?;
        let size = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid(&format!("chunk size `{line}`")))?;
        if size == 0 {
            return self.trailers().map(Err);
        }
        let bytes = self.exactly(size)?;
        if self.exactly(2)? != b"\r\n" {
            return Err(invalid("no line end behind a chunk"));
        }
        Ok(Ok(bytes))
    }

    fn trailers(&mut self) -> io::Result<Trailers> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line(&mut Vec::new())?.ok_or_else(cut_off)?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push(parse_field(&line)?);
        }
    }

    /// Reads what there is of the next bytes, at least one byte and at most `most`.
    pub(crate) fn some_of(&mut self, most: usize) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() && !self.more()? {
            return Err(cut_off());
        }
        let rest = self.ahead.split_off(most.min(self.ahead.len()));
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    /// Reads a line, which must end with CR LF, and puts its bytes behind `seen`. `None` at the end.
    fn line(&mut self, seen: &mut Vec<u8>) -> io::Result<Option<String>> {
        let length = loop {
            if let Some(position) = self.ahead.iter().position(|&byte| byte == b'\n') {
                break position + 1;
            }
            if self.ahead.len() > MAX_HEAD_BYTES {
                return Err(invalid("a line without end"));
            }
            if !self.more()? {
                return if self.ahead.is_empty() { Ok(None) } else { Err(cut_off()) };
            }
        };
        let line = self.exactly(length)?;
        seen.extend_from_slice(&line);
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| invalid("a bare LF"))?;
        if line.contains(&b'\r') {
            return Err(invalid("a bare CR"));
        }
        Ok(Some(String::from_utf8_lossy(line).into_owned()))
    }

    fn more(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(length) => {
                    self.ahead.extend_from_slice(&piece[..length]);
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

fn parse_status(line: &str) -> io::Result<u16> {
    let wrong = || invalid(&format!("status line `{line}`"));
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 ")).ok_or_else(wrong)?;
    let (code, _) = rest.split_once(' ').ok_or_else(wrong)?;
    if code.len() != 3 {
        return Err(wrong());
    }
    code.parse().map_err(|_| wrong())
}

fn parse_field(line: &str) -> io::Result<(String, String)> {
    let (name, value) = line.split_once(':').ok_or_else(|| invalid(&format!("field `{line}`")))?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace()) {
        return Err(invalid(&format!("field name `{name}`")));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"))
}

fn cut_off() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the connection ended inside a message")
}
