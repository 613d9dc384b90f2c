//! What responses tell of HTTP/3 when it comes, goes and ends (RFC 7838 §3).

use crate::support::{Backend, Client, Http2, Http3, Scenario, eventually};
use std::sync::atomic::Ordering;

/// A browser that has changed over remembers for a day where to.
#[test]
fn browsers_are_told_that_http3_was_switched_off() {
    let backend = Backend::echo_head();
    let on = Scenario::of(&backend).http3().text();
    let off = on.replace("http3 = true", "http3 = false");
    let ringway = Scenario::of(&backend).http3().start();
    let address = ringway.address();
    let told = || Client::connect(address).get("/").field("alt-svc").map(str::to_owned);
    let there = format!("h3=\":{}\"; ma=86400", address.port());
    assert_eq!(told(), Some(there.clone()));
    for _ in 0..2 {
        ringway.reload(&off);
        assert_eq!(told().as_deref(), Some("clear"));
    }
    assert_eq!(Http2::connect(address).get("/").field("alt-svc"), Some("clear"));
    ringway.reload(&on);
    assert_eq!(told(), Some(there));
}

#[test]
fn who_never_had_http3_says_nothing_of_it() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).secured();
    let ringway = scenario.start();
    for _ in 0..2 {
        assert_eq!(Client::connect(ringway.address()).get("/").field("alt-svc"), None);
        ringway.reload(&scenario.text());
    }
}

/// At a stop, whoever came by HTTP/3 is to come by TCP next.
#[test]
fn a_stop_sends_clients_of_http3_back_to_tcp() {
    let (backend, may_answer) = Backend::holding();
    let fast = "[[listener]]\nname = \"fast\"\naddress = \"127.0.0.1:0\"\nprotocol = \"quic\"\n\
                certificates = [\"kit\"]\ndefault_group = \"app\"\n";
    let ringway = Scenario::of(&backend).http3().table(fast).start();
    let mut clients = ["web", "fast"].map(|name| Http3::connect(ringway.address_of(name)));
    assert!(clients[0].get("/").field("alt-svc").is_some_and(|value| value.starts_with("h3=")));
    assert_eq!(clients[1].get("/").field("alt-svc"), None, "another listener tells of it");
    let streams = clients.each_mut().map(|client| client.request("GET", "/held", &[], true));
    eventually("the backend has them", || backend.requests() == 4);
    ringway.signal("TERM");
    for client in &mut clients {
        let told = client.receive_until(|client| client.go_away());
        assert!(matches!(told, Ok(Some(_))), "{told:?}");
    }
    may_answer.store(true, Ordering::Release);
    for (client, stream) in clients.iter_mut().zip(streams) {
        assert_eq!(client.response(stream).field("alt-svc"), Some("clear"));
    }
}
