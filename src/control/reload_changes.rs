//! What a reload has changed about backends, as events.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::config::in_order;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::note_event;

/// Changes of one reload that are told one by one; more are counted, so that they do not push out everything else.
const MAX_CHANGES: usize = 100;

/// Weights by group and address; None: disabled.
pub(super) type Weights = BTreeMap<(String, String), Option<u8>>;

/// What a configuration says of backends.
pub(super) fn backends(config: &Config) -> Weights {
    let groups = config.server_groups.iter();
    let backends = groups.flat_map(|group| group.backends.iter().map(move |backend| (group, backend)));
    let weights = backends.map(|(group, backend)| {
        let weight = (group.enabled && backend.enabled).then_some(backend.weight);
        ((group.name.clone(), backend.address.to_string()), weight)
    });
    in_order::map(weights)
}

/// Keeps an event for each backend that came, went, or has another weight.
pub(super) fn note(before: &Weights, now: &Weights) {
    let changes = changes(before, now);
    let more = changes.len().saturating_sub(MAX_CHANGES);
    changes.into_iter().take(MAX_CHANGES).for_each(note_event);
    if more > 0 {
        let message = format!("{more} more backends have come, gone, or have another weight");
        note_event(News::new(EventKind::MoreChanges, message));
    }
}

fn changes(before: &Weights, now: &Weights) -> Vec<News> {
    let news = |kind, (group, backend): &(String, String), what: &str| {
        let message = format!("backend {backend} of group \"{group}\" {what}");
        News::new(kind, message).of("group", group).of("backend", backend)
    };
    let with = |weight: Option<u8>| match weight {
        Some(weight) => format!("with weight {weight}"),
        None => "and disabled".to_owned(),
    };
    let gone = before.keys().filter(|key| !now.contains_key(*key));
    let gone = gone.map(|key| news(EventKind::BackendRemoved, key, "is removed"));
    let others = now.iter().filter_map(|(key, weight)| match before.get(key) {
        None => Some(news(EventKind::BackendAdded, key, &format!("is added {}", with(*weight)))),
        Some(old) if old == weight => None,
        Some(old) => Some(match (old, weight) {
            (_, None) => news(EventKind::BackendRemoved, key, "is disabled"),
            (None, _) => news(EventKind::BackendAdded, key, &format!("is enabled {}", with(*weight))),
            (Some(old), Some(weight)) => {
                news(EventKind::WeightChanged, key, &format!("has weight {weight} instead of {old}"))
            }
        }),
    });
    gone.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_that_come_go_or_weigh_otherwise_are_told() {
        let weights = |entries: &[(&str, &str, Option<u8>)]| {
            let entries = entries.iter();
            let keyed = entries
                .map(|(group, address, weight)| (((*group).to_owned(), (*address).to_owned()), *weight));
            keyed.collect::<Weights>()
        };
        let before = weights(&[
            ("app", "a:1", Some(100)),
            ("app", "b:1", Some(100)),
            ("app", "d:1", Some(100)),
            ("app", "e:1", None),
            ("old", "a:1", Some(7)),
        ]);
        let now = weights(&[
            ("app", "a:1", Some(100)),
            ("app", "b:1", Some(0)),
            ("app", "c:1", Some(50)),
            ("app", "d:1", None),
            ("app", "e:1", Some(7)),
        ]);
        let told: Vec<String> = changes(&before, &now)
            .into_iter()
            .map(|news| format!("{}: {}", news.kind.as_str(), news.message))
            .collect();
        let expected = [
            "backend_removed: backend a:1 of group \"old\" is removed",
            "weight_changed: backend b:1 of group \"app\" has weight 0 instead of 100",
            "backend_added: backend c:1 of group \"app\" is added with weight 50",
            "backend_removed: backend d:1 of group \"app\" is disabled",
            "backend_added: backend e:1 of group \"app\" is enabled with weight 7",
        ];
        assert_eq!(told, expected);
        assert!(changes(&now, &now).is_empty());
    }
}
