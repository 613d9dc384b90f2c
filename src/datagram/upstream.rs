//! The backend of a session: chosen, connected to, and left when it does not serve any more.

use std::sync::Arc;

use crate::datagram::dropped::DropReason;
use crate::datagram::session::Upstream;
use crate::datagram::session_table::SessionToken;
use crate::net::address::Address;
use crate::net::connect::ConnectError;
use crate::net::udp::connected::ConnectedUdp;
use crate::net::udp::readiness::ReadySet;
use crate::policy::balance::hash_key::FlowStart;
use crate::relay;
use crate::snapshot::group::Group;
use crate::telemetry::reason::Reason;
use crate::upstream::balancer::InFlight;
use crate::upstream::connect;
use crate::upstream::selection::NoChoice;
use crate::upstream::selection::Selection;
use crate::worker::Worker;

/// Whose session it is, and what speaks against a backend.
#[derive(Clone, Copy)]
pub(super) struct ForWhom<'f> {
    pub(super) flow: FlowStart<'f>,
    pub(super) token: SessionToken,
    /// The lower half of the identity of the backend that has just refused.
    pub(super) refused_by: Option<u32>,
}

/// Chooses a backend for a session and connects a socket to it. One that there is no way to makes room for another.
pub(super) fn open(
    group: &Group,
    whom: ForWhom<'_>,
    ready: &ReadySet,
    worker: &Worker,
) -> Result<Upstream, DropReason> {
    let preference = relay::preference(group, &whom.flow, worker);
    let selection = Selection::new(group, preference, &worker.balancer);
    let refused_by = whom.refused_by.and_then(|identity| group.by_identity(identity));
    refused_by.into_iter().for_each(|member| selection.avoid(member));
    let mut chosen = match (selection.choose(), refused_by) {
        // Nobody else is there, and it may be back.
        (Err(_), Some(member)) if worker.balancer.may_choose(group, member) => member,
        (choice, _) => choice.map_err(no_backend)?,
    };
    for _ in 0..=group.max_retries {
        let in_flight = worker.balancer.begin(group, chosen);
        match connect_member(group, chosen, &whom, ready) {
            Ok(socket) => {
                let backend = match group.member(chosen as usize) {
                    Some(member) => Arc::clone(&member.backend),
                    None => return Err(DropReason::Unreachable),
                };
                relay::remember(preference, group, chosen, worker);
                let has_room = selection.keep_room();
                let in_flight = in_flight.map(InFlight::keep);
                let counters = group.counters.clone();
                return Ok(Upstream { socket, backend, group: group.slot, in_flight, has_room, counters });
            }
            Err(ConnectFailure::Local(reason)) => {
                in_flight.iter().for_each(InFlight::never_sent);
                drop(in_flight);
                // Another one may be of the client's family.
                chosen = selection.choose().map_err(|_| DropReason::NoBackend(reason))?;
            }
            Err(ConnectFailure::NoWay) => {
                drop(in_flight);
                worker.balancer.note_failure(group, chosen);
                // Nobody else is left, whom there might be a way to.
                chosen = selection.choose().map_err(|_| DropReason::Unreachable)?;
            }
        }
    }
    Err(DropReason::Unreachable)
}

fn no_backend(choice: NoChoice) -> DropReason {
    DropReason::NoBackend(choice.reason())
}

enum ConnectFailure {
    /// This host is short of something, which says nothing of the backend.
    Local(Reason),
    NoWay,
}

fn connect_member(
    group: &Group,
    member: u32,
    whom: &ForWhom<'_>,
    ready: &ReadySet,
) -> Result<ConnectedUdp, ConnectFailure> {
    let member = group.member(member as usize).ok_or(ConnectFailure::NoWay)?;
    // The configuration has no other address in such a group.
    let address = match *member.backend.address.for_client_at(whom.flow.port) {
        Address::Ip(address) => address,
        Address::Unix(_) => return Err(ConnectFailure::NoWay),
    };
    let source = group.source_for(whom.flow.client.ip());
    let socket = ConnectedUdp::connect(address, source).map_err(|error| match error {
        ConnectError::NoSource(problem) => {
            connect::log_no_source(&member.backend, source, problem);
            ConnectFailure::Local(Reason::NoSource)
        }
        ConnectError::NoDescriptor => ConnectFailure::Local(Reason::NoDescriptor),
        ConnectError::NoLocalPort => ConnectFailure::Local(Reason::NoLocalPort),
        _ => ConnectFailure::NoWay,
    })?;
    // What fails here is memory of the kernel.
    ready.add(&socket, whom.token.bits()).map_err(|_| ConnectFailure::Local(Reason::NoDescriptor))?;
    Ok(socket)
}

/// Gives back what a session had at its backend, whose socket is closed.
pub(super) fn close(upstream: Upstream, worker: &Worker) {
    drop(let_go(upstream, worker));
}

/// The same, but for the socket.
pub(super) fn let_go(upstream: Upstream, worker: &Worker) -> ConnectedUdp {
    if upstream.has_room {
        upstream.backend.room.release();
    }
    drop(upstream.in_flight.map(|counted| worker.balancer.resume(counted)));
    upstream.socket
}

/// Whether a session has to leave its backend: its listener sends to another group now, or the backend does not serve
/// and others do, or its drain is over.
pub(super) fn has_to_leave(upstream: &Upstream, group: &Group, worker: &Worker) -> bool {
    let health = &upstream.backend.health;
    if upstream.group != group.slot || health.drain_expired() {
        return true;
    }
    let is_chosen = || {
        let member = group.by_identity(upstream.backend.identity as u32);
        member.is_some_and(|member| worker.balancer.may_choose(group, member))
    };
    !health.is_available() && !is_chosen()
}

/// Notes that the backend of a session failed, by which it may be taken out of service.
pub(super) fn note_failure(upstream: &Upstream, worker: &Worker) {
    let snapshot = worker.snapshot();
    let group = snapshot.groups.iter().find(|group| group.slot == upstream.group);
    let member = group.and_then(|group| Some((group, group.by_identity(upstream.backend.identity as u32)?)));
    if let Some((group, member)) = member {
        worker.balancer.note_failure(group, member);
    }
}
