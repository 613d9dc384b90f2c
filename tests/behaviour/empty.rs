//! Configurations without listeners and groups without backends, which come and go by the management API.

use crate::support::api::{admin_address, call, call_at};
use crate::support::{Backend, Client, Ringway, Scenario, eventually, log_entries};
use serde_json::{Value as Json, json};
use std::net::{SocketAddr, TcpListener, TcpStream};

const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"\n";

/// What answers to a change warn of.
fn warnings(answer: &Json) -> String {
    answer["warnings"].to_string()
}

fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn the_first_and_the_last_listener_come_and_go_by_the_api() {
    let ringway = Ringway::start(&format!("listener = []\nconfig_version = 1\n{ADMIN}"));
    let api = admin_address(&ringway);
    let status = call_at(api, ("GET", "/api/v1/status"), &[], "").json();
    assert_eq!((&status["listeners"], &status["groups"]), (&json!([]), &json!([])), "{status}");
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port is free");

    let group = json!({ "name": "app", "backend": [] }).to_string();
    let told = call(&ringway, "POST", "/api/v1/server-groups", &group);
    assert_eq!(told.status, 201, "{}", told.text);
    assert!(!warnings(&told.json()).contains("no backend"), "{}", told.text);
    let listener = json!({ "name": "web", "address": free.to_string(), "default_group": "app" }).to_string();
    let told = call(&ringway, "POST", "/api/v1/listeners", &listener);
    assert_eq!(told.status, 201, "{}", told.text);
    let answer = Client::connect(free).get("/");
    assert_eq!((answer.status, answer.field("x-router-code")), (503, Some("40000")));

    let backend = Backend::echo_head();
    let own = json!({ "address": backend.address().to_string() }).to_string();
    let told = call(&ringway, "POST", "/api/v1/server-groups/app/backends", &own);
    assert_eq!(told.status, 201, "{}", told.text);
    assert_eq!(Client::connect(free).get("/").status, 200);
    let path = format!("/api/v1/server-groups/app/backends/{}", backend.address());
    let told = call(&ringway, "DELETE", &path, "");
    assert_eq!(told.status, 200, "{}", told.text);
    assert!(
        warnings(&told.json()).contains("\\\"app\\\" has no backend: every request gets 503"),
        "{}",
        told.text
    );
    assert_eq!(Client::connect(free).get("/").field("x-router-code"), Some("40000"));

    assert_eq!(call(&ringway, "DELETE", "/api/v1/listeners/web", "").status, 200);
    eventually("nobody listens there", || !is_open(free));
    assert_eq!(call(&ringway, "POST", "/api/v1/reload", "").status, 200);
    assert_eq!(call(&ringway, "DELETE", "/api/v1/server-groups/app", "").status, 200);
    assert_eq!(call_at(api, ("GET", "/readyz"), &[], "").status, 200);
}

#[test]
fn a_group_without_backends_answers_whatever_its_terms_are() {
    let terms = [
        "algorithm = \"round_robin\"",
        "algorithm = \"weighted_least_connections\"",
        "algorithm = \"power_of_two\"",
        "algorithm = \"consistent_hash\"\nhash_key = { source_ip = true }",
        "algorithm = \"source_ip_hash\"",
        "when_all_down = \"fail\"\nqueue = { size = 5 }",
        "protocol = \"grpc\"",
    ];
    let backend = Backend::echo_head();
    let groups: String = terms
        .iter()
        .enumerate()
        .map(|(index, lines)| {
            format!(
                "[[server_group]]\nname = \"empty{index}\"\nbackend = []\n{lines}\n\
                 [server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\n\
                 [[rule]]\nname = \"r{index}\"\nlistener = \"web\"\npriority = {}\npath = \"/{index}\"\n\
                 group = \"empty{index}\"\n",
                index + 1
            )
        })
        .collect();
    let ringway = Scenario::of(&backend).logged("json").table(ADMIN).table(&groups).start();
    for (index, lines) in terms.iter().enumerate() {
        let answer = Client::connect(ringway.address()).get(&format!("/{index}"));
        assert_eq!((answer.status, answer.field("x-router-code")), (503, Some("40000")), "{lines}");
    }
    for entry in log_entries(&ringway, terms.len()) {
        assert_eq!(entry["reason"], "no_backend", "{entry}");
    }
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    let status = call(&ringway, "GET", "/api/v1/status", "").json();
    let empty =
        status["groups"].as_array().and_then(|all| all.iter().find(|group| group["name"] == "empty0"));
    assert_eq!(empty.map(|group| &group["availability"]), Some(&json!("nobody")), "{status}");
}
