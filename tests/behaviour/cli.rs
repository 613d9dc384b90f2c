//! The verbs that read and change the configuration of a running Ringway.

use crate::admin::{command, run, scenario};
use crate::cli_calls::REFUSED;
use crate::support::tls::Issuer;
use crate::support::{Backend, Ringway};
use serde_json::{Value as Json, json};
use std::path::PathBuf;

const RULE: &str = "[[rule]]\nname = \"api\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/api\"\ntags = { team = \"edge\" }\ngroup = \"app\"";

fn serving() -> (Backend, Ringway) {
    let backend = Backend::echo_head();
    let office = "[[ip_group]]\nname = \"office\"\nentries = [\"10.0.0.0/8\"]";
    let ringway = scenario(&backend).table(RULE).table(office).start();
    (backend, ringway)
}

/// What a verb that ends well prints.
fn said(ringway: &Ringway, line: &str) -> String {
    let ended = command(ringway, &line.split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    ended.stdout
}

#[test]
fn what_is_configured_is_listed() {
    let (_backend, ringway) = serving();
    for (line, row) in [
        ("listener list", "web   enabled  http"),
        ("group list", "app   enabled  http      weighted_round_robin         1"),
        ("rule list", "api   enabled  web             10  -     /api  -     -       group app"),
        ("ip-group list", "office  10.0.0.0/8"),
        ("cert list", "NAME"),
    ] {
        let listed = said(&ringway, line);
        assert!(listed.contains(row), "{line}: {listed}");
    }
    let lines = ["rule list --tag team=other", "rule list --tag team"]
        .map(|line| said(&ringway, line).lines().count());
    assert_eq!(lines, [1, 2]);
    let file = ringway.folder().join("ringway.toml").display().to_string();
    let shown = run(&["listener", "show", "-c", &file, "web"]);
    assert!(shown.stdout.contains("name = \"web\""), "{}", shown.stderr);
    let json: Json = serde_json::from_str(&said(&ringway, "listener list --json")).expect("it is JSON");
    assert_eq!(json[0]["name"], "web");
}

#[test]
fn rules_of_layer_4_are_listed_with_what_they_ask_for() {
    let backend = Backend::echo_head();
    let listener =
        "[[listener]]\nname = \"passed\"\naddress = \"127.0.0.1:0\"\nprotocol = \"tls\"\npassthrough = true";
    let rule = "[[rule]]\nname = \"shop\"\nlistener = \"passed\"\npriority = 5\nsni = [\"a.example\", \"*.b.example\"]\n\
                alpn = \"h2\"\nsource_ip = [\"192.0.2.0/24\"]\ngroup = \"streams\"";
    let group =
        "[[server_group]]\nname = \"streams\"\nprotocol = \"tcp\"\nbackend = [{ address = \"127.0.0.1:9\" }]";
    let ringway = scenario(&backend).table(listener).table(rule).table(group).start();
    let listed = said(&ringway, "rule list");
    let row = "5  a.example *.b.example  -     h2    192.0.2.0/24  group streams";
    assert!(listed.contains(row), "{listed}");
}

#[test]
fn one_object_is_shown_as_it_is_configured() {
    let (_backend, ringway) = serving();
    let shown = said(&ringway, "rule show api");
    assert!(shown.contains("ringway.toml:") && shown.contains("\n[[rule]]\nname = \"api\"\n"), "{shown}");
    assert!(shown.contains("tags = { team = \"edge\" }"), "{shown}");
    let json: Json = serde_json::from_str(&said(&ringway, "rule show api --json")).expect("it is JSON");
    assert_eq!(json["settings"]["priority"], 10);
    for (line, words) in [
        ("rule delete none", "there is no rules/none\nhelp: ringway rule list tells them"),
        ("rule show none", "there is no rule \"none\"\nhelp: ringway rule list tells them"),
        ("backend list none", "there is no server group \"none\""),
    ] {
        let ended = command(&ringway, &line.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn backends_and_names_are_told_as_they_are_now() {
    let (backend, ringway) = serving();
    let address = backend.address();
    let listed = said(&ringway, "backend list");
    assert!(listed.contains(&format!("app/{address}  unchecked")), "{listed}");
    said(&ringway, &format!("backend weight app/{address} 50"));
    let listed = said(&ringway, "backend list app");
    assert!(listed.contains("weight 50 by command, 100 as configured"), "{listed}");
    for (kind, names) in [
        ("listener", "web\n".to_owned()),
        ("group", "app\n".to_owned()),
        ("backend", format!("app/{address}\n")),
        ("rule", "api\n".to_owned()),
        ("ip-group", "office\n".to_owned()),
    ] {
        assert_eq!(said(&ringway, &format!("names {kind}")), names);
    }
}

#[test]
fn a_difference_between_files_and_service_is_told() {
    let (backend, ringway) = serving();
    let file = ringway.folder().join("ringway.toml").display().to_string();
    let diff = || run(&["diff", "-c", &file]);
    assert_eq!(diff().stdout, "the files say what is in service\n", "{}", diff().stderr);
    // Another way to the same file.
    let folder = ringway.folder();
    let around = folder.join("..").join(folder.file_name().expect("it has a name")).join("ringway.toml");
    let around = run(&["diff", "--exit-code", "-c", &around.display().to_string()]);
    assert_eq!((around.code, around.stdout.as_str()), (Some(0), "the files say what is in service\n"));
    let text = std::fs::read_to_string(&file).expect("it is there");
    let changed = text
        .replace("priority = 10", "priority = 20")
        .replace("[[ip_group]]", "[[ip_group]]\nname = \"home\"\n[[ip_group]]");
    std::fs::write(&file, changed).expect("it can be written");
    assert_eq!(diff().stdout, "+ ip_group home\n~ rule api: priority = 10 -> 20\n", "{}", diff().stderr);
    assert_eq!((diff().code, run(&["diff", "--exit-code", "-c", &file]).code), (Some(0), Some(1)));
    let json: Json = serde_json::from_str(&run(&["diff", "--json", "-c", &file]).stdout).expect("it is JSON");
    assert_eq!(
        json["differences"][1],
        json!({"object": "rule api", "key": "priority", "before": 10, "after": 20})
    );
    std::fs::write(&file, text.replace("priority = 10", "priority = 0")).expect("it can be written");
    assert_eq!(diff().code, Some(3));
    drop(backend);
}

/// A configuration that may be changed.
fn changeable() -> (Backend, Ringway) {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).process("state_folder = \".\"").table(RULE).start();
    (backend, ringway)
}

#[test]
fn a_site_is_made_and_taken_apart_by_verbs() {
    let (backend, ringway) = changeable();
    let pair = Issuer::new("sites").server(&["a.example"]);
    let file = |name: &str, content: &str| {
        let path = ringway.folder().join(name);
        std::fs::write(&path, content).expect("it can be written");
        path.display().to_string()
    };
    let (chain, key) = (file("new.crt", &pair.certificate), file("new.key", &pair.key));
    let address = backend.address();
    for line in [
        format!("cert add site --chain {chain} --key {key}"),
        format!("group create two --backend {address}"),
        "listener create --quick --name tls --address 127.0.0.1:0 --protocol https --group two --cert site"
            .to_owned(),
        "rule add late --listener web --priority 20 --path-prefix /late --group two".to_owned(),
        "rule move late --before api".to_owned(),
        "backend add two/127.0.0.1:1 --weight 0".to_owned(),
        format!("backend weight app/{address} 50 --persist"),
    ] {
        said(&ringway, &line);
    }
    let listed = said(&ringway, "rule list");
    let order: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(order.contains(&"late") && order.contains(&"api"), "{listed}");
    let shown: Json = serde_json::from_str(&said(&ringway, "rule show late --json")).expect("it is JSON");
    assert!(shown["settings"]["priority"].as_u64().is_some_and(|priority| priority < 10), "{shown}");
    ringway.wait_for_line("(listener \"tls\")");
    let written = std::fs::read_to_string(ringway.folder().join("ringway.toml")).expect("it is there");
    assert!(written.contains("weight = 50"), "{written}");
    assert!(
        std::fs::read_to_string(ringway.folder().join("api.toml"))
            .is_ok_and(|text| text.contains("name = \"tls\""))
    );
    let configuration = ringway.folder().join("ringway.toml").display().to_string();
    assert_eq!(run(&["diff", "-c", &configuration]).stdout, "the files say what is in service\n");
    for (line, words) in [
        ("cert delete site", "used by listeners/tls"),
        ("group delete two", "used by "),
        ("rule move late --priority 0", "`priority` is out of range"),
        ("listener create --name web --address 127.0.0.1:0", "help: ringway listener show web prints it"),
        ("rule move api --before api", "cannot stand before or after itself"),
        ("rule move api --before nope", "there is no rule \"nope\"\nhelp: ringway rule list tells them"),
    ] {
        let ended = command(&ringway, &line.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, REFUSED, "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{line}: {}", ended.stderr);
    }
    for line in [
        "listener delete tls",
        "rule delete late",
        "backend remove two/127.0.0.1:1",
        "group delete two",
        "cert delete site",
    ] {
        said(&ringway, line);
    }
    assert_eq!(said(&ringway, "group list").lines().count(), 2);
}

#[test]
fn a_drain_ends_with_the_file_and_a_weight_goes_back_to_it() {
    let (backend, ringway) = changeable();
    let name = format!("app/{}", backend.address());
    said(&ringway, &format!("backend drain {name}"));
    let ended = said(&ringway, &format!("backend drain {name} off --persist"));
    assert!(ended.contains("is not drained any more"), "{ended}");
    said(&ringway, &format!("backend drain {name} --persist"));
    let refused = command(&ringway, &["backend", "drain", &name, "off"]);
    let cure = format!("ringway backend drain {name} off --persist takes that away");
    assert!(refused.code == Some(1) && refused.stderr.contains(&cure), "{}", refused.stderr);
    said(&ringway, &format!("backend drain {name} off --persist"));
    said(&ringway, &format!("backend weight {name} 40 --persist"));
    said(&ringway, &format!("backend weight {name} 5"));
    let same = said(&ringway, &format!("backend weight {name} 40 --persist"));
    assert!(same.contains("has weight 40, as configured"), "{same}");
    said(&ringway, &format!("backend weight {name} configured --persist"));
    let told = crate::admin::status(&ringway);
    let entry = &told["groups"][0]["backends"][0];
    assert_eq!(
        (&entry["weight"], entry.get("runtime"), &entry["drain_reason"]),
        (&100.into(), None, &Json::Null)
    );
    let written = std::fs::read_to_string(ringway.folder().join("ringway.toml")).expect("it is there");
    assert!(!written.contains("weight = 40") && !written.contains("enabled = false"), "{written}");
}

#[test]
fn what_is_protected_is_changed_by_force_alone() {
    let (_backend, ringway) = changeable();
    said(&ringway, "group create kept --backend 127.0.0.1:1 --set deletion_protection=true");
    let ended = command(&ringway, &["group", "delete", "kept"]);
    assert_eq!(ended.code, REFUSED, "{}", ended.stderr);
    assert!(ended.stderr.contains("is protected from deletion"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--force"), "{}", ended.stderr);
    said(&ringway, "group delete kept --force");
    said(&ringway, "listener disable web");
    let told = crate::admin::status(&ringway);
    assert_eq!(
        told["listeners"].as_array().and_then(|all| all.last()).map(|one| &one["disabled"]),
        Some(&Json::Bool(true))
    );
    said(&ringway, "listener enable web");
    let copied = said(&ringway, "listener copy web other --address 127.0.0.1:0 --dry-run");
    assert!(copied.contains("+name = \"other\""), "{copied}");
    assert_eq!(said(&ringway, "listener list").lines().count(), 2);
}

#[test]
fn http3_is_switched_on_and_off() {
    let (_backend, ringway) = changeable();
    let pair = Issuer::new("sites").server(&["a.example"]);
    let [chain, key] = [("new.crt", &pair.certificate), ("new.key", &pair.key)].map(|(name, content)| {
        let path = ringway.folder().join(name);
        std::fs::write(&path, content).expect("it can be written");
        path.display().to_string()
    });
    let create = "listener create --name secure --address 127.0.0.1:0 --group app --cert site";
    said(&ringway, &format!("cert add site --chain {chain} --key {key}"));
    said(&ringway, &format!("{create} --protocol https --http3"));
    said(&ringway, &format!("{} --protocol quic", create.replace("secure", "fast")));
    let listed = || said(&ringway, "listener list");
    let rows = |expected: [&str; 2]| {
        let listed = listed();
        assert!(expected.iter().all(|row| listed.contains(row)), "{listed}");
    };
    rows(["fast    enabled  quic ", "secure  enabled  https+h3 "]);
    said(&ringway, "listener update secure --quic-listener fast");
    rows(["secure  enabled  https ", "  fast\n"]);
    said(&ringway, "listener update secure --http3 true");
    rows(["secure  enabled  https+h3 ", "  -\n"]);
    said(&ringway, "listener update secure --http3 false --set idle_timeout=20s");
    let shown = said(&ringway, "listener show secure");
    assert!(shown.contains("idle_timeout = \"20s\"") && !shown.contains("http3"), "{shown}");
    for (line, cure) in [
        ("listener update secure", "add --set KEY=VALUE"),
        ("listener create --name x --address 127.0.0.1:0 --protocol quic", "add --cert NAME"),
    ] {
        let ended = command(&ringway, &line.split(' ').collect::<Vec<_>>());
        assert!(ended.code == Some(2) && ended.stderr.contains(cure), "{line}: {}", ended.stderr);
    }
}

#[test]
fn shells_complete_names_of_the_running_process() {
    let (_backend, ringway) = serving();
    let script = run(&["completions", "bash"]).stdout;
    let program = PathBuf::from(env!("CARGO_BIN_EXE_ringway"));
    let bin = program.parent().expect("it is in a folder").display();
    // The shell asks where packages put the socket; here a function names another.
    let socket = crate::admin::socket_of(&ringway);
    let completed = |words: &str| {
        let count = words.split(' ').count() - 1;
        let last = words.rsplit(' ').next().unwrap_or_default();
        let before = words.rsplit(' ').nth(1).unwrap_or_default();
        let line = format!(
            "PATH={bin}:$PATH\nringway() {{ command ringway \"$@\" --socket {}; }}\n{script}\n\
             COMP_WORDS=({words}); [[ '{last}' == '' ]] && COMP_WORDS+=('')\nCOMP_CWORD={count}\n\
             _ringway ringway '{last}' '{before}'\necho \"${{COMPREPLY[*]}}\"",
            socket.display()
        );
        let file = ringway.folder().join("completed.sh");
        std::fs::write(&file, line).expect("it can be written");
        let output = std::process::Command::new("bash").arg(file).output().expect("bash runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(completed("ringway rule show "), "api");
    assert_eq!(completed("ringway listener disable w"), "web");
    assert_eq!(completed("ringway rule add new --group "), "app");
    assert!(completed("ringway rule sh").contains("show"));
    for shell in ["zsh", "fish"] {
        let script = run(&["completions", shell]).stdout;
        assert!(script.contains("ringway names"), "{shell}");
    }
}

#[test]
fn all_objects_are_exported_and_imported() {
    let (_backend, ringway) = serving();
    let archive = ringway.folder().join("archive.json");
    let export = format!("export -o {}", archive.display());
    assert_eq!(said(&ringway, &export), "");
    let again = command(&ringway, &export.split(' ').collect::<Vec<_>>());
    assert!(
        again.code == Some(1) && again.stderr.contains("a file that is not there yet"),
        "{}",
        again.stderr
    );
    said(&ringway, "rule delete api");
    let import = format!("import {}", archive.display());
    assert!(said(&ringway, &format!("{import} --dry-run")).contains("+name = \"api\""));
    said(&ringway, &format!("{import} --prune"));
    assert!(said(&ringway, "rule list").contains("api   enabled  web"));
    let wrong = command(&ringway, &["import", "/dev/null"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("is no JSON"), "{}", wrong.stderr);
}
