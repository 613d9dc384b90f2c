//! HTTP/1.1 on a client's connection: one request after the other, answers in order (RFC 9112 §9.3).

mod body;
mod reply;

use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use crate::downstream::connection::Connection;
use crate::downstream::connection::NextStep;
use crate::downstream::h1::body::Body;
use crate::downstream::h1::reply::Reply;
use crate::downstream::h1::reply::RequestTraits;
use crate::exchange;
use crate::exchange::Exchange;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::head::Version;
use crate::http::headers::Headers;
use crate::net::buffer::Buffer;
use crate::net::clock::Moment;
use crate::net::socket::Pending;
use crate::proto::h1::body::BodyDecoder;
use crate::proto::h1::connection_options::ConnectionOptions;
use crate::proto::h1::connection_options::requested_upgrade;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::framing::expects_continue;
use crate::proto::h1::framing::request_framing;
use crate::proto::h1::head;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;
use crate::proto::h1::partial_head;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Serves the requests that have come, and those that come while they are served.
///
/// `input` is what was received already; without it, the connection has something to receive.
pub(super) async fn serve(
    connection: Box<Connection>,
    worker: Rc<Worker>,
    input: Option<Buffer>,
) -> (Box<Connection>, NextStep) {
    let next = serve_requests(&connection, &worker, input).await;
    (connection, next)
}

async fn serve_requests(connection: &Connection, worker: &Worker, mut input: Option<Buffer>) -> NextStep {
    loop {
        // Each request is served from the configuration that is in service when it comes.
        let snapshot = worker.snapshot();
        let terms = snapshot.listener(connection.listener());
        let Some(terms) = terms.filter(|terms| connection.client.is_still_admitted(terms)) else {
            return NextStep::Close;
        };
        match serve_next(connection, terms, worker, input.take()).await {
            Ok(rest) => input = Some(rest),
            Err(next) => return next,
        }
    }
}

/// Serves one request; returns what was received behind it, or how the connection goes on.
async fn serve_next(
    connection: &Connection,
    listener: &Listener,
    worker: &Worker,
    input: Option<Buffer>,
) -> Result<Buffer, NextStep> {
    let Some(origin) = connection.origin(listener) else { return Err(NextStep::Close) };
    let terms = origin.http;
    let mut input = match input {
        Some(input) => input,
        None => {
            connection.deadline.set(terms.client_header_timeout);
            worker.buffers.small()
        }
    };
    loop {
        let mut looked = look(connection, &input, &origin, worker);
        match looked {
            Look::Incomplete => match more(connection, input).await {
                More::Bytes(buffer) => input = buffer,
                More::TooLate(buffer) => {
                    let refusal = refuse(connection, buffer, Reason::HeaderTimeout, &origin, worker);
                    return Err(Box::pin(refusal).await);
                }
                More::Ends(next) => return Err(next),
            },
            Look::Refused(reason) => {
                return Err(Box::pin(refuse(connection, input, reason, &origin, worker)).await);
            }
            Look::Request(ref mut exchange, traits, decoder) => {
                connection.requests.set(connection.requests.get().saturating_add(1));
                input.consume(traits.head_bytes);
                let timeout = exchange.body_timeout(&origin);
                let paced = exchange.paced();
                let body = Body::new(connection, worker, input, decoder, (terms, timeout, paced));
                let reply = Reply::new(connection, worker, (traits, timeout), paced, &origin);
                let mut stream = H1Stream {
                    body,
                    reply,
                    watch: ClientPresence { connection, serves_half_closed: terms.serves_half_closed },
                };
                exchange::serve(exchange, &mut stream, &origin, worker).await;
                connection.head_began.set(None);
                let rest = stream.end()?;
                connection.deadline.set(terms.client_header_timeout);
                return Ok(rest);
            }
        }
    }
}

/// When the head began to come that is being received.
fn head_began(connection: &Connection, worker: &Worker) -> Moment {
    let began = connection.head_began.get().unwrap_or_else(|| worker.clock.now());
    connection.head_began.set(Some(began));
    began
}

/// What the received bytes hold.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation per request")]
enum Look {
    Incomplete,
    Refused(Reason),
    Request(Exchange, RequestTraits, BodyDecoder),
}

/// Reads the request head at the front of `input`, if it is there.
fn look(connection: &Connection, input: &Buffer, origin: &Origin<'_>, worker: &Worker) -> Look {
    if input.is_empty() {
        return Look::Incomplete;
    }
    let received = head_began(connection, worker);
    let terms = origin.http;
    let limits = HeadLimits {
        max_header_bytes: terms.max_header_bytes,
        max_headers: terms.max_headers,
        max_uri_bytes: terms.max_uri_bytes,
    };
    let mut headers = Headers::new();
    let (head, length) = match head::parse_request(input.filled(), &limits, &mut headers) {
        Ok(Parse::Complete { head, length }) => (head, length),
        Ok(Parse::Incomplete) => return Look::Incomplete,
        Err(error) => return Look::Refused(Reason::BadRequest(error.reason(), error.status())),
    };
    begin(connection, (head, length), received, origin, worker)
}

/// Takes from a head what belongs to this hop and lets the exchange decide about the rest.
fn begin(
    connection: &Connection,
    (head, head_bytes): (RequestHead<'_, '_>, usize),
    received: Moment,
    origin: &Origin<'_>,
    worker: &Worker,
) -> Look {
    let hop = request_framing(&head)
        .and_then(|framing| Ok((framing, ConnectionOptions::parse(head.headers)?, expects_continue(&head)?)));
    let (framing, options, expects_continue) = match hop {
        Ok(hop) => hop,
        Err(error) => return Look::Refused(Reason::BadRequest(error.reason(), error.status())),
    };
    let length = framing.body_length();
    let expects_continue = expects_continue && !length.is_empty();
    let upgrade = requested_upgrade(&head, options);
    let terms = origin.http;
    options.remove_hop_by_hop(head.headers, terms.forwarded.protected());
    let is_last = terms.keepalive_requests != 0 && connection.requests.get() + 1 >= terms.keepalive_requests;
    let wants_more = options.persistent(head.version);
    let traits = RequestTraits {
        http10: head.version == Version::Http10,
        is_head: head.method == Method::Head,
        wants_more,
        may_have_more: wants_more && !is_last && !terms.idle_timeout.is_zero(),
        head_bytes,
    };
    let drops_trailers = options.nominates || terms.forwarded.identity.has_aliases();
    let is_https = head.target.raw.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"https:"));
    // Most clients open a connection for each name.
    let is_covered =
        connection.client.coverage.as_ref().is_none_or(|coverage| coverage.covers_request(&head));
    let request =
        Request { head, length, upgrade, lacks_key: false, expects_continue, is_https, is_covered, received };
    let exchange = exchange::begin(&request, origin, worker);
    let withholds_trailers = exchange.withholds_trailers();
    // A length beyond the limit is refused by the exchange, with a log line that knows the request.
    let decoder =
        BodyDecoder::new(framing, exchange.body_limit()).unwrap_or_else(|_| BodyDecoder::unlimited(framing));
    Look::Request(exchange, traits, decoder.without_trailers(drops_trailers || withholds_trailers))
}

/// What waiting for the rest of a head gave.
enum More {
    Bytes(Buffer),
    /// The client took longer than `client_header_timeout`.
    TooLate(Buffer),
    Ends(NextStep),
}

/// Receives more of a head. What is not there yet is waited for elsewhere, without this buffer: a
/// client that drips bytes holds no more memory than it sent.
async fn more(connection: &Connection, mut input: Buffer) -> More {
    if connection.deadline.has_passed() {
        return if input.is_empty() { More::Ends(NextStep::Close) } else { More::TooLate(input) };
    }
    if !input.is_empty() {
        if connection.transport.pending() == Pending::Nothing {
            return More::Ends(NextStep::Partial(input.filled().into()));
        }
        if input.spare() == 0 {
            input.make_room(input.len());
        }
    }
    match connection.deadline.guard(pin!(connection.transport.receive(input))).await {
        Ok((Ok(1..), buffer)) => More::Bytes(buffer),
        _ => More::Ends(NextStep::Close),
    }
}

/// Answers a client that speaks HTTP in cleartext where TLS is spoken.
pub(super) async fn refuse_plain(connection: &Connection, input: Buffer, terms: &Listener, worker: &Worker) {
    if let Some(origin) = connection.origin(terms) {
        refuse(connection, input, Reason::PlainHttp, &origin, worker).await;
    }
}

/// Answers what is no request and ends the connection: where the next request begins is unknown.
async fn refuse(
    connection: &Connection,
    input: Buffer,
    reason: Reason,
    origin: &Origin<'_>,
    worker: &Worker,
) -> NextStep {
    let received = head_began(connection, worker);
    let mut refusal = exchange::refuse(reason, &partial_head::read(input.filled()), received, origin, worker);
    let traits = RequestTraits::of_refused(input.len());
    // What follows has no end, so the answer says that the connection closes.
    let decoder = BodyDecoder::unlimited(Framing::UntilClose);
    let timeout = &origin.http.client_body_timeout;
    let body = Body::new(connection, worker, input, decoder, (origin.http, timeout, None));
    let reply = Reply::new(connection, worker, (traits, timeout), None, origin);
    let mut stream = H1Stream {
        body,
        reply,
        watch: ClientPresence { connection, serves_half_closed: origin.http.serves_half_closed },
    };
    exchange::serve(&mut refusal, &mut stream, origin, worker).await;
    NextStep::Linger
}

/// One exchange on the connection.
struct H1Stream<'c> {
    body: Body<'c>,
    reply: Reply<'c>,
    watch: ClientPresence<'c>,
}

impl<'c> Stream for H1Stream<'c> {
    type Body = Body<'c>;
    type Reply = Reply<'c>;
    type ClientWatch = ClientPresence<'c>;

    fn parts(&mut self) -> (&mut Body<'c>, &mut Reply<'c>, &ClientPresence<'c>) {
        (&mut self.body, &mut self.reply, &self.watch)
    }

    fn head_bytes(&self) -> u64 {
        self.reply.head_bytes()
    }
}

impl H1Stream<'_> {
    /// The bytes that the next request begins with, or how the connection goes on without any.
    fn end(self) -> Result<Buffer, NextStep> {
        let body_is_finished = self.body.is_finished();
        self.reply.end(body_is_finished)?;
        self.body.into_rest().ok_or(NextStep::Idle)
    }
}

/// How long a backend may take before the client is watched. Watching costs three operations of the
/// kernel; what a client that leaves sooner would save is not worth them for every other request.
const WATCH_AFTER: Duration = Duration::from_secs(1);

/// How often a client that has ended its side, and is served on, is looked for.
const RESET_CHECK_INTERVAL: Duration = Duration::from_secs(1);

struct ClientPresence<'c> {
    connection: &'c Connection,
    /// A client that has ended its side is served all the same.
    serves_half_closed: bool,
}

impl ClientPresence<'_> {
    /// Waits for so long. Only while nothing else needs the connection's deadline.
    async fn pause(&self, time: Duration) {
        self.connection.deadline.set(time);
        // Never done, so that only the deadline ends it.
        drop(self.connection.deadline.guard(pin!(std::future::pending::<()>())).await);
    }
}

impl ClientWatch for ClientPresence<'_> {
    async fn disconnected(&self) {
        self.pause(WATCH_AFTER).await;
        let transport = &self.connection.transport;
        loop {
            let readable = transport.readable().await;
            match transport.pending() {
                Pending::Nothing if readable.is_ok() => {}
                // The next request; whether the client leaves after it cannot be seen any more.
                Pending::Bytes => std::future::pending().await,
                _ => break,
            }
        }
        // The socket stays readable now, so that nothing tells when a reset follows.
        while self.serves_half_closed && !transport.socket().is_reset() {
            self.pause(RESET_CHECK_INTERVAL).await;
        }
    }

    fn is_disconnected(&self, _cx: &Context<'_>) -> bool {
        // It would take a look at the socket.
        false
    }

    fn cause(&self) -> Option<Reason> {
        None
    }

    fn round_trip_us(&self) -> Option<u32> {
        self.connection.round_trip_us()
    }
}
