//! `X-Request-ID`: made or taken, passed on, and told by the access log.

use crate::support::{Answer, Ask, Backend, Client, Content, Http2, Pair, Scenario, log_entries, recording};

/// A backend that answers with the only `X-Request-ID` that it got, or with what says that there is not exactly one.
fn showing(pair: Pair) -> Backend {
    pair.backend(|exchange| {
        exchange.read_all()?;
        let trailers = exchange.trailers();
        let behind = trailers.iter().find(|(name, _)| name.contains("request"));
        let id = behind.map(|(_, value)| format!("behind the body: {value}"));
        let id = id.or_else(|| exchange.field("x-request-id")).unwrap_or_default();
        exchange.respond(200, id.as_bytes())
    })
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn is_made(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

#[test]
fn what_clients_send_is_replaced_and_the_log_tells_what_goes_on() {
    Pair::each(|pair| {
        let backend = showing(pair);
        let ringway = pair.scenario(&backend).forwarded("x_request_id = true").logged("json").start();
        let mut client = pair.connect(ringway.address());
        let mut seen = Vec::new();
        for fields in [
            &[][..],
            &[("x-request-id", "forged")],
            &[("x-request-id", "forged"), ("x-request-id", "again")],
            &[("x_request_id", "forged")],
        ] {
            let call = client.begin(Ask::get("/").fields(fields));
            let id = text(&client.response(call));
            assert!(is_made(&id), "{id:?} for {fields:?}");
            seen.push(id);
        }
        let logged: Vec<_> =
            log_entries(&ringway, seen.len()).iter().map(|entry| entry["request_id"].clone()).collect();
        assert_eq!(logged, seen);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), logged.len(), "each has its own");
    });
}

#[test]
fn one_that_a_trusted_proxy_sends_is_kept_if_it_is_acceptable() {
    Pair::each(|pair| {
        let backend = showing(pair);
        let scenario = pair.scenario(&backend).listener(TRUSTING).forwarded("x_request_id = true");
        let ringway = scenario.logged("json").start();
        let mut client = pair.connect(ringway.address());
        let longest = "a".repeat(128);
        let kept = ["7f3b-AZ09_.~+/=:@", &longest, "1"];
        for id in kept {
            let fields = [("x-request-id", id), ("x_request_id", "forged")];
            let call = client.begin(Ask::get("/").fields(&fields));
            assert_eq!(text(&client.response(call)), id);
        }
        let too_long = "a".repeat(129);
        for fields in [
            &[][..],
            &[("x-request-id", "")],
            &[("x-request-id", "a b")],
            &[("x-request-id", "a,b")],
            &[("x-request-id", "\"}")],
            &[("x-request-id", &too_long)],
            &[("x-request-id", "a"), ("x-request-id", "a")],
            &[("x_request_id", "forged")],
        ] {
            let call = client.begin(Ask::get("/").fields(fields));
            let id = text(&client.response(call));
            assert!(is_made(&id), "{id:?} for {fields:?}");
        }
        let entries = log_entries(&ringway, kept.len() + 8);
        let (told, made) = entries.split_at(kept.len());
        assert!(told.iter().zip(kept).all(|(entry, id)| entry["request_id"] == id), "{told:?}");
        assert!(made.iter().all(|entry| entry["request_id"].as_str().is_some_and(is_made)), "{made:?}");
    });
}

#[test]
fn no_log_is_needed_and_without_the_key_nothing_changes() {
    Pair::each(|pair| {
        let backend = showing(pair);
        let fields = [("x-request-id", "of the client")];
        let ringway = pair.scenario(&backend).forwarded("x_request_id = true").start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::get("/").fields(&fields));
        assert!(is_made(&text(&client.response(call))));
        let ringway = pair.scenario(&backend).listener(TRUSTING).logged("json").start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::get("/").fields(&fields));
        assert_eq!(text(&client.response(call)), "of the client");
        assert_eq!(text(&client.get("/")), "", "none is added");
        assert!(
            log_entries(&ringway, 2).iter().all(|entry| entry["request_id"].as_str().is_some_and(is_made))
        );
    });
}

/// A client behind a proxy that passes Connection on must not undo what that proxy says.
#[test]
fn a_connection_option_cannot_take_it_away() {
    let sent =
        "X-Request-ID: edge-1\r\nX_Request_ID: forged\r\nConnection: X-Request-ID, X-Hop\r\nX-Hop: 1\r\n";
    for (key, got) in [("x_request_id = true", Some("edge-1")), ("x_request_id = false", None)] {
        let (backend, received) = recording();
        let ringway = Scenario::of(&backend).listener(TRUSTING).forwarded(key).start();
        let mut client = Client::connect(ringway.address());
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{sent}\r\n"));
        assert_eq!(client.read_response().status, 200);
        let (head, _) = received.recv().expect("a request");
        assert_eq!(head.field("x-request-id"), got, "{key}");
        assert_eq!(head.field("x-hop"), None, "{key}");
        assert_eq!(head.text().contains("forged"), got.is_none(), "{}", head.text());
    }
}

#[test]
fn trailers_cannot_bring_another() {
    Pair::each(|pair| {
        let backend = showing(pair);
        for (key, is_on) in [("x_request_id = true", true), ("x_request_id = false", false)] {
            let ringway = pair.scenario(&backend).forwarded(key).start();
            let mut client = pair.connect(ringway.address());
            for name in ["x-request-id", "x_request_id"] {
                let call = client.begin(Ask::post("/", Content::Open));
                client.write(call, b"content").expect("it is taken");
                client.end(call, &[("x-a", "1"), (name, "forged")]).expect("they are taken");
                let id = text(&client.response(call));
                assert!(if is_on { is_made(&id) } else { id == "behind the body: forged" }, "{id}");
            }
        }
    });
}

#[test]
fn every_attempt_has_the_same_one() {
    let (sender, received) = std::sync::mpsc::channel();
    let closing = || {
        let sender = sender.clone();
        Backend::script(move |peer| {
            let Some(head) = peer.read_head()? else { return Ok(()) };
            let id = head.field("x-request-id").map(str::to_owned);
            sender.send(id).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
        })
    };
    let (one, other) = (closing(), closing());
    let scenario = Scenario::of(&one).backend(other.address()).forwarded("x_request_id = true");
    let ringway = scenario.logged("json").start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
    let id = log_entries(&ringway, 1)[0]["request_id"].as_str().map(str::to_owned);
    assert!(id.as_deref().is_some_and(is_made));
    let got: Vec<_> = received.try_iter().collect();
    assert_eq!(got, [id.clone(), id], "two attempts");
}

#[test]
fn a_refused_request_is_logged_as_its_proxy_calls_it() {
    let backend = Backend::echo_head();
    for (listener, is_trusted) in [(TRUSTING, true), ("", false)] {
        let scenario = Scenario::of(&backend).secured().listener(listener).forwarded("x_request_id = true");
        let ringway = scenario.logged("json").start();
        let mut refused = 0;
        let mut expect = |what: &str, is_kept: bool| {
            refused += 1;
            let id = log_entries(&ringway, refused).pop().expect("a line")["request_id"].clone();
            let id = id.as_str().expect("a text").to_owned();
            assert!(if is_kept && is_trusted { id == "edge-1" } else { is_made(&id) }, "{id} for {what}");
        };
        for (request, is_kept) in [
            ("GET / HTTP/1.1\r\nX-Request-ID: edge-1\r\n\r\n", true),
            ("TRACE / HTTP/1.1\r\nHost: a\r\nX-Request-ID: edge-1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nX-Request-ID: a b\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nX_Request_ID: edge-1\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nX-Request-ID: edge-1\r\nX-Request-ID: edge-1\r\n\r\n", false),
        ] {
            let mut client = Client::connect(ringway.address());
            client.send(request);
            assert!(client.read_response().status >= 400, "{request}");
            expect(request, is_kept);
        }
        let mut end = Http2::connect(ringway.address());
        for refusal in [("expect", "miracles"), ("connection", "close")] {
            let stream = end.request("GET", "/", &[("x-request-id", "edge-1"), refusal], true);
            let _ = end.message(stream);
            expect(refusal.0, true);
        }
    }
}
