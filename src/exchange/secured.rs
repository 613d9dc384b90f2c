//! What exchanges know of the TLS connection that carries them.

pub use crate::policy::identity::CertificateFacts;
pub use crate::policy::identity::IdentityFacts;
use crate::snapshot::Listener;

pub struct Secured {
    /// As OpenSSL writes it: `TLSv1.3`.
    pub version: &'static str,
    /// As OpenSSL writes it.
    pub cipher: &'static str,
    /// What backends are told of it: complete field lines.
    pub(super) identity: Box<[u8]>,
}

impl Secured {
    /// `facts` are gathered only if the listener tells backends any.
    pub fn new(
        version: &'static str,
        cipher: &'static str,
        listener: &Listener,
        facts: impl FnOnce(&mut dyn FnMut(&IdentityFacts<'_>)),
    ) -> Secured {
        let identity = &listener.forwarded.identity;
        let mut lines = Vec::new();
        if !identity.is_empty() {
            facts(&mut |facts| identity.render(facts, &mut lines));
        }
        Secured { version, cipher, identity: lines.into() }
    }
}
