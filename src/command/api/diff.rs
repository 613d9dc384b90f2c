//! `ringway diff`: what files on disk would change against what is in service.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value as Json;
use serde_json::json;

use crate::command::admin_client::AdminEndpoint;
use crate::command::api::form::document;
use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::sources;
use crate::config::toml_value;

#[derive(Args)]
pub(crate) struct DiffArguments {
    /// A file, or a folder of *.toml files, as for `ringway run`; may be repeated.
    #[arg(short = 'c', long = "config", value_name = "FILE", num_args = 1.., required = true)]
    config: Vec<PathBuf>,
    /// The socket of the running Ringway; without this it is the one that [admin] of these files names.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print the differences as JSON: each with its object, key, and both values.
    #[arg(long)]
    json: bool,
    /// End with 1 where there are differences, as diff(1) does; without it, with 0.
    #[arg(long)]
    exit_code: bool,
}

/// What one key, or a whole object, would be instead.
#[derive(Debug, PartialEq)]
struct Difference {
    /// Such as `listener web` or `server_group app, backend 10.0.0.1:80`; empty for keys above the first table.
    object: String,
    /// None: the object as a whole comes or goes.
    key: Option<String>,
    /// In service.
    before: Option<Json>,
    /// In the files.
    after: Option<Json>,
}

pub(crate) fn run(arguments: &DiffArguments) -> Exit {
    let loaded = sources::load(&arguments.config);
    if loaded.config.is_none() {
        diagnostics::print(&loaded.report);
        return Exit::ConfigurationInvalid;
    }
    let endpoint = match (&arguments.socket, &loaded.admin.socket) {
        (Some(socket), _) => AdminEndpoint::at(Some(socket.clone())),
        (None, socket) => AdminEndpoint::at(socket.as_ref().map(|socket| socket.path.clone())),
    };
    let in_service = match document(&endpoint, "config", arguments.json) {
        Ok(in_service) => in_service,
        Err(exit) => return exit,
    };
    let on_disk: Json = serde_json::from_str(&loaded.effective.to_json(&loaded.report)).unwrap_or_default();
    let mut differences = Vec::new();
    compare_tables("", &in_service["config"], &on_disk["config"], &mut differences);
    match told(&differences, arguments.json) {
        Exit::Success if arguments.exit_code && !differences.is_empty() => Exit::Failure,
        exit => exit,
    }
}

fn told(differences: &[Difference], in_json: bool) -> Exit {
    if in_json {
        let all: Vec<Json> = differences.iter().map(Difference::to_json).collect();
        return print(&json!({ "differences": all }).to_string());
    }
    match differences {
        [] => print("the files say what is in service"),
        some => print(&some.iter().map(Difference::to_line).collect::<Vec<_>>().join("\n")),
    }
}

impl Difference {
    fn to_json(&self) -> Json {
        let Difference { object, key, before, after } = self;
        json!({ "object": object, "key": key, "before": before, "after": after })
    }

    fn to_line(&self) -> String {
        let Difference { object, key, before, after } = self;
        let value = |value: &Option<Json>| match value {
            None | Some(Json::Null) => "unset".to_owned(),
            Some(value) => toml_value(value),
        };
        let space = if object.is_empty() { "" } else { ": " };
        match key {
            None if before.is_none() => format!("+ {object}"),
            None => format!("- {object}"),
            Some(key) => format!("~ {object}{space}{key} = {} -> {}", value(before), value(after)),
        }
    }
}

/// Compares the keys of two tables; `object` is what they belong to.
fn compare_tables(object: &str, before: &Json, after: &Json, out: &mut Vec<Difference>) {
    let keys =
        |table: &Json| table.as_object().map(|table| table.keys().cloned().collect()).unwrap_or_default();
    let (mut all, others): (Vec<String>, Vec<String>) = (keys(before), keys(after));
    all.extend(others.into_iter().filter(|key| before.get(key).is_none()));
    for key in all {
        compare(
            object,
            &key,
            before.get(&key).unwrap_or(&Json::Null),
            after.get(&key).unwrap_or(&Json::Null),
            out,
        );
    }
}

fn compare(object: &str, key: &str, before: &Json, after: &Json, out: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let below = |name: &str| match object {
        "" => format!("{key} {name}").trim_end().to_owned(),
        object => format!("{object}, {key} {name}").trim_end().to_owned(),
    };
    match (before, after) {
        _ if is_list_of_objects(before) || is_list_of_objects(after) => {
            compare_lists(&below, before, after, out);
        }
        (Json::Object(_), Json::Object(_)) => compare_tables(&below(""), before, after, out),
        _ => out.push(Difference {
            object: object.to_owned(),
            key: Some(key.to_owned()),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

/// Whether its elements are objects with names or addresses of their own.
fn is_list_of_objects(list: &Json) -> bool {
    let elements = list.as_array().map(Vec::as_slice).unwrap_or_default();
    !elements.is_empty() && elements.iter().all(|element| identity(element).is_some())
}

/// What tells an object from others of its list.
fn identity(object: &Json) -> Option<String> {
    let found =
        ["name", "address", "path"].into_iter().find_map(|key| object.get(key).filter(|it| !it.is_null()))?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

fn compare_lists(below: &impl Fn(&str) -> String, before: &Json, after: &Json, out: &mut Vec<Difference>) {
    let named = |list: &Json| -> Vec<(String, Json)> {
        let elements = list.as_array().into_iter().flatten();
        elements.filter_map(|element| Some((identity(element)?, element.clone()))).collect()
    };
    let (before, after) = (named(before), named(after));
    let find = |list: &[(String, Json)], name: &str| {
        list.iter().find(|(known, _)| known == name).map(|(_, object)| object.clone())
    };
    for (name, object) in &before {
        match find(&after, name) {
            Some(other) => compare_tables(&below(name), object, &other, out),
            None => out.push(Difference {
                object: below(name),
                key: None,
                before: Some(object.clone()),
                after: None,
            }),
        }
    }
    for (name, object) in after.iter().filter(|(name, _)| find(&before, name).is_none()) {
        out.push(Difference { object: below(name), key: None, before: None, after: Some(object.clone()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_goes_and_changes_is_told_by_object() {
        let before = json!({
            "config_version": 1,
            "process": {"workers": 2, "pin": true},
            "listener": [{"name": "web", "address": "127.0.0.1:80", "forwarded": {"x_real_ip": false}}],
            "server_group": [{"name": "app", "max_retries": 1, "backend": [{"address": "a:1", "weight": 100}]}],
            "rule": [{"name": "old", "priority": 1}],
        });
        let after = json!({
            "config_version": 1,
            "process": {"workers": 4, "pin": true},
            "listener": [{"name": "web", "address": "127.0.0.1:80", "forwarded": {"x_real_ip": true}}],
            "server_group": [{
                "name": "app", "max_retries": 1,
                "backend": [{"address": "b:1", "weight": 100}, {"address": "a:1", "weight": 50}],
            }],
        });
        let mut differences = Vec::new();
        compare_tables("", &before, &after, &mut differences);
        let mut lines: Vec<String> = differences.iter().map(Difference::to_line).collect();
        lines.sort();
        let expected = [
            "+ server_group app, backend b:1",
            "- rule old",
            "~ listener web, forwarded: x_real_ip = false -> true",
            "~ process: workers = 2 -> 4",
            "~ server_group app, backend a:1: weight = 100 -> 50",
        ];
        assert_eq!(lines, expected);
        let mut none = Vec::new();
        compare_tables("", &after, &after, &mut none);
        assert_eq!(none, []);
    }
}
