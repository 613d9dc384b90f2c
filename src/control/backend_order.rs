//! Weights and drains of backends by command: what can be asked for, and how it is carried out.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::config::Backend;
use crate::config::BackendAddress;
use crate::config::Report;
use crate::config::ServerGroup;
use crate::control::active_config::ActiveConfig;
use crate::control::discovery::Resolutions;
use crate::net::clock::monotonic_ms;
use crate::snapshot::group::MemberOverride;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;

/// As in the configuration.
const MAX_WEIGHT: u32 = 100;

/// Names that are listed where one is unknown.
const MAX_LISTED: usize = 20;

/// What becomes of a backend, as JSON behind the word of the command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BackendOrder {
    pub group: String,
    /// As the configuration names it.
    pub address: String,
    #[serde(flatten)]
    pub change: BackendChange,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendChange {
    /// 0..=100. None: as configured.
    Weight(Option<u32>),
    /// Whether it is drained: no new requests save those of clients that stick to it, for `drain_timeout`.
    Drain(bool),
}

/// What holds for a backend from now on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BackendReply {
    pub group: String,
    pub address: String,
    /// The weight that counts; 0 while it is drained.
    pub weight: u32,
    pub configured_weight: u32,
    /// By command. None: as configured.
    pub runtime_weight: Option<u32>,
    pub drain: bool,
    /// Whether it was not so before.
    pub changed: bool,
    /// The same as a sentence.
    pub message: String,
}

/// Why nothing was changed, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendRefusal {
    /// There is no such group or backend.
    Unknown(String),
    /// The order says nothing that can be.
    Invalid(String),
    /// What holds now is in the way.
    Conflict(String),
    /// The process cannot do so at present.
    Unavailable(String),
}

impl fmt::Display for BackendRefusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendRefusal::Unknown(reason)
            | BackendRefusal::Invalid(reason)
            | BackendRefusal::Conflict(reason)
            | BackendRefusal::Unavailable(reason) => out.write_str(reason),
        }
    }
}

/// Carries an order out, and tells the operator's log; for the thread that puts configurations into service.
pub(super) fn obey(active: &mut ActiveConfig, order: &BackendOrder) -> Result<BackendReply, BackendRefusal> {
    let (group, backend) = find(active, order)?;
    let (group, backend) = (group.name.clone(), backend.clone());
    let before = active.registry.overrides.of(&group, &backend);
    let mut wanted = before;
    match order.change {
        BackendChange::Weight(weight) => {
            let is_possible = weight.is_none_or(|weight| weight <= MAX_WEIGHT);
            let weight = weight.map(|weight| u8::try_from(weight).unwrap_or(u8::MAX));
            if !is_possible {
                let reason = format!("a weight is 0 to {MAX_WEIGHT}, or none for that of the configuration");
                return Err(BackendRefusal::Invalid(reason));
            }
            wanted.weight = weight;
        }
        BackendChange::Drain(drains) => wanted.drains = drains,
    }
    let changed = (wanted.weight, wanted.drains) != (before.weight, before.drains);
    if changed {
        wanted.since_ms = monotonic_ms();
        active.registry.overrides.set(&group, &backend, wanted);
        let installed =
            active.install(active.config.clone(), &Resolutions::new(), &mut Report::new(Vec::new()));
        if let Err(refusal) = installed {
            active.registry.overrides.set(&group, &backend, before);
            return Err(BackendRefusal::Unavailable(refusal.to_string()));
        }
    }
    let reply = reply((&group, &backend), wanted, order.change, changed);
    if changed {
        let kind = match order.change {
            BackendChange::Weight(_) => EventKind::WeightChanged,
            BackendChange::Drain(true) => EventKind::DrainOn,
            BackendChange::Drain(false) => EventKind::DrainOff,
        };
        let news = News::new(kind, format!("{}, by command", reply.message));
        log_event(news.of("group", &reply.group).of("backend", &reply.address));
    }
    Ok(reply)
}

fn reply(
    (group, backend): (&str, &Backend),
    wanted: MemberOverride,
    change: BackendChange,
    changed: bool,
) -> BackendReply {
    let already = if changed { "" } else { " already" };
    let whose = format!("backend {} of group \"{group}\"", backend.address);
    let weight = wanted.weight.unwrap_or(backend.weight);
    let message = match change {
        BackendChange::Weight(Some(_)) => format!("{whose} has weight {weight}{already}"),
        BackendChange::Weight(None) => format!("{whose} has weight {weight}{already}, as configured"),
        BackendChange::Drain(true) => format!("{whose} is drained{already}"),
        BackendChange::Drain(false) => {
            format!("{whose} is not drained{}", if changed { " any more" } else { "" })
        }
    };
    BackendReply {
        group: group.to_owned(),
        address: backend.address.to_string(),
        weight: if wanted.drains { 0 } else { weight.into() },
        configured_weight: backend.weight.into(),
        runtime_weight: wanted.weight.map(u32::from),
        drain: wanted.drains,
        changed,
        message,
    }
}

/// The backend that an order is about.
fn find<'a>(
    active: &'a ActiveConfig,
    order: &BackendOrder,
) -> Result<(&'a ServerGroup, &'a Backend), BackendRefusal> {
    let groups = &active.config.server_groups;
    let name = order.group.escape_debug();
    let Some(group) = groups.iter().find(|group| group.name == order.group) else {
        let known = listed(groups.iter().map(|group| group.name.clone()));
        return Err(BackendRefusal::Unknown(format!(
            "there is no server group \"{name}\"; there are: {known}"
        )));
    };
    let address = order.address.escape_debug();
    let Some(backend) = group.backends.iter().find(|backend| is_meant(&backend.address, &order.address))
    else {
        let known = listed(group.backends.iter().map(|backend| backend.address.to_string()));
        let reason = format!("the server group \"{name}\" names no backend \"{address}\"; it names: {known}");
        return Err(BackendRefusal::Unknown(reason));
    };
    if !group.enabled || !backend.enabled {
        let (what, cure) = match group.enabled {
            true => {
                ("backend", format!("ringway backend drain {}/{} off --persist", group.name, backend.address))
            }
            false => ("server group", format!("ringway group enable {}", group.name)),
        };
        let reason = format!("the {what} is disabled by the configuration: {cure} takes that away");
        return Err(BackendRefusal::Conflict(reason));
    }
    Ok((group, backend))
}

/// Whether this is another spelling of the address.
fn is_meant(address: &BackendAddress, text: &str) -> bool {
    match address {
        BackendAddress::Ip(ip) if address.is_at_any_port() => {
            text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|parsed| parsed == ip.ip())
        }
        BackendAddress::Ip(address) => text.parse::<SocketAddr>().is_ok_and(|parsed| parsed == *address),
        BackendAddress::Name { .. } => address.to_string().eq_ignore_ascii_case(text),
        BackendAddress::Unix(_) => address.to_string() == text,
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let shown = names.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MAX_LISTED) {
        _ if names.is_empty() => "none".to_owned(),
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_one_thing() {
        let read = |text: &str| serde_json::from_str::<BackendOrder>(text).map(|order| order.change).ok();
        let with = |change: &str| read(&format!("{{\"group\": \"app\", \"address\": \"a:1\"{change}}}"));
        assert_eq!(with(", \"weight\": 7"), Some(BackendChange::Weight(Some(7))));
        assert_eq!(with(", \"weight\": null"), Some(BackendChange::Weight(None)));
        assert_eq!(with(", \"drain\": true"), Some(BackendChange::Drain(true)));
        for wrong in ["", ", \"weight\": -1", ", \"weight\": \"7\"", ", \"drain\": 1", ", \"wait\": 7"] {
            assert_eq!(with(wrong), None, "{wrong}");
        }
        let order = BackendOrder {
            group: "app".to_owned(),
            address: "a:1".to_owned(),
            change: BackendChange::Weight(None),
        };
        let text = serde_json::to_string(&order).unwrap_or_default();
        assert_eq!(text, "{\"group\":\"app\",\"address\":\"a:1\",\"weight\":null}");
    }

    #[test]
    fn addresses_have_several_spellings() {
        let ip = BackendAddress::Ip("[::1]:80".parse().expect("an address"));
        let any_port = BackendAddress::Ip("[::1]:0".parse().expect("an address"));
        let name = BackendAddress::Name { host: "app.internal".to_owned(), port: 80 };
        let unix = BackendAddress::Unix("/run/App.sock".into());
        for (address, text, is_it) in [
            (&ip, "[0:0::1]:80", true),
            (&ip, "[::1]:81", false),
            (&ip, "::1:80", false),
            (&any_port, "::1", true),
            (&any_port, "[0::1]", true),
            (&any_port, "[::1]:0", false),
            (&any_port, "::2", false),
            (&name, "App.Internal:80", true),
            (&name, "app.internal", false),
            (&unix, "unix:/run/App.sock", true),
            (&unix, "unix:/run/app.sock", false),
        ] {
            assert_eq!(is_meant(address, text), is_it, "{address} {text}");
        }
    }
}
