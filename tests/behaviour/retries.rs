//! Another backend, where no backend can have acted on the request.

use crate::support::{Backend, Client, Scenario, log_entries};

#[test]
fn a_refused_connection_goes_to_the_next_backend() {
    let backend = Backend::echo_body();
    let ringway =
        Scenario::new().backend(Backend::refused_address()).backend(backend.address()).logged("json").start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..6 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.read_response().text(), "hello");
    }
    let entries = log_entries(&ringway, 6);
    let retried = entries.iter().filter(|entry| entry["retry_count"] == 1).count();
    assert_eq!(retried, 3);
    let entry = entries.iter().find(|entry| entry["retry_count"] == 1).expect("a retried one");
    let tried = entry["upstream_addr"].as_str().expect("a string");
    assert!(tried.contains(", ") && tried.ends_with(&backend.address().to_string()), "{tried}");
    assert_eq!((&entry["status"], &entry["reason"]), (&200.into(), &"-".into()));
}

#[test]
fn a_large_body_survives_the_change_of_backend() {
    let backend = Backend::echo_body();
    let ringway = Scenario::new().backend(Backend::refused_address()).backend(backend.address()).start();
    let body = "x".repeat(300_000);
    for _ in 0..4 {
        let mut client = Client::connect(ringway.address());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(client.read_response().body.len(), body.len());
    }
}

#[test]
fn max_retries_of_zero_tries_one_backend() {
    let backend = Backend::echo_body();
    let ringway = Scenario::new()
        .backend(Backend::refused_address())
        .backend(backend.address())
        .group("max_retries = 0")
        .start();
    let mut client = Client::connect(ringway.address());
    let statuses: Vec<_> = (0..4).map(|_| client.get("/").status).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 502).count(), 2, "{statuses:?}");
}

#[test]
fn retries_end_when_every_backend_was_tried() {
    let mut scenario = Scenario::new().group("max_retries = 5").logged("json");
    for _ in 0..3 {
        scenario = scenario.backend(Backend::refused_address());
    }
    let ringway = scenario.start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
    let entry = &log_entries(&ringway, 1)[0];
    assert_eq!((&entry["reason"], &entry["retry_count"]), (&"connect_refused".into(), &2.into()));
    assert_eq!(entry["upstream_status"], "-, -, -");
}

/// No probe has found out yet, and no ejection.
#[test]
fn a_standby_answers_what_every_active_backend_failed() {
    let standby = Backend::echo_body();
    let table = format!("[[server_group.backend]]\naddress = \"{}\"\nrole = \"standby\"", standby.address());
    let scenario = |max_retries: u32, active: usize| {
        let line = format!("max_retries = {max_retries}");
        let scenario = Scenario::new().group(&line).group_table(&table).logged("json");
        (0..active).fold(scenario, |scenario, _| scenario.backend(Backend::refused_address()))
    };
    let ringway = scenario(1, 2).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    let entry = &log_entries(&ringway, 4)[0];
    let tried = entry["upstream_addr"].as_str().expect("a string");
    assert!(tried.ends_with(&standby.address().to_string()), "{tried}");
    assert_eq!((&entry["retry_count"], &entry["upstream_status"]), (&2.into(), &"-, -, 200".into()));

    for (max_retries, active) in [(0, 1), (1, 3)] {
        let ringway = scenario(max_retries, active).start();
        assert_eq!(Client::connect(ringway.address()).get("/").status, 502, "{max_retries} of {active}");
    }
}

/// Each line names as many backends and statuses as it counts attempts, also where a kept connection had died.
#[test]
fn a_log_line_counts_what_it_names() {
    let dying = Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            if head.start_line.contains("/die") {
                return Ok(());
            }
            peer.respond("200 OK", b"ok")?;
        }
        Ok(())
    });
    let ringway = Scenario::of(&dying).backend(Backend::refused_address()).logged("json").start();
    let mut client = Client::connect(ringway.address());
    for path in ["/", "/", "/die", "/", "/"] {
        client.get(path);
    }
    for entry in log_entries(&ringway, 5) {
        let attempts = entry["retry_count"].as_u64().expect("a number") as usize + 1;
        assert_eq!(
            entry["upstream_addr"].as_str().expect("a string").split(", ").count(),
            attempts,
            "{entry}"
        );
        let statuses = match &entry["upstream_status"] {
            serde_json::Value::Number(_) => 1,
            text => text.as_str().expect("a string").split(", ").count(),
        };
        assert_eq!(statuses, attempts, "{entry}");
    }
}

#[test]
fn only_an_idempotent_request_goes_to_another_backend_once_it_was_sent() {
    let (one, two) = (Backend::closes_after("", 0), Backend::closes_after("", 0));
    let ringway = Scenario::of(&one).backend(two.address()).group("max_retries = 3").start();
    let mut client = Client::connect(ringway.address());
    for (request, tried) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 1),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 3),
    ] {
        client.send(request);
        assert_eq!(client.read_response().status, 502);
        assert_eq!(one.requests() + two.requests(), tried);
    }
}

#[test]
fn a_backend_that_closes_without_an_answer_costs_no_idempotent_request() {
    let (broken, whole) = (Backend::closes_after("", 0), Backend::echo_body());
    let ringway = Scenario::of(&broken).backend(whole.address()).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(broken.requests() >= 1);
}

#[test]
fn a_response_that_takes_too_long_is_asked_for_once() {
    let (silent, whole) = (Backend::silent(), Backend::echo_body());
    let ringway =
        Scenario::of(&silent).backend(whole.address()).group("response_timeout = \"300ms\"").start();
    let mut client = Client::connect(ringway.address());
    let statuses: Vec<_> = (0..2).map(|_| client.get("/").status).collect();
    assert!(statuses.contains(&504) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn weight_zero_everywhere_is_503_with_a_router_code() {
    let backend = Backend::echo_head();
    let ringway = Scenario::new().backend_at(&backend.address().to_string(), 0).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.status, response.field("x-router-code")), (503, Some("40000")));
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.read_response().status, 503);
    assert_eq!(backend.connections(), 0);
}
