//! Weights and drains of backends by command: they stay over reloads, by group and address, until the configuration says
//! something else of the backend than before.

use std::collections::HashMap;

use crate::config;
use crate::config::Config;
use crate::control::handover::state::CarriedOverride;
use crate::snapshot::group::MemberOverride;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::note_event;

/// What was said of backends by command.
#[derive(Default)]
pub struct BackendOverrides {
    by_backend: HashMap<(String, String), KnownOverride>,
}

struct KnownOverride {
    /// The weight that the configuration had then.
    configured: u8,
    wanted: MemberOverride,
}

impl BackendOverrides {
    /// What holds for a backend of this group; nothing where nobody said anything, or before the configuration did so anew.
    pub fn of(&self, group: &str, backend: &config::Backend) -> MemberOverride {
        let known = self.by_backend.get(&key(group, backend));
        let known = known.filter(|known| known.configured == backend.weight && backend.enabled);
        known.map(|known| known.wanted).unwrap_or_default()
    }

    pub fn set(&mut self, group: &str, backend: &config::Backend, wanted: MemberOverride) {
        if wanted.is_nothing() {
            self.by_backend.remove(&key(group, backend));
        } else {
            self.by_backend.insert(key(group, backend), KnownOverride { configured: backend.weight, wanted });
        }
    }

    /// Forgets what a configuration that goes into service has overtaken.
    pub(super) fn adopt(&mut self, config: &Config) {
        if self.by_backend.is_empty() {
            return;
        }
        let groups = config.server_groups.iter();
        let backends = groups.flat_map(|group| group.backends.iter().map(move |backend| (group, backend)));
        let known: HashMap<_, _> =
            backends.map(|(group, backend)| (key(&group.name, backend), backend)).collect();
        self.by_backend.retain(|key, before| {
            let stays =
                known.get(key).is_some_and(|backend| backend.enabled && backend.weight == before.configured);
            if !stays {
                note_event(overtaken(key, known.get(key).copied()));
            }
            stays
        });
    }

    /// What a successor of the process takes over.
    pub(super) fn carried(&self) -> Vec<CarriedOverride> {
        let known = self.by_backend.iter().map(|((group, address), known)| CarriedOverride {
            group: group.clone(),
            address: address.clone(),
            configured: known.configured,
            weight: known.wanted.weight,
            drains: known.wanted.drains,
            since_ms: known.wanted.since_ms,
        });
        known.collect()
    }

    /// Goes on with what was said to another process.
    pub(super) fn inherit(&mut self, carried: &CarriedOverride) {
        let CarriedOverride { configured, weight, drains, since_ms, .. } = *carried;
        let wanted = MemberOverride { weight, drains, since_ms };
        let key = (carried.group.clone(), carried.address.clone());
        self.by_backend.insert(key, KnownOverride { configured, wanted });
    }
}

fn key(group: &str, backend: &config::Backend) -> (String, String) {
    (group.to_owned(), backend.address.to_string())
}

fn overtaken((group, address): &(String, String), now: Option<&config::Backend>) -> News {
    let what = match now {
        Some(backend) if backend.enabled => format!("has weight {}, by configuration", backend.weight),
        Some(_) => "is disabled, by configuration".to_owned(),
        None => "is removed".to_owned(),
    };
    let message = format!("backend {address} of group \"{group}\" {what}: what was said by command is over");
    News::new(EventKind::WeightChanged, message).of("group", group).of("backend", address)
}
