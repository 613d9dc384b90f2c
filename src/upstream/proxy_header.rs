//! What a backend is told of a client by the PROXY protocol, on the terms of its group.

use crate::policy::proxy_header::ProxyHeaderTerms;
use crate::policy::proxy_header::ProxyVersion;
use crate::proto::proxy_protocol::write;
use crate::proto::proxy_protocol::write::HeaderBytes;
use crate::proto::proxy_protocol::write::HeaderFacts;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::proxy_protocol::parse::HeaderParse;
    use crate::proto::proxy_protocol::parse::parse;

    #[test]
    fn what_is_said_for_nobody_is_read_so() {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let header = version.header_of_nobody();
            let Ok(HeaderParse::Complete(read)) = parse(header) else { panic!("it is whole") };
            assert_eq!((read.source, read.length, read.tlvs), (None, header.len(), &b""[..]));
        }
    }
}
