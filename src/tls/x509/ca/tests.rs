//! CAs, clients and revocation lists as `openssl` makes them.

mod kit;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::*;
use crate::tls::client_verifier::ClientAuthMode;
use crate::tls::client_verifier::ClientVerdict;
use crate::tls::client_verifier::ClientVerifier;
use crate::tls::client_verifier::take_verdict;
use crate::tls::x509::ca_files::CaFile;
use crate::tls::x509::ca_findings::CaFinding;
use crate::tls::x509::ca_findings::Problem;
use crate::tls::x509::client_certificate::ClientCertificate;
use crate::tls::x509::client_certificate::FingerprintHash;
use crate::tls::x509::fuzz;
use kit::Kit;
use kit::in_days;
use kit::today;

#[test]
fn certificates_of_version_1_and_3() {
    let Some(kit) = Kit::make(
        r#"
        rsa root; self_signed root "/O=Ringway/CN=Root" -sha256 $v1
        key ec; self_signed ec "/CN=EC root" -sha384 -extfile ca.ext
        rsa one; signed one root "/O=Ringway/CN=one" -sha256 $v1
        key two P-384; signed two ec "/CN=two" -sha384 $v1
        key three; signed three root "/CN=three" -sha512 -extfile client.ext
        key four; signed four root "/CN=four" -sha256 -extfile leaf.ext
        key server; signed server root "/CN=server" -sha256 -extfile server.ext
        key old; signed old root "/CN=old" -sha1 $v1
        key old3; signed old3 root "/CN=old" -sha1 -extfile client.ext
        openssl genpkey -algorithm ED25519 -out ed.key; signed ed root "/CN=ed" -sha256 $v1
        key forger; self_signed forger "/O=Ringway/CN=Root" -sha256 $v1
        key forged; signed forged forger "/CN=forged" -sha256 $v1
        key forged3; signed forged3 forger "/CN=forged" -sha256 -extfile client.ext
        cat root.crt ec.crt > both.crt"#,
    ) else {
        return;
    };
    assert_eq!(ParsedCertificate::parse(&kit.certificate("one.crt")).map(|parsed| parsed.version), Some(1));
    assert_eq!(ParsedCertificate::parse(&kit.certificate("three.crt")).map(|parsed| parsed.version), Some(3));
    assert_eq!(kit.problems("both.crt", &[]), []);
    use ClientCertificateError as Refusal;
    for (client, day, expected) in [
        ("one", 0, Ok(())),
        ("two", 0, Ok(())),
        ("three", 0, Ok(())),
        ("four", 0, Ok(())),
        ("ed", 0, Ok(())),
        ("one", 366, Err(Refusal::Expired)),
        ("three", 366, Err(Refusal::Expired)),
        ("server", 0, Err(Refusal::WrongPurpose)),
        ("old", 0, Err(Refusal::BrokenHash)),
        ("old3", 0, Err(Refusal::BrokenHash)),
        ("forged", 0, Err(Refusal::BadSignature)),
        ("forged3", 0, Err(Refusal::BadSignature)),
    ] {
        assert_eq!(kit.verify("both.crt", &[], &[&format!("{client}.crt")], day), expected, "{client}");
    }
    assert_eq!(kit.verify("ec.crt", &[], &["one.crt"], 0), Err(Refusal::UnknownCa));
    assert_eq!(kit.verify("ec.crt", &[], &["three.crt"], 0), Err(Refusal::UnknownCa));
    let (authority, _) = kit.load("both.crt", &[], today());
    let authorities = TrustedCas::new(vec![Arc::new(authority.unwrap())]);
    let past = UnixTime::since_unix_epoch(Duration::from_secs(today().as_secs() - 86_400));
    for client in ["one.crt", "three.crt"] {
        let chain = [kit.certificate(client)];
        assert_eq!(authorities.verify(&chain, past), Err(Refusal::NotYetValid));
    }
    assert_eq!(authorities.verify(&[], today()), Err(Refusal::Malformed));
    assert_eq!(authorities.verify(&[CertificateDer::from(vec![0x30; 99])], today()), Err(Refusal::Malformed));
    let long = CertificateDer::from(vec![0x30; MAX_CERTIFICATE_BYTES + 1]);
    assert_eq!(authorities.verify(&[long], today()), Err(Refusal::TooLarge));
}

#[test]
fn intermediates_and_long_chains() {
    let Some(kit) = Kit::make(
        r#"
        key i0; self_signed i0 "/CN=i0" -sha256 -extfile ca.ext
        for n in 1 2 3 4 5; do key i$n; signed i$n i$((n-1)) "/CN=i$n" -sha256 -extfile ca.ext; done
        for n in 0 1 4 5; do key c$n; signed c$n i$n "/CN=c$n" -sha256 -extfile client.ext; done
        key v; signed v i1 "/CN=v" -sha256 $v1
        key leafca; signed leafca c0 "/CN=leafca" -sha256 -extfile client.ext
        key v1ca; signed v1ca i0 "/CN=v1ca" -sha256 $v1; key under; signed under v1ca "/CN=under" -sha256 -extfile client.ext"#,
    ) else {
        return;
    };
    use ClientCertificateError as Refusal;
    for (bundle, chain, expected) in [
        ("i0", &["c1", "i1"][..], Ok(())),
        ("i0", &["c1", "i1", "i0"], Ok(())),
        ("i0", &["c4", "i4", "i3", "i2", "i1"], Ok(())),
        ("i0", &["c5", "i5", "i4", "i3", "i2", "i1"], Err(Refusal::ChainTooLong)),
        ("i0", &["c4", "i4", "i3", "i2", "i1", "i0", "i5"], Err(Refusal::ChainTooLong)),
        ("i0", &["c1"], Err(Refusal::UnknownCa)),
        // An intermediate is trusted in its own right.
        ("i1", &["c1"], Ok(())),
        ("i1", &["c0"], Err(Refusal::UnknownCa)),
        ("i1", &["v"], Ok(())),
        // Version 1 must be signed directly, and is no CA.
        ("i0", &["v", "i1"], Err(Refusal::UnknownCa)),
        ("i0", &["under", "v1ca"], Err(Refusal::Unsupported)),
        ("i0", &["leafca", "c0"], Err(Refusal::NotPermitted)),
    ] {
        let chain: Vec<_> = chain.iter().map(|name| format!("{name}.crt")).collect();
        let chain: Vec<_> = chain.iter().map(String::as_str).collect();
        assert_eq!(kit.verify(&format!("{bundle}.crt"), &[], &chain, 0), expected, "{bundle} {chain:?}");
    }
    assert_eq!(kit.problems("v1ca.crt", &[]), [Problem::NotACa { subject: "CN=v1ca".to_owned() }]);
    assert_eq!(kit.problems("c0.crt", &[]), [Problem::NotACa { subject: "CN=c0".to_owned() }]);
    let expired = kit.load("i0.crt", &[], in_days(4000)).1;
    assert!(matches!(expired[0].problem, Problem::CaExpired { .. }), "{expired:?}");
    assert_eq!(kit.verify("i1.crt", &[], &["c1.crt"], 364), Ok(()));
}

#[test]
fn an_expired_ca_lets_nobody_in_unless_it_was_renewed() {
    let Some(kit) = Kit::make(
        r#"
        key ca
        openssl req -new -key ca.key -subj /CN=ca | openssl x509 -req -signkey ca.key -days 10 -out short.crt -extfile ca.ext 2>/dev/null
        openssl req -new -key ca.key -subj /CN=ca | openssl x509 -req -signkey ca.key -days 999 -out ca.crt -extfile ca.ext 2>/dev/null
        key a; signed a ca /CN=a -sha256 -extfile client.ext; key b; signed b ca /CN=b -sha256 $v1
        cat short.crt ca.crt > both.crt"#,
    ) else {
        return;
    };
    for client in ["a.crt", "b.crt"] {
        assert_eq!(kit.verify("short.crt", &[], &[client], 0), Ok(()));
        assert_eq!(kit.verify("short.crt", &[], &[client], 11), Err(ClientCertificateError::CaExpired));
        assert_eq!(kit.verify("both.crt", &[], &[client], 11), Ok(()));
    }
}

/// CAs, clients and lists of several kinds.
const LISTS: &str = r#"
        rsa ca; self_signed ca "/CN=ca" -sha256 $v1
        key sub; signed sub ca "/CN=sub" -sha256 -extfile ca.ext
        for n in a b; do key $n; signed $n ca "/CN=$n" -sha256 -extfile client.ext; done
        for n in c d; do key $n; signed $n ca "/CN=$n" -sha256 $v1; done
        key e; signed e sub "/CN=e" -sha256 -extfile client.ext
        { serial b; serial d; } | crl ca one
        crlnumber=1; { serial b; serial d; } | crl ca two
        openssl crl -in two.crl -outform DER -out der.crl
        : | crl ca empty; : | crl sub sub; serial sub | crl ca nosub; serial e | crl sub noe
        : | crl ca sha1 -md sha1
        cat two.crl sub.crl > several.crl; cat ca.crt sub.crt > both.crt
        key other; self_signed other /CN=ca -sha256 $v1; : | crl other other
        sleep 1.1; serial a | crl ca newer; cat empty.crl newer.crl two.crl > versions.crl
        head -c 200 one.crl > broken.crl; { head -c 300 der.crl; } > cut.crl"#;

#[test]
fn revocation_lists() {
    let Some(kit) = Kit::make(LISTS) else {
        return;
    };
    use ClientCertificateError as Refusal;
    for list in ["one.crl", "two.crl", "der.crl"] {
        for (client, day, expected) in [
            ("a", 0, Ok(())),
            ("b", 0, Err(Refusal::Revoked)),
            ("c", 0, Ok(())),
            ("d", 0, Err(Refusal::Revoked)),
            ("a", 31, Err(Refusal::CrlStale)),
            ("b", 31, Err(Refusal::Revoked)),
            ("c", 31, Err(Refusal::CrlStale)),
            ("d", 31, Err(Refusal::Revoked)),
        ] {
            let outcome = kit.verify("ca.crt", &[list], &[&format!("{client}.crt")], day);
            assert_eq!(outcome, expected, "{list} {client}");
        }
    }
}

#[test]
fn each_ca_needs_a_list() {
    let Some(kit) = Kit::make(LISTS) else { return };
    use ClientCertificateError as Refusal;
    // A CA without a list lets nobody in while others have one.
    assert_eq!(kit.verify("ca.crt", &["two.crl"], &["e.crt", "sub.crt"], 0), Err(Refusal::CrlMissing));
    assert_eq!(kit.verify("both.crt", &["two.crl"], &["e.crt"], 0), Err(Refusal::CrlMissing));
    assert_eq!(kit.verify("both.crt", &["several.crl"], &["e.crt"], 0), Ok(()));
    assert_eq!(kit.verify("both.crt", &["several.crl"], &["e.crt", "sub.crt"], 0), Ok(()));
    assert_eq!(kit.verify("both.crt", &["two.crl", "noe.crl"], &["e.crt"], 0), Err(Refusal::Revoked));
    // A revoked intermediate is no anchor.
    assert_eq!(kit.verify("both.crt", &["nosub.crl", "sub.crl"], &["e.crt"], 0), Err(Refusal::UnknownCa));
    assert_eq!(
        kit.verify("both.crt", &["nosub.crl", "sub.crl"], &["e.crt", "sub.crt"], 0),
        Err(Refusal::Revoked)
    );
    // The newest list of a CA counts.
    assert_eq!(kit.verify("ca.crt", &["versions.crl"], &["a.crt"], 0), Err(Refusal::Revoked));
    assert_eq!(kit.verify("ca.crt", &["versions.crl"], &["b.crt"], 0), Ok(()));
}

#[test]
fn files_that_are_no_lists() {
    let Some(kit) = Kit::make(LISTS) else { return };
    let named = |problem: fn(String) -> Problem, name: &str| vec![problem(name.to_owned())];
    let stranger = |issuer| Problem::CrlOfStranger { issuer };
    assert_eq!(kit.problems("ca.crt", &["sub.crl"])[..1], named(stranger, "CN=sub"));
    let bad = |issuer| Problem::CrlBadSignature { issuer };
    assert_eq!(kit.problems("ca.crt", &["other.crl"])[..1], named(bad, "CN=ca"));
    let sha1 = |issuer| Problem::CrlSignedWithSha1 { issuer };
    assert_eq!(kit.problems("ca.crt", &["sha1.crl"])[..1], named(sha1, "CN=ca"));
    assert_eq!(kit.problems("ca.crt", &["broken.crl"])[..1], [Problem::BrokenPem { number: 1 }]);
    assert_eq!(kit.problems("ca.crt", &["cut.crl"])[..1], [Problem::BadCrl]);
    assert_eq!(kit.problems("ca.crt", &["ca.crt"])[..1], [Problem::NoCrl]);
    assert_eq!(
        kit.problems("both.crt", &["two.crl"]),
        [Problem::CaWithoutCrl { subject: "CN=sub".to_owned() }]
    );
    let stale = kit.load("ca.crt", &["two.crl"], in_days(40)).1;
    assert!(matches!(stale[0].problem, Problem::StaleCrl { .. }), "{stale:?}");
    let revoked = kit.problems("both.crt", &["nosub.crl", "sub.crl"]);
    assert_eq!(revoked, [Problem::CaRevoked { subject: "CN=sub".to_owned() }]);
}

#[test]
fn the_list_of_a_ca_counts_wherever_the_ca_stands() {
    let Some(kit) = Kit::make(
        r#"
        key ca; self_signed ca "/CN=ca" -sha256 $v1; key a; signed a ca "/CN=a" -sha256 $v1
        key b; self_signed b "/CN=b" -sha256 $v1; key c; signed c b "/CN=c" -sha256 $v1
        serial a | crl ca one; : | crl ca empty"#,
    ) else {
        return;
    };
    let load = |bundle, lists: &[&str]| Arc::new(kit.load(bundle, lists, today()).0.unwrap());
    let (plain, listed, other) = (load("ca.crt", &[]), load("ca.crt", &["one.crl"]), load("b.crt", &[]));
    let authorities = TrustedCas::new(vec![plain.clone(), other.clone(), listed.clone()]);
    let verify = |name| authorities.verify(&[kit.certificate(name)], today());
    assert_eq!(verify("a.crt"), Err(ClientCertificateError::Revoked));
    assert_eq!(verify("c.crt"), Ok(()));
    // The order of the configuration is no difference; the lists and the certificates are.
    let digest = |authorities: &[&Arc<Ca>]| {
        TrustedCas::new(authorities.iter().map(|authority| Arc::clone(authority)).collect()).digest()
    };
    assert_eq!(digest(&[&plain, &other, &listed]), authorities.digest());
    let empty = load("ca.crt", &["empty.crl"]);
    let all = [digest(&[&plain]), digest(&[&listed]), digest(&[&empty]), digest(&[&other]), digest(&[])];
    for (index, digest) in all.iter().enumerate() {
        assert!(!all[..index].contains(digest), "{index}");
    }
}

#[test]
fn files_that_are_no_bundles() {
    let Some(kit) = Kit::make(
        r#"
        rsa ca 1024; self_signed ca "/CN=weak" -sha1 $v1
        key k; openssl pkcs8 -topk8 -in k.key -passout pass:secret -out encrypted.key
        cat ca.crt k.key > key.crt; cat ca.crt encrypted.key > encrypted.crt
        openssl x509 -in ca.crt -outform DER -out der.crt
        openssl req -new -key k.key -subj /CN=r -out request.crt
        sed '3s/./!/' ca.crt > base64.crt; sed '3s/./A/;4s/./A/' ca.crt > changed.crt; head -4 ca.crt > short.crt
        echo hello > text.crt; : > empty.crt"#,
    ) else {
        return;
    };
    let weak = || "CN=weak".to_owned();
    for (bundle, expected) in [
        ("key.crt", Problem::PrivateKey),
        ("encrypted.crt", Problem::PrivateKey),
        ("k.key", Problem::PrivateKey),
        ("der.crt", Problem::Der),
        ("request.crt", Problem::NoCertificate),
        ("base64.crt", Problem::BrokenPem { number: 1 }),
        ("short.crt", Problem::BrokenPem { number: 1 }),
        ("text.crt", Problem::NotPem),
        ("empty.crt", Problem::NotPem),
        ("ca.crt", Problem::WeakKey { subject: weak(), bits: 1024 }),
    ] {
        let (authority, findings) = kit.load(bundle, &[], today());
        assert_eq!(findings[0].problem, expected, "{bundle}");
        assert_eq!(authority.is_none(), expected.is_error(), "{bundle}");
        assert!(findings[0].message().contains(bundle) && !findings[0].fix().is_empty());
    }
    assert_eq!(kit.problems("ca.crt", &[])[1..], [Problem::CaSignedWithSha1 { subject: weak() }]);
    assert!(kit.load("changed.crt", &[], today()).0.is_none_or(|authority| authority.anchors.len() == 1));
}

/// Every byte changed, left out or doubled: none of it is accepted, none of it panics.
#[test]
fn no_forgery_is_accepted() {
    let Some(kit) = Kit::make(
        r#"
        key ca; self_signed ca "/CN=ca" -sha256 $v1; key a; signed a ca "/CN=a" -sha256 $v1
        key b; signed b ca "/CN=b" -sha256 -extfile client.ext
        crlnumber=1; serial b | crl ca list; openssl crl -in list.crl -outform DER -out list.der"#,
    ) else {
        return;
    };
    let (authority, _) = kit.load("ca.crt", &[], today());
    let authorities = TrustedCas::new(vec![Arc::new(authority.unwrap())]);
    for original in
        [kit.certificate("a.crt").to_vec(), kit.certificate("b.crt").to_vec(), kit.read("list.der")]
    {
        for at in 0..original.len() {
            let (before, after) = original.split_at(at);
            let mut mutations = vec![before.to_vec(), [before, &after[1..]].concat()];
            mutations.push([before, &after[..1], after].concat());
            for mask in [1, 0x80, 0xff, 0x30] {
                mutations.push([before, &[after[0] ^ mask], &after[1..]].concat());
            }
            for mutation in mutations.into_iter().filter(|mutation| *mutation != original) {
                fuzz::fuzz_x509_v1(&mutation);
                let chain = [CertificateDer::from(mutation)];
                assert!(authorities.verify(&chain, today()).is_err(), "byte {at}: {chain:?}");
            }
        }
    }
    assert_eq!(authorities.verify(&[kit.certificate("a.crt")], today()), Ok(()));
}

/// One handshake with `openssl s_client`: what the server made of it, and whether the client was content.
fn handshake(
    kit: &Kit,
    mode: ClientAuthMode,
    client: &str,
    options: &str,
) -> (Option<ClientVerdict>, bool, bool) {
    let (authority, _) = kit.load("ca.crt", &[], today());
    let authorities = Arc::new(TrustedCas::new(vec![Arc::new(authority.unwrap())]));
    let verifier = Arc::new(ClientVerifier::new(mode, authorities));
    let key = PrivateKeyDer::from_pem_slice(&kit.read("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![kit.certificate("server.crt")], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate =
        if client.is_empty() { String::new() } else { format!("-cert {client}.crt -key {client}.key") };
    let child = Command::new("sh")
        .args(["-c", &format!("exec openssl s_client -connect 127.0.0.1:{port} {certificate} {options}")])
        .current_dir(kit.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
    assert_eq!(take_verdict(), None);
    let outcome = connection.complete_io(&mut stream);
    let shown = connection.peer_certificates().is_some();
    drop(stream);
    let said = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    if let Err(error) = &outcome {
        eprintln!("{client} {options}: {error}: {said}");
    }
    (take_verdict(), outcome.is_ok(), shown)
}

#[test]
fn handshakes_with_openssl() {
    let Some(kit) = Kit::make(
        r#"
        rsa ca; self_signed ca "/CN=ca" -sha256 $v1; key server; self_signed server /CN=localhost -sha256 -extfile leaf.ext
        rsa rsa1; signed rsa1 ca "/CN=rsa1" -sha256 $v1; key ec1; signed ec1 ca "/CN=ec1" -sha256 $v1
        key p521 P-521; signed p521 ca "/CN=p521" -sha256 $v1
        openssl genpkey -algorithm ED25519 -out ed.key; signed ed ca "/CN=ed" -sha256 $v1
        rsa rsa3; signed rsa3 ca "/CN=rsa3" -sha256 -extfile client.ext
        key other; self_signed other /CN=other -sha256 $v1
        key sha1; signed sha1 ca /CN=sha1 -sha1 $v1"#,
    ) else {
        return;
    };
    use ClientAuthMode::Optional;
    use ClientAuthMode::Require;
    for version in ["-tls1_2", "-tls1_3"] {
        for client in ["rsa1", "ec1", "p521", "ed", "rsa3"] {
            let outcome = handshake(&kit, Require, client, version);
            assert_eq!(outcome, (Some(ClientVerdict::Success), true, true), "{client} {version}");
        }
        let unknown = Some(ClientVerdict::Failed(ClientCertificateError::UnknownCa));
        assert_eq!(handshake(&kit, Require, "other", version), (unknown, false, false));
        assert_eq!(handshake(&kit, Optional, "other", version), (unknown, true, true));
        assert_eq!(handshake(&kit, Require, "", version), (None, false, false));
        assert_eq!(handshake(&kit, Optional, "", version), (None, true, false));
        let sha1 = Some(ClientVerdict::Failed(ClientCertificateError::BrokenHash));
        let outcome = handshake(&kit, Require, "sha1", &format!("{version} -cipher ALL:@SECLEVEL=0"));
        assert_eq!(outcome, (sha1, false, false));
    }
    // In TLS 1.2, RSA may be PKCS #1, and a scheme of ECDSA goes with every curve.
    for (client, options) in [
        ("rsa1", "-tls1_2 -client_sigalgs RSA+SHA256"),
        ("rsa1", "-tls1_2 -client_sigalgs RSA-PSS+SHA384"),
        ("p521", "-tls1_2 -client_sigalgs ECDSA+SHA256"),
    ] {
        let outcome = handshake(&kit, Require, client, options);
        assert_eq!(outcome, (Some(ClientVerdict::Success), true, true), "{client} {options}");
    }
    assert_eq!(ClientVerdict::Success.to_string(), "SUCCESS");
    let failed = ClientVerdict::Failed(ClientCertificateError::Expired).to_string();
    assert_eq!(failed, "FAILED:certificate has expired");
}

#[test]
fn what_certificates_say_is_what_openssl_prints() {
    let subjects = [
        "/C=CN/ST=Zhejiang/O=ELB/CN=www.test.com",
        "/CN= a #b, c+d\"e\\\\f<g>h;i=j ",
        "/CN=#x/O=Ünïcode €/emailAddress=a@b.c/DC=example/UID=me",
        "/CN=a+O=b/OU=c+serialNumber=7+GN=d/1.2.3.4.5=odd/title=t",
    ];
    let Some(kit) =
        Kit::make("rsa a; printf '[r]\\ndistinguished_name=d\\nstring_mask=default\\n[d]\\n' > r.cnf")
    else {
        return;
    };
    for (index, subject) in subjects.iter().enumerate() {
        let subject = subject.replace('\'', "");
        let serial = ["0", "0x00ff", "0x7f00000000000000000000000000000000000001", "-129"][index];
        let script = format!(
            "openssl req -new -x509 -utf8 -multivalue-rdn -key a.key -days 5 -set_serial {serial} -subj '{subject}' -out a.crt"
        );
        kit.run(&script);
        let print = |options: &str| {
            let printed = kit.run(&format!("openssl x509 -in a.crt -noout {options}"));
            printed.split_once('=').map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        for (hash, option) in [(FingerprintHash::Sha1, "-sha1"), (FingerprintHash::Sha256, "-sha256")] {
            let found = ClientCertificate::parse(&kit.certificate("a.crt"), hash).unwrap();
            let fingerprint = print(&format!("-fingerprint {option}")).replace(':', "").to_lowercase();
            assert_eq!(found.fingerprint, fingerprint);
            assert_eq!(found.subject, print("-subject -nameopt RFC2253"));
            assert_eq!(found.issuer, found.subject);
            assert_eq!(found.serial, print("-serial"));
            assert_eq!(found.not_after, print("-enddate"));
            let pem = found.escaped_pem.replace("%0A", "\n").replace("%20", " ").replace("%2B", "+");
            assert_eq!(pem.replace("%2F", "/").replace("%3D", "=").into_bytes(), kit.read("a.crt"));
            let base64 = kit.run("openssl x509 -in a.crt -outform DER | base64 -w0");
            assert_eq!(found.client_cert, format!(":{base64}:"));
            let texts = [&found.subject, &found.serial, &found.escaped_pem, &found.client_cert];
            assert!(texts.into_iter().all(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~'))));
        }
    }
}
