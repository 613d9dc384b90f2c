//! Certificates made in memory, for the demo and for tests. No client trusts them unasked.

use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::KeyPair;

const DAYS_VALID: u64 = 90;
const SECONDS_PER_DAY: u64 = 86_400;

/// A chain and its key as PEM: ECDSA on P-256, valid for 90 days from `now`, which is in seconds
/// since the Unix epoch. Names may be IP addresses. None for a name that no certificate can have.
pub fn for_names(names: &[&str], now: u64) -> Option<(String, String)> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).ok()?;
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("ringway", String::as_str));
    // A minute of grace for clients whose clock is behind.
    let start = i64::try_from(now).ok()?.saturating_sub(60);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + std::time::Duration::from_secs(u64::try_from(start).ok()?);
    params.not_after = epoch + std::time::Duration::from_secs(now + DAYS_VALID * SECONDS_PER_DAY);
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    Some((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::x509::certificates;
    use crate::tls::x509::certificates::CertificateFile;
    use crate::tls::x509::certificates::CertificateFiles;

    #[test]
    fn what_is_made_can_be_read() {
        let now = 1_800_000_000;
        let (chain, key) = for_names(&["localhost", "127.0.0.1", "::1"], now).expect("it can be made");
        let files = CertificateFiles {
            chain: CertificateFile { name: "chain", bytes: chain.as_bytes() },
            key: CertificateFile { name: "key", bytes: key.as_bytes() },
            staple: None,
        };
        let now = i64::try_from(now).expect("it fits");
        let checked = certificates::read(&files, now).expect("it is valid");
        assert_eq!(checked.remarks, []);
        assert_eq!(checked.certificate.names, ["localhost"]);
        assert!(checked.certificate.is_ecdsa);
        assert_eq!(checked.certificate.not_after - now, 90 * 86_400);
    }
}
