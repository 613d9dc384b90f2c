//! Rules that no request can reach, because an earlier one takes all that they would take.

use std::collections::HashMap;

use crate::config::Listener;
use crate::config::Rule;
use crate::config::in_order;
use crate::config::report::Report;
use crate::policy::router::Condition;
use crate::policy::router::NamedTest;
use crate::policy::router::Pattern;
use crate::policy::router::TextTest;

/// Comparing all pairs of rules of a listener takes time that grows with its square.
const MAX_COMPARED: usize = 2_000;

/// Warns about rules that are never asked.
pub(super) fn check(rules: &[Rule], listeners: &[Listener], report: &mut Report) {
    for (index, listener) in listeners.iter().enumerate() {
        let mut own: Vec<&Rule> =
            rules.iter().filter(|rule| rule.enabled && rule.listeners.contains(&index)).collect();
        in_order::sort_by_key(&mut own, |rule| rule.priority);
        if own.len() > MAX_COMPARED {
            continue;
        }
        let mut before = EarlierRules::default();
        for rule in own {
            if let Some(earlier) = before.covering(rule) {
                let message = format!(
                    "the rule \"{}\" is never reached at the listener \"{}\": \"{}\" takes all of its requests first",
                    rule.name, listener.name, earlier.name
                );
                report.warning(rule.location, message, "give it a lower priority number, or remove it");
            }
            before.add(rule);
        }
    }
}

/// The rules of a listener that are asked first. Most name hosts, and can cover only rules of the same hosts.
#[derive(Default)]
struct EarlierRules<'r> {
    rules: Vec<&'r Rule>,
    /// Places of those that hold for certain hosts alone, by each of these.
    by_host: HashMap<&'r str, Vec<usize>>,
    /// Places of the others.
    of_many_hosts: Vec<usize>,
}

impl<'r> EarlierRules<'r> {
    fn add(&mut self, rule: &'r Rule) {
        let place = self.rules.len();
        self.rules.push(rule);
        match exact_hosts(rule) {
            Some(hosts) => {
                hosts.into_iter().for_each(|host| self.by_host.entry(host).or_default().push(place))
            }
            None => self.of_many_hosts.push(place),
        }
    }

    /// The first one that takes everything that this rule would take.
    fn covering(&self, rule: &Rule) -> Option<&'r Rule> {
        let hosts = exact_hosts(rule).and_then(|hosts| self.by_host.get(hosts.first()?));
        let places = self.of_many_hosts.iter().chain(hosts.into_iter().flatten());
        let covers = |place: &&usize| covers(&self.rules[**place].conditions, &rule.conditions);
        places.filter(covers).min().map(|place| self.rules[*place])
    }
}

/// The hosts of a condition that has nothing but hosts without wildcards.
fn exact_hosts(rule: &Rule) -> Option<Vec<&str>> {
    rule.conditions.iter().find_map(|condition| match condition {
        Condition::Host(tests) => tests.iter().map(exact_text).collect(),
        _ => None,
    })
}

fn exact_text(test: &TextTest) -> Option<&str> {
    match test {
        TextTest::Pattern(pattern) if pattern.is_exact() => Some(pattern.as_str()),
        _ => None,
    }
}

/// Whether these conditions hold for every request for which the others do, as far as that can be seen.
pub(super) fn covers(wide: &[Condition], narrow: &[Condition]) -> bool {
    wide.iter().all(|wide| narrow.iter().any(|narrow| condition_covers(wide, narrow)))
}

fn condition_covers(wide: &Condition, narrow: &Condition) -> bool {
    match (wide, narrow) {
        (Condition::Host(wide), Condition::Host(narrow))
        | (Condition::Sni(wide), Condition::Sni(narrow))
        | (Condition::Path(wide), Condition::Path(narrow)) => {
            narrow.iter().all(|narrow| wide.iter().any(|wide| test_covers(wide, narrow)))
        }
        (Condition::Method(wide), Condition::Method(narrow)) => {
            narrow.iter().all(|method| wide.contains(method))
        }
        (Condition::Header(wide), Condition::Header(narrow))
        | (Condition::Query(wide), Condition::Query(narrow))
        | (Condition::Cookie(wide), Condition::Cookie(narrow)) => named_covers(wide, narrow),
        (wide, narrow) => wide == narrow,
    }
}

fn named_covers(wide: &NamedTest, narrow: &NamedTest) -> bool {
    wide.name == narrow.name
        && narrow.values.iter().all(|narrow| wide.values.iter().any(|wide| pattern_covers(wide, narrow)))
}

fn test_covers(wide: &TextTest, narrow: &TextTest) -> bool {
    match (wide, narrow) {
        (TextTest::Pattern(wide), TextTest::Pattern(narrow)) => pattern_covers(wide, narrow),
        (TextTest::Pattern(wide), TextTest::Subtree(root)) => {
            wide.is_prefix() && root.as_bytes().starts_with(wide.literal_prefix())
        }
        (TextTest::Subtree(root), narrow) => {
            let below = format!("{}/", root.trim_end_matches('/'));
            match narrow {
                TextTest::Subtree(other) => other == root || other.starts_with(&below),
                TextTest::Pattern(pattern) => {
                    pattern.literal_prefix().starts_with(below.as_bytes())
                        || pattern.is_exact() && pattern.as_str() == root
                }
                TextTest::Regex(_) => false,
            }
        }
        (wide, narrow) => wide == narrow,
    }
}

fn pattern_covers(wide: &Pattern, narrow: &Pattern) -> bool {
    wide == narrow
        || narrow.is_exact() && wide.matches(narrow.as_str().as_bytes())
        || wide.is_prefix() && narrow.literal_prefix().starts_with(wide.literal_prefix())
}
