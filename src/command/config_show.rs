//! `ringway config show`: the configuration in force, and where each value came from.

use std::path::PathBuf;

use clap::Args;

use crate::command::Exit;
use crate::command::diagnostics;
use crate::command::print;
use crate::command::sources;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file, or a folder of *.toml files; may be repeated.
    #[arg(short = 'c', long = "config", value_name = "FILE", required = true, num_args = 1..)]
    config: Vec<PathBuf>,
    /// With all defaults. Required, because it is the only form so far.
    #[arg(long, required = true)]
    effective: bool,
    /// As JSON instead of TOML.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    debug_assert!(arguments.effective, "the command line requires it");
    let loaded = sources::load(&arguments.config);
    diagnostics::print(&loaded.report);
    if loaded.config.is_none() {
        return Exit::ConfigurationInvalid;
    }
    match arguments.json {
        true => print(&loaded.effective.to_json(&loaded.report)),
        false => print(&loaded.effective.to_toml(&loaded.report)),
    }
    Exit::Success
}
