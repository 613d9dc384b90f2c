//! From the TLS policy of a listener to what it really offers, and what to tell of the rest.

use std::collections::HashSet;

use crate::config::CipherSuite;
use crate::config::Config;
use crate::config::Offered;
use crate::config::Report;
use crate::config::TlsPolicy;
use crate::config::TlsVersion;
use crate::config::tls_policies;
use crate::tls::tls_policy;
use crate::tls::tls_policy::Intersection;
use crate::tls::tls_policy::Offer;

/// The numbers of the versions on the wire.
const VERSIONS: [(TlsVersion, u16); 4] = [
    (TlsVersion::Tls10, 0x0301),
    (TlsVersion::Tls11, 0x0302),
    (TlsVersion::Tls12, 0x0303),
    (TlsVersion::Tls13, 0x0304),
];

/// What is left of a policy.
pub fn intersect(policy: &TlsPolicy) -> Intersection {
    let numbers = VERSIONS.iter().filter(|(version, _)| policy.versions.contains(version));
    let versions: Vec<u16> = numbers.map(|(_, number)| *number).collect();
    let suites: Vec<u16> = policy.cipher_suites.iter().map(|suite| suite.id).collect();
    tls_policy::intersect(&versions, &suites)
}

/// What each listener offers; None for one without TLS, or without anything left to offer.
///
/// Reports for each policy in use, once, what is dropped of it.
pub fn offers(config: &Config, report: &mut Report) -> Vec<Option<Offer>> {
    let mut told: HashSet<&str> = HashSet::new();
    let mut offers = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        offers.push(listener.tls.as_ref().and_then(|tls| {
            let found = intersect(&tls.policy);
            if told.insert(&tls.policy.name) {
                tell(&tls.policy, &found, report);
            }
            found.offer
        }));
    }
    offers
}

/// An offer in words.
pub fn describe(offer: &Offer) -> Offered {
    Offered {
        versions: offer.version_numbers().into_iter().map(version_name).collect(),
        cipher_suites: offer.suite_numbers().into_iter().map(suite_name).collect(),
        key_exchange_groups: offer.group_names(),
    }
}

/// A dropped version shuts clients out, so that is a warning. A predefined policy without the suites
/// that are dropped cannot be had, so that is no more than a note; and the default is documented.
fn tell(policy: &TlsPolicy, found: &Intersection, report: &mut Report) {
    let name = &policy.name;
    if found.offer.is_none() {
        let message =
            format!("nothing is left of the TLS policy \"{name}\": it has only what is not offered");
        let fix = "add \"1.3\" to `versions` and \"TLS_AES_128_GCM_SHA256\" to `cipher_suites`, or \"1.2\" and \
                    \"ECDHE-ECDSA-AES128-GCM-SHA256\", \"ECDHE-RSA-AES128-GCM-SHA256\"";
        return report.error(policy.location, message, fix);
    }
    let versions = found.dropped_versions.iter().map(|version| version_name(*version));
    let suites = found.dropped_suites.iter().map(|suite| openssl_name(*suite));
    let dropped: Vec<String> = versions.chain(suites).collect();
    if dropped.is_empty() || name == tls_policies::DEFAULT {
        return;
    }
    let message = format!("not offered of the TLS policy \"{name}\": {}", dropped.join(", "));
    match (policy.is_predefined, found.dropped_versions.is_empty()) {
        (false, _) => report.warning(policy.location, message, "remove them from the policy"),
        (true, false) => {
            let fix = format!(
                "clients that know nothing newer cannot connect; name a policy without these versions, such as \"{}\"",
                tls_policies::DEFAULT
            );
            report.warning(policy.location, message, fix);
        }
        (true, true) => {
            let fix =
                "`ringway config show --effective` tells what is offered; docs/tls_policies.md says why";
            report.note(policy.location, message, fix);
        }
    }
}

fn version_name(number: u16) -> String {
    let found = VERSIONS.iter().find(|(_, known)| *known == number);
    found.map_or_else(|| format!("{number:#06x}"), |(version, _)| format!("TLS {}", version.as_str()))
}

fn suite_name(number: u16) -> String {
    CipherSuite::of(number).map_or_else(|| format!("{number:#06x}"), |suite| suite.name.to_owned())
}

fn openssl_name(number: u16) -> String {
    CipherSuite::of(number).map_or_else(|| format!("{number:#06x}"), |suite| suite.openssl.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Location;
    use crate::config::tls_policies::Predefined;

    fn policy(predefined: &Predefined) -> TlsPolicy {
        TlsPolicy {
            name: predefined.name.to_owned(),
            is_predefined: true,
            versions: predefined.versions.to_vec(),
            cipher_suites: predefined.cipher_suites().collect(),
            location: Location::default(),
        }
    }

    /// docs/tls_policies.md prints this table.
    #[test]
    fn every_predefined_policy_leaves_something() {
        let page = include_str!("../../../docs/tls_policies.md");
        for predefined in &tls_policies::ALL {
            let offer = intersect(&policy(predefined)).offer.expect("something is left");
            let offered = describe(&offer);
            let row = format!(
                "| `{}` | {} | {} |",
                predefined.name,
                predefined.versions.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(", "),
                offered.versions.iter().rev().map(|version| &version[4..]).collect::<Vec<_>>().join(", "),
            );
            assert!(page.contains(&row), "docs/tls_policies.md lacks the row\n{row}");
            assert!(offered.cipher_suites.len() == if row.ends_with("1.2 |") { 4 } else { 7 }, "{row}");
        }
    }
}
