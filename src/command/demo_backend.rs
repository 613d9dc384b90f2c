//! The embedded backends of the demo: small HTTP/1.1 servers that name themselves and echo what
//! they were asked.
//!
//! They are threads with blocking sockets, so that nothing of the load balancer serves both sides.

use std::io;
use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::head::Version;
use crate::http::headers::Headers;
use crate::http::status::reason_phrase;
use crate::net::clock::wall_now;
use crate::proto::field_lines;
use crate::proto::h1::body::BodyDecoder;
use crate::proto::h1::chunked::ChunkHeader;
use crate::proto::h1::connection_options::ConnectionOptions;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::framing::expects_continue;
use crate::proto::h1::framing::request_framing;
use crate::proto::h1::head;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;
use crate::telemetry::date::Dates;

/// Each connection is a thread; further ones wait until one ends.
const MAX_CONNECTIONS: usize = 256;
const THREAD_STACK_BYTES: usize = 256 * 1024;
/// How long to wait before looking whether a connection has ended.
const AT_LIMIT_PAUSE: Duration = Duration::from_millis(10);
/// Longer than the load balancer keeps idle connections, so that it is the one to close them.
const MAX_SILENCE: Duration = Duration::from_secs(75);
/// A client may take its time with a long answer, and the load balancer passes that on.
const MAX_STALL: Duration = Duration::from_secs(300);
const READ_BYTES: usize = 16 * 1024;
const LIMITS: HeadLimits =
    HeadLimits { max_header_bytes: 64 * 1024, max_headers: 256, max_uri_bytes: 64 * 1024 };
/// As much of a request's body is echoed.
const MAX_ECHO_BYTES: usize = 4 * 1024;
/// What `/bytes/N` gives at most.
const MAX_BYTES: u64 = 1 << 40;
const SLOW_PAUSE: Duration = Duration::from_secs(2);
const STREAM_PIECES: u32 = 5;
const STREAM_PAUSE: Duration = Duration::from_millis(300);

/// Starts a backend that says hello under this name, and returns where it listens.
pub(super) fn start(name: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let accept = move || {
        let open = Arc::new(AtomicUsize::new(0));
        loop {
            match listener.accept() {
                Ok((stream, _)) if open.load(Ordering::Relaxed) < MAX_CONNECTIONS => {
                    converse(stream, name, &open);
                }
                // Descriptors or connections are short; both come back.
                Ok(_) | Err(_) => std::thread::sleep(AT_LIMIT_PAUSE),
            }
            while open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
                std::thread::sleep(AT_LIMIT_PAUSE);
            }
        }
    };
    std::thread::Builder::new().name(format!("backend-{name}")).spawn(accept)?;
    Ok(address)
}

/// Serves a connection on a thread of its own.
fn converse(stream: TcpStream, name: &'static str, open: &Arc<AtomicUsize>) {
    open.fetch_add(1, Ordering::Relaxed);
    let place = Place(Arc::clone(open));
    let serve = move || {
        let _place = place;
        // Whatever goes wrong, the other side has hung up or will see that we did.
        let _ = Conversation { stream, name, received: Vec::new(), served: 0 }.run();
    };
    // Without a thread, the closure is dropped, and with it connection and place.
    drop(std::thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn(serve));
}

/// One of the connections that may be open at a time.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Conversation {
    stream: TcpStream,
    name: &'static str,
    /// Received and not used up.
    received: Vec<u8>,
    /// Requests on this connection.
    served: u64,
}

/// A request, as far as it matters here.
struct Asked {
    is_head: bool,
    /// Path and query.
    target: String,
    version: Version,
    /// The first line and the fields, as they came.
    lines: Vec<u8>,
    framing: Framing,
    expects_continue: bool,
    persistent: bool,
}

/// What came as the body of a request.
#[derive(Default)]
struct Content {
    length: u64,
    beginning: Vec<u8>,
}

impl Conversation {
    fn run(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(MAX_SILENCE))?;
        self.stream.set_write_timeout(Some(MAX_STALL))?;
        loop {
            let asked = match self.next_request() {
                Ok(Some(asked)) => asked,
                Ok(None) => return Ok(()),
                Err(error) => {
                    if error.kind() == ErrorKind::InvalidData {
                        self.answer(400, format!("{error}\n"), &Asked::unreadable())?;
                    }
                    return Err(error);
                }
            };
            if asked.expects_continue {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let content = self.content(asked.framing)?;
            self.served += 1;
            self.respond(&asked, &content)?;
            if !asked.persistent {
                return Ok(());
            }
        }
    }

    /// Reads the next head; none when the other side closed instead.
    fn next_request(&mut self) -> io::Result<Option<Asked>> {
        loop {
            if let Some((asked, length)) = parse(&self.received)? {
                self.received.drain(..length);
                return Ok(Some(asked));
            }
            if !self.receive()? {
                return if self.received.is_empty() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads the body that belongs to a head.
    fn content(&mut self, framing: Framing) -> io::Result<Content> {
        let mut decoder = BodyDecoder::unlimited(framing);
        let mut content = Content::default();
        while !decoder.is_finished() {
            if self.received.is_empty() && !self.receive()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let progress = decoder.decode(&mut self.received).map_err(|error| invalid(error.reason()))?;
            let piece = self.received.get(progress.body).unwrap_or_default();
            content.length += piece.len() as u64;
            let wanted = MAX_ECHO_BYTES - content.beginning.len();
            content.beginning.extend_from_slice(piece.get(..wanted).unwrap_or(piece));
            self.received.drain(..progress.consumed);
        }
        Ok(content)
    }

    fn receive(&mut self) -> io::Result<bool> {
        let mut piece = [0; READ_BYTES];
        let length = self.stream.read(&mut piece)?;
        self.received.extend_from_slice(piece.get(..length).unwrap_or_default());
        Ok(length > 0)
    }

    /// The paths worth trying.
    fn respond(&mut self, asked: &Asked, content: &Content) -> io::Result<()> {
        let path = asked.target.split('?').next().unwrap_or_default();
        if let Some(status) = path.strip_prefix("/status/") {
            return match status.parse() {
                Ok(status @ 200..=599) => {
                    self.answer(status, format!("status {status} from backend {}\n", self.name), asked)
                }
                _ => self.answer(400, "write a status from 200 to 599, such as /status/503\n", asked),
            };
        }
        if let Some(count) = path.strip_prefix("/bytes/") {
            return match count.parse() {
                Ok(count @ 0..=MAX_BYTES) => self.bytes(count, asked),
                _ => self.answer(400, "write a number of bytes, such as /bytes/1000000\n", asked),
            };
        }
        match path {
            "/stream" => self.stream(asked),
            "/slow" => {
                std::thread::sleep(SLOW_PAUSE);
                self.echo(asked, content)
            }
            _ => self.echo(asked, content),
        }
    }

    fn echo(&mut self, asked: &Asked, content: &Content) -> io::Result<()> {
        let mut text = format!("hello from backend {}\n\n", self.name).into_bytes();
        text.extend_from_slice(&asked.lines);
        if asked.framing != Framing::Empty {
            let _ = write!(text, "\na body of {} bytes", content.length);
            if content.length > content.beginning.len() as u64 {
                let _ = write!(text, ", which begins with");
            }
            text.extend_from_slice(b":\n");
            text.extend_from_slice(&content.beginning);
            text.push(b'\n');
        }
        let _ = write!(text, "\nrequest {} on this connection to the backend\n", self.served);
        self.answer(200, text, asked)
    }

    /// A whole answer with this text.
    fn answer(&mut self, status: u16, text: impl AsRef<[u8]>, asked: &Asked) -> io::Result<()> {
        let text = text.as_ref();
        let has_content = !matches!(status, 204 | 304);
        let mut message = self.head(status, asked);
        if has_content {
            field_lines::write_content_length(&mut message, text.len() as u64);
        }
        field_lines::write_end(&mut message);
        if has_content && !asked.is_head {
            message.extend_from_slice(text);
        }
        self.stream.write_all(&message)
    }

    /// As many bytes as were asked for, in lines of 64.
    fn bytes(&mut self, count: u64, asked: &Asked) -> io::Result<()> {
        const LINE: &[u8; 64] = b"ringway demo: 64 bytes a line, as many as you asked for........\n";
        let mut message = self.head(200, asked);
        field_lines::write_content_length(&mut message, count);
        field_lines::write_end(&mut message);
        self.stream.write_all(&message)?;
        let block = LINE.repeat(READ_BYTES / LINE.len());
        let mut left = if asked.is_head { 0 } else { count };
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            self.stream.write_all(block.get(..length).unwrap_or(&block))?;
            left -= length as u64;
        }
        Ok(())
    }

    /// An answer whose pieces come one after the other.
    fn stream(&mut self, asked: &Asked) -> io::Result<()> {
        let chunked = asked.version == Version::Http11;
        let mut message = self.head(200, asked);
        if chunked {
            field_lines::write_field(&mut message, b"Transfer-Encoding", b"chunked");
        }
        field_lines::write_end(&mut message);
        self.stream.write_all(&message)?;
        if asked.is_head {
            return Ok(());
        }
        for number in 1..=STREAM_PIECES {
            let piece = format!("piece {number} of {STREAM_PIECES} from backend {}\n", self.name);
            let framed = match chunked {
                true => [ChunkHeader::new(piece.len()).as_bytes(), piece.as_bytes(), b"\r\n"].concat(),
                false => piece.into_bytes(),
            };
            self.stream.write_all(&framed)?;
            std::thread::sleep(STREAM_PAUSE);
        }
        if chunked { self.stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }

    /// The head of a response, but for the fields of its framing and its end.
    fn head(&self, status: u16, asked: &Asked) -> Vec<u8> {
        let mut dates = Dates::default();
        dates.advance(wall_now());
        let mut message = Vec::new();
        head::write_status_line(&mut message, status, reason_phrase(status).as_bytes());
        field_lines::write_field(&mut message, b"Date", dates.http().as_bytes());
        field_lines::write_field(&mut message, b"Content-Type", b"text/plain; charset=utf-8");
        field_lines::write_field(&mut message, b"X-Backend", self.name.as_bytes());
        if !asked.persistent {
            field_lines::write_field(&mut message, b"Connection", b"close");
        }
        message
    }
}

impl Asked {
    fn of(head: &RequestHead<'_, '_>) -> Result<Asked, &'static str> {
        let mut lines = Vec::new();
        let method = head.method.as_bytes();
        for part in [method, b" ", head.target.raw, b" ", head.version.as_str().as_bytes(), b"\n"] {
            lines.extend_from_slice(part);
        }
        for field in head.headers.iter() {
            for part in [field.name, b": ", field.value, b"\n"] {
                lines.extend_from_slice(part);
            }
        }
        let options = ConnectionOptions::parse(head.headers).map_err(|error| error.reason())?;
        Ok(Asked {
            is_head: head.method == Method::Head,
            target: String::from_utf8_lossy(head.target.path_and_query).into_owned(),
            version: head.version,
            lines,
            framing: request_framing(head).map_err(|error| error.reason())?,
            expects_continue: expects_continue(head).map_err(|error| error.reason())?,
            // To a client of HTTP/1.0 the end of the connection is the end of an answer.
            persistent: head.version == Version::Http11 && options.persistent(head.version),
        })
    }

    /// Stands for what is no request.
    fn unreadable() -> Asked {
        Asked {
            is_head: false,
            target: String::new(),
            version: Version::Http11,
            lines: Vec::new(),
            framing: Framing::Empty,
            expects_continue: false,
            persistent: false,
        }
    }
}

/// The request head at the front of these bytes, if it is complete, and its length.
fn parse(received: &[u8]) -> io::Result<Option<(Asked, usize)>> {
    let mut headers = Headers::new();
    match head::parse_request(received, &LIMITS, &mut headers) {
        Ok(Parse::Complete { head, length }) => {
            Asked::of(&head).map(|asked| Some((asked, length))).map_err(invalid)
        }
        Ok(Parse::Incomplete) => Ok(None),
        Err(error) => Err(invalid(error.reason())),
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}
