//! `ringway reload`: another configuration for a running Ringway.

use std::time::Duration;

use clap::Args;

use crate::command::asking::Whom;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::control::admin::RELOAD_TIME;
use crate::telemetry::operator::log_line;

/// The process answers before.
const PATIENCE: Duration = RELOAD_TIME.saturating_add(Duration::from_secs(10));

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    whom: Whom,
    /// Take warnings for errors: nothing changes if there is one.
    #[arg(long)]
    strict: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let command = if arguments.strict { "reload strict" } else { "reload" };
    let answer = match arguments.whom.ask(command, PATIENCE) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    let is_reloaded = answer["outcome"] == "reloaded";
    let printed = match (arguments.json, is_reloaded) {
        (true, _) => print(&answer.to_string()),
        (false, true) => {
            if !text("warnings").is_empty() {
                log_line(text("warnings"));
            }
            print(text("message"))
        }
        (false, false) => {
            log_line(&format!(
                "{}\nerror: the reload is refused; what was in service still is",
                text("errors")
            ));
            Exit::Success
        }
    };
    if is_reloaded { printed } else { Exit::Refused }
}
