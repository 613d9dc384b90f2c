//! `ringway run`: serve in the foreground.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;

use crate::command::exit::Exit;
use crate::command::serve;
use crate::command::serve::Manner;
use crate::command::sources;
use crate::command::take_over::TakeOver;
use crate::control::admin::client;
use crate::control::handover::channel::HandoverChannel;
use crate::control::handover::inheritance::Predecessor;
use crate::control::handover::start::SuccessorCommand;
use crate::control::process::activation;
use crate::telemetry::operator::log_line;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file, a folder of *.toml files, or - for standard input; may be repeated.
    #[arg(short = 'c', long = "config", value_name = "FILE", required = true, num_args = 1..)]
    config: Vec<PathBuf>,
    /// Take everything over from the process whose admin socket this is, without a lost connection.
    #[arg(long, value_name = "SOCKET", conflicts_with = "take_over_descriptor")]
    take_over: Option<PathBuf>,
    /// The end of the channel that the process before has started this one with.
    #[arg(long, value_name = "NUMBER", hide = true)]
    take_over_descriptor: Option<i32>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    // Before anything else is opened, a number that is passed can only be what it is said to be.
    let activated = activation::sockets();
    let predecessor = match predecessor(arguments) {
        Ok(predecessor) => predecessor,
        Err(reason) => {
            log_line(&format!("error: cannot take over: {reason}"));
            return Exit::Refused;
        }
    };
    let origin = sources::origin(&arguments.config);
    let loaded = origin.load();
    let successor = successor_command(&arguments.config);
    let take_over = predecessor.map(TakeOver::from).unwrap_or_default();
    serve::serve(
        loaded,
        Manner { origin: Some(origin), take_over, activated, successor, ..Manner::default() },
    )
}

/// Who is to hand over; None: nobody.
fn predecessor(arguments: &Arguments) -> Result<Option<Predecessor>, String> {
    let channel = match (arguments.take_over_descriptor, &arguments.take_over) {
        (Some(number), _) => {
            let channel = HandoverChannel::inherited(number);
            channel.map_err(|error| format!("--take-over-descriptor {number}: {error}"))?
        }
        (None, Some(socket)) => client::ask_to_take_over(socket)?,
        (None, None) => return Ok(None),
    };
    Predecessor::greet(channel).map(Some)
}

/// How another process can go on with these files; None: what was read can be read only once.
fn successor_command(config: &[PathBuf]) -> Option<SuccessorCommand> {
    if config.iter().any(|path| path == Path::new("-")) {
        return None;
    }
    let files = config.iter().flat_map(|path| [OsString::from("-c"), path.clone().into()]);
    let arguments = std::iter::once(OsString::from("run")).chain(files).collect();
    Some(SuccessorCommand { binary: std::env::current_exe().ok()?, arguments })
}
