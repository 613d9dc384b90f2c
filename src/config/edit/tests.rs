//! Texts before and after changes; and what holds for any sequence of them.

mod sequences;

use std::path::Path;
use std::path::PathBuf;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config::edit::edit;
use crate::config::edit::order::Edit;
use crate::config::edit::order::EditAction;
use crate::config::edit::order::EditRefusal;
use crate::config::edit::order::FileText;
use crate::config::objects::ObjectKind;
use crate::config::objects::ObjectPath;

const NEW: &str = "/etc/ringway/api.toml";

fn object(value: Json) -> Map<String, Json> {
    value.as_object().cloned().expect("the test writes an object")
}

fn named(kind: ObjectKind, name: &str) -> ObjectPath {
    ObjectPath::Named { kind, name: name.to_owned() }
}

fn rule(name: &str) -> ObjectPath {
    named(ObjectKind::Rule, name)
}

fn group(name: &str) -> ObjectPath {
    named(ObjectKind::ServerGroup, name)
}

fn backend(address: &str) -> ObjectPath {
    ObjectPath::Backend { group: "app".to_owned(), address: address.to_owned() }
}

fn check_of_app() -> ObjectPath {
    ObjectPath::HealthCheck { group: "app".to_owned() }
}

fn merge(path: ObjectPath, patch: Json) -> Edit {
    Edit { path, action: EditAction::Merge(object(patch)) }
}

fn replace(path: ObjectPath, settings: Json) -> Edit {
    Edit { path, action: EditAction::Replace(object(settings)) }
}

fn create(path: ObjectPath, settings: Json) -> Edit {
    Edit { path, action: EditAction::Create(object(settings)) }
}

fn delete(path: ObjectPath) -> Edit {
    Edit { path, action: EditAction::Delete }
}

fn main_file(text: &str) -> Vec<FileText> {
    vec![FileText { path: PathBuf::from("/etc/ringway/ringway.toml"), text: text.to_owned() }]
}

/// The text after the changes, which touch no other file.
fn edited(text: &str, edits: &[Edit]) -> String {
    let mut changed = edit(&main_file(text), Path::new(NEW), edits).expect("the changes can be made");
    assert!(changed.len() <= 1, "{changed:?}");
    changed.pop().map_or_else(|| text.to_owned(), |file| file.text)
}

fn refusal(text: &str, edits: &[Edit]) -> EditRefusal {
    edit(&main_file(text), Path::new(NEW), edits).expect_err("the changes cannot be made")
}

/// Each text with the changes made of it.
fn check(cases: &[(&str, &[Edit], &str)]) {
    for (text, edits, expected) in cases {
        assert_eq!(edited(text, edits), *expected, "{edits:?}\n{text}");
    }
}

#[test]
fn a_value_changes_where_it_stands() {
    let r = || rule("r");
    check(&[
        (
            "# head\n\n[[rule]]\nname = 'r'   # its name\n  priority=1 # why\n\n\n# end",
            &[merge(r(), json!({ "priority": 20 }))],
            "# head\n\n[[rule]]\nname = 'r'   # its name\n  priority=20 # why\n\n\n# end",
        ),
        (
            "[[rule]]\r\nname = \"r\"\r\nhost = 'a' # b\r\n# c\r\n\r\n[[rule]]\r\nname = \"s\"\r\n",
            &[merge(r(), json!({ "host": "x", "path": "/" })), delete(rule("s"))],
            "[[rule]]\r\nname = \"r\"\r\nhost = 'x' # b\r\npath = \"/\"\r\n# c\r\n",
        ),
        (
            "\u{feff}[[rule]]\nname = \"r\"\npriority = 1",
            &[merge(r(), json!({ "path": "/" }))],
            "\u{feff}[[rule]]\nname = \"r\"\npriority = 1\npath = \"/\"\n",
        ),
        // Of a list, elements that stay keep their lines.
        (
            "[[rule]]\nname = \"r\"\nhost = [\n    \"a\", # first\n\n    # the second\n    \"b\",\n    \"c\" # last\n]\n",
            &[merge(r(), json!({ "host": ["a", "c", "d"] }))],
            "[[rule]]\nname = \"r\"\nhost = [\n    \"a\", # first\n    \"c\", # last\n    \"d\"\n]\n",
        ),
        (
            "[[rule]]\nname = \"r\"\nhost = [ \"a\",\"b\" ]\n",
            &[merge(r(), json!({ "host": ["b"] }))],
            "[[rule]]\nname = \"r\"\nhost = [ \"b\" ]\n",
        ),
        (
            "[[rule]]\nname = \"r\"\nhost = [\"a\", \"b\"]\n",
            &[merge(r(), json!({ "host": ["a", "x", "b", "y"] }))],
            "[[rule]]\nname = \"r\"\nhost = [\"a\", \"x\", \"b\", \"y\"]\n",
        ),
        (
            "[[rule]]\nname = \"r\"\nhost = []\nlimit = {}\n",
            &[merge(r(), json!({ "host": ["a"], "limit": { "burst": 1 } }))],
            "[[rule]]\nname = \"r\"\nhost = [\"a\"]\nlimit = { burst = 1 }\n",
        ),
        // Inline tables, and keys with dots.
        (
            "[[rule]]\nname = \"r\"\nlimit = { burst=1, per . client = 2, x.y = 3 } # no more\n",
            &[merge(
                r(),
                json!({ "limit": { "burst": null, "per": { "client": 5, "all": 6 }, "x": 1, "z": {} } }),
            )],
            "[[rule]]\nname = \"r\"\nlimit = { per . client = 5, per.all = 6, x = 1, z = {} } # no more\n",
        ),
        (
            "[[rule]]\nname = \"r\"\nlimit.burst = 1 # b\nhost = \"a\"\nlimit.size = 2\n",
            &[merge(r(), json!({ "limit": { "burst": 3, "rate": 4 } }))],
            "[[rule]]\nname = \"r\"\nlimit.burst = 3 # b\nhost = \"a\"\nlimit.size = 2\nlimit.rate = 4\n",
        ),
        (
            "[[rule]]\nname = \"r\"\nlimit.burst = 1\nhost = \"a\"\nlimit.size = 2\n",
            &[merge(r(), json!({ "limit": null }))],
            "[[rule]]\nname = \"r\"\nhost = \"a\"\n",
        ),
    ]);
}

#[test]
fn tables_in_tables_change_under_their_headers() {
    let app = "[[server_group]]\nname = \"app\"\n\n# one\n[[server_group.backend]]\naddress = \"a:1\" # a\n\n# two\n\
               [[server_group.backend]]\naddress = \"b:1\"\n\n[server_group.health_check] # check\ninterval = \"1s\"\n\n\
               # next\n[[rule]]\nname = \"r\"\n";
    check(&[
        (
            app,
            &[merge(backend("a:1"), json!({ "weight": 5 })), delete(backend("b:1"))],
            "[[server_group]]\nname = \"app\"\n\n# one\n[[server_group.backend]]\naddress = \"a:1\" # a\nweight = 5\n\n\
             [server_group.health_check] # check\ninterval = \"1s\"\n\n# next\n[[rule]]\nname = \"r\"\n",
        ),
        (
            app,
            &[create(backend("c:1"), json!({ "weight": 1 })), delete(check_of_app())],
            "[[server_group]]\nname = \"app\"\n\n# one\n[[server_group.backend]]\naddress = \"a:1\" # a\n\n# two\n\
             [[server_group.backend]]\naddress = \"b:1\"\n\n[[server_group.backend]]\naddress = \"c:1\"\nweight = 1\n\n\
             # next\n[[rule]]\nname = \"r\"\n",
        ),
        (app, &[delete(group("app"))], "# next\n[[rule]]\nname = \"r\"\n"),
        (
            app,
            &[replace(check_of_app(), json!({ "interval": "2s", "path": "/up" })), delete(rule("r"))],
            "[[server_group]]\nname = \"app\"\n\n# one\n[[server_group.backend]]\naddress = \"a:1\" # a\n\n# two\n\
             [[server_group.backend]]\naddress = \"b:1\"\n\n[server_group.health_check] # check\ninterval = \"2s\"\n\
             path = \"/up\"\n",
        ),
        (
            "[[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"a:1\"\n",
            &[
                replace(check_of_app(), json!({ "interval": "2s" })),
                merge(group("app"), json!({ "queue": { "size": 1 } })),
            ],
            "[[server_group]]\nname = \"app\"\nqueue = { size = 1 }\n[[server_group.backend]]\naddress = \"a:1\"\n\n\
             [server_group.health_check]\ninterval = \"2s\"\n",
        ),
        // A table of which only tables in it have headers.
        (
            "[[listener]]\nname = \"l\"\n[listener.a.b]\nc = 1\n",
            &[merge(named(ObjectKind::Listener, "l"), json!({ "a": { "d": 2, "b": { "c": 3 } } }))],
            "[[listener]]\nname = \"l\"\n[listener.a.b]\nc = 3\n\n[listener.a]\nd = 2\n",
        ),
        // Keys with dots and headers that say one thing together are written anew.
        (
            "[[listener]]\nname = \"l\"\na.x = 1\n[listener.a.b]\nc = 1\n",
            &[merge(named(ObjectKind::Listener, "l"), json!({ "a": { "x": 2 } }))],
            "[[listener]]\nname = \"l\"\na = { b = { c = 1 }, x = 2 }\n",
        ),
    ]);
}

#[test]
fn objects_in_braces_change_in_their_list() {
    let text = "server_group = [\n    # first\n    { name = \"app\", backend = [{ address = \"a:1\" }, { address = \"b:1\" }] }, # app\n    \
                { name = \"old\" },\n]\n";
    check(&[
        (
            text,
            &[delete(backend("a:1")), delete(group("old"))],
            "server_group = [\n    # first\n    { name = \"app\", backend = [{ address = \"b:1\" }] }, # app\n]\n",
        ),
        (
            text,
            &[create(backend("c:1"), json!({})), merge(group("old"), json!({ "algorithm": "x" }))],
            "server_group = [\n    # first\n    { name = \"app\", backend = [{ address = \"a:1\" }, { address = \"b:1\" }, { \
             address = \"c:1\" }] }, # app\n    { name = \"old\", algorithm = \"x\" },\n]\n",
        ),
        ("rule = [{ name = \"r\" }]\n", &[delete(rule("r"))], "rule = []\n"),
    ]);
}

#[test]
fn comments_of_others_stay_when_an_object_goes() {
    check(&[
        (
            "#:schema x\n[[rule]]\nname = \"r\"\n\n# ---- part two ----\n\n# of s\n[[rule]]\nname = \"s\"\n# not used\n\n# end\n",
            &[delete(rule("r"))],
            "#:schema x\n\n# ---- part two ----\n\n# of s\n[[rule]]\nname = \"s\"\n# not used\n\n# end\n",
        ),
        (
            "#:schema x\n[[rule]]\nname = \"r\"\n\n# ---- part two ----\n\n# of s\n[[rule]]\nname = \"s\"\n# not used\n\n# end\n",
            &[delete(rule("s"))],
            "#:schema x\n[[rule]]\nname = \"r\"\n\n# ---- part two ----\n\n# end\n",
        ),
        // What stands in a text over several lines is no comment.
        (
            "[[rule]]\nname = \"r\"\nbody = \"\"\"\n# no comment\"\"\"\n# a comment\nhost = \"h\"\n",
            &[merge(rule("r"), json!({ "host": null }))],
            "[[rule]]\nname = \"r\"\nbody = \"\"\"\n# no comment\"\"\"\n",
        ),
        ("[[rule]]\nname = \"r\"", &[delete(rule("r"))], ""),
        ("config_version = 1\n\n[[rule]]\nname = \"r\"\n", &[delete(rule("r"))], "config_version = 1\n"),
    ]);
}

#[test]
fn new_objects_go_to_their_file() {
    let files = main_file("config_version = 1\n");
    let new =
        json!({ "path": "/", "listener": "web", "priority": 3, "respond": { "code": 404 }, "host": null });
    let made = edit(&files, Path::new(NEW), &[create(rule("a b"), new)]).unwrap();
    assert_eq!(made[0].path, Path::new(NEW));
    let expected = "# The management API writes here what it creates. What you change or add yourself stays as you write it.\n\n\
                    [[rule]]\nname = \"a b\"\nlistener = \"web\"\npriority = 3\npath = \"/\"\nrespond = { code = 404 }\n";
    assert_eq!(made[0].text, expected);
    let files = [files, made].concat();
    let app = json!({
        "health_check": { "interval": "1s" },
        "backend": [{ "weight": 1, "address": "a:1" }, { "address": "b:1", "x y": 1.5 }],
    });
    let made = edit(
        &files,
        Path::new(NEW),
        &[create(group("app"), app), merge(rule("a b"), json!({ "priority": 4 }))],
    );
    let made = made.unwrap();
    let added = "\n[[server_group]]\nname = \"app\"\n\n[[server_group.backend]]\naddress = \"a:1\"\nweight = 1\n\n\
                 [[server_group.backend]]\naddress = \"b:1\"\n\"x y\" = 1.5\n\n[server_group.health_check]\ninterval = \"1s\"\n";
    assert_eq!((made.len(), &made[0].text), (1, &(expected.replace("priority = 3", "priority = 4") + added)));
    // All gone again.
    let gone = edit(&made, Path::new(NEW), &[delete(rule("a b")), delete(group("app"))]).unwrap();
    assert_eq!(gone[0].text, expected.split_once("\n\n").unwrap().0.to_owned() + "\n");

    let made = edit(&[], Path::new(NEW), &[create(rule("r"), json!({ "host": vec!["h"; 30] }))]).unwrap();
    assert!(
        made[0].text.contains("\n\nconfig_version = 1\n\n[[rule]]\nname = \"r\"\nhost = [\n    \"h\",\n"),
        "{}",
        made[0].text
    );
    let inline = [FileText { path: NEW.into(), text: "rule = []\n".to_owned() }];
    let made = edit(&inline, Path::new(NEW), &[create(rule("r"), json!({}))]).unwrap();
    assert_eq!(made[0].text, "rule = [{ name = \"r\" }]\n");
}

#[test]
fn several_files_define_one_list() {
    let file = |path: &str, text: &str| FileText { path: path.into(), text: text.to_owned() };
    let files = [
        file("/a.toml", "[[error_page]]\nstatus = 503\n[[rule]]\nname = \"r\"\n"),
        file("/b.toml", "[[error_page]]\nstatus = 404\n[[rule]]\nname = \"s\"\n"),
        file("/c.toml", "not.touched  =  true\n"),
    ];
    let page = named(ObjectKind::ErrorPage, "error-page-2");
    let edits =
        [merge(page, json!({ "status": 400 })), merge(rule("s"), json!({ "name": "t" })), delete(rule("r"))];
    let changed = edit(&files, Path::new(NEW), &edits).unwrap();
    let expected = [
        file("/a.toml", "[[error_page]]\nstatus = 503\n"),
        file("/b.toml", "[[error_page]]\nstatus = 400\n[[rule]]\nname = \"t\"\n"),
    ];
    assert_eq!(changed, expected);
    assert_eq!(edit(&files, Path::new(NEW), &[merge(rule("s"), json!({}))]), Ok(Vec::new()));
}

#[test]
fn what_cannot_be_changed_is_named() {
    let text =
        "[[server_group]]\nname = \"app\"\nbackend = [{ address = \"a:1\" }]\n[[rule]]\nname = \"r\"\n";
    for (edits, expected) in [
        (vec![merge(rule("x"), json!({}))], "there is no rules/x"),
        (vec![delete(rule("r")), delete(rule("r"))], "there is no rules/r"),
        (vec![create(rule("r"), json!({}))], "rules/r exists already"),
        (vec![create(backend("a:1"), json!({}))], "server-groups/app/backends/a:1 exists already"),
        (vec![delete(backend("b:1"))], "there is no server-groups/app/backends/b:1"),
        (vec![delete(group("app")), delete(backend("a:1"))], "there is no server-groups/app"),
        (vec![delete(check_of_app())], "there is no server-groups/app/health-check"),
        (
            vec![merge(rule("r"), json!({ "host": [null] }))],
            "rules/r cannot be written: it has null in a list",
        ),
        (
            vec![merge(rule("r"), json!({ "priority": u64::MAX }))],
            "rules/r cannot be written: it has the number 18446744073709551615, which is too large",
        ),
    ] {
        assert_eq!(refusal(text, &edits).to_string(), expected, "{edits:?}");
    }
    let broken = refusal("a = 1\nb = \n", &[]);
    assert_eq!(broken.to_string(), "/etc/ringway/ringway.toml:2: this is not TOML");
}
