//! The PROXY header of connections that Ringway opens to backends for itself: health checks and the doctor's.

use std::net::SocketAddr;

use crate::policy::proxy_header::ProxyVersion;
use crate::proto::proxy_protocol::write::HeaderBytes;
use crate::proto::proxy_protocol::write::HeaderFacts;
use crate::proto::proxy_protocol::write::ProxiedTransport;
use crate::proto::proxy_protocol::write::write_v1;

/// What such a connection begins with. `endpoints` are its own, ours first; None: it is no connection of TCP.
///
/// Version 1 names them instead of saying `UNKNOWN`: Apache's mod_remoteip reads 16 bytes of that line, which has 15, and
/// refuses the connection when more has come.
pub(super) fn own_header(version: ProxyVersion, endpoints: Option<(SocketAddr, SocketAddr)>) -> HeaderBytes {
    match (version, endpoints) {
        (ProxyVersion::V1, Some((client, destination))) => write_v1(&HeaderFacts {
            client,
            destination,
            transport: ProxiedTransport::Tcp,
            tls: None,
            unique_id: b"",
            passed_name: "",
            received: b"",
        }),
        _ => version.header_of_nobody().iter().copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_names_the_ends_of_the_connection() {
        let endpoints = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let header = own_header(ProxyVersion::V1, Some(endpoints));
        assert_eq!(&header[..], b"PROXY TCP4 10.0.0.1 10.0.0.2 40000 80\r\n");
        assert_eq!(&own_header(ProxyVersion::V1, None)[..], b"PROXY UNKNOWN\r\n");
        assert_eq!(own_header(ProxyVersion::V2, Some(endpoints)).len(), 16);
    }
}
