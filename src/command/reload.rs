//! `ringway reload`: another configuration for a running Ringway.

use std::time::Duration;

use clap::Args;

use crate::command::Exit;
use crate::command::asking::Whom;
use crate::command::print;
use crate::control::admin::RELOAD_TIME;
use crate::telemetry::operator::tell;

/// The process answers before.
const PATIENCE: Duration = RELOAD_TIME.saturating_add(Duration::from_secs(10));

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    whom: Whom,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let answer = match arguments.whom.ask("reload", PATIENCE) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    if arguments.json {
        print(&answer.to_string());
    }
    if answer["outcome"] == "reloaded" {
        if !arguments.json {
            print(answer["message"].as_str().unwrap_or_default());
        }
        return Exit::Success;
    }
    if !arguments.json {
        let errors = answer["errors"].as_str().unwrap_or_default();
        tell(&format!("{errors}\nerror: the reload is refused; what was in service still is"));
    }
    Exit::Refused
}
