//! `ringway test`: whether requests go where they are expected to go.

use std::path::PathBuf;

use clap::Args;

use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::explain;
use crate::command::sources;
use crate::config::RouteTest;
use crate::control::explain::answer::Explanation;
use crate::control::explain::question::Question;
use crate::snapshot::Snapshot;
use crate::telemetry::operator::log_line;
use crate::telemetry::words::counted;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file with [[request]] tables: method, url, headers, source, sni, listener, upstream_status, and what is expected:
    /// rule, action, status, location, group, backend, target, host, request_headers, response_headers.
    routes: PathBuf,
    /// The configuration: a file, a folder of *.toml files, or - for standard input; may be repeated.
    #[arg(short = 'c', long = "config", value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let (tests, report) = sources::load_route_tests(&arguments.routes);
    diagnostics::print(&report);
    if report.has_errors() {
        return Exit::ConfigurationInvalid;
    }
    let snapshot = match explain::load(&arguments.config) {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let mut failed = 0;
    for test in &tests {
        let differences = differences(&snapshot, test);
        if !differences.is_empty() {
            failed += 1;
            let place = report.place(test.location);
            log_line(&format!("{place}: {} {}\n{}", test.method, test.url, differences.join("\n")));
        }
    }
    if failed > 0 {
        log_line(&format!("error: {failed} of {} went elsewhere", counted(tests.len(), "request")));
        return Exit::Failure;
    }
    print(&format!("{} went where they were expected to go", counted(tests.len(), "request")))
}

/// What is not as expected, a line each.
fn differences(snapshot: &Snapshot, test: &RouteTest) -> Vec<String> {
    let explanation =
        question(test).and_then(|question| crate::control::explain::explain(snapshot, &question));
    let explanation = match explanation {
        Ok(explanation) => explanation,
        Err(error) => return vec![format!("  error: {error}")],
    };
    let mut differences = Vec::new();
    for (key, expected) in &test.expected {
        let found = found(&explanation, key);
        let is_found = match key.ends_with("_headers") {
            true => found.contains(&header_line(expected)),
            false => found.contains(expected),
        };
        if !is_found {
            let found =
                if found.is_empty() { "nothing".to_owned() } else { format!("\"{}\"", found.join("\", \"")) };
            differences.push(format!("  {key}: expected \"{expected}\", found {found}"));
        }
    }
    differences
}

fn question(test: &RouteTest) -> Result<Question, String> {
    let mut question = Question::new(&test.method, &test.url)?;
    for header in &test.headers {
        question.add_header(header)?;
    }
    if let Some(source) = &test.source {
        question.source = source.parse().map_err(|_| format!("source \"{source}\" is no IP address"))?;
    }
    if let Some(status) = &test.upstream_status {
        let parsed = status.parse().ok().filter(|status| (200..=599).contains(status));
        question.status =
            parsed.ok_or_else(|| format!("upstream_status \"{status}\" is none from 200 to 599"))?;
    }
    question.sni.clone_from(&test.sni);
    question.listener.clone_from(&test.listener);
    Ok(question)
}

/// What an expectation is compared with: each of these will do.
fn found(explanation: &Explanation, key: &str) -> Vec<String> {
    let one = |value: &Option<String>| value.iter().cloned().collect();
    match key {
        "rule" => vec![explanation.rule.clone().unwrap_or_default()],
        "action" => vec![explanation.action.clone()],
        "status" => explanation.status.iter().map(u16::to_string).collect(),
        "location" => one(&explanation.location),
        "group" => explanation.groups.iter().map(|group| group.name.clone()).collect(),
        "backend" => explanation.groups.iter().filter_map(|group| group.backend.clone()).collect(),
        "target" => one(&explanation.target),
        "request_headers" => header_lines(&explanation.set_headers),
        "response_headers" => {
            explanation.response.iter().flat_map(|response| header_lines(&response.set_headers)).collect()
        }
        _ => one(&explanation.forwarded_host),
    }
}

fn header_lines(headers: &[(String, String)]) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase())).collect()
}

/// A line as curl takes it, with its name in lower case.
fn header_line(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) => format!("{}: {}", name.to_ascii_lowercase(), value.trim()),
        None => line.to_owned(),
    }
}
