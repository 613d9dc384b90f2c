//! What rules write of the TLS connection that a request came by.

use crate::support::tls::{Issuer, own_pair, versioned_config};
use crate::support::{Ask, Client, EitherClient, Head, Pair, Scenario, Version, log_entries, recording};
use rustls::version::TLS13;
use std::sync::Arc;

/// Words of rules, and the headers in which backends are told the same without a rule.
const WORDS: [(&str, &str); 15] = [
    ("tls_protocol", "X-Forwarded-TLS-Protocol"),
    ("tls_cipher", "X-Forwarded-TLS-Cipher"),
    ("tls_sni", "X-Forwarded-Tls-Sni"),
    ("tls_alpn_protocol", "X-Forwarded-Tls-Alpn-Protocol"),
    ("tls_ja3", "X-Forwarded-Tls-Ja3"),
    ("tls_ja4", "X-Forwarded-Tls-Ja4"),
    ("clientcert_subjectdn", "X-Forwarded-Clientcert-subjectdn"),
    ("clientcert_issuerdn", "X-Forwarded-Clientcert-issuerdn"),
    ("clientcert_fingerprint", "X-Forwarded-Clientcert-fingerprint"),
    ("clientcert_clientverify", "X-Forwarded-Clientcert-clientverify"),
    ("clientcert_serialnumber", "X-Forwarded-Clientcert-serialnumber"),
    ("clientcert", "X-Forwarded-Clientcert"),
    ("clientcert_ciphers", "X-Forwarded-Clientcert-ciphers"),
    ("clientcert_end", "X-Forwarded-Clientcert-end"),
    ("client_cert", "Client-Cert"),
];

/// A rule that writes every value into a header `x-…`, and that of `tls_resumed` into `x-resumed`.
fn rule(words: impl Iterator<Item = &'static str>) -> String {
    let set = |word: &str| {
        let name = word.replace('_', "-");
        format!("{{ set_header = {{ name = \"x-{name}\", value = {{ system = \"{word}\" }} }} }},")
    };
    let edits: String = words.map(set).collect();
    format!(
        "[[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 1\nset_response_header = {{ name = \"x-ja4\", \
         value = {{ system = \"tls_ja4\" }} }}\nactions = [{edits}{{ forward = [{{ group = \"app\" }}] }}]"
    )
}

fn words() -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().map(|(word, _)| word).chain(["tls_resumed"])
}

/// Whether the headers of rules say what the usual ones do.
fn check(head: &Head, resumed: &str) {
    for (word, usual) in WORDS {
        let own = format!("x-{}", word.replace('_', "-"));
        assert!(head.field(usual).is_some(), "{usual}");
        assert_eq!(head.field(&own), head.field(usual), "{word}");
    }
    assert_eq!(head.field("x-tls-resumed"), Some(resumed));
    assert_eq!(head.field("x-tls-sni"), Some("test.example"));
    let ja3 = head.field("x-tls-ja3").expect("it is there");
    assert!(ja3.len() == 32 && ja3.bytes().all(|byte| byte.is_ascii_hexdigit()), "{ja3}");
    assert!(head.field("x-tls-ja4").expect("it is there").starts_with("t13d"), "{head:?}");
}

#[test]
fn rules_say_what_backends_are_told_otherwise() {
    let clients = Issuer::new("clients");
    let (backend, received) = recording();
    let scenario = Scenario::of(&backend)
        .certificate("site", own_pair())
        .authority("clients", &clients.pem, None)
        .client_auth("optional", "clients")
        .log("fields = [\"sni\", \"tls_ja3\", \"tls_ja4\", \"clientcert_subjectdn\", \"clientcert_serialnumber\"]")
        .logged("json")
        .table(&rule(words()));
    let scenario = WORDS.iter().fold(scenario, |all, (word, _)| all.forwarded(&format!("{word} = true")));
    let ringway = scenario.start();
    let pair = clients.client("client-1");
    let mut config = versioned_config(&[&own_pair().certificate], &[&TLS13], Some(&pair));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    for resumed in ["false", "true"] {
        let mut client = Client::secured(ringway.address(), &config, "test.example").expect("it is secured");
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: test.example\r\nX-Tls-Sni: forged\r\n\r\n");
            let answer = client.read_response();
            assert_eq!(answer.status, 200);
            let (head, _) = received.recv().expect("a request");
            check(&head, resumed);
            assert_eq!(answer.head.field("x-ja4"), head.field("x-tls-ja4"));
        }
    }
    let entries = log_entries(&ringway, 4);
    assert_eq!(entries[0]["clientcert_subjectdn"], "CN=client-1");
    assert!(
        entries[3]["clientcert_serialnumber"].as_str().is_some_and(|serial| serial.len() > 2),
        "{entries:?}"
    );
    assert_eq!(entries[0]["tls_ja3"].as_str().map(str::len), Some(32));
    assert!(entries[3]["tls_ja4"].as_str().is_some_and(|ja4| ja4.starts_with("t13d")), "{entries:?}");
}

#[test]
fn without_tls_they_are_empty_and_a_clients_own_do_not_pass() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let told = ["x-tls-protocol", "x-tls-ja4"].map(|name| exchange.field(name).unwrap_or_default());
            exchange.respond(200, told.join(",").as_bytes())
        });
        let ringway = pair.scenario(&backend).table(&rule(["tls_protocol", "tls_ja4"].into_iter())).start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::get("/").fields(&[("x-tls-protocol", "me"), ("x-tls-ja4", "me")]));
        let answer = client.response(call);
        let told = String::from_utf8(answer.body.clone()).expect("it is text");
        let is_quic = pair.client == Version::Http3;
        if is_quic || ringway.stderr().contains("listening on https:") {
            assert!(told.starts_with(if is_quic { "TLSv1.3,q13" } else { "TLSv1.3,t13" }), "{told}");
            assert!(answer.field("x-ja4").is_some());
        } else {
            assert_eq!((told.as_str(), answer.field("x-ja4")), (",", None));
            let warning = "{ system = \"tls_ja4\" } is always empty: there is no TLS on this listener";
            assert!(ringway.stderr().contains(warning), "{}", ringway.stderr());
        }
    });
}

#[test]
fn a_client_has_another_fingerprint_over_quic() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend)
        .http3()
        .listener("http2 = true")
        .forwarded("tls_ja3 = true\ntls_ja4 = true")
        .log("fields = [\"tls_ja3\", \"tls_ja4\"]")
        .logged("json")
        .start();
    let mut told = Vec::new();
    for (mut client, begin) in EitherClient::with_streams(ringway.address()).into_iter().zip(["t13d", "q13d"])
    {
        for _ in 0..2 {
            let call = client.begin(Ask::get("/").fields(&[("x-forwarded-tls-ja4", "forged")]));
            assert_eq!(client.response(call).status, 200);
            let (head, _) = received.recv().expect("a request");
            let field = |name| head.field(name).expect("it is there").to_owned();
            told.push((field("x-forwarded-tls-ja3"), field("x-forwarded-tls-ja4")));
        }
        let (ja3, ja4) = &told[told.len() - 1];
        assert_eq!(told[told.len() - 2], told[told.len() - 1]);
        assert!(ja3.len() == 32 && ja3.bytes().all(|byte| byte.is_ascii_hexdigit()), "{ja3}");
        let protocol = if begin == "t13d" { "h2_" } else { "h3_" };
        assert!(ja4.starts_with(begin) && ja4[8..].starts_with(protocol) && ja4.len() == 36, "{ja4}");
    }
    for (entry, (ja3, ja4)) in log_entries(&ringway, 4).iter().zip(&told) {
        assert_eq!((&entry["tls_ja3"], &entry["tls_ja4"]), (&ja3.as_str().into(), &ja4.as_str().into()));
    }
}

#[test]
fn the_log_alone_can_ask_for_what_certificates_say() {
    let clients = Issuer::new("clients");
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend)
        .certificate("site", own_pair())
        .authority("clients", &clients.pem, None)
        .client_auth("optional", "clients")
        .log("fields = [\"clientcert_issuerdn\", \"clientcert_fingerprint\"]")
        .logged("json")
        .start();
    for pair in [Some(clients.client("client-1")), None] {
        let config = versioned_config(&[&own_pair().certificate], &[&TLS13], pair.as_ref());
        let mut client =
            Client::secured(ringway.address(), &Arc::new(config), "test.example").expect("it is secured");
        assert_eq!(client.get("/").status, 200);
        let (head, _) = received.recv().expect("a request");
        assert_eq!(head.field("X-Forwarded-Clientcert-issuerdn"), None);
    }
    let entries = log_entries(&ringway, 2);
    assert_eq!(entries[0]["clientcert_issuerdn"], "CN=clients");
    assert_eq!(entries[0]["clientcert_fingerprint"].as_str().map(str::len), Some(40));
    assert_eq!(
        (&entries[1]["clientcert_issuerdn"], &entries[1]["tls_ja3"]),
        (&"-".into(), &serde_json::Value::Null)
    );
}
