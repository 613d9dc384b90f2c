use super::*;
use crate::tls::certificates;
use crate::tls::certificates::File;
use crate::tls::certificates::Files;
use crate::tls::self_signed;

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
    let files = Files {
        chain: File { name: "chain", bytes: chain.as_bytes() },
        key: File { name: "key", bytes: key.as_bytes() },
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
