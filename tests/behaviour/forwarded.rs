//! What a backend learns of the client, and what a client cannot make it believe.

use crate::support::{Backend, Client, Head, Scenario, log_entries, over_tls, recording};

/// The head that a backend gets for a request with these fields, and the port of the client.
fn forwarded(scenario: impl Fn(Scenario) -> Scenario, fields: &str) -> (Head, u16, u16) {
    let (backend, received) = recording();
    let ringway = scenario(Scenario::of(&backend)).start();
    let mut client = Client::connect(ringway.address());
    client.send(format!("GET / HTTP/1.1\r\nHost: site.example:81\r\n{fields}\r\n"));
    assert_eq!(client.read_response().status, 200);
    let (head, _) = received.recv().expect("a request");
    (head, client.local_address().port(), ringway.address().port())
}

const EVERYTHING: &[&str] = &[
    "x_forwarded_proto = true",
    "x_forwarded_port = true",
    "x_forwarded_host = true",
    "x_forwarded_client_srcport = true",
    "x_forwarded_for_port = true",
    "x_forwarded_elb_ip = \"192.0.2.10\"",
    "x_forwarded_elb_id = \"lb-1\"",
    "x_real_ip = true",
    "slb_id = true",
];

fn everything(scenario: Scenario) -> Scenario {
    EVERYTHING.iter().fold(scenario, |scenario, line| scenario.forwarded(line))
}

const SPOOFED: &str = "X-Forwarded-Proto: gopher\r\nx-forwarded-port: 443\r\nX-FORWARDED-HOST: evil.example\r\n\
    X-Forwarded-Client-srcport: 1\r\nX-Real-IP: 6.6.6.6\r\nSLB-ID: evil\r\nX-Real-IP: 7.7.7.7\r\n\
    X-Forwarded-For-Port: 2\r\nX_Forwarded_ELB_IP: 6.6.6.6\r\nX-Forwarded-ELB-ID: evil\r\n";

#[test]
fn by_default_the_peer_is_appended_and_the_protocol_named() {
    let (head, _, _) = forwarded(|scenario| scenario, "");
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
    for name in ["x-forwarded-port", "x-forwarded-host", "x-forwarded-client-srcport", "x-real-ip", "slb-id"]
    {
        assert_eq!(head.field(name), None, "{name}");
    }
}

#[test]
fn every_field_replaces_the_copies_of_the_client() {
    for fields in ["", SPOOFED, &SPOOFED.replace('-', "_"), &SPOOFED.to_ascii_lowercase()] {
        let (head, port, listener_port) = forwarded(everything, fields);
        for (name, value) in [
            ("x-forwarded-proto", if over_tls() { "https" } else { "http" }.to_owned()),
            ("x-forwarded-port", listener_port.to_string()),
            ("x-forwarded-host", "site.example:81".to_owned()),
            ("x-forwarded-client-srcport", port.to_string()),
            ("x-forwarded-for-port", port.to_string()),
            ("x-forwarded-elb-ip", "192.0.2.10".to_owned()),
            ("x-forwarded-elb-id", "lb-1".to_owned()),
            ("x-real-ip", "127.0.0.1".to_owned()),
        ] {
            assert_eq!(head.field(name), Some(value.as_str()), "{name} with {fields}");
        }
        assert!(head.field("slb-id").is_some_and(|id| !id.is_empty() && id != "evil"));
        for evil in ["evil", "6.6.6.6", "7.7.7.7", "gopher", ": 443\r", ": 1\r"] {
            assert!(!head.text().contains(evil), "{evil} with {fields} in {}", head.text());
        }
    }
}

#[test]
fn what_trusted_proxies_say_of_the_clients_connection_stays() {
    let from = |network: &'static str| {
        move |scenario| everything(scenario).listener(&format!("trusted_proxies = [\"{network}\"]"))
    };
    let told = "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8444\r\nX-Forwarded-Host: shop.example\r\n\
                X-Real-IP: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.9\r\n";
    let (head, ..) = forwarded(from("127.0.0.0/8"), told);
    for (name, value) in [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "8444"),
        ("x-forwarded-host", "shop.example"),
        ("x-real-ip", "192.0.2.9"),
    ] {
        assert_eq!(head.all(name), [value], "{name}");
    }
    let (head, _, port) = forwarded(from("192.0.2.0/24"), told);
    for (name, value) in [
        ("x-forwarded-proto", if over_tls() { "https" } else { "http" }),
        ("x-forwarded-port", &port.to_string()[..]),
        ("x-forwarded-host", "site.example:81"),
        ("x-real-ip", "127.0.0.1"),
    ] {
        assert_eq!(head.all(name), [value], "{name}");
    }
}

#[test]
fn a_cookie_is_secure_where_a_trusted_proxy_speaks_https() {
    let backend = Backend::echo_head();
    for (network, is_secure) in [("127.0.0.0/8", true), ("192.0.2.0/24", over_tls())] {
        let ringway = Scenario::of(&backend)
            .group_table("[server_group.sticky]\nmode = \"insert\"")
            .listener(&format!("trusted_proxies = [\"{network}\"]"))
            .start();
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n");
        let response = client.read_response();
        let set = response.field("set-cookie").expect("a cookie");
        assert_eq!(set.ends_with("; Secure"), is_secure, "{set}");
    }
}

#[test]
fn a_cdn_names_the_client_in_a_header_of_its_own() {
    let cdn = |network: &'static str| {
        move |scenario: Scenario| {
            scenario.forwarded("x_real_ip = true").listener(&format!(
                "trusted_proxies = [\"{network}\"]\nreal_ip_header = \"CF-Connecting-IP\""
            ))
        }
    };
    let sent = "CF-Connecting-IP: 192.0.2.9\r\nX-Forwarded-For: 6.6.6.6\r\n";
    for (network, client) in [("127.0.0.0/8", "192.0.2.9"), ("198.51.100.0/24", "127.0.0.1")] {
        let (head, ..) = forwarded(cdn(network), sent);
        assert_eq!(head.all("x-real-ip"), [client]);
        assert_eq!(head.field("x-forwarded-for"), Some("6.6.6.6, 127.0.0.1"));
        assert_eq!(head.field("cf-connecting-ip"), Some("192.0.2.9"));
    }
}

/// "A recipient MUST parse and ignore a reasonable number of empty list elements" (RFC 9110 §5.6.1.2).
#[test]
fn empty_elements_of_lists_are_ignored() {
    let trusting = |scenario: Scenario| {
        scenario.listener("trusted_proxies = [\"127.0.0.0/8\"]").forwarded("x_real_ip = true")
    };
    for sent in
        ["X-Forwarded-For: 192.0.2.1, \r\n", "X-Forwarded-For: ,192.0.2.1,, ,\r\nX-Forwarded-For: ,\r\n"]
    {
        let (head, ..) = forwarded(trusting, sent);
        assert_eq!(head.field("x-real-ip"), Some("192.0.2.1"), "{sent}");
        assert_eq!(head.field("x-forwarded-for"), Some("192.0.2.1, 127.0.0.1"), "{sent}");
    }
}

#[test]
fn x_forwarded_for_is_appended_removed_or_preserved() {
    let sent = "x-forwarded-for: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2,3.3.3.3\r\n";
    let (head, _, _) = forwarded(|scenario| scenario, sent);
    assert_eq!(head.field("x-forwarded-for"), Some("1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"));
    assert!(head.text().contains("\r\nX-Forwarded-For: "), "{}", head.text());
    let (head, _, _) = forwarded(|scenario| scenario.forwarded("x_forwarded_for = \"remove\""), sent);
    assert!(head.all("x-forwarded-for").is_empty());
    let (head, _, _) = forwarded(|scenario| scenario.forwarded("x_forwarded_for = \"preserve\""), sent);
    assert_eq!(head.all("x-forwarded-for"), ["1.1.1.1", "2.2.2.2,3.3.3.3"]);
}

#[test]
fn underscores_are_no_way_around_the_list_of_addresses() {
    let (head, _, _) =
        forwarded(|scenario| scenario, "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_For: 7.7.7.7\r\n");
    let all: Vec<_> = head
        .fields
        .iter()
        .filter(|(name, _)| name.replace('_', "-").eq_ignore_ascii_case("x-forwarded-for"))
        .collect();
    assert_eq!(all.len(), 1, "{}", head.text());
    assert!(all[0].1.ends_with("127.0.0.1"), "{}", head.text());
    let (head, _, _) = forwarded(
        |scenario| scenario.forwarded("x_forwarded_for = \"remove\""),
        "X_Forwarded_For: 6.6.6.6\r\n",
    );
    assert!(!head.text().contains("6.6.6.6"), "{}", head.text());
}

#[test]
fn what_only_a_certificate_can_say_never_comes_from_a_client() {
    let names = [
        "X-Forwarded-Clientcert-subjectdn",
        "X-Forwarded-Clientcert-fingerprint",
        "X-Forwarded-Clientcert",
        "x_forwarded_clientcert_issuerdn",
        "X-Forwarded-TLS-Protocol",
        "x-forwarded-tls-cipher",
        "Client-Cert",
        "client_cert_chain",
    ];
    let sent: String = names.map(|name| format!("{name}: evil\r\n")).concat();
    let (head, _, _) = forwarded(|scenario| scenario, &sent);
    assert!(!head.text().contains("evil"), "{}", head.text());
}

#[test]
fn names_of_the_operators_choice_never_come_from_a_client() {
    let sent = "X-Subject: evil\r\nX_SUBJECT: evil\r\nx-subjects: good\r\n";
    let (head, _, _) = forwarded(|scenario| scenario.forwarded("clientcert_subjectdn = \"x-subject\""), sent);
    assert!(!head.text().contains("evil"), "{}", head.text());
    assert_eq!(head.field("x-subjects"), Some("good"));
    let (head, _, _) = forwarded(|scenario| scenario, sent);
    assert_eq!(head.field("x-subject"), Some("evil"));
}

#[test]
fn trailers_cannot_say_what_a_certificate_says() {
    let received = |scenario: fn(Scenario) -> Scenario| {
        let backend = Backend::script(|peer| {
            let Some(_) = peer.read_head()? else { return Ok(()) };
            let mut raw = Vec::new();
            while !raw.ends_with(b"\r\n\r\n") {
                raw.extend(peer.read_some()?);
            }
            peer.respond("200 OK", &raw)
        });
        let ringway = scenario(Scenario::of(&backend)).start();
        let mut client = Client::connect(ringway.address());
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nClient-Cert: evil\r\n\
             client_cert_chain: evil\r\nX_Forwarded_Clientcert: evil\r\nX-Subject: alias\r\nX-End: 1\r\n\r\n",
        );
        client.read_response().text()
    };
    let plain = received(|scenario| scenario);
    assert!(!plain.contains("evil") && plain.contains("alias"), "{plain}");
    let told = received(|scenario| scenario.forwarded("clientcert_subjectdn = \"x-subject\""));
    assert!(!told.contains("evil") && !told.contains("alias"), "{told}");
}

#[test]
fn connection_options_remove_fields_but_not_those_that_protect() {
    let sent = "Connection: close, X-Hop, x-forwarded-for, X-Real-IP, X-Forwarded-Proto, Host, Cookie\r\n\
                X-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nCookie: a\r\nX-End: 1\r\n";
    let (head, _, _) = forwarded(everything, sent);
    for gone in ["x-hop", "keep-alive", "proxy-connection", "te", "connection"] {
        assert_eq!(head.field(gone), None, "{gone}");
    }
    for stays in ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "host", "x-end"] {
        assert!(head.field(stays).is_some(), "{stays} in {}", head.text());
    }
}

#[test]
fn trusted_proxies_decide_who_the_client_is() {
    for (trusted, list, client) in [
        ("[]", "1.1.1.1", "127.0.0.1"),
        ("[\"10.0.0.0/8\"]", "1.1.1.1", "127.0.0.1"),
        ("[\"127.0.0.1\"]", "1.1.1.1, 2.2.2.2", "2.2.2.2"),
        ("[\"127.0.0.1\", \"2.0.0.0/8\"]", "9.9.9.9, 1.1.1.1, 2.2.2.2", "1.1.1.1"),
        ("[\"127.0.0.0/8\", \"1.0.0.0/8\"]", "1.1.1.1, 1.2.3.4", "1.1.1.1"),
        ("[\"127.0.0.1\", \"2.2.2.2\"]", "1.1.1.1, junk, 2.2.2.2", "2.2.2.2"),
        ("[\"127.0.0.1\"]", "1.1.1.1:999", "1.1.1.1"),
        ("[\"127.0.0.1\"]", "[2001:db8::7]:443", "2001:db8::7"),
        ("[\"0.0.0.0/0\"]", "8.8.8.8, 1.1.1.1", "8.8.8.8"),
        ("[\"127.0.0.1\"]", "", "127.0.0.1"),
    ] {
        let (backend, received) = recording();
        let ringway = Scenario::of(&backend)
            .listener(&format!("trusted_proxies = {trusted}"))
            .forwarded("x_real_ip = true")
            .logged("json")
            .start();
        let mut asking = Client::connect(ringway.address());
        asking.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {list}\r\n\r\n"));
        assert_eq!(asking.read_response().status, 200);
        let (head, _) = received.recv().expect("a request");
        assert_eq!(head.field("x-real-ip"), Some(client), "{trusted} {list}");
        let entry = &log_entries(&ringway, 1)[0];
        assert_eq!(entry["client_ip"], client);
        assert_eq!(entry["client_port"], asking.local_address().port());
    }
}
