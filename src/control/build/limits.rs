//! Limits on requests and connections: what they have counted stays over reloads, by the names of listeners and rules.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config;
use crate::policy::balance::hash_key::hash;
use crate::policy::pacing::Bandwidth;
use crate::policy::rate_limit::RateLimit;
use crate::snapshot::bandwidth::BandwidthDue;
use crate::snapshot::bandwidth::BandwidthLimit;
use crate::snapshot::bandwidth::ClientBandwidth;
use crate::snapshot::bandwidth::ListenerBandwidth;
use crate::snapshot::client_connections::ClientConnections;
use crate::snapshot::client_rates::ClientRates;
use crate::snapshot::request_limit::ClientConnectionLimit;
use crate::snapshot::request_limit::ClientLimit;
use crate::snapshot::request_limit::MaxConnections;
use crate::snapshot::request_limit::RequestLimit;
use crate::snapshot::request_limit::SharedRate;

/// What limits have counted.
#[derive(Default)]
pub(super) struct Counts {
    /// By the kind and the name of whose limit it is.
    pub(super) shared: HashMap<(LimitOwner, String), Arc<SharedRate>>,
    /// The same with the bytes per second.
    pub(super) bandwidths: HashMap<(LimitOwner, String, u64), Arc<BandwidthDue>>,
    /// There from the first limit on that needs them.
    pub(super) rates: Option<Arc<ClientRates>>,
    connections: Option<Arc<ClientConnections>>,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LimitOwner {
    Rule,
    /// Requests of a listener.
    Listener,
    /// New connections of a listener.
    Connections,
    /// Bytes of each client of a listener.
    Bandwidth,
}

impl LimitOwner {
    const ALL: [LimitOwner; 4] =
        [LimitOwner::Rule, LimitOwner::Listener, LimitOwner::Connections, LimitOwner::Bandwidth];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            LimitOwner::Rule => "rule",
            LimitOwner::Listener => "listener",
            LimitOwner::Connections => "connections",
            LimitOwner::Bandwidth => "bandwidth",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<LimitOwner> {
        LimitOwner::ALL.into_iter().find(|owner| owner.as_str() == name)
    }
}

impl Counts {
    /// Forgets what no snapshot uses.
    pub(super) fn tidy(&mut self) {
        self.bandwidths.retain(|_, due| Arc::strong_count(due) > 1);
        self.shared.retain(|_, shared| Arc::strong_count(shared) > 1);
    }

    /// None if nothing is limited.
    pub(super) fn request_limit(
        &mut self,
        (owner, name): (LimitOwner, &str),
        wanted: config::RequestRates,
    ) -> Option<Box<RequestLimit>> {
        let config::RequestRates { requests_per_second, per_client_requests_per_second, burst } = wanted;
        let total = (requests_per_second > 0).then(|| {
            let shared = self.shared.entry((owner, name.to_owned())).or_default();
            (RateLimit::new(requests_per_second, burst), Arc::clone(shared))
        });
        let per_client = self.client_limit((owner, name), per_client_requests_per_second, burst);
        (total.is_some() || per_client.is_some()).then(|| Box::new(RequestLimit { total, per_client }))
    }

    /// The same of a listener.
    pub(super) fn listener_limit(&mut self, listener: &config::Listener) -> Option<Box<RequestLimit>> {
        let rates = config::RequestRates {
            requests_per_second: listener.http().map_or(0, |http| http.requests_per_second),
            per_client_requests_per_second: listener.per_client.requests_per_second,
            burst: listener.per_client.burst,
        };
        self.request_limit((LimitOwner::Listener, &listener.name), rates)
    }

    fn client_limit(
        &mut self,
        (owner, name): (LimitOwner, &str),
        per_second: u32,
        burst: u32,
    ) -> Option<ClientLimit> {
        (per_second > 0).then(|| ClientLimit {
            limit: RateLimit::new(per_second, burst),
            number: number(owner, name),
            rates: Arc::clone(self.rates.get_or_insert_default()),
        })
    }

    /// None if nothing is limited.
    pub(super) fn bandwidth(
        &mut self,
        (owner, name): (LimitOwner, &str),
        bytes_per_second: u64,
    ) -> Option<BandwidthLimit> {
        (bytes_per_second > 0).then(|| {
            // Another rate owes nothing of what was owed before.
            let due = self.bandwidths.entry((owner, name.to_owned(), bytes_per_second)).or_default();
            BandwidthLimit { bandwidth: Bandwidth::new(bytes_per_second), due: Arc::clone(due) }
        })
    }

    /// The same of a listener and each of its clients.
    pub(super) fn listener_bandwidth(
        &mut self,
        listener: &config::Listener,
    ) -> Option<Box<ListenerBandwidth>> {
        let owner = (LimitOwner::Listener, listener.name.as_str());
        let total = self.bandwidth(owner, listener.bandwidth_bytes_per_second());
        let bytes_per_second = listener.per_client.bandwidth_bytes_per_second;
        let per_client = (bytes_per_second > 0).then(|| ClientBandwidth {
            bandwidth: Bandwidth::new(bytes_per_second),
            number: number(LimitOwner::Bandwidth, &listener.name),
            rates: Arc::clone(self.rates.get_or_insert_default()),
        });
        (total.is_some() || per_client.is_some()).then(|| Box::new(ListenerBandwidth { total, per_client }))
    }

    /// What each client of a listener may open and have; None: as much as it likes.
    pub(super) fn client_connections(
        &mut self,
        listener: &config::Listener,
    ) -> Option<Box<ClientConnectionLimit>> {
        let config::PerClient { connections_per_second, max_connections, .. } = listener.per_client;
        let owner = (LimitOwner::Connections, listener.name.as_str());
        let rate = self.client_limit(owner, connections_per_second, 0);
        let max = (max_connections > 0).then(|| MaxConnections {
            max: max_connections,
            number: number(LimitOwner::Connections, &listener.name),
            connections: Arc::clone(self.connections.get_or_insert_default()),
        });
        (rate.is_some() || max.is_some()).then(|| Box::new(ClientConnectionLimit { rate, max }))
    }
}

/// Tells limits apart in tables that they share.
fn number(owner: LimitOwner, name: &str) -> u64 {
    hash(format!("{owner:?} {name}").as_bytes())
}
