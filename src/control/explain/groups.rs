//! Which backend a request, or a connection, goes to.

use std::net::IpAddr;

use crate::control::explain::answer::GroupExplanation;
use crate::control::explain::request::AskedRequest;
use crate::net::address::Address;
use crate::net::clock::wall_now;
use crate::net::source::SourceProblem;
use crate::net::source::problem_of_client;
use crate::policy::balance::Algorithm;
use crate::policy::balance::cookies;
use crate::policy::balance::hash_key::HashKey;
use crate::policy::balance::hash_key::hash_of_address;
use crate::policy::proxy_header::ProxyVersion;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::snapshot::group::GroupMember;
use crate::snapshot::rules::Targets;

/// The groups that a request may go to, and why these.
pub(super) struct Shares {
    /// The index of each in the groups of the listener, with its share in per cent.
    pub(super) percents: Vec<(usize, u32)>,
    pub(super) why: String,
}

/// Shares by weight, or the one group that the client's cookie tells.
pub(super) fn shares(asked: &AskedRequest<'_, '_>, targets: &Targets) -> Shares {
    let total: u32 = targets.weights().map(|(_, weight)| weight).sum();
    let by_weight = targets.weights().map(|(group, weight)| (group, weight * 100 / total.max(1))).collect();
    let Some(cookie) = &targets.cookie else {
        return Shares { percents: by_weight, why: "the rule forwards".to_owned() };
    };
    let is_up = |index: usize| {
        let group = asked.listener.group(index);
        group.is_some_and(|group| {
            let (_, table) = group.table().load();
            matches!(table.availability, Availability::Active | Availability::Standby)
        })
    };
    let is_any_up = || targets.weights().any(|(index, weight)| weight > 0 && is_up(index));
    let name = &cookie.name;
    let brings_one = cookies::all(asked.head.headers, name).next().is_some();
    let why = match targets.of_client(asked.head.headers, wall_now().as_secs() as u32) {
        Some((index, _)) if is_up(index) || !is_any_up() => {
            let why = format!("the rule forwards, to the group that the cookie {name} tells");
            return Shares { percents: vec![(index, 100)], why };
        }
        Some(_) => format!("the rule forwards, by weight: the group of the cookie {name} is down"),
        None if brings_one => {
            format!("the rule forwards, by weight: this cookie {name} is too old, or none of this process")
        }
        None => format!("the rule forwards, by weight: the request has no cookie {name}"),
    };
    Shares { percents: by_weight, why }
}

/// Explains groups, each with its share of the requests.
pub(super) fn explain(
    asked: &AskedRequest<'_, '_>,
    weights: impl Iterator<Item = (usize, u32)>,
) -> Vec<GroupExplanation> {
    let explained = weights.filter_map(|(index, percent)| {
        let group = asked.listener.group(index)?;
        let key = match &group.algorithm {
            Algorithm::ConsistentHash(key) => key.hash(&asked.head, asked.client.address),
            _ => None,
        };
        Some(self::group(group, percent, key, &OF_REQUESTS))
    });
    explained.collect()
}

/// Explains a group to which a connection of this client, or its datagrams, can go.
pub(super) fn of_connection(group: &Group, percent: u32, client: IpAddr) -> GroupExplanation {
    let (key, words) = match &group.algorithm {
        Algorithm::ConsistentHash(HashKey::SourceIp) => (Some(hash_of_address(client)), &OF_CONNECTIONS),
        Algorithm::ConsistentHash(HashKey::QuicConnectionId { .. }) => (None, &OF_QUIC),
        Algorithm::ConsistentHash(_) => (None, &OF_TUPLES),
        _ if group.protocol == "udp" => (None, &OF_SESSIONS),
        _ => (None, &OF_CONNECTIONS),
    };
    let explanation = self::group(group, percent, key, words);
    match client_cannot_be_kept(group, client) {
        Some(problem) => {
            let why = format!("{}; but {client} {} (no_source_address)", explanation.why, problem.as_str());
            GroupExplanation { why, ..explanation }
        }
        None => explanation,
    }
}

/// Why no backend can be connected to from the address of the client, where that is to be.
fn client_cannot_be_kept(group: &Group, client: IpAddr) -> Option<SourceProblem> {
    let client = client.to_canonical();
    let mut problems =
        group.members.iter().filter(|_| group.keeps_client_address).map(|member| {
            match &member.backend.address {
                Address::Ip(peer) => problem_of_client(client, peer.ip()),
                Address::Unix(_) => None,
            }
        });
    let first = problems.next()??;
    problems.all(|problem| problem.is_some()).then_some(first)
}

/// How it is said that a backend is chosen for what comes.
struct ChoiceWords {
    hashed: &'static str,
    without_key: &'static str,
    fewest: &'static str,
}

const OF_REQUESTS: ChoiceWords = ChoiceWords {
    hashed: "by the hash of the request's key",
    without_key: "the request has no key: by weighted round robin",
    fewest: "the one with the fewest requests in flight for its weight",
};
const OF_CONNECTIONS: ChoiceWords = ChoiceWords {
    hashed: "by the hash of the client's address",
    without_key: "the connection has no key: by weighted round robin",
    fewest: "the one with the fewest connections for its weight",
};
const OF_SESSIONS: ChoiceWords =
    ChoiceWords { fewest: "the one with the fewest sessions for its weight", ..OF_CONNECTIONS };

const OF_TUPLES: ChoiceWords = ChoiceWords {
    without_key: "by the hash of addresses and ports: each connection has its own",
    ..OF_CONNECTIONS
};
const OF_QUIC: ChoiceWords = ChoiceWords {
    without_key: "by the hash of the connection ID of QUIC, or else of addresses and ports",
    ..OF_CONNECTIONS
};

/// Why one backend gets everything.
fn why_it_alone(group: &Group, availability: Availability) -> &'static str {
    let others = || group.members.iter().filter(|member| !member.is_leaving);
    let is_able = |member: &&GroupMember| {
        let health = &member.backend.health;
        health.is_available() && !health.is_ejected()
    };
    let has_hidden = !group.unresolved.is_empty() || !group.disabled.is_empty();
    match (availability, others().count()) {
        (_, 1) if !has_hidden => "it is the only one",
        (Availability::Standby, _) => "no active one can be asked, and it is the only standby that can",
        (_, 1) if group.disabled.is_empty() => "it is the only one whose address is known",
        _ if !has_hidden
            && others().filter(|member| !member.is_standby).count() == 1
            && others().filter(is_able).any(|member| member.is_standby) =>
        {
            "it is the only active one; a standby takes over when it fails"
        }
        _ => "it is the only one that can be asked",
    }
}

fn group(group: &Group, percent: u32, key: Option<u64>, words: &ChoiceWords) -> GroupExplanation {
    let (_, table) = group.table().load();
    let name = |member: u32| group.member(member as usize).map(|member| member.backend.name.clone());
    let candidates: Vec<String> =
        table.candidates.iter().filter_map(|candidate| name(candidate.backend)).collect();
    let owner = key.and_then(|key| group.owner(key, |backend| table.has(backend))).and_then(name);
    let only = (candidates.len() == 1).then(|| candidates.first().cloned()).flatten();
    let how = match &group.algorithm {
        _ if !group.is_enabled => "the group is disabled",
        _ if candidates.is_empty() => "no backend can be asked",
        _ if only.is_some() => why_it_alone(group, table.availability),
        Algorithm::ConsistentHash(_) if owner.is_some() => words.hashed,
        Algorithm::ConsistentHash(_) => words.without_key,
        Algorithm::WeightedRoundRobin => "in turn, by weight",
        Algorithm::RoundRobin => "in turn",
        Algorithm::WeightedLeastConnections => words.fewest,
        Algorithm::PowerOfTwo => "the less loaded of two that are drawn at random",
        Algorithm::Random => "at random, by weight",
    };
    let why = match &group.sticky {
        Some(_) => format!("{how}, unless the client belongs to another by stickiness"),
        None => how.to_owned(),
    };
    let is_at_any_port = |member: &GroupMember| member.backend.address.is_at_any_port();
    let why = match group.members.iter().any(is_at_any_port) {
        true => format!("{why}; without a port of its own, at the port that the client came to"),
        false => why,
    };
    let why = match group.proxy_header.map(|terms| terms.version) {
        Some(_) if !group.speaks_http() => format!("{why}; with a PROXY header"),
        Some(ProxyVersion::V1) => {
            format!("{why}; over a connection of this client alone (proxy_protocol v1)")
        }
        Some(ProxyVersion::V2) => {
            format!("{why}; over a connection of this client alone (proxy_protocol v2)")
        }
        None => why,
    };
    let why = if group.keeps_client_address { format!("{why}; from the address of the client") } else { why };
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
