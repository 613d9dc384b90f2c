//! The management API where something is changed: what becomes of files and of requests, and what is refused.

use crate::support::api::{Told, admin_address, call, call_at, call_over, call_with};
use crate::support::{Backend, Client, Ringway, Scenario};
use serde_json::{Value as Json, json};
use std::thread;

const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"\naudit = \"audit.log\"\n";

const RULE: &str = "# Stays as it is.\n[[rule]]\nname = \"one\" # the first\nlistener = \"web\"\npriority = 10\npath = \"/one\"\n\
    respond = { code = 201 }\n";

fn start(backend: &Backend) -> Ringway {
    Scenario::of(backend).table(&format!("{ADMIN}{RULE}")).start()
}

fn file(ringway: &Ringway, name: &str) -> String {
    std::fs::read_to_string(ringway.folder().join(name)).unwrap_or_default()
}

fn status_of(ringway: &Ringway, path: &str) -> u16 {
    Client::connect(ringway.address()).get(path).status
}

fn rule(name: &str, priority: u32, code: u16) -> String {
    json!({
        "name": name, "listener": "web", "priority": priority, "path": format!("/{name}"), "respond": { "code": code },
    })
    .to_string()
}

#[track_caller]
fn refused(told: &Told, status: u16, words: &str) {
    assert!(told.status == status && told.text.contains(words), "{} {}", told.status, told.text);
}

#[test]
fn objects_are_created_changed_and_deleted_in_service_and_in_the_files() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    assert_eq!(status_of(&ringway, "/two"), 200);
    let told = call(&ringway, "POST", "/api/v1/rules", &rule("two", 20, 202));
    assert_eq!((told.status, told.field("Location")), (201, Some("/api/v1/rules/two")), "{}", told.text);
    assert_eq!(status_of(&ringway, "/two"), 202);
    assert!(file(&ringway, "api.toml").contains("name = \"two\""));

    let told = call(
        &ringway,
        "PATCH",
        "/api/v1/rules/one",
        "{\"respond\": {\"code\": 204}, \"description\": \"x\"}",
    );
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!(told.json()["object"]["settings"]["respond"]["code"], 204);
    assert_eq!(status_of(&ringway, "/one"), 204);
    let text = file(&ringway, "ringway.toml");
    assert!(text.contains("# Stays as it is.") && text.contains("name = \"one\" # the first"), "{text}");
    assert!(told.json()["diff"].as_str().is_some_and(|diff| diff.contains("-respond")), "{}", told.text);
}

#[test]
fn objects_are_replaced_and_deleted_and_reloads_find_what_was_changed() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    call(&ringway, "PATCH", "/api/v1/rules/one", "{\"respond\": {\"code\": 204}}");
    call(&ringway, "POST", "/api/v1/rules", &rule("two", 20, 202));
    let whole = rule("two", 30, 203);
    assert_eq!(call(&ringway, "PUT", "/api/v1/rules/two", &whole).status, 200);
    assert_eq!(status_of(&ringway, "/two"), 203);
    assert_eq!(call(&ringway, "DELETE", "/api/v1/rules/two", "").status, 200);
    assert_eq!(status_of(&ringway, "/two"), 200);
    assert!(!file(&ringway, "api.toml").contains("two"));
    assert_eq!(call(&ringway, "POST", "/api/v1/reload", "").status, 200);
    assert_eq!(status_of(&ringway, "/one"), 204);
}

#[test]
fn backends_and_health_checks_are_changed_one_by_one() {
    let (backend, other) = (Backend::echo_head(), Backend::echo_head());
    let ringway = start(&backend);
    let group = call(&ringway, "GET", "/api/v1/server-groups", "").json()["items"][0]["name"].clone();
    let path = format!("/api/v1/server-groups/{}", group.as_str().unwrap_or_default());
    let added = json!({ "address": other.address().to_string(), "weight": 50 }).to_string();
    let told = call(&ringway, "POST", &format!("{path}/backends"), &added);
    assert_eq!(told.status, 201, "{}", told.text);
    let own = format!("{path}/backends/{}", other.address());
    assert_eq!(told.field("Location"), Some(own.as_str()));
    assert_eq!(call(&ringway, "PATCH", &own, "{\"weight\": 70}").json()["object"]["settings"]["weight"], 70);
    let check = format!("{path}/health-check");
    assert_eq!(call(&ringway, "GET", &check, "").status, 404);
    assert_eq!(call(&ringway, "PUT", &check, "{\"interval\": \"3s\"}").status, 200);
    assert_eq!(call(&ringway, "GET", &check, "").json()["settings"], json!({ "interval": "3s" }));
    assert_eq!(call(&ringway, "DELETE", &check, "").status, 200);
    let first = format!("{path}/backends/{}", backend.address());
    assert_eq!(call(&ringway, "DELETE", &first, "").status, 200);
    assert_eq!((status_of(&ringway, "/"), other.connections() > 0), (200, true));
}

#[test]
fn what_check_refuses_is_refused_with_place_and_cure_and_changes_nothing() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let before = file(&ringway, "ringway.toml");
    let told = call(&ringway, "POST", "/api/v1/rules", &rule("two", 10, 999));
    refused(&told, 422, "`priority` 10 is taken at this listener");
    let problem = told.json();
    let of_code = problem["errors"]
        .as_array()
        .and_then(|errors| errors.iter().find(|one| one["key"] == "respond.code"));
    let of_code = of_code.unwrap_or_else(|| panic!("{problem}"));
    assert_eq!(of_code["object"], "rules/two");
    assert!(of_code["help"].as_str().is_some_and(|help| help.contains("allowed are")), "{problem}");
    assert!(of_code["place"].as_str().is_some_and(|place| place.contains("api.toml:")), "{problem}");
    let no_name = "{\"listener\": \"web\"}";
    refused(&call(&ringway, "POST", "/api/v1/rules", no_name), 422, "`name` is missing");
    refused(&call(&ringway, "POST", "/api/v1/rules", &rule("one", 99, 200)), 409, "exists already");
    refused(&call(&ringway, "PATCH", "/api/v1/rules/none", "{}"), 404, "there is no");
    refused(&call(&ringway, "PATCH", "/api/v1/rules/one", "[]"), 422, "is no object");
    refused(&call(&ringway, "DELETE", "/api/v1/listeners/web", ""), 409, "rules/one");
    let text = [("Content-Type", "text/plain")];
    refused(&call_with(&ringway, ("PATCH", "/api/v1/rules/one"), &text, "{}"), 415, "application/json");
    assert_eq!(file(&ringway, "ringway.toml"), before);
    assert_eq!(file(&ringway, "api.toml"), "");
}

#[test]
fn a_dry_run_tells_what_would_come_of_it_and_changes_nothing() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let before = file(&ringway, "ringway.toml");
    let told = call(&ringway, "PATCH", "/api/v1/rules/one?dry_run=true", "{\"respond\": {\"code\": 204}}");
    let document = told.json();
    assert_eq!(
        (&document["applied"], &document["dry_run"], &document["object"]),
        (&json!(false), &json!(true), &Json::Null)
    );
    assert!(document["diff"].as_str().is_some_and(|diff| diff.contains("+respond")), "{document}");
    assert_eq!((status_of(&ringway, "/one"), file(&ringway, "ringway.toml")), (201, before));
}

#[test]
fn changes_of_a_set_are_made_together_or_not_at_all() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let rule = |name: &str, priority: u32| {
        serde_json::from_str::<Json>(&rule(name, priority, 202)).expect("it is JSON")
    };
    let set = |third: u32| {
        json!({ "changes": [
            { "do": "create", "kind": "rules", "settings": rule("two", 20) },
            { "do": "patch", "kind": "rules", "name": "one", "settings": { "priority": 30 } },
            { "do": "create", "kind": "rules", "settings": rule("three", third) },
        ] })
        .to_string()
    };
    refused(&call(&ringway, "POST", "/api/v1/changes", &set(20)), 422, "is taken at this listener");
    assert_eq!(status_of(&ringway, "/two"), 200);
    let told = call(&ringway, "POST", "/api/v1/changes", &set(10));
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!((status_of(&ringway, "/two"), status_of(&ringway, "/three")), (202, 202));
    let unknown = json!({ "changes": [{ "do": "delete", "kind": "nothing", "name": "x" }] }).to_string();
    refused(&call(&ringway, "POST", "/api/v1/changes", &unknown), 422, "there is no kind");
}

#[test]
fn who_changes_what_somebody_else_has_changed_is_told_so() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let etag =
        call(&ringway, "GET", "/api/v1/rules/one", "").field("ETag").map(str::to_owned).expect("it has one");
    let patch = |etag: &str, code: u16| {
        let content = format!("{{\"respond\": {{\"code\": {code}}}}}");
        call_with(&ringway, ("PATCH", "/api/v1/rules/one"), &[("If-Match", etag)], &content)
    };
    let told = patch(&etag, 204);
    let next = told.field("ETag").map(str::to_owned).expect("it has another one");
    assert!(told.status == 200 && next != etag);
    refused(&patch(&etag, 205), 412, "is not as it was");
    assert_eq!(patch(&next, 206).status, 200);
    // A file that somebody edits is not overwritten.
    let text = file(&ringway, "ringway.toml") + "# by hand\n";
    std::fs::write(ringway.folder().join("ringway.toml"), &text).expect("it can be written");
    refused(&call(&ringway, "PATCH", "/api/v1/rules/one", "{\"priority\": 11}"), 409, "ringway.toml");
    assert_eq!(file(&ringway, "ringway.toml"), text);
    assert_eq!(call(&ringway, "POST", "/api/v1/reload", "").status, 200);
    assert_eq!(call(&ringway, "PATCH", "/api/v1/rules/one", "{\"priority\": 11}").status, 200);
}

#[test]
fn a_call_that_is_made_again_with_its_key_changes_nothing_more() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let create = |key: &str, name: &str| {
        call_with(&ringway, ("POST", "/api/v1/rules"), &[("Idempotency-Key", key)], &rule(name, 20, 202))
    };
    let (first, again) = (create("k1", "two"), create("k1", "two"));
    assert_eq!((first.status, again.status, &again.text), (201, 201, &first.text));
    refused(&create("k1", "three"), 422, "was used for another call");
    refused(&create("k2", "two"), 409, "exists already");
}

#[test]
fn conditions_that_nobody_looks_at_are_refused() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let with = |method: &str, path: &str, field: &str, content: &str| {
        call_with(&ringway, (method, path), &[(field, "\"bogus\"")], content)
    };
    refused(
        &with("POST", "/api/v1/changes", "If-Match", "{\"changes\": []}"),
        400,
        "If-Match is not taken here",
    );
    refused(&with("PATCH", "/api/v1/rules/one", "If-None-Match", "{}"), 400, "with GET only");
    refused(
        &with("POST", "/api/v1/rules/one/move", "If-Match", "{\"priority\": 7}"),
        412,
        "is not as it was",
    );
    let many = "dry_run=false&".repeat(40);
    let told = call(&ringway, "PATCH", &format!("/api/v1/rules/one?{many}dry_run=true"), "{\"priority\": 7}");
    assert_eq!(told.json()["applied"], false);
    refused(
        &call(&ringway, "PATCH", &format!("/api/v1/rules/one?{many}x=1"), "{}"),
        400,
        "is not known here",
    );
}

#[test]
fn what_is_protected_is_changed_only_by_force() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let path = "/api/v1/listeners/web";
    let protect = "{\"deletion_protection\": true, \"modification_protection\": \"frozen\"}";
    assert_eq!(call(&ringway, "PATCH", path, protect).status, 200);
    refused(&call(&ringway, "PATCH", path, "{\"description\": \"x\"}"), 409, "frozen");
    assert_eq!(
        call(&ringway, "PATCH", &format!("{path}?force=true"), "{\"description\": \"x\"}").status,
        200
    );
}

#[test]
fn rules_are_moved_and_listeners_copied() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    call(&ringway, "POST", "/api/v1/rules", &rule("two", 11, 202));
    let told = call(&ringway, "POST", "/api/v1/rules/two/move", "{\"before\": \"one\"}");
    assert_eq!(told.json()["object"]["settings"]["priority"], 5, "{}", told.text);
    for (content, words) in
        [("{\"after\": \"three\"}", "there is no rule"), ("{\"before\": \"two\"}", "before or after itself")]
    {
        refused(&call(&ringway, "POST", "/api/v1/rules/two/move", content), 422, words);
    }
    let copy = "{\"name\": \"second\", \"address\": \"127.0.0.1:0\"}";
    let told = call(&ringway, "POST", "/api/v1/listeners/web/copy", copy);
    assert_eq!(told.status, 201, "{}", told.text);
    let listeners = call(&ringway, "GET", "/api/v1/status", "").json()["listeners"].clone();
    assert_eq!(listeners.as_array().map(Vec::len), Some(2));
}

#[test]
fn each_change_is_written_down_and_what_cannot_be_is_not_made() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let address = admin_address(&ringway);
    // Whoever is not known would fill it.
    assert_eq!(call_at(address, ("DELETE", "/api/v1/rules/one"), &[], "").status, 403);
    let told = call(&ringway, "PATCH", "/api/v1/rules/one", "{\"description\": \"a secret\"}");
    call(&ringway, "PATCH", "/api/v1/rules/one?dry_run=true", "{\"priority\": 0}");
    let text = file(&ringway, "audit.log");
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_u64().unwrap_or_default()).collect();
    assert_eq!(statuses, [200, 422]);
    assert_eq!((&lines[0]["source"], &lines[0]["role"]), (&json!("unix"), &json!("write")));
    assert_eq!((&lines[0]["object"], lines[0]["after"].as_str()), (&json!("rules/one"), told.field("ETag")));
    assert_eq!((&lines[1]["dry_run"], &lines[1]["after"]), (&json!(true), &Json::Null));
    assert_eq!(lines[0]["request_id"].as_str(), told.field("X-Request-ID"));
    assert!(!text.contains("secret"));
    let items = call(&ringway, "GET", "/api/v1/audit?limit=1", "").json()["items"].clone();
    assert_eq!(items, json!([lines[1]]));
    std::fs::remove_file(ringway.folder().join("audit.log")).expect("it is there");
    std::fs::create_dir(ringway.folder().join("audit.log")).expect("it can be made");
    refused(&call(&ringway, "DELETE", "/api/v1/rules/one", ""), 409, "cannot be written down");
    assert_eq!(status_of(&ringway, "/one"), 201);
}

#[test]
fn two_who_change_at_once_both_have_their_way_and_requests_go_on() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let socket = ringway.folder().join("admin.sock");
    let writer = |who: u16| {
        for round in 0..15 {
            let wanted = rule(&format!("r{who}-{round}"), 100 + u32::from(who * 100 + round), 200 + round);
            let told = call_over(&socket, ("POST", "/api/v1/rules"), &[], &wanted);
            assert_eq!(told.status, 201, "{}", told.text);
        }
    };
    let writer = &writer;
    thread::scope(|scope| {
        let writer = &writer;
        let writers: Vec<_> = (0..2).map(|who| scope.spawn(move || writer(who))).collect();
        let mut client = Client::connect(ringway.address());
        while writers.iter().any(|writer| !writer.is_finished()) {
            assert_eq!(client.get("/one").status, 201);
        }
    });
    assert_eq!(call(&ringway, "GET", "/api/v1/rules", "").json()["total"], 31);
    assert_eq!((status_of(&ringway, "/r0-14"), status_of(&ringway, "/r1-3")), (214, 203));
}

#[test]
fn backends_are_weighed_and_drained_for_a_while() {
    let (backend, other) = (Backend::echo_head(), Backend::echo_head());
    let ringway = Scenario::of(&backend).backend(other.address()).table(ADMIN).start();
    let group = call(&ringway, "GET", "/api/v1/server-groups", "").json()["items"][0]["name"].clone();
    let path =
        format!("/api/v1/server-groups/{}/backends/{}", group.as_str().unwrap_or_default(), other.address());
    let told = call(&ringway, "POST", &format!("{path}/drain"), "{\"drain\": true}");
    assert_eq!((told.status, &told.json()["weight"]), (200, &json!(0)), "{}", told.text);
    let mut client = Client::connect(ringway.address());
    for _ in 0..8 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(other.connections(), 0);
    let weigh = |content: &str| call(&ringway, "POST", &format!("{path}/weight"), content);
    assert_eq!(call(&ringway, "POST", &format!("{path}/drain"), "{\"drain\": false}").status, 200);
    assert_eq!(weigh("{\"weight\": 7}").json()["runtime_weight"], 7);
    refused(&weigh("{\"weight\": 700}"), 422, "0 to 100");
    assert_eq!(weigh("{\"weight\": null}").json()["runtime_weight"], Json::Null);
    refused(&call(&ringway, "POST", &format!("{path}9/weight"), "{\"weight\": 7}"), 404, "backend");
    let lines = file(&ringway, "audit.log");
    assert!(lines.lines().count() == 6 && lines.contains("/drain\""), "{lines}");
}

#[test]
fn a_creation_has_one_name_and_a_rename_is_written_down_with_both() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let settings: Json = serde_json::from_str(&rule("two", 20, 202)).expect("it is JSON");
    let creation = json!({ "do": "create", "kind": "rules", "name": "three", "settings": settings });
    let set = json!({ "changes": [creation] }).to_string();
    refused(&call(&ringway, "POST", "/api/v1/changes", &set), 422, "three");
    assert_eq!(file(&ringway, "api.toml"), "");
    assert_eq!(call(&ringway, "PATCH", "/api/v1/rules/one", "{\"name\": \"uno\"}").status, 200);
    let text = file(&ringway, "audit.log");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("rules/one") && last.contains("rules/uno"), "{text}");
}

#[test]
fn commands_over_the_socket_are_written_down_too() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    for command in [
        "status\n",
        "maintenance {\"name\": \"one\", \"kind\": \"rule\", \"on\": true}\n",
        "reload\n",
        "maintenance {}\n",
    ] {
        crate::admin::raw(&ringway, command.as_bytes());
    }
    let text = file(&ringway, "audit.log");
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let told: Vec<_> = lines.iter().map(|line| (line["path"].as_str(), line["status"].as_u64())).collect();
    let expected = [("maintenance", 200), ("reload", 200), ("maintenance", 409)];
    assert_eq!(told, expected.map(|(word, status)| (Some(word), Some(status))));
    assert_eq!(lines[0]["object"], "rules/one");
    std::fs::remove_file(ringway.folder().join("audit.log")).expect("it is there");
    std::fs::create_dir(ringway.folder().join("audit.log")).expect("it can be made");
    assert!(crate::admin::raw(&ringway, b"reload\n").contains("cannot be written down"));
}
