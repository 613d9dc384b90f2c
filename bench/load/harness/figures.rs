//! What measurements give.

/// What the client counted, over its whole run.
#[derive(Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) requests: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// What one turn under load gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadFigures {
    /// CPU time of the proxy per request, without that of its health checker.
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    /// CPU time of the health checker per request, and as a share of a CPU.
    pub(crate) health_us: f64,
    pub(crate) health_busy: f64,
    pub(crate) requests_per_second: f64,
    /// Share of its CPU that the proxy used, 0 to 1.
    pub(crate) busy: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}
