//! `ringway maintenance`: takes a rule or a server group out of service for a while, and back.

use std::time::Duration;

use clap::Args;
use clap::ValueEnum;

use crate::command::admin_client::AdminEndpoint;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::control::admin::MAINTENANCE;
use crate::control::admin::maintenance::MaintenanceOrder;
use crate::control::admin::reply::MaintenanceReply;

/// The answer needs no other thread.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Arguments {
    /// The name of a rule or of a server group.
    name: String,
    /// Whether maintenance begins or ends.
    #[arg(value_enum)]
    state: SwitchState,
    /// It is the name of a rule.
    #[arg(long, conflicts_with = "group")]
    rule: bool,
    /// It is the name of a server group.
    #[arg(long)]
    group: bool,
    #[command(flatten)]
    endpoint: AdminEndpoint,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SwitchState {
    On,
    Off,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let kind = match (arguments.rule, arguments.group) {
        (true, _) => Some("rule".to_owned()),
        (_, true) => Some("server_group".to_owned()),
        _ => None,
    };
    let on = arguments.state == SwitchState::On;
    let order = MaintenanceOrder { name: arguments.name.clone(), kind, on };
    // Nothing in it has no form in JSON.
    let command = format!("{MAINTENANCE} {}", serde_json::to_string(&order).unwrap_or_default());
    match arguments.endpoint.ask::<MaintenanceReply>(&command, ANSWER_TIMEOUT) {
        Ok((json, _)) if arguments.json => print(&json.to_string()),
        Ok((_, reply)) => print(&reply.message),
        Err(exit) => exit,
    }
}
