//! The command line: one file per verb. A verb is a variant of [`Verb`] and an arm of [`run`].

mod admin_client;
mod api;
mod check;
mod completions;
mod config_show;
mod demo;
mod demo_backend;
mod diagnostics;
mod doctor;
mod events;
pub mod exit;
mod explain;
mod fmt;
mod habits;
mod maintenance;
mod man;
mod proxy;
mod reload;
mod run;
mod schema;
mod serve;
mod sources;
mod status;
mod status_tree;
mod table;
mod take_over;
mod test;
mod token;
mod top;
mod upgrade;
mod version;

use std::ffi::OsString;
use std::io::Write as _;

use clap::CommandFactory as _;
use clap::Parser;
use clap::Subcommand;

use crate::command::exit::Exit;
use crate::command::exit::printed_as;
use crate::telemetry::operator::log_line;

/// Runs the command that the arguments ask for; the first argument is the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let verb = match CommandLine::try_parse_from(arguments) {
        Ok(command_line) => command_line.verb,
        Err(usage) => {
            if let Some(fix) = habits::fix(&usage) {
                let said = usage.to_string();
                let mistake = said.split("\n\n").next().unwrap_or_default();
                log_line(&format!("{mistake}\nhelp: {fix}"));
                return Exit::Usage;
            }
            // Help goes to stdout and is a success, everything else is wrong usage.
            let printed = usage.print().and_then(|()| std::io::stdout().flush());
            return if usage.use_stderr() { Exit::Usage } else { printed_as(printed) };
        }
    };
    match verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Backend(verb) => api::backend::run(&verb),
        Verb::Cert(verb) => api::certificate::run(&verb),
        Verb::Diff(arguments) => api::diff::run(&arguments),
        Verb::Export(arguments) => api::archive::export(&arguments),
        Verb::Import(arguments) => api::archive::import(&arguments),
        Verb::Group(verb) => api::group::run(&verb),
        Verb::IpGroup(verb) => api::ip_group::run(&verb),
        Verb::Listener(verb) => api::listener::run(&verb),
        Verb::Names(arguments) => api::names::run(&arguments),
        Verb::Rule(verb) => api::rule::run(&verb),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments, CommandLine::command()),
        Verb::Proxy(arguments) => proxy::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments, CommandLine::command()),
        Verb::Config(ConfigVerb::Show(arguments)) => config_show::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Events(arguments) => events::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Fmt(arguments) => fmt::run(&arguments),
        Verb::Maintenance(arguments) => maintenance::run(&arguments),
        Verb::Reload(arguments) => reload::run(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Token(arguments) => token::run(&arguments),
        Verb::Top(arguments) => top::run(&arguments),
        Verb::Upgrade(arguments) => upgrade::run(&arguments),
        Verb::Version(arguments) => version::run(&arguments),
    }
}

/// A self-hosted HTTP application load balancer: one thread per CPU, each with its own io_uring.
///
/// Begin with `ringway demo`, which needs no configuration.
#[derive(Parser)]
#[command(name = "ringway", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str =
    "Exit codes: 0 success, 1 failure while running, 2 wrong usage, 3 invalid configuration,
4 cannot start: an address is taken, or a privilege or an ability of the kernel is missing,
5 a reload, an upgrade or a change is refused and what was in service still is.";

#[derive(Subcommand)]
enum Verb {
    /// Serve with a configuration, in the foreground.
    ///
    /// TERM and INT end gracefully within `shutdown_timeout`, a second one ends at once. QUIT ends
    /// gracefully without a time limit. HUP reloads the configuration. USR1 reopens the access log. USR2
    /// upgrades, as `ringway upgrade` does.
    Run(run::Arguments),
    /// Serve two embedded backends, with nothing to set up, and print what to try.
    Demo(demo::Arguments),
    /// Serve from the command line alone: listen at one address, balance over others.
    Proxy(proxy::Arguments),
    /// Check a configuration and report every error and warning.
    #[command(short_flag = 't')]
    Check(check::Arguments),
    /// List, add and remove backends of a running Ringway, change their weights and drain them.
    #[command(subcommand)]
    Backend(api::backend::BackendVerb),
    /// List, add, replace and remove certificates of a running Ringway.
    #[command(subcommand)]
    Cert(api::certificate::CertificateVerb),
    /// Tell what files on disk would change against what is in service.
    Diff(api::diff::DiffArguments),
    /// Write all objects of a running Ringway, with what their files hold, as one document.
    Export(api::archive::ExportArguments),
    /// Create and replace objects of a running Ringway as such a document has them.
    Import(api::archive::ImportArguments),
    /// List, create, switch and remove server groups of a running Ringway.
    #[command(subcommand)]
    Group(api::group::GroupVerb),
    /// List, create and change IP groups of a running Ringway.
    #[command(subcommand)]
    IpGroup(api::ip_group::IpGroupVerb),
    /// List, create, switch, copy and remove listeners of a running Ringway.
    #[command(subcommand)]
    Listener(api::listener::ListenerVerb),
    /// List, add, move, switch and remove rules of a running Ringway.
    #[command(subcommand)]
    Rule(api::rule::RuleVerb),
    /// Print names of things of a running Ringway, for shells that complete them.
    #[command(hide = true)]
    Names(api::names::NamesArguments),
    /// Print what a shell completes command lines by.
    Completions(completions::Arguments),
    /// Look at a configuration.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Look at this host, and at a configuration with its certificates and backends: what is in the way, and what cures it.
    ///
    /// Only reads, but for a connection to each backend, which it closes. Exit code 0: nothing worse than notes, 1: warnings,
    /// 3: the configuration is invalid, 4: errors.
    Doctor(doctor::Arguments),
    /// Tell what happened to a running Ringway: health, ejections, reloads, certificates, drains; with -f also what happens.
    Events(events::Arguments),
    /// Tell which rule takes a request, what becomes of it, which backend it goes to, and why.
    Explain(explain::Arguments),
    /// Lay configurations out: spaces, blank lines and line ends. Comments, order and words stay.
    Fmt(fmt::Arguments),
    /// Take a rule or a server group of a running Ringway out of service for a while, and back.
    ///
    /// Clients get 503 and a page meanwhile. It stays so over reloads, until the configuration changes what it says about it.
    Maintenance(maintenance::Arguments),
    /// Write the manual pages into a folder.
    Man(man::Arguments),
    /// Let a running Ringway read its configuration, and every file that it names, again.
    ///
    /// A configuration that cannot go into service is refused with exit code 5, and changes nothing.
    Reload(reload::Arguments),
    /// Print the JSON Schema of the configuration, with which editors complete and check it.
    Schema(schema::Arguments),
    /// Show the state of a running Ringway and its backends.
    Status(status::Arguments),
    /// Test whether requests go where a table expects them to go; for your own CI.
    Test(test::Arguments),
    /// Make a token for clients of the admin address.
    Token(token::Arguments),
    /// Watch a running Ringway: what each worker, listener, group and backend does, once a second.
    Top(top::Arguments),
    /// Replace the program of a running Ringway without a lost connection.
    ///
    /// A new process is started as the running one was, and takes its listening sockets, keys, health and counters over;
    /// the old one serves what it has and ends. Connections that are relayed stay with the old one for as long as
    /// process.upgrade_drain_timeout says; sessions of UDP go on in the new one. What cannot go into service is refused
    /// with exit code 5, and changes nothing.
    Upgrade(upgrade::Arguments),
    /// Print the version; with -v also features and what the kernel can do.
    Version(version::Arguments),
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Print a configuration with all defaults, and where each value comes from.
    Show(config_show::Arguments),
}
