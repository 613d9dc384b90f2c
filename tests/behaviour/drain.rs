//! Backends that get no new requests: what they have begun, and the clients that stick to them.

use crate::support::{Backend, Client, Scenario, eventually, log_entries, now};
use std::time::Duration;

/// Says at once that ten bytes follow, and sends them when the client has been patient.
fn dripping() -> Backend {
    Backend::per_request(|peer, _, _| {
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")?;
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(200));
            peer.write(b".")?;
        }
        Ok(())
    })
}

#[test]
fn what_was_begun_goes_on_after_its_backend_was_removed() {
    for weight_zero in [false, true] {
        let (old, new) = (dripping(), Backend::echo_head());
        let before = Scenario::of(&old);
        let ringway = before.start();
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("the backend has it", || old.requests() == 1);
        let mut after = Scenario::of(&new);
        if weight_zero {
            after = after.backend_at(&old.address().to_string(), 0);
        }
        ringway.reload(&after.text());
        let mut other = Client::connect(ringway.address());
        assert!((0..4).all(|_| other.get("/").text().starts_with("GET / ")));
        let response = client.read_response();
        assert_eq!((response.status, response.body.len()), (200, 10));
        assert_eq!(client.get("/").status, 200);
        assert_eq!(old.requests(), 1);
        // Nobody waits for its connections in the pool.
        eventually("the connections to it are closed", || old.open_connections() == 0);
    }
}

#[test]
fn a_drain_comes_to_its_end() {
    let (old, new) = (Backend::silent(), Backend::echo_head());
    let ringway = Scenario::of(&old).logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the backend has it", || old.open_connections() == 1);
    let began = now();
    ringway.reload(&Scenario::of(&new).group("drain_timeout = \"1s\"").logged("json").text());
    let response = client.read_response();
    assert_eq!(response.status, 503);
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&began.elapsed()));
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "drain_timeout");
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_drain_ends_busy_exchanges_too() {
    let drip = Backend::script(|peer| {
        peer.read_request()?;
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
        loop {
            peer.write(b"x")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let other = Backend::echo_head();
    let ringway = Scenario::of(&drip).start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the backend has it", || drip.open_connections() == 1);
    let began = now();
    ringway.reload(&Scenario::of(&other).group("drain_timeout = \"1s\"").text());
    // All of it would take twenty seconds.
    assert!(client.try_read_response().is_err());
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&began.elapsed()));
}

#[test]
fn a_group_that_comes_back_is_not_drained() {
    let (slow, other) = (Backend::silent(), Backend::echo_head());
    let with = Scenario::of(&slow).group("drain_timeout = \"1s\"").text();
    let without = Scenario::of(&other).text().replace("\"app\"", "\"other\"");
    let ringway = crate::support::Ringway::start(&with);
    ringway.reload(&without);
    ringway.reload(&with);
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the backend has it", || slow.open_connections() == 1);
    // The drain that began with the first reload would have ended it by now.
    client.expect_silence(Duration::from_secs(4));
}

#[test]
fn sticky_clients_stay_until_the_drain_is_over() {
    let names = ["one", "two"];
    let backends =
        names.map(|name| Backend::per_request(move |peer, _, _| peer.respond("200 OK", name.as_bytes())));
    let with_weights = |weights: [u8; 2]| {
        let mut scenario = Scenario::new()
            .group("drain_timeout = \"2s\"")
            .group_table("[server_group.sticky]\nmode = \"insert\"");
        for (backend, weight) in backends.iter().zip(weights) {
            scenario = scenario.backend_at(&backend.address().to_string(), weight);
        }
        scenario.text()
    };
    let ringway = crate::support::Ringway::start(&with_weights([100, 0]));
    let mut client = Client::connect(ringway.address());
    let first = client.get("/");
    assert_eq!(first.text(), "one");
    let cookie = first.field("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    let mut again = || {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"));
        client.read_response().text()
    };
    assert_eq!(again(), "one");
    let began = now();
    ringway.reload(&with_weights([0, 100]));
    assert_eq!(again(), "one");
    assert_eq!(Client::connect(ringway.address()).get("/").text(), "two");
    eventually("the drain is over", || again() == "two");
    assert!(began.elapsed() >= Duration::from_millis(1_900), "{:?}", began.elapsed());
}
