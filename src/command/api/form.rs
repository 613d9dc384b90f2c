//! What every call takes, and how its answer is told.

use std::time::Duration;

use clap::Args;
use serde_json::Value as Json;

use crate::command::admin_client::AdminEndpoint;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::control::admin::http_client;
use crate::control::admin::http_client::HttpCall;
use crate::control::admin::http_client::HttpReply;
use crate::telemetry::operator::log_line;

/// A change goes through the thread that reloads, which may be in the middle of something.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Args)]
pub(super) struct ReadForm {
    #[command(flatten)]
    pub(super) endpoint: AdminEndpoint,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args)]
pub(super) struct WriteForm {
    #[command(flatten)]
    pub(super) endpoint: AdminEndpoint,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Check the change and show what it would write; change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Change what is protected (deletion_protection, modification_protection), too.
    #[arg(long)]
    force: bool,
}

/// A change of the configuration.
pub(super) struct ApiChange<'c> {
    pub(super) method: &'c str,
    /// Below `/api/v1/`, each name encoded.
    pub(super) path: String,
    pub(super) content: Option<Json>,
    pub(super) if_match: Option<&'c str>,
}

impl ReadForm {
    /// The document at a path below `/api/v1/`. When there is none, the operator has been told why.
    pub(super) fn get(&self, path: &str) -> Result<Json, Exit> {
        document(&self.endpoint, path, self.json)
    }
}

impl WriteForm {
    pub(super) fn get(&self, path: &str) -> Result<Json, Exit> {
        document(&self.endpoint, path, self.json)
    }

    /// Makes a change, and tells what came of it.
    pub(super) fn change(&self, change: ApiChange<'_>) -> Exit {
        let ApiChange { method, path, content, if_match } = change;
        let query = [("dry_run", self.dry_run), ("force", self.force)];
        let query: Vec<String> =
            query.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| format!("{name}=true")).collect();
        let mark = match (query.is_empty(), path.contains('?')) {
            (true, _) => "",
            (false, true) => "&",
            (false, false) => "?",
        };
        let target = format!("/api/v1/{path}{mark}{}", query.join("&"));
        let call = HttpCall { method, target, content: content.as_ref(), if_match };
        match called(&self.endpoint, &call, self.json) {
            Ok(document) if self.json => print(&document.to_string()),
            Ok(document) => print(&told(&document)),
            Err(exit) => exit,
        }
    }

    /// Follows a change with a call about what is said by command, and tells it if it had something to do. A conflict means
    /// that the configuration has the backend out of service, so that nothing counts beside it.
    pub(super) fn follow(&self, path: &str, content: &Json) -> Exit {
        let target = format!("/api/v1/{path}");
        let call = HttpCall { method: "POST", target, content: Some(content), if_match: None };
        let answer = sent(&self.endpoint, &call).and_then(|reply| match reply.status {
            409 => Ok(Json::Null),
            _ => judged(reply, self.json),
        });
        match answer {
            Ok(document) if document["changed"] == true && !self.json => print(text(&document, "message")),
            Ok(_) => Exit::Success,
            Err(exit) => exit,
        }
    }
}

/// The document at a path below `/api/v1/`.
pub(super) fn document(endpoint: &AdminEndpoint, path: &str, in_json: bool) -> Result<Json, Exit> {
    let call = HttpCall { method: "GET", target: format!("/api/v1/{path}"), ..HttpCall::default() };
    called(endpoint, &call, in_json)
}

fn called(endpoint: &AdminEndpoint, call: &HttpCall<'_>, in_json: bool) -> Result<Json, Exit> {
    judged(sent(endpoint, call)?, in_json)
}

fn sent(endpoint: &AdminEndpoint, call: &HttpCall<'_>) -> Result<HttpReply, Exit> {
    http_client::call(&endpoint.path()?, call, PATIENCE).map_err(|error| {
        log_line(&format!("error: {error}"));
        Exit::Failure
    })
}

/// The document of an answer. When it is a refusal, the operator has been told why.
fn judged(reply: HttpReply, in_json: bool) -> Result<Json, Exit> {
    let HttpReply { status, content } = reply;
    let document: Json = serde_json::from_slice(&content).unwrap_or_default();
    if (200..300).contains(&status) {
        return Ok(document);
    }
    match document {
        Json::Object(_) if in_json => drop(print(&document.to_string())),
        Json::Object(_) => log_line(&problem(&document)),
        _ => log_line(&format!(
            "error: the process answers with status {status}: {}",
            String::from_utf8_lossy(&content).trim()
        )),
    }
    // What stands in the way of a change, and has changed nothing.
    Err(if matches!(status, 409 | 412 | 422) { Exit::Refused } else { Exit::Failure })
}

/// What came of a change: what was done and warned of, and what it writes if it did not come to that.
fn told(document: &Json) -> String {
    let mut lines = vec![text(document, "message").to_owned()];
    lines.extend(items(document, "warnings").map(item));
    if document["dry_run"] == true {
        lines.push(text(document, "diff").to_owned());
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// Why a call was not carried out, with its cure (RFC 9457).
fn problem(document: &Json) -> String {
    let mut lines: Vec<String> = items(document, "errors").map(item).collect();
    // Where each fault is told with its place and cure, the sentences above them say nothing more.
    if lines.is_empty() {
        lines.push(format!("error: {}", text(document, "detail")));
        let help = text(document, "help");
        if !help.is_empty() {
            lines.push(format!("help: {}", in_verbs(help)));
        }
    }
    let used_by: Vec<String> = items(document, "used_by").map(path_of).collect();
    if !used_by.is_empty() {
        lines.push(format!("used by {}", used_by.join(", ")));
    }
    lines.join("\n")
}

/// Kinds of objects in paths of the API, and the verbs that list them.
const LISTS: [(&str, &str); 5] = [
    ("listeners", "listener"),
    ("server-groups", "group"),
    ("certificates", "cert"),
    ("rules", "rule"),
    ("ip-groups", "ip-group"),
];

/// A cure that is a call of the API, as the verb that makes it.
fn in_verbs(help: &str) -> String {
    let calls = [
        ("GET /api/v1/", " lists them", list_verb as fn(&str) -> Option<String>),
        ("PATCH /api/v1/", " changes it; or take another name", change_verb),
    ];
    let mut verbs =
        calls.iter().filter_map(|(call, does, verb)| verb(help.strip_prefix(call)?.strip_suffix(does)?));
    verbs.next().unwrap_or_else(|| help.to_owned())
}

/// What lists the objects of a path.
fn list_verb(path: &str) -> Option<String> {
    let of_group = path.strip_prefix("server-groups/").and_then(|rest| rest.strip_suffix("/backends"));
    match of_group {
        Some(group) => Some(format!("ringway backend list {group} tells them")),
        None => Some(format!("ringway {} list tells them", verb_of(path)?)),
    }
}

/// What puts something else in the place of the object of a path, or shows it.
fn change_verb(path: &str) -> Option<String> {
    let (kind, name) = path.split_once('/')?;
    let known = match (kind, verb_of(kind)?) {
        ("server-groups", _) if name.contains('/') => {
            format!("ringway backend list {} shows it", name.split('/').next()?)
        }
        ("certificates", verb) => format!("ringway {verb} replace {name} puts others in its place"),
        (_, verb) => format!("ringway {verb} show {name} prints it"),
    };
    Some(format!("{known}; or take another name"))
}

fn verb_of(kind: &str) -> Option<&'static str> {
    LISTS.iter().find(|(known, _)| *known == kind).map(|(_, verb)| *verb)
}

fn item(item: &Json) -> String {
    let place = match (text(item, "place"), text(item, "object")) {
        ("", "") => String::new(),
        ("", object) => format!("{object}: "),
        (place, _) => format!("{place}: "),
    };
    let severity = match text(item, "severity") {
        "" => "error",
        severity => severity,
    };
    let help = match text(item, "help") {
        "" => String::new(),
        help => format!("\nhelp: {help}"),
    };
    format!("{place}{severity}: {}{help}", text(item, "message"))
}

/// `rules/api`, whether it stands so or as `{ "kind": "rules", "name": "api" }`.
fn path_of(user: &Json) -> String {
    match user {
        Json::String(path) => path.clone(),
        user => format!("{}/{}", text(user, "kind"), text(user, "name")),
    }
}

fn items<'j>(document: &'j Json, name: &str) -> impl Iterator<Item = &'j Json> {
    document[name].as_array().into_iter().flatten()
}

pub(super) fn text<'j>(document: &'j Json, name: &str) -> &'j str {
    document[name].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_places_cures_and_users() {
        let faults = json!({
            "status": 422, "detail": "the configuration would be invalid", "help": "",
            "errors": [{
                "object": "listeners/web", "key": "address", "message": "`address` is no address",
                "help": "write \"0.0.0.0:80\"", "place": "api.toml:3:11", "severity": "error",
            }],
        });
        let expected = "api.toml:3:11: error: `address` is no address\nhelp: write \"0.0.0.0:80\"";
        assert_eq!(problem(&faults), expected);
        let used = json!({
            "detail": "the server group \"app\" is in use", "help": "remove it there first",
            "used_by": ["rules/api", {"kind": "listeners", "name": "web"}],
        });
        let expected = "error: the server group \"app\" is in use\nhelp: remove it there first\nused by rules/api, listeners/web";
        assert_eq!(problem(&used), expected);
    }

    #[test]
    fn calls_that_help_are_told_as_verbs() {
        for (help, told) in [
            ("GET /api/v1/rules lists them", "ringway rule list tells them"),
            ("GET /api/v1/server-groups/app/backends lists them", "ringway backend list app tells them"),
            ("GET /api/v1/cas lists them", "GET /api/v1/cas lists them"),
            ("lead elsewhere first", "lead elsewhere first"),
            (
                "PATCH /api/v1/certificates/site changes it; or take another name",
                "ringway cert replace site puts others in its place; or take another name",
            ),
            (
                "PATCH /api/v1/rules/api changes it; or take another name",
                "ringway rule show api prints it; or take another name",
            ),
            (
                "PATCH /api/v1/server-groups/app/backends/a:1 changes it; or take another name",
                "ringway backend list app shows it; or take another name",
            ),
        ] {
            assert_eq!(in_verbs(help), told);
        }
    }

    #[test]
    fn a_dry_run_shows_what_would_be_written() {
        let mut document = json!({
            "message": "the rule \"api\" would be created", "dry_run": true, "diff": "+[[rule]]\n",
            "warnings": [{"object": "rules/api", "message": "it is never reached", "severity": "warning"}],
        });
        let expected =
            "the rule \"api\" would be created\nrules/api: warning: it is never reached\n+[[rule]]\n";
        assert_eq!(told(&document), expected);
        document["dry_run"] = false.into();
        assert!(!told(&document).contains("[[rule]]"));
    }
}
