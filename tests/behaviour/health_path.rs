//! The path at which a listener tells the router in front whether it takes new connections.

use crate::support::{Ask, Backend, PATIENCE, Pair, Scenario, eventually, log_entries};

const EVERYTHING: &str = "[[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 1\npath = \"/*\"\n\
    respond = { code = 404 }";

#[test]
fn it_is_answered_before_all_rules_and_leaves_no_line() {
    Pair::each(|pair| {
        let backend = Backend::echo_head();
        let scenario = pair.scenario(&backend).listener("health_path = \"/healthz\"");
        let ringway = scenario.table(EVERYTHING).logged("json").start();
        let mut client = pair.connect(ringway.address());
        for path in ["/healthz", "/healthz?from=router", "/healthz"] {
            let answer = client.get(path);
            assert_eq!((answer.status, &*answer.body), (200, &b"ok\n"[..]), "{path}");
            assert_eq!(answer.field("cache-control"), Some("no-store"));
        }
        let call = client.begin(Ask::get("/healthz").method("HEAD"));
        let answer = client.response(call);
        assert_eq!((answer.status, answer.body.len(), answer.field("content-length")), (200, 0, Some("3")));
        let call = client.begin(Ask::get("/healthz").method("DELETE"));
        assert_eq!(client.response(call).status, 404);
        let entries = log_entries(&ringway, 1);
        assert_eq!(entries[0]["request_method"], "DELETE", "{entries:?}");
        assert_eq!(entries.len(), 1);
    });
}

#[test]
fn it_says_no_from_the_moment_a_stop_begins() {
    Pair::each(|pair| {
        let backend = Backend::echo_head();
        let scenario = pair.scenario(&backend).listener("health_path = \"/healthz\"");
        let mut ringway = scenario.process("shutdown_delay = \"1s\"").table(EVERYTHING).start();
        assert_eq!(pair.connect(ringway.address()).get("/healthz").status, 200);
        ringway.signal("TERM");
        eventually("the router is told", || {
            let answer = pair.connect(ringway.address()).get("/healthz");
            answer.status == 503 && answer.body == b"stopping\n"
        });
        assert_eq!(pair.connect(ringway.address()).get("/").status, 404);
        assert!(ringway.wait_for_exit(PATIENCE).success());
    });
}

#[test]
fn a_reload_moves_it() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend);
    let ringway = scenario.start();
    let is_answered = |path| crate::support::Client::connect(ringway.address()).get(path).body == b"ok\n";
    assert!(!is_answered("/healthz"));
    ringway.reload(&scenario.clone().listener("health_path = \"/healthz\"").text());
    assert!(is_answered("/healthz"));
    ringway.reload(&scenario.clone().listener("health_path = \"/alive\"").text());
    assert!(is_answered("/alive") && !is_answered("/healthz"));
}
