//! Which backend a request goes to.

use crate::control::explain::answer::GroupExplanation;
use crate::control::explain::request::AskedRequest;
use crate::policy::balance::Algorithm;
use crate::snapshot::group::Group;

/// Explains groups, each with its share of the requests.
pub(super) fn explain(
    asked: &AskedRequest<'_, '_>,
    weights: impl Iterator<Item = (usize, u32)>,
) -> Vec<GroupExplanation> {
    weights.filter_map(|(index, percent)| Some(group(asked, asked.listener.group(index)?, percent))).collect()
}

fn group(asked: &AskedRequest<'_, '_>, group: &Group, percent: u32) -> GroupExplanation {
    let (_, table) = group.table().load();
    let name = |member: u32| group.member(member as usize).map(|member| member.backend.name.clone());
    let candidates: Vec<String> =
        table.candidates.iter().filter_map(|candidate| name(candidate.backend)).collect();
    let key = match &group.algorithm {
        Algorithm::ConsistentHash(key) => key.hash(&asked.head, asked.client.address),
        _ => None,
    };
    let owner = key.and_then(|key| group.owner(key, |backend| table.has(backend))).and_then(name);
    let only = (candidates.len() == 1).then(|| candidates.first().cloned()).flatten();
    let how = match &group.algorithm {
        _ if candidates.is_empty() => "there is no backend that takes requests",
        _ if only.is_some() => "it is the only one",
        Algorithm::ConsistentHash(_) if owner.is_some() => "by the hash of the request's key",
        Algorithm::ConsistentHash(_) => "the request has no key: by weighted round robin",
        Algorithm::WeightedRoundRobin => "in turn, by weight",
        Algorithm::RoundRobin => "in turn",
        Algorithm::WeightedLeastConnections => "the one with the fewest requests in flight for its weight",
        Algorithm::PowerOfTwo => "the less loaded of two that are drawn at random",
        Algorithm::Random => "at random, by weight",
    };
    let why = match &group.sticky {
        Some(_) => format!("{how}, unless the client belongs to another by stickiness"),
        None => how.to_owned(),
    };
    GroupExplanation {
        name: group.name.clone(),
        percent,
        algorithm: group.algorithm.as_str().to_owned(),
        availability: table.availability.as_str().to_owned(),
        candidates,
        backend: only.or(owner),
        why,
    }
}
