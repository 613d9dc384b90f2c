//! What may become of the objects of the ELB API. Each change makes another set of them, so that one that is refused later
//! leaves nothing behind.

use std::sync::Arc;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields;
use crate::control::elb::ids;
use crate::control::elb::index::ElbIndex;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects;
use crate::control::elb::objects::listener;
use crate::control::elb::objects::member;
use crate::control::elb::objects::policy;
use crate::control::elb::objects::rule;
use crate::control::elb::objects::security_policy;

/// The last place that a policy can have.
pub const MAX_PRIORITY: i64 = policy::MAX_PRIORITY;

/// What `tls_ciphers_policy` may name: policies that need no object.
pub const SYSTEM_POLICIES: &[&str] = listener::POLICIES;

/// Whether clients give objects of a kind an attribute of this name.
pub fn has_attribute(kind: ElbKind, name: &str) -> bool {
    objects::fields(kind).iter().any(|field| field.name == name)
}

/// Who makes an object, and when.
pub struct ElbCreation<'c> {
    pub project: &'c str,
    pub id: String,
    /// As the API writes it.
    pub now: &'c str,
}

impl ElbObjects {
    /// Makes an object. `owner` is the group of a member, or the policy of a rule.
    ///
    /// # Errors
    /// It names what is wrong with the document, or what stands in the way.
    pub fn create(
        &mut self,
        kind: ElbKind,
        owner: &str,
        sent: &Map<String, Json>,
        creation: ElbCreation<'_>,
    ) -> Result<(), ElbFault> {
        self.check_quota(kind, 1)?;
        let ElbCreation { project, id, now } = creation;
        let mut sent = of_project(sent, project)?;
        let rules = if kind == ElbKind::Policy { sent.remove("rules") } else { None };
        let mut attributes = fields::created(objects::fields(kind), &sent)?;
        objects::settle(kind, &mut attributes)?;
        let mut object = ElbObject {
            kind,
            id,
            project: project.to_owned(),
            owner: owner.to_owned(),
            created_at: now.to_owned(),
            updated_at: now.to_owned(),
            attributes,
        };
        objects::place(self, &mut object)?;
        objects::check(self, &object)?;
        let id = object.id.clone();
        self.objects.push(Arc::new(object));
        match (kind, rules) {
            (ElbKind::Pool, _) => self.settle_pool(&id, now),
            (_, Some(rules)) => self.replace_rules((&id, project), &rules, now),
            _ => Ok(()),
        }
    }

    /// Makes members of a group, all by one look at those that are there.
    ///
    /// # Errors
    /// As above.
    pub fn create_members(
        &mut self,
        pool: &str,
        all: &[Map<String, Json>],
        (project, now): (&str, &str),
    ) -> Result<Vec<String>, ElbFault> {
        self.check_quota(ElbKind::Member, all.len())?;
        let mut made = Vec::with_capacity(all.len());
        for sent in all {
            made.push(ElbObject {
                kind: ElbKind::Member,
                id: ids::of_kind(ElbKind::Member)?,
                project: project.to_owned(),
                owner: pool.to_owned(),
                created_at: now.to_owned(),
                updated_at: now.to_owned(),
                attributes: fields::created(objects::fields(ElbKind::Member), &of_project(sent, project)?)?,
            });
        }
        member::check_all(self, pool, &made)?;
        let ids = made.iter().map(|member| member.id.clone()).collect();
        self.objects.extend(made.into_iter().map(Arc::new));
        Ok(ids)
    }

    pub(super) fn check_quota(&self, kind: ElbKind, more: usize) -> Result<(), ElbFault> {
        if self.of_kind(kind).count() + more > kind.quota() {
            let words =
                format!("there may be {} objects of this kind, and there would be more", kind.quota());
            return Err(ElbFault::quota(words));
        }
        Ok(())
    }

    /// A group that is made for a listener becomes its default.
    pub(super) fn settle_pool(&mut self, id: &str, now: &str) -> Result<(), ElbFault> {
        let Some(pool) = self.find(ElbKind::Pool, id).cloned() else { return Ok(()) };
        if pool.text("listener_id").is_empty() {
            return Ok(());
        }
        let listener = self.named(ElbKind::Listener, &pool, "listener_id")?;
        if !listener.text("default_pool_id").is_empty() {
            let message = format!("the listener {} has a default backend server group already", listener.id);
            return Err(ElbFault::conflict(message));
        }
        let listener = listener.id.clone();
        let change = json!({ "default_pool_id": id });
        self.update(ElbKind::Listener, &listener, change.as_object().unwrap_or(&Map::new()), now)
    }

    /// Gives a policy these rules in the place of those that it has.
    fn replace_rules(
        &mut self,
        (policy, project): (&str, &str),
        rules: &Json,
        now: &str,
    ) -> Result<(), ElbFault> {
        let rules = rules.as_array().ok_or_else(|| ElbFault::attribute("rules", "must be a list"))?;
        self.objects.retain(|object| object.kind != ElbKind::Rule || object.owner != policy);
        for rule in rules {
            let rule = rule.as_object();
            let rule = rule.ok_or_else(|| ElbFault::attribute("rules", "must be a list of objects"))?;
            let creation = ElbCreation { project, id: ids::of_kind(ElbKind::Rule)?, now };
            self.create(ElbKind::Rule, policy, rule, creation)?;
        }
        Ok(())
    }

    /// Changes attributes of an object.
    ///
    /// # Errors
    /// It names what is wrong with the document, or what stands in the way.
    pub fn update(
        &mut self,
        kind: ElbKind,
        id: &str,
        sent: &Map<String, Json>,
        now: &str,
    ) -> Result<(), ElbFault> {
        let mut sent = sent.clone();
        let rules = if kind == ElbKind::Policy { sent.remove("rules") } else { None };
        let place = self.place(kind, id)?;
        let mut object = (*self.objects[place]).clone();
        let was_ordered = object.truth("enhance_l7policy_enable");
        fields::update(objects::fields(kind), &mut object.attributes, &sent)?;
        objects::settle(kind, &mut object.attributes)?;
        objects::place(self, &mut object)?;
        now.clone_into(&mut object.updated_at);
        objects::check(self, &object)?;
        let (project, is_ordered) = (object.project.clone(), object.truth("enhance_l7policy_enable"));
        self.objects[place] = Arc::new(object);
        if let Some(rules) = rules {
            self.replace_rules((id, &project), &rules, now)?;
        }
        if kind == ElbKind::Listener && was_ordered != is_ordered {
            self.order_policies(id, is_ordered)?;
        }
        self.check_users(kind, id)
    }

    pub(super) fn place(&self, kind: ElbKind, id: &str) -> Result<usize, ElbFault> {
        let place = self.objects.iter().position(|object| object.kind == kind && object.id == id);
        place.ok_or_else(|| ElbFault::missing(kind.noun(), id))
    }

    /// What a change of an object means for those that name it.
    fn check_users(&self, kind: ElbKind, id: &str) -> Result<(), ElbFault> {
        match kind {
            ElbKind::Pool => self.defaulted_to(id).try_for_each(|one| objects::check(self, one)),
            ElbKind::LoadBalancer => {
                let mut own = self.of_kind(ElbKind::Listener).filter(|one| one.text("loadbalancer_id") == id);
                own.try_for_each(|one| objects::check(self, one))
            }
            ElbKind::Listener => self.policies_of(id).try_for_each(|one| objects::check(self, one)),
            ElbKind::SecurityPolicy => {
                self.find(kind, id).map_or(Ok(()), |policy| security_policy::check_users(self, policy))
            }
            _ => Ok(()),
        }
    }

    /// With `enhance_l7policy_enable`, policies get the places in which they were asked without it.
    fn order_policies(&mut self, listener: &str, is_ordered: bool) -> Result<(), ElbFault> {
        let places: Vec<(String, i64)> = if is_ordered {
            let found = self.find(ElbKind::Listener, listener);
            let mut simple = found.cloned().ok_or_else(|| ElbFault::missing("listener", listener))?;
            simple.attributes.insert("enhance_l7policy_enable".to_owned(), Json::Bool(false));
            let index = ElbIndex::new(self);
            let chain = index.chain_of(&simple);
            // Those without rules are asked by nobody yet, so that they come last.
            let has_rules = |one: &&ElbObject| index.rules_of(&one.id).is_empty();
            let others = index.policies_of(listener).iter().copied().filter(has_rules);
            let all = chain.into_iter().map(|(_, policy)| policy).chain(others);
            let all = all.filter(|one| one.text("action") != policy::TO_LISTENER);
            (1..).zip(all).map(|(place, policy)| (policy.id.clone(), place)).collect()
        } else {
            let is_simple = |policy: &ElbObject| self.rules_of(&policy.id).all(rule::is_simple);
            if !self.policies_of(listener).all(is_simple) {
                let why = "cannot become false: policies of the listener have rules that need it";
                return Err(ElbFault::attribute("enhance_l7policy_enable", why));
            }
            let chosen = self.policies_of(listener).filter(|one| one.text("action") != policy::TO_LISTENER);
            chosen.map(|policy| (policy.id.clone(), 1)).collect()
        };
        self.set_priorities(&places)
    }

    /// Gives policies other places, all at once.
    ///
    /// # Errors
    /// A policy is not there.
    fn set_priorities(&mut self, places: &[(String, i64)]) -> Result<(), ElbFault> {
        for (id, priority) in places {
            let place = self.place(ElbKind::Policy, id)?;
            let mut policy = (*self.objects[place]).clone();
            policy.attributes.insert("priority".to_owned(), Json::from(*priority));
            self.objects[place] = Arc::new(policy);
        }
        Ok(())
    }

    /// Gives policies the places that a client wants, all at once: they may change places with each other.
    ///
    /// # Errors
    /// A policy is not there, is of another project, or cannot have its place.
    pub fn reorder(&mut self, places: &[(String, i64)], project: &str, now: &str) -> Result<(), ElbFault> {
        for (id, priority) in places {
            let found = self.of_project(ElbKind::Policy, id, project)?;
            let mut policy = found.clone();
            policy.attributes.insert("priority".to_owned(), Json::from(*priority));
            // Whether it may have one at all.
            objects::place(self, &mut policy)?;
            let place = self.place(ElbKind::Policy, id)?;
            now.clone_into(&mut policy.updated_at);
            self.objects[place] = Arc::new(policy);
        }
        for (id, _) in places {
            objects::check(self, self.of_project(ElbKind::Policy, id, project)?)?;
        }
        Ok(())
    }
}

/// What is sent, without the project, which may only be that of the path.
pub(super) fn of_project(sent: &Map<String, Json>, project: &str) -> Result<Map<String, Json>, ElbFault> {
    let mut sent = sent.clone();
    match sent.remove("project_id") {
        Some(named) if named != project => {
            Err(ElbFault::attribute("project_id", "is not the project of this path"))
        }
        _ => Ok(sent),
    }
}
