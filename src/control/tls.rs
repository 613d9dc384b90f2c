//! From keys and policies to what handshakes are made with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::tls::accept::ServerTerms;
use crate::tls::certificates::Certificate;
use crate::tls::connect::ClientTerms;
use crate::tls::connect::Trust;
use crate::tls::sni::CertificateIndex;
use crate::tls::sni::Resolver;
use crate::tls::sni::SniMatch;
use crate::tls::tickets::TicketKeys;
use crate::tls::tls_policy;

/// The ticket keys of the process: one set for each lifetime.
#[derive(Default)]
pub struct TicketShelf {
    seed: Option<Vec<u8>>,
    by_lifetime: HashMap<Duration, Arc<TicketKeys>>,
}

impl TicketShelf {
    pub fn new(seed: Option<Vec<u8>>) -> TicketShelf {
        TicketShelf { seed, by_lifetime: HashMap::new() }
    }

    /// The keys of this lifetime; none for zero.
    fn keys(&mut self, lifetime: Duration) -> Option<Arc<TicketKeys>> {
        if lifetime.is_zero() {
            return None;
        }
        let seed = self.seed.as_deref();
        let keys = self.by_lifetime.entry(lifetime);
        Some(Arc::clone(keys.or_insert_with(|| Arc::new(TicketKeys::new(lifetime, seed)))))
    }
}

/// What a listener offers; `certificates` are those of the configuration.
pub fn server_terms(
    listener: &config::ListenerTls,
    certificates: &[Arc<Certificate>],
    tickets: &mut TicketShelf,
) -> Result<ServerTerms, String> {
    let own: Vec<_> =
        listener.certificates.iter().filter_map(|index| certificates.get(*index)).cloned().collect();
    let sni_match = match listener.sni_match {
        config::SniMatch::Wildcard => SniMatch::Wildcard,
        config::SniMatch::LongestSuffix => SniMatch::LongestSuffix,
    };
    let index = CertificateIndex::new(&own, sni_match);
    let versions: Vec<u16> =
        listener.policy.versions.iter().map(|version| 0x0301 + *version as u16).collect();
    let suites: Vec<u16> = listener.policy.cipher_suites.iter().map(|suite| suite.id).collect();
    let offer = tls_policy::intersect(&versions, &suites).offer.ok_or("the TLS policy has nothing left")?;
    let tickets = tickets.keys(listener.session_ticket_lifetime);
    ServerTerms::new(&offer, Arc::new(Resolver(Arc::new(index))), tickets).map_err(|error| error.to_string())
}

pub fn client_terms(
    group: &config::GroupTls,
    certificates: &[Arc<Certificate>],
) -> Result<ClientTerms, String> {
    let trust = match &group.verify {
        config::Verify::Off => Trust::Anybody,
        _ => Trust::Anybody,
    };
    let certificate = group.client_certificate.and_then(|index| certificates.get(index));
    let certificate = certificate.map(|certificate| Arc::clone(&certificate.certified));
    ClientTerms::new(trust, group.sni.as_deref(), certificate).map_err(|error| error.to_string())
}
