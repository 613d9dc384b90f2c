//! How a session begins: whether its client may have one, and where it goes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::datagram::client_socket::DatagramSocket;
use crate::datagram::client_socket::SocketState;
use crate::datagram::dropped::DropReason;
use crate::datagram::proxied::ProxiedDatagrams;
use crate::datagram::record::UnservedLines;
use crate::datagram::session::ClientSession;
use crate::datagram::session::Passed;
use crate::datagram::session_table::SessionTable;
use crate::datagram::session_table::SessionToken;
use crate::datagram::upstream;
use crate::datagram::upstream::ForWhom;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::udp::readiness::ReadySet;
use crate::policy::balance::hash_key::FlowStart;
use crate::relay::Endpoints;
use crate::snapshot::Listener;
use crate::snapshot::client_connections::ClientShare;
use crate::snapshot::group::Group;
use crate::snapshot::refused_connections::ConnectionRefusal;
use crate::snapshot::request_limit::ExceededConnections;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::worker::Worker;
use crate::worker::counted::CountedConnection;

/// Where a session begins.
pub(super) struct SessionOpening<'s> {
    pub(super) worker: &'s Rc<Worker>,
    pub(super) ready: &'s ReadySet,
    pub(super) socket: &'s Rc<DatagramSocket>,
    pub(super) listener: &'s Listener,
    pub(super) group: &'s Group,
    /// After how many ticks of silence it is over.
    pub(super) idle_ticks: u64,
    pub(super) proxied: &'s RefCell<ProxiedDatagrams>,
    pub(super) unserved: &'s UnservedLines,
}

impl SessionOpening<'_> {
    /// Begins the session of a client, unless something speaks against it.
    pub(super) fn begin(
        &self,
        client: SocketAddr,
        local: Option<LocalAddress>,
        datagrams: &Datagrams<'_>,
        table: &mut SessionTable,
    ) -> Result<SessionToken, DropReason> {
        let SessionOpening { worker, ready, socket, listener, group, idle_ticks, .. } = *self;
        if socket.state() != SocketState::Serving {
            return Err(DropReason::Closing);
        }
        // What costs least, and what a flood meets first, comes first.
        if listener.access.as_ref().is_some_and(|access| !access.admits(client.ip())) {
            return Err(refused(ConnectionRefusal::AccessDenied, client, listener));
        }
        let counted = self.count()?;
        let second = worker.clock.wall(worker.clock.now()).as_secs();
        if !listener.connection_rate.acquire(second) {
            log_limit(DropReason::SessionRate, listener);
            return Err(DropReason::SessionRate);
        }
        let opened = self.share(client).and_then(|share| {
            let flow = self.flow(client, datagrams);
            let whom = ForWhom { flow, token: table.next_token(), refused_by: None };
            Ok((share, upstream::open(group, whom, ready, worker)?))
        });
        let (share, upstream) = opened.inspect_err(|_| listener.connection_rate.give_back(second))?;
        if let Some(counters) = &listener.counters {
            counters.accepted(worker.index);
        }
        let session = Box::new(ClientSession {
            client,
            local,
            socket: Rc::clone(socket),
            upstream: Some(upstream),
            refused_by: None,
            moves: 0,
            began: worker.clock.now(),
            last_tick: worker.timers.ticks(),
            from_client: Passed::default(),
            from_backend: Passed::default(),
            _share: share,
            counted,
            counters: listener.relay_counters(None, listener.default_group).map(Arc::clone),
        });
        Ok(table.insert(session, idle_ticks))
    }

    /// Tells of a client that gets no session because there is no backend for it.
    pub(super) fn log_unserved(&self, client: SocketAddr, reason: DropReason) {
        let SessionOpening { worker, socket, listener, group, unserved, .. } = *self;
        if let Some(reason) = reason.of_no_session() {
            let endpoints = Endpoints { listener, peer: client, port: socket.port };
            unserved.log(reason, &endpoints, group, worker);
        }
    }

    /// What decides where the datagrams of a client go.
    pub(super) fn flow<'f>(&self, client: SocketAddr, datagrams: &Datagrams<'f>) -> FlowStart<'f> {
        let first = datagrams.bytes.get(..datagrams.segment).unwrap_or(datagrams.bytes);
        FlowStart { client, port: self.socket.port, datagram: first }
    }

    /// Counts one more session against the quotas of process and listener.
    fn count(&self) -> Result<CountedConnection, DropReason> {
        let SessionOpening { worker, listener, .. } = *self;
        worker.count_connection(listener).ok_or_else(|| {
            log_limit(DropReason::SessionLimit, listener);
            DropReason::SessionLimit
        })
    }

    /// Counts one more session against what its client may have.
    fn share(&self, client: SocketAddr) -> Result<Option<ClientShare>, DropReason> {
        let SessionOpening { worker, listener, .. } = *self;
        let Some(limit) = &listener.client_connections else { return Ok(None) };
        let now_ns = worker.clock.shared_ns(worker.clock.now());
        limit.open(client.ip(), now_ns).map_err(|exceeded| {
            let refusal = match exceeded {
                ExceededConnections::Rate => ConnectionRefusal::ClientRate,
                ExceededConnections::Number => ConnectionRefusal::ClientNumber,
            };
            refused(refusal, client, listener)
        })
    }
}

fn refused(refusal: ConnectionRefusal, client: SocketAddr, listener: &Listener) -> DropReason {
    listener.refused.count(refusal);
    let (kind, keys) = match refusal {
        ConnectionRefusal::AccessDenied => (MessageKind::AccessDenied, "allow, deny"),
        ConnectionRefusal::ClientRate => (MessageKind::ConnectionLimit, "per_client.connections_per_second"),
        _ => (MessageKind::ConnectionLimit, "per_client.max_connections"),
    };
    log_repeatedly(kind, || {
        let (address, name) = (client.ip(), &listener.name);
        format!("warning: {address} gets no session at listener \"{name}\" ({keys})")
    });
    DropReason::Refused(refusal)
}

/// Tells the operator that datagrams of new clients are lost because of a limit.
fn log_limit(limit: DropReason, listener: &Listener) {
    log_repeatedly(MessageKind::ConnectionLimit, || {
        let name = &listener.name;
        let keys = match limit {
            DropReason::SessionRate => "connections_per_second",
            _ => "max_connections, process.max_connections",
        };
        format!(
            "warning: the limit of sessions is reached at listener \"{name}\" ({keys}); datagrams of new clients are lost"
        )
    });
}
