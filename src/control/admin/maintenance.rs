//! The command that takes rules and server groups out of service for a while, and back.

use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::control::admin::reply::MaintenanceReply;
use crate::net::clock::monotonic_ms;
use crate::snapshot::Snapshot;
use crate::snapshot::maintenance::MaintenanceOwner;
use crate::snapshot::maintenance::MaintenanceSwitch;
use crate::telemetry::events::maintenance_news;
use crate::telemetry::operator::log_event;

/// Names that are listed where one is unknown.
const MAX_LISTED: usize = 20;

/// What is to be switched, as JSON behind the word of the command.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MaintenanceOrder {
    pub name: String,
    /// `rule` or `server_group`; None: whichever has the name.
    pub kind: Option<String>,
    pub on: bool,
}

/// Switches, and tells the operator's log.
///
/// # Errors
/// A sentence that says why nothing was switched.
pub(super) fn switch(snapshot: &Snapshot, order: &MaintenanceOrder) -> Result<MaintenanceReply, String> {
    let kinds = || snapshot.maintenance.iter().filter(|switch| fits(switch, order));
    let named: Vec<&Arc<MaintenanceSwitch>> = kinds().filter(|switch| switch.name == order.name).collect();
    match named.as_slice() {
        [] => Err(unknown(&order.name, kinds())),
        [switch] => {
            let changed = switch.turn(order.on, monotonic_ms());
            let word = if order.on { "on" } else { "off" };
            let already = if changed { "" } else { " already" };
            let whose = format!("{} \"{}\"", switch.owner.in_words(), switch.name);
            let message = format!("maintenance of {whose} is {word}{already}");
            if changed {
                let noun = switch.owner.as_str();
                log_event(
                    maintenance_news(order.on, format!("{message}, by command")).of(noun, &switch.name),
                );
            }
            Ok(MaintenanceReply {
                kind: switch.owner.as_str().into(),
                name: switch.name.clone(),
                maintenance: order.on,
                changed,
                message,
            })
        }
        _ => Err(format!(
            "\"{}\" is the name of a rule and of a server group: say which with --rule or --group",
            order.name.escape_debug()
        )),
    }
}

fn fits(switch: &MaintenanceSwitch, order: &MaintenanceOrder) -> bool {
    order.kind.as_ref().is_none_or(|kind| kind == switch.owner.as_str())
}

fn unknown<'s>(name: &str, there: impl Iterator<Item = &'s Arc<MaintenanceSwitch>>) -> String {
    let (mut rules, mut groups) = (Vec::new(), Vec::new());
    for switch in there {
        match switch.owner {
            MaintenanceOwner::Rule => rules.push(switch.name.as_str()),
            MaintenanceOwner::ServerGroup => groups.push(switch.name.as_str()),
        }
    }
    let listed = |names: &[&str]| {
        let shown = names.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
        match names.len().checked_sub(MAX_LISTED) {
            _ if names.is_empty() => "none".to_owned(),
            Some(more @ 1..) => format!("{shown} and {more} more"),
            _ => shown,
        }
    };
    format!(
        "nothing that can be in maintenance is named \"{}\"; rules: {}; server groups: {}; what relays connections or datagrams \
         has no answers of its own: drain or disable it",
        name.escape_debug(),
        listed(&rules),
        listed(&groups)
    )
}
