//! Which rules can take a request at all, by its host and its path.
//!
//! A rule stands in the table of each host that its first condition on the host allows, and there under each path
//! that its first condition on the path allows. Rules without one of the two stand in the table of any host, or in the
//! list of any path. A text of one of these lists is a rule's index, and each list is in the order of priority, so that
//! it is left at the first index beyond the best rule so far.

use crate::policy::router::condition::Condition;
use crate::policy::router::condition::RoutingFacts;
use crate::policy::router::condition::TextTest;
use crate::policy::router::pattern::Pattern;
use crate::policy::router::prefix_tree::PrefixTree;
use crate::policy::router::prefix_tree::PrefixTreeBuilder;
use crate::policy::router::regex::RegexText;
use crate::policy::router::regex::SetMatches;

/// The longest host there is (RFC 1035 §2.3.4).
pub const MAX_HOST_BYTES: usize = 255;

/// The rules by what their hosts and paths begin and end with.
pub(super) struct RuleIndex {
    /// By the host read backwards.
    hosts: PrefixTree,
    /// The tables of hosts that are regular expressions, by their numbers in the set.
    host_regexes: Box<[Option<u32>]>,
    /// The first is that of any host.
    tables: Box<[HostTable]>,
    /// The rules of paths that are regular expressions, by their numbers in the set, whatever their host.
    path_regexes: Box<[Box<[u32]>]>,
}

/// The rules of one host.
struct HostTable {
    paths: PrefixTree,
    lists: Box<[Box<[u32]>]>,
    any_path: Box<[u32]>,
}

#[derive(Default)]
struct HostTableBuilder {
    paths: PrefixTreeBuilder,
    lists: Vec<Vec<u32>>,
    any_path: Vec<u32>,
}

struct Builder<'s> {
    hosts: PrefixTreeBuilder,
    host_regexes: Vec<Option<u32>>,
    tables: Vec<HostTableBuilder>,
    path_regexes: Vec<Vec<u32>>,
    host_set: &'s mut Vec<RegexText>,
    path_set: &'s mut Vec<RegexText>,
}

impl RuleIndex {
    /// Sorts rules in. Texts with a wildcard where a tree would begin to look join the sets of regular expressions.
    pub(super) fn new<'c>(
        rules: impl Iterator<Item = &'c [Condition]>,
        host_set: &mut Vec<RegexText>,
        path_set: &mut Vec<RegexText>,
    ) -> RuleIndex {
        let mut builder = Builder {
            hosts: PrefixTreeBuilder::default(),
            host_regexes: Vec::new(),
            tables: vec![HostTableBuilder::default()],
            path_regexes: Vec::new(),
            host_set,
            path_set,
        };
        for (rule, conditions) in rules.enumerate() {
            builder.add(rule as u32, conditions);
        }
        RuleIndex {
            hosts: builder.hosts.build(),
            host_regexes: builder.host_regexes.into(),
            tables: builder.tables.into_iter().map(HostTableBuilder::build).collect(),
            path_regexes: boxed(builder.path_regexes),
        }
    }

    /// The first rule of which `holds` says that it takes the request.
    pub(super) fn first(
        &self,
        facts: &RoutingFacts<'_, '_>,
        (hosts, paths): (&SetMatches, &SetMatches),
        holds: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut best = Best { rule: u32::MAX, holds };
        let mut backwards = [0; MAX_HOST_BYTES];
        let backwards = backwards.get_mut(..facts.host.len()).unwrap_or_default();
        backwards.iter_mut().zip(facts.host.iter().rev()).for_each(|(to, from)| *to = *from);
        let mut look_in = |table: u32| {
            let Some(table) = self.tables.get(table as usize) else { return };
            best.look_in(&table.any_path);
            table.paths.for_each_match(facts.path, |list| {
                best.look_in(table.lists.get(list as usize).map_or(&[], |list| list));
            });
        };
        look_in(0);
        self.hosts.for_each_match(backwards, &mut look_in);
        for number in hosts.iter() {
            self.host_regexes.get(number).copied().flatten().into_iter().for_each(&mut look_in);
        }
        for number in paths.iter() {
            best.look_in(self.path_regexes.get(number).map_or(&[], |list| list));
        }
        (best.rule != u32::MAX).then_some(best.rule as usize)
    }
}

/// The best rule so far.
struct Best<H> {
    rule: u32,
    holds: H,
}

impl<H: Fn(usize) -> bool> Best<H> {
    fn look_in(&mut self, list: &[u32]) {
        for &rule in list.iter().take_while(|rule| **rule < self.rule) {
            if (self.holds)(rule as usize) {
                self.rule = rule;
                return;
            }
        }
    }
}

impl Builder<'_> {
    fn add(&mut self, rule: u32, conditions: &[Condition]) {
        let hosts = conditions.iter().find_map(|condition| match condition {
            Condition::Host(tests) => Some(tests),
            _ => None,
        });
        let paths = conditions.iter().find_map(|condition| match condition {
            Condition::Path(tests) => Some(tests.as_slice()),
            _ => None,
        });
        match hosts {
            None => self.add_paths(rule, 0, paths),
            Some(tests) => {
                for test in tests {
                    let table = self.table(test);
                    self.add_paths(rule, table, paths);
                }
            }
        }
    }

    /// The table of a host.
    fn table(&mut self, host: &TextTest) -> u32 {
        let next = self.tables.len() as u32;
        let reversed = |text: &[u8]| text.iter().rev().copied().collect::<Vec<u8>>();
        let table = match host {
            TextTest::Pattern(pattern) if pattern.is_exact() => {
                self.hosts.exact(&reversed(pattern.as_str().as_bytes()), || next)
            }
            TextTest::Pattern(pattern) if !pattern.literal_suffix().is_empty() || pattern.as_str() == "*" => {
                self.hosts.prefix(&reversed(pattern.literal_suffix()), || next)
            }
            TextTest::Pattern(pattern) => {
                let number = as_regex(pattern, self.host_set);
                self.host_regex(number)
            }
            TextTest::Subtree(host) => self.hosts.exact(&reversed(host.as_bytes()), || next),
            TextTest::Regex(regex) => self.host_regex(regex.number),
        };
        if table == next {
            self.tables.push(HostTableBuilder::default());
        }
        table
    }

    fn host_regex(&mut self, number: u32) -> u32 {
        let number = number as usize;
        if self.host_regexes.len() <= number {
            self.host_regexes.resize(number + 1, None);
        }
        let next = self.tables.len() as u32;
        *self.host_regexes[number].get_or_insert(next)
    }

    fn add_paths(&mut self, rule: u32, table: u32, paths: Option<&[TextTest]>) {
        let Some(table) = self.tables.get_mut(table as usize) else { return };
        let Some(tests) = paths else {
            push(&mut table.any_path, rule);
            return;
        };
        for test in tests {
            let number = match test {
                TextTest::Pattern(pattern) if pattern.is_exact() => {
                    table.exact(pattern.as_str().as_bytes(), rule);
                    continue;
                }
                TextTest::Pattern(pattern) if !pattern.literal_prefix().is_empty() => {
                    table.prefix(pattern.literal_prefix(), rule);
                    continue;
                }
                TextTest::Subtree(root) => {
                    table.prefix(root.as_bytes(), rule);
                    continue;
                }
                TextTest::Pattern(pattern) if pattern.as_str() == "*" => {
                    push(&mut table.any_path, rule);
                    continue;
                }
                TextTest::Pattern(pattern) => as_regex(pattern, self.path_set) as usize,
                TextTest::Regex(regex) => regex.number as usize,
            };
            if self.path_regexes.len() <= number {
                self.path_regexes.resize(number + 1, Vec::new());
            }
            push(&mut self.path_regexes[number], rule);
        }
    }
}

impl HostTableBuilder {
    fn exact(&mut self, path: &[u8], rule: u32) {
        let next = self.lists.len() as u32;
        let list = self.paths.exact(path, || next);
        self.push(list, rule);
    }

    fn prefix(&mut self, path: &[u8], rule: u32) {
        let next = self.lists.len() as u32;
        let list = self.paths.prefix(path, || next);
        self.push(list, rule);
    }

    fn push(&mut self, list: u32, rule: u32) {
        let list = list as usize;
        if self.lists.len() <= list {
            self.lists.push(Vec::new());
        }
        push(&mut self.lists[list], rule);
    }

    fn build(self) -> HostTable {
        HostTable { paths: self.paths.build(), lists: boxed(self.lists), any_path: self.any_path.into() }
    }
}

/// Rules come in the order of their priority; one can come twice by alternatives that mean the same.
fn push(list: &mut Vec<u32>, rule: u32) {
    if list.last() != Some(&rule) {
        list.push(rule);
    }
}

fn boxed(lists: Vec<Vec<u32>>) -> Box<[Box<[u32]>]> {
    lists.into_iter().map(Vec::into_boxed_slice).collect()
}

/// Puts a text with wildcards into the set of regular expressions and gives its number.
fn as_regex(pattern: &Pattern, set: &mut Vec<RegexText>) -> u32 {
    let text = RegexText { text: pattern.to_regex(), ignores_case: false };
    if let Some(known) = set.iter().position(|other| *other == text) {
        return known as u32;
    }
    set.push(text);
    set.len() as u32 - 1
}
