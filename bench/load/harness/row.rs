//! The rows of a table: what is varied behind each proxy, or in its configuration.

use crate::backends::{Backends, Order, SOLE};
use crate::logging::Logging;
use crate::proxy_kind::Kind;
use crate::rules::Rules;
use std::net::SocketAddr;

/// One way to configure every proxy.
pub(crate) struct Row {
    /// Empty for the one row of most scenarios.
    pub(crate) name: &'static str,
    /// The row of the same proxy that this one is compared with.
    pub(crate) compared_with: &'static str,
    pub(crate) backends: Backends,
    pub(crate) rules: Rules,
    pub(crate) logging: Logging,
}

/// What a proxy forwards to, and how.
#[derive(Clone, Copy)]
pub(crate) struct Upstream {
    pub(crate) origin: SocketAddr,
    pub(crate) row: &'static Row,
}

pub(crate) const ONLY: Row =
    Row { name: "", compared_with: "", backends: SOLE, rules: Rules::None, logging: Logging::Usual };

const fn of_backends(
    name: &'static str,
    compared_with: &'static str,
    count: u16,
    (order, checked): (Order, bool),
) -> Row {
    Row { name, compared_with, backends: Backends { count, order, checked }, ..ONLY }
}

const IN_TURNS: (Order, bool) = (Order::RoundRobin, false);
const BY_PATH: (Order, bool) = (Order::Path, false);

/// The rows of the scenario that lets backends grow.
pub(crate) const GROWING: &[Row] = &[
    of_backends("backends-2", "backends-2", 2, IN_TURNS),
    of_backends("backends-100", "backends-2", 100, IN_TURNS),
    of_backends("backends-1000", "backends-2", 1_000, IN_TURNS),
    of_backends("backends-1000-checked", "backends-2", 1_000, (Order::RoundRobin, true)),
    of_backends("backends-1000-least", "backends-2", 1_000, (Order::LeastConnections, false)),
    of_backends("backends-2-path", "backends-2-path", 2, BY_PATH),
    of_backends("backends-1000-path", "backends-2-path", 1_000, BY_PATH),
];

const fn of_rules(name: &'static str, compared_with: &'static str, rules: Rules) -> Row {
    Row { name, compared_with, rules, ..ONLY }
}

/// The rows of the scenario that lets rules grow.
pub(crate) const RULED: &[Row] = &[
    of_rules("no-rule", "no-rule", Rules::None),
    of_rules("hosts-1", "no-rule", Rules::Hosts(1)),
    of_rules("hosts-1000", "hosts-1", Rules::Hosts(1_000)),
    of_rules("hosts-10000", "hosts-1", Rules::Hosts(10_000)),
    of_rules("prefixes-1", "no-rule", Rules::Prefixes(1)),
    of_rules("prefixes-1000", "prefixes-1", Rules::Prefixes(1_000)),
    of_rules("regexes-1000", "no-rule", Rules::Regexes(1_000)),
    of_rules("limits", "no-rule", Rules::Limits),
    of_rules("whole-path", "no-rule", Rules::WholePath),
];

const fn of_logging(name: &'static str, compared_with: &'static str, logging: Logging) -> Row {
    Row { name, compared_with, logging, ..ONLY }
}

/// The rows of the scenario that counts and logs.
pub(crate) const LOGGED: &[Row] = &[
    of_logging("nothing", "nothing", Logging::Nothing),
    of_logging("metrics", "nothing", Logging::Usual),
    of_logging("log-alone", "log-alone", Logging::LogAlone),
    of_logging("log", "log-alone", Logging::Log),
    of_logging("sampled-log", "nothing", Logging::SampledLog),
];

impl Row {
    pub(crate) fn fits(&self, kind: Kind) -> bool {
        let is_plain = !self.logging.is_ringways_own() && self.logging != Logging::Log;
        let logs = match kind {
            Kind::Ringway => true,
            Kind::Nginx | Kind::Haproxy => !self.logging.is_ringways_own(),
            Kind::RingwayBefore | Kind::Relay | Kind::H2o => is_plain,
        };
        logs && self.backends.fit(kind)
            && (self.rules == Rules::None || !matches!(kind, Kind::Relay | Kind::H2o))
    }
}

impl Upstream {
    pub(crate) fn addresses(self) -> impl Iterator<Item = SocketAddr> {
        self.row.backends.addresses(self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::{GROWING, LOGGED, ONLY, RULED, Upstream};
    use std::collections::HashSet;

    #[test]
    fn every_backend_has_an_address_of_its_own_and_the_first_is_the_origin() {
        let origin = ([127, 0, 0, 1], 8000).into();
        assert_eq!(Upstream { origin, row: &ONLY }.addresses().collect::<Vec<_>>(), [origin]);
        for row in GROWING {
            let upstream = Upstream { origin, row };
            let different: HashSet<_> = upstream.addresses().collect();
            assert_eq!(different.len(), usize::from(row.backends.count));
            assert!(different.iter().all(|address| address.ip().is_loopback()));
        }
    }

    #[test]
    fn every_row_is_compared_with_a_row() {
        for rows in [GROWING, RULED, LOGGED] {
            let names: HashSet<_> = rows.iter().map(|row| row.name).collect();
            assert_eq!(names.len(), rows.len());
            assert!(rows.iter().all(|row| names.contains(row.compared_with)));
        }
    }
}
