//! A session: who a client is, to which backend its datagrams go, and what was counted of it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::datagram::client_socket::DatagramSocket;
use crate::net::clock::Moment;
use crate::net::udp::connected::ConnectedUdp;
use crate::net::udp::datagrams::LocalAddress;
use crate::snapshot::DatagramListener;
use crate::snapshot::backend::Backend;
use crate::snapshot::client_connections::ClientShare;
use crate::telemetry::group_counters::GroupCounters;
use crate::telemetry::relay_counters::RelayCounters;
use crate::upstream::balancer::CountedInFlight;
use crate::worker::counted::CountedConnection;

/// See the module. There may be tens of thousands, so it is small.
pub(super) struct ClientSession {
    pub(super) client: SocketAddr,
    /// The address that the client sends to, where the socket has several.
    pub(super) local: Option<LocalAddress>,
    pub(super) socket: Rc<DatagramSocket>,
    /// None once a backend has refused, until the client sends again.
    pub(super) upstream: Option<Upstream>,
    /// The lower half of the identity of the backend that refused last.
    pub(super) refused_by: Option<u32>,
    /// How often another backend took the place of one.
    pub(super) moves: u32,
    pub(super) began: Moment,
    /// The tick of the last datagram of either side.
    pub(super) last_tick: u64,
    pub(super) from_client: Passed,
    pub(super) from_backend: Passed,
    /// What the client counts for, where sessions of each are limited.
    pub(super) _share: Option<ClientShare>,
    pub(super) counted: CountedConnection,
    /// None: nothing is counted.
    pub(super) counters: Option<Arc<RelayCounters>>,
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
}

/// The backend of a session.
pub(super) struct Upstream {
    pub(super) socket: ConnectedUdp,
    pub(super) backend: Arc<Backend>,
    /// The slot of its group.
    pub(super) group: u32,
    /// None only where there are more backends than can be counted.
    pub(super) in_flight: Option<CountedInFlight>,
    /// It counts against what the backend may have at a time.
    pub(super) has_room: bool,
    /// Those of its group; None: nothing is counted.
    pub(super) counters: Option<Arc<GroupCounters>>,
}

impl Passed {
    pub(super) fn add(&mut self, datagrams: usize, bytes: usize) {
        self.datagrams += datagrams as u64;
        self.bytes += bytes as u64;
    }
}

impl ClientSession {
    /// How many datagrams of the client still belong to it.
    pub(super) fn requests_left(&self, terms: &DatagramListener) -> usize {
        match terms.requests {
            0 => usize::MAX,
            most => u64::from(most).saturating_sub(self.from_client.datagrams) as usize,
        }
    }

    /// Whether the client has had all the answers that its datagrams are to get.
    pub(super) fn is_complete(&self, terms: &DatagramListener) -> bool {
        let Some(responses) = terms.responses else { return false };
        let expected = self.from_client.datagrams.saturating_mul(responses.into());
        self.has_all_requests(terms) && self.from_backend.datagrams >= expected
    }

    /// Where the number of requests is limited, whether all have come.
    fn has_all_requests(&self, terms: &DatagramListener) -> bool {
        terms.requests == 0 || self.requests_left(terms) == 0
    }
}
