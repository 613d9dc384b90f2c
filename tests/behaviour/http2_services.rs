//! What Ringway does for requests of HTTP/1.1, it does for streams as well.

use crate::support::tls::{Issuer, own_pair, versioned_config};
use crate::support::{Ask, Backend, Content, EitherClient, Http2, Pair, Scenario, recording};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn answers_of_its_own_are_whole_and_cost_no_connection() {
    let ringway = Scenario::new().backend(Backend::refused_address()).http3().start();
    for mut client in EitherClient::with_streams(ringway.address()) {
        for _ in 0..3 {
            let answer = client.get("/");
            assert!([502, 503].contains(&answer.status), "{}", answer.status);
            let fields = ["content-type", "server"].map(|name| answer.field(name));
            assert_eq!(fields, [Some("text/html"), Some("ringway")]);
            assert!(!answer.body.is_empty());
            let head = client.begin(Ask::get("/").method("HEAD"));
            let answer = client.response(head);
            assert!(answer.status >= 502 && answer.body.is_empty());
        }
    }
}

#[test]
fn a_backend_that_does_not_answer_in_time_is_504() {
    for pair in Pair::multiplexed() {
        let backend = pair.backend(|exchange| {
            if exchange.path() == "/never" {
                std::thread::sleep(Duration::from_millis(1800));
            }
            exchange.respond(200, b"ok")
        });
        let ringway = pair.scenario(&backend).group("response_timeout = \"1s\"").start();
        let mut client = pair.connect(ringway.address());
        assert_eq!(client.get("/never").status, 504, "{pair:?}");
        assert_eq!(client.get("/").status, 200, "{pair:?}: the connection goes on");
    }
}

#[test]
fn an_upload_that_stops_is_408_and_the_others_go_on() {
    for pair in Pair::multiplexed() {
        let backend = pair.backend(|exchange| {
            exchange.read_all()?;
            exchange.respond(200, b"ok")
        });
        let ringway = pair.scenario(&backend).listener("client_body_timeout = \"1s\"").start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/", Content::Sized(10)));
        client.write(call, b"half").expect("it is taken");
        let stopped = client.try_response(call);
        assert!(stopped.as_ref().map_or(true, |answer| answer.status == 408), "{pair:?}: {stopped:?}");
        assert_eq!(client.get("/").status, 200, "{pair:?}: the connection goes on");
    }
}

#[test]
fn backends_are_told_of_the_client() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).http3().start();
    for mut client in EitherClient::with_streams(ringway.address()) {
        let call = client.begin(Ask::get("/").fields(&[("x-forwarded-for", "192.0.2.1")]));
        assert_eq!(client.response(call).status, 200);
        let (head, _) = received.try_iter().next().expect("the backend has it");
        assert_eq!(head.field("x-forwarded-proto"), Some("https"));
        let chain = head.field("x-forwarded-for").expect("it is set");
        assert!(chain.ends_with("127.0.0.1"), "{chain}");
    }
}

#[test]
fn responses_are_compressed() {
    let text = "words that come again and again, ".repeat(2000);
    for pair in Pair::multiplexed() {
        let content = text.clone();
        let backend = pair.backend(move |exchange| {
            exchange.head(200, &[("content-type", "text/plain")], Some(content.len()))?;
            exchange.write(content.as_bytes())?;
            exchange.end(&[])
        });
        let ringway = pair.scenario(&backend).listener("compression = true").start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::get("/").fields(&[("accept-encoding", "gzip")]));
        let answer = client.response(call);
        assert_eq!(answer.field("content-encoding"), Some("gzip"), "{pair:?}");
        assert!(answer.body.len() < text.len() / 4);
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut plain).expect("it is gzip");
        assert!(plain == text, "{pair:?}");
    }
}

#[test]
fn clients_keep_to_their_backend_by_a_cookie() {
    let backends = ["one", "two", "three"]
        .map(|name| Backend::per_request(move |peer, _, _| peer.respond("200 OK", name.as_bytes())));
    let scenario = backends.iter().fold(Scenario::new().http3(), |all, one| all.backend(one.address()));
    let ringway = scenario.group_table("[server_group.sticky]\nmode = \"insert\"").start();
    for mut client in EitherClient::with_streams(ringway.address()) {
        let first = client.get("/");
        let cookie =
            first.field("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie is set");
        for _ in 0..5 {
            // In crumbs, as browsers send them.
            let call = client.begin(Ask::get("/").fields(&[("cookie", "a=b"), ("cookie", cookie)]));
            assert_eq!(client.response(call).text(), first.text());
        }
    }
}

#[test]
fn certificates_of_clients_count_for_every_stream() {
    let issuer = Issuer::new("clients");
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend)
        .secured()
        .authority("clients", &issuer.pem, None)
        .client_auth("require", "clients")
        .forwarded("clientcert_clientverify = true")
        .start();
    let known = issuer.client("somebody");
    let mut config = versioned_config(&[&own_pair().certificate], rustls::DEFAULT_VERSIONS, Some(&known));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let client = Http2::secured(ringway.address(), &Arc::new(config), "test.example");
    let mut client = client.expect("the handshake succeeds");
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
        let (head, _) = received.try_iter().next().expect("the backend has it");
        assert!(head.text().to_ascii_lowercase().contains("success"), "{}", head.text());
    }
}
