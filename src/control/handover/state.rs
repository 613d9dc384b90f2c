//! What a successor takes over beside sockets, as a document. What it does not know it leaves out.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::config::in_order;
use crate::snapshot::backend::CarriedHealth;
use crate::snapshot::client_rates::KnownRate;

/// What is known of clients and backends, the keys of what clients hold, and what was counted.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CarriedState {
    pub counts: CarriedProcessCounts,
    pub health: Vec<CarriedBackend>,
    pub affinity: Vec<CarriedAffinity>,
    pub limits: CarriedLimits,
    pub switches: Vec<CarriedSwitch>,
    pub overrides: Vec<CarriedOverride>,
    pub secrets: CarriedSecrets,
    /// Of the names of backends, with their ports.
    pub addresses: Vec<(String, u16, Vec<SocketAddr>)>,
}

/// What was counted, by the names of what it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct CarriedProcessCounts {
    pub by_owner: Vec<(CountsOwner, BTreeMap<String, u64>)>,
}

/// Whose counters they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CountsOwner {
    Listener(String),
    /// Connections that a listener refused.
    Refused(String),
    Group(String),
    Route {
        listener: String,
        rule: Option<String>,
        group: Option<String>,
    },
    Backend {
        group: String,
        address: String,
    },
    /// An access log.
    Log(String),
    Reloads,
}

/// See [`CarriedHealth`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CarriedBackend {
    pub group: String,
    pub address: String,
    pub word: u64,
    pub since_ms: u64,
    pub ejected_until_ms: u64,
    pub slow_start_since_ms: u64,
    pub draining_since_ms: u64,
    pub failures_in_a_row: u32,
    pub changes: u32,
}

/// Which clients of a group stay with which backend.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CarriedAffinity {
    pub group: String,
    /// What tells the client, the backend, and the second of the last request.
    pub clients: Vec<(u64, u32, u32)>,
}

/// When what is due for whom.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CarriedLimits {
    /// The key by which clients are told apart, and what is due for them.
    pub clients: Option<((u64, u64), Vec<KnownRate>)>,
    /// Kind and name of who limits requests, and when the next one is due.
    pub shared: Vec<(String, String, u64)>,
    /// The same for bytes, with the bytes per second, down and up.
    pub bandwidths: Vec<(String, String, u64, (u64, u64))>,
}

/// Maintenance of a rule or a server group.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CarriedSwitch {
    pub kind: String,
    pub name: String,
    /// What the configuration said.
    pub configured: bool,
    pub is_on: bool,
    pub since_ms: u64,
}

/// What was said of a backend by command.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CarriedOverride {
    pub group: String,
    /// As the configuration names it.
    pub address: String,
    /// The weight that the configuration had.
    pub configured: u8,
    pub weight: Option<u8>,
    pub drains: bool,
    pub since_ms: u64,
}

/// The number of an epoch, and its key.
pub type EpochKey = (u64, Vec<u8>);

/// Keys of what clients hold.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CarriedSecrets {
    /// Of tickets, by their lifetime in seconds.
    pub tickets: Vec<(u64, Vec<EpochKey>)>,
    /// Of cookies that say which backend a client stays with.
    pub sticky_key: Vec<u8>,
    /// What the keys of QUIC are made of.
    pub quic_keys: Vec<u8>,
    /// What tells connections of QUIC of this process from those of its successor.
    pub quic_generation: u8,
}

impl CarriedBackend {
    pub fn new(group: &str, address: &str, health: CarriedHealth) -> CarriedBackend {
        CarriedBackend {
            group: group.to_owned(),
            address: address.to_owned(),
            word: health.word,
            since_ms: health.since_ms,
            ejected_until_ms: health.ejected_until_ms,
            slow_start_since_ms: health.slow_start_since_ms,
            draining_since_ms: health.draining_since_ms,
            failures_in_a_row: health.failures_in_a_row,
            changes: health.changes,
        }
    }

    pub fn health(&self) -> CarriedHealth {
        CarriedHealth {
            word: self.word,
            since_ms: self.since_ms,
            ejected_until_ms: self.ejected_until_ms,
            slow_start_since_ms: self.slow_start_since_ms,
            draining_since_ms: self.draining_since_ms,
            failures_in_a_row: self.failures_in_a_row,
            changes: self.changes,
        }
    }
}

impl CarriedProcessCounts {
    pub fn add(&mut self, owner: CountsOwner, counts: BTreeMap<String, u64>) {
        if !counts.is_empty() {
            self.by_owner.push((owner, counts));
        }
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &CarriedProcessCounts) -> CarriedProcessCounts {
        let earlier = in_order::map(earlier.by_owner.iter().map(|(owner, counts)| (owner, counts)));
        let mut since = CarriedProcessCounts::default();
        for (owner, counts) in &self.by_owner {
            let before = earlier.get(owner);
            let more = counts.iter().filter_map(|(name, count)| {
                let before = before.and_then(|before| before.get(name)).copied().unwrap_or(0);
                (*count > before).then(|| (name.clone(), count - before))
            });
            since.add(owner.clone(), in_order::map(more));
        }
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_versions_know_is_left_out() {
        let state: CarriedState = serde_json::from_str(
            r#"{"health": [{"group": "app", "word": 2, "mood": "good"}], "weather": "fine"}"#,
        )
        .unwrap();
        assert_eq!((state.health[0].word, state.health[0].address.as_str()), (2, ""));
    }

    #[test]
    fn counts_are_told_by_what_came_since() {
        let counts =
            |pairs: &[(&str, u64)]| pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let mut before = CarriedProcessCounts::default();
        before.add(CountsOwner::Log("a".to_owned()), counts(&[("written", 5)]));
        let mut now = CarriedProcessCounts::default();
        now.add(CountsOwner::Log("a".to_owned()), counts(&[("written", 7), ("failed", 1)]));
        now.add(CountsOwner::Reloads, counts(&[("refused", 2)]));
        now.add(CountsOwner::Log("b".to_owned()), counts(&[]));
        let since = now.since(&before);
        assert_eq!(since.by_owner.len(), 2);
        assert_eq!(since.by_owner[0].1, counts(&[("written", 2), ("failed", 1)]));
        assert!(now.since(&now).by_owner.is_empty());
    }
}
