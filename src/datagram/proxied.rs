//! Datagrams whose backend is told of the client: each stands behind a header of the PROXY protocol, as the specification
//! has it for UDP (`doc/proxy-protocol.txt` §2) and DNS servers read it.

use std::net::SocketAddr;

use crate::datagram::client_socket::DatagramSocket;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::datagrams::LocalAddress;
use crate::policy::proxy_header::ProxyHeaderTerms;
use crate::upstream::proxied_client;

/// Room for datagrams with their headers, which is used again and again.
#[derive(Default)]
pub(super) struct ProxiedDatagrams(Vec<u8>);

impl ProxiedDatagrams {
    /// These datagrams of a client, which sent them to this address of the socket, each behind the header.
    pub(super) fn of<'b>(
        &'b mut self,
        (client, local): (SocketAddr, Option<LocalAddress>),
        socket: &DatagramSocket,
        terms: ProxyHeaderTerms,
        datagrams: &Datagrams<'_>,
    ) -> Datagrams<'b> {
        let asked = local.map_or(socket.address.ip(), |local| local.ip);
        let destination = SocketAddr::new(asked, socket.port);
        let header = proxied_client::header_of_datagram(terms, client, destination);
        self.put(&header, datagrams)
    }

    fn put<'b>(&'b mut self, header: &[u8], datagrams: &Datagrams<'_>) -> Datagrams<'b> {
        self.0.clear();
        for payload in datagrams.each() {
            self.0.extend_from_slice(header);
            self.0.extend_from_slice(payload);
        }
        Datagrams { bytes: &self.0, segment: header.len() + datagrams.segment, ecn: datagrams.ecn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_datagram_has_the_header() {
        let mut room = ProxiedDatagrams::default();
        for (bytes, segment, expected) in [
            (&b"aabbc"[..], 2, &[&b"H-aa"[..], b"H-bb", b"H-c"][..]),
            (b"aabb", 2, &[b"H-aa", b"H-bb"]),
            (b"one", 3, &[b"H-one"]),
            (b"", 1, &[b"H-"]),
        ] {
            let came = Datagrams { bytes, segment, ecn: 1 };
            let put = room.put(b"H-", &came);
            assert_eq!(
                (put.each().collect::<Vec<_>>(), put.count(), put.ecn),
                (expected.to_vec(), came.count(), 1)
            );
        }
    }
}
