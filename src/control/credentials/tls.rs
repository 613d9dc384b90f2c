//! What handshakes are made with: credentials and policies, joined for each listener and group.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::config::Config;
use crate::config::GroupProtocol;
use crate::config::ServerGroup;
use crate::config::Verify;
use crate::control::credentials::Credentials;
use crate::control::credentials::authorities;
use crate::control::handover::state::CarriedSecrets;
use crate::policy::balance::hash_key::hash;
use crate::tls::accept::ClientAuth;
use crate::tls::accept::DownstreamTls;
use crate::tls::accept::http_protocols;
use crate::tls::client_verifier::ClientAuthMode;
use crate::tls::connect::Alpn;
use crate::tls::connect::Trust;
use crate::tls::connect::UpstreamTls;
use crate::tls::quic_keys::QuicKeys;
use crate::tls::sni::Resolver;
use crate::tls::sticky_key::StickyKey;
use crate::tls::tickets::CarriedTicketKey;
use crate::tls::tickets::TicketKeys;

/// The credentials in service, and the ticket keys of the process.
pub struct Security {
    pub credentials: Credentials,
    /// One set of keys for each lifetime of tickets.
    tickets: HashMap<Duration, Arc<TicketKeys>>,
    /// What sticky cookies are made with.
    pub sticky_key: StickyKey,
    /// What connection IDs, Retry and stateless resets of QUIC are made with.
    pub quic_keys: Arc<QuicKeys>,
    /// Connection IDs say so: those of another process are not ours.
    pub quic_generation: u8,
}

impl Security {
    pub fn new(credentials: Credentials) -> Security {
        Security::inheriting(credentials, &CarriedSecrets::default())
    }

    /// Goes on with the keys of another process, so that what clients hold keeps its meaning. With a seed, all keys
    /// come from that.
    pub fn inheriting(credentials: Credentials, secrets: &CarriedSecrets) -> Security {
        let seed = credentials.ticket_seed.as_deref();
        let carried = if seed.is_none() { StickyKey::restored(&secrets.sticky_key) } else { None };
        let sticky_key = carried.unwrap_or_else(|| StickyKey::new(seed));
        let carried = if seed.is_none() { QuicKeys::restored(&secrets.quic_keys) } else { None };
        let quic_keys = Arc::new(carried.unwrap_or_else(|| QuicKeys::new(seed)));
        let quic_generation = secrets.quic_generation.wrapping_add(1);
        let tickets = secrets.tickets.iter().map(|(lifetime_s, keys)| {
            let lifetime = Duration::from_secs(*lifetime_s);
            let keys = keys.iter().cloned();
            let keys: Vec<_> = keys.map(|(epoch, material)| CarriedTicketKey { epoch, material }).collect();
            (lifetime, Arc::new(TicketKeys::restored(lifetime, seed, &keys)))
        });
        let tickets = tickets.filter(|(lifetime, _)| !lifetime.is_zero()).collect();
        Security { credentials, tickets, sticky_key, quic_keys, quic_generation }
    }

    /// What a successor of the process goes on with.
    pub fn carried(&self) -> CarriedSecrets {
        let tickets = self.tickets.iter().map(|(lifetime, keys)| {
            let keys = keys.carried().into_iter();
            (lifetime.as_secs(), keys.map(|CarriedTicketKey { epoch, material }| (epoch, material)).collect())
        });
        CarriedSecrets {
            tickets: tickets.collect(),
            sticky_key: self.sticky_key.carried().to_vec(),
            quic_keys: self.quic_keys.carried().to_vec(),
            quic_generation: self.quic_generation,
        }
    }

    /// Goes on with other credentials. The keys of tickets and sticky cookies stay, and with them what clients
    /// hold.
    pub fn replace(&mut self, credentials: Credentials) -> Credentials {
        std::mem::replace(&mut self.credentials, credentials)
    }

    /// What the listener with this index offers; None if credentials are missing.
    pub fn downstream_tls(&mut self, index: usize, config: &Config) -> Option<DownstreamTls> {
        let listener = config.listeners.get(index)?;
        let tls = listener.tls.as_ref()?;
        let tickets = self.tickets(tls.session_ticket_lifetime);
        let own = self.credentials.listeners.get(index)?.as_ref()?;
        let resolver =
            Arc::new(Resolver { index: Arc::clone(&own.index), refuses_unknown: tls.refuses_unknown_sni });
        let mode = match listener.client_auth.mode {
            config::ClientAuthMode::Off => None,
            config::ClientAuthMode::Optional => Some(ClientAuthMode::Optional),
            config::ClientAuthMode::Require => Some(ClientAuthMode::Require),
        };
        let client_auth = match mode {
            None => None,
            Some(mode) => {
                let authorities = authorities::of_listener(listener, &self.credentials.authorities)?;
                Some(ClientAuth { mode, authorities })
            }
        };
        let terms =
            DownstreamTls::new(&own.offer, resolver, tickets, client_auth, &protocols(listener)).ok()?;
        let terms = terms.with_index(Arc::clone(&own.index));
        Some(terms.with_fingerprints(config.wants_fingerprints(index)))
    }

    /// How the backends of a group are spoken to; None in cleartext, and if credentials are missing.
    pub fn upstream_tls(&self, group: &ServerGroup) -> Option<UpstreamTls> {
        let tls = group.tls.as_ref()?;
        let trust = match &tls.verify {
            Verify::Off => Trust::Anybody,
            Verify::Ca(index) => {
                let authority = self.credentials.authorities.get(*index)?.authority.as_ref()?;
                Trust::Ca(Arc::clone(authority))
            }
            Verify::System => Trust::System(self.credentials.system_roots.clone()?),
        };
        let certificate = match tls.client_certificate {
            Some(index) => Some(Arc::clone(&self.credentials.certificates.get(index)?.as_ref()?.certified)),
            None => None,
        };
        UpstreamTls::new(trust, tls.sni.as_deref(), certificate, alpn(group)).ok()
    }

    /// Differs, in all likelihood, when the backends of a group are trusted or spoken to in another way; 0
    /// only in cleartext. It tells which connections can go on after a reload.
    pub fn tls_fingerprint(&self, group: &ServerGroup) -> u64 {
        let Some(tls) = &group.tls else { return 0 };
        let mut told = vec![alpn(group) as u8];
        match &tls.verify {
            Verify::Off => told.push(0),
            Verify::System => told.push(1),
            Verify::Ca(index) => {
                told.push(2);
                let authority = self.credentials.authorities.get(*index);
                let authority = authority.and_then(|loaded| loaded.authority.as_ref());
                told.extend(authority.map(|authority| authority.digest()).unwrap_or_default());
            }
        }
        let certificate = tls.client_certificate.and_then(|index| self.credentials.certificates.get(index));
        for part in certificate.and_then(Option::as_ref).iter().flat_map(|known| &known.certified.cert) {
            told.extend_from_slice(part);
        }
        told.push(0);
        told.extend_from_slice(tls.sni.as_deref().unwrap_or_default().as_bytes());
        hash(&told).max(1)
    }

    /// The keys for tickets of this lifetime; none for zero.
    fn tickets(&mut self, lifetime: Duration) -> Option<Arc<TicketKeys>> {
        if lifetime.is_zero() {
            return None;
        }
        let seed = self.credentials.ticket_seed.as_deref();
        let keys = self.tickets.entry(lifetime);
        Some(Arc::clone(keys.or_insert_with(|| Arc::new(TicketKeys::new(lifetime, seed)))))
    }
}

/// The protocols that clients of a listener can agree on.
fn protocols(listener: &config::Listener) -> Vec<Vec<u8>> {
    match &listener.protocol {
        config::ListenerProtocol::Http(http) => http_protocols(http.http2),
        config::ListenerProtocol::Stream(stream) => {
            stream.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect()
        }
        // Datagrams of TLS are not opened.
        config::ListenerProtocol::Datagram(_) => Vec::new(),
    }
}

fn alpn(group: &ServerGroup) -> Alpn {
    match group.protocol {
        GroupProtocol::Grpc | GroupProtocol::H2c => Alpn::Http2,
        GroupProtocol::Https if group.http2 => Alpn::Both,
        GroupProtocol::Http | GroupProtocol::Https => Alpn::Http1,
        GroupProtocol::Tcp | GroupProtocol::Tls | GroupProtocol::Udp => Alpn::None,
    }
}
