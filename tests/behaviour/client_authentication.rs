//! Certificates of clients: who is let in, who is not, and what is said of it.

use crate::support::tls::{Issuer, Pair, ask, revocation_list, versioned_config};
use crate::support::tools::{has, openssl, run};
use crate::support::{Backend, Ringway, Scenario, log_entries};
use rustls::HandshakeKind::Resumed;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::sync::Arc;

const NAME: &str = "site.example";
const REVOKED: u64 = 4711;

/// The CA of the clients, one of the sites, and clients of every kind.
struct Cast {
    sites: Issuer,
    clients: Issuer,
    site: Pair,
    backend: Backend,
}

impl Cast {
    fn new() -> Cast {
        let sites = Issuer::new("sites");
        let site = sites.server(&[NAME]);
        Cast { site, sites, clients: Issuer::new("clients"), backend: Backend::echo_head() }
    }

    fn scenario(&self, mode: &str) -> Scenario {
        Scenario::of(&self.backend)
            .certificate("site", &self.site)
            .authority("clients", &self.clients.pem, Some(&revocation_list(&self.clients, &[REVOKED])))
            .client_auth(mode, "clients")
            .forwarded("clientcert_clientverify = true")
            .forwarded("clientcert_subjectdn = true")
            .logged("json")
    }

    fn config(&self, version: &'static SupportedProtocolVersion, pair: Option<&Pair>) -> Arc<ClientConfig> {
        Arc::new(versioned_config(&[&self.sites.pem], &[version], pair))
    }

    /// Clients with a bad certificate: what the log and the header say, and the alert.
    fn bad_clients(&self) -> Vec<(Pair, &'static str, &'static str, &'static str)> {
        let numbered =
            |serial: u64| self.clients.sign(&[], |params| params.serial_number = Some(serial.into()));
        let at = |from, to| {
            self.clients.sign(&[], |params| {
                params.not_before = rcgen::date_time_ymd(from, 1, 1);
                params.not_after = rcgen::date_time_ymd(to, 1, 1);
            })
        };
        vec![
            (
                Issuer::new("strangers").client("client-1"),
                "client_certificate_unknown_ca",
                "certificate is signed by no configured CA",
                "UnknownCA",
            ),
            // The right name of the CA, but not its key.
            (
                Issuer::new("clients").client("client-1"),
                "client_certificate_bad_signature",
                "certificate signature failure",
                "DecryptError",
            ),
            (at(2001, 2002), "client_certificate_expired", "certificate has expired", "CertificateExpired"),
            (
                at(2090, 2091),
                "client_certificate_not_yet_valid",
                "certificate is not yet valid",
                "CertificateExpired",
            ),
            (numbered(REVOKED), "client_certificate_revoked", "certificate is revoked", "CertificateRevoked"),
            (
                self.clients.server(&[NAME]),
                "client_certificate_wrong_purpose",
                "certificate is not meant for clients",
                "UnsupportedCertificate",
            ),
        ]
    }
}

fn last_reason(ringway: &Ringway, lines: usize) -> String {
    let entry = log_entries(ringway, lines).pop().expect("a line");
    entry["reason"].as_str().expect("a word").to_owned()
}

#[test]
fn require_lets_in_good_certificates_only() {
    let cast = Cast::new();
    for (version, served) in [(&TLS12, 1), (&TLS13, 2)] {
        let ringway = cast.scenario("require").start();
        let good = cast.clients.client("client-1");
        let (response, _) =
            ask(ringway.address(), &cast.config(version, Some(&good)), NAME).expect("it is served");
        assert!(response.text().contains("clientverify: SUCCESS\r\n"), "{}", response.text());
        assert!(response.text().contains("subjectdn: CN=client-1\r\n"), "{}", response.text());
        let mut lines = 1;
        for (pair, reason, _, alert) in cast.bad_clients() {
            let error = ask(ringway.address(), &cast.config(version, Some(&pair)), NAME);
            let error = error.map(|(response, _)| response.status).expect_err(reason).to_string();
            assert!(error.contains(alert), "{version:?} {reason}: {error}");
            lines += 1;
            assert_eq!(last_reason(&ringway, lines), reason, "{version:?}");
        }
        assert_eq!(cast.backend.requests(), served);
    }
}

#[test]
fn require_refuses_clients_without_a_certificate() {
    let cast = Cast::new();
    let ringway = cast.scenario("require").start();
    for (version, lines) in [(&TLS12, 1), (&TLS13, 2)] {
        let error = ask(ringway.address(), &cast.config(version, None), NAME);
        let error = error.map(|(response, _)| response.status).expect_err("no certificate").to_string();
        assert!(error.contains("CertificateRequired"), "{version:?}: {error}");
        assert_eq!(last_reason(&ringway, lines), "client_certificate_missing");
        let entry = &log_entries(&ringway, lines)[lines - 1];
        assert_eq!((&entry["status"], &entry["listener"]), (&400.into(), &"web".into()), "{entry}");
        assert_eq!(entry["client_ip"], "127.0.0.1");
    }
    assert_eq!(cast.backend.requests(), 0);
}

#[test]
fn optional_serves_everybody_and_tells_who_is_who() {
    let cast = Cast::new();
    for version in [&TLS12, &TLS13] {
        let ringway = cast.scenario("optional").start();
        let verified = |pair: Option<&Pair>| {
            let config = cast.config(version, pair);
            // Resumed or not, it is the same.
            let said = [0, 1].map(|_| {
                let (response, _) = ask(ringway.address(), &config, NAME).expect("it is served");
                response.text()
            });
            said.map(|text| {
                let line = text.lines().find_map(|line| line.split_once("clientverify: "));
                (line.expect("the header").1.to_owned(), text.contains("subjectdn"))
            })
        };
        assert_eq!(verified(None), [0, 1].map(|_| ("NONE".to_owned(), false)));
        let good = cast.clients.client("client-1");
        assert_eq!(verified(Some(&good)), [0, 1].map(|_| ("SUCCESS".to_owned(), true)));
        for (pair, _, words, _) in cast.bad_clients() {
            assert_eq!(verified(Some(&pair)), [0, 1].map(|_| (format!("FAILED:{words}"), false)));
        }
    }
}

#[test]
fn a_resumed_session_of_a_certificate_revoked_meanwhile_is_refused() {
    let cast = Cast::new();
    for version in [&TLS12, &TLS13] {
        let ringway = cast.scenario("require").start();
        let list = ringway.folder().join("clients.crl");
        let pair = cast.clients.sign(&[], |params| params.serial_number = Some(99u64.into()));
        let config = cast.config(version, Some(&pair));
        ask(ringway.address(), &config, NAME).expect("it is served");
        let (_, kind) = ask(ringway.address(), &config, NAME).expect("it is served");
        assert_eq!(kind, Resumed);
        std::fs::write(&list, revocation_list(&cast.clients, &[REVOKED, 99])).expect("it can be written");
        ringway.wait_for_line("CA \"clients\": in service");
        ask(ringway.address(), &config, NAME).expect_err("it is revoked");
        assert_eq!(last_reason(&ringway, 3), "client_certificate_revoked", "{version:?}");
    }
}

/// What the seeds let a reader type, with a certificate for the site besides.
fn follow_the_recipe(folder: &std::path::Path, digest: &str) {
    for (name, subject) in
        [("ca", "/O=Example/CN=Clients"), ("site", "/CN=site.example"), ("client", "/O=E/CN=c")]
    {
        openssl(folder, &format!("genrsa -out {name}.key 2048"));
        openssl(folder, &format!("req -new -key {name}.key -subj {subject} -out {name}.csr"));
    }
    openssl(folder, "x509 -req -in ca.csr -signkey ca.key -days 3650 -sha256 -out ca.crt");
    for (name, digest) in [("site", "-sha256"), ("client", digest)] {
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 {digest} -out {name}.crt"
            ),
        );
    }
}

fn read_pair(folder: &std::path::Path, name: &str) -> Pair {
    let read =
        |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}"))).expect("it is there");
    Pair { certificate: read("crt"), key: read("key") }
}

/// A Ringway with what the recipe made.
fn with_recipe(folder: &std::path::Path, backend: &Backend) -> Ringway {
    Scenario::of(backend)
        .certificate("site", &read_pair(folder, "site"))
        .authority("clients", &read_pair(folder, "ca").certificate, None)
        .client_auth("require", "clients")
        .forwarded("clientcert_subjectdn = true")
        .logged("json")
        .start()
}

#[test]
fn the_plain_recipe_works_to_the_last_curl() {
    if !has("openssl") || !has("curl") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    follow_the_recipe(folder.path(), "-sha256");
    let backend = Backend::echo_head();
    let ringway = with_recipe(folder.path(), &backend);
    let port = ringway.address().port();
    let (url, route) = (format!("https://site.example:{port}/"), format!("::127.0.0.1:{port}"));
    let ask = |more: &[&str]| {
        let arguments = [&["-sS", "--cacert", "ca.crt", "--connect-to", &route, &url], more].concat();
        run(folder.path(), "curl", &arguments, "")
    };
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version: Vec<&str> = version.split('=').collect();
        let said = ask(&[&["--cert", "client.crt", "--key", "client.key"], &version[..]].concat());
        assert!(said.success && said.stdout.contains("subjectdn: CN=c,O=E\r\n"), "{}", said.all());
        assert!(!ask(&version).success);
    }
}

#[test]
fn sha_1_is_refused_by_its_name() {
    if !has("openssl") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    follow_the_recipe(folder.path(), "-sha1");
    let backend = Backend::echo_head();
    // rustls as a client would refuse the site's certificate of version 1, so the site is another one.
    let cast = Cast::new();
    let config = cast.config(&TLS13, Some(&read_pair(folder.path(), "client")));
    let ringway = Scenario::of(&backend)
        .certificate("site", &cast.site)
        .authority("clients", &read_pair(folder.path(), "ca").certificate, None)
        .client_auth("require", "clients")
        .logged("json")
        .start();
    ask(ringway.address(), &config, NAME).expect_err("it is signed with SHA-1");
    assert_eq!(last_reason(&ringway, 1), "client_certificate_sha1");
}
