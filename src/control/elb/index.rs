//! What belongs to what: made once where many objects are looked at.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::ip_group;
use crate::control::elb::objects::policy;
use crate::control::elb::objects::rule;

/// The IP groups that a listener names.
pub fn of_listener(listener: &ElbObject) -> impl Iterator<Item = &str> {
    ip_group::of_listener(listener)
}

type ByOwner<'o> = BTreeMap<&'o str, Vec<&'o ElbObject>>;

/// The objects by the ids of those that they belong to.
pub struct ElbIndex<'o> {
    pub objects: &'o ElbObjects,
    members: ByOwner<'o>,
    monitors: ByOwner<'o>,
    rules: ByOwner<'o>,
    policies: ByOwner<'o>,
    listeners_of_pools: ByOwner<'o>,
    pools_of_listeners: ByOwner<'o>,
}

impl<'o> ElbIndex<'o> {
    pub fn new(objects: &'o ElbObjects) -> ElbIndex<'o> {
        let by = |kind: ElbKind, owner: &dyn Fn(&'o ElbObject) -> &'o str| {
            let mut of_owners: ByOwner<'o> = BTreeMap::new();
            for object in objects.of_kind(kind) {
                of_owners.entry(owner(object)).or_default().push(object);
            }
            of_owners
        };
        let mut index = ElbIndex {
            objects,
            members: by(ElbKind::Member, &|member| &member.owner),
            monitors: by(ElbKind::HealthMonitor, &|monitor| monitor.text("pool_id")),
            rules: by(ElbKind::Rule, &|rule| &rule.owner),
            policies: by(ElbKind::Policy, &|policy| policy.text("listener_id")),
            listeners_of_pools: BTreeMap::new(),
            pools_of_listeners: BTreeMap::new(),
        };
        index.pair();
        index
    }

    fn pair(&mut self) {
        let pools = self.objects.of_kind(ElbKind::Pool).map(|pool| (pool.id.as_str(), pool));
        let pools: BTreeMap<&str, &'o ElbObject> = pools.collect();
        for listener in self.objects.of_kind(ElbKind::Listener) {
            let policies = self.policies.get(listener.id.as_str()).into_iter().flatten();
            let of_policies = policies.flat_map(|one| policy::pools(one));
            let mut known = BTreeSet::new();
            let named = [listener.text("default_pool_id")].into_iter().chain(of_policies);
            for pool in named.filter_map(|id| pools.get(id).copied()).filter(|pool| known.insert(&pool.id)) {
                self.listeners_of_pools.entry(&pool.id).or_default().push(listener);
                self.pools_of_listeners.entry(&listener.id).or_default().push(pool);
            }
        }
    }

    pub fn members_of(&self, pool: &str) -> &[&'o ElbObject] {
        of(&self.members, pool)
    }

    pub fn monitor_of(&self, pool: &str) -> Option<&'o ElbObject> {
        of(&self.monitors, pool).first().copied()
    }

    pub fn rules_of(&self, policy: &str) -> &[&'o ElbObject] {
        of(&self.rules, policy)
    }

    pub fn policies_of(&self, listener: &str) -> &[&'o ElbObject] {
        of(&self.policies, listener)
    }

    /// The listeners that lead to a group.
    pub fn listeners_of(&self, pool: &str) -> &[&'o ElbObject] {
        of(&self.listeners_of_pools, pool)
    }

    /// The groups that a listener leads to, its default first.
    pub fn pools_of(&self, listener: &str) -> &[&'o ElbObject] {
        of(&self.pools_of_listeners, listener)
    }

    /// The policies of a listener that choose among requests, with the places in which they are asked.
    ///
    /// Those without a rule are none yet: scripts make a policy first, and then its rules, and meanwhile it is not to take
    /// everything.
    pub(super) fn chain_of(&self, listener: &'o ElbObject) -> Vec<(usize, &'o ElbObject)> {
        let policies = self.policies_of(&listener.id).iter().copied();
        let chosen = policies
            .filter(|one| one.text("action") != policy::TO_LISTENER && !self.rules_of(&one.id).is_empty());
        if listener.truth("enhance_l7policy_enable") {
            let place = |one: &'o ElbObject| (usize::try_from(one.number("priority")).unwrap_or(1), one);
            return chosen.map(place).collect();
        }
        let mut chosen: Vec<&ElbObject> = chosen.collect();
        // The sort is stable: of two that are alike, the older one is asked first.
        chosen.sort_by_key(|one| self.standing(one));
        chosen.into_iter().enumerate().map(|(index, one)| (index + 1, one)).collect()
    }

    /// Where a policy stands by what its rules say: hosts before patterns of hosts before none; in each, paths before
    /// beginnings of paths before expressions, and longer ones first.
    fn standing(&self, policy: &ElbObject) -> (u8, u8, Reverse<usize>) {
        let rules = self.rules_of(&policy.id);
        let of_type = |kind: &str| rules.iter().find(|rule| rule.text("type") == kind);
        let host = of_type("HOST_NAME").map(|rule| rule::values(rule).concat());
        let host = host.map_or(2, |host| u8::from(host.contains('*')));
        match of_type("PATH") {
            None => (host, 1, Reverse(1)),
            Some(rule) => {
                let class = match rule.text("compare_type") {
                    "EQUAL_TO" => 0,
                    "STARTS_WITH" => 1,
                    _ => 2,
                };
                (host, class, Reverse(rule::values(rule).concat().len()))
            }
        }
    }
}

fn of<'i, 'o>(of_owners: &'i ByOwner<'o>, owner: &str) -> &'i [&'o ElbObject] {
    of_owners.get(owner).map_or(&[], Vec::as_slice)
}
