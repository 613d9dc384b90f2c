//! Requests sent without waiting are answered in their order.

use crate::support::{Backend, Client, Ringway};
use std::time::Duration;

#[test]
fn answers_come_in_order_whatever_the_backend_takes() {
    let backend = Backend::per_request(|peer, head, _| {
        if head.start_line.contains("/slow") {
            std::thread::sleep(Duration::from_millis(150));
        }
        peer.respond("200 OK", head.start_line.as_bytes())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    let targets = ["/slow", "/1", "/2", "/slow/3", "/4"];
    let all: String = targets.map(|target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).concat();
    client.send(all);
    for target in targets {
        assert_eq!(client.read_response().text(), format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn bodies_between_pipelined_requests_stay_where_they_belong() {
    let backend = Backend::echo_body();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    let long = "x".repeat(50_000);
    let mut all = String::new();
    for body in ["one", "", long.as_str(), "four"] {
        all += &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        all += &format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) }
        );
        all += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    client.send(all);
    for body in ["one", "", long.as_str(), "four"] {
        for expected in [body, body, ""] {
            let response = client.read_response();
            assert_eq!((response.status, response.text().as_str()), (200, expected));
        }
    }
    client.expect_silence(Duration::from_millis(50));
}

#[test]
fn a_thousand_pipelined_requests_are_all_answered() {
    let backend = Backend::per_request(|peer, head, _| peer.respond("200 OK", head.start_line.as_bytes()));
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    let all: String = (0..1000).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(all);
    for n in 0..1000 {
        assert_eq!(client.read_response().text(), format!("GET /{n} HTTP/1.1"));
    }
}

#[test]
fn a_bad_request_behind_good_ones_is_answered_last() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    assert_eq!(client.read_response().status, 400);
    client.expect_closed();
    assert_eq!(backend.requests(), 1);
}

#[test]
fn heads_cut_at_every_byte_are_read() {
    let backend = Backend::echo_body();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let request = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for cut in 1..request.len() {
        let mut client = Client::connect(ringway.address());
        let (one, two) = request.split_at(cut);
        client.send_slowly([one.as_bytes(), two.as_bytes()], Duration::from_millis(1));
        assert_eq!(client.read_response().text(), "abc", "cut at {cut}");
    }
}
