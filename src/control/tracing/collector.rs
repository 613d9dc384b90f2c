//! A collector, and a conversation with it over HTTP/1.1.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::time::Duration;
use std::time::Instant;

use crate::config::CollectorUrl;
use crate::http::content_coding::gzip;
use crate::http::headers::Headers;
use crate::net::clock::instant_now;
use crate::proto::h1::body::BodyDecoder;
use crate::proto::h1::framing::response_framing;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;
use crate::proto::h1::head::parse_response;
use crate::tls::blocking::BlockingStream;
use crate::tls::connect::UpstreamTls;

/// Bytes of an answer with its head. Collectors answer with a few.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

const LIMITS: HeadLimits =
    HeadLimits { max_header_bytes: 16 * 1024, max_headers: 64, max_uri_bytes: usize::MAX };

/// Who gets spans.
pub struct CollectorTarget {
    pub(super) url: CollectorUrl,
    /// None: in cleartext.
    pub(super) tls: Option<UpstreamTls>,
    /// Some are secret.
    pub(super) headers: Vec<(String, String)>,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    /// What spans say of this process.
    pub(super) resource: Vec<(&'static str, String)>,
}

/// What a collector answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CollectorAnswer {
    pub(super) status: u16,
    /// What `Retry-After` says in seconds. None: nothing, or a date.
    pub(super) retry_after: Option<Duration>,
    pub(super) content: Vec<u8>,
}

impl CollectorTarget {
    /// Sends a request and waits for its answer, no longer than `timeout`, but for the time that the system needs to
    /// find the address of a name. Errors are sentences for the operator.
    pub(super) fn post(&self, message: &[u8], timeout: Duration) -> Result<CollectorAnswer, String> {
        if self.url.is_secure && self.tls.is_none() {
            return Err("there are no CAs to know it by".to_owned());
        }
        let end = instant_now() + timeout;
        let socket = connect(&self.url, end)?;
        let stream = TimedStream { socket, end };
        let mut stream: Box<dyn BlockingStream> = match &self.tls {
            Some(tls) => tls.block_on(&self.url.authority(), stream)?,
            None => Box::new(stream),
        };
        let sent = stream.write_all(&self.request(message)).and_then(|()| stream.flush());
        // An answer to an unfinished request is an answer.
        let answered = receive(&mut stream);
        match (answered, sent) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) => Err(explained(&error)),
            (Err(error), Ok(())) => Err(explained(&error)),
        }
    }

    fn request(&self, message: &[u8]) -> Vec<u8> {
        let compressed = self.gzip.then(|| gzip(message));
        let content = compressed.as_deref().unwrap_or(message);
        let mut text = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ringway/{}\r\nContent-Type: application/x-protobuf\r\n\
             Content-Length: {}\r\nConnection: close\r\n",
            self.url.path,
            self.url.authority(),
            env!("CARGO_PKG_VERSION"),
            content.len(),
        );
        if self.gzip {
            text.push_str("Content-Encoding: gzip\r\n");
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut request = text.into_bytes();
        request.extend_from_slice(content);
        request
    }
}

/// A connection to the first address that takes one.
fn connect(url: &CollectorUrl, end: Instant) -> Result<TcpStream, String> {
    let addresses = (url.host.as_str(), url.port).to_socket_addrs();
    let addresses = addresses.map_err(|error| format!("its name cannot be resolved: {error}"))?;
    let mut failure = "its name has no address".to_owned();
    for address in addresses {
        match remaining(end).and_then(|time| TcpStream::connect_timeout(&address, time)) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = explained(&error),
        }
    }
    Err(failure)
}

/// A socket on which no operation goes on beyond the end.
struct TimedStream {
    socket: TcpStream,
    end: Instant,
}

impl Read for TimedStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(remaining(self.end)?))?;
        self.socket.read(bytes)
    }
}

impl Write for TimedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(remaining(self.end)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The time until then, which is not zero.
fn remaining(end: Instant) -> io::Result<Duration> {
    let time = end.saturating_duration_since(instant_now());
    if time.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(time) }
}

/// Reads one answer. Interim ones are passed over.
fn receive(stream: &mut impl Read) -> io::Result<CollectorAnswer> {
    let mut received = Vec::new();
    let mut is_over = false;
    loop {
        match parse(&received, is_over)? {
            Some(answer) => return Ok(answer),
            None if is_over => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
        let mut piece = [0; 4096];
        let count = match stream.read(&mut piece) {
            Ok(count) => count,
            // Not all servers end TLS as they should, and what came may be all.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        is_over = count == 0;
        received.extend_from_slice(piece.get(..count).unwrap_or_default());
        if received.len() > MAX_ANSWER_BYTES {
            return Err(io::Error::other("its answer is too long"));
        }
    }
}

/// The final answer in these bytes; None if more must come. `is_over`: nothing more will.
fn parse(received: &[u8], is_over: bool) -> io::Result<Option<CollectorAnswer>> {
    let no_http = || io::Error::other("its answer is no HTTP");
    let mut rest = received;
    loop {
        let mut headers = Headers::new();
        let (head, length) = match parse_response(rest, &LIMITS, &mut headers) {
            Ok(Parse::Complete { head, length }) => (head, length),
            Ok(Parse::Incomplete) => return Ok(None),
            Err(_) => return Err(no_http()),
        };
        let content = rest.get(length..).unwrap_or_default();
        if (100..200).contains(&head.status) && head.status != 101 {
            rest = content;
            continue;
        }
        let retry_after = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(b"retry-after"));
        let seconds = retry_after.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
        let framing = response_framing(&head, false).map_err(|_| no_http())?;
        let mut body = BodyDecoder::unlimited(framing);
        let mut bytes = content.to_vec();
        let decoded = decode(&mut body, &mut bytes).ok_or_else(no_http)?;
        let is_complete = body.is_finished() || is_over && body.finish_at_eof().is_ok();
        let answer = CollectorAnswer {
            status: head.status,
            retry_after: seconds.map(Duration::from_secs),
            content: decoded,
        };
        return Ok(is_complete.then_some(answer));
    }
}

/// The content in these bytes, without its framing; None if it is malformed.
fn decode(body: &mut BodyDecoder, bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    while !bytes.is_empty() && !body.is_finished() {
        let progress = body.decode(bytes).ok()?;
        decoded.extend_from_slice(bytes.get(progress.body.clone()).unwrap_or_default());
        if progress.consumed == 0 {
            break;
        }
        bytes.drain(..progress.consumed);
    }
    Some(decoded)
}

/// What happened, in words.
fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "it does not answer in time".to_owned(),
        io::ErrorKind::ConnectionRefused => "it refuses connections".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection without an answer".to_owned(),
        _ => error.to_string(),
    }
}
