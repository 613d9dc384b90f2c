//! `ringway config show`: the configuration in force, and where each value came from.

use std::path::PathBuf;

use clap::Args;

use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::sources;
use crate::control::credentials::tls_offer;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file, a folder of *.toml files, or - for standard input; may be repeated.
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
    let mut loaded = sources::load(&arguments.config);
    if let Some(config) = &loaded.config {
        let offers = tls_offer::offers(config, &mut loaded.report);
        for (listener, offer) in offers.iter().enumerate() {
            if let Some(offer) = offer {
                loaded.effective.set_offered(listener, tls_offer::describe(offer));
            }
        }
    }
    diagnostics::print(&loaded.report);
    if loaded.report.has_errors() {
        return Exit::ConfigurationInvalid;
    }
    match arguments.json {
        true => print(&loaded.effective.to_json(&loaded.report)),
        false => print(&loaded.effective.to_toml(&loaded.report)),
    }
}
