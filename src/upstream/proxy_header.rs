//! What a backend is told of a client by the PROXY protocol, on the terms of its group.

use crate::policy::proxy_header::ProxyHeaderTerms;
use crate::policy::proxy_header::ProxyVersion;
use crate::proto::proxy_protocol::write;
use crate::proto::proxy_protocol::write::HeaderBytes;
use crate::proto::proxy_protocol::write::HeaderFacts;

/// The header of a connection that serves no client, such as that of a health check.
pub fn of_nobody(version: ProxyVersion) -> &'static [u8] {
    match version {
        ProxyVersion::V1 => write::UNKNOWN,
        ProxyVersion::V2 => &write::LOCAL,
    }
}

/// The header to stand before everything else on a connection that serves this client alone; see
/// [`ConnectTarget::preface`](crate::upstream::connect::ConnectTarget::preface).
pub fn write(terms: ProxyHeaderTerms, facts: &HeaderFacts<'_>) -> HeaderBytes {
    match terms.version {
        ProxyVersion::V1 => write::write_v1(facts),
        ProxyVersion::V2 => {
            let received = if terms.passes_tlvs { facts.received } else { b"" };
            write::write_v2(&HeaderFacts { received, ..*facts })
        }
    }
}
