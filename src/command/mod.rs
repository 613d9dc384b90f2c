//! The command line: one file per verb. A verb is a variant of [`Verb`] and an arm of [`run`].

mod check;
mod config_show;
mod diagnostics;
mod run;
mod serve;
mod sources;
mod version;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

/// Runs the command that the arguments ask for; the first argument is the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let verb = match CommandLine::try_parse_from(arguments) {
        Ok(command_line) => command_line.verb,
        Err(usage) => {
            // Help goes to stdout and is a success, everything else is wrong usage.
            let _ = usage.print();
            return if usage.use_stderr() { Exit::Usage } else { Exit::Success };
        }
    };
    match verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Config(ConfigVerb::Show(arguments)) => config_show::run(&arguments),
        Verb::Version(arguments) => version::run(&arguments),
    }
}

/// How a command ended. The numbers are promised to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    /// Something failed while running.
    Failure = 1,
    Usage = 2,
    ConfigurationInvalid = 3,
    /// An address is taken, a privilege or an ability of the kernel is missing.
    CannotStart = 4,
    /// A reload or upgrade was refused, the old one still serves.
    Refused = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A self-hosted HTTP application load balancer.
#[derive(Parser)]
#[command(name = "ringway", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve in the foreground; the service manager owns the process.
    Run(run::Run),
    /// Check a configuration and report every error and warning.
    #[command(short_flag = 't')]
    Check(check::Arguments),
    /// Look at a configuration.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print the version; with -v also features and abilities of the kernel.
    Version(version::Version),
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Print the configuration.
    Show(config_show::Arguments),
}

/// Prints what was asked for. A reader that went away is no reason to complain.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}
