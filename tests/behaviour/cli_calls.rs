//! What the verbs that read and change a configuration ask of the management API, and how they tell its answers.

use crate::admin::{Ended, run};
use crate::support::PATIENCE;
use serde_json::{Value as Json, json};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

pub(crate) const REFUSED: Option<i32> = Some(5);

/// What was asked of the API.
#[derive(Debug)]
struct Asked {
    /// `GET /api/v1/rules`.
    line: String,
    head: String,
    content: Json,
}

/// Somebody who answers as the management API does, always with the same.
struct FakeApi {
    folder: TempDir,
    asked: Receiver<Asked>,
}

impl FakeApi {
    /// Each call gets the next of these answers, and the last one from then on.
    fn answering(answers: &[(u16, Json)]) -> FakeApi {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let listener = UnixListener::bind(folder.path().join("api.sock")).expect("it can be bound");
        let (sender, asked) = channel();
        let answers = answers.to_vec();
        std::thread::spawn(move || {
            let mut next = answers.iter();
            let mut answer = next.next();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(call) = received(&mut stream) else { return };
                let Some((status, document)) = answer else { return };
                let text = document.to_string();
                let length = text.len();
                let head =
                    format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                stream.write_all(format!("{head}{text}").as_bytes()).unwrap_or_default();
                answer = next.next().or(answer);
                if sender.send(call).is_err() {
                    return;
                }
            }
        });
        FakeApi { folder, asked }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    fn run(&self, line: &[&str]) -> Ended {
        run(&[line, &["--socket", &self.socket().display().to_string()]].concat())
    }

    fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("the API was asked")
    }
}

/// A whole request.
fn received(stream: &mut UnixStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, content)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
            if content.len() >= length.unwrap_or(0) {
                let line = head.lines().next()?.strip_suffix(" HTTP/1.1")?.to_owned();
                let content = serde_json::from_str(content).unwrap_or_default();
                return Some(Asked { line, head: head.to_owned(), content });
            }
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    }
}

fn done() -> Json {
    json!({ "applied": true, "dry_run": false, "generation": 7, "message": "done", "warnings": [], "diff": "" })
}

fn calls_for_listeners() -> Vec<(&'static str, &'static str, Json)> {
    vec![
        (
            "listener create --quick --name web --address 0.0.0.0:443 --protocol https --group app --cert site --tls-policy strict",
            "POST /api/v1/listeners",
            json!({"name": "web", "address": "0.0.0.0:443", "protocol": "https", "default_group": "app", "certificates": ["site"], "tls_policy": "strict"}),
        ),
        (
            "listener create --name web --address [::]:80 --address 127.0.0.1:81 --set max_connections=5 --set client_auth.mode=require",
            "POST /api/v1/listeners",
            json!({"name": "web", "address": ["[::]:80", "127.0.0.1:81"], "max_connections": 5, "client_auth": {"mode": "require"}}),
        ),
        ("listener enable web", "PATCH /api/v1/listeners/web", json!({"enabled": true})),
        (
            "listener disable web --dry-run",
            "PATCH /api/v1/listeners/web?dry_run=true",
            json!({"enabled": false}),
        ),
        ("listener delete web --force", "DELETE /api/v1/listeners/web?force=true", Json::Null),
        (
            "listener copy web other --address 127.0.0.1:82",
            "POST /api/v1/listeners/web/copy",
            json!({"name": "other", "address": "127.0.0.1:82"}),
        ),
    ]
}

fn calls_for_groups_and_backends() -> Vec<(&'static str, &'static str, Json)> {
    vec![
        (
            "group create app --backend 10.0.0.1:80 --backend 10.0.0.2:80 --health-path /up --set max_retries=2",
            "POST /api/v1/server-groups",
            json!({
                "name": "app", "backend": [{"address": "10.0.0.1:80"}, {"address": "10.0.0.2:80"}],
                "health_check": {"path": "/up"}, "max_retries": 2,
            }),
        ),
        ("group disable app", "PATCH /api/v1/server-groups/app", json!({"enabled": false})),
        ("group delete app", "DELETE /api/v1/server-groups/app", Json::Null),
        (
            "backend add app/[::1]:80 --weight 5 --role standby",
            "POST /api/v1/server-groups/app/backends",
            json!({"address": "[::1]:80", "weight": 5, "role": "standby"}),
        ),
        (
            "backend remove app/[::1]:80",
            "DELETE /api/v1/server-groups/app/backends/%5B%3A%3A1%5D%3A80",
            Json::Null,
        ),
        (
            "backend drain app/unix:/run/a.sock on --persist",
            "PATCH /api/v1/server-groups/app/backends/unix%3A%2Frun%2Fa.sock",
            json!({"enabled": false}),
        ),
    ]
}

fn calls_for_certificates_rules_and_ip_groups() -> Vec<(&'static str, &'static str, Json)> {
    vec![
        (
            "cert add site --in-place --chain /tls/a.crt --key /tls/a.key --set names=[\"a.example\"]",
            "POST /api/v1/certificates",
            json!({"name": "site", "chain": "/tls/a.crt", "key": "/tls/a.key", "names": ["a.example"]}),
        ),
        ("cert delete site", "DELETE /api/v1/certificates/site", Json::Null),
        (
            "rule add api --listener web --priority 10 --host a.example --path-prefix /api --method GET --group app",
            "POST /api/v1/rules",
            json!({
                "name": "api", "listener": "web", "priority": 10, "host": "a.example", "path_prefix": "/api",
                "method": "GET", "group": "app",
            }),
        ),
        (
            "rule add shop --listener passed --priority 20 --sni a.example --sni b.example --alpn h2 --source-ip office --group app",
            "POST /api/v1/rules",
            json!({
                "name": "shop", "listener": "passed", "priority": 20, "sni": ["a.example", "b.example"], "alpn": "h2",
                "source_ip": "office", "group": "app",
            }),
        ),
        ("rule move api --before other", "POST /api/v1/rules/api/move", json!({"before": "other"})),
        ("rule move api --after other", "POST /api/v1/rules/api/move", json!({"after": "other"})),
        ("rule move api --priority 5", "POST /api/v1/rules/api/move", json!({"priority": 5})),
        ("rule disable api", "PATCH /api/v1/rules/api", json!({"enabled": false})),
        ("rule delete api", "DELETE /api/v1/rules/api", Json::Null),
        (
            "ip-group create office 10.0.0.0/8 192.0.2.7",
            "POST /api/v1/ip-groups",
            json!({"name": "office", "entries": ["10.0.0.0/8", "192.0.2.7"]}),
        ),
        ("ip-group delete office", "DELETE /api/v1/ip-groups/office", Json::Null),
    ]
}

#[test]
fn each_verb_that_changes_something_makes_one_call() {
    let api = FakeApi::answering(&[(200, done())]);
    let calls = [
        calls_for_listeners(),
        calls_for_groups_and_backends(),
        calls_for_certificates_rules_and_ip_groups(),
    ];
    for (line, asked, content) in calls.concat() {
        let ended = api.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "done\n"), "{line}: {}", ended.stderr);
        let call = api.next();
        assert_eq!((call.line.as_str(), call.content), (asked, content), "{line}");
        assert!(call.head.contains("\r\nHost: localhost\r\nConnection: close"), "{}", call.head);
    }
}

#[test]
fn what_is_persisted_ends_what_was_said_by_command() {
    let told = json!({"changed": true, "message": "it is so no more"});
    let nothing = json!({"changed": false, "message": "it was not so"});
    let disabled = json!({"status": 409, "detail": "the backend is disabled by the configuration"});
    let broken = json!({"status": 503, "detail": "it cannot be done", "help": ""});
    let weight = "weight app/a.example:80";
    for (line, written, (end, content), (status, answer), (code, stdout)) in [
        (
            format!("{weight} 7"),
            json!({"weight": 7}),
            ("weight", json!({"weight": null})),
            (200, &told),
            (0, "done\nit is so no more\n"),
        ),
        (
            format!("{weight} configured"),
            json!({"weight": null}),
            ("weight", json!({"weight": null})),
            (409, &disabled),
            (0, "done\n"),
        ),
        (
            "drain app/a.example:80 off".to_owned(),
            json!({"enabled": true}),
            ("drain", json!({"drain": false})),
            (200, &nothing),
            (0, "done\n"),
        ),
        (
            "drain app/a.example:80 off".to_owned(),
            json!({"enabled": true}),
            ("drain", json!({"drain": false})),
            (503, &broken),
            (1, "done\n"),
        ),
    ] {
        let api = FakeApi::answering(&[(200, done()), (status, answer.clone())]);
        let line = format!("backend {line} --persist");
        let ended = api.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), stdout), "{line}: {}", ended.stderr);
        let path = "/api/v1/server-groups/app/backends/a.example%3A80";
        let call = api.next();
        assert_eq!((call.line, call.content), (format!("PATCH {path}"), written), "{line}");
        let call = api.next();
        assert_eq!((call.line, call.content), (format!("POST {path}/{end}"), content), "{line}");
    }
}

#[test]
fn certificates_go_by_their_contents_unless_they_are_to_stay_in_place() {
    let api = FakeApi::answering(&[(200, done())]);
    let file = |name: &str, content: &str| {
        let path = api.folder.path().join(name);
        std::fs::write(&path, content).expect("it can be written");
        path.display().to_string()
    };
    let (chain, key) = (file("a.crt", "CERTIFICATE"), file("a.key", "KEY"));
    let ended = api.run(&["cert", "replace", "site", "--chain", &chain, "--key", &key]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let call = api.next();
    assert_eq!(call.line, "PATCH /api/v1/certificates/site");
    assert_eq!(call.content, json!({"chain_pem": "CERTIFICATE", "key_pem": "KEY"}));
    let ended = api.run(&["cert", "add", "site", "--chain", &chain, "--key", "/no/such.key"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot read /no/such.key: "), "{}", ended.stderr);
}

#[test]
fn entries_of_an_ip_group_are_changed_as_they_were_seen() {
    let office = json!({
        "kind": "ip-groups", "name": "office", "etag": "\"7f\"",
        "settings": {"name": "office", "entries": ["10.0.0.0/8", "192.0.2.7"]},
    });
    let answers = [(200, office.clone()), (200, done()), (200, office.clone()), (200, done()), (200, office)];
    let api = FakeApi::answering(&answers);
    for (verb, entry, entries) in [
        ("add", "192.0.2.8", json!(["10.0.0.0/8", "192.0.2.7", "192.0.2.8"])),
        ("remove", "192.0.2.7", json!(["10.0.0.0/8"])),
    ] {
        let ended = api.run(&["ip-group", verb, "office", entry]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(api.next().line, "GET /api/v1/ip-groups/office");
        let call = api.next();
        assert_eq!(
            (call.line.as_str(), call.content),
            ("PATCH /api/v1/ip-groups/office", json!({"entries": entries}))
        );
        assert!(call.head.contains("\r\nIf-Match: \"7f\""), "{}", call.head);
    }
    let ended = api.run(&["ip-group", "remove", "office", "192.0.2.9"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("that changes nothing"), "{}", ended.stderr);
}

#[test]
fn refusals_are_told_with_their_cures() {
    let problem = json!({
        "status": 409, "detail": "the server group \"app\" is in use", "help": "lead elsewhere first",
        "errors": [], "used_by": ["listeners/web"],
    });
    for (status, code) in [(409, REFUSED), (412, REFUSED), (422, REFUSED), (404, Some(1)), (503, Some(1))] {
        let api = FakeApi::answering(&[(status, problem.clone())]);
        let ended = api.run(&["group", "delete", "app"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{status}");
        let said =
            "error: the server group \"app\" is in use\nhelp: lead elsewhere first\nused by listeners/web\n";
        assert_eq!(ended.stderr, said, "{status}");
        let ended = api.run(&["group", "delete", "app", "--json"]);
        assert_eq!(ended.code, code);
        assert_eq!(
            serde_json::from_str::<Json>(&ended.stdout).ok(),
            Some(problem.clone()),
            "{}",
            ended.stderr
        );
    }
    let invalid = json!({
        "status": 422, "detail": "no", "help": "",
        "errors": [{"message": "`priority` is out of range", "help": "allowed are 1 to 10000", "place": "api.toml:4:12", "severity": "error"}],
    });
    let api = FakeApi::answering(&[(422, invalid)]);
    let ended = api.run(&["rule", "move", "a", "--priority", "0"]);
    assert_eq!(
        ended.stderr,
        "api.toml:4:12: error: `priority` is out of range\nhelp: allowed are 1 to 10000\n"
    );
    // Who is no Ringway, and what is no command line.
    for (line, code, said) in [
        ("rule move a", Some(2), "--before"),
        ("rule move a --before b --after c", Some(2), "cannot be used with"),
        ("backend add app --weight 5", Some(2), "GROUP/ADDRESS"),
        (
            "listener create --name a --address a:1 --protocol https --group app",
            Some(2),
            "add --cert NAME; ringway cert list tells the names",
        ),
        ("backend weight app/a:1 5 --dry-run", Some(2), "add --persist"),
        (
            "listener create --quick --name a --address a:1 --protocol http --group app --set x=1",
            Some(2),
            "--quick takes no --set",
        ),
        ("listener create --quick --name a --address a:1", Some(2), "--protocol"),
        ("group create app", Some(2), "--backend"),
        ("listener create --name a --address a:1 --set x", Some(2), "KEY=VALUE"),
    ] {
        let ended = api.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, code, "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{line}: {}", ended.stderr);
    }
    let nowhere = api.folder.path().join("none.sock").display().to_string();
    let ended = run(&["rule", "list", "--socket", &nowhere]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("there is no socket"), "{}", ended.stderr);
}

#[test]
fn a_dry_run_shows_the_difference() {
    let mut document = done();
    document["dry_run"] = true.into();
    document["message"] = "the rule \"api\" would be removed".into();
    document["diff"] = "--- api.toml\n+++ api.toml\n-[[rule]]\n".into();
    document["warnings"] =
        json!([{"object": "listeners/web", "message": "it has no rules", "severity": "warning"}]);
    let api = FakeApi::answering(&[(200, document)]);
    let ended = api.run(&["rule", "delete", "api", "--dry-run"]);
    let said = "the rule \"api\" would be removed\nlisteners/web: warning: it has no rules\n--- api.toml\n+++ api.toml\n-[[rule]]\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), said));
    assert_eq!(api.next().line, "DELETE /api/v1/rules/api?dry_run=true");
}

#[test]
fn long_lists_come_page_by_page() {
    let page = |names: &[&str], next: Json| {
        let items = names.iter().map(|name| json!({"name": name, "settings": {"name": name, "priority": 5}}));
        (200, json!({"items": items.collect::<Vec<_>>(), "total": 3, "next": next}))
    };
    let api = FakeApi::answering(&[page(&["a", "b"], json!("b")), page(&["c"], Json::Null)]);
    let ended = api.run(&["rule", "list", "--tag", "team=edge shop", "--name", "*"]);
    let lines: Vec<&str> = ended.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!((ended.code, lines), (Some(0), vec!["NAME", "a", "b", "c"]), "{}", ended.stderr);
    assert_eq!(api.next().line, "GET /api/v1/rules?limit=1000&name=%2A&tag=team%3Dedge%20shop");
    assert_eq!(api.next().line, "GET /api/v1/rules?limit=1000&name=%2A&tag=team%3Dedge%20shop&after=b");
}

#[test]
fn rules_are_listed_as_they_are_asked() {
    let rule = |(name, listener, priority): (&str, &str, u32)| json!({"name": name, "settings": {"listener": listener, "priority": priority}});
    let rules = [("a", "web", 100), ("b", "web", 9), ("c", "other", 50)].map(rule);
    let api = FakeApi::answering(&[(200, json!({"items": rules, "next": null}))]);
    let listed = api.run(&["rule", "list"]).stdout;
    let names: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["c", "b", "a"], "{listed}");
    let json: Json = serde_json::from_str(&api.run(&["rule", "list", "--json"]).stdout).expect("it is JSON");
    assert_eq!(json, json!(rules), "as it came");
}

#[test]
fn certificates_are_listed_with_their_names_and_ends() {
    let certificate = |name: &str| json!({"name": name, "settings": {"chain": "a.crt", "key": "a.key"}});
    let items = json!({"items": [certificate("site"), certificate("idle")], "next": null});
    let status = json!({"certificates": [{"name": "site", "names": ["a.example", "b.example"], "not_after": "2030-01-01T00:00:00Z"}]});
    let api = FakeApi::answering(&[(200, items), (200, status)]);
    let listed = api.run(&["cert", "list"]).stdout;
    let rows: Vec<String> =
        listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let site = "site a.crt a.key 2030-01-01T00:00:00Z a.example b.example";
    assert_eq!(rows, ["NAME CHAIN KEY EXPIRES NAMES", site, "idle a.crt a.key - -"], "{listed}");
}
