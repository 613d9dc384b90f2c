use super::*;
use crate::tls::tls_policy;
use crate::tls::x509::certificates;
use crate::tls::x509::certificates::CertificateFile;
use crate::tls::x509::certificates::CertificateFiles;
use crate::tls::x509::self_signed;

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];
const RSA_ONLY: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];

/// All certificates of a test share one key; what is chosen is told by what else is in them.
fn certificate(names: &[&str], is_ecdsa: bool, key: &Arc<dyn rustls::sign::SigningKey>) -> Arc<Certificate> {
    let rsa: &[SignatureScheme] = RSA_ONLY;
    Arc::new(Certificate {
        certified: Arc::new(CertifiedKey::new(Vec::new(), Arc::clone(key))),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        is_ecdsa,
        schemes: if is_ecdsa { &[SignatureScheme::ECDSA_NISTP256_SHA256] } else { rsa },
        not_before: 0,
        not_after: 0,
    })
}

fn any_key() -> Arc<dyn rustls::sign::SigningKey> {
    let (chain, key) = self_signed::for_names(&["localhost"], 1_800_000_000).expect("it can be made");
    let files = CertificateFiles {
        chain: CertificateFile { name: "chain", bytes: chain.as_bytes() },
        key: CertificateFile { name: "key", bytes: key.as_bytes() },
        staple: None,
    };
    let checked = certificates::read(&files, 1_800_000_000).expect("it is valid");
    Arc::clone(&checked.certificate.certified.key)
}

/// Which of the certificates is chosen; they are ECDSA where their first name does not begin with `rsa:`.
fn chosen(sets: &[&[&str]], sni_match: SniMatch, name: &str, schemes: &[SignatureScheme]) -> usize {
    let key = any_key();
    let list: Vec<_> = sets
        .iter()
        .map(|names| match names.split_first() {
            Some((&"rsa:", names)) => certificate(names, false, &key),
            _ => certificate(names, true, &key),
        })
        .collect();
    let (index, _) = CertificateIndex::new(&list, sni_match);
    let name = (!name.is_empty()).then_some(name);
    let found = index.choose(name, schemes);
    list.iter().position(|one| Arc::ptr_eq(&one.certified, found)).expect("it is one of the list")
}

fn check(sets: &[&[&str]], sni_match: SniMatch, cases: &[(&str, usize)]) {
    for (name, expected) in cases {
        assert_eq!(chosen(sets, sni_match, name, ECDSA), *expected, "{name}");
    }
}

#[test]
fn the_wildcard_rules_of_the_cloud_product_hold() {
    let sets: &[&[&str]] = &[&["default.org"], &["*.example.com"], &["*test.example.net"]];
    check(
        sets,
        SniMatch::Wildcard,
        &[
            ("", 0),
            ("test.example.com", 1),
            ("TEST.Example.COM.", 1),
            ("test.test.example.com", 0),
            ("xn--fsqu00a.example.com", 1),
            ("test_test.example.com", 0),
            ("example.com", 0),
            (".example.com", 0),
            ("-.example.com", 1),
            ("mytest.example.net", 2),
            ("my-test.example.net", 2),
            ("my_test.example.net", 0),
            ("test.example.net", 0),
            ("tests.example.net", 0),
            ("xn--fsqu00atest.example.net", 0),
            ("a.mytest.example.net", 0),
            ("unknown.org", 0),
        ],
    );
}

#[test]
fn the_most_specific_name_wins() {
    let sets: &[&[&str]] = &[
        &["default.org"],
        &["*.example.com"],
        &["www.example.com", "a_b.example.com"],
        &["*t.example.com", "*t.example.net"],
        &["*test.example.net"],
        &["*st.example.net"],
    ];
    check(
        sets,
        SniMatch::Wildcard,
        &[
            ("www.example.com", 2),
            ("a_b.example.com", 2),
            ("wwt.example.com", 1),
            ("atest.example.net", 4),
            ("test.example.net", 5),
            ("st.example.net", 3),
            ("t.example.net", 0),
        ],
    );
}

#[test]
fn by_the_longest_suffix_a_wildcard_stands_for_several_labels() {
    let sets: &[&[&str]] = &[&["default.org"], &["*.test.com"], &["*.b.test.com"], &["*.com"]];
    check(
        sets,
        SniMatch::LongestSuffix,
        &[
            ("a.test.com", 1),
            ("a.b.test.com", 2),
            ("x.a.b.test.com", 2),
            ("a.c.test.com", 1),
            ("a.other.com", 3),
            ("test.com", 3),
            ("com", 0),
            ("a_b.c.test.com", 0),
            ("a.c_d.test.com", 0),
        ],
    );
    check(sets, SniMatch::Wildcard, &[("x.a.b.test.com", 0), ("a.other.com", 0), ("test.com", 3)]);
}

#[test]
fn of_two_kinds_of_keys_the_elliptic_one_is_preferred() {
    let sets: &[&[&str]] = &[
        &["rsa:", "default.org"],
        &["rsa:", "a.org", "*.b.org"],
        &["a.org", "*.b.org", "default.org"],
        &["only.org"],
    ];
    for (name, ecdsa, rsa) in
        [("a.org", 2, 1), ("x.b.org", 2, 1), ("", 2, 0), ("no.org", 2, 0), ("only.org", 3, 3)]
    {
        assert_eq!(chosen(sets, SniMatch::Wildcard, name, ECDSA), ecdsa, "{name}");
        assert_eq!(chosen(sets, SniMatch::Wildcard, name, RSA_ONLY), rsa, "{name}");
        assert_eq!(chosen(sets, SniMatch::Wildcard, name, &[]), ecdsa, "{name}");
    }
}

#[test]
fn the_first_of_two_with_the_same_name_wins_and_the_other_is_told() {
    let key = any_key();
    let first = certificate(&["a.org", "a.org", "*.a.org"], true, &key);
    let second = certificate(&["b.org", "*.a.org"], true, &key);
    let (index, shadowed) =
        CertificateIndex::new(&[Arc::clone(&first), Arc::clone(&second)], SniMatch::Wildcard);
    assert_eq!(shadowed, [Shadowed { name: "*.a.org".to_owned(), certificate: 1, by: 0 }]);
    assert!(Arc::ptr_eq(index.choose(Some("x.a.org"), ECDSA), &first.certified));
    assert_eq!(index.certificates().len(), 2);
}

#[test]
fn names_that_no_client_can_ask_for_are_no_patterns() {
    let long = "a".repeat(64);
    for name in
        ["", "*", "*.", "test*.example.com", "a.*.com", "**.com", "*.*.com", "*test", "a b.com", &long]
    {
        assert_eq!(NamePattern::parse(name), None, "{name}");
    }
    assert_eq!(NamePattern::parse("*.com"), Some(NamePattern::Label("com")));
    assert_eq!(NamePattern::parse("*a.com"), Some(NamePattern::PartOfLabel("a.com")));
    assert_eq!(NamePattern::parse("localhost"), Some(NamePattern::Exact("localhost")));
}

#[test]
fn no_name_makes_it_panic() {
    let sets: &[&[&str]] = &[&["a.org"], &["*.b.org"], &["*c.b.org"]];
    let long = "x.".repeat(200);
    for name in
        [".", "..", "*.b.org", ".b.org", "c.b.org.", "ä.b.org", &long, &"y".repeat(253), &"z".repeat(254)]
    {
        for sni_match in [SniMatch::Wildcard, SniMatch::LongestSuffix] {
            chosen(sets, sni_match, name, &[]);
        }
    }
}

/// Takes any certificate: what is under test is which one comes.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate of the `openssl` command.
fn made_by_openssl(kind: &str, folder: &std::path::Path) -> Arc<Certificate> {
    let words = format!("req -x509 -newkey {kind} -nodes -keyout a.key -out a.crt -days 9 -subj /CN=a.org");
    let mut command = std::process::Command::new("openssl");
    let output = command.args(words.split(' ')).current_dir(folder).output().expect("openssl is installed");
    assert!(output.status.success());
    let read = |name| std::fs::read(folder.join(name)).expect("the file is there");
    let (chain, key) = (read("a.crt"), read("a.key"));
    let files = CertificateFiles {
        chain: CertificateFile { name: "chain", bytes: &chain },
        key: CertificateFile { name: "key", bytes: &key },
        staple: None,
    };
    let now = i64::try_from(crate::net::clock::wall_now().as_secs()).expect("it fits");
    Arc::new(certificates::read(&files, now).expect("it is valid").certificate)
}

/// A handshake in memory: the leaf that the client got, and the cipher suite.
fn shake_hands(index: &Arc<CertificateIndex>, client_suites: &[u16], name: &str) -> (Vec<u8>, u16) {
    let versions = [0x0303, 0x0304];
    let offer = tls_policy::everything();
    let mut server = rustls::ServerConfig::builder_with_provider(tls_policy::provider(&offer))
        .with_protocol_versions(&offer.versions)
        .expect("the versions fit the suites")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver { index: Arc::clone(index), refuses_unknown: false }));
    server.ignore_client_order = true;
    let offer = tls_policy::intersect(&versions, client_suites).offer.expect("something is left");
    let provider = tls_policy::provider(&offer);
    let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&offer.versions)
        .expect("the versions fit the suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).expect("it is a name");
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).expect("it can begin");
    let mut server = rustls::ServerConnection::new(Arc::new(server)).expect("it can begin");
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("a vector takes all");
        server.read_tls(&mut wire.as_slice()).expect("a slice gives all");
        server.process_new_packets().expect("the client speaks TLS");
        let mut wire = Vec::new();
        server.write_tls(&mut wire).expect("a vector takes all");
        client.read_tls(&mut wire.as_slice()).expect("a slice gives all");
        client.process_new_packets().expect("the server speaks TLS");
    }
    let leaf = client.peer_certificates().expect("the server shows one")[0].to_vec();
    (leaf, client.negotiated_cipher_suite().map_or(0, |suite| u16::from(suite.suite())))
}

#[test]
fn a_handshake_gets_the_certificate_that_fits_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let rsa = made_by_openssl("rsa:2048", folder.path());
    let ecdsa = made_by_openssl("ec -pkeyopt ec_paramgen_curve:P-256", folder.path());
    let list = [Arc::clone(&rsa), Arc::clone(&ecdsa)];
    let index = Arc::new(CertificateIndex::new(&list, SniMatch::Wildcard).0);
    let leaf = |certificate: &Certificate| certificate.certified.cert[0].to_vec();
    let all: Vec<u16> = tls_policy::everything().suite_numbers();
    for name in ["a.org", "other.org"] {
        assert_eq!(shake_hands(&index, &all, name), (leaf(&ecdsa), 0x1301));
        assert_eq!(shake_hands(&index, &[0x1303, 0x1302], name), (leaf(&ecdsa), 0x1302));
        // A client of TLS 1.2 says by its suites which keys it can verify.
        assert_eq!(shake_hands(&index, &[0xcca8, 0xc030], name), (leaf(&rsa), 0xc030));
        assert_eq!(shake_hands(&index, &[0xcca8, 0xc030, 0xc02b], name), (leaf(&ecdsa), 0xc02b));
    }
}

/// A measurement, not a check: `cargo test --release -- --ignored --nocapture what_a_lookup_costs`.
#[test]
#[ignore = "measures"]
fn what_a_lookup_costs() {
    let key = any_key();
    for count in [1, 100, 10_000] {
        let names: Vec<[String; 3]> = (0..count)
            .map(|n| [format!("host{n}.example.com"), format!("*.w{n}.example.com"), format!("*p.p{n}.org")])
            .collect();
        let list: Vec<_> = names
            .iter()
            .map(|names| certificate(&names.each_ref().map(String::as_str), true, &key))
            .collect();
        let (index, _) = CertificateIndex::new(&list, SniMatch::LongestSuffix);
        let last = count - 1;
        for (what, name) in [
            ("exact", format!("host{last}.example.com")),
            ("wildcard", format!("some.w{last}.example.com")),
            ("part of a label", format!("somep.p{last}.org")),
            ("default", "a.name.that.nobody.knows".to_owned()),
        ] {
            const ROUNDS: u32 = 1_000_000;
            let started = crate::net::clock::instant_now();
            for _ in 0..ROUNDS {
                std::hint::black_box(index.choose(Some(std::hint::black_box(&name)), ECDSA));
            }
            println!("{count:>6} certificates, {what}: {:?} each", started.elapsed() / ROUNDS);
        }
    }
}
