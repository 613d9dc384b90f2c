//! `ringway check`: every error and warning of a configuration.

use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;

use crate::command::Exit;
use crate::command::diagnostics;
use crate::command::print;
use crate::command::sources;
use crate::config::Config;
use crate::control::certificates::read_file;
use crate::control::credentials;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file, or a folder of *.toml files; may be repeated.
    #[arg(short = 'c', long = "config", value_name = "FILE", required = true, num_args = 1..)]
    config: Vec<PathBuf>,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Source lines and carets on stderr.
    Human,
    /// A list of diagnostics on stdout.
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut loaded = sources::load(&arguments.config);
    if let Some(config) = &loaded.config {
        credentials::load(config, &read_file, &mut loaded.report);
    }
    if arguments.strict {
        loaded.report.be_strict();
    }
    let valid = loaded.config.filter(|_| !loaded.report.has_errors());
    let printed = match arguments.format {
        Format::Json => print(&loaded.report.to_json()),
        Format::Human => {
            diagnostics::print(&loaded.report);
            Exit::Success
        }
    };
    match valid {
        _ if printed != Exit::Success => printed,
        None => Exit::ConfigurationInvalid,
        Some(config) if arguments.format == Format::Human => print(&summary(&config)),
        Some(_) => Exit::Success,
    }
}

fn summary(config: &Config) -> String {
    let backends = config.server_groups.iter().map(|group| group.backends.len()).sum();
    format!(
        "configuration is valid: {}, {}, {}",
        count(config.listeners.len(), "listener"),
        count(config.server_groups.len(), "server group"),
        count(backends, "backend")
    )
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
