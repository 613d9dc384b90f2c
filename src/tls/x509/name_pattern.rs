//! Names in certificates, and what a wildcard in them stands for.

/// RFC 1035 §2.3.4.
pub(in crate::tls) const MAX_NAME: usize = 253;
/// Characters between two dots of a name (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// A name in a certificate, in lower case.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tls) enum NamePattern<'n> {
    Exact(&'n str),
    /// `*.example.com`, without the `*.`.
    Label(&'n str),
    /// `*test.example.com`, without the `*`.
    PartOfLabel(&'n str),
}

impl<'n> NamePattern<'n> {
    /// None for what no client can ask for, or what has its wildcard elsewhere than at the far left.
    pub(in crate::tls) fn parse(name: &'n str) -> Option<NamePattern<'n>> {
        let (pattern, rest) = match name.strip_prefix('*') {
            None => (NamePattern::Exact(name), name),
            Some(rest) => match rest.strip_prefix('.') {
                Some(parent) => (NamePattern::Label(parent), parent),
                // What follows the wildcard must be a label under a domain.
                None => (rest.contains('.').then_some(NamePattern::PartOfLabel(rest))?, rest),
            },
        };
        let is_label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(|byte| is_wild_byte(byte) || byte == b'_')
        };
        (rest.len() <= MAX_NAME && rest.split('.').all(is_label)).then_some(pattern)
    }
}

/// Whether a wildcard may stand for this label.
pub(in crate::tls) fn is_wild(label: &[u8]) -> bool {
    (1..=MAX_LABEL).contains(&label.len()) && label.iter().all(|byte| is_wild_byte(*byte))
}

fn is_wild_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}
