//! Hosts of rules that no certificate of their listener is for.

use crate::config::Config;
use crate::config::Report;
use crate::config::Rule;
use crate::control::credentials::Credentials;
use crate::control::doctor::finding::Finding;
use crate::policy::router::Condition;
use crate::policy::router::TextTest;

/// `credentials` are those of `config`; `report` knows where rules stand.
pub fn judge(config: &Config, credentials: &Credentials, report: &Report) -> Vec<Finding> {
    let secured = config.listeners.iter().zip(&credentials.listeners).enumerate();
    let secured = secured.filter(|(_, (listener, _))| listener.enabled);
    let secured = secured.filter_map(|(index, (listener, own))| Some((index, listener, own.as_ref()?)));
    let found = secured.flat_map(|(index, listener, own)| {
        let rules = config.rules.iter().filter(move |rule| rule.enabled && rule.listeners.contains(&index));
        rules.flat_map(hosts).filter(|(_, host)| !own.index.names(host)).map(|(rule, host)| {
            let message = format!(
                "{}: rule {} is for {host}, and listener {} has no certificate for it: browsers refuse to go on",
                report.place(rule.location), rule.name, listener.name
            );
            let cure = format!("add a certificate for {host}: openssl x509 -noout -ext subjectAltName -in FILE shows names");
            Finding::warning("certificate_names", message, cure)
        })
    });
    found.collect()
}

/// The hosts that a rule names in full, each with the rule. Wildcards and regular expressions have no one certificate.
fn hosts(rule: &Rule) -> Vec<(&Rule, &str)> {
    let tests = rule.conditions.iter().flat_map(|condition| match condition {
        Condition::Host(tests) => tests.as_slice(),
        _ => &[],
    });
    let named = tests.filter_map(|test| match test {
        TextTest::Pattern(pattern) => pattern.is_exact().then(|| pattern.as_str()),
        TextTest::Subtree(_) | TextTest::Regex(_) => None,
    });
    named.map(|host| (rule, host)).collect()
}
