//! What comes to its end while it serves: certificates and revocation lists. Each is told once.

use std::collections::HashSet;

use crate::config::Config;
use crate::config::Location;
use crate::control::credentials::Credentials;
use crate::tls::x509::certificates::Certificate;

const SECONDS_PER_DAY: i64 = 86_400;

/// Certificates are announced this many days before they expire, once a day.
const DAYS_AHEAD: i64 = 7;

/// Revocation lists are, where no newer one has come by then: they are replaced often, and many live for a day only.
const LIST_SECONDS_AHEAD: i64 = 3_600;

/// What was told and still holds.
pub(super) struct Expiry {
    told: HashSet<String>,
}

impl Expiry {
    /// What has ended by now, or will soon, was told when it was read.
    pub(in crate::control) fn new(config: &Config, credentials: &Credentials, now: i64) -> Expiry {
        // Of lists that end soon nothing is told before.
        let known = ended(config, credentials, now).into_iter().chain(soon(config, credentials, now));
        Expiry { told: known.map(|ending| ending.sentence).collect() }
    }

    /// What is to be told now, the most urgent first: what it is, its name, and a sentence with the fix. `now` is in
    /// seconds since the Unix epoch.
    pub(in crate::control) fn news(
        &mut self,
        config: &Config,
        credentials: &Credentials,
        now: i64,
    ) -> Vec<(&'static str, String, String)> {
        let mut endings = ended(config, credentials, now);
        endings.extend(soon(config, credentials, now));
        let lists = lists(config, credentials);
        endings.extend(lists.filter_map(|(name, end)| list_that_expires_soon(name, end, now)));
        let sentences = endings.iter().map(|ending| ending.sentence.clone()).collect();
        let before = std::mem::replace(&mut self.told, sentences);
        endings.retain(|ending| !before.contains(&ending.sentence));
        let told = |Expiration { noun, name, sentence, fix }| (noun, name, format!("{sentence}; {fix}"));
        endings.into_iter().map(told).collect()
    }
}

/// What ends, or has ended.
struct Expiration {
    noun: &'static str,
    name: String,
    sentence: String,
    fix: String,
}

fn ended(config: &Config, credentials: &Credentials, now: i64) -> Vec<Expiration> {
    let mut endings = Vec::new();
    for (wanted, certificate) in certificates(config, credentials) {
        if certificate.not_after < now {
            let name = wanted.name.clone();
            let sentence = format!("certificate \"{name}\" has expired");
            let fix = format!("clients refuse it: renew {}", wanted.chain.path.display());
            endings.push(Expiration { noun: "certificate", name, sentence, fix });
        }
    }
    endings.extend(lists(config, credentials).filter_map(|(name, end)| expired_list(name, end, now)));
    endings
}

/// The end of the first revocation list of each CA, by the name of the CA.
fn lists<'c>(
    config: &'c Config,
    credentials: &'c Credentials,
) -> impl Iterator<Item = (&'c str, i64)> + use<'c> {
    let both = config.authorities.iter().zip(&credentials.authorities);
    both.filter_map(|(wanted, loaded)| Some((&*wanted.name, loaded.authority.as_ref()?.lists_end()?)))
}

fn expired_list(name: &str, end: i64, now: i64) -> Option<Expiration> {
    let sentence = format!(
        "CA \"{name}\": a revocation list has expired (its nextUpdate is over), so its clients are refused with \
         client_certificate_crl_stale"
    );
    let fix = "replace the list by a newer one".to_owned();
    (end < now).then(|| Expiration { noun: "ca", name: name.to_owned(), sentence, fix })
}

fn list_that_expires_soon(name: &str, end: i64, now: i64) -> Option<Expiration> {
    let sentence = format!("CA \"{name}\": a revocation list expires within an hour (its nextUpdate)");
    let fix = "replace the list by a newer one, or its clients are refused then".to_owned();
    let is_soon = end >= now && end - now < LIST_SECONDS_AHEAD;
    is_soon.then(|| Expiration { noun: "ca", name: name.to_owned(), sentence, fix })
}

fn soon(config: &Config, credentials: &Credentials, now: i64) -> Vec<Expiration> {
    let endings = certificates(config, credentials).filter_map(|(wanted, certificate)| {
        let (sentence, fix) = expires_soon(wanted, certificate, now)?;
        Some(Expiration { noun: "certificate", name: wanted.name.clone(), sentence, fix })
    });
    endings.collect()
}

/// Certificates that expire soon: where they are named, a sentence, and what to do.
pub(in crate::control) fn soon_of(
    config: &Config,
    credentials: &Credentials,
    now: i64,
) -> Vec<(Location, String, String)> {
    let endings = certificates(config, credentials).filter_map(|(wanted, certificate)| {
        let (sentence, fix) = expires_soon(wanted, certificate, now)?;
        Some((wanted.chain.location, sentence, fix))
    });
    endings.collect()
}

fn expires_soon(
    wanted: &crate::config::Certificate,
    certificate: &Certificate,
    now: i64,
) -> Option<(String, String)> {
    let days = (certificate.not_after - now) / SECONDS_PER_DAY;
    if certificate.not_after < now || days >= DAYS_AHEAD {
        return None;
    }
    let within = if days == 0 { "a day".to_owned() } else { format!("{} days", days + 1) };
    let sentence = format!("certificate \"{}\" expires within {within}", wanted.name);
    Some((sentence, format!("renew {}; it is taken into service at once", wanted.chain.path.display())))
}

fn certificates<'c>(
    config: &'c Config,
    credentials: &'c Credentials,
) -> impl Iterator<Item = (&'c crate::config::Certificate, &'c Certificate)> {
    let both = config.certificates.iter().zip(&credentials.certificates);
    both.filter_map(|(wanted, certificate)| Some((wanted, certificate.as_deref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::Source;
    use crate::control::credentials;
    use crate::net::clock::wall_now;
    use crate::tls::x509::self_signed;

    #[test]
    fn the_end_of_a_revocation_list_is_announced_an_hour_before() {
        let told = |now| {
            let expiration =
                expired_list("clients", 10_000, now).or(list_that_expires_soon("clients", 10_000, now));
            expiration.map(|expiration| (expiration.noun, expiration.sentence))
        };
        let soon = "CA \"clients\": a revocation list expires within an hour (its nextUpdate)".to_owned();
        assert_eq!([told(0), told(6_400)], [None, None]);
        assert_eq!([told(6_401), told(10_000)], [Some(("ca", soon.clone())), Some(("ca", soon))]);
        assert!(told(10_001).unwrap().1.contains("a revocation list has expired"));
    }

    #[test]
    fn an_end_is_announced_and_told_once() {
        let text = "config_version = 1\n[[certificate]]\nname = \"site\"\nchain = \"/a.crt\"\nkey = \"/a.key\"\n\
            [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\ncertificates = [\"site\"]\n";
        let mut loaded = config::load(vec![Source::made_up("<test>", text.to_owned())]);
        let config = loaded.config.unwrap();
        let (chain, key) = self_signed::for_names(&["localhost"], wall_now().as_secs()).unwrap();
        let read_file = |path: &std::path::Path| {
            Ok(if path.ends_with("a.crt") { chain.clone() } else { key.clone() }.into_bytes())
        };
        let credentials = credentials::load(&config, &read_file, &mut loaded.report);
        let end = credentials.certificates[0].as_ref().unwrap().not_after;

        let mut expiry = Expiry::new(&config, &credentials, end - 30 * SECONDS_PER_DAY);
        let mut news = |before_end: i64| {
            let news = expiry.news(&config, &credentials, end - before_end).into_iter();
            let told = news.map(|(noun, name, sentence)| {
                assert_eq!((noun, &*name), ("certificate", "site"));
                sentence
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(news(8 * SECONDS_PER_DAY), Vec::<String>::new());
        let announced =
            "certificate \"site\" expires within 7 days; renew /a.crt; it is taken into service at once";
        assert_eq!(news(7 * SECONDS_PER_DAY - 1), [announced]);
        assert_eq!(news(7 * SECONDS_PER_DAY - 60), Vec::<String>::new());
        assert_eq!(news(1), [announced.replace("7 days", "a day")]);
        assert_eq!(news(-1), ["certificate \"site\" has expired; clients refuse it: renew /a.crt"]);
        assert_eq!(news(-100), Vec::<String>::new());
        let mut known = Expiry::new(&config, &credentials, end + 1);
        assert_eq!(known.news(&config, &credentials, end + 2), []);
    }
}
