//! `ringway reload`: another configuration for a running Ringway.

use std::time::Duration;

use clap::Args;

use crate::command::admin_client::AdminEndpoint;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::control::admin::RELOAD_TIMEOUT;
use crate::control::admin::reply::ReloadReply;
use crate::telemetry::operator::log_line;

/// The process answers before.
const ANSWER_TIMEOUT: Duration = RELOAD_TIMEOUT.saturating_add(Duration::from_secs(10));

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    endpoint: AdminEndpoint,
    /// Treat warnings as errors: nothing changes if there is one.
    #[arg(long)]
    strict: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let command = if arguments.strict { "reload strict" } else { "reload" };
    let (json, reply) = match arguments.endpoint.ask::<ReloadReply>(command, ANSWER_TIMEOUT) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let is_reloaded = matches!(reply, ReloadReply::Reloaded { .. });
    let printed = match reply {
        _ if arguments.json => print(&json.to_string()),
        ReloadReply::Reloaded { message, warnings, .. } => {
            if !warnings.is_empty() {
                log_line(&warnings);
            }
            print(&message)
        }
        ReloadReply::Refused { errors } => {
            log_line(&format!("{errors}\nerror: the reload is refused; what was in service still is"));
            Exit::Success
        }
    };
    if is_reloaded { printed } else { Exit::Refused }
}
