//! What rules may say of the TLS connection that a request came by.

use crate::policy::identity::Fact;
use crate::policy::identity::IdentityFacts;
use crate::policy::identity::push_escaped;

/// Values for headers, made once a connection. Those that are not known, or that nobody wants, are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionValues(Box<[(Fact, Box<[u8]>)]>);

impl ConnectionValues {
    /// The values of the facts that are wanted, in visible ASCII and spaces.
    pub fn gather(wanted: &[Fact], facts: &IdentityFacts<'_>) -> ConnectionValues {
        let known = wanted.iter().filter_map(|fact| {
            let mut value = Vec::new();
            push_escaped(&mut value, facts.value(*fact)?.as_bytes());
            Some((*fact, value.into()))
        });
        ConnectionValues(known.collect())
    }

    /// The value of a fact; empty if there is none.
    pub fn get(&self, fact: Fact) -> &[u8] {
        let known = self.0.iter().find(|(known, _)| *known == fact);
        known.map_or(&[], |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_and_known_is_kept() {
        let facts = IdentityFacts {
            verify: "NONE",
            certificate: None,
            ciphers: None,
            tls_protocol: "TLSv1.3",
            tls_cipher: "TLS_AES_128_GCM_SHA256",
            tls_sni: Some("a\r\nb"),
            tls_alpn_protocol: None,
            tls_resumed: true,
            tls_ja3: None,
            tls_ja4: None,
            tls_certificate_id: None,
        };
        let wanted = [Fact::TlsSni, Fact::TlsResumed, Fact::TlsAlpnProtocol, Fact::SubjectDn];
        let values = ConnectionValues::gather(&wanted, &facts);
        assert_eq!(values.get(Fact::TlsSni), b"a\\0D\\0Ab");
        assert_eq!(values.get(Fact::TlsResumed), b"true");
        for fact in [Fact::TlsProtocol, Fact::TlsAlpnProtocol, Fact::SubjectDn] {
            assert_eq!(values.get(fact), b"", "{fact:?}");
        }
    }
}
