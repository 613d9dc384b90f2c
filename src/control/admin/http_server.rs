//! Metrics and health by HTTP/1.1: read only, on loopback, bounded in clients, sizes and times.
//!
//! Any web page reaches a port of loopback through the browser of whoever looks at it, so that `Host` and `Origin` are
//! looked at before anything is answered.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::control::admin::client_slots::ClientSlots;
use crate::control::admin::command_server::CommandServer;
use crate::control::handover::succession::Succession;
use crate::control::metrics::exposition::MetricsFormat;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::net::clock::instant_now;
use crate::net::wake::Doorbell;
use crate::proto::field_lines;
use crate::proto::h1::connection_options::ConnectionOptions;
use crate::proto::h1::framing;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::head;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;

/// Clients that are connected at a time: a scraper or two, a router that probes, and people.
const MAX_CLIENTS: usize = 16;

/// How long a client may say nothing between two requests; Prometheus scrapes each 15 s to a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a head may take from its first byte on, and an answer to be taken.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

const HEAD_LIMITS: HeadLimits =
    HeadLimits { max_header_bytes: 16 << 10, max_headers: 64, max_uri_bytes: 2 << 10 };

/// The address, before and after it is served.
pub(super) struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    names: Arc<OwnNames>,
}

/// What clients may call the server.
struct OwnNames {
    address: IpAddr,
    hosts: Vec<String>,
}

impl OwnNames {
    /// Whether this is one of its names, with a port or without.
    fn contain(&self, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        literal.parse() == Ok(self.address)
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// What is answered.
struct AdminPage {
    status: u16,
    content_type: &'static str,
    content: String,
}

impl AdminPage {
    fn text(status: u16, content: &str) -> AdminPage {
        AdminPage { status, content_type: "text/plain; charset=utf-8", content: format!("{content}\n") }
    }
}

const INDEX: &str = "/metrics  metrics for Prometheus\n/livez    200 while the process runs\n/readyz   200 while it takes new \
    connections, else 503\n/status   the status as JSON";

impl HttpServer {
    pub(super) fn bind(address: SocketAddr, hosts: &[String]) -> io::Result<HttpServer> {
        let listener = TcpListener::bind(address)?;
        let names = Arc::new(OwnNames { address: address.ip(), hosts: hosts.to_vec() });
        Ok(HttpServer { address: listener.local_addr()?, listener, names })
    }

    /// The listening socket of the process before.
    pub(super) fn inherit(address: SocketAddr, socket: OwnedFd, hosts: &[String]) -> io::Result<HttpServer> {
        let names = Arc::new(OwnNames { address: address.ip(), hosts: hosts.to_vec() });
        Ok(HttpServer { address, listener: TcpListener::from(socket), names })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, in threads of its own, once what is returned is sent anything; they live as long as the process, until a successor does.
    pub(super) fn serve(
        &self,
        server: &Arc<CommandServer>,
        succession: &Succession,
    ) -> io::Result<Sender<()>> {
        // A successor accepts on the same socket, and may be the quicker one.
        self.listener.set_nonblocking(true)?;
        let listener = self.listener.try_clone()?;
        let bell = Doorbell::new()?;
        // This is the only place that sets them.
        drop(succession.admin_bell.set(bell.clone()));
        drop(succession.admin_address.set((self.address, self.listener.try_clone()?.into())));
        let (server, names) = (Arc::clone(server), Arc::clone(&self.names));
        // A client that went away gets no more.
        let serve = move |stream| drop(serve(stream, &names, &server));
        let slots = ClientSlots::start(MAX_CLIENTS, "ringway-http", serve)?;
        let accept = move || loop {
            if !bell.wait_unless_rung(listener.as_fd())? {
                return Ok(None);
            }
            match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return accepted.map(|(stream, _)| Some(stream)),
            }
        };
        let (door, opened) = mpsc::channel();
        let body = move || {
            // Whoever holds the door ends with the process.
            opened.recv().unwrap_or_default();
            slots.fill(accept, |stream| drop(refuse(stream)));
        };
        thread::Builder::new().name("ringway-http".to_owned()).spawn(body)?;
        Ok(door)
    }
}

/// Tells a client that there are too many, without waiting for it.
fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let answer = AdminPage::text(503, "too many clients at a time, try again");
    stream.write_all(&written(&answer, true))?;
    stream.shutdown(Shutdown::Write)
}

/// Serves one client until it leaves, or has to.
fn serve(mut stream: TcpStream, names: &OwnNames, server: &CommandServer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut received = Vec::new();
    let mut head_ends: Option<Instant> = None;
    loop {
        let Some(response) = respond(&received, names, server) else {
            // A head that comes byte by byte may take no longer than one that comes at once.
            let left = head_ends.map_or(IDLE_TIMEOUT, |end| end.saturating_duration_since(instant_now()));
            if left.is_zero() || receive(&mut stream, &mut received, left)? == 0 {
                return Ok(());
            }
            head_ends = head_ends.or_else(|| Some(instant_now() + HEAD_TIMEOUT));
            continue;
        };
        stream.write_all(&response.text)?;
        if response.is_last {
            return close(&mut stream);
        }
        received.drain(..response.request_bytes);
        head_ends = (!received.is_empty()).then(|| instant_now() + HEAD_TIMEOUT);
    }
}

/// A response, and what it answers.
struct Response {
    text: Vec<u8>,
    /// Of the request.
    request_bytes: usize,
    is_last: bool,
}

/// Responds to the request that begins with these bytes; None while its head is not complete.
fn respond(received: &[u8], names: &OwnNames, server: &CommandServer) -> Option<Response> {
    let mut headers = Headers::new();
    match head::parse_request(received, &HEAD_LIMITS, &mut headers) {
        Ok(Parse::Incomplete) => None,
        Ok(Parse::Complete { head, length }) => {
            let has_content = framing::request_framing(&head) != Ok(Framing::Empty);
            let options = ConnectionOptions::parse(head.headers);
            let keeps = options.is_ok_and(|options| options.persistent(head.version));
            let answer = answer_whatever_happens(&head, has_content, names, server);
            let is_last = has_content || !keeps;
            let mut text = written(&answer, is_last);
            if head.method == Method::Head {
                text.truncate(text.len() - answer.content.len());
            }
            Some(Response { text, request_bytes: length, is_last })
        }
        Err(_) => {
            let answer = AdminPage::text(400, "this is no request of HTTP/1.1");
            Some(Response { text: written(&answer, true), request_bytes: 0, is_last: true })
        }
    }
}

/// Appends what comes next; 0: the end.
fn receive(stream: &mut TcpStream, received: &mut Vec<u8>, patience: Duration) -> io::Result<usize> {
    stream.set_read_timeout(Some(patience))?;
    let mut piece = [0; 4096];
    let count = stream.read(&mut piece)?;
    received.extend_from_slice(piece.get(..count).unwrap_or_default());
    Ok(count)
}

/// Lets the client read what it was sent before the connection ends.
fn close(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut piece = [0; 4096];
    for _ in 0..16 {
        if stream.read(&mut piece)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Answers also when collecting panics.
fn answer_whatever_happens(
    head: &RequestHead<'_, '_>,
    has_content: bool,
    names: &OwnNames,
    server: &CommandServer,
) -> AdminPage {
    let answer = catch_unwind(AssertUnwindSafe(|| answer(head, has_content, names, server)));
    answer.unwrap_or_else(|_| {
        AdminPage::text(500, "a fault of Ringway's own, see standard error of the process")
    })
}

fn answer(
    head: &RequestHead<'_, '_>,
    has_content: bool,
    names: &OwnNames,
    server: &CommandServer,
) -> AdminPage {
    let host = head.headers.find(KnownName::Host).map_or(&b""[..], |field| field.value);
    if !names.contain(host) {
        return AdminPage::text(
            421,
            "this host is not served here: ask by the address, or add it to admin.hosts",
        );
    }
    let of = |name: &'static str| {
        let fields =
            head.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        fields.map(|field| String::from_utf8_lossy(field.value))
    };
    let is_foreign =
        |origin: &str| origin.split_once("://").is_none_or(|(_, host)| !names.contain(host.as_bytes()));
    if of("origin").any(|origin| is_foreign(&origin)) {
        return AdminPage::text(403, "pages of other origins may not read here");
    }
    if !matches!(head.method, Method::Get | Method::Head) {
        return AdminPage::text(405, "only GET and HEAD are answered");
    }
    if has_content {
        return AdminPage::text(413, "a request for this has no content");
    }
    let path = head.target.path_and_query.split(|&byte| byte == b'?').next().unwrap_or_default();
    match path {
        b"/metrics" => {
            let format = MetricsFormat::accepted_by(&of("accept").collect::<Vec<_>>().join(","));
            AdminPage { status: 200, content_type: format.content_type(), content: server.metrics(format) }
        }
        b"/livez" => AdminPage::text(200, "ok"),
        b"/readyz" if server.is_ready() => AdminPage::text(200, "ok"),
        b"/readyz" => AdminPage::text(503, "stopping"),
        b"/status" => {
            let content = format!("{}\n", server.status());
            AdminPage { status: 200, content_type: "application/json", content }
        }
        b"/" => AdminPage::text(200, INDEX),
        _ => AdminPage { status: 404, ..AdminPage::text(404, INDEX) },
    }
}

/// The whole response as it is sent.
fn written(answer: &AdminPage, is_last: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.content.len() + 256);
    head::write_status_line(&mut out, answer.status, b"");
    field_lines::write_field(&mut out, b"Content-Type", answer.content_type.as_bytes());
    field_lines::write_content_length(&mut out, answer.content.len() as u64);
    field_lines::write_field(&mut out, b"Cache-Control", b"no-store");
    field_lines::write_field(&mut out, b"X-Content-Type-Options", b"nosniff");
    if answer.status == 405 {
        field_lines::write_field(&mut out, b"Allow", b"GET, HEAD");
    }
    if is_last {
        field_lines::write_field(&mut out, b"Connection", b"close");
    }
    field_lines::write_end(&mut out);
    out.extend_from_slice(answer.content.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_has_its_address_and_its_names() {
        let names = OwnNames { address: [127, 0, 0, 1].into(), hosts: vec!["edge.example".to_owned()] };
        for (host, is_known) in [
            ("127.0.0.1", true),
            ("127.0.0.1:9180", true),
            ("localhost:9180", true),
            ("EDGE.example", true),
            ("edge.example:80", true),
            ("127.0.0.2", false),
            ("[::1]:9180", false),
            ("rebound.example", false),
            ("127.0.0.1.rebound.example", false),
            ("", false),
        ] {
            assert_eq!(names.contain(host.as_bytes()), is_known, "{host}");
        }
        let names = OwnNames { address: std::net::Ipv6Addr::LOCALHOST.into(), hosts: Vec::new() };
        assert!(names.contain(b"[::1]:9180") && names.contain(b"[::1]"));
    }
}
