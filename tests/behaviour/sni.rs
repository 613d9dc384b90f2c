//! Which certificate a client gets.

use crate::support::tls::{Issuer, Pair, client_config, session, versioned_config};
use crate::support::tools::{has, run};
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, Wire, log_entries};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Trusts everybody and offers these signature algorithms.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];

/// The certificate that a client gets who asks for this name, if any.
fn shown(ringway: &Ringway, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Vec<u8>> {
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(schemes.to_vec())))
        .with_no_client_auth();
    config.enable_sni = name.is_some();
    let mut wire = Wire::connect_in_the_clear(ringway.address());
    wire.secure(session(&Arc::new(config), name.unwrap_or("none.example")).into()).ok()?;
    wire.session(|session| session.peer_certificates().map(|chain| chain[0].to_vec()))
}

struct Sites {
    pairs: Vec<(&'static str, Pair)>,
    ringway: Ringway,
    _backend: Backend,
}

impl Sites {
    fn new(sets: &[(&'static str, &[&str])], lines: &[&str]) -> Sites {
        let issuer = Issuer::new("sites");
        let backend = Backend::echo_head();
        let pairs: Vec<_> = sets.iter().map(|(name, names)| (*name, issuer.server(names))).collect();
        let scenario = pairs
            .iter()
            .fold(Scenario::of(&backend), |scenario, (name, pair)| scenario.certificate(name, pair));
        let scenario = lines.iter().fold(scenario, |scenario, line| scenario.listener(line));
        Sites { ringway: scenario.start(), pairs, _backend: backend }
    }

    /// The name of the certificate that serves a name.
    fn serving(&self, name: Option<&str>) -> &str {
        let shown = shown(&self.ringway, name, ECDSA).expect("a certificate");
        let found = self.pairs.iter().find(|(_, pair)| pair.chain()[0].to_vec() == shown);
        found.expect("one of them").0
    }
}

const SETS: &[(&str, &[&str])] = &[
    ("default", &["default.example"]),
    ("exact", &["www.example.com", "other.example.org"]),
    ("wildcard", &["*.example.com"]),
    ("partial", &["*test.example.com"]),
    ("deep", &["*.b.example.com"]),
];

#[test]
fn names_find_their_certificates() {
    let sites = Sites::new(SETS, &[]);
    for (name, certificate) in [
        ("www.example.com", "exact"),
        ("WWW.Example.COM", "exact"),
        ("other.example.org", "exact"),
        ("test.example.com", "wildcard"),
        ("xn--fsqu00a.example.com", "wildcard"),
        ("mytest.example.com", "wildcard"),
        ("a.b.example.com", "deep"),
        ("example.com", "default"),
        ("test.test.example.com", "default"),
        ("unknown.example.net", "default"),
    ] {
        assert_eq!(sites.serving(Some(name)), certificate, "{name}");
    }
    assert_eq!(sites.serving(None), "default");
}

#[test]
fn a_certificate_is_shown_for_the_names_that_were_chosen() {
    let issuer = Issuer::new("sites");
    let backend = Backend::echo_head();
    let wide = issuer.server(&["a.example.com", "b.example.com", "*.example.org"]);
    let narrow = issuer.server(&["b.example.com"]);
    let of = |names: &str| {
        let scenario = Scenario::of(&backend).certificate("default", &issuer.server(&["default.example"]));
        // The table of the certificate that came last stands last.
        scenario.certificate("narrow", &narrow).certificate("wide", &wide).table(names)
    };
    let ringway = of("names = [\"A.example.com\", \"*.example.org\"]").start();
    let leaf = |pair: &Pair| pair.chain()[0].to_vec();
    for (name, expected) in [
        ("a.example.com", Some(&wide)),
        ("x.example.org", Some(&wide)),
        ("b.example.com", Some(&narrow)),
        ("c.example.com", None),
    ] {
        let shown = shown(&ringway, Some(name), ECDSA).expect("a certificate");
        let is_expected = match expected {
            Some(pair) => shown == leaf(pair),
            None => ![&wide, &narrow].map(leaf).contains(&shown),
        };
        assert!(is_expected, "{name}");
    }
    // They share no name, so that nothing is warned of.
    assert!(!ringway.stderr().contains("warning"), "{}", ringway.stderr());
    let mut refused = of("names = [\"c.example.com\"]").spawn();
    refused.wait_for_exit(PATIENCE);
    let said = refused.stderr_to_end();
    assert!(said.contains("error: \"c.example.com\" is no name of the certificate in "), "{said}");
    assert!(said.contains("its names are a.example.com, b.example.com, *.example.org"), "{said}");
}

#[test]
fn a_new_certificate_without_a_chosen_name_stays_out() {
    let issuer = Issuer::new("sites");
    let backend = Backend::echo_head();
    let old = issuer.server(&["a.example.com", "b.example.com"]);
    let scenario = Scenario::of(&backend).certificate("site", &old).table("names = [\"b.example.com\"]");
    let ringway = scenario.start();
    let new = issuer.server(&["a.example.com"]);
    std::fs::write(ringway.folder().join("site.key"), &new.key).expect("it can be written");
    std::fs::write(ringway.folder().join("site.crt"), &new.certificate).expect("it can be written");
    ringway.wait_for_line("\"b.example.com\" is no name of the certificate");
    assert_eq!(shown(&ringway, Some("b.example.com"), ECDSA), Some(old.chain()[0].to_vec()));
}

#[test]
fn a_part_of_a_label_may_be_left_open() {
    let sets: Vec<_> = SETS.iter().copied().filter(|(name, _)| *name != "wildcard").collect();
    let sites = Sites::new(&sets, &[]);
    for (name, certificate) in [
        ("mytest.example.com", "partial"),
        ("test.example.com", "default"),
        ("xn--fsqu00atest.example.com", "default"),
        ("a.mytest.example.com", "default"),
    ] {
        assert_eq!(sites.serving(Some(name)), certificate, "{name}");
    }
}

#[test]
fn by_the_longest_suffix_a_wildcard_stands_for_several_labels() {
    let sites = Sites::new(SETS, &["sni_match = \"longest_suffix\""]);
    for (name, certificate) in [
        ("www.example.com", "exact"),
        ("a.example.com", "wildcard"),
        ("x.y.example.com", "wildcard"),
        ("x.a.b.example.com", "deep"),
        ("example.com", "default"),
        ("a.example.org", "default"),
    ] {
        assert_eq!(sites.serving(Some(name)), certificate, "{name}");
    }
}

/// A self-signed certificate with an RSA key for this name.
fn rsa(name: &str) -> Pair {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    let key = key.expect("a key can be made");
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("the name is good");
    let certificate = params.self_signed(&key).expect("it can be signed");
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

#[test]
fn of_a_pair_the_client_gets_the_one_that_it_can_verify() {
    let name = "www.example.com";
    let (ecdsa, rsa) = (Issuer::new("sites").server(&[name]), rsa(name));
    let leaf = |pair: &Pair| Some(pair.chain()[0].to_vec());
    let backend = Backend::echo_head();
    for turned in [false, true] {
        let order = if turned { [("a", &rsa), ("b", &ecdsa)] } else { [("a", &ecdsa), ("b", &rsa)] };
        let scenario = order
            .iter()
            .fold(Scenario::of(&backend), |scenario, (name, pair)| scenario.certificate(name, pair));
        let ringway = scenario.start();
        for asked in [Some(name), Some("unknown.example"), None] {
            assert_eq!(shown(&ringway, asked, &[ECDSA, RSA].concat()), leaf(&ecdsa), "{asked:?}");
            assert_eq!(shown(&ringway, asked, ECDSA), leaf(&ecdsa), "{asked:?}");
            assert_eq!(shown(&ringway, asked, RSA), leaf(&rsa), "{asked:?}");
        }
    }
}

#[test]
fn openssl_gets_the_same() {
    if !has("openssl") {
        return;
    }
    let sites = Sites::new(SETS, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let address = sites.ringway.address().to_string();
    for (more, name) in [
        (&["-servername", "mytest.example.com"][..], "*.example.com"),
        (&["-servername", "a.b.example.com"], "*.b.example.com"),
        (&["-noservername"], "default.example"),
    ] {
        let arguments = [&["s_client", "-connect", &address, "-showcerts"], more].concat();
        let said = run(folder.path(), "openssl", &arguments, "");
        let begin = said.stdout.find("-----BEGIN CERTIFICATE").expect("a certificate");
        let text = run(
            folder.path(),
            "openssl",
            &["x509", "-noout", "-ext", "subjectAltName"],
            &said.stdout[begin..],
        );
        assert!(text.stdout.contains(&format!("DNS:{name}\n")), "{more:?}: {}", text.all());
    }
}

#[test]
fn unknown_names_can_be_refused_at_the_handshake() {
    let backend = Backend::echo_head();
    let issuer = Issuer::new("a CA");
    let pair = issuer.server(&["a.example", "*.b.example"]);
    let scenario = Scenario::of(&backend).certificate("site", &pair).logged("json");
    let rejecting = scenario.clone().listener("unknown_sni = \"reject\"");
    let ringway = rejecting.table("[admin]\nsocket = \"admin.sock\"").start();
    for (name, is_served) in [
        (Some("a.example"), true),
        (Some("x.b.example"), true),
        (None, true),
        (Some("other.example"), false),
        (Some("x.y.b.example"), false),
    ] {
        assert_eq!(shown(&ringway, name, ECDSA).is_some(), is_served, "{name:?}");
    }
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(versioned_config(&[&issuer.pem], &[version], None));
        let error =
            Client::secured(ringway.address(), &config, "other.example").err().expect("it is refused");
        assert!(format!("{error:?}").contains("Unrecogni"), "{error:?}");
    }
    let entries = log_entries(&ringway, 1);
    assert!(entries.iter().any(|entry| entry["reason"] == "tls_unknown_name"), "{entries:?}");
    let status = crate::admin::status(&ringway);
    assert_eq!(status["listeners"][0]["refused"]["tls_unknown_name"], 4);
    let ringway = scenario.start();
    assert!(shown(&ringway, Some("other.example"), ECDSA).is_some());
}

/// What comes back for heads on one connection that was opened for `one.test`.
fn statuses(ringway: &Ringway, issuer: &Issuer, heads: &[&str]) -> Vec<u16> {
    let mut config = client_config(&[&issuer.pem]);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut client = Client::secured(ringway.address(), &Arc::new(config), "one.test").expect("it succeeds");
    let ask = |head: &&str| {
        client.send(format!("{head}\r\n\r\n"));
        client.read_response().status
    };
    heads.iter().map(ask).collect()
}

#[test]
fn a_host_of_another_certificate_can_be_refused_over_http1_too() {
    let issuer = Issuer::new("a CA");
    let (one, two) = (issuer.server(&["one.test", "alias.test"]), issuer.server(&["two.test"]));
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).certificate("one", &one).certificate("two", &two).logged("json");
    let heads = [
        "GET / HTTP/1.1\r\nHost: one.test",
        "GET / HTTP/1.1\r\nHost: ALIAS.test:8443",
        "GET / HTTP/1.1\r\nHost: two.test",
        "GET https://two.test/ HTTP/1.1\r\nHost: one.test",
        "GET https://one.test/ HTTP/1.1\r\nHost: two.test",
        "GET / HTTP/1.0\r\nConnection: keep-alive",
        // No certificate names it, so it has that of who asks for no name, which is the first.
        "GET / HTTP/1.1\r\nHost: other.test",
    ];
    let ringway = scenario.clone().listener("host_unlike_sni = \"reject\"").start();
    assert_eq!(statuses(&ringway, &issuer, &heads), [200, 200, 421, 421, 200, 200, 200]);
    let entries = log_entries(&ringway, heads.len());
    assert_eq!(
        (&entries[2]["reason"], &entries[2]["http_host"]),
        (&"misdirected".into(), &"two.test".into())
    );
    let ringway = scenario.start();
    assert_eq!(statuses(&ringway, &issuer, &heads), [200; 7]);
}
