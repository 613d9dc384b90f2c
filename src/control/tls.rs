//! What handshakes are made with: credentials and policies, joined for each listener and group.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::GroupTls;
use crate::config::ListenerTls;
use crate::config::Verify;
use crate::control::credentials::Credentials;
use crate::tls::accept::ServerTerms;
use crate::tls::connect::ClientTerms;
use crate::tls::connect::Trust;
use crate::tls::sni::Resolver;
use crate::tls::tickets::TicketKeys;

/// The credentials in service, and the ticket keys of the process.
pub struct Security {
    pub credentials: Credentials,
    /// One set of keys for each lifetime of tickets.
    tickets: HashMap<Duration, Arc<TicketKeys>>,
}

impl Security {
    pub fn new(credentials: Credentials) -> Security {
        Security { credentials, tickets: HashMap::new() }
    }

    /// What the listener with this index offers; None if credentials are missing.
    pub fn server_terms(&mut self, index: usize, tls: &ListenerTls) -> Option<ServerTerms> {
        let tickets = self.tickets(tls.session_ticket_lifetime);
        let own = self.credentials.listeners.get(index)?.as_ref()?;
        let resolver = Arc::new(Resolver(Arc::clone(&own.index)));
        ServerTerms::new(&own.offer, resolver, tickets).ok()
    }

    /// How the backends of a group are spoken to; None if credentials are missing.
    pub fn client_terms(&self, tls: &GroupTls) -> Option<ClientTerms> {
        let trust = match &tls.verify {
            Verify::Off => Trust::Anybody,
            Verify::Ca(..) | Verify::System => return None,
        };
        let certificate = match tls.client_certificate {
            Some(index) => Some(Arc::clone(&self.credentials.certificates.get(index)?.as_ref()?.certified)),
            None => None,
        };
        ClientTerms::new(trust, tls.sni.as_deref(), certificate).ok()
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
