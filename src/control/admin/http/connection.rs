//! One client: its requests, one after another, each whole before it is answered. Everything is bounded in size and time.

use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::time::Duration;
use std::time::Instant;

use crate::config::AdminRole;
use crate::control::admin::access::ApiClient;
use crate::control::admin::http::names::OwnNames;
use crate::control::admin::http::names::is_same_origin;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::control::admin::http::response::SentPart;
use crate::control::admin::http::stream::ClientStream;
use crate::control::admin::pages::Pages;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::net::clock::instant_now;
use crate::proto::h1::body::BodyDecoder;
use crate::proto::h1::body::BodyFormatError;
use crate::proto::h1::connection_options::ConnectionOptions;
use crate::proto::h1::framing;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::head;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;

/// How long a head may take from its first byte on, the content behind it, and an answer to be taken.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const CONTENT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may go on sending what nobody reads any more, before the connection is cut.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_UNREAD_BYTES: usize = 2 << 20;

/// The content of a request: a change set of hundreds of objects; and of one with all that there is, which only who may write
/// can send.
const MAX_CONTENT_BYTES: usize = 1 << 20;
const MAX_ARCHIVE_BYTES: usize = 32 << 20;

const HEAD_LIMITS: HeadLimits =
    HeadLimits { max_header_bytes: 16 << 10, max_headers: 64, max_uri_bytes: 2 << 10 };

/// Who serves whom, and how long a client may say nothing between two requests.
pub(super) struct HttpConversation<'s> {
    pub(super) names: &'s OwnNames,
    pub(super) client: ApiClient,
    pub(super) idle_timeout: Duration,
    pub(super) pages: &'s Pages,
}

/// What the front of the received bytes is.
struct Begun {
    request: AdminRequest,
    framing: Framing,
    /// Bytes of its head.
    length: usize,
    expects_continue: bool,
    /// The client goes on with this connection.
    keeps: bool,
    part: SentPart,
}

/// Why there is no request to answer.
enum NoRequest {
    /// It is answered all the same, and the connection ends.
    Answer(Box<AdminResponse>),
    Io(io::Error),
}

impl From<io::Error> for NoRequest {
    fn from(error: io::Error) -> NoRequest {
        NoRequest::Io(error)
    }
}

impl HttpConversation<'_> {
    /// Serves the client until it leaves, or has to; these bytes came before.
    pub(super) fn serve(&self, stream: &mut ClientStream, received: Vec<u8>) -> io::Result<()> {
        let mut received = received;
        loop {
            let begun = match self.head(stream, &mut received) {
                Ok(Some(begun)) => begun,
                Ok(None) => return Ok(()),
                Err(NoRequest::Io(error)) => return Err(error),
                Err(NoRequest::Answer(answer)) => return end(stream, &answer.written(SentPart::Whole, true)),
            };
            let Begun { mut request, framing, length, expects_continue, keeps, part } = begun;
            received.drain(..length);
            let refused = self.refusal(&request, framing);
            if let Some(refused) = refused.or_else(|| self.pages.identify(&mut request, &self.client).err()) {
                return end(stream, &refused.written(part, true));
            }
            match content(stream, &mut received, (framing, max_content(&request)), expects_continue) {
                Ok(content) => request.content = content,
                Err(NoRequest::Io(error)) => return Err(error),
                Err(NoRequest::Answer(answer)) => return end(stream, &answer.written(part, true)),
            }
            let written = self.pages.answer_whatever_happens(&request).written(part, !keeps);
            if !keeps {
                return end(stream, &written);
            }
            stream.end_at(instant_now() + WRITE_TIMEOUT);
            stream.write_all(&written)?;
        }
    }

    /// The next request; None: the client has left.
    fn head(&self, stream: &mut ClientStream, received: &mut Vec<u8>) -> Result<Option<Begun>, NoRequest> {
        let mut ends: Option<Instant> = (!received.is_empty()).then(|| instant_now() + HEAD_TIMEOUT);
        loop {
            if let Some(begun) = self.begun(received)? {
                return Ok(Some(begun));
            }
            // A head that comes byte by byte may take no longer than one that comes at once.
            stream.end_at(ends.unwrap_or_else(|| instant_now() + self.idle_timeout));
            if receive(stream, received)? == 0 {
                return Ok(None);
            }
            ends = ends.or_else(|| Some(instant_now() + HEAD_TIMEOUT));
        }
    }

    /// The request that begins with these bytes; None while its head is not complete.
    fn begun(&self, received: &[u8]) -> Result<Option<Begun>, NoRequest> {
        let no_request = |status, words: &str| {
            let help = "send a request of HTTP/1.1 within the limits of docs/api.md";
            NoRequest::Answer(Box::new(AdminResponse::refusal(status, words, help)))
        };
        let mut headers = Headers::new();
        match head::parse_request(received, &HEAD_LIMITS, &mut headers) {
            Ok(Parse::Incomplete) => Ok(None),
            Ok(Parse::Complete { head, length }) => {
                let framing = framing::request_framing(&head);
                let framing = framing.map_err(|error| no_request(error.status(), error.reason()))?;
                let expects = framing::expects_continue(&head);
                let options = ConnectionOptions::parse(head.headers);
                if let Some(answer) = self.unknown_host(&head) {
                    return Err(NoRequest::Answer(Box::new(answer)));
                }
                Ok(Some(Begun {
                    request: AdminRequest::new(&head),
                    framing,
                    length,
                    expects_continue: expects.map_err(|error| no_request(error.status(), error.reason()))?,
                    keeps: options.is_ok_and(|options| options.persistent(head.version)),
                    part: if head.method == Method::Head { SentPart::Head } else { SentPart::Whole },
                }))
            }
            Err(error) => {
                Err(no_request(error.status(), "this is no request of HTTP/1.1 that is taken here"))
            }
        }
    }

    fn unknown_host(&self, head: &RequestHead<'_, '_>) -> Option<AdminResponse> {
        let host = head.headers.find(KnownName::Host).map_or(&b""[..], |field| field.value);
        let is_own = std::str::from_utf8(host).is_ok_and(|host| self.names.contain(host));
        let refusal = || {
            let help = "ask by the address, or add the name to admin.hosts";
            AdminResponse::refusal(421, "this host is not served here", help)
        };
        (!is_own).then(refusal)
    }

    /// What is refused before its content is read.
    fn refusal(&self, request: &AdminRequest, framing: Framing) -> Option<AdminResponse> {
        let host = request.field("host").unwrap_or_default();
        if request.field("origin").is_some_and(|origin| !is_same_origin(&origin, &host)) {
            let help = "ask from a page of this server, or without a page";
            return Some(AdminResponse::refusal(403, "pages of other origins may not ask here", help));
        }
        let has_content = !matches!(framing, Framing::Empty | Framing::Length(0));
        let words = "a request that reads has no content";
        (request.is_read() && has_content).then(|| AdminResponse::refusal(413, words, "send it without"))
    }
}

fn max_content(request: &AdminRequest) -> usize {
    let is_archive = request.path == "/api/v1/import" && request.actor.role == Some(AdminRole::Write);
    if is_archive { MAX_ARCHIVE_BYTES } else { MAX_CONTENT_BYTES }
}

/// Reads the content of a request, which is all there or refused.
fn content(
    stream: &mut ClientStream,
    received: &mut Vec<u8>,
    (framing, most): (Framing, usize),
    expects_continue: bool,
) -> Result<Vec<u8>, NoRequest> {
    let refused = |error: BodyFormatError| {
        let words = match error.status() {
            413 => format!("the content of a request has at most {most} bytes"),
            _ => format!("the content of the request cannot be read: {}", error.reason()),
        };
        NoRequest::Answer(Box::new(AdminResponse::refusal(
            error.status(),
            &words,
            "send less, or several requests",
        )))
    };
    let mut decoder = BodyDecoder::new(framing, Some(most as u64)).map_err(refused)?;
    stream.end_at(instant_now() + CONTENT_TIMEOUT);
    if expects_continue && received.is_empty() && !decoder.is_finished() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut content = Vec::new();
    loop {
        let progress = decoder.decode(received).map_err(refused)?;
        content.extend_from_slice(received.get(progress.body).unwrap_or_default());
        received.drain(..progress.consumed);
        if decoder.is_finished() {
            return Ok(content);
        }
        if receive(stream, received)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// Appends what comes next; 0: the end.
fn receive(stream: &mut ClientStream, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; 16 << 10];
    let count = loop {
        match stream.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    received.extend_from_slice(piece.get(..count).unwrap_or_default());
    Ok(count)
}

/// Sends the last answer, and lets the client read it before the connection ends: unread bytes would make the kernel
/// reset it.
fn end(stream: &mut ClientStream, written: &[u8]) -> io::Result<()> {
    stream.end_at(instant_now() + WRITE_TIMEOUT);
    stream.write_all(written)?;
    stream.end_output()?;
    stream.end_at(instant_now() + CLOSE_TIMEOUT);
    let mut piece = [0; 16 << 10];
    let mut unread = 0;
    while unread < MAX_UNREAD_BYTES {
        match stream.read(&mut piece)? {
            0 => break,
            count => unread += count,
        }
    }
    Ok(())
}
