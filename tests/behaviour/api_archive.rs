//! Exporting all objects, and importing them here or elsewhere.

use crate::support::api::{Told, admin_address, call, call_at};
use crate::support::tls::{Issuer, own_pair};
use crate::support::{Backend, Ringway, Scenario};
use serde_json::{Value as Json, json};

const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"\n";

const MORE: &str = "[[rule]]\nname = \"one\"\nlistener = \"web\"\npriority = 1\npath = \"/one\"\nrespond = { code = 201 }\n\
    [[error_page]]\nstatus = 503\nfile = \"503.html\"\n";

fn start(backend: &Backend) -> Ringway {
    Scenario::of(backend)
        .known_certificate("site", own_pair())
        .authority("clients", &Issuer::new("clients").pem, None)
        .table(&format!("{ADMIN}{MORE}"))
        .file("503.html", "<p>Later.\n")
        .start()
}

fn import(ringway: &Ringway, query: &str, archive: &Json) -> Told {
    call(ringway, "POST", &format!("/api/v1/import{query}"), &archive.to_string())
}

#[test]
fn what_is_exported_changes_nothing_where_it_comes_from() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let archive = call(&ringway, "GET", "/api/v1/export?keys=true", "").json();
    let certificates = archive["objects"]["certificates"].as_array().cloned().unwrap_or_default();
    assert!(
        certificates.iter().any(|one| one["name"] == "site" && one["chain_pem"] == own_pair().certificate)
    );
    assert_eq!(archive["objects"]["error-pages"][0]["content"], "<p>Later.\n");
    let told = import(&ringway, "?prune=true", &archive);
    assert_eq!(
        (told.status, &told.json()["applied"], &told.json()["diff"]),
        (200, &json!(false), &json!("")),
        "{}",
        told.text
    );
}

#[test]
fn keys_leave_only_with_who_may_write_and_wants_them() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let told = call(&ringway, "GET", "/api/v1/export", "");
    assert!(told.status == 200 && !told.text.contains("PRIVATE KEY"));
    // Without it, the one that is there stays.
    assert_eq!(import(&ringway, "", &told.json()).json()["diff"], "");
    let told = call_at(admin_address(&ringway), ("GET", "/api/v1/export?keys=true"), &[], "");
    assert_eq!(told.status, 403);
}

#[test]
fn an_archive_makes_the_same_of_another_process() {
    let backend = Backend::echo_head();
    let (from, to) = (start(&backend), Scenario::of(&backend).table(ADMIN).start());
    let mut archive = call(&from, "GET", "/api/v1/export?keys=true", "").json();
    archive["objects"]["listeners"] =
        call(&to, "GET", "/api/v1/export", "").json()["objects"]["listeners"].clone();
    let told = import(&to, "?dry_run=true", &archive);
    assert!(
        told.json()["diff"].as_str().is_some_and(|diff| diff.contains("+name = \"one\"")),
        "{}",
        told.text
    );
    let told = import(&to, "", &archive);
    assert_eq!((told.status, &told.json()["applied"]), (200, &json!(true)), "{}", told.text);
    let key = call(&to, "GET", "/api/v1/certificates/site", "").json()["settings"]["key"].clone();
    let key = to.folder().join(key.as_str().unwrap_or_default());
    assert_eq!(std::fs::read_to_string(key).expect("it is there"), own_pair().key);
    let exported = call(&to, "GET", "/api/v1/export?keys=true", "").json();
    assert_eq!(exported["objects"]["rules"], archive["objects"]["rules"]);
    let site = |archive: &Json| {
        let all = archive["objects"]["certificates"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|certificate| certificate["name"] == "site")
    };
    assert!(site(&archive).is_some());
    assert_eq!(site(&exported), site(&archive));

    // Kinds that a document does not have stay as they are.
    let archive = json!({ "format": 1, "objects": { "rules": [] } });
    assert_eq!(import(&to, "", &archive).json()["applied"], false);
    assert_eq!(import(&to, "?prune=true", &archive).status, 200);
    assert_eq!(call(&to, "GET", "/api/v1/rules", "").json()["total"], 0);
}

#[test]
fn what_is_no_archive_is_refused() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    for (archive, words) in [
        (json!({ "format": 2, "objects": {} }), "the format 2 is not known"),
        (json!({ "objects": {} }), "missing field"),
        (json!({ "format": 1, "objects": { "nothing": [] } }), "there is no kind"),
        (
            json!({ "format": 1, "objects": { "rules": [{ "priority": 1 }] } }),
            "no list of objects with names",
        ),
        (
            json!({ "format": 1, "objects": { "certificates": [{ "name": "x", "chain_pem": "" }] } }),
            "has no key",
        ),
    ] {
        let told = import(&ringway, "", &archive);
        assert!(told.status == 422 && told.text.contains(words), "{}", told.text);
    }
}
