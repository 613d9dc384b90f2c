//! The rules of a listener in service.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::http::headers::Headers;
use crate::policy::balance::cookies;
use crate::policy::balance::sticky;
use crate::policy::balance::sticky::BackendTokens;
use crate::policy::balance::sticky::WrittenAttributes;
pub use crate::policy::cors::CorsPolicy;
pub use crate::policy::header_edits::HeaderEdits;
pub use crate::policy::mirror::Mirror;
use crate::policy::overrides::Overrides;
pub use crate::policy::redirect::Redirect;
pub use crate::policy::redirect::Rewrite;
use crate::policy::router::Router;
use crate::policy::router::RoutingFacts;
use crate::policy::router::Scratch;
use crate::snapshot::bandwidth::BandwidthLimit;
use crate::snapshot::error_pages::PageContent;
use crate::snapshot::gates::Gates;
use crate::snapshot::maintenance::Maintenance;
use crate::snapshot::request_limit::RequestLimit;
use crate::snapshot::routes::RouteSeries;

/// Rules in the order of their priority, and the matcher that finds the one of a request.
pub struct Rules {
    /// Differs among all that a process ever has.
    id: u64,
    router: Router,
    rules: Box<[Rule]>,
    /// Paths are matched and forwarded in their one spelling.
    pub normalizes: bool,
}

/// Rules that are not asked, for those who want to know what would be if they were.
pub struct DisabledRules {
    /// Without anything to do, in the order of `rules`.
    pub asked: Rules,
    /// Names and priorities, in the order of these.
    pub rules: Box<[(String, u32)]>,
    /// The same of rules for responses.
    pub of_responses: Box<[(String, u32)]>,
}

/// What becomes of a request that a rule takes.
pub struct Rule {
    pub name: Arc<str>,
    pub priority: u32,
    /// None: nothing is asked of its requests.
    pub gates: Option<Box<Gates>>,
    /// None: what backends say to browsers of other origins passes.
    pub cors: Option<Box<CorsPolicy>>,
    pub mirror: Option<Mirror>,
    pub maintenance: Maintenance,
    pub request_headers: HeaderEdits,
    pub response_headers: HeaderEdits,
    /// None: unlimited.
    pub limit: Option<Box<RequestLimit>>,
    /// Bytes per second; None: unlimited.
    pub bandwidth: Option<Box<BandwidthLimit>>,
    /// Of listener and group.
    pub overrides: Overrides,
    pub rewrite: Option<Rewrite>,
    pub last: FinalAction,
    /// The counters of the requests that it takes.
    pub series: RouteSeries,
    /// It asks for a host, so that the host of a request that it takes is one that is served here.
    pub knows_host: bool,
}

/// What ends the processing of a request.
pub enum FinalAction {
    Forward(Targets),
    Redirect(Redirect),
    Respond(FixedResponse),
}

/// An answer that needs no backend.
pub struct FixedResponse {
    pub status: u16,
    /// Its content may be empty.
    pub page: Arc<PageContent>,
}

/// Groups that share the requests of a rule.
pub struct Targets {
    /// The index of each in the groups of the listener, and the sum of the weights up to and with it.
    ends: Box<[(usize, u32)]>,
    /// None: each request is shared by chance.
    pub cookie: Option<Box<GroupCookie>>,
}

/// The cookie by which a client comes back to the group that it was given.
pub struct GroupCookie {
    pub name: String,
    pub timeout_s: u32,
    pub attributes: WrittenAttributes,
    /// In the order of the groups.
    pub tokens: BackendTokens,
}

impl Targets {
    /// Each with its weight; not all are 0.
    pub fn new(weighted: impl Iterator<Item = (usize, u32)>, cookie: Option<Box<GroupCookie>>) -> Targets {
        let sums = weighted.scan(0, |sum, (group, weight)| {
            *sum += weight;
            Some((group, *sum))
        });
        Targets { ends: sums.collect(), cookie }
    }

    /// The index of each group with its weight.
    pub fn weights(&self) -> impl Iterator<Item = (usize, u32)> {
        let before = std::iter::once(0).chain(self.ends.iter().map(|(_, sum)| *sum));
        self.ends.iter().zip(before).map(|((group, sum), before)| (*group, sum - before))
    }

    /// The group that a client's cookie tells, and how many seconds ago the client was given it. None without a cookie
    /// that counts, or if the group has weight 0. `now_s` is Unix time.
    #[inline]
    pub fn of_client(&self, headers: &Headers<'_>, now_s: u32) -> Option<(usize, u32)> {
        let cookie = self.cookie.as_deref()?;
        // Another cookie of this name does not hide ours.
        cookies::all(headers, &cookie.name).find_map(|value| {
            let token = sticky::parse(value)?;
            let place = cookie.tokens.find(&token.tag)?;
            let age = token.age(cookie.tokens.of(place)?, now_s).filter(|age| *age < cookie.timeout_s)?;
            let (index, weight) = self.weights().nth(place as usize)?;
            (weight > 0).then_some((index, age))
        })
    }

    /// The same among those that may be chosen; None if none of them may.
    pub fn choose_among(&self, chance: impl FnOnce() -> u32, may: impl Fn(usize) -> bool) -> Option<usize> {
        let allowed = || self.weights().filter(|(group, weight)| *weight > 0 && may(*group));
        let total: u32 = allowed().map(|(_, weight)| weight).sum();
        let mut left = ((u64::from(chance()) * u64::from(total)) >> 32) as u32;
        let mut chosen = None;
        for (group, weight) in allowed() {
            // Should others be allowed than a moment ago, the last one takes what is left.
            chosen = Some(group);
            if left < weight {
                break;
            }
            left -= weight;
        }
        chosen
    }

    /// The index of the group for a request to which chance gave this number.
    pub fn choose(&self, chance: impl FnOnce() -> u32) -> Option<usize> {
        match &*self.ends {
            [(only, _)] => Some(*only),
            several => {
                let total = several.last().map_or(0, |(_, sum)| *sum);
                // Scaled down instead of divided: the upper bits are as random as the lower ones.
                let place = ((u64::from(chance()) * u64::from(total)) >> 32) as u32;
                several.iter().find(|(_, sum)| place < *sum).map(|(group, _)| *group)
            }
        }
    }
}

impl Rules {
    /// `rules` run beside those of the router.
    pub fn new(router: Router, rules: Vec<Rule>, normalizes: bool) -> Rules {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Rules { id, router, rules: rules.into(), normalizes }
    }

    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The rule with this index.
    pub fn get(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Rule> {
        self.rules.iter_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }
}

/// What a worker searches rules with, kept from one request to the next.
#[derive(Default)]
pub struct RouterMemory {
    /// By the rules that it is for, those used most near the beginning. No more than the snapshots in use have.
    scratches: Vec<(u64, Scratch)>,
    /// A path in its one spelling.
    pub path: Vec<u8>,
    /// Path and query as a backend gets them.
    pub target: Vec<u8>,
    /// The host as a backend gets it.
    pub host: Vec<u8>,
}

/// Places among which it makes no difference which one it is.
const FOUND_SOON: usize = 8;

impl RouterMemory {
    /// The first rule that takes a request.
    pub fn find(&mut self, rules: &Rules, facts: &RoutingFacts<'_, '_>) -> Option<usize> {
        rules.router.find(facts, self.scratch(rules))
    }

    /// A bit for each of the first 64 rules that take a request.
    pub fn all(&mut self, rules: &Rules, facts: &RoutingFacts<'_, '_>) -> u64 {
        rules.router.all(facts, self.scratch(rules))
    }

    /// What rules are searched with.
    pub fn scratch(&mut self, rules: &Rules) -> &mut Scratch {
        let known = self.scratches.iter().position(|(id, _)| *id == rules.id);
        let place = known.unwrap_or_else(|| {
            self.scratches.push((rules.id, rules.router.scratch()));
            self.scratches.len() - 1
        });
        // Of many, those that are asked for often are found soon.
        let sooner = if place < FOUND_SOON { place } else { place / 2 };
        self.scratches.swap(place, sooner);
        &mut self.scratches[sooner].1
    }

    /// Forgets what rules were searched with that another configuration may not have.
    pub fn forget(&mut self) {
        self.scratches.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::Headers;

    /// Memory for rules is made once, however many listeners have some.
    #[test]
    fn what_rules_are_searched_with_is_kept() {
        let rules: Vec<Rules> =
            (0..40).map(|_| Rules::new(Router::new(&[]).unwrap(), Vec::new(), false)).collect();
        let headers = Headers::new();
        let facts = RoutingFacts {
            host: b"",
            path: b"/",
            query: b"",
            method: b"GET",
            headers: &headers,
            source: "192.0.2.1".parse().unwrap(),
            alpn: b"",
        };
        let mut memory = RouterMemory::default();
        for _ in 0..3 {
            assert!(rules.iter().all(|rules| memory.find(rules, &facts).is_none()));
            let known: std::collections::HashSet<u64> = memory.scratches.iter().map(|(id, _)| *id).collect();
            assert_eq!((memory.scratches.len(), known.len()), (40, 40));
        }
        memory.forget();
        assert!(memory.scratches.is_empty());
    }

    #[test]
    fn groups_share_by_weight() {
        let targets = Targets::new([(4, 90), (7, 10), (9, 0)].into_iter(), None);
        let step = u32::MAX / 1_000;
        let chosen = (0..1_000).map(|number| targets.choose(|| number * step).unwrap());
        let counts = chosen.fold([0; 10], |mut counts, group| {
            counts[group] += 1;
            counts
        });
        assert!((899..=901).contains(&counts[4]) && counts[9] == 0, "{counts:?}");
        assert_eq!(counts[4] + counts[7], 1_000);
        assert_eq!(targets.choose(|| u32::MAX), Some(7));
        assert_eq!(targets.choose_among(|| u32::MAX, |group| group != 7), Some(4));
        assert_eq!(targets.choose_among(|| 0, |group| group != 4), Some(7));
        assert_eq!(targets.choose_among(|| u32::MAX, |_| true), Some(7));
        assert_eq!(targets.choose_among(|| 0, |group| group == 9), None);
        assert_eq!(
            Targets::new([(3, 1)].into_iter(), None).choose(|| unreachable!("one needs no chance")),
            Some(3)
        );
    }
}
