//! `ringway check`: every error and warning of a configuration.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use clap::ValueEnum;

use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::sources;
use crate::config::Config;
use crate::config::Report;
use crate::control::credentials;
use crate::control::credentials::certificates::read_file;
use crate::control::discovery;
use crate::control::discovery::dns::WatchedNames;
use crate::control::preflight;
use crate::control::preflight::Checker;
use crate::control::privileges;
use crate::control::process::users::User;
use crate::telemetry::operator::log_line;
use crate::telemetry::words::counted;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file, a folder of *.toml files, or - for standard input; may be repeated.
    #[arg(short = 'c', long = "config", value_name = "FILE", required = true, num_args = 1..)]
    config: Vec<PathBuf>,
    /// Treat warnings as errors.
    #[arg(long)]
    strict: bool,
    /// Check with the permissions of this user, which Ringway will run as. Only root can do so for others.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The user is the one that Ringway will run as.
    #[arg(long, hide = true)]
    as_user: bool,
    /// Look names of backends up, too.
    #[arg(long)]
    resolve: bool,
    /// How to report.
    #[arg(long, value_enum, default_value_t = ReportFormat::Human)]
    format: ReportFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Source lines and carets on stderr.
    Human,
    /// A list of diagnostics on stdout.
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.user {
        None => check(arguments, if arguments.as_user { Checker::ItsUser } else { Checker::Anybody }),
        Some(name) => match User::of_name(name) {
            Some(user) if user.is_own() => check(arguments, Checker::ItsUser),
            Some(user) => check_as(&user, name, arguments),
            None => {
                log_line(&format!(
                    "error: this host has no user {name}\nhelp: name the user of the unit (User=)"
                ));
                Exit::Usage
            }
        },
    }
}

/// Runs the same check as another user: the system alone knows what its permissions are.
fn check_as(user: &User, name: &str, arguments: &Arguments) -> Exit {
    let mut command = Command::new("/proc/self/exe");
    command.arg("check").arg("--as-user");
    for path in &arguments.config {
        command.arg("-c").arg(path);
    }
    let flags = [(arguments.strict, "--strict"), (arguments.resolve, "--resolve")];
    command.args(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag));
    if arguments.format == ReportFormat::Json {
        command.args(["--format", "json"]);
    }
    user.run(&mut command);
    match command.status() {
        Ok(status) => Exit::of_code(status.code()),
        Err(error) => {
            let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("ringway"));
            let program = program.display();
            let files: String =
                arguments.config.iter().map(|path| format!(" -c {}", path.display())).collect();
            log_line(&format!(
                "error: cannot check as the user {name}: {error}\nhelp: only root can: sudo {program} check --user \
                 {name}{files}; and {name} must be allowed to run {program}, so to enter its folders"
            ));
            Exit::Failure
        }
    }
}

fn check(arguments: &Arguments, checker: Checker) -> Exit {
    let mut loaded = sources::load(&arguments.config);
    if let Some(config) = &loaded.config {
        let credentials = credentials::load(config, &read_file, &mut loaded.report);
        preflight::inspect(config, &credentials, &mut loaded.report);
        match privileges::wanted(config, &mut loaded.report) {
            Some(user) => look_as(&user, config, &mut loaded.report),
            None => preflight::look_at_folders(config, checker, &mut loaded.report),
        }
        if arguments.resolve {
            look_up_names(config, &mut loaded.report);
        }
    }
    if arguments.strict {
        loaded.report.be_strict();
    }
    let valid = loaded.config.filter(|_| !loaded.report.has_errors());
    let printed = match arguments.format {
        ReportFormat::Json => print(&loaded.report.to_json()),
        ReportFormat::Human => {
            diagnostics::print(&loaded.report);
            Exit::Success
        }
    };
    match valid {
        _ if printed != Exit::Success => printed,
        None => Exit::ConfigurationInvalid,
        Some(config) if arguments.format == ReportFormat::Human => print(&summary(&config)),
        Some(_) => Exit::Success,
    }
}

/// Looks at what the user may do that the process will become: root alone gets here.
fn look_as(user: &User, config: &Config, report: &mut Report) {
    let folders = user.act(|| preflight::look_at_folders(config, Checker::ItsUser, report));
    let files = folders.and_then(|()| privileges::warn_of_unreadable(user, config, report));
    if let Err(error) = files {
        let name = user.name();
        log_line(&format!("warning: cannot look at files as the user {name}: {error}"));
    }
}

/// A start goes on without them, but who asks wants to know.
fn look_up_names(config: &Config, report: &mut Report) {
    let resolutions = WatchedNames::new(&config.process.resolvers).resolve(config, || ());
    for (host, port, location) in discovery::names(config) {
        if let Some(Err(reason)) = resolutions.get(&(host.clone(), port)) {
            let message = format!("cannot resolve host name \"{host}\": {reason}");
            report.error(location, message, "correct the host name, or give its address");
        }
    }
}

fn summary(config: &Config) -> String {
    let backends = config.server_groups.iter().map(|group| group.backends.len()).sum();
    format!(
        "configuration is valid: {}, {}, {}",
        counted(config.listeners.len(), "listener"),
        counted(config.server_groups.len(), "server group"),
        counted(backends, "backend")
    )
}
