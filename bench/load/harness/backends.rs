//! The backends behind a proxy: the one origin, at one or many addresses of loopback.

use crate::proxy_kind::Kind;
use std::net::{Ipv4Addr, SocketAddr};

/// How many backends there are, and how the proxy treats them.
pub(crate) struct Backends {
    pub(crate) count: u16,
    pub(crate) order: Order,
    /// Probed at `PROBE_PATH` every `PROBE_INTERVAL_S`.
    pub(crate) checked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    RoundRobin,
    LeastConnections,
    /// A consistent hash of the path. All requests have the same one, so one backend gets them all.
    Path,
}

/// Answered by the origin, but not counted as a request.
pub(crate) const PROBE_PATH: &str = "/health";
pub(crate) const PROBE_INTERVAL_S: u64 = 2;

pub(crate) const SOLE: Backends = Backends { count: 1, order: Order::RoundRobin, checked: false };

impl Backends {
    /// The relay knows one backend. Of the peers, nginx has no probes, and both stand for round robin only.
    pub(crate) fn fit(&self, kind: Kind) -> bool {
        match kind {
            Kind::Ringway | Kind::RingwayBefore => true,
            Kind::Nginx => self.order == Order::RoundRobin && !self.checked,
            Kind::Haproxy | Kind::H2o => self.order == Order::RoundRobin,
            Kind::Relay => self.count == 1,
        }
    }

    /// Probes a second when all backends are probed.
    pub(crate) fn probes_per_second(&self) -> f64 {
        if self.checked { f64::from(self.count) / PROBE_INTERVAL_S as f64 } else { 0.0 }
    }

    /// 127.0.0.1, 127.0.0.2 and so on, at the port of the origin. The first one is where the harness asks it.
    pub(crate) fn addresses(&self, origin: SocketAddr) -> impl Iterator<Item = SocketAddr> + use<> {
        const HOSTS_PER_NET: u16 = 250;
        (0..self.count).map(move |index| {
            let (net, host) = ((index / HOSTS_PER_NET) as u8, (index % HOSTS_PER_NET) as u8 + 1);
            SocketAddr::new(Ipv4Addr::new(127, 0, net, host).into(), origin.port())
        })
    }
}
