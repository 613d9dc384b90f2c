//! What backends are told of clients' certificates and of TLS, and that no client can say it itself.

use crate::support::tls::{Issuer, Pair, client_config, versioned_config};
use crate::support::tools::{has, openssl};
use crate::support::{Backend, Client, Head, Ringway, Scenario, recording};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

const NAME: &str = "site.example";

/// Keys of the configuration and the headers that they stand for.
const HEADERS: &[(&str, &str)] = &[
    ("clientcert_subjectdn", "X-Forwarded-Clientcert-subjectdn"),
    ("clientcert_issuerdn", "X-Forwarded-Clientcert-issuerdn"),
    ("clientcert_fingerprint", "X-Forwarded-Clientcert-fingerprint"),
    ("clientcert_clientverify", "X-Forwarded-Clientcert-clientverify"),
    ("clientcert_serialnumber", "X-Forwarded-Clientcert-serialnumber"),
    ("clientcert", "X-Forwarded-Clientcert"),
    ("clientcert_ciphers", "X-Forwarded-Clientcert-ciphers"),
    ("clientcert_end", "X-Forwarded-Clientcert-end"),
    ("client_cert", "Client-Cert"),
    ("tls_protocol", "X-Forwarded-TLS-Protocol"),
    ("tls_cipher", "X-Forwarded-TLS-Cipher"),
    ("tls_sni", "X-Forwarded-Tls-Sni"),
    ("tls_alpn_protocol", "X-Forwarded-Tls-Alpn-Protocol"),
];

struct Scene {
    sites: Issuer,
    clients: Issuer,
    site: Pair,
    backend: Backend,
    received: Receiver<(Head, Vec<u8>)>,
}

impl Scene {
    fn new() -> Scene {
        let sites = Issuer::new("sites");
        let site = sites.server(&[NAME]);
        let (backend, received) = recording();
        Scene { sites, site, clients: Issuer::new("clients, of \"all\" kinds"), backend, received }
    }

    fn scenario(&self) -> Scenario {
        Scenario::of(&self.backend)
            .certificate("site", &self.site)
            .authority("clients", &self.clients.pem, None)
            .client_auth("optional", "clients")
    }

    fn config(&self, pair: Option<&Pair>) -> ClientConfig {
        versioned_config(&[&self.sites.pem], &[&TLS13], pair)
    }

    fn client(&self, ringway: &Ringway, config: ClientConfig) -> Client {
        Client::secured(ringway.address(), &Arc::new(config), NAME).expect("it is secured")
    }

    /// The head that the backend gets.
    fn head(&self, client: &mut Client, request: &str) -> Head {
        client.send(request);
        assert_eq!(client.read_response().status, 200);
        self.received.recv().expect("a request").0
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: site.example\r\n\r\n";

fn everything(scenario: Scenario) -> Scenario {
    HEADERS.iter().fold(scenario, |scenario, (key, _)| scenario.forwarded(&format!("{key} = true")))
}

/// What openssl prints behind `=`.
fn printed(folder: &Path, what: &str) -> String {
    let text = openssl(folder, &format!("x509 -noout -in client.crt {what}"));
    text.split_once('=').expect("a value").1.trim_end().to_owned()
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [high, low, others @ ..]) = (first, tail) {
            let digits = [*high, *low];
            let digits = std::str::from_utf8(&digits).expect("digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            rest = others;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).expect("it is text")
}

#[test]
fn values_are_what_openssl_prints() {
    if !has("openssl") {
        return;
    }
    let scene = Scene::new();
    let pair = scene.clients.sign(&[], |params| {
        let name = &mut params.distinguished_name;
        name.push(rcgen::DnType::CountryName, "DE");
        name.push(rcgen::DnType::OrganizationName, "Example, Inc. + \"Sons\"");
        name.push(rcgen::DnType::OrganizationalUnitName, " #spaces ");
        name.push(rcgen::DnType::CommonName, "J\u{fc}rgen");
        params.serial_number = Some(0x0a1b_2c3d_4e5f_u64.into());
        params.not_after = rcgen::date_time_ymd(2030, 12, 31);
    });
    for hash in ["sha1", "sha256"] {
        let ringway =
            everything(scene.scenario()).forwarded(&format!("fingerprint_hash = \"{hash}\"")).start();
        let folder = ringway.folder();
        std::fs::write(folder.join("client.crt"), &pair.certificate).expect("it can be written");
        let mut config = scene.config(Some(&pair));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = scene.client(&ringway, config);
        let head = scene.head(&mut client, GET);
        let fingerprint =
            printed(folder, &format!("-fingerprint -{hash}")).replace(':', "").to_ascii_lowercase();
        for (name, value) in [
            ("X-Forwarded-Clientcert-subjectdn", printed(folder, "-subject -nameopt RFC2253")),
            ("X-Forwarded-Clientcert-issuerdn", printed(folder, "-issuer -nameopt RFC2253")),
            ("X-Forwarded-Clientcert-fingerprint", fingerprint),
            ("X-Forwarded-Clientcert-clientverify", "SUCCESS".to_owned()),
            ("X-Forwarded-Clientcert-serialnumber", printed(folder, "-serial")),
            ("X-Forwarded-Clientcert-end", printed(folder, "-enddate")),
            ("X-Forwarded-TLS-Protocol", "TLSv1.3".to_owned()),
            ("X-Forwarded-Tls-Sni", NAME.to_owned()),
            ("X-Forwarded-Tls-Alpn-Protocol", "http/1.1".to_owned()),
        ] {
            assert_eq!(head.field(name), Some(value.as_str()), "{name}");
        }
        let whole = unescaped(head.field("X-Forwarded-Clientcert").expect("it is there"));
        let again = Pair { certificate: whole, key: String::new() };
        assert_eq!(again.chain(), pair.chain());
        let encoded: String = pair.certificate.lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(head.field("Client-Cert"), Some(format!(":{encoded}:").as_str()));
        let suite = head.field("X-Forwarded-TLS-Cipher").expect("it is there");
        assert!(suite.starts_with("TLS_AES_") || suite.starts_with("TLS_CHACHA20_"), "{suite}");
        let offered = head.field("X-Forwarded-Clientcert-ciphers").expect("it is there");
        assert!(offered.split(':').any(|name| name == suite), "{offered}");
    }
}

#[test]
fn every_request_of_a_connection_carries_them() {
    let scene = Scene::new();
    let ringway = everything(scene.scenario()).start();
    let mut client = scene.client(&ringway, scene.config(Some(&scene.clients.client("client-1"))));
    let heads = [0, 1, 2].map(|_| scene.head(&mut client, GET));
    for (_, name) in HEADERS {
        let values = heads.each_ref().map(|head| head.field(name));
        assert!(*name == "X-Forwarded-Tls-Alpn-Protocol" || values[0].is_some(), "{name}");
        assert!(values.iter().all(|value| *value == values[0]), "{name}: {values:?}");
    }
}

#[test]
fn what_a_certificate_says_is_told_only_if_it_is_good() {
    let scene = Scene::new();
    let ringway = everything(scene.scenario()).start();
    let stranger = Issuer::new("strangers").client("root");
    for pair in [None, Some(&stranger)] {
        let mut client = scene.client(&ringway, scene.config(pair));
        let head = scene.head(&mut client, GET);
        for (key, name) in HEADERS {
            let of_certificate =
                key.starts_with("client") && !key.ends_with("verify") && !key.ends_with("ciphers");
            assert!(!of_certificate || head.field(name).is_none(), "{name} in {}", head.text());
        }
        let verified = head.field("X-Forwarded-Clientcert-clientverify").expect("it is there");
        assert_eq!(verified == "NONE", pair.is_none(), "{verified}");
        assert_eq!(head.field("X-Forwarded-TLS-Protocol"), Some("TLSv1.3"));
    }
}

#[test]
fn the_version_and_the_suite_are_those_of_the_connection() {
    let scene = Scene::new();
    let ringway = everything(scene.scenario()).start();
    let mut client = scene.client(&ringway, versioned_config(&[&scene.sites.pem], &[&TLS12], None));
    let head = scene.head(&mut client, GET);
    assert_eq!(head.field("X-Forwarded-TLS-Protocol"), Some("TLSv1.2"));
    let suite = head.field("X-Forwarded-TLS-Cipher").expect("it is there");
    assert!(suite.starts_with("ECDHE-ECDSA-"), "{suite}");
    let mut config = client_config(&[&scene.sites.pem]);
    config.enable_sni = false;
    let mut client = scene.client(&ringway, config);
    assert_eq!(scene.head(&mut client, GET).field("X-Forwarded-Tls-Sni"), None);
}

#[test]
fn names_of_ones_own_take_the_place_of_the_usual_ones() {
    let scene = Scene::new();
    let aliased = HEADERS.iter().filter(|(key, _)| *key != "client_cert");
    let alias = |key: &str| format!("x-own-{}", key.replace('_', "-"));
    let scenario = aliased.clone().fold(scene.scenario(), |scenario, (key, _)| {
        scenario.forwarded(&format!("{key} = \"{}\"", alias(key)))
    });
    let ringway = scenario.start();
    let mut config = scene.config(Some(&scene.clients.client("client-1")));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut client = scene.client(&ringway, config);
    let spoofs: String =
        aliased.clone().map(|(key, _)| format!("{}: evil\r\n", alias(key).to_uppercase())).collect();
    let head = scene.head(&mut client, &format!("GET / HTTP/1.1\r\nHost: a\r\n{spoofs}\r\n"));
    for (key, name) in aliased {
        assert!(head.field(name).is_none(), "{name}");
        let value = head.field(&alias(key)).unwrap_or_else(|| panic!("{key} in {}", head.text()));
        assert_ne!(value, "evil", "{key}");
    }
}

/// Copies of the headers in spellings that backends may take for them.
fn spoofed() -> Vec<String> {
    let all =
        HEADERS.iter().map(|(_, name)| *name).chain(["Client-Cert-Chain", "X-Forwarded-Clientcert-Future"]);
    all.flat_map(|name| {
        [
            name.to_owned(),
            name.to_ascii_lowercase(),
            name.to_ascii_uppercase(),
            name.replace('-', "_"),
            name.replacen('-', "_", 1).to_ascii_lowercase(),
        ]
    })
    .collect()
}

#[test]
fn what_clients_claim_never_passes() {
    let scene = Scene::new();
    let names = spoofed();
    let plain = format!("# in cleartext\n{}", Scenario::of(&scene.backend).text());
    let ringways = [
        ("off", scene.scenario().start()),
        ("on", everything(scene.scenario()).start()),
        ("in cleartext", Ringway::start(&plain)),
    ];
    for (state, ringway) in &ringways {
        let connect = || match *state {
            "in cleartext" => Client::connect(ringway.address()),
            _ => scene.client(ringway, scene.config(None)),
        };
        for part in names.chunks(40) {
            let lines: String = part.iter().map(|name| format!("{name}: evil\r\n")).collect();
            let head = scene.head(&mut connect(), &format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
            assert!(!head.text().contains("evil"), "{state}: {}", head.text());
        }
    }
}

#[test]
fn trailers_never_claim_it_either() {
    let scene = Scene::new();
    let names = spoofed();
    for state in ["off", "on", "in cleartext"] {
        let (raw, seen) = raw_backend();
        let scenario = Scenario::of(&raw)
            .certificate("site", &scene.site)
            .authority("clients", &scene.clients.pem, None)
            .client_auth("optional", "clients");
        let ringway = match state {
            "off" => scenario.start(),
            "on" => everything(scenario).start(),
            _ => Ringway::start(&format!("# in cleartext\n{}", Scenario::of(&raw).text())),
        };
        let mut client = match state {
            "in cleartext" => Client::connect(ringway.address()),
            _ => scene.client(&ringway, scene.config(None)),
        };
        for name in &names {
            client.send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n\
                 1\r\nx\r\n0\r\n{name}: evil\r\nX-Fine: yes\r\n\r\n"
            ));
            assert_eq!(client.read_response().status, 200);
            let bytes = seen.recv().expect("a request");
            assert!(!String::from_utf8_lossy(&bytes).contains("evil"), "{state}: {name}");
        }
    }
}

/// A backend that tells the bytes of each chunked request with its trailers.
fn raw_backend() -> (Backend, Receiver<Vec<u8>>) {
    let (sender, seen) = std::sync::mpsc::channel();
    let backend = Backend::script(move |peer| {
        loop {
            let mut bytes = Vec::new();
            while !(bytes.windows(3).any(|part| part == b"\n0\r") && bytes.ends_with(b"\r\n\r\n")) {
                let piece = peer.read_some()?;
                if piece.is_empty() {
                    return Ok(());
                }
                bytes.extend(piece);
            }
            // The test may be over already.
            let _ = sender.send(bytes);
            peer.respond("200 OK", b"")?;
        }
    });
    (backend, seen)
}

#[test]
fn the_certificate_that_is_shown_is_told_by_its_name() {
    let scene = Scene::new();
    let ringway = scene.scenario().forwarded("tls_certificate_id = true").start();
    let config = Arc::new(scene.config(None));
    // The second client resumes the session of the first one.
    for _ in 0..2 {
        let mut client = Client::secured(ringway.address(), &config, NAME).expect("it is secured");
        client.send("GET / HTTP/1.1\r\nHost: site.example\r\nX-Forwarded-TLS-Certificate-ID: forged\r\n\r\n");
        assert_eq!(client.read_response().status, 200);
        let (head, _) = scene.received.recv().expect("a request");
        assert_eq!(head.all("x-forwarded-tls-certificate-id"), ["site"]);
    }
}
