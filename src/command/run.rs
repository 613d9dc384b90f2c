//! `ringway run`: serve in the foreground.

use std::path::PathBuf;

use clap::Args;

use crate::command::exit::Exit;
use crate::command::serve;
use crate::command::serve::Manner;
use crate::command::sources;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file, a folder of *.toml files, or - for standard input; may be repeated.
    #[arg(short = 'c', long = "config", value_name = "FILE", required = true, num_args = 1..)]
    config: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let loaded = sources::load(&arguments.config);
    let paths = arguments.config.clone();
    let load = Box::new(move || sources::load(&paths));
    serve::serve(loaded, Manner { load: Some(load), ..Manner::default() })
}
