//! `ringway run`: serve in the foreground.

use std::path::PathBuf;

use clap::Args;

use crate::command::Exit;
use crate::command::serve;
use crate::command::sources;

#[derive(Args)]
pub(super) struct Run {
    /// A configuration file, or a folder with *.toml files; may be repeated
    #[arg(short, long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Run) -> Exit {
    serve::serve(sources::load(&arguments.config), |_| ())
}
