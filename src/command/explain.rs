//! `ringway explain`: why a request, or a connection, goes where it goes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::command::admin_client::AdminEndpoint;
use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::sources;
use crate::control::admin::EXPLAIN;
use crate::control::credentials;
use crate::control::credentials::certificates::read_file;
use crate::control::explain;
use crate::control::explain::answer::Explanation;
use crate::control::explain::answer::GroupExplanation;
use crate::control::explain::answer::ResponseExplanation;
use crate::control::explain::answer::RuleExplanation;
use crate::control::explain::question::Question;
use crate::snapshot::Snapshot;
use crate::telemetry::operator::log_line;

/// The process answers before.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Arguments {
    /// GET, POST and so on. Without method and URL, what becomes of a connection at --listener is told.
    #[arg(requires = "url")]
    method: Option<String>,
    /// Such as https://www.example.com/api?x=1.
    url: Option<String>,
    /// A configuration that is not in service: a file, a folder of *.toml files, or - for standard input; may be
    /// repeated. Without it, the running Ringway is asked.
    #[arg(short = 'c', long = "config", value_name = "FILE", conflicts_with = "socket")]
    config: Vec<PathBuf>,
    /// The socket of the running Ringway; without this and -c it is /run/ringway/admin.sock.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// A header of the request, as curl takes it; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The address that the request or connection comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    src: IpAddr,
    /// The name that the TLS handshake asks for, if it is not the host.
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// A protocol that the TLS handshake of a connection offers; may be repeated.
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "method")]
    alpn: Vec<String>,
    /// The listener: where several fit the URL, and of a connection.
    #[arg(long, value_name = "NAME", required_unless_present = "method")]
    listener: Option<String>,
    /// The status that a backend answers with, for what becomes of its response.
    #[arg(long, value_name = "STATUS", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// A header of that response, as curl takes it; may be repeated.
    #[arg(long = "response-header", value_name = "NAME: VALUE")]
    response_headers: Vec<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let question = match question(arguments) {
        Ok(question) => question,
        Err(error) => {
            log_line(&format!("error: {error}"));
            return Exit::Usage;
        }
    };
    let explained =
        if arguments.config.is_empty() { ask(&question, arguments) } else { answer(&question, arguments) };
    match explained {
        Err(exit) => exit,
        Ok(explanation) if arguments.json => {
            // Nothing in an explanation has no form in JSON.
            print(&serde_json::to_string_pretty(&explanation).unwrap_or_default())
        }
        Ok(explanation) => print(&to_text(&question, &explanation)),
    }
}

fn question(arguments: &Arguments) -> Result<Question, String> {
    let mut question = match (&arguments.method, &arguments.url) {
        (Some(method), Some(url)) => Question::new(method, url)?,
        _ => Question::of_connection(arguments.listener.as_deref().unwrap_or_default()),
    };
    for header in &arguments.headers {
        question.add_header(header)?;
    }
    for header in &arguments.response_headers {
        question.add_response_header(header)?;
    }
    question.status = arguments.status;
    question.source = arguments.src;
    question.sni.clone_from(&arguments.sni);
    question.alpn.clone_from(&arguments.alpn);
    question.listener.clone_from(&arguments.listener);
    Ok(question)
}

/// Asks the running process.
fn ask(question: &Question, arguments: &Arguments) -> Result<Explanation, Exit> {
    let endpoint = AdminEndpoint::at(arguments.socket.clone());
    let text = serde_json::to_string(question).unwrap_or_default();
    endpoint.ask(&format!("{EXPLAIN} {text}"), ANSWER_TIMEOUT).map(|(_, explanation)| explanation)
}

/// Answers with a configuration that is not in service.
fn answer(question: &Question, arguments: &Arguments) -> Result<Explanation, Exit> {
    let snapshot = load(&arguments.config)?;
    explain::explain(&snapshot, question).map_err(|error| {
        log_line(&format!("error: {error}"));
        Exit::Failure
    })
}

/// The snapshot of a configuration; the operator has been told what is wrong with it.
pub(super) fn load(paths: &[PathBuf]) -> Result<Snapshot, Exit> {
    let mut loaded = sources::load(paths);
    let snapshot = loaded.config.as_ref().and_then(|config| {
        let credentials = credentials::load(config, &read_file, &mut loaded.report);
        explain::offline::snapshot(config, credentials, &mut loaded.report)
    });
    match snapshot {
        Some(snapshot) if !loaded.report.has_errors() => Ok(snapshot),
        _ => {
            diagnostics::print(&loaded.report);
            Err(Exit::ConfigurationInvalid)
        }
    }
}

fn to_text(question: &Question, explanation: &Explanation) -> String {
    let words = words(explanation);
    let what = match question.is_of_connection() {
        true => words.what.to_owned(),
        false => format!("{} of {}", question.method, question.target),
    };
    let Explanation { client, listener, host, .. } = explanation;
    let mut lines = vec![format!("{what} from {client} at the listener \"{listener}\"")];
    lines.extend(http3_line(explanation));
    if !host.is_empty() {
        lines.push(format!("{}  {host}", words.host));
    }
    if !explanation.path.is_empty() {
        lines.push(format!("path  {}", explanation.path));
    }
    if !explanation.rules.is_empty() {
        lines.push(String::new());
    }
    lines.extend(rule_lines(&explanation.rules, words.taken));
    lines.push(String::new());
    lines.push(outcome(explanation));
    let is_detailed = |word: &&String| explanation.details.iter().any(|(key, _)| key == *word);
    let others: Vec<&str> =
        explanation.besides.iter().filter(|word| !is_detailed(word)).map(String::as_str).collect();
    if !others.is_empty() {
        lines.push(format!("  with    {}", others.join(", ")));
    }
    lines.extend(explanation.details.iter().map(|(key, text)| format!("  {key}: {text}")));
    if let Some(target) = &explanation.target {
        lines.push(format!("  target  {target}"));
    }
    if let Some(host) = &explanation.forwarded_host {
        lines.push(format!("  Host    {host}"));
    }
    lines.extend(explanation.removed_headers.iter().map(|name| format!("  without {name}")));
    lines.extend(explanation.set_headers.iter().map(|(name, value)| format!("  with    {name}: {value}")));
    lines.extend(explanation.groups.iter().flat_map(|group| group_lines(group, words.shared)));
    lines.extend(explanation.response.iter().flat_map(response_lines));
    if asks_for_no_name(question, explanation) {
        lines.push(String::new());
        lines.push(NO_NAME.to_owned());
    }
    lines.join("\n")
}

/// By which listener the same request may come over HTTP/3.
fn http3_line(explanation: &Explanation) -> Option<String> {
    let Explanation { protocol, http3, quic_listener, .. } = explanation;
    match (quic_listener, protocol.as_str()) {
        (Some(name), _) => Some(format!(
            "by TCP; over HTTP/3 the rules of the listener \"{name}\" hold: --listener {name} explains them"
        )),
        (None, "quic") => Some("by HTTP/3".to_owned()),
        (None, _) if *http3 => Some("by TCP or by HTTP/3, to which the same rules apply".to_owned()),
        (None, _) => None,
    }
}

/// What is told of a connection that rules of TLS could not know.
const NO_NAME: &str = "This connection asks for no name and offers no protocol: --sni NAME and --alpn PROTOCOL say what the client's \
                       TLS handshake does.";

/// Whether rules missed what the question could have told.
fn asks_for_no_name(question: &Question, explanation: &Explanation) -> bool {
    let is_of_tls = |missed: &String| missed.starts_with("sni") || missed.starts_with("alpn");
    let are_missed = || explanation.rules.iter().filter_map(|rule| rule.missed.as_ref()).any(is_of_tls);
    explanation.protocol == "tls" && question.sni.is_none() && question.alpn.is_empty() && are_missed()
}

/// What is said of a request, a connection, or datagrams.
struct ExplainWords {
    what: &'static str,
    host: &'static str,
    taken: &'static str,
    /// What groups share.
    shared: &'static str,
}

fn words(explanation: &Explanation) -> ExplainWords {
    let (what, taken, shared) = match explanation.protocol.as_str() {
        "tcp" | "tls" => ("connection", "takes the connection", "connections"),
        "udp" => ("datagrams", "takes the datagrams", "sessions"),
        // Older processes do not tell it.
        _ => return ExplainWords { what: "", host: "host", taken: "takes the request", shared: "requests" },
    };
    ExplainWords { what, host: "name", taken, shared }
}

fn outcome(explanation: &Explanation) -> String {
    let why = &explanation.why;
    match (explanation.status, &explanation.location) {
        (Some(status), Some(location)) => format!("{status} to {location}: {why}"),
        (Some(status), None) => format!("{status}: {why}"),
        (None, _) if explanation.action == "refuse" => format!("refused: {why}"),
        (None, _) => format!("forwarded: {why}"),
    }
}

fn rule_lines(rules: &[RuleExplanation], taken: &str) -> Vec<String> {
    let width = rules.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    let line = |rule: &RuleExplanation| {
        let verdict = match (rule.verdict.as_str(), &rule.missed) {
            ("taken", _) => taken.to_owned(),
            ("disabled", Some(condition)) => format!("disabled; no: {condition}"),
            ("disabled", None) => "disabled".to_owned(),
            ("missed", Some(condition)) => format!("no: {condition}"),
            _ => "not reached".to_owned(),
        };
        format!("{:>5}  {:width$}  {verdict}", rule.priority, rule.name)
    };
    rules.iter().map(line).collect()
}

/// Nothing where the response passes as it is.
fn response_lines(response: &ResponseExplanation) -> Vec<String> {
    let ResponseExplanation { status, rules, set_headers, removed_headers, .. } = response;
    let mut lines = rule_lines(rules, "takes the response");
    if response.is_maintenance_page {
        lines.push("  with    the page of maintenance".to_owned());
    } else if response.is_error_page {
        lines.push("  with    an error page".to_owned());
    }
    lines.extend(removed_headers.iter().map(|name| format!("  without {name}")));
    lines.extend(set_headers.iter().map(|(name, value)| format!("  with    {name}: {value}")));
    if !lines.is_empty() {
        lines.splice(0..0, [String::new(), format!("the response with status {status}")]);
    }
    lines
}

fn group_lines(group: &GroupExplanation, shared: &str) -> Vec<String> {
    let share =
        if group.percent == 100 { String::new() } else { format!(", {} % of {shared}", group.percent) };
    let mut lines = vec![format!("  group   {} ({}{share})", group.name, group.algorithm)];
    lines.push(match &group.backend {
        Some(backend) => format!("  backend {backend}: {}", group.why),
        None if group.candidates.is_empty() => format!("  backend none: {}", group.why),
        None => format!("  backend {}: {}", group.candidates.join(", "), group.why),
    });
    lines
}
