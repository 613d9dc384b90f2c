//! What is measured.

/// One kind of work for the proxies.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    /// wrk as fast as the machine lets it.
    Load(Load),
    /// Connections that made one request and then wait.
    IdleMemory { connections: usize },
    /// wrk-like requests at 60 % of what the slowest proxy can do.
    Latency { connections: usize },
}

pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) path: &'static str,
    pub(crate) close: bool,
    /// Bytes of a POST body; 0 for GET.
    pub(crate) post_bytes: usize,
    /// Extra seconds of warm-up for opening many connections.
    pub(crate) extra_warm_up_s: u64,
}

/// A keep-alive GET of 128 bytes, which the rows below vary.
const PLAIN: Load = Load { connections: 64, path: "/", close: false, post_bytes: 0, extra_warm_up_s: 0 };

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "keepalive-64", title: "Keep-alive, 128 B, 64 connections", work: Work::Load(PLAIN) },
    Scenario {
        name: "keepalive-1000",
        title: "Keep-alive, 128 B, 1,000 connections",
        work: Work::Load(Load { connections: 1_000, extra_warm_up_s: 1, ..PLAIN }),
    },
    Scenario {
        name: "keepalive-8000",
        title: "Keep-alive, 128 B, 8,000 connections",
        work: Work::Load(Load { connections: 8_000, extra_warm_up_s: 3, ..PLAIN }),
    },
    Scenario {
        name: "one-mebibyte",
        title: "Keep-alive, 1 MiB bodies, 16 connections",
        work: Work::Load(Load { connections: 16, path: "/bytes/1048576", ..PLAIN }),
    },
    Scenario {
        name: "new-connections",
        title: "A new connection per request, 128 B, 64 at a time",
        work: Work::Load(Load { close: true, ..PLAIN }),
    },
    Scenario {
        name: "post-4k",
        title: "POST of 4 KiB, keep-alive, 64 connections",
        work: Work::Load(Load { post_bytes: 4_096, ..PLAIN }),
    },
    Scenario {
        name: "idle-memory",
        title: "Memory of 4,000 idle connections that each made one request",
        work: Work::IdleMemory { connections: 4_000 },
    },
    Scenario {
        name: "latency",
        title: "Latency at 60 % of the slowest proxy's maximum, 128 B, 64 connections",
        work: Work::Latency { connections: 64 },
    },
];
