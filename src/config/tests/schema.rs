//! The JSON Schema says what checking says, as far as a schema can.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use regex_automata::meta::Regex;
use serde_json::Value as Json;

use super::*;
use crate::config::raw::Kind;

/// `UPDATE_DOCS=1` writes it.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ringway.schema.json");

/// The first line of an example, by which editors find the schema.
const SCHEMA_LINE: &str = "#:schema ../docs/ringway.schema.json\n";

#[test]
fn the_schema_in_docs_is_that_of_this_version() {
    let expected = format!("{:#}\n", json_schema());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(FILE, &expected).expect("the schema can be written");
    }
    let found = fs::read_to_string(FILE).expect("the schema is in docs");
    assert!(found == expected, "run the tests with UPDATE_DOCS=1");
}

#[test]
fn the_schema_takes_every_example() {
    let schema = json_schema();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = fs::read_dir(root.join("config")).expect("there are examples");
    let examples = examples.map(|entry| entry.expect("the folder can be read").path());
    let mut count = 0;
    for path in examples.filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        let text = fs::read_to_string(&path).expect("the example can be read");
        assert!(text.starts_with(SCHEMA_LINE), "{path:?} does not begin with {SCHEMA_LINE}");
        assert_eq!(refusals(&schema, &to_json(&text)), "", "{path:?}");
        count += 1;
    }
    assert!(count > 20, "{count} examples");
    let pages = fs::read_dir(root.join("docs")).expect("there are docs");
    let mut blocks = 0;
    for path in pages.map(|entry| entry.expect("the folder can be read").path()) {
        let page = fs::read_to_string(&path).expect("the page can be read");
        for block in page.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next()) {
            // Tables of requests for `ringway test` are no configurations, and pieces of tables neither.
            let first = block.lines().find(|line| !line.starts_with('#') && !line.is_empty());
            let is_piece = ["listener", "server_group"]
                .into_iter()
                .any(|list| block.contains(&format!("[{list}.")) && !block.contains(&format!("[[{list}]]")));
            let is_whole = first
                .is_some_and(|line| line.starts_with('[') || line.starts_with("config_version"))
                && !is_piece
                && !block.contains("[[request]]");
            if is_whole && !block.contains("…") {
                let said = refusals(&schema, &to_json(block));
                // They show what they are about, and leave names and addresses out.
                let wrong = said.lines().find(|line| !line.contains(" is not required "));
                assert_eq!(wrong, None, "{path:?}: {block}");
                blocks += 1;
            }
        }
    }
    assert!(blocks > 40, "{blocks} blocks");
}

/// Values that are wrong for most keys, and right for some.
const VALUES: &[&str] =
    &["true", "\"x\"", "\"a b\"", "-1", "99999999999999", "0.5", "[]", "{ a = 1 }", "[{}]"];

/// Each key of the complete example gets each value, and a key that nobody knows. What the schema refuses, checking
/// refuses; and where checking says that a value is of the wrong kind, or that a key is unknown or missing, the schema
/// says no as well.
#[test]
fn schema_and_check_agree_on_wrong_values() {
    let schema = json_schema();
    let lines: Vec<&str> = COMPLETE_EXAMPLE.lines().collect();
    let is_assignment = |line: &str| !line.starts_with(['#', ' ', '[', ']']) && line.contains(" = ");
    let mut refused = [0; 2];
    for index in (0..lines.len()).filter(|index| is_assignment(lines[*index])) {
        let key = lines[index].split(" = ").next().unwrap_or_default();
        let wrong = VALUES.iter().map(|value| format!("{key} = {value}"));
        let unknown = format!("{}\nx{key} = 1", lines[index]);
        for line in wrong.chain([String::new(), unknown]) {
            let mut text = lines.clone();
            text[index] = &line;
            // A list may go on over several lines.
            if !line.contains('\n') {
                let rest = text[index + 1..].iter_mut();
                rest.take_while(|line| line.starts_with([' ', ']'])).for_each(|line| *line = "");
            }
            let text = text.join("\n");
            let said_by_schema = refusals(&schema, &to_json(&text));
            let loaded = load_text(&text);
            let said_by_check = loaded.report.to_text(false);
            if !said_by_schema.is_empty() {
                refused[0] += 1;
                assert!(
                    loaded.config.is_none(),
                    "{line}: the schema refuses what is right: {said_by_schema}"
                );
            }
            if says_kind(&said_by_check, key, &line) {
                refused[1] += 1;
                assert_ne!(said_by_schema, "", "{line}: the schema takes what is wrong: {said_by_check}");
            }
        }
    }
    assert!(refused[0] > 1_500 && refused[1] > 1_000, "{refused:?}");
}

/// Whether the first error says that this value is of no kind that the key takes, or that a key is unknown.
fn says_kind(report: &str, key: &str, line: &str) -> bool {
    let Some(first) = report.lines().find(|line| line.contains(": error: ")) else { return false };
    let is_of_kind = [format!("`{key}` must be"), format!("invalid value \"x\" for `{key}`")];
    let is_number = [" = -1", " = 99999999999999"].iter().any(|end| line.ends_with(end))
        && first.contains(&format!("`{key}` is out of range"));
    is_number || is_of_kind.iter().any(|said| first.contains(said)) || first.contains("unknown key")
}

/// The keys and tables of a text, without places.
fn to_json(text: &str) -> Json {
    fn table(table: &raw::Table) -> Json {
        table.entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect()
    }
    fn value(raw: &raw::Value) -> Json {
        match &raw.kind {
            Kind::Text(text) => Json::from(text.as_str()),
            Kind::Integer(number) => i64::try_from(*number).map_or(Json::Null, Json::from),
            Kind::Float(number) => Json::from(*number),
            Kind::Boolean(truth) => Json::from(*truth),
            Kind::Array(values) => values.iter().map(value).collect(),
            Kind::Table(raw) => table(raw),
            Kind::Other(_) => Json::Null,
        }
    }
    table(&raw::read(0, &mut Report::new(vec![Source::made_up("x.toml", text.to_owned())])))
}

/// Why this schema refuses a value; empty: it takes it. Knows the words that the schema is made of, and no others.
fn refusals(schema: &Json, value: &Json) -> String {
    let mut said = String::new();
    for (word, wanted) in schema.as_object().expect("a schema is an object") {
        let is_fine = match word.as_str() {
            "$schema" | "title" | "description" | "default" => true,
            "type" => is_of_type(wanted, value),
            "enum" => wanted.as_array().is_some_and(|values| values.contains(value)),
            "const" => wanted == value,
            "pattern" => value.as_str().is_none_or(|text| matches(wanted, text)),
            "minLength" => value.as_str().is_none_or(|text| count(wanted) <= text.chars().count()),
            "maxLength" => value.as_str().is_none_or(|text| count(wanted) >= text.chars().count()),
            "minimum" => value.as_f64().is_none_or(|number| wanted.as_f64() <= Some(number)),
            "maximum" => value.as_f64().is_none_or(|number| wanted.as_f64() >= Some(number)),
            "minItems" => value.as_array().is_none_or(|items| count(wanted) <= items.len()),
            "maxItems" => value.as_array().is_none_or(|items| count(wanted) >= items.len()),
            "minProperties" => value.as_object().is_none_or(|keys| count(wanted) <= keys.len()),
            "maxProperties" => value.as_object().is_none_or(|keys| count(wanted) >= keys.len()),
            "required" => value.as_object().is_none_or(|keys| {
                let mut wanted = wanted.as_array().into_iter().flatten().filter_map(Json::as_str);
                wanted.all(|key| keys.contains_key(key))
            }),
            "anyOf" => wanted.as_array().into_iter().flatten().any(|one| refusals(one, value).is_empty()),
            "items" => value.as_array().into_iter().flatten().all(|item| {
                said += &refusals(wanted, item);
                said.is_empty()
            }),
            "properties" => value.as_object().into_iter().flatten().all(|(key, value)| {
                let own = wanted.get(key).map(|schema| refusals(schema, value)).unwrap_or_default();
                said += &own.lines().map(|line| format!("{key}: {line}\n")).collect::<String>();
                own.is_empty()
            }),
            "additionalProperties" => value.as_object().is_none_or(|keys| {
                let known = schema.get("properties");
                let mut others =
                    keys.iter().filter(|(key, _)| known.is_none_or(|known| known.get(key).is_none()));
                others.all(|(_, value)| wanted.is_object() && refusals(wanted, value).is_empty())
            }),
            other => panic!("the schema has the word {other}"),
        };
        if !is_fine && !matches!(word.as_str(), "items" | "properties") {
            said += &format!("{value} is not {word} {wanted}\n");
        }
    }
    said
}

fn count(wanted: &Json) -> usize {
    wanted.as_u64().and_then(|number| usize::try_from(number).ok()).expect("a count")
}

fn matches(pattern: &Json, text: &str) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    let pattern = pattern.as_str().expect("a text");
    COMPILED.with_borrow_mut(|compiled| {
        let compile = || Regex::new(pattern).expect("the pattern is one");
        compiled.entry(pattern.to_owned()).or_insert_with(compile).is_match(text)
    })
}

fn is_of_type(wanted: &Json, value: &Json) -> bool {
    match wanted.as_str() {
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        other => panic!("the schema has the type {other:?}"),
    }
}
