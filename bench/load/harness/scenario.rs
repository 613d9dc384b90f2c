//! What is measured.

use crate::handshakes;
use crate::proxy_kind::Kind;
use crate::row::{GROWING, LOGGED, ONLY, RULED, Row};
use crate::transfer::Direction;

/// One kind of work for the proxies.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) work: Work,
    /// What Ringway must reach.
    pub(crate) target: Option<Target>,
}

/// An upper bound.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Of the ratio to the better peer, or to the row of the same proxy that a row is compared with.
    Ratio(f64),
    /// Of the user memory per connection.
    Kibibytes(f64),
}

pub(crate) enum Work {
    /// As many requests as the machine lets through.
    Load(Load),
    /// The same with each of these rows in turn.
    Growth { load: Load, rows: &'static [Row] },
    /// Connections that made one request and then wait.
    IdleMemory { connections: usize, secure: bool, http2: bool },
    /// One large body on one stream of HTTP/2.
    Transfer(Direction),
    /// wrk-like requests at 60 % of what the slowest proxy can do.
    Latency { connections: usize },
}

pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) client: Client,
    /// HTTPS.
    pub(crate) secure: bool,
    pub(crate) path: &'static str,
    pub(crate) close: bool,
    /// Bytes of a POST body; 0 for GET.
    pub(crate) post_bytes: usize,
    /// Extra seconds of warm-up for opening many connections.
    pub(crate) extra_warm_up_s: u64,
}

/// Who makes the requests.
pub(crate) enum Client {
    Wrk,
    /// A client of our own that makes a TLS connection per request.
    Handshakes(handshakes::Kind),
    /// HTTP/2 with so many streams at a time on each connection.
    H2load {
        streams: usize,
    },
}

impl Scenario {
    pub(crate) fn is_secure(&self) -> bool {
        match &self.work {
            Work::Load(load) | Work::Growth { load, .. } => load.secure,
            Work::IdleMemory { secure, .. } => *secure,
            Work::Transfer(_) => true,
            Work::Latency { .. } => false,
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        match &self.work {
            Work::Load(load) => matches!(load.client, Client::H2load { .. }),
            Work::IdleMemory { http2, .. } => *http2,
            Work::Transfer(_) => true,
            Work::Growth { .. } | Work::Latency { .. } => false,
        }
    }

    /// How each proxy is configured, one after the other.
    pub(crate) fn rows(&self) -> &'static [Row] {
        match &self.work {
            Work::Growth { rows, .. } => rows,
            _ => &[ONLY],
        }
    }

    /// The relay has no TLS, and h2o stands for HTTP/2 only.
    pub(crate) fn fits(&self, kind: Kind) -> bool {
        match kind {
            Kind::Relay => !self.is_secure(),
            Kind::H2o => self.is_http2(),
            _ => true,
        }
    }
}

/// A keep-alive GET of 128 bytes, which the rows below vary.
pub(crate) const PLAIN: Load = Load {
    connections: 64,
    client: Client::Wrk,
    secure: false,
    path: "/",
    close: false,
    post_bytes: 0,
    extra_warm_up_s: 0,
};

const SECURE: Load = Load { secure: true, ..PLAIN };

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "keepalive-64",
        title: "Keep-alive, 128 B, 64 connections",
        work: Work::Load(PLAIN),
        target: Some(Target::Ratio(0.85)),
    },
    Scenario {
        name: "keepalive-1000",
        title: "Keep-alive, 128 B, 1,000 connections",
        work: Work::Load(Load { connections: 1_000, extra_warm_up_s: 1, ..PLAIN }),
        target: Some(Target::Ratio(0.75)),
    },
    Scenario {
        name: "keepalive-8000",
        title: "Keep-alive, 128 B, 8,000 connections",
        work: Work::Load(Load { connections: 8_000, extra_warm_up_s: 3, ..PLAIN }),
        target: None,
    },
    Scenario {
        name: "one-mebibyte",
        title: "Keep-alive, 1 MiB bodies, 16 connections",
        work: Work::Load(Load { connections: 16, path: "/bytes/1048576", ..PLAIN }),
        target: Some(Target::Ratio(1.0)),
    },
    Scenario {
        name: "new-connections",
        title: "A new connection per request, 128 B, 64 at a time",
        work: Work::Load(Load { close: true, ..PLAIN }),
        target: None,
    },
    Scenario {
        name: "post-4k",
        title: "POST of 4 KiB, keep-alive, 64 connections",
        work: Work::Load(Load { post_bytes: 4_096, ..PLAIN }),
        target: None,
    },
    Scenario {
        name: "idle-memory",
        title: "Memory of 4,000 idle connections that each made one request",
        work: Work::IdleMemory { connections: 4_000, secure: false, http2: false },
        target: Some(Target::Kibibytes(1.0)),
    },
    Scenario {
        name: "https-keepalive-64",
        title: "HTTPS keep-alive, 128 B, 64 connections",
        work: Work::Load(SECURE),
        target: Some(Target::Ratio(0.78)),
    },
    Scenario {
        name: "https-one-mebibyte",
        title: "HTTPS keep-alive, 1 MiB bodies, 16 connections",
        work: Work::Load(Load { connections: 16, path: "/bytes/1048576", ..SECURE }),
        target: Some(Target::Ratio(0.85)),
    },
    Scenario {
        name: "https-handshake-full",
        title: "A TLS connection with a full handshake per request, 128 B, 64 at a time",
        work: Work::Load(Load { client: Client::Handshakes(handshakes::Kind::Full), ..SECURE }),
        target: Some(Target::Ratio(0.65)),
    },
    Scenario {
        name: "https-handshake-resumed",
        title: "A TLS connection with a resumed session per request, 128 B, 64 at a time",
        work: Work::Load(Load { client: Client::Handshakes(handshakes::Kind::Resumed), ..SECURE }),
        target: Some(Target::Ratio(0.65)),
    },
    Scenario {
        name: "https-idle-memory",
        title: "Memory of 4,000 idle TLS connections that each made one request",
        work: Work::IdleMemory { connections: 4_000, secure: true, http2: false },
        target: Some(Target::Kibibytes(4.0)),
    },
    Scenario {
        name: "http2-64x16",
        title: "HTTP/2 over TLS, 128 B, 64 connections of 16 streams",
        work: Work::Load(Load { client: Client::H2load { streams: 16 }, ..SECURE }),
        target: Some(Target::Ratio(0.80)),
    },
    Scenario {
        name: "http2-1x100",
        title: "HTTP/2 over TLS, 128 B, 1 connection of 100 streams",
        work: Work::Load(Load { connections: 1, client: Client::H2load { streams: 100 }, ..SECURE }),
        target: Some(Target::Ratio(0.80)),
    },
    Scenario {
        name: "http2-download",
        title: "HTTP/2 over TLS, 1 GiB down over one stream",
        work: Work::Transfer(Direction::Download),
        target: Some(Target::Ratio(1.0)),
    },
    Scenario {
        name: "http2-upload",
        title: "HTTP/2 over TLS, 1 GiB up over one stream",
        work: Work::Transfer(Direction::Upload),
        target: Some(Target::Ratio(1.0)),
    },
    Scenario {
        name: "http2-idle-memory",
        title: "Memory of 4,000 idle connections of HTTP/2 over TLS that each made one request",
        work: Work::IdleMemory { connections: 4_000, secure: true, http2: true },
        target: Some(Target::Kibibytes(8.0)),
    },
    Scenario {
        name: "latency",
        title: "Latency at 60 % of the slowest proxy's maximum, 128 B, 64 connections",
        work: Work::Latency { connections: 64 },
        target: Some(Target::Ratio(1.0)),
    },
    Scenario {
        name: "backends",
        title: "The cost as backends grow: keep-alive, 128 B, 64 connections",
        // Every backend was probed, and all connections to them were opened, before it is measured.
        work: Work::Growth { load: Load { extra_warm_up_s: 2, ..PLAIN }, rows: GROWING },
        target: Some(Target::Ratio(1.03)),
    },
    Scenario {
        name: "rules",
        title: "The cost of rules and limits: keep-alive, 128 B, 64 connections",
        work: Work::Growth { load: PLAIN, rows: RULED },
        target: None,
    },
    Scenario {
        name: "logs",
        title: "The cost of metrics and access logs: keep-alive, 128 B, 64 connections",
        work: Work::Growth { load: PLAIN, rows: LOGGED },
        target: None,
    },
];
