//! Locally generated responses.

use crate::support::{Backend, Client, Response, Ringway, Scenario};
use std::time::Duration;

fn check(response: &Response, status: u16) {
    assert_eq!((response.status, response.field("server")), (status, Some("ringway")));
    assert_eq!(response.field("content-type"), Some("text/html"));
    assert!(response.field("date").is_some_and(|date| date.ends_with(" GMT")));
    assert!((1..=512).contains(&response.body.len()), "{}", response.text());
    assert!(
        !response.head.text().contains(env!("CARGO_PKG_VERSION")),
        "no version: {}",
        response.head.text()
    );
}

fn without_route() -> Ringway {
    let backend = Backend::echo_head();
    Ringway::start(&Scenario::of(&backend).text().replace("default_group = \"app\"\n", ""))
}

#[test]
fn without_a_group_the_answer_is_404_and_the_connection_stays() {
    let ringway = without_route();
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        check(&client.get("/"), 404);
    }
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let first = client.read_response();
    check(&first, 404);
    if first.field("connection") != Some("close") {
        check(&client.read_response(), 404);
    }
}

#[test]
fn head_gets_the_head_of_the_answer_only() {
    let ringway = without_route();
    let mut client = Client::connect(ringway.address());
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.read_response_to("HEAD");
    assert_eq!(response.status, 404);
    client.expect_silence(Duration::from_millis(30));
    check(&client.get("/"), 404);
}

#[test]
fn http10_gets_an_answer_and_the_end() {
    let ringway = without_route();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.0\r\n\r\n");
    check(&client.read_response(), 404);
    client.expect_closed();
}

#[test]
fn a_failed_backend_does_not_cost_the_client_its_connection() {
    let ringway = Scenario::new().backend(Backend::refused_address()).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        let response = client.get("/");
        check(&response, 502);
        assert_eq!(response.field("connection"), None);
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let response = client.read_response();
    check(&response, 502);
    assert_eq!(response.field("connection"), None, "the body had been read");
    check(&client.get("/"), 502);
}

#[test]
fn the_answer_to_an_unread_body_survives_the_end_of_the_connection() {
    let ringway = without_route();
    for size in [100_000, 900_000] {
        let mut client = Client::connect(ringway.address());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        // All of it is sent before anything is read, as simple clients do.
        client.send(vec![b'x'; size]);
        let response = client.read_response();
        check(&response, 404);
        assert_eq!(response.field("connection"), Some("close"));
        client.expect_closed();
    }
}
