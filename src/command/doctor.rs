//! `ringway doctor`: what of this host and of a configuration is in the way, and the commands that help.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;

use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::sources;
use crate::config::Config;
use crate::config::Report;
use crate::config::Severity;
use crate::config::in_order;
use crate::control::credentials;
use crate::control::credentials::certificates::read_file;
use crate::control::discovery::dns::WatchedNames;
use crate::control::doctor::backends;
use crate::control::doctor::client_addresses;
use crate::control::doctor::client_addresses::AnswerRoutes;
use crate::control::doctor::finding;
use crate::control::doctor::finding::Finding;
use crate::control::doctor::host::HostFacts;
use crate::control::doctor::host::Needs;
use crate::control::doctor::of_backends;
use crate::control::doctor::of_certificates;
use crate::control::doctor::of_host;
use crate::control::doctor::of_network;
use crate::control::doctor::of_unit;
use crate::control::doctor::unit::Unit;
use crate::control::preflight;
use crate::control::preflight::Checker;
use crate::control::privileges;
use crate::control::process::users;
use crate::control::process::users::User;
use crate::runtime;
use crate::telemetry::words::counted;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file, a folder of *.toml files, or - for standard input; may be repeated. Without it, only the host is looked at.
    #[arg(short = 'c', long = "config", value_name = "FILE", num_args = 1..)]
    config: Vec<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// The fields are promised to scripts.
#[derive(serde::Serialize)]
struct FindingDocument<'f> {
    severity: &'static str,
    check: &'static str,
    message: &'f str,
    cure: &'f str,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut is_invalid = false;
    let mut findings = match arguments.config.is_empty() {
        true => of_host(None),
        false => {
            let mut loaded = sources::load(&arguments.config);
            let findings = loaded.config.as_ref().map(|config| of_all(config, &mut loaded.report));
            is_invalid = findings.is_none();
            let mut of_report = finding::of_report(&loaded.report);
            of_report.extend(findings.unwrap_or_else(|| of_host(None)));
            of_report
        }
    };
    // The worst first; what is as bad stays in the order of looking.
    in_order::sort_by_key(&mut findings, |found| found.severity);
    let printed = print(&if arguments.json { to_json(&findings) } else { to_text(&findings) });
    match (printed, findings.first().map(|worst| worst.severity)) {
        (Exit::Success, _) if is_invalid => Exit::ConfigurationInvalid,
        (Exit::Success, Some(Severity::Error)) => Exit::CannotStart,
        (Exit::Success, Some(Severity::Warning)) => Exit::Failure,
        (printed, _) => printed,
    }
}

/// What concerns any configuration, or none.
fn of_host(loaded: Option<(&Config, &Report)>) -> Vec<Finding> {
    let config = loaded.map(|(config, _)| config);
    let workers = runtime::automatic_workers();
    let needs =
        config.map_or_else(|| Needs::of_no_configuration(workers), |config| Needs::of(config, workers));
    let ring = runtime::ring_facts(config.map(|config| config.process.ring_entries));
    let surveyed = HostFacts::survey(Path::new("/"), ring, runtime::granted_cpu_time());
    let facts = HostFacts { usable_cpus: Some(runtime::usable_cpu_count() as u64), ..surveyed };
    let mut found = of_host::judge(&facts, &needs);
    found.extend(of_network::judge(&facts, &needs));
    let ports = loaded.map(|(config, report)| of_network::judge_ports(&facts.listening, config, report));
    found.extend(ports.into_iter().flatten());
    found
}

/// The same, and what concerns this one; what `ringway check` would say goes into the report.
fn of_all(config: &Config, report: &mut Report) -> Vec<Finding> {
    let credentials = credentials::load(config, &read_file, report);
    preflight::inspect(config, &credentials, report);
    let unit = Unit::survey(Path::new("/"));
    look_at_folders(config, unit.as_ref(), report);
    let mut found = of_host(Some((config, &*report)));
    found.extend(of_certificates::judge(config, &credentials, report));
    found.extend(unit.iter().flat_map(|unit| of_unit::judge(unit, config, report)));
    let answers = AnswerRoutes::survey(Path::new("/"));
    found.extend(client_addresses::judge(&answers, config, report));
    let resolutions = WatchedNames::new(&config.process.resolvers).resolve(config, || ());
    let all = config.enabled_backends().count();
    found.extend(of_backends::judge(&backends::survey(config, &resolutions), all, report));
    found
}

/// With the permissions of the user that it will run as, if that can be known.
fn look_at_folders(config: &Config, unit: Option<&Unit>, report: &mut Report) {
    let of_unit = unit.and_then(|unit| User::of_name(unit.value("User")?));
    let of_unit = of_unit.filter(|user| users::is_root() && !user.is_own());
    let Some(user) = privileges::wanted(config, report).or(of_unit) else {
        return preflight::look_at_folders(config, Checker::Anybody, report);
    };
    let looked = user.act(|| preflight::look_at_folders(config, Checker::ItsUser, report));
    if looked.and_then(|()| privileges::warn_of_unreadable(&user, config, report)).is_err() {
        preflight::look_at_folders(config, Checker::Anybody, report);
    }
}

fn to_json(findings: &[Finding]) -> String {
    let document = |found: &'_ Finding| {
        serde_json::json!(FindingDocument {
            severity: found.severity.as_str(),
            check: found.check,
            message: &found.message,
            cure: &found.cure,
        })
    };
    let list: Vec<_> = findings.iter().map(document).collect();
    let worst = findings.first().map_or("ok", |worst| worst.severity.as_str());
    format!("{:#}", serde_json::json!({ "worst": worst, "findings": list }))
}

fn to_text(findings: &[Finding]) -> String {
    let mut text: String = findings
        .iter()
        .map(|Finding { severity, check, message, cure }| {
            format!("{}: {check}: {message}\n  cure: {cure}\n", severity.as_str())
        })
        .collect();
    let count = |wanted| findings.iter().filter(|found| found.severity == wanted).count();
    text += &match findings.is_empty() {
        true => "nothing was found that is in the way".to_owned(),
        false => format!(
            "{}, {}, {}",
            counted(count(Severity::Error), "error"),
            counted(count(Severity::Warning), "warning"),
            counted(count(Severity::Note), "note")
        ),
    };
    text
}
