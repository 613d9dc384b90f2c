//! One probe: a connection, and but for TCP one request and the status of its answer; or a datagram.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::time::Duration;

use crate::config::CheckMethod;
use crate::config::CheckProtocol;
use crate::config::HealthCheck;
use crate::control::health::outcome::MAX_INTERIM_RESPONSES;
use crate::control::health::outcome::ProbeError;
use crate::control::health::outcome::ProbeResult;
use crate::control::health::outcome::failed;
use crate::control::health::probe_h2;
use crate::control::health::probe_h2::ProbeRequest;
use crate::control::health::probe_h2::ProbeResponse;
use crate::control::health::probe_udp::DatagramProbe;
use crate::control::health::resources::ProbeResources;
use crate::control::own_header::own_header;
use crate::http::headers::Headers;
use crate::http::headers::MAX_FIELDS;
use crate::net::address::Address;
use crate::net::address::ConnectSource;
use crate::net::buffer::Buffer;
use crate::net::connect::ConnectError;
use crate::net::connect::SocketUse;
use crate::net::connect::connect;
use crate::net::socket::Socket;
use crate::net::timer::TICK;
use crate::net::timer::Timers;
use crate::policy::proxy_header::ProxyVersion;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;
use crate::proto::h1::head::parse_response;
use crate::snapshot::backend::CheckFailure;
use crate::snapshot::group::Group;
use crate::snapshot::group::Versions;
use crate::tls::connect::TlsClient;
use crate::tls::transport::Transport;

/// What is asked of one backend, and what it should answer. Made once.
pub(super) struct Probe {
    address: Address,
    source: ConnectSource,
    protocol: CheckProtocol,
    is_secure: bool,
    /// In the clear; over TLS the backend chooses.
    is_http2: bool,
    /// In HTTP/1.1; empty for TCP.
    request: Vec<u8>,
    /// The same in HTTP/2. Its host is as the Host field has it; a TLS handshake may need it too.
    request_h2: ProbeRequest,
    expect: Vec<RangeInclusive<u16>>,
    /// None but for UDP.
    datagrams: Option<DatagramProbe>,
    timeout: Duration,
    /// The connection begins with a PROXY header.
    proxy_version: Option<ProxyVersion>,
}

/// How the backends of a group are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbeTransport {
    pub(super) versions: Versions,
    pub(super) is_secure: bool,
    pub(super) proxy_version: Option<ProxyVersion>,
    pub(super) source: ConnectSource,
}

impl ProbeTransport {
    pub(super) fn of(group: &Group) -> ProbeTransport {
        let proxy_version = group.proxy_header.map(|terms| terms.version);
        ProbeTransport {
            versions: group.versions,
            is_secure: group.tls.is_some(),
            proxy_version,
            source: group.source,
        }
    }
}

/// What a probe is about to do.
#[derive(Clone, Copy)]
enum Step {
    Connect,
    Handshake,
    Send,
    Receive,
}

/// A backend that sends more before the end of its head is no web server.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const LIMITS: HeadLimits =
    HeadLimits { max_header_bytes: MAX_HEAD_BYTES, max_headers: MAX_FIELDS, max_uri_bytes: 0 };
/// Whose response says more than its status (the health checking protocol of gRPC).
const HEALTH_METHOD: &str = "/grpc.health.v1.Health/Check";
/// Room for each receive.
const PIECE_BYTES: usize = 1024;

impl Probe {
    /// The probe of the backend at this address.
    pub(super) fn new(check: &HealthCheck, address: &Address, over: ProbeTransport) -> Probe {
        let address = match address {
            Address::Ip(ip) if check.port != 0 => {
                let mut ip = *ip;
                ip.set_port(check.port);
                Address::Ip(ip)
            }
            other => other.clone(),
        };
        let host = check.host.clone().unwrap_or_else(|| authority(&address));
        let is_grpc = check.protocol == CheckProtocol::Grpc;
        let is_secure = check.protocol == CheckProtocol::Https || is_grpc && over.is_secure;
        let method = match check.method {
            _ if is_grpc => "POST",
            CheckMethod::Head => "HEAD",
            CheckMethod::Get => "GET",
        };
        let request = match check.protocol {
            CheckProtocol::Tcp | CheckProtocol::Grpc | CheckProtocol::Udp => String::new(),
            CheckProtocol::Http | CheckProtocol::Https => format!(
                "{method} {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ringway-health-check\r\n\
                 Accept: */*\r\nConnection: close\r\n\r\n",
                check.path
            ),
        };
        // What listens on a port of its own is known for its health, not for what the backends speak.
        let is_http2 = is_grpc || over.versions == Versions::Http2 && check.port == 0;
        let proxy_version = over.proxy_version.filter(|_| check.port == 0);
        let scheme = if is_secure { "https" } else { "http" };
        Probe {
            address,
            source: over.source,
            protocol: check.protocol,
            is_secure,
            is_http2,
            request_h2: ProbeRequest { method, scheme, path: check.path.clone(), host, is_grpc },
            request: request.into_bytes(),
            expect: check.expect.clone(),
            datagrams: DatagramProbe::of(check, proxy_version),
            timeout: check.timeout,
            proxy_version,
        }
    }

    /// Whether the connection is to be made secure.
    pub(super) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Probes once, over a connection of its own. There is a `client` where that is to be secure.
    pub(super) async fn run(&self, client: Option<&TlsClient>, resources: &ProbeResources) -> ProbeResult {
        let step = Cell::new(Step::Connect);
        let deadline = resources.timers.deadline();
        deadline.set(self.timeout);
        let attempt = pin!(self.attempt(client, &step, resources));
        let silence = || match &self.datagrams {
            Some(datagrams) if datagrams.may_be_silent() => Ok(()),
            _ => Err(failed(step.get().on_timeout())),
        };
        deadline.guard(attempt).await.unwrap_or_else(|_elapsed| silence())
    }

    async fn attempt(
        &self,
        client: Option<&TlsClient>,
        step: &Cell<Step>,
        resources: &ProbeResources,
    ) -> ProbeResult {
        if let Some(datagrams) = &self.datagrams {
            step.set(Step::Receive);
            return datagrams.exchange(&self.address, self.source).await;
        }
        let socket = open(&self.address, self.source, &resources.timers).await?;
        // Whoever closes first waits for a minute lest late packets come; with many probes, so many
        // ports would wait. A reset leaves nothing behind on either side.
        socket.reset_on_close();
        step.set(Step::Send);
        self.send_header(&socket)?;
        if self.protocol == CheckProtocol::Tcp {
            return Ok(());
        }
        let (transport, is_http2) = if self.is_secure {
            step.set(Step::Handshake);
            let handshake_failed = failed(CheckFailure::SslHandshakeError);
            let client = client.ok_or(handshake_failed)?;
            let host = self.request_h2.host.as_bytes();
            let handshake = client.connect(socket, host, &resources.buffers, &resources.budget);
            let secured = handshake.await.map_err(|_word| handshake_failed)?;
            if self.request_h2.is_grpc && !secured.is_http2 {
                return Err(handshake_failed);
            }
            (secured.transport, secured.is_http2)
        } else {
            (Transport::Plain(socket), self.is_http2)
        };
        if is_http2 {
            step.set(Step::Receive);
            let response = probe_h2::exchange(&self.request_h2, &transport, resources).await?;
            return self.judge(&response);
        }
        step.set(Step::Send);
        let mut request = resources.buffers.small();
        request.tail().extend_from_slice(&self.request);
        let (sent, buffer) = transport.send(request).await;
        sent.map_err(|_| failed(CheckFailure::SendRequestFailed))?;
        step.set(Step::Receive);
        let status = receive_status(&transport, buffer).await?;
        self.expect(status)
    }

    /// Sends the PROXY header, if backends expect one.
    fn send_header(&self, socket: &Socket) -> ProbeResult {
        let Some(version) = self.proxy_version else { return Ok(()) };
        let endpoints = match &self.address {
            Address::Ip(address) => socket.local_address().map(|own| (own, *address)),
            Address::Unix(_) => None,
        };
        let header = own_header(version, endpoints);
        let sent = socket.send_now(&header);
        let is_sent = sent.is_ok_and(|count| count == header.len());
        if is_sent { Ok(()) } else { Err(failed(CheckFailure::SendRequestFailed)) }
    }

    fn judge(&self, response: &ProbeResponse) -> ProbeResult {
        if !self.request_h2.is_grpc {
            return self.expect(response.status);
        }
        if response.status != 200 {
            return Err(ProbeError::Failed {
                failure: CheckFailure::ResponseMismatch,
                status: response.status,
            });
        }
        let code = response.code.ok_or(failed(CheckFailure::ResponseFormatError))?;
        self.expect(code)?;
        let tells = code == 0 && self.request_h2.path == HEALTH_METHOD;
        if tells && !response.says_serving() { Err(failed(CheckFailure::NotServing)) } else { Ok(()) }
    }

    fn expect(&self, status: u16) -> ProbeResult {
        if self.expect.iter().any(|range| range.contains(&status)) {
            return Ok(());
        }
        Err(ProbeError::Failed { failure: CheckFailure::ResponseMismatch, status })
    }

    /// The statuses that count as a success, as operators write them.
    pub(super) fn expected(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|out| {
            for (index, range) in self.expect.iter().enumerate() {
                let separator = if index == 0 { "" } else { ", " };
                write!(out, "{separator}{}", range.start())?;
                if range.start() != range.end() {
                    write!(out, "-{}", range.end())?;
                }
            }
            Ok(())
        })
    }
}

impl Step {
    fn on_timeout(self) -> CheckFailure {
        match self {
            Step::Connect => CheckFailure::ConnectTimeout,
            Step::Handshake => CheckFailure::SslHandshakeError,
            Step::Send => CheckFailure::SendRequestTimeout,
            Step::Receive => CheckFailure::RecvResponseTimeout,
        }
    }
}

/// What the Host field says where nothing is configured.
fn authority(address: &Address) -> String {
    match address {
        // The zone of a link-local address means something on this host only.
        Address::Ip(ip) => SocketAddr::new(ip.ip(), ip.port()).to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    }
}

async fn open(address: &Address, source: ConnectSource, timers: &Timers) -> Result<Socket, ProbeError> {
    loop {
        let failure = match connect(address, source, SocketUse::Probe).await {
            Ok(socket) => return Ok(socket),
            Err(ConnectError::Busy) => {
                timers.sleep(TICK).await;
                continue;
            }
            Err(ConnectError::NoDescriptor) => return Err(ProbeError::NoDescriptor),
            Err(ConnectError::NoLocalPort) => return Err(ProbeError::NoLocalPort),
            Err(ConnectError::NoSource(problem)) => return Err(ProbeError::NoSource(problem)),
            Err(ConnectError::Refused) => CheckFailure::ConnectRefused,
            Err(ConnectError::Reset) => CheckFailure::ConnectInterrupt,
            Err(ConnectError::TimedOut) => CheckFailure::ConnectTimeout,
            Err(ConnectError::Other) => CheckFailure::ConnectFailed,
        };
        return Err(failed(failure));
    }
}

/// The status of the final response; nothing behind its head is received on purpose.
async fn receive_status(transport: &Transport, mut buffer: Buffer) -> Result<u16, ProbeError> {
    buffer.clear();
    let mut interim = 0;
    loop {
        buffer.make_room(PIECE_BYTES);
        let (received, returned) = transport.receive(buffer).await;
        buffer = returned;
        if !matches!(received, Ok(1..)) {
            return Err(failed(CheckFailure::RecvResponseFailed));
        }
        if let Some(status) = final_status(&mut buffer, &mut interim)? {
            return Ok(status);
        }
    }
}

/// The status of the final response if its head is there. Interim ones are counted and consumed.
fn final_status(buffer: &mut Buffer, interim: &mut u32) -> Result<Option<u16>, ProbeError> {
    let malformed = failed(CheckFailure::ResponseFormatError);
    loop {
        let (status, length) = {
            let mut headers = Headers::new();
            match parse_response(buffer.filled(), &LIMITS, &mut headers) {
                Ok(Parse::Incomplete) => return Ok(None),
                Ok(Parse::Complete { head, length }) => (head.status, length),
                Err(_) => return Err(malformed),
            }
        };
        // Nobody asked to switch protocols, so that a 101 is the end.
        if status >= 200 || status == 101 {
            return Ok(Some(status));
        }
        *interim += 1;
        if *interim > MAX_INTERIM_RESPONSES {
            return Err(malformed);
        }
        buffer.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::buffer::Buffers;

    const PLAIN: ProbeTransport = ProbeTransport {
        versions: Versions::Http1,
        is_secure: false,
        proxy_version: None,
        source: ConnectSource::Any,
    };

    fn check() -> HealthCheck {
        HealthCheck {
            protocol: CheckProtocol::Http,
            initial: crate::config::InitialState::Up,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            healthy_threshold: 3,
            unhealthy_threshold: 3,
            method: CheckMethod::Head,
            path: "/".to_owned(),
            host: None,
            port: 0,
            expect: vec![200..=299, 304..=304],
            payload: Vec::new(),
            expect_payload: None,
        }
    }

    fn request(check: &HealthCheck, address: &Address) -> (Address, String) {
        let probe = Probe::new(check, address, PLAIN);
        (probe.address, String::from_utf8(probe.request).unwrap())
    }

    #[test]
    fn a_request_names_the_backend_unless_told_otherwise() {
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        let unix = Address::Unix("/run/app.sock".into());
        let head = |line: &str, host: &str| {
            format!(
                "{line} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ringway-health-check\r\nAccept: */*\r\n\
                 Connection: close\r\n\r\n"
            )
        };
        let default = check();
        let elsewhere =
            HealthCheck { method: CheckMethod::Get, path: "/live?deep=1".to_owned(), port: 9100, ..check() };
        let named = HealthCheck { host: Some("app.example".to_owned()), ..elsewhere.clone() };
        for (check, address, probed, text) in [
            (&default, ip("10.0.0.1:80"), ip("10.0.0.1:80"), head("HEAD /", "10.0.0.1:80")),
            (&elsewhere, ip("10.0.0.1:80"), ip("10.0.0.1:9100"), head("GET /live?deep=1", "10.0.0.1:9100")),
            (&elsewhere, ip("[fe80::1%2]:80"), ip("[fe80::1%2]:9100"), {
                head("GET /live?deep=1", "[fe80::1]:9100")
            }),
            (&named, ip("10.0.0.1:80"), ip("10.0.0.1:9100"), head("GET /live?deep=1", "app.example")),
            (&elsewhere, unix.clone(), unix, head("GET /live?deep=1", "localhost")),
        ] {
            assert_eq!(request(check, &address), (probed, text));
        }
        let tcp = HealthCheck { protocol: CheckProtocol::Tcp, ..check() };
        assert_eq!(request(&tcp, &ip("10.0.0.1:80")).1, "");
    }

    #[test]
    fn expected_statuses_are_shown_as_written() {
        let probe = Probe::new(&check(), &Address::Unix("/x".into()), PLAIN);
        assert_eq!(probe.expected().to_string(), "200-299, 304");
    }

    #[test]
    fn the_status_is_that_of_the_final_response() {
        let malformed = Err(failed(CheckFailure::ResponseFormatError));
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let final_head = "HTTP/1.1 204 No Content\r\n\r\n";
        for (text, expected) in [
            (final_head.to_owned(), Ok(Some(204))),
            ("HTTP/1.0 302 Found\r\nLocation: /b\r\n\r\nbody".to_owned(), Ok(Some(302))),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(), Ok(Some(101))),
            (interim.repeat(8) + final_head, Ok(Some(204))),
            (interim.repeat(9) + final_head, malformed),
            (interim.to_owned() + "HTTP/1.1 2", Ok(None)),
            ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), malformed),
            ("HTTP/1.1 099 Low\r\n\r\n".to_owned(), malformed),
            (format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(MAX_HEAD_BYTES)), malformed),
            (format!("HTTP/1.1 200 OK\r\n{}", "A: a\r\n".repeat(MAX_FIELDS + 1)), malformed),
        ] {
            let mut buffer = Buffers::default().small();
            buffer.tail().extend_from_slice(text.as_bytes());
            assert_eq!(final_status(&mut buffer, &mut 0), expected, "{text}");
        }
    }
}
