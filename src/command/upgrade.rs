//! `ringway upgrade`: another process takes everything over from a running Ringway.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::command::admin_client::AdminEndpoint;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::control::admin::UPGRADE;
use crate::control::admin::UPGRADE_TIMEOUT;
use crate::control::admin::UpgradeOrder;
use crate::control::admin::reply::UpgradeReply;
use crate::control::handover::succession::refusal;
use crate::telemetry::operator::log_line;

/// The process answers before.
const ANSWER_TIMEOUT: Duration = UPGRADE_TIMEOUT.saturating_add(Duration::from_secs(10));

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    endpoint: AdminEndpoint,
    /// The program to go on with; without it, whatever lies now where that of the running process lay.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    // The running process may stand in another folder.
    let binary = match arguments.binary.as_ref().map(std::path::absolute).transpose() {
        Ok(binary) => binary,
        Err(error) => {
            log_line(&format!("error: --binary: {error}"));
            return Exit::Usage;
        }
    };
    let order = serde_json::to_string(&UpgradeOrder { binary }).unwrap_or_default();
    let command = format!("{UPGRADE} {order}");
    let (json, reply) = match arguments.endpoint.ask::<UpgradeReply>(&command, ANSWER_TIMEOUT) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let is_upgraded = matches!(reply, UpgradeReply::Upgraded { .. });
    let printed = match reply {
        _ if arguments.json => print(&json.to_string()),
        UpgradeReply::Upgraded { message, warnings, .. } => {
            if !warnings.is_empty() {
                log_line(warnings.trim_end());
            }
            print(&message)
        }
        UpgradeReply::Refused { errors } => {
            log_line(&refusal(errors.trim_end()));
            Exit::Success
        }
    };
    if is_upgraded { printed } else { Exit::Refused }
}
