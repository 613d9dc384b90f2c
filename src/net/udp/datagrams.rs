//! What is received and sent: a datagram, or several that travel together.

use std::net::IpAddr;

/// A datagram, or several of one sender to one receiver that came, or are to leave, as one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagrams<'b> {
    /// The payloads, one behind the other.
    pub bytes: &'b [u8],
    /// Bytes of each payload but the last, which may have fewer; at least 1. What has no more is one datagram.
    pub segment: usize,
    /// The two bits of explicit congestion notification (RFC 3168 §5).
    pub ecn: u8,
}

/// Where a datagram came to, and from where an answer has to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalAddress {
    pub ip: IpAddr,
    /// The index of the interface to which a link-local address belongs; 0 for others.
    pub interface: u32,
}

/// The bits of a traffic class that tell of congestion.
pub(super) const ECN_MASK: u8 = 0b11;

impl<'b> Datagrams<'b> {
    /// One datagram.
    pub fn single(bytes: &'b [u8]) -> Datagrams<'b> {
        Datagrams { bytes, segment: bytes.len().max(1), ecn: 0 }
    }

    /// How many they are; at least 1, for a datagram may be empty.
    pub fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment).max(1)
    }

    /// The first `count` of them, and the others if there are any.
    pub fn split(&self, count: usize) -> (Datagrams<'b>, Option<Datagrams<'b>>) {
        match self.bytes.split_at_checked(count.saturating_mul(self.segment)) {
            Some((first, rest)) if !rest.is_empty() => {
                (Datagrams { bytes: first, ..*self }, Some(Datagrams { bytes: rest, ..*self }))
            }
            _ => (*self, None),
        }
    }

    /// Each for itself.
    pub fn each(&self) -> impl Iterator<Item = &'b [u8]> {
        let empty: Option<&[u8]> = self.bytes.is_empty().then_some(&[]);
        empty.into_iter().chain(self.bytes.chunks(self.segment))
    }
}
