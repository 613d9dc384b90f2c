//! From the objects of the ELB API to tables of the configuration, with every default of the API written out: those of
//! Ringway are others.

pub mod certificate;
mod group;
mod ip_group;
mod listener;
pub mod names;
mod rule;
mod security_policy;
mod tables;

use crate::control::elb::index::ElbIndex;
use crate::control::elb::mapping::names::ElbTerms;
use crate::control::elb::mapping::tables::Tables;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object_set::ElbObjects;

/// The text that stands for all objects, without certificates, IP groups and security policies that no listener names.
pub fn text(objects: &ElbObjects, terms: &ElbTerms<'_>) -> String {
    let mut tables =
        Tables::new("Made of the objects of the ELB API, which replaces this file: change them there.");
    let index = ElbIndex::new(objects);
    certificate::tables(objects, terms, &mut tables);
    ip_group::tables(objects, &mut tables);
    security_policy::tables(objects, &mut tables);
    for listener in objects.of_kind(ElbKind::Listener) {
        listener::tables(&index, listener, terms, &mut tables);
        for (place, policy) in index.chain_of(listener) {
            rule::table(&index, (listener, policy), place, &mut tables);
        }
        if listener::needs_empty_group(listener) {
            group::empty_table(listener, &mut tables);
        }
        for pool in index.pools_of(&listener.id) {
            group::tables(&index, (listener, pool), &mut tables);
        }
    }
    tables.into_text()
}

/// How many backends the text has: those of a group stand there for each listener that leads to it.
pub fn backends(objects: &ElbObjects) -> usize {
    let index = ElbIndex::new(objects);
    let pools = objects.of_kind(ElbKind::Pool);
    pools.map(|pool| index.members_of(&pool.id).len() * index.listeners_of(&pool.id).len()).sum()
}
