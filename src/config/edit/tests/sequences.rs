//! Sequences of changes, made up from a seed: texts read back, by another reader, as what the changes make of the objects.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use super::NEW;
use crate::config::Source;
use crate::config::edit::edit;
use crate::config::edit::order::Edit;
use crate::config::edit::order::EditAction;
use crate::config::edit::order::FileText;
use crate::config::edit::order::merge;
use crate::config::objects;
use crate::config::objects::ObjectKind;
use crate::config::objects::ObjectPath;
use crate::config::raw;
use crate::config::report::Report;

/// Sequences, and changes in each.
const SEEDS: u64 = 16;
const STEPS: usize = 20;

/// Every form in which objects can be written.
const FORMS: &str = "\
# The head of the file.
config_version = 1

listener = [ # all of them
    { name = \"inline\", address = [\"a\", \"b\"], tls.policy = \"x\", tls . min = 1 }, # the first
    # Of its own.
    {
        name = 'broken', # over lines
        address = 'x',
    }
]
process.workers = 1

# Rules.
[[rule]] # r
name = 'r' # its name
  host = [
    \"one\", # 1

    # Number two.
    \"two\", \"three\",
] # hosts
limit.burst = 1
priority = 0x10 # sixteen
limit.rate = 1_000

[metrics]
enabled = true

[rule.headers] # of r, below another table
x = \"\"\"
# no comment
\"\"\"
[[rule.headers.all]]
name = \"h\"

# ---- groups ----

[[server_group]]
name = \"app\"
# commented = 1

# The first backend.
[[server_group.backend]]
address = \"10.0.0.1:80\"
weight = 5 # less
[server_group.health_check]
interval = \"2s\" # often
[[server_group.backend]]
address = \"10.0.0.2:80\"
[server_group.backend.extra.deep]
k = [{ a = 1 }, { a = 2, b = { c = 3 } }]
[[rule]]
name = \"s\"
[[server_group]]
name = \"empty\"
# The end.
";

struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    fn value(&mut self, depth: usize) -> Json {
        match self.roll(if depth > 2 { 6 } else { 9 }) {
            0 => json!(self.roll(100)),
            1 => json!(-1.5),
            2 => json!(true),
            3 => json!("it's \"quoted\"\n\u{7f}\\ # ü"),
            4 => json!("plain"),
            5 => json!([]),
            6 => (0..self.roll(5)).map(|_| self.value(depth + 1)).collect(),
            7 => (0..=self.roll(2))
                .map(|place| json!({ "address": format!("{place}:1"), "k": place }))
                .collect(),
            _ => Json::Object(self.settings(depth + 1)),
        }
    }

    fn settings(&mut self, depth: usize) -> Map<String, Json> {
        const KEYS: [&str; 12] = [
            "host",
            "limit",
            "headers",
            "burst",
            "rate",
            "extra",
            "weight",
            "tls",
            "forwarded",
            "a b",
            "interval",
            "k",
        ];
        (0..self.roll(4)).map(|_| (KEYS[self.roll(KEYS.len())].to_owned(), self.value(depth))).collect()
    }

    /// A patch changes, adds and removes.
    fn patch(&mut self, of: &Map<String, Json>) -> Map<String, Json> {
        let mut patch = self.settings(0);
        for (key, value) in of.iter().filter(|(key, _)| *key != "name" && *key != "address") {
            match (self.roll(6), value) {
                (0, _) => drop(patch.insert(key.clone(), Json::Null)),
                (1, _) => drop(patch.insert(key.clone(), self.value(0))),
                (2, Json::Object(inner)) => drop(patch.insert(key.clone(), Json::Object(self.patch(inner)))),
                (2, Json::Array(list)) => {
                    let mut list = list.clone();
                    list.retain(|_| self.roll(4) > 0);
                    list.insert(self.roll(list.len() + 1), json!("fresh"));
                    patch.insert(key.clone(), Json::Array(list));
                }
                _ => {}
            }
        }
        patch
    }
}

type Known = BTreeMap<(ObjectKind, String), Map<String, Json>>;

/// What the reader of configurations finds.
fn read(files: &[FileText]) -> Known {
    let source = |file: &FileText| Source::file(&file.path, "/".into(), Ok(file.text.clone()));
    let mut report = Report::new(files.iter().map(source).collect());
    let roots: Vec<_> = (0..files.len()).map(|index| raw::read(index, &mut report)).collect();
    assert!(!report.has_errors(), "{}", report.to_text(false));
    let objects = objects::objects(&roots).into_iter();
    objects.map(|object| ((object.kind, object.name), object.settings)).collect()
}

/// What is null is not there.
fn without_nulls(value: &mut Json) {
    if let Json::Object(object) = value {
        object.retain(|_, value| !value.is_null());
    }
    match value {
        Json::Object(object) => object.values_mut().for_each(without_nulls),
        Json::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// A change, made of what is known too.
fn next(dice: &mut Dice, known: &mut Known, step: usize) -> Edit {
    let objects: Vec<(ObjectKind, String)> = known.keys().cloned().collect();
    let picked = objects.get(dice.roll(objects.len().max(1))).cloned();
    let Some((kind, name)) = picked.filter(|_| dice.roll(5) > 0) else {
        let kind = [ObjectKind::Rule, ObjectKind::ServerGroup, ObjectKind::Listener][dice.roll(3)];
        let name = format!("new {step}");
        let mut settings = dice.settings(0);
        let action = EditAction::Create(settings.clone());
        settings.insert("name".to_owned(), json!(name));
        known.insert((kind, name.clone()), settings);
        return Edit { path: ObjectPath::Named { kind, name }, action };
    };
    let path = ObjectPath::Named { kind, name: name.clone() };
    let key = (kind, name);
    let settings = known.entry(key.clone()).or_default();
    let action = match dice.roll(8) {
        0 => {
            known.remove(&key);
            EditAction::Delete
        }
        1 => {
            let mut wanted = dice.settings(0);
            wanted.extend(
                settings
                    .iter()
                    .filter(|_| dice.roll(2) == 0)
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
            let action = EditAction::Replace(wanted.clone());
            wanted.insert("name".to_owned(), json!(key.1));
            *settings = wanted;
            action
        }
        _ => {
            let patch = dice.patch(settings);
            merge(settings, &patch);
            EditAction::Merge(patch)
        }
    };
    Edit { path, action }
}

fn play(seed: u64, text: &str) {
    let mut dice = Dice(seed);
    let mut files = vec![
        FileText { path: "/etc/ringway/a.toml".into(), text: text.to_owned() },
        FileText { path: "/etc/ringway/b.toml".into(), text: "[[rule]]\nname = \"b\"\n".to_owned() },
    ];
    let mut known = read(&files);
    for step in 0..STEPS {
        let edits: Vec<Edit> =
            (0..=dice.roll(2)).map(|part| next(&mut dice, &mut known, step * 10 + part)).collect();
        let before = files.clone();
        let changed = edit(&files, Path::new(NEW), &edits);
        let changed =
            changed.unwrap_or_else(|refusal| panic!("seed {seed}: {refusal}\n{edits:?}\n{before:#?}"));
        for file in changed {
            match files.iter_mut().find(|known| known.path == file.path) {
                Some(known) => *known = file,
                None => files.push(file),
            }
        }
        let mut wanted = known.clone();
        wanted.values_mut().for_each(|settings| {
            let mut value = Json::Object(std::mem::take(settings));
            without_nulls(&mut value);
            *settings = value.as_object().cloned().unwrap_or_default();
        });
        known.clone_from(&wanted);
        assert_eq!(read(&files), wanted, "seed {seed}: {edits:?}\n{}", before[0].text);
        for file in &before {
            let now = files.iter().find(|known| known.path == file.path).expect("no file goes");
            assert_untouched(file, now, &edits);
        }
    }
}

/// Lines that are no part of what was changed stand in the text as before: those of the file, and the other objects.
fn assert_untouched(before: &FileText, now: &FileText, edits: &[Edit]) {
    let is_touched = |name: &str| {
        edits
            .iter()
            .any(|edit| matches!(&edit.path, ObjectPath::Named { name: touched, .. } if touched == name))
    };
    let mut lines = now.text.split_inclusive('\n');
    for (name, line) in [
        (
            "inline",
            "    { name = \"inline\", address = [\"a\", \"b\"], tls.policy = \"x\", tls . min = 1 }, # the first\n",
        ),
        ("", "process.workers = 1\n"),
        ("r", "  host = [\n"),
        ("r", "    # Number two.\n"),
        ("", "[metrics]\n"),
        ("", "enabled = true\n"),
        ("r", "[rule.headers] # of r, below another table\n"),
        ("", "# ---- groups ----\n"),
        ("app", "# commented = 1\n"),
        ("app", "weight = 5 # less\n"),
        ("empty", "# The end.\n"),
    ] {
        let line = if before.text.contains("\r\n") { line.replace('\n', "\r\n") } else { line.to_owned() };
        if before.text.contains(&line) && !is_touched(name) {
            assert!(
                lines.any(|now| now == line),
                "{line} went, or moved\n{}\nnow\n{}",
                before.text,
                now.text
            );
        }
    }
}

#[test]
fn any_sequence_of_changes_reads_back_as_it_was_meant() {
    for seed in 0..SEEDS {
        play(seed, FORMS);
        play(seed, &FORMS.replace('\n', "\r\n"));
        play(seed, &format!("\u{feff}{}", FORMS.trim_end()));
    }
}

#[test]
fn what_is_undone_leaves_no_trace() {
    let complete = include_str!("../../../../config/ringway.toml");
    for text in [FORMS, complete] {
        let files = [FileText { path: "/a.toml".into(), text: text.to_owned() }];
        for ((kind, name), settings) in read(&files) {
            let path = ObjectPath::Named { kind, name };
            let same = Edit { path: path.clone(), action: EditAction::Replace(settings.clone()) };
            assert_eq!(edit(&files, Path::new(NEW), &[same]), Ok(Vec::new()), "{path}");
            let patch = |value: Json| {
                let action = EditAction::Merge(json!({ "a_new_key": value }).as_object().cloned().unwrap());
                Edit { path: path.clone(), action }
            };
            let with = edit(&files, Path::new(NEW), &[patch(json!({ "deep": ["value"] }))]).unwrap();
            let without = edit(&with, Path::new(NEW), &[patch(Json::Null)]).unwrap();
            assert_eq!(without[0].text, text, "{path}");
        }
        let path = ObjectPath::Named { kind: ObjectKind::Rule, name: "passing".to_owned() };
        let created = Edit { path: path.clone(), action: EditAction::Create(Map::new()) };
        let made = edit(&files, Path::new("/a.toml"), &[created]).unwrap();
        let deleted =
            edit(&made, Path::new("/a.toml"), &[Edit { path, action: EditAction::Delete }]).unwrap();
        assert_eq!(deleted[0].text, text);
    }
}
