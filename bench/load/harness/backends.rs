//! The backends behind a proxy: the one origin, at one or many addresses of loopback.

use crate::proxy_kind::Kind;
use std::net::{Ipv4Addr, SocketAddr};

/// How many backends there are, and how the proxy treats them.
pub(crate) struct Backends {
    /// Empty for the one backend of most scenarios.
    pub(crate) name: &'static str,
    /// The row of the same proxy that this one is compared with.
    pub(crate) compared_with: &'static str,
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

/// What a proxy forwards to.
#[derive(Clone, Copy)]
pub(crate) struct Upstream {
    pub(crate) origin: SocketAddr,
    pub(crate) backends: &'static Backends,
}

/// Answered by the origin, but not counted as a request.
pub(crate) const PROBE_PATH: &str = "/health";
pub(crate) const PROBE_INTERVAL_S: u64 = 2;

pub(crate) const SOLE: Backends =
    Backends { name: "", compared_with: "", count: 1, order: Order::RoundRobin, checked: false };

const TWO: Backends = Backends { name: "backends-2", compared_with: "backends-2", count: 2, ..SOLE };
const THOUSAND: Backends = Backends { name: "backends-1000", count: 1_000, ..TWO };
const TWO_BY_PATH: Backends =
    Backends { name: "backends-2-path", compared_with: "backends-2-path", order: Order::Path, ..TWO };

/// The rows of the scenario that lets backends grow.
pub(crate) const GROWING: &[Backends] = &[
    TWO,
    Backends { name: "backends-100", count: 100, ..TWO },
    THOUSAND,
    Backends { name: "backends-1000-checked", checked: true, ..THOUSAND },
    Backends { name: "backends-1000-least", order: Order::LeastConnections, ..THOUSAND },
    TWO_BY_PATH,
    Backends { name: "backends-1000-path", count: 1_000, ..TWO_BY_PATH },
];

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
}

impl Upstream {
    /// 127.0.0.1, 127.0.0.2 and so on, at the port of the origin. The first one is where the harness asks it.
    pub(crate) fn addresses(self) -> impl Iterator<Item = SocketAddr> {
        const HOSTS_PER_NET: u16 = 250;
        (0..self.backends.count).map(move |index| {
            let (net, host) = ((index / HOSTS_PER_NET) as u8, (index % HOSTS_PER_NET) as u8 + 1);
            SocketAddr::new(Ipv4Addr::new(127, 0, net, host).into(), self.origin.port())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{GROWING, SOLE, Upstream};
    use std::collections::HashSet;

    #[test]
    fn every_backend_has_an_address_of_its_own_and_the_first_is_the_origin() {
        let origin = ([127, 0, 0, 1], 8000).into();
        assert_eq!(Upstream { origin, backends: &SOLE }.addresses().collect::<Vec<_>>(), [origin]);
        for backends in GROWING {
            let upstream = Upstream { origin, backends };
            let different: HashSet<_> = upstream.addresses().collect();
            assert_eq!(different.len(), usize::from(backends.count));
            assert!(different.iter().all(|address| address.ip().is_loopback()));
        }
    }

    #[test]
    fn every_row_is_compared_with_a_row() {
        let names: HashSet<_> = GROWING.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), GROWING.len());
        assert!(GROWING.iter().all(|row| names.contains(row.compared_with)));
    }
}
