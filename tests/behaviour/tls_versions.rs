//! Versions, suites and the edges of a handshake.

use crate::support::tls::{Issuer, ask, client_config, session, versioned_config};
use crate::support::tools::{Said, has, run};
use crate::support::{Backend, Client, Ringway, Scenario, Wire, log_entries, now};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "site.example";

struct Site {
    issuer: Issuer,
    scenario: Scenario,
    _backend: Backend,
}

impl Site {
    fn new() -> Site {
        let issuer = Issuer::new("sites");
        let backend = Backend::echo_head();
        let scenario = Scenario::of(&backend).certificate("site", &issuer.server(&[NAME])).logged("json");
        Site { issuer, scenario, _backend: backend }
    }

    fn with_policy(&self, policy: &str) -> Ringway {
        self.scenario.clone().listener(&format!("tls_policy = \"{policy}\"")).start()
    }
}

/// What `openssl s_client` says of one connection.
fn s_client(ringway: &Ringway, more: &[&str], input: &str) -> Said {
    let address = ringway.address().to_string();
    let arguments = [&["s_client", "-connect", &address, "-servername", NAME], more].concat();
    run(ringway.folder(), "openssl", &arguments, input)
}

fn last_reason(ringway: &Ringway, lines: usize) -> String {
    let entry = log_entries(ringway, lines).pop().expect("a line");
    entry["reason"].as_str().expect("a word").to_owned()
}

#[test]
fn only_versions_1_2_and_1_3_are_spoken() {
    if !has("openssl") {
        return;
    }
    let site = Site::new();
    let ringway = site.scenario.start();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = s_client(&ringway, &[version], "");
        assert!(said.success && said.stdout.contains(&format!("New, {name}, Cipher is ")), "{}", said.all());
        assert!(said.stdout.contains("Compression: NONE"), "{}", said.stdout);
    }
    for (number, version) in ["-tls1", "-tls1_1"].into_iter().enumerate() {
        // Without the level, openssl itself would not offer them.
        let said = s_client(&ringway, &[version, "-cipher", "DEFAULT:@SECLEVEL=0"], "");
        let alerts = ["alert protocol version", "alert handshake failure"];
        let is_told = alerts.iter().any(|alert| said.stderr.contains(alert));
        assert!(!said.success && is_told, "{}", said.all());
        assert_eq!(last_reason(&ringway, number + 1), "tls_nothing_in_common");
    }
}

#[test]
fn a_policy_decides_on_versions_and_suites() {
    if !has("openssl") {
        return;
    }
    let site = Site::new();
    let strict = site.with_policy("tls_cipher_policy_1_2_strict");
    assert!(!s_client(&strict, &["-tls1_3"], "").success);
    let table = "[[tls_policy]]\nname = \"own\"\nversions = [\"1.2\", \"1.3\"]\n\
                 cipher_suites = [\"ECDHE-ECDSA-AES256-GCM-SHA384\", \"TLS_CHACHA20_POLY1305_SHA256\"]";
    let own = site.scenario.clone().table(table).listener("tls_policy = \"own\"").start();
    for (ringway, more, suite) in [
        (&strict, &["-tls1_2"][..], Some("ECDHE-ECDSA-AES")),
        (
            &strict,
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
            Some("ECDHE-ECDSA-AES128-GCM-SHA256"),
        ),
        (&strict, &["-tls1_2", "-cipher", "AES128-GCM-SHA256"], None),
        (&own, &["-tls1_2"], Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
        (&own, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], None),
        (&own, &["-tls1_3"], Some("TLS_CHACHA20_POLY1305_SHA256")),
        (&own, &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], None),
    ] {
        let said = s_client(ringway, more, "");
        match suite {
            Some(suite) => assert!(said.stdout.contains(&format!("Cipher is {suite}")), "{}", said.all()),
            None => {
                let alert = "alert handshake failure";
                assert!(!said.success && said.stderr.contains(alert), "{more:?}: {}", said.all());
            }
        }
    }
}

#[test]
fn the_server_prefers() {
    if !has("openssl") {
        return;
    }
    let site = Site::new();
    let ringway = site.scenario.start();
    let chosen = |more: &[&str]| {
        let said = s_client(&ringway, more, "");
        let suite = said.stdout.split("Cipher is ").nth(1).and_then(|rest| rest.lines().next());
        suite.unwrap_or_else(|| panic!("{}", said.all())).to_owned()
    };
    let (one, other) = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384");
    let either = [format!("{one}:{other}"), format!("{other}:{one}")];
    let choices = either.map(|suites| chosen(&["-tls1_3", "-ciphersuites", &suites]));
    assert_eq!(choices[0], choices[1]);
    let (one, other) = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384");
    let either = [format!("{one}:{other}"), format!("{other}:{one}")];
    let choices = either.map(|suites| chosen(&["-tls1_2", "-cipher", &suites]));
    assert_eq!(choices[0], choices[1]);
}

#[test]
fn renegotiation_is_refused() {
    if !has("openssl") {
        return;
    }
    let site = Site::new();
    let ringway = site.scenario.start();
    let said = s_client(&ringway, &["-tls1_2"], "R\nGET / HTTP/1.0\r\n\r\n");
    assert!(said.stdout.contains("RENEGOTIATING") || said.stderr.contains("RENEGOTIATING"), "{}", said.all());
    let refused = ["no renegotiation", "alert", "unexpected message"];
    assert!(refused.iter().any(|words| said.stderr.contains(words)), "{}", said.all());
    assert!(ask(ringway.address(), &Arc::new(client_config(&[&site.issuer.pem])), NAME).is_ok());
}

#[test]
fn http_in_the_clear_is_told_where_it_is() {
    let site = Site::new();
    let ringway = site.scenario.start();
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /upload HTTP/1.1\r\nHost: a\r\n", "G"] {
        let mut client = Client::connect_in_the_clear(ringway.address());
        client.send(request);
        let response = client.read_response();
        assert_eq!((response.status, response.field("connection")), (400, Some("close")), "{request:?}");
        let sentence = "The plain HTTP request was sent to HTTPS port";
        assert!(response.text().contains(sentence), "{}", response.text());
        client.expect_closed();
    }
    assert_eq!(last_reason(&ringway, 3), "plain_http_to_https_port");
}

#[test]
fn garbage_gets_an_alert() {
    let site = Site::new();
    let ringway = site.scenario.start();
    let mut wire = Wire::connect_in_the_clear(ringway.address());
    wire.write_all(b"\x80\x2e\x01\x00\x02 an SSL 2 hello or nothing at all").expect("it is taken");
    let mut answer = Vec::new();
    wire.read_to_end(&mut answer).expect("it closes");
    assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "{answer:?}");
    assert_eq!(last_reason(&ringway, 1), "tls_malformed");
}

#[test]
fn a_client_that_is_silent_in_its_handshake_is_let_go() {
    let site = Site::new();
    let ringway = site.scenario.clone().listener("tls_handshake_timeout = \"1s\"").start();
    for bytes in [&b""[..], &[22, 3, 1, 0, 200, 1]] {
        let start = now();
        let mut wire = Wire::connect_in_the_clear(ringway.address());
        wire.write_all(bytes).expect("it is taken");
        let mut answer = Vec::new();
        wire.read_to_end(&mut answer).expect("it closes");
        let took = start.elapsed();
        assert!(took > Duration::from_millis(800) && took < Duration::from_secs(4), "{took:?}");
    }
    assert_eq!(last_reason(&ringway, 1), "tls_handshake_timeout");
}

#[test]
fn protocols_are_chosen_by_alpn() {
    let site = Site::new();
    let ringway = site.scenario.start();
    for version in [&TLS12, &TLS13] {
        let offering = |protocols: &[&str]| {
            let mut config: ClientConfig = versioned_config(&[&site.issuer.pem], &[version], None);
            config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            Arc::new(config)
        };
        for (offered, chosen) in [
            (&["http/1.1"][..], Some("http/1.1")),
            (&["http/1.1", "h2"], Some("h2")),
            (&["h2"], Some("h2")),
            (&["http/1.0"], Some("http/1.0")),
            (&["http/1.0", "http/1.1"], Some("http/1.1")),
            (&["h3", "spdy/3", "http/1.0", "acme-tls/1"], Some("http/1.0")),
            (&["h3", "h2", "http/1.0"], Some("h2")),
            (&[], None),
        ] {
            let mut wire = Wire::connect_in_the_clear(ringway.address());
            wire.secure(session(&offering(offered), NAME).into()).expect("it is secured");
            let protocol = wire.session(|session| session.alpn_protocol().map(<[u8]>::to_vec));
            assert_eq!(protocol.as_deref(), chosen.map(str::as_bytes), "{offered:?}");
        }
        for offered in [&["h3", "spdy/3"][..], &["http/0.9"], &["h2c"]] {
            let error = ask(ringway.address(), &offering(offered), NAME).expect_err("no protocol");
            assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
        }
    }
    assert_eq!(last_reason(&ringway, 6), "tls_no_protocol");
}

#[test]
fn a_listener_without_http2_chooses_what_is_left() {
    let site = Site::new();
    let ringway = site.scenario.clone().listener("http2 = false").start();
    let chosen = |offered: &[&str]| {
        let mut config = client_config(&[&site.issuer.pem]);
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut wire = Wire::connect_in_the_clear(ringway.address());
        wire.secure(session(&Arc::new(config), NAME).into()).ok()?;
        wire.session(|session| session.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(chosen(&["h2", "http/1.0"]).as_deref(), Some(&b"http/1.0"[..]));
    assert_eq!(chosen(&["h2", "http/1.0", "http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(chosen(&["h2"]), None);
    assert_eq!(last_reason(&ringway, 1), "tls_no_protocol");
}

#[test]
fn a_client_that_distrusts_the_site_is_logged() {
    let site = Site::new();
    let ringway = site.scenario.start();
    let stranger = Issuer::new("strangers");
    let config = Arc::new(client_config(&[&stranger.pem]));
    ask(ringway.address(), &config, NAME).expect_err("it is not trusted");
    assert_eq!(last_reason(&ringway, 1), "tls_client_alert");
}

#[test]
fn curl_is_served() {
    if !has("curl") {
        return;
    }
    let site = Site::new();
    let ringway = site.scenario.start();
    let port = ringway.address().port();
    std::fs::write(ringway.folder().join("root.crt"), &site.issuer.pem).expect("it can be written");
    let (url, route) = (format!("https://{NAME}:{port}/a"), format!("::127.0.0.1:{port}"));
    let arguments = ["-sS", "--cacert", "root.crt", "--connect-to", &route, &url, &url];
    let said = run(ringway.folder(), "curl", &arguments, "");
    assert!(said.success && said.stdout.matches("GET /a HTTP/1.1").count() == 2, "{}", said.all());
    // It offers `http/1.0` and nothing else.
    let arguments = ["-sS0", "-D-", "--cacert", "root.crt", "--connect-to", &route, &url];
    let said = run(ringway.folder(), "curl", &arguments, "");
    assert!(said.success && said.stdout.contains("GET /a HTTP/1.1"), "{}", said.all());
}
