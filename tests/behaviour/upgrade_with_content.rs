//! An upgrade beside a framing field: the content first, then the switch (RFC 9110 §7.8).

use crate::support::{Ask, Backend, Client, Content, Pair, Ringway, Version};
use std::sync::mpsc::channel;
use std::time::Duration;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// What `docker exec`, `kubectl exec` and some libraries for WebSocket send.
fn ask(method: &str, framing: &str) -> String {
    format!("{method} /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n{framing}\r\n")
}

#[test]
fn the_content_is_sent_whole_and_the_switch_follows() {
    let (sender, contents) = channel();
    let backend = Backend::script(move |peer| {
        let Some((head, content)) = peer.read_request()? else { return Ok(()) };
        assert_eq!(head.field("upgrade"), Some("tcp"));
        assert!(head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
        let _ = sender.send(content);
        peer.write(SWITCH)?;
        let heard = peer.read_exactly(4)?;
        peer.write(&heard)
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    for method in ["GET", "POST"] {
        for (framing, body, content) in [
            ("", "", ""),
            ("Content-Length: 0\r\n", "", ""),
            ("Content-Length: 2\r\n", "{}", "{}"),
            ("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n", "{}"),
            ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""),
        ] {
            let mut client = Client::connect(ringway.address());
            client.send([&ask(method, framing), body, "raw\n"].concat());
            assert_eq!(client.read_response().status, 101, "{method} {framing}{body}");
            assert_eq!(client.read_exactly(4), b"raw\n");
            assert_eq!(contents.recv_timeout(Duration::from_secs(2)).as_deref(), Ok(content.as_bytes()));
        }
    }
}

#[test]
fn content_that_comes_late_holds_up_an_early_switch() {
    let backend = Backend::script(|peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        peer.write(SWITCH)?;
        let content = peer.read_body(&head)?;
        assert_eq!(content, b"hello");
        let heard = peer.read_exactly(4)?;
        peer.write(&heard)
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    for (framing, first, rest) in [
        ("Content-Length: 5\r\n", "he", "llo"),
        ("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n", "3\r\nllo\r\n0\r\n\r\n"),
    ] {
        let mut client = Client::connect(ringway.address());
        client.send([&ask("POST", framing), first].concat());
        client.expect_silence(Duration::from_millis(150));
        client.send([rest, "raw\n"].concat());
        assert_eq!(client.read_response().status, 101);
        assert_eq!(client.read_exactly(4), b"raw\n");
    }
}

#[test]
fn a_client_that_waits_to_continue_is_told_so_before_the_switch() {
    let backend = Backend::script(|peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        if head.start_line.contains("/exec ") {
            peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            peer.read_body(&head)?;
        }
        peer.write(SWITCH)?;
        peer.read_some().map(drop)
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let waiting = ask("POST", "Content-Length: 2\r\nExpect: 100-continue\r\n");
    let mut client = Client::connect(ringway.address());
    client.send(&waiting);
    assert_eq!(client.read_response().status, 100);
    client.send("{}");
    assert_eq!(client.read_response().status, 101);

    let mut client = Client::connect(ringway.address());
    client.send(waiting.replace("/exec", "/hasty"));
    assert_eq!(client.read_response().status, 502, "its content may never come");
}

#[test]
fn of_several_upgrades_the_first_is_passed_on() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send(ask("GET", "Upgrade: other\r\n"));
    let seen = client.read_response().text();
    assert!(seen.contains("Upgrade: tcp\r\n") && !seen.contains("other"), "{seen}");
    client.send(ask("GET", "Upgrade: h2c\r\n"));
    let seen = client.read_response().text();
    assert!(!seen.contains("Upgrade"), "a tunnel into HTTP/2 would pass every rule: {seen}");
}

/// No content is a length of 0, whether it is said or not (RFC 9110 §8.6, §10.1.1).
#[test]
fn nothing_is_expected_for_no_content() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let expects = exchange.field("expect").unwrap_or_default();
            exchange.respond(200, expects.as_bytes())
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        for content in [Content::None, Content::Sized(0)] {
            let call = client.begin(Ask::post("/", content).fields(&[("expect", "100-continue")]));
            let response = client.response(call);
            assert_eq!((response.status, response.body.as_slice()), (200, &b""[..]), "{content:?}");
            if pair.client == Version::Http2 && content == Content::Sized(0) {
                client.end(call, &[]).expect("a frame that ends nothing is taken");
            }
        }
    });
}

/// Nothing of an early switch has left, so that what is wrong with the content can still be answered.
#[test]
fn content_that_fails_behind_an_early_switch_is_answered() {
    let backend = Backend::script(|peer| {
        let Some(_) = peer.read_head()? else { return Ok(()) };
        peer.write(SWITCH)?;
        while !peer.read_some()?.is_empty() {}
        Ok(())
    });
    let ringway = crate::support::Scenario::of(&backend)
        .listener("client_body_timeout = \"1s\"")
        .listener("max_body_bytes = 100")
        .start();
    for (framing, body, status) in [
        ("Content-Length: 8\r\n", "abc".to_owned(), 408),
        ("Transfer-Encoding: chunked\r\n", "zz\r\n".to_owned(), 400),
        ("Transfer-Encoding: chunked\r\n", format!("c8\r\n{}\r\n", "x".repeat(200)), 413),
    ] {
        let mut client = Client::connect(ringway.address());
        client.send(ask("POST", framing));
        std::thread::sleep(Duration::from_millis(100));
        client.send(body);
        assert_eq!(client.read_response().status, status, "{framing}");
    }
}
