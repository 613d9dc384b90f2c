//! The facts of one exchange.

use std::net::SocketAddr;
use std::time::Duration;

use crate::http::headers::Headers;
use crate::telemetry::log_numbers::hexadecimal;
use crate::telemetry::reason::Reason;

/// What is known of a request when its head has been read. Borrowed for one log line's beginning.
pub struct RequestFacts<'a> {
    /// Not of a request, but of a connection that is relayed: what only requests have is left out.
    pub is_connection: bool,
    /// Wall-clock time at which the request began to arrive, since the Unix epoch.
    pub time: Duration,
    /// The TCP peer.
    pub peer: SocketAddr,
    /// Who the client is when `trusted_proxies` are believed.
    pub client: std::net::IpAddr,
    pub method: &'a [u8],
    pub scheme: &'static str,
    /// The host that decides routing: from the target, else from the Host field. May be empty.
    pub host: &'a [u8],
    pub http_host: &'a [u8],
    pub request_uri: &'a [u8],
    /// Of an absolute target, what follows its authority; else as `request_uri`.
    pub path_and_query: &'a [u8],
    /// None where the head was refused: what a line tells of it stands in the fields here.
    pub headers: Option<&'a Headers<'a>>,
    pub server_protocol: &'static str,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
    pub x_forwarded_for: &'a [u8],
    pub x_real_ip: &'a [u8],
    /// The digits of the trace that the request belongs to; empty where requests are not traced.
    pub trace_id: &'a [u8],
    /// Those of its own span.
    pub span_id: &'a [u8],
    /// The Authorization field, for the user in it; empty where the format does not tell it.
    pub authorization: &'a [u8],
    /// The identity that the request goes on with; if it is empty, the line makes its own.
    pub request_id: &'a [u8],
}

impl<'a> RequestFacts<'a> {
    /// What is known of a connection that is relayed: when and from where it came, what is spoken, and where to it was
    /// made.
    pub fn of_connection(
        (time, peer): (Duration, SocketAddr),
        (scheme, target): (&'static str, &'a [u8]),
    ) -> RequestFacts<'a> {
        RequestFacts {
            is_connection: true,
            time,
            peer,
            client: peer.ip(),
            method: b"CONNECT",
            scheme,
            host: b"",
            http_host: b"",
            request_uri: target,
            path_and_query: target,
            headers: None,
            server_protocol: if scheme == "udp" { "UDP" } else { "TCP" },
            referer: b"",
            user_agent: b"",
            x_forwarded_for: b"",
            x_real_ip: b"",
            trace_id: b"",
            span_id: b"",
            authorization: b"",
            request_id: b"",
        }
    }
}

/// What is known of a connection secured by TLS. Empty texts show as `-`.
#[derive(Clone, Copy, Debug)]
pub struct TlsFacts<'a> {
    pub ssl_protocol: &'a str,
    pub ssl_cipher: &'a str,
    pub sni: &'a str,
    pub alpn: &'a str,
    /// `SUCCESS`, `FAILED:reason` or `NONE`.
    pub client_verify: &'a str,
    pub resumed: bool,
    pub ja3: &'a str,
    pub ja4: &'a str,
    /// Of the client's certificate, where it was verified with success.
    pub client_subject: &'a str,
    pub client_issuer: &'a str,
    pub client_serial: &'a str,
    pub client_fingerprint: &'a str,
}

/// A try to get an answer from a backend.
#[derive(Clone, Copy, Debug)]
pub struct RecordedAttempt {
    /// The index of its backend in the group.
    pub backend: u32,
    /// 0: none came.
    pub status: u16,
}

/// The most attempts that one exchange can have: twelve backends, each on a kept connection first.
pub const MAX_ATTEMPTS: usize = 24;

/// Datagrams that a session has passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramCounts {
    /// From the client.
    pub received: u64,
    /// To the client.
    pub sent: u64,
}

/// What is known of an exchange when it has ended.
#[derive(Clone, Debug)]
pub struct Record {
    /// See [`RequestFacts::is_connection`].
    pub is_connection: bool,
    pub status: u16,
    pub reason: Reason,
    /// Bytes of head and body received from the client.
    pub request_length: u64,
    /// Bytes of body sent to the client, without framing.
    pub body_bytes_sent: u64,
    /// Bytes sent to the client, before TLS: heads, body and framing.
    pub bytes_sent: u64,
    /// From the first byte of the request to the last byte of the response.
    pub request_time: Duration,
    /// From the first byte of the request until it was read in full.
    pub read_request_time: Duration,
    /// From the response's head until its last byte was sent.
    pub write_response_time: Duration,
    /// How long it took the last attempt to get a connection, TLS included; zero for one that was kept. None: it got none.
    pub upstream_connect_time: Option<Duration>,
    /// From the choice of a backend to the end of its response.
    pub upstream_response_time: Option<Duration>,
    /// From the choice of a backend to the head of its response. None: no answer of the last one came.
    pub upstream_header_time: Option<Duration>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// None but for sessions of UDP.
    pub datagrams: Option<DatagramCounts>,
    /// None: no call of gRPC. Some(None): a call whose status is not known.
    pub grpc_status: Option<Option<u32>>,
    /// Smoothed round-trip time of the client's connection, in microseconds.
    pub tcpinfo_rtt: Option<u32>,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            is_connection: false,
            status: 0,
            reason: Reason::None,
            request_length: 0,
            body_bytes_sent: 0,
            bytes_sent: 0,
            request_time: Duration::ZERO,
            read_request_time: Duration::ZERO,
            write_response_time: Duration::ZERO,
            upstream_connect_time: None,
            upstream_response_time: None,
            upstream_header_time: None,
            retries: 0,
            datagrams: None,
            grpc_status: None,
            tcpinfo_rtt: None,
        }
    }
}

/// Names that belong to a line whichever exchange it is about. Borrowed when the line ends.
#[derive(Clone, Copy, Default)]
pub struct RecordedNames<'a> {
    /// `-` where it does not apply.
    pub listener: &'a str,
    /// Empty if none took the request.
    pub rule: &'a str,
    pub server_group: &'a str,
    /// The backend of each attempt, separated by commas.
    pub upstream_addr: &'a str,
    /// The status of each attempt, `-` where none came, separated by commas.
    pub upstream_status: &'a str,
    /// What `SLB-ID` says.
    pub instance_id: &'a str,
    /// The address that the client connected to, where the listener has but one with its port.
    pub server: Option<SocketAddr>,
    pub server_port: u16,
}

/// Identifies an exchange in the log: unique on this host, unlikely to repeat elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct RequestId {
    /// Chosen at random when the process starts.
    pub process: u64,
    pub worker: u16,
    /// Counts the worker's exchanges.
    pub sequence: u64,
}

impl RequestId {
    /// Writes its 32 hexadecimal digits.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        hexadecimal(out, self.process, 16);
        hexadecimal(out, self.worker.into(), 4);
        hexadecimal(out, self.sequence, 12);
    }
}

/// What is known of an exchange only when it is over.
pub struct Ending<'a> {
    pub id: RequestId,
    pub record: &'a Record,
    pub names: RecordedNames<'a>,
    /// What [`Format::sent_fields`](crate::telemetry::access_log::Format::sent_fields) wrote; empty without a response.
    pub sent: &'a [u8],
    /// What [`Format::upstream_fields`](crate::telemetry::access_log::Format::upstream_fields) wrote; empty without a
    /// response of a backend.
    pub upstream: &'a [u8],
}
