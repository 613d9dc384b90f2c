//! Certificate revocation lists of version 1 and 2 (RFC 5280 §5), read in full when they are loaded.

use std::collections::HashSet;

use crate::tls::x509::der;
use crate::tls::x509::der::DerReader;
use crate::tls::x509::parsed::Signed;

/// A list for all certificates of its issuer.
#[derive(Debug)]
pub(super) struct RevocationList {
    /// The content of the name.
    pub(super) issuer: Box<[u8]>,
    /// Seconds since 1970, as is the next one.
    pub(super) this_update: i64,
    /// None: its issuer promises no next one, so that it never becomes stale.
    pub(super) next_update: Option<i64>,
    serials: HashSet<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListError {
    Malformed,
    /// A critical extension: the list is a delta, or covers other than all certificates of its issuer.
    /// RFC 5280 §5.2: an application that does not know it "MUST NOT use that CRL to determine the status".
    Unsupported,
}

impl RevocationList {
    /// Who signed it remains to be seen.
    pub(super) fn parse(bytes: &[u8]) -> Result<(RevocationList, Signed<'_>), ListError> {
        let (signed, mut fields) = Signed::parse(bytes).ok_or(ListError::Malformed)?;
        let list = fields_of_list(&mut fields, &signed).ok_or(ListError::Malformed)??;
        Ok((list, signed))
    }

    pub(super) fn contains(&self, serial: &[u8]) -> bool {
        self.serials.contains(without_zeros(serial))
    }

    pub(super) fn is_stale(&self, now: i64) -> bool {
        self.next_update.is_some_and(|next_update| next_update < now)
    }
}

fn fields_of_list(
    fields: &mut DerReader<'_>,
    signed: &Signed<'_>,
) -> Option<Result<RevocationList, ListError>> {
    let has_version = fields.peek()? == der::INTEGER;
    if has_version && fields.element(der::INTEGER)?.content != [VERSION_2] {
        return None;
    }
    if fields.element(der::SEQUENCE)?.content != signed.algorithm {
        return None;
    }
    let issuer = fields.element(der::SEQUENCE)?.content.into();
    let this_update = fields.time()?;
    let has_next_update = matches!(fields.peek(), Some(tag) if der::TIMES.contains(&tag));
    let next_update = if has_next_update { Some(fields.time()?) } else { None };
    let (serials, mut is_supported) = match fields.peek() {
        Some(der::SEQUENCE) => entries(fields.inside(der::SEQUENCE)?)?,
        _ => (HashSet::new(), true),
    };
    if has_version && !fields.is_empty() {
        let mut extensions = fields.inside(EXTENSIONS)?;
        is_supported &= !has_critical(extensions.inside(der::SEQUENCE)?)?;
        extensions.finish()?;
    }
    fields.finish()?;
    let list = RevocationList { issuer, this_update, next_update, serials };
    Some(if is_supported { Ok(list) } else { Err(ListError::Unsupported) })
}

/// The serial numbers, and whether all that is said of them is known.
fn entries(mut entries: DerReader<'_>) -> Option<(HashSet<Box<[u8]>>, bool)> {
    let mut serials = HashSet::new();
    let mut is_supported = true;
    while !entries.is_empty() {
        let mut entry = entries.inside(der::SEQUENCE)?;
        serials.insert(without_zeros(entry.element(der::INTEGER)?.content).into());
        entry.time()?;
        if !entry.is_empty() {
            is_supported &= !has_critical(entry.inside(der::SEQUENCE)?)?;
        }
        entry.finish()?;
    }
    Some((serials, is_supported))
}

/// Whether one of these extensions must be understood. None of them is.
fn has_critical(mut extensions: DerReader<'_>) -> Option<bool> {
    let mut found = false;
    while !extensions.is_empty() {
        let mut extension = extensions.inside(der::SEQUENCE)?;
        extension.element(der::OBJECT_IDENTIFIER)?;
        if extension.peek()? == der::BOOLEAN {
            found |= extension.element(der::BOOLEAN)?.content != [0];
        }
        extension.element(der::OCTET_STRING)?;
        extension.finish()?;
    }
    Some(found)
}

/// Some issuers write serial numbers with a zero too many or too few.
fn without_zeros(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

const VERSION_2: u8 = 1;
/// `[0]`, explicit.
const EXTENSIONS: u8 = 0xa0;
