//! `enabled = false`: what stays in the configuration and does nothing.

use crate::admin::{command, scenario, status};
use crate::support::tls::{Issuer, client_config};
use crate::support::{Backend, Client, PATIENCE, Scenario, eventually, log_entries, within};
use serde_json::Value as Json;
use std::sync::Arc;

const OFF: &str = "enabled = false\n";

/// Answers everything with this text.
fn named(text: &'static str) -> Backend {
    Backend::per_request(move |peer, _, _| peer.respond("200 OK", text.as_bytes()))
}

fn listener(lines: &str) -> String {
    format!("[[listener]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\ndefault_group = \"app\"\n{lines}")
}

fn of_name<'j>(status: &'j Json, list: &str, name: &str) -> &'j Json {
    let mut all = status[list].as_array().expect("a list").iter();
    all.find(|entry| entry["name"] == name).expect("it is listed")
}

#[test]
fn a_disabled_listener_is_bound_by_the_reload_that_enables_it() {
    let backend = named("app");
    let of = |lines: &str| scenario(&backend).table(&listener(lines));
    // Both listeners want one address, which a disabled one leaves to the other.
    let ringway = of("").start();
    let taken = ringway.address_of("other");
    let at = |scenario: Scenario| {
        scenario.text().replace("127.0.0.1:0\"\ndefault_group", &format!("{taken}\"\ndefault_group"))
    };
    let mut kept = Client::connect(taken);
    assert_eq!(kept.get("/").text(), "app");
    ringway.reload(&at(of(OFF)));
    eventually("nobody listens there", || std::net::TcpStream::connect(taken).is_err());
    kept.expect_closed();
    let told = status(&ringway);
    let other = of_name(&told, "listeners", "other");
    assert_eq!((&other["disabled"], &other["leaving"]), (&Json::Bool(true), &Json::Bool(false)), "{other}");
    assert_eq!(other["addresses"][0], taken.to_string());
    assert_eq!(of_name(&told, "listeners", "web")["disabled"], false);
    let page = command(&ringway, &["status"]).stdout;
    assert!(page.contains("disabled: it is not bound"), "{page}");
    let tree = command(&ringway, &["status", "--tree"]).stdout;
    assert!(tree.contains("DISABLED") && tree.contains(", disabled"), "{tree}");
    let explained = command(&ringway, &["explain", "GET", "http://a.example/", "--listener", "other"]);
    assert!(explained.stderr.contains("the listener is disabled"), "{}", explained.stderr);
    ringway.reload(&at(of("")));
    eventually("somebody listens again", || std::net::TcpStream::connect(taken).is_ok());
    assert_eq!(Client::connect(taken).get("/").text(), "app");
    assert_eq!(of_name(&status(&ringway), "listeners", "other")["disabled"], false);
}

#[test]
fn a_listener_behind_a_disabled_one_gets_its_own_new_certificate() {
    let issuer = Issuer::new("sites");
    let secured = |name: &str, lines: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\ncertificates = [\"{name}\"]\n\
             default_group = \"app\"\n{lines}"
        )
    };
    let backend = named("app");
    let old = issuer.server(&["b.example"]);
    let mut ringway = scenario(&backend)
        .known_certificate("a", &issuer.server(&["a.example"]))
        .known_certificate("b", &old)
        .table(&secured("a", OFF))
        .table(&secured("b", ""))
        .spawn();
    ringway.wait_for_listeners(2);
    let config = Arc::new(client_config(&[&issuer.pem]));
    let shown = || {
        let client = Client::secured(ringway.address_of("b"), &config, "b.example").expect("it is secured");
        client.wire().session(|session| session.peer_certificates().expect("there is one")[0].to_vec())
    };
    assert_eq!(shown(), old.chain()[0].to_vec());
    let new = issuer.server(&["b.example"]);
    std::fs::write(ringway.folder().join("b.crt"), &new.certificate).expect("it can be written");
    std::fs::write(ringway.folder().join("b.key"), &new.key).expect("it can be written");
    eventually("the new one is shown", || shown() == new.chain()[0].to_vec());
}

#[test]
fn a_disabled_rule_takes_nothing_and_is_explained() {
    let backend = named("app");
    let rule = |name: &str, priority: u32, lines: &str| {
        format!("[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\n{lines}\n")
    };
    let of = |lines: &str| {
        scenario(&backend)
            .table(&rule("fixed", 10, &format!("{lines}path = \"/fixed\"\nrespond = {{ code = 201 }}")))
            .table(&rule("late", 20, "path_prefix = \"/\"\nrespond = { code = 202 }"))
            .table(&rule(
                "cover",
                10,
                &format!("{lines}direction = \"response\"\nstatus = 200\nrespond = {{ code = 503 }}"),
            ))
    };
    let ringway = of(OFF).start();
    let get = |path: &str| Client::connect(ringway.address()).get(path).status;
    assert_eq!((get("/fixed"), get("/")), (202, 202));
    let explain = |path: &str| {
        let answer =
            command(&ringway, &["explain", "GET", &format!("http://a.example{path}"), "--listener", "web"]);
        answer.stdout
    };
    let told = explain("/fixed");
    assert!(
        told.contains("10  fixed  disabled\n") && told.contains("20  late   takes the request"),
        "{told}"
    );
    assert!(explain("/").contains("10  fixed  disabled; no: path"), "{}", explain("/"));
    let disabled = of_name(&status(&ringway), "listeners", "web")["disabled_rules"].clone();
    assert_eq!(disabled, serde_json::json!(["fixed", "cover"]));
    ringway.reload(&of("").text());
    assert_eq!((get("/fixed"), get("/")), (201, 202));
}

#[test]
fn a_disabled_group_has_no_backend_and_a_reason_of_its_own() {
    let backend = named("app");
    let health = "[server_group.health_check]\npath = \"/\"\ninterval = \"1s\"\ntimeout = \"1s\"";
    let of = |lines: &str| scenario(&backend).logged("json").group(lines).group_table(health);
    let ringway = of("enabled = false").start();
    let answer = Client::connect(ringway.address()).get("/");
    assert_eq!((answer.status, answer.field("x-router-code")), (503, Some("40000")));
    let entry = log_entries(&ringway, 1).remove(0);
    assert_eq!((&entry["reason"], &entry["server_group"]), (&"group_disabled".into(), &"app".into()));
    let told = status(&ringway);
    let group = of_name(&told, "groups", "app");
    assert_eq!(
        (&group["availability"], &group["backends"][0]["state"]),
        (&"disabled".into(), &"disabled".into())
    );
    assert_eq!(group["backends"][0]["available"], false);
    let explained = command(&ringway, &["explain", "GET", "http://a.example/", "--listener", "web"]).stdout;
    assert!(explained.contains("the group is disabled"), "{explained}");
    assert_eq!(backend.requests(), 0, "nobody probes");
    ringway.reload(&of("").text());
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    eventually("it is probed", || status(&ringway)["groups"][0]["backends"][0]["state"] == "healthy");
    // What it had is as good as removed.
    ringway.reload(&of("enabled = false").text());
    assert_eq!(Client::connect(ringway.address()).get("/").status, 503);
    let told = status(&ringway);
    assert_eq!(told["leaving"][0]["state"], "draining", "{told}");
}

#[test]
fn a_disabled_backend_is_as_good_as_removed() {
    let (kept, off) = (named("kept"), named("off"));
    let of = |lines: &str| {
        let backend = format!("[[server_group.backend]]\naddress = \"{}\"\n{lines}", off.address());
        Scenario::of(&kept)
            .group_table(&backend)
            .group_table("[server_group.sticky]\nmode = \"insert\"\ncookie = \"S\"")
            .table("[admin]\nsocket = \"admin.sock\"")
    };
    let ringway = of("").start();
    let address = ringway.address();
    let stuck = within(PATIENCE, || {
        let answer = Client::connect(address).get("/");
        let cookie = answer.field("set-cookie")?.split(';').next()?.to_owned();
        (answer.text() == "off").then_some(cookie)
    });
    let stuck = stuck.expect("both get requests");
    ringway.reload(&of(OFF).text());
    assert!((0..4).all(|_| Client::connect(address).get("/").text() == "kept"));
    // Its own clients stay for the time of the drain.
    let mut own = Client::connect(address);
    own.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {stuck}\r\n\r\n"));
    assert_eq!(own.read_response().text(), "off");
    let told = status(&ringway);
    let backends = &told["groups"][0]["backends"];
    let state = |index: usize| (backends[index]["state"].as_str(), backends[index]["drain_reason"].as_str());
    assert_eq!((state(0), state(1)), ((Some("unchecked"), None), (Some("draining"), Some("disabled"))));
    // A process that begins with it knows nothing of a drain.
    let fresh = of(OFF).start();
    let told = status(&fresh);
    let disabled = &told["groups"][0]["backends"][1];
    assert_eq!((&disabled["state"], &disabled["weight"]), (&"disabled".into(), &100.into()), "{told}");
    assert!((0..4).all(|_| Client::connect(fresh.address()).get("/").text() == "kept"));
    fresh.reload(&of("").text());
    let served = || (0..4).any(|_| Client::connect(fresh.address()).get("/").text() == "off");
    eventually("it gets requests", served);
}

#[test]
fn a_process_may_begin_with_nothing_to_serve() {
    let backend = named("app");
    let of = |lines: &str| scenario(&backend).listener(lines);
    let mut ringway = of("enabled = false").spawn();
    ringway.wait_for_line("all listeners are disabled: nothing is served");
    eventually("it answers", || command(&ringway, &["status"]).code == Some(0));
    ringway.reload(&of("").text());
    ringway.wait_for_listeners(1);
    assert_eq!(Client::connect(ringway.address()).get("/").text(), "app");
}
