//! What a server offers, as rustls is told, and what of it a particular client is offered.

use std::sync::Arc;

use rustls::Error;
use rustls::ServerConfig;
use rustls::SupportedCipherSuite;

use crate::tls::client_hello::ClientOffer;
use crate::tls::tls_policy::Offer;

/// One for all connections of a listener.
pub(super) struct ServerConfigs {
    usual: Arc<ServerConfig>,
    /// With the suites of TLS 1.3 whose hash has so many bytes only, in case a client has to be asked for
    /// another key share.
    ///
    /// Then it drops from its second ClientHello each session that is bound to another hash than that of the
    /// suite we chose (RFC 8446 §4.1.2). rustls takes a ClientHello without any, behind one with some, for
    /// an error: missing_extension. A foreign session must not make a handshake fail, so a suite is chosen
    /// that one of the sessions can stay for.
    by_hash: Vec<Arc<ServerConfig>>,
}

impl ServerConfigs {
    /// `configure` makes the configuration of an offer.
    pub(super) fn new(
        offer: &Offer,
        configure: impl Fn(&Offer) -> Result<ServerConfig, Error>,
    ) -> Result<ServerConfigs, Error> {
        let mut hashes: Vec<usize> = offer.suites.iter().filter_map(session_hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut by_hash = Vec::new();
        for hash in hashes.iter().copied().filter(|_| hashes.len() > 1) {
            let has_hash = |suite: &&SupportedCipherSuite| session_hash(suite).is_none_or(|its| its == hash);
            let suites = offer.suites.iter().filter(has_hash).copied().collect();
            let narrowed = Offer { versions: offer.versions.clone(), suites };
            by_hash.push(Arc::new(configure(&narrowed)?));
        }
        Ok(ServerConfigs { usual: Arc::new(configure(offer)?), by_hash })
    }

    pub(super) fn usual(&self) -> &Arc<ServerConfig> {
        &self.usual
    }

    /// The one for a client that offers this.
    pub(super) fn of(&self, offered: &ClientOffer<'_>) -> &Arc<ServerConfig> {
        if self.by_hash.is_empty() || !self.asks_for_share(offered) {
            return &self.usual;
        }
        let can_stay = |config: &&Arc<ServerConfig>| {
            let hash = chosen_hash(config, offered);
            hash.is_some() && offered.session_hashes().any(|its| Some(its) == hash)
        };
        [&self.usual].into_iter().chain(&self.by_hash).find(can_stay).unwrap_or(&self.usual)
    }

    /// Whether rustls will choose a group for key exchange of which the client sent no share. It follows the
    /// order of the client.
    fn asks_for_share(&self, offered: &ClientOffer<'_>) -> bool {
        let known = &self.usual.crypto_provider().kx_groups;
        let is_known = |number: &u16| known.iter().any(|group| u16::from(group.name()) == *number);
        let chosen = offered.groups().find(is_known);
        offered.tls13 && chosen.is_some_and(|group| !offered.has_share_of(group))
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn change(&mut self, change: impl Fn(&mut ServerConfig)) {
        let all = self.by_hash.iter_mut().chain([&mut self.usual]);
        all.for_each(|config| change(Arc::get_mut(config).expect("nobody serves by it yet")));
    }
}

/// The bytes of the hash of the suite that is chosen with TLS 1.3: the order is ours.
fn chosen_hash(config: &ServerConfig, offered: &ClientOffer<'_>) -> Option<usize> {
    let is_offered = |suite: &SupportedCipherSuite| {
        let wanted = u16::from(suite.suite());
        offered.suites().any(|number| number == wanted)
    };
    let mut suites = config.crypto_provider().cipher_suites.iter().filter(|suite| is_offered(suite));
    suites.find_map(session_hash)
}

/// The bytes of the hash that sessions of a suite are bound to; None before TLS 1.3.
fn session_hash(suite: &SupportedCipherSuite) -> Option<usize> {
    suite.tls13().map(|suite| suite.common.hash_provider.output_len())
}
