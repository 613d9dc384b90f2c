//! The management API where nothing is changed: what is given out, and to whom.

use crate::support::api::{Told, admin_address, call, call_at, call_with, exchange, request};
use crate::support::tls::{Issuer, session, versioned_config};
use crate::support::{Backend, Ringway, Scenario, eventually, over_tls};
use serde_json::{Value as Json, json};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;

const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"\n";

const RULES: &str = "[[rule]]\nname = \"one\"\nlistener = \"web\"\npriority = 1\npath = \"/one\"\ntags = { team = \"edge\" }\n\
    respond = { code = 201 }\n[[rule]]\nname = \"two\"\nlistener = \"web\"\npriority = 2\npath = \"/two\"\n\
    respond = { code = 202 }\n[[rule]]\nname = \"three\"\nlistener = \"web\"\npriority = 3\npath = \"/three\"\n\
    tags = { team = \"shop\" }\nrespond = { code = 203 }\n";

fn start(backend: &Backend) -> Ringway {
    Scenario::of(backend).table(&format!("{ADMIN}{RULES}")).start()
}

fn names(told: &Told) -> Vec<String> {
    let document = told.json();
    let items = document["items"].as_array().expect("it is a list");
    items.iter().map(|item| item["name"].as_str().expect("it has a name").to_owned()).collect()
}

#[test]
fn objects_are_given_out_as_they_are_written() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let told = call(&ringway, "GET", "/api/v1/rules/one", "");
    assert_eq!(told.status, 200, "{}", told.text);
    let rule = told.json();
    let expected = json!({
        "name": "one", "listener": "web", "priority": 1, "path": "/one", "tags": { "team": "edge" },
        "respond": { "code": 201 },
    });
    assert_eq!(rule["settings"], expected);
    assert_eq!(rule["kind"], "rules");
    let place = rule["place"].as_str().unwrap_or_default();
    let (file, line) = place.rsplit_once(':').expect("a place has a line");
    let text = std::fs::read_to_string(file).expect("it is the file");
    let line: usize = line.parse().expect("it is a number");
    assert_eq!(text.lines().nth(line - 1), Some("[[rule]]"));

    let group = call(&ringway, "GET", "/api/v1/server-groups", "").json()["items"][0].clone();
    let path = format!("/api/v1/server-groups/{}/backends", group["name"].as_str().unwrap_or_default());
    let told = call(&ringway, "GET", &path, "");
    assert_eq!(names(&told), [backend.address().to_string()]);
    let told = call(&ringway, "GET", &format!("{path}/{}", backend.address()), "");
    assert_eq!(told.json()["settings"]["address"], backend.address().to_string());
    let told = call(&ringway, "GET", "/api/v1/status", "");
    assert_eq!(told.json()["pid"], ringway.id());
    let told = call(&ringway, "GET", "/api/v1/openapi.json", "");
    assert_eq!(told.json()["openapi"], "3.1.0");
}

#[test]
fn lists_have_filters_and_pages() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let list = |query: &str| call(&ringway, "GET", &format!("/api/v1/rules{query}"), "");
    assert_eq!(names(&list("")), ["one", "two", "three"]);
    assert_eq!(names(&list("?name=t*")), ["two", "three"]);
    assert_eq!(names(&list("?tag=team")), ["one", "three"]);
    assert_eq!(names(&list("?tag=team%3Dshop")), ["three"]);
    let first = list("?limit=2");
    assert_eq!(names(&first), ["one", "two"]);
    assert_eq!((&first.json()["next"], &first.json()["total"]), (&json!("two"), &json!(3)));
    let rest = list("?limit=2&after=two");
    assert_eq!((names(&rest), &rest.json()["next"]), (vec!["three".to_owned()], &Json::Null));
    for (query, words) in [
        ("?limit=0", "`limit` is no number of objects"),
        ("?limit=x", "`limit` is no number of objects"),
        ("?after=four", "`after` names"),
        ("?nme=one", "the parameter `nme` is not known here"),
    ] {
        let told = list(query);
        assert_eq!(told.status, 400);
        assert!(told.text.contains(words), "{}", told.text);
    }
}

#[test]
fn what_a_client_knows_is_not_sent_again() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let told = call(&ringway, "GET", "/api/v1/rules/one", "");
    let etag = told.field("ETag").expect("it has one").to_owned();
    assert_eq!(told.json()["etag"], etag.as_str());
    let ask =
        |known: &str| call_with(&ringway, ("GET", "/api/v1/rules/one"), &[("If-None-Match", known)], "");
    let again = ask(&format!("\"other\", W/{etag}"));
    assert_eq!((again.status, again.text.as_str(), again.field("Content-Length")), (304, "", None));
    assert_eq!(ask("\"other\"").status, 200);
}

#[test]
fn what_is_not_there_is_a_problem_with_a_cure() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    for (method, path, status) in [
        ("GET", "/api/v1/rules/four", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/server-groups/none/backends", 404),
        ("DELETE", "/api/v1/status", 405),
        ("BREW", "/api/v1/rules", 405),
        ("POST", "/api/v1/explain", 415),
    ] {
        let told = call(&ringway, method, path, "");
        assert_eq!(told.status, status, "{}", told.text);
        assert_eq!(told.field("Content-Type"), Some("application/problem+json"));
        let problem = told.json();
        assert_eq!((&problem["status"], &problem["type"]), (&json!(status), &json!("about:blank")));
        assert!(problem["help"].as_str().is_some_and(|help| !help.is_empty()), "{problem}");
        assert_eq!(problem["request_id"].as_str(), told.field("X-Request-ID"));
        assert_eq!(told.field("Allow").is_some(), status == 405);
    }
    let big = "x".repeat((1 << 20) + 1);
    assert_eq!(call(&ringway, "POST", "/api/v1/explain", &big).status, 413);
    assert_eq!(call(&ringway, "POST", "/api/v1/explain", "{").status, 400);
    assert_eq!(call(&ringway, "POST", "/api/v1/explain", "{\"path\": 1}").status, 422);
    let scheme = if over_tls() { "https" } else { "http" };
    let question = format!("{{\"url\": \"{scheme}://a.example/two\"}}");
    let told = call(&ringway, "POST", "/api/v1/explain", &question);
    assert_eq!(told.json()["rule"], "two");
}

/// A token and the line of it.
fn token(role: &str, name: &str) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway")).args(["token", "--role", role, name]).output();
    let output = output.expect("it runs");
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).expect("it is text");
    let token = said.lines().next().and_then(|line| line.rsplit(' ').next()).expect("the token is told");
    (token.to_owned(), String::from_utf8(output.stdout).expect("it is text"))
}

fn role_at(address: SocketAddr, token: Option<&str>) -> Result<String, u16> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let fields: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
    let told = call_at(address, ("GET", "/api/v1/whoami"), &fields, "");
    match told.status {
        200 => Ok(told.json()["role"].as_str().unwrap_or_default().to_owned()),
        status => Err(status),
    }
}

#[test]
fn a_token_says_who_asks_and_what_is_allowed() {
    let backend = Backend::echo_head();
    let (writing, line) = token("write", "ci");
    let (operating, other) = token("operate", "duty");
    let ringway = Scenario::of(&backend)
        .table(&format!("{ADMIN}tokens_file = \"admin.tokens\""))
        .file("admin.tokens", &format!("# Who may\n{line}{other}"))
        .start();
    let address = admin_address(&ringway);
    assert_eq!(role_at(address, None), Ok("read".to_owned()));
    assert_eq!(role_at(address, Some(&writing)), Ok("write".to_owned()));
    assert_eq!(role_at(address, Some(&operating)), Ok("operate".to_owned()));
    assert_eq!(role_at(address, Some("rw_0000")), Err(401));
    let order = "{\"name\": \"none\", \"on\": true}";
    let maintain =
        |fields: &[(&str, &str)]| call_at(address, ("POST", "/api/v1/maintenance"), fields, order).status;
    assert_eq!(maintain(&[]), 403);
    assert_eq!(maintain(&[("Authorization", &format!("bearer {operating}"))]), 404);
    let reload = |token: &str| {
        call_at(address, ("POST", "/api/v1/reload"), &[("Authorization", &format!("Bearer {token}"))], "")
            .status
    };
    assert_eq!((reload(&operating), reload(&writing)), (403, 200));
    // A token that is taken away is known no more, without a reload.
    std::fs::write(ringway.folder().join("admin.tokens"), other).expect("it can be written");
    eventually("the token is forgotten", || role_at(address, Some(&writing)) == Err(401));
    assert_eq!(role_at(address, Some(&operating)), Ok("operate".to_owned()));
    assert!(!ringway.stderr().contains(&writing));
}

#[test]
fn pages_of_other_origins_and_unknown_hosts_are_turned_away() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let address = admin_address(&ringway);
    let ask = |fields: &[(&str, &str)]| call_at(address, ("GET", "/api/v1/rules"), fields, "").status;
    assert_eq!(ask(&[("Origin", &format!("http://{address}"))]), 200);
    assert_eq!(ask(&[("Origin", "https://evil.example")]), 403);
    assert_eq!(ask(&[("Origin", "null")]), 403);
    assert_eq!(ask(&[("Origin", "http://127.0.0.1:1")]), 403);
    assert_eq!(ask(&[("Content-Length", "0")]), 200);
    let mut stream = TcpStream::connect(address).expect("it listens");
    let told = exchange(&mut stream, &request(("GET", "/api/v1/rules"), "rebound.example", &[], ""));
    assert_eq!(told.status, 421);
}

#[test]
fn a_secured_address_lets_in_who_has_a_certificate() {
    let backend = Backend::echo_head();
    let (sites, operators) = (Issuer::new("sites"), Issuer::new("operators"));
    let site = sites.server(&["admin.example"]);
    let tls = "[admin.tls]\ncertificate = \"admin\"\nclient_ca = \"ops\"\nclient_role = \"operate\"";
    let ringway = Scenario::of(&backend)
        .table(&format!("{ADMIN}hosts = [\"admin.example\"]\n{tls}"))
        .known_certificate("admin", &site)
        .authority("ops", &operators.pem, None)
        .start();
    let address = admin_address(&ringway);
    let ask = |client: Option<&crate::support::tls::Pair>| {
        let config = versioned_config(&[&sites.pem], rustls::DEFAULT_VERSIONS, client);
        let connection = session(&Arc::new(config), "admin.example");
        let stream = TcpStream::connect(address).expect("it listens");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let text = request(("GET", "/api/v1/whoami"), "admin.example", &[], "");
        std::io::Write::write_all(&mut stream, text.as_bytes())?;
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).map(|_| answer)
    };
    let answer = ask(Some(&operators.client("ada"))).expect("it is let in");
    assert!(answer.contains("\"actor\":\"CN=ada\"") && answer.contains("\"role\":\"operate\""), "{answer}");
    assert!(ask(None).is_err() && ask(Some(&sites.client("eve"))).is_err());
}

#[test]
fn an_open_connection_is_not_served_on_what_held_before() {
    let backend = Backend::echo_head();
    let operators = Issuer::new("operators");
    let site = operators.server(&["admin.example"]);
    let table = |role: &str| {
        let tls =
            format!("[admin.tls]\ncertificate = \"admin\"\nclient_ca = \"ops\"\nclient_role = \"{role}\"");
        format!("{ADMIN}hosts = [\"admin.example\"]\n{tls}")
    };
    let scenario = |role: &str| {
        Scenario::of(&backend).table(&table(role)).known_certificate("admin", &site).authority(
            "ops",
            &operators.pem,
            None,
        )
    };
    let ringway = scenario("write").start();
    let config =
        versioned_config(&[&operators.pem], rustls::DEFAULT_VERSIONS, Some(&operators.client("ada")));
    let connection = session(&Arc::new(config), "admin.example");
    let stream = TcpStream::connect(admin_address(&ringway)).expect("it listens");
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let ask = "GET /api/v1/whoami HTTP/1.1\r\nHost: admin.example\r\n\r\n";
    std::io::Write::write_all(&mut stream, ask.as_bytes()).expect("it is taken");
    let mut piece = [0; 4096];
    let count = std::io::Read::read(&mut stream, &mut piece).expect("it answers");
    assert!(piece[..count].starts_with(b"HTTP/1.1 200 "));
    let changed = std::fs::read_to_string(ringway.folder().join("ringway.toml")).expect("it is there");
    let changed = changed.replace("client_role = \"write\"", "client_role = \"read\"");
    std::fs::write(ringway.folder().join("ringway.toml"), changed).expect("it can be written");
    assert_eq!(call(&ringway, "POST", "/api/v1/reload", "").status, 200);
    let told = exchange(&mut stream, ask);
    assert_eq!(told.status, 421, "{}", told.text);
}
