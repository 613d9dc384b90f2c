//! `ringway schema`: the JSON Schema of the configuration.

use clap::Args;

use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::config::json_schema;

#[derive(Args)]
pub(super) struct Arguments {}

pub(super) fn run(Arguments {}: &Arguments) -> Exit {
    print(&format!("{:#}", json_schema()))
}
