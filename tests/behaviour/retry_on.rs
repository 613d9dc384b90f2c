//! After what another backend is asked, where the group says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Ask, Backend, Client, Content, Pair, Scenario, log_entries};

/// A group of two backends: one that always answers with this status, and one that echoes the content.
fn two(pair: Pair, status: u16, lines: &str) -> (Backend, Backend, Scenario) {
    let failing = pair.backend(move |exchange| {
        exchange.read_all()?;
        exchange.respond(status, b"of the one that fails")
    });
    let good = pair.backend(|exchange| {
        let content = exchange.read_all()?;
        exchange.respond(200, &content)
    });
    let scenario = pair.scenario(&failing).backend(good.address()).logged("json");
    let scenario = lines.lines().fold(scenario, |scenario, line| scenario.group(line));
    (failing, good, scenario)
}

#[test]
fn a_listed_status_is_tried_again() {
    Pair::each(|pair| {
        let lines = "retry_on = [\"connect\", 502, \"503\"]\nmax_retries = 1";
        let (failing, _good, scenario) = two(pair, 503, lines);
        let ringway = scenario.start();
        let mut client = pair.connect(ringway.address());
        for _ in 0..4 {
            let answer = client.get("/");
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
            // Content that came with the head is sent again.
            let call = client.begin(Ask::post("/", Content::Sized(5)).method("PUT"));
            client.write(call, b"hello").unwrap();
            client.end(call, &[]).unwrap();
            assert_eq!(client.response(call).body, b"hello");
        }
        let entries = log_entries(&ringway, 8);
        let retried: Vec<_> = entries.iter().filter(|entry| entry["retry_count"] == 1).collect();
        assert!(!retried.is_empty());
        for entry in retried {
            assert_eq!((&entry["status"], &entry["upstream_status"]), (&200.into(), &"503, 200".into()));
            assert_eq!(entry["reason"], "-");
        }
        assert!(failing.requests() >= 1);
    });
}

#[test]
fn what_is_not_listed_or_not_idempotent_is_not_tried_again() {
    Pair::each(|pair| {
        for (status, method, lines) in [
            (500, "GET", "retry_on = [502, 503]"),
            (503, "POST", "retry_on = [503]"),
            (503, "GET", "max_retries = 3"),
        ] {
            let (_failing, _good, scenario) = two(pair, status, lines);
            // The one that fails is not put out of service meanwhile.
            let ringway =
                scenario.group_table("[server_group.passive_check]\nconsecutive_failures = 0").start();
            let mut client = pair.connect(ringway.address());
            let statuses: Vec<_> = (0..4)
                .map(|_| {
                    if method == "GET" {
                        return client.get("/").status;
                    }
                    let call = client.begin(Ask::post("/", Content::Sized(1)));
                    client.write(call, b"x").unwrap();
                    client.end(call, &[]).unwrap();
                    client.response(call).status
                })
                .collect();
            assert!(statuses.contains(&status), "{method} {lines}: {statuses:?}");
            assert!(log_entries(&ringway, 4).iter().all(|entry| entry["retry_count"] == 0));
        }
    });
}

#[test]
fn the_last_response_reaches_the_client() {
    Pair::each(|pair| {
        let failing = |body: &'static [u8]| {
            pair.backend(move |exchange| {
                exchange.read_all()?;
                exchange.respond(503, body)
            })
        };
        let (one, other) = (failing(b"busy"), failing(b"busy"));
        let scenario = pair.scenario(&one).backend(other.address()).logged("json");
        let ringway = scenario.group("retry_on = [\"5xx\"]").group("max_retries = 5").start();
        let answer = pair.connect(ringway.address()).get("/");
        assert_eq!((answer.status, answer.body.as_slice()), (503, &b"busy"[..]));
        let entry = &log_entries(&ringway, 1)[0];
        assert_eq!((&entry["upstream_status"], &entry["retry_count"]), (&"503, 503".into(), &1.into()));
    });
}

#[test]
fn a_response_that_does_not_come_in_time_is_tried_again() {
    Pair::each(|pair| {
        let asked = Arc::new(AtomicUsize::new(0));
        let slow = {
            let asked = Arc::clone(&asked);
            pair.backend(move |exchange| {
                asked.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_secs(3));
                exchange.respond(200, b"late")
            })
        };
        let quick = pair.backend(|exchange| exchange.respond(200, b"in time"));
        let scenario = pair.scenario(&slow).backend(quick.address()).group("response_timeout = \"500ms\"");
        let ringway = scenario.group("retry_on = [\"timeout\"]").start();
        let mut client = pair.connect(ringway.address());
        for _ in 0..2 {
            let answer = client.get("/");
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"in time"[..]));
        }
        assert!(asked.load(Ordering::Relaxed) >= 1);
    });
}

#[test]
fn a_retry_is_one_request_for_limits() {
    let pair = Pair::ALL[0];
    let lines = "retry_on = [503]\nmax_retries = 1";
    let (_failing, _good, scenario) = two(pair, 503, lines);
    let rule = "[[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 1\npath_prefix = \"/\"\ngroup = \"app\"\n\
                limit = { requests_per_second = 1, burst = 5 }";
    let scenario = scenario.group_table("[server_group.passive_check]\nconsecutive_failures = 0");
    let ringway = scenario.table(rule).start();
    let mut client = pair.connect(ringway.address());
    let statuses: Vec<_> = (0..6).map(|_| client.get("/").status).collect();
    assert_eq!(statuses, [200; 6]);
    let entries = log_entries(&ringway, 6);
    assert!(entries.iter().any(|entry| entry["retry_count"] == 1), "{entries:?}");
}

#[test]
fn a_client_that_sticks_to_a_backend_gets_what_that_says() {
    let pair = Pair::ALL[0];
    let (_failing, _good, scenario) = two(pair, 503, "retry_on = [503]");
    let scenario = scenario.group_table("[server_group.sticky]\nmode = \"source_ip\"");
    let ringway = scenario.group_table("[server_group.passive_check]\nconsecutive_failures = 0").start();
    let mut client = pair.connect(ringway.address());
    // Whichever it is, it stays that.
    let first = client.get("/").status;
    for _ in 0..5 {
        assert_eq!(client.get("/").status, first);
    }
}

/// What is wrong with the content of a response that nobody gets is nobody's concern.
#[test]
fn a_broken_response_is_tried_again_like_a_whole_one() {
    let broken =
        Backend::fixed("HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n");
    let good = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    let scenario = Scenario::of(&broken).backend(good.address()).group("retry_on = [503]");
    let scenario = scenario.group_table("[server_group.passive_check]\nconsecutive_failures = 0");
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..4 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.read_response();
        assert_eq!((answer.status, answer.text()), (200, "good".to_owned()));
    }
    assert!(broken.requests() >= 1);
}
