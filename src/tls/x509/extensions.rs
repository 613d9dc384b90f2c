//! The extensions of certificates (RFC 5280 §4.2) that somebody here looks at.

use crate::tls::x509::der;
use crate::tls::x509::der::DerReader;
use crate::tls::x509::parsed::ParsedCertificate;

/// Those of one certificate. What is within them is read when it is asked for.
pub(super) struct Extensions<'a> {
    /// Identifier and value of each.
    all: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Extensions<'a> {
    /// None where they cannot be read, or one stands there twice: RFC 5280 §4.2: "A certificate MUST NOT include more than
    /// one instance of a particular extension."
    pub(super) fn of(certificate: &ParsedCertificate<'a>) -> Option<Extensions<'a>> {
        let mut all = Vec::new();
        let mut fields = certificate.behind_key;
        for unique_identifier in [0x81, 0x82] {
            fields.element(unique_identifier);
        }
        if fields.is_empty() {
            return Some(Extensions { all });
        }
        let mut tagged = fields.inside(EXTENSIONS)?;
        fields.finish()?;
        let mut list = tagged.inside(der::SEQUENCE)?;
        tagged.finish()?;
        while !list.is_empty() {
            let mut extension = list.inside(der::SEQUENCE)?;
            let identifier = extension.element(der::OBJECT_IDENTIFIER)?.content;
            // Whether it is critical.
            extension.element(der::BOOLEAN);
            let value = extension.element(der::OCTET_STRING)?.content;
            extension.finish()?;
            if all.iter().any(|(other, _)| *other == identifier) {
                return None;
            }
            all.push((identifier, value));
        }
        Some(Extensions { all })
    }

    fn find(&self, identifier: &[u8]) -> Option<DerReader<'a>> {
        let found = self.all.iter().find(|(other, _)| *other == identifier);
        found.map(|(_, value)| DerReader::new(value))
    }

    /// Whether it may sign certificates, if it says so or the contrary; None if that cannot be read.
    pub(super) fn signs_certificates(&self) -> Option<Option<bool>> {
        let Some(mut value) = self.find(KEY_USAGE) else { return Some(None) };
        let bits = value.element(der::BIT_STRING)?.content;
        value.finish()?;
        let (_, bits) = bits.split_first()?;
        Some(Some(bits.first().is_some_and(|first| first & KEY_CERT_SIGN != 0)))
    }

    /// Whether it is a CA, if it says so or the contrary; None if that cannot be read.
    pub(super) fn is_ca(&self) -> Option<Option<bool>> {
        let Some(mut value) = self.find(BASIC_CONSTRAINTS) else { return Some(None) };
        let mut constraints = value.inside(der::SEQUENCE)?;
        value.finish()?;
        let says = constraints.element(der::BOOLEAN);
        // How long a path from it may be.
        constraints.element(der::INTEGER);
        constraints.finish()?;
        Some(Some(says.is_some_and(|says| says.content != [0])))
    }

    pub(super) fn subject_key_id(&self) -> Option<&'a [u8]> {
        self.find(SUBJECT_KEY_ID)?.element(der::OCTET_STRING).map(|id| id.content)
    }

    /// The identifier of the key that signed it, if that is told in this way.
    pub(super) fn authority_key_id(&self) -> Option<&'a [u8]> {
        self.find(AUTHORITY_KEY_ID)?.inside(der::SEQUENCE)?.element(KEY_IDENTIFIER).map(|id| id.content)
    }

    /// The names of hosts among the alternative names; None where there are no alternative names, or none that can be read.
    pub(super) fn dns_names(&self) -> Option<Vec<&'a str>> {
        let mut names = self.find(SUBJECT_ALTERNATIVE_NAME)?.inside(der::SEQUENCE)?;
        let mut found = Vec::new();
        while !names.is_empty() {
            let name = names.any()?;
            let text = std::str::from_utf8(name.content).ok().filter(|text| text.is_ascii());
            found.extend(text.filter(|_| name.tag == DNS_NAME));
        }
        Some(found)
    }
}

/// The tag of all of them together: `[3]`, explicit.
const EXTENSIONS: u8 = 0xa3;
/// Tags of what stands within: `[0]` and `[2]`, implicit.
const KEY_IDENTIFIER: u8 = 0x80;
const DNS_NAME: u8 = 0x82;
/// RFC 5280 §4.2.1.3: the sixth bit, counted from the highest one.
const KEY_CERT_SIGN: u8 = 0x04;

// 2.5.29.x
const SUBJECT_KEY_ID: &[u8] = b"\x55\x1d\x0e";
const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
const SUBJECT_ALTERNATIVE_NAME: &[u8] = b"\x55\x1d\x11";
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
const AUTHORITY_KEY_ID: &[u8] = b"\x55\x1d\x23";

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn extension(identifier: &[u8], critical: &[u8], value: &[u8]) -> Vec<u8> {
        let identifier = element(der::OBJECT_IDENTIFIER, identifier);
        element(der::SEQUENCE, &[&identifier, critical, &element(der::OCTET_STRING, value)].concat())
    }

    /// What is read of what stands behind the key of a certificate.
    fn read<T>(behind_key: &[u8], ask: impl Fn(&Extensions<'_>) -> T) -> Option<T> {
        let certificate = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
        let mut parsed = ParsedCertificate::parse(certificate.cert.der()).unwrap();
        parsed.behind_key = DerReader::new(behind_key);
        Extensions::of(&parsed).map(|extensions| ask(&extensions))
    }

    fn of_one<T>(identifier: &[u8], value: &[u8], ask: impl Fn(&Extensions<'_>) -> T) -> Option<T> {
        let list = element(der::SEQUENCE, &extension(identifier, b"", value));
        read(&element(EXTENSIONS, &list), ask)
    }

    #[test]
    fn each_is_told() {
        let usage = |value: &[u8]| of_one(KEY_USAGE, value, |all| all.signs_certificates());
        assert_eq!(usage(b"\x03\x02\x02\x04"), Some(Some(Some(true))));
        assert_eq!(usage(b"\x03\x02\x05\xa0"), Some(Some(Some(false))));
        assert_eq!(usage(b"\x03\x01\x00"), Some(Some(Some(false))));
        assert_eq!(usage(b"\x03\x00"), Some(None));
        assert_eq!(usage(b"\x04\x02\x02\x04"), Some(None));
        let constraints = |value: &[u8]| of_one(BASIC_CONSTRAINTS, value, |all| all.is_ca());
        assert_eq!(constraints(b"\x30\x03\x01\x01\xff"), Some(Some(Some(true))));
        assert_eq!(constraints(b"\x30\x06\x01\x01\xff\x02\x01\x00"), Some(Some(Some(true))));
        assert_eq!(constraints(b"\x30\x00"), Some(Some(Some(false))));
        assert_eq!(constraints(b"\x30\x03\x04\x01\xff"), Some(None));
        let own = |value: &[u8]| of_one(SUBJECT_KEY_ID, value, |all| all.subject_key_id() == Some(b"id"));
        assert_eq!([own(b"\x04\x02id"), own(b"\x03\x02id")], [Some(true), Some(false)]);
        let signer =
            |value: &[u8]| of_one(AUTHORITY_KEY_ID, value, |all| all.authority_key_id() == Some(b"id"));
        assert_eq!([signer(b"\x30\x04\x80\x02id"), signer(b"\x30\x02\x82\x00")], [Some(true), Some(false)]);
        let names = |value: &[u8]| {
            of_one(SUBJECT_ALTERNATIVE_NAME, value, |all| {
                all.dns_names().map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
            })
        };
        let mixed = b"\x30\x12\x82\x03a.b\x87\x04\x7f\x00\x00\x01\x82\x01\xff\x82\x02cd";
        assert_eq!(names(mixed), Some(Some(vec!["a.b".to_owned(), "cd".to_owned()])));
        assert_eq!(names(b"\x30\x02\x82\x03"), Some(None));
    }

    #[test]
    fn what_is_malformed_is_not_read() {
        let one = extension(KEY_USAGE, b"\x01\x01\xff", b"\x03\x02\x02\x04");
        let count = |behind_key: &[u8]| read(behind_key, |extensions| extensions.all.len());
        let list = |content: &[u8]| element(EXTENSIONS, &element(der::SEQUENCE, content));
        assert_eq!(count(b""), Some(0));
        assert_eq!(count(&list(&one)), Some(1));
        assert_eq!(count(&[b"\x81\x01\x00\x82\x01\x00".as_slice(), &list(&one)].concat()), Some(1));
        assert_eq!(count(&list(&[one.clone(), one.clone()].concat())), None);
        assert_eq!(count(&[list(&one), b"\x05\x00".to_vec()].concat()), None);
        assert_eq!(count(&list(b"\x30\x00")), None);
        assert_eq!(count(&element(EXTENSIONS, &[element(der::SEQUENCE, &one), one].concat())), None);
    }
}
