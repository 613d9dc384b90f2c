//! Which proxies are measured.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Ringway,
    RingwayBefore,
    Nginx,
    Haproxy,
    H2o,
    Relay,
}

impl Kind {
    const ALL: [Kind; 6] =
        [Kind::Ringway, Kind::RingwayBefore, Kind::Nginx, Kind::Haproxy, Kind::H2o, Kind::Relay];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ringway => "ringway",
            Kind::RingwayBefore => "ringway-before",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::H2o => "h2o",
            Kind::Relay => "relay",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Kind, String> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("no proxy `{name}`"))
    }

    /// The peers that the others are compared with.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Kind::Nginx | Kind::Haproxy | Kind::H2o)
    }

    pub(crate) fn how_to_get(self) -> &'static str {
        match self {
            Kind::Ringway => "cargo build --release, or --ringway PATH",
            Kind::RingwayBefore => "--baseline PATH",
            Kind::Nginx => "apt-get install nginx-light",
            Kind::Haproxy => "apt-get install haproxy",
            Kind::H2o => "apt-get install h2o",
            Kind::Relay => "cargo build --release -p ringway-bench",
        }
    }
}
