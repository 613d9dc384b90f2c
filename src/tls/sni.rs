//! Which certificate a client gets, by the name it asks for and the signatures it knows.
//!
//! A name is looked up exactly, then under a wildcard label, then under the part of a label that
//! follows a wildcard, then under the wildcards of the domains above it. Each is a lookup or a bounded
//! few of them in a hash table, so ten thousand certificates cost what one does.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

use crate::tls::x509::certificates::Certificate;
use crate::tls::x509::name_pattern::MAX_NAME;
use crate::tls::x509::name_pattern::NamePattern;
use crate::tls::x509::name_pattern::is_wild;

/// What a wildcard stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SniMatch {
    /// One label.
    Wildcard,
    /// One label or more; the most specific wildcard wins.
    LongestSuffix,
}

/// The certificates of a listener. It never changes.
#[derive(Debug)]
pub struct CertificateIndex {
    certificates: Vec<Arc<Certificate>>,
    sni_match: SniMatch,
    default: SniSlots,
    exact: HashMap<Box<[u8]>, SniSlots>,
    /// By what follows `*.`.
    labels: HashMap<Box<[u8]>, SniSlots>,
    /// By what follows `*`.
    parts: HashMap<Box<[u8]>, SniSlots>,
    /// By domain: in which lengths there are labels that follow a `*`, as bits.
    part_lengths: HashMap<Box<[u8]>, u64>,
}

/// A certificate of each kind for one name, as indices. At least one is there.
#[derive(Clone, Copy, Debug, Default)]
struct SniSlots {
    ecdsa: Option<u32>,
    rsa: Option<u32>,
}

/// A name that an earlier certificate with the same kind of key has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    pub name: String,
    /// Indices in the list of certificates.
    pub certificate: usize,
    pub by: usize,
}

impl CertificateIndex {
    /// `certificates` has at least one; the first is the default. Where two claim the same name with
    /// the same kind of key, the first wins.
    pub fn new(certificates: &[Arc<Certificate>], sni_match: SniMatch) -> (CertificateIndex, Vec<Shadowed>) {
        let mut index = CertificateIndex {
            certificates: certificates.to_vec(),
            sni_match,
            default: SniSlots::default(),
            exact: HashMap::new(),
            labels: HashMap::new(),
            parts: HashMap::new(),
            part_lengths: HashMap::new(),
        };
        let mut shadowed = Vec::new();
        for (number, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                let by = index.insert(name, number, certificate.is_ecdsa);
                // A certificate may list a name twice.
                if let Some(by) = by.filter(|by| *by != number) {
                    shadowed.push(Shadowed { name: name.clone(), certificate: number, by });
                }
            }
        }
        index.default = index.default_slots();
        (index, shadowed)
    }

    /// The certificate for a name, of those that a client with these signature schemes can verify.
    pub fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let slots = name.and_then(|name| self.look_up(name)).unwrap_or(self.default);
        let is_fit = |certificate: &&Certificate| {
            schemes.is_empty() || certificate.schemes.iter().any(|scheme| schemes.contains(scheme))
        };
        let [ecdsa, rsa] = [slots.ecdsa, slots.rsa].map(|slot| slot.map(|slot| self.certificate(slot)));
        let fit = ecdsa.filter(is_fit).or(rsa.filter(is_fit));
        // Where neither is fit, the handshake fails with the right alert.
        let chosen = fit.or(ecdsa).or(rsa);
        &chosen.unwrap_or(&self.certificates[0]).certified
    }

    /// Where a certificate stands in the list.
    pub fn position(&self, certified: &Arc<CertifiedKey>) -> Option<usize> {
        self.certificates.iter().position(|known| Arc::ptr_eq(&known.certified, certified))
    }

    /// Whether clients that ask for these names get the same certificate.
    pub fn share_certificate(&self, one: Option<&str>, other: Option<&str>) -> bool {
        let slots = |name: Option<&str>| name.and_then(|name| self.look_up(name)).unwrap_or(self.default);
        let (one, other) = (slots(one), slots(other));
        let same = |one: Option<u32>, other| one.is_some() && one == other;
        same(one.ecdsa, other.ecdsa) || same(one.rsa, other.rsa)
    }

    /// Whether a certificate is there for this name.
    pub fn names(&self, name: &str) -> bool {
        self.look_up(name).is_some()
    }

    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    fn certificate(&self, slot: u32) -> &Certificate {
        &self.certificates[slot as usize]
    }

    /// The certificate that has the name already, if there is one.
    fn insert(&mut self, name: &str, number: usize, is_ecdsa: bool) -> Option<usize> {
        let slots = match NamePattern::parse(name)? {
            NamePattern::Exact(name) => self.exact.entry(name.as_bytes().into()),
            NamePattern::Label(parent) => self.labels.entry(parent.as_bytes().into()),
            NamePattern::PartOfLabel(suffix) => {
                let (label, parent) = suffix.split_once('.')?;
                *self.part_lengths.entry(parent.as_bytes().into()).or_default() |= 1 << label.len();
                self.parts.entry(suffix.as_bytes().into())
            }
        }
        .or_default();
        let slot = if is_ecdsa { &mut slots.ecdsa } else { &mut slots.rsa };
        match slot {
            Some(first) => Some(*first as usize),
            None => {
                *slot = u32::try_from(number).ok();
                None
            }
        }
    }

    /// The first certificate, and beside it one of the other kind for one of its names.
    fn default_slots(&self) -> SniSlots {
        let first = &self.certificates[0];
        let of_name = |name: &String| {
            match NamePattern::parse(name)? {
                NamePattern::Exact(name) => self.exact.get(name.as_bytes()),
                NamePattern::Label(parent) => self.labels.get(parent.as_bytes()),
                NamePattern::PartOfLabel(suffix) => self.parts.get(suffix.as_bytes()),
            }
            .copied()
        };
        let others = || first.names.iter().filter_map(of_name);
        match first.is_ecdsa {
            true => SniSlots { ecdsa: Some(0), rsa: others().find_map(|slots| slots.rsa) },
            false => SniSlots { ecdsa: others().find_map(|slots| slots.ecdsa), rsa: Some(0) },
        }
    }

    fn look_up(&self, name: &str) -> Option<SniSlots> {
        let mut lower = [0; MAX_NAME];
        let name = name.strip_suffix('.').unwrap_or(name).as_bytes();
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let name = &*lower;
        if let Some(slots) = self.exact.get(name) {
            return Some(*slots);
        }
        let dot = name.iter().position(|byte| *byte == b'.')?;
        let (label, parent) = (&name[..dot], &name[dot + 1..]);
        if !is_wild(label) {
            return None;
        }
        self.labels.get(parent).copied().or_else(|| self.part_of_label(name, label, parent)).or_else(|| {
            match self.sni_match {
                SniMatch::Wildcard => None,
                SniMatch::LongestSuffix => self.nearest_above(parent),
            }
        })
    }

    /// The longest part of the label that follows a wildcard. A wildcard stands for one character at
    /// least, and never for a part of a label that is written in another alphabet.
    fn part_of_label(&self, name: &[u8], label: &[u8], parent: &[u8]) -> Option<SniSlots> {
        let lengths = self.part_lengths.get(parent).filter(|_| !label.starts_with(b"xn--"))?;
        let fits = |length: &usize| lengths & (1 << length) != 0;
        let mut longest_first = (1..label.len()).rev().filter(fits);
        longest_first.find_map(|length| self.parts.get(&name[label.len() - length..]).copied())
    }

    /// The wildcard of the nearest domain above a name.
    fn nearest_above(&self, mut domain: &[u8]) -> Option<SniSlots> {
        while let Some(dot) = domain.iter().position(|byte| *byte == b'.') {
            if !is_wild(&domain[..dot]) {
                return None;
            }
            domain = &domain[dot + 1..];
            if let Some(slots) = self.labels.get(domain) {
                return Some(*slots);
            }
        }
        None
    }
}

/// Chooses for rustls.
#[derive(Debug)]
pub struct Resolver {
    pub index: Arc<CertificateIndex>,
    /// A client that asks for a name of no certificate gets none, and its handshake fails. One that asks for no name
    /// gets the default.
    pub refuses_unknown: bool,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        if self.refuses_unknown && name.is_some_and(|name| !self.index.names(name)) {
            return None;
        }
        Some(Arc::clone(self.index.choose(name, hello.signature_schemes())))
    }
}

#[cfg(test)]
mod tests;
