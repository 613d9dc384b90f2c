//! Datagrams on their way to the kernel, in memory that is used again and again.

use std::net::SocketAddr;

use quinn_proto::Transmit;

use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::LocalAddress;

/// Who sends.
pub(super) trait PacketSink {
    /// Sends datagrams from an address of ours, if there are several.
    fn send(&mut self, datagrams: &Datagrams<'_>, to: SocketAddr, from: Option<LocalAddress>) -> Taken;
}

/// What became of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// Not now.
    Full,
    /// Some, at least, and never.
    Lost,
}

#[derive(Default)]
pub(super) struct Outgoing {
    /// What a connection has to send.
    pub(super) bytes: Vec<u8>,
    /// What the kernel did not take stays in `bytes` until it does: where to.
    held: Option<Transmit>,
    lost: u64,
}

impl Outgoing {
    /// Sends what stands in `bytes`; false if it is held, and nothing else can be sent before.
    pub(super) fn send(&mut self, transmit: &Transmit, sink: &mut impl PacketSink) -> bool {
        match self.try_send(transmit, &self.bytes, sink) {
            Taken::Full => {
                self.held = Some(Transmit { src_ip: transmit.src_ip, ..*transmit });
                false
            }
            Taken::Lost => {
                self.lost += datagrams_of(transmit);
                true
            }
            Taken::Yes => true,
        }
    }

    /// Sends what was held, if anything was; false if it still is.
    pub(super) fn send_held(&mut self, sink: &mut impl PacketSink) -> bool {
        self.held.take().is_none_or(|held| self.send(&held, sink))
    }

    /// Sends what the endpoint answers by itself. What the kernel does not take is lost: the client will ask again.
    pub(super) fn send_answer(&mut self, transmit: &Transmit, bytes: &[u8], sink: &mut impl PacketSink) {
        if self.try_send(transmit, bytes, sink) != Taken::Yes {
            self.lost += datagrams_of(transmit);
        }
    }

    /// The datagrams that were lost since this was last called, at most: of some that leave together, a part may have left.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn try_send(&self, transmit: &Transmit, bytes: &[u8], sink: &mut impl PacketSink) -> Taken {
        let bytes = bytes.get(..transmit.size).unwrap_or_default();
        let segment = transmit.segment_size.unwrap_or(bytes.len()).max(1);
        let ecn = transmit.ecn.map_or(0, |ecn| ecn as u8);
        let from =
            transmit.src_ip.map(|ip| LocalAddress { ip, interface: interface_of(transmit.destination) });
        sink.send(&Datagrams { bytes, segment, ecn }, transmit.destination, from)
    }
}

/// How many there are in what leaves in one system call.
pub(super) fn datagrams_of(transmit: &Transmit) -> u64 {
    let segment = transmit.segment_size.unwrap_or(transmit.size).max(1);
    transmit.size.div_ceil(segment) as u64
}

/// A link-local peer is behind the interface that its address names.
fn interface_of(peer: SocketAddr) -> u32 {
    match peer {
        SocketAddr::V6(peer) => peer.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}
