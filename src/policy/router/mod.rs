//! Which rule takes a request: the rules of a listener, compiled into a matcher whose cost does not grow with their
//! number.
//!
//! The first rule by priority whose conditions all hold takes the request. [`Router::find`] looks only at rules whose
//! host and path can match at all, [`Router::explain`] asks every rule and says what each one missed. Both ask the
//! same conditions.

mod rule_index;
pub mod target;
mod condition;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod normalize;
mod pattern;
mod prefix_tree;
mod query;
mod regex;

use std::cell::RefCell;

pub use crate::policy::router::condition::Condition;
pub use crate::policy::router::condition::NamedTest;
pub use crate::policy::router::condition::Regex;
pub use crate::policy::router::condition::RoutingFacts;
pub use crate::policy::router::condition::SourceGroup;
pub use crate::policy::router::condition::SourceTest;
pub use crate::policy::router::condition::TextTest;
pub use crate::policy::router::pattern::Pattern;
pub use crate::policy::router::regex::Captures;
use crate::policy::router::regex::CapturingRegex;
pub use crate::policy::router::regex::RegexError;
use crate::policy::router::regex::RegexSet;
pub use crate::policy::router::regex::RegexText;
use crate::policy::router::regex::SetMatches;
pub use crate::policy::router::rule_index::MAX_HOST_BYTES;
use crate::policy::router::rule_index::RuleIndex;
use regex_automata::meta::Cache;

/// The rules of a listener in the order of their priority, ready to be searched.
pub struct Router {
    rules: Box<[CompiledRule]>,
    index: RuleIndex,
    hosts: RegexSet,
    paths: RegexSet,
}

struct CompiledRule {
    conditions: Box<[Condition]>,
    /// The expressions of its last condition on the path, if groups of them are wanted.
    capturing: Box<[CapturingRegex]>,
}

/// What a rule asks for.
pub struct RuleText<'c> {
    pub conditions: &'c [Condition],
    /// What the expressions of its last condition on the path capture is wanted.
    pub captures: bool,
}

/// What one thread needs to search a router, kept from one request to the next.
pub struct Scratch {
    hosts: SetMatches,
    paths: SetMatches,
    captures: Vec<Vec<Cache>>,
    text: RefCell<Vec<u8>>,
}

/// What became of a rule that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleVerdict {
    /// All of its conditions hold.
    Holds,
    /// The first of its conditions that does not hold.
    Misses(usize),
}

impl Router {
    /// Compiles rules that stand in the order of their priority.
    ///
    /// # Errors
    /// A regular expression is wrong, or all of them together are too large.
    pub fn new(texts: &[RuleText<'_>]) -> Result<Router, RegexError> {
        let (mut hosts, mut paths) = (Vec::new(), Vec::new());
        let mut rules = Vec::with_capacity(texts.len());
        for text in texts {
            let mut conditions: Box<[Condition]> = text.conditions.into();
            for condition in &mut conditions {
                match condition {
                    Condition::Host(tests) => number(tests, &mut hosts),
                    Condition::Path(tests) => number(tests, &mut paths),
                    _ => {}
                }
            }
            let capturing = if text.captures { capturing(&conditions)? } else { Box::default() };
            rules.push(CompiledRule { conditions, capturing });
        }
        let index = RuleIndex::new(rules.iter().map(|rule| &*rule.conditions), &mut hosts, &mut paths);
        Ok(Router {
            rules: rules.into(),
            index,
            hosts: RegexSet::new(&hosts.iter().collect::<Vec<_>>())?,
            paths: RegexSet::new(&paths.iter().collect::<Vec<_>>())?,
        })
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule asks for the path.
    pub fn looks_at_path(&self) -> bool {
        let mut conditions = self.rules.iter().flat_map(|rule| &rule.conditions);
        conditions.any(|condition| matches!(condition, Condition::Path(_)))
    }

    pub fn scratch(&self) -> Scratch {
        let caches = |rule: &CompiledRule| rule.capturing.iter().map(CapturingRegex::cache).collect();
        Scratch {
            hosts: self.hosts.matches(),
            paths: self.paths.matches(),
            captures: self.rules.iter().map(caches).collect(),
            text: RefCell::default(),
        }
    }

    /// The first rule that takes the request.
    pub fn find(&self, facts: &RoutingFacts<'_, '_>, scratch: &mut Scratch) -> Option<usize> {
        self.search_sets(facts, scratch);
        let Scratch { hosts, paths, text, .. } = scratch;
        self.index.first(facts, (hosts, paths), |rule| {
            self.ask(rule, facts, (hosts, paths), &mut text.borrow_mut()) == RuleVerdict::Holds
        })
    }

    /// The conditions of a rule.
    pub fn conditions(&self, rule: usize) -> &[Condition] {
        self.rules.get(rule).map_or(&[], |rule| &rule.conditions)
    }

    /// A bit for each of the first 64 rules whose conditions all hold.
    pub fn all(&self, facts: &RoutingFacts<'_, '_>, scratch: &mut Scratch) -> u64 {
        self.search_sets(facts, scratch);
        let Scratch { hosts, paths, text, .. } = scratch;
        let text = &mut text.borrow_mut();
        let rules = 0..self.rules.len().min(64);
        let holding = rules.filter(|rule| self.ask(*rule, facts, (hosts, paths), text) == RuleVerdict::Holds);
        holding.fold(0, |bits, rule| bits | 1 << rule)
    }

    /// What becomes of every rule, also of those behind the one that takes the request.
    pub fn explain(&self, facts: &RoutingFacts<'_, '_>, scratch: &mut Scratch) -> Vec<RuleVerdict> {
        self.search_sets(facts, scratch);
        let Scratch { hosts, paths, text, .. } = scratch;
        let rules = 0..self.rules.len();
        rules.map(|rule| self.ask(rule, facts, (hosts, paths), &mut text.borrow_mut())).collect()
    }

    /// What the groups of the rule's last condition on the path captured.
    pub fn captures<'t>(&self, rule: usize, path: &'t [u8], scratch: &mut Scratch) -> Captures<'t> {
        let regexes = self.rules.get(rule).map_or(&[][..], |rule| &rule.capturing);
        let caches = scratch.captures.get_mut(rule).map_or(&mut [][..], |caches| caches);
        let mut attempts = regexes.iter().zip(caches);
        attempts.find_map(|(regex, cache)| regex.captures(path, cache)).unwrap_or(Captures::none())
    }

    fn search_sets(&self, facts: &RoutingFacts<'_, '_>, scratch: &mut Scratch) {
        self.hosts.search(facts.host, &mut scratch.hosts);
        self.paths.search(facts.path, &mut scratch.paths);
    }

    fn ask(
        &self,
        rule: usize,
        facts: &RoutingFacts<'_, '_>,
        (hosts, paths): (&SetMatches, &SetMatches),
        text: &mut Vec<u8>,
    ) -> RuleVerdict {
        let conditions = self.rules.get(rule).map_or(&[][..], |rule| &rule.conditions);
        let is_match = |condition: &Condition, number| match condition {
            Condition::Host(_) => hosts.contains(number),
            _ => paths.contains(number),
        };
        let missed = conditions.iter().position(|condition| !condition.holds(facts, is_match, text));
        missed.map_or(RuleVerdict::Holds, RuleVerdict::Misses)
    }
}

/// Gives the expressions among these tests their numbers in the set.
fn number(tests: &mut [TextTest], set: &mut Vec<RegexText>) {
    for test in tests {
        if let TextTest::Regex(regex) = test {
            regex.number = set.len() as u32;
            set.push(regex.text.clone());
        }
    }
}

/// The expressions of the last condition on the path.
fn capturing(conditions: &[Condition]) -> Result<Box<[CapturingRegex]>, RegexError> {
    let last = conditions.iter().rev().find_map(|condition| match condition {
        Condition::Path(tests) => Some(tests),
        _ => None,
    });
    let regexes = last.into_iter().flatten().filter_map(|test| match test {
        TextTest::Regex(regex) => Some(CapturingRegex::new(&regex.text)),
        _ => None,
    });
    regexes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::Headers;

    /// Numbers that look random and are the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }

        fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
            texts[self.below(texts.len())]
        }
    }

    const HOSTS: &[&str] = &["a.example", "*.example", "*", "b.*", "*b*.example", "~^[ab]\\.", "b.a.example"];
    const PATHS: &[&str] =
        &["/", "/a", "/a/*", "/a/b*", "*.php", "/*/c", "=/a", "=/a/b", "~^/a/(b|c)$", "~*B", "/a?b"];

    fn test(text: &str) -> TextTest {
        if let Some(text) = text.strip_prefix("~*") {
            return TextTest::Regex(Regex::new(RegexText { text: text.to_owned(), ignores_case: true }));
        }
        if let Some(text) = text.strip_prefix('~') {
            return TextTest::Regex(Regex::new(RegexText { text: text.to_owned(), ignores_case: false }));
        }
        match text.strip_prefix('=') {
            Some(root) => TextTest::Subtree(root.to_owned()),
            None => TextTest::Pattern(Pattern::new(text)),
        }
    }

    fn conditions(numbers: &mut Numbers) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for _ in 0..numbers.below(4) {
            let count = 1 + numbers.below(3);
            conditions.push(match numbers.below(4) {
                0 => Condition::Host((0..count).map(|_| test(numbers.pick(HOSTS))).collect()),
                1 | 2 => Condition::Path((0..count).map(|_| test(numbers.pick(PATHS))).collect()),
                _ => Condition::Method(vec![numbers.pick(&["GET", "POST"]).to_owned()]),
            });
        }
        conditions
    }

    /// However rules are sorted into trees and tables, the first one takes the request of which all conditions hold.
    #[test]
    fn finding_and_explaining_agree() {
        let mut numbers = Numbers(7);
        let headers = Headers::new();
        let (mut found, mut lost) = (0, 0);
        for _ in 0..300 {
            let rules: Vec<_> = (0..1 + numbers.below(12)).map(|_| conditions(&mut numbers)).collect();
            let texts: Vec<_> =
                rules.iter().map(|rule| RuleText { conditions: rule, captures: false }).collect();
            let router = Router::new(&texts).unwrap();
            let mut scratch = router.scratch();
            for _ in 0..60 {
                let facts = RoutingFacts {
                    host: numbers
                        .pick(&["a.example", "b.a.example", "bb.example", "b.x", "", "other"])
                        .as_bytes(),
                    path: numbers
                        .pick(&[
                            "/", "/a", "/a/", "/a/b", "/a/c", "/x/c", "/a/b.php", "/ab", "/axb", "/B", "*",
                        ])
                        .as_bytes(),
                    query: b"",
                    method: numbers.pick(&["GET", "POST", "PUT"]).as_bytes(),
                    headers: &headers,
                    source: "192.0.2.1".parse().unwrap(),
                    alpn: b"",
                };
                let verdicts = router.explain(&facts, &mut scratch);
                let expected = verdicts.iter().position(|verdict| *verdict == RuleVerdict::Holds);
                let context = || format!("{rules:?} {:?} {:?}", facts.host, facts.path);
                assert_eq!(router.find(&facts, &mut scratch), expected, "{}", context());
                if expected.is_some() { found += 1 } else { lost += 1 }
            }
        }
        assert!(found > 1_000 && lost > 1_000, "{found} found, {lost} not");
    }

    #[test]
    fn captures_of_the_last_path_condition() {
        let conditions = [
            Condition::Path(vec![test("~^/(x)/")]),
            Condition::Path(vec![test("~^/x/u([0-9]+)$"), test("~^/x/(.*)/end$")]),
        ];
        let router = Router::new(&[RuleText { conditions: &conditions, captures: true }]).unwrap();
        let mut scratch = router.scratch();
        assert_eq!(router.captures(0, b"/x/u42", &mut scratch).group(1), b"42");
        assert_eq!(router.captures(0, b"/x/a/b/end", &mut scratch).group(1), b"a/b");
        assert_eq!(router.captures(0, b"/y", &mut scratch).group(1), b"");
        assert_eq!(router.captures(7, b"/x/u42", &mut scratch).group(1), b"");
    }

    /// A matcher for a large configuration is made in a moment.
    #[test]
    fn ten_thousand_hosts() {
        let rules: Vec<_> = (0..10_000)
            .map(|number| {
                let host = format!("shop{number}.example.com");
                vec![
                    Condition::Host(vec![TextTest::Pattern(Pattern::new(&host))]),
                    Condition::Path(vec![TextTest::Subtree("/".to_owned())]),
                ]
            })
            .collect();
        let texts: Vec<_> = rules.iter().map(|rule| RuleText { conditions: rule, captures: false }).collect();
        let router = Router::new(&texts).unwrap();
        assert_eq!((router.len(), router.looks_at_path(), router.is_empty()), (10_000, true, false));
        let headers = Headers::new();
        let facts = |host| RoutingFacts {
            host,
            path: b"/",
            query: b"",
            method: b"GET",
            headers: &headers,
            source: "192.0.2.1".parse().unwrap(),
            alpn: b"",
        };
        let mut scratch = router.scratch();
        assert_eq!(router.find(&facts(b"shop9999.example.com"), &mut scratch), Some(9_999));
        assert_eq!(router.find(&facts(b"shop10000.example.com"), &mut scratch), None);
    }
}
