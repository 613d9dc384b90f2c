//! `ringway top --once`: figures of the second that has just passed.

use crate::admin::{command, number, run, scenario, socket_of};
use crate::support::{Backend, Client, PATIENCE, eventually};
use serde_json::Value as Json;
use std::path::Path;
use std::thread;
use std::time::Duration;

fn figures(socket: &Path) -> Json {
    let ended = run(&["top", "--once", "--json", "--socket", &socket.display().to_string()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.stdout).expect("it is JSON")
}

fn rate(figures: &Json, key: &str) -> f64 {
    figures[key].as_f64().unwrap_or_else(|| panic!("{key} of {figures} is a number"))
}

#[test]
fn figures_are_of_what_happens_now() {
    let backend = Backend::echo_head();
    let dead = "[[server_group]]\nname = \"dead\"\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"\n\
                [[rule]]\nname = \"dead\"\nlistener = \"web\"\npriority = 5\npath = \"/dead\"\ngroup = \"dead\"";
    let ringway = scenario(&backend).table(dead).start();
    // What was before is not told.
    let mut client = Client::connect(ringway.address());
    (0..300).for_each(|_| assert_eq!(client.get("/").status, 200));
    let socket = socket_of(&ringway);
    let figures_now = thread::scope(|scope| {
        let asking = scope.spawn(|| figures(&socket));
        let mut client = Client::connect(ringway.address());
        while !asking.is_finished() {
            assert_eq!(client.get("/").status, 200);
            assert_eq!(client.get("/dead").status / 100, 5);
            thread::sleep(Duration::from_millis(20));
        }
        asking.join().expect("it has answered")
    });
    check(&figures_now);
    // With nobody there, there is nothing to tell a quantile of.
    eventually("it becomes quiet", || {
        let figures = figures(&socket);
        rate(&figures, "requests_per_second") == 0.0 && figures["p99_seconds"].is_null()
    });
}

fn check(figures: &Json) {
    let seconds = rate(figures, "seconds");
    assert!((0.9..10.0).contains(&seconds), "{figures}");
    let requests = rate(figures, "requests_per_second");
    assert!(0.0 < requests && requests <= 110.0, "{figures}");
    let [web, app, dead] = [&figures["listeners"][0], &figures["groups"][0], &figures["groups"][1]];
    assert_eq!([&web["name"], &app["name"], &dead["name"]], ["web", "app", "dead"]);
    let errors = rate(web, "server_errors_per_second");
    assert!(errors > 0.0 && (errors - requests / 2.0).abs() <= 2.0, "{figures}");
    assert_eq!(errors, rate(dead, "server_errors_per_second"));
    assert_eq!((rate(app, "server_errors_per_second"), rate(app, "client_errors_per_second")), (0.0, 0.0));
    let reasons = figures["reasons_per_second"].as_object().expect("a table");
    let by_reason: f64 = reasons.values().filter_map(Json::as_f64).sum();
    assert!((by_reason - errors).abs() < 0.001, "{figures}");
    let of_backend = &app["backends"][0];
    assert!(rate(of_backend, "requests_per_second") > 0.0 && rate(of_backend, "failures_per_second") == 0.0);
    let (p50, p99) = (rate(app, "p50_seconds"), rate(app, "p99_seconds"));
    assert!(0.0 < p99 && p50 <= p99, "{figures}");
    let workers = figures["workers"].as_array().expect("a list");
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().all(|worker| (0.0..=1.0).contains(&rate(worker, "busy"))), "{figures}");
    assert_eq!(workers.iter().map(|worker| number(&worker["connections"])).sum::<u64>(), 2);
}

#[test]
fn one_screen_is_text_and_a_terminal_is_asked_for() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    let ended = command(&ringway, &["top", "--once"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for words in ["2 workers, up ", "1 s: 0 req/s", "WORKER", "LISTENER", "GROUP", "BACKEND", "unchecked"] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\x1b'), "colour is for terminals");
    let ended = command(&ringway, &["top"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no terminal") && ended.stderr.contains("--once"), "{}", ended.stderr);
    assert_eq!(command(&ringway, &["top", "--json"]).code, Some(2));
}

#[test]
fn nobody_to_ask_is_told() {
    let ended = {
        let backend = Backend::echo_head();
        let mut ringway = scenario(&backend).start();
        ringway.signal("KILL");
        ringway.wait_for_exit(PATIENCE);
        command(&ringway, &["top", "--once"])
    };
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: cannot reach a running ringway at "), "{}", ended.stderr);
}
