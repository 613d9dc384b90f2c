//! Whom a datagram is for: by the connection ID in it, an endpoint of this process or the process before.

use std::time::Instant;

use quinn_proto::ConnectionId;

use crate::quic::connection_id::ConnectionIds;
use crate::quic::succession::QuicPredecessor;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressee {
    Own,
    /// The endpoint with this index, whose connection it is of.
    Endpoint(u32),
    /// The endpoint with this index, as a client begins, which has chosen this ID.
    Beginning(u32, ConnectionId),
    /// The process that had our socket before.
    Predecessor,
}

impl Addressee {
    /// To be asked by the endpoint of these IDs, which has received the datagram.
    pub(super) fn of(
        datagram: &[u8],
        now: Instant,
        ids: &ConnectionIds,
        predecessor: Option<&QuicPredecessor>,
    ) -> Addressee {
        let own = ids.place().index;
        let Some(owner) = ids.owner_of_datagram(datagram) else {
            if predecessor.is_some_and(|known| known.has_begun(datagram, now)) {
                return Addressee::Predecessor;
            }
            return match ids.endpoint_for_beginning(datagram) {
                Some((index, id)) if index != own => Addressee::Beginning(index, id),
                _ => Addressee::Own,
            };
        };
        if owner.index != own {
            return Addressee::Endpoint(owner.index);
        }
        let is_old = owner.generation != ids.generation() && predecessor.is_some();
        if is_old { Addressee::Predecessor } else { Addressee::Own }
    }
}
