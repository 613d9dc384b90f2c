//! Weights and drains of backends by command.

use crate::admin::{Ended, command, raw, scenario, status};
use crate::hand_over::upgraded;
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, eventually, within};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Answers everything with this text.
fn named(text: &'static str) -> Backend {
    Backend::per_request(move |peer, _, _| peer.respond("200 OK", text.as_bytes()))
}

/// Two backends, of which the second is the one that is changed.
fn of(one: &Backend, two: &Backend) -> Scenario {
    scenario(one).backend(two.address())
}

/// Who answers a few requests, one after the other.
fn answering(ringway: &Ringway) -> BTreeSet<String> {
    let mut client = Client::connect(ringway.address());
    (0..8).map(|_| client.get("/").text()).collect()
}

fn only(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The command for a backend of the group `app`.
fn told(ringway: &Ringway, verb: &str, backend: &Backend, value: &str) -> Ended {
    let address = format!("app/{}", backend.address());
    command(ringway, &["backend", verb, &address, value])
}

fn done(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout.trim_end()
}

fn backend_status(ringway: &Ringway, backend: &Backend) -> Json {
    let told = status(ringway);
    let mut all = told["groups"][0]["backends"].as_array().expect("a list").iter();
    let address = backend.address().to_string();
    all.find(|entry| entry["address"] == *address).expect("it is listed").clone()
}

#[test]
fn a_weight_by_command_counts_until_it_is_taken_back() {
    let (one, two) = (named("one"), named("two"));
    let ringway = of(&one, &two).start();
    assert_eq!(answering(&ringway), only(&["one", "two"]));
    let address = two.address();
    let said = told(&ringway, "weight", &two, "0");
    assert_eq!(done(&said), format!("backend {address} of group \"app\" has weight 0"));
    ringway.wait_for_line(&format!("backend {address} of group \"app\" has weight 0, by command"));
    assert_eq!(answering(&ringway), only(&["one"]));
    let entry = backend_status(&ringway, &two);
    assert_eq!((&entry["state"], &entry["drain_reason"]), (&"draining".into(), &"command".into()));
    let told_of = ["weight", "drain", "configured_weight"].map(|key| entry["runtime"][key].clone());
    assert_eq!(Json::from(&told_of[..]), json!([0, false, 100]), "{entry}");
    assert!(backend_status(&ringway, &one).get("runtime").is_none());
    let page = command(&ringway, &["status"]).stdout;
    assert!(page.contains("weight 0 by command, 100 as configured"), "{page}");
}

#[test]
fn a_weight_by_command_is_taken_back_by_command() {
    let (one, two) = (named("one"), named("two"));
    let ringway = of(&one, &two).start();
    done(&told(&ringway, "weight", &two, "0"));
    let again = told(&ringway, "weight", &two, "0");
    assert!(done(&again).ends_with(" has weight 0 already"), "{}", again.stdout);
    told(&ringway, "weight", &two, "50");
    assert_eq!(backend_status(&ringway, &two)["weight"], 50);
    assert_eq!(answering(&ringway).len(), 2);
    let back = told(&ringway, "weight", &two, "configured");
    assert!(done(&back).ends_with(" has weight 100, as configured"), "{}", back.stdout);
    let entry = backend_status(&ringway, &two);
    assert_eq!((&entry["weight"], entry.get("runtime")), (&100.into(), None));
    assert_eq!(answering(&ringway), only(&["one", "two"]));
    let events = command(&ringway, &["events", "--json"]).stdout;
    let kinds = events.matches("\"weight_changed\"").count();
    assert_eq!(kinds, 3, "{events}");
}

#[test]
fn a_drained_backend_keeps_its_clients_and_what_it_has_begun() {
    let one = named("one");
    let may_end = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&may_end);
    let two = Backend::per_request(move |peer, head, _| {
        if !head.start_line.contains(" /slow ") {
            return peer.respond("200 OK", b"two");
        }
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsl")?;
        within(PATIENCE, || ends.load(Ordering::SeqCst).then_some(()));
        peer.write(b"ow")
    });
    let sticky = "[server_group.sticky]\nmode = \"insert\"\ncookie = \"S\"";
    let ringway = of(&one, &two).group_table(sticky).start();
    let address = ringway.address();
    let stuck = within(PATIENCE, || {
        let answer = Client::connect(address).get("/");
        let cookie = answer.field("set-cookie")?.split(';').next()?.to_owned();
        (answer.text() == "two").then_some(cookie)
    });
    let stuck = stuck.expect("both get requests");
    let ask = |client: &mut Client, path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {stuck}\r\n\r\n"));
    };
    let mut begun = Client::connect(address);
    ask(&mut begun, "/slow");
    eventually("the backend has it", || backend_status(&ringway, &two)["in_flight"] == 1);
    let said = told(&ringway, "drain", &two, "on");
    assert_eq!(done(&said), format!("backend {} of group \"app\" is drained", two.address()));
    assert_eq!(answering(&ringway), only(&["one"]));
    let entry = backend_status(&ringway, &two);
    assert_eq!(
        (&entry["state"], &entry["drain_reason"], &entry["runtime"]["drain"], &entry["weight"]),
        (&"draining".into(), &"command".into(), &true.into(), &0.into())
    );
    let mut own = Client::connect(address);
    ask(&mut own, "/");
    assert_eq!(own.read_response().text(), "two");
    may_end.store(true, Ordering::SeqCst);
    assert_eq!(begun.read_response().text(), "slow");
    let page = command(&ringway, &["status"]).stdout;
    assert!(page.contains("drained by command"), "{page}");
    let has_event = |kind: &str| {
        let told = || command(&ringway, &["events", "--json"]).stdout.contains(&format!("\"{kind}\""));
        eventually(kind, told);
    };
    has_event("drain_on");
    has_event("backend_draining");
    let back = told(&ringway, "drain", &two, "off");
    assert!(done(&back).ends_with(" is not drained any more"), "{}", back.stdout);
    assert_eq!(answering(&ringway), only(&["one", "two"]));
    has_event("drain_off");
    ringway.wait_for_line("is drained, by command");
}

#[test]
fn what_was_said_by_command_outlives_reloads_and_upgrades() {
    let (one, two) = (named("one"), named("two"));
    let before = of(&one, &two);
    let ringway = before.start();
    done(&told(&ringway, "weight", &two, "0"));
    done(&told(&ringway, "drain", &one, "on"));
    done(&told(&ringway, "drain", &one, "off"));
    // Another configuration, which says nothing of it.
    ringway.replace_configuration(&before.clone().group("max_retries = 2").text());
    assert_eq!(command(&ringway, &["reload"]).code, Some(0));
    assert_eq!(
        (answering(&ringway), backend_status(&ringway, &two)["weight"].clone()),
        (only(&["one"]), 0.into())
    );
    upgraded(&ringway);
    let entry = backend_status(&ringway, &two);
    assert_eq!((&entry["runtime"]["weight"], &entry["state"]), (&0.into(), &"draining".into()));
    assert_eq!(answering(&ringway), only(&["one"]));
    // What the configuration says anew counts.
    ringway.replace_configuration(&scenario(&one).backend_at(&two.address().to_string(), 90).text());
    assert_eq!(command(&ringway, &["reload"]).code, Some(0));
    let entry = backend_status(&ringway, &two);
    assert_eq!((&entry["weight"], entry.get("runtime")), (&90.into(), None));
    assert_eq!(answering(&ringway), only(&["one", "two"]));
    let events = command(&ringway, &["events"]).stdout;
    assert!(events.contains("has weight 90, by configuration: what was said by command is over"), "{events}");
}

#[test]
fn what_cannot_be_said_is_refused() {
    let (one, two) = (named("one"), named("two"));
    let off = format!("[[server_group.backend]]\naddress = \"{}\"\nenabled = false", two.address());
    let ringway = scenario(&one).group_table(&off).start();
    let address = one.address().to_string();
    let refused = |arguments: &[&str], said: &str| {
        let ended = command(&ringway, &[&["backend"], arguments].concat());
        assert_ne!(ended.code, Some(0), "{arguments:?}: {}", ended.stdout);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    };
    let of_app = |address: &str| format!("app/{address}");
    refused(&["weight", &of_app(&address), "101"], "101");
    refused(&["weight", &of_app("127.0.0.1:1"), "1"], "names no backend \"127.0.0.1:1\"; it names: ");
    refused(&["drain", "none/127.0.0.1:1", "on"], "there is no server group \"none\"; there are: app");
    refused(&["drain", &address, "on"], "GROUP/ADDRESS");
    refused(
        &["drain", &of_app(&two.address().to_string()), "on"],
        "the backend is disabled by the configuration",
    );
    for (line, said) in [
        ("backend\n", "this does not say what becomes of which backend"),
        ("backend {\"group\": \"app\", \"address\": \"a:1\"}\n", "this does not say"),
    ] {
        let answer = raw(&ringway, line.as_bytes());
        assert!(answer.contains(said), "{line}: {answer}");
    }
    let order = format!("backend {{\"group\": \"app\", \"address\": \"{address}\", \"weight\": 101}}\n");
    assert!(raw(&ringway, order.as_bytes()).contains("a weight is 0 to 100"), "{order}");
    assert_eq!(status(&ringway)["epoch"], 1, "nothing was changed");
    let json = command(&ringway, &["backend", "weight", &of_app(&address), "5", "--json"]);
    let json: Json = serde_json::from_str(done(&json)).expect("it is JSON");
    assert_eq!(
        (&json["weight"], &json["configured_weight"], &json["changed"]),
        (&5.into(), &100.into(), &true.into())
    );
}
