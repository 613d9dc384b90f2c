//! Session tickets: who may resume a session, and where.

use crate::support::tls::{Issuer, Pair, ask, client_config, versioned_config};
use crate::support::tools::{has, run};
use crate::support::{Backend, Ringway, Scenario, log_entries};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

const NAME: &str = "site.example";

struct Site {
    issuer: Issuer,
    pair: Pair,
    backend: Backend,
}

impl Site {
    fn new() -> Site {
        let issuer = Issuer::new("sites");
        let pair = issuer.server(&[NAME]);
        Site { issuer, pair, backend: Backend::echo_head() }
    }

    fn scenario(&self) -> Scenario {
        Scenario::of(&self.backend).certificate("site", &self.pair)
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(client_config(&[&self.issuer.pem]))
    }
}

fn kind(address: SocketAddr, config: &Arc<ClientConfig>) -> HandshakeKind {
    let (response, kind) = ask(address, config, NAME).expect("it is served");
    assert_eq!(response.status, 200);
    kind
}

fn is_full(kind: HandshakeKind) -> bool {
    // With another key exchange group at first, it is one all the same.
    matches!(kind, Full | HandshakeKind::FullWithHelloRetryRequest)
}

#[test]
fn every_worker_resumes_every_time() {
    let site = Site::new();
    for version in [&TLS12, &TLS13] {
        let ringway = site.scenario().workers(4).logged("json").start();
        let config = Arc::new(versioned_config(&[&site.issuer.pem], &[version], None));
        assert!(is_full(kind(ringway.address(), &config)), "{version:?}");
        for turn in 0..48 {
            assert_eq!(kind(ringway.address(), &config), Resumed, "{version:?}, connection {turn}");
        }
        let entries = log_entries(&ringway, 49);
        let workers: BTreeSet<_> = entries.iter().map(|entry| entry["worker"].to_string()).collect();
        assert!(workers.len() > 1, "all went to {workers:?}");
        let resumed = entries.iter().filter(|entry| entry["tls_resumed"] == true).count();
        assert_eq!(resumed, 48, "{version:?}");
    }
}

/// What scanners such as sslyze take for resumption by tickets.
#[test]
fn a_young_ticket_of_tls_1_2_is_sent_back_as_it_came() {
    if !has("openssl") {
        return;
    }
    let site = Site::new();
    let ringway = site.scenario().workers(2).start();
    let address = ringway.address().to_string();
    let ticket = |more: &[&str]| {
        let arguments = [&["s_client", "-connect", &address, "-servername", NAME, "-tls1_2"], more].concat();
        let said = run(ringway.folder(), "openssl", &arguments, "");
        let ticket =
            said.stdout.split("TLS session ticket:").nth(1).and_then(|rest| rest.split("\n\n").next());
        (said.stdout.contains("Reused, "), ticket.unwrap_or_else(|| panic!("{}", said.all())).to_owned())
    };
    let (is_resumed, first) = ticket(&["-sess_out", "session"]);
    assert!(!is_resumed);
    for _ in 0..4 {
        assert_eq!(ticket(&["-sess_in", "session"]), (true, first.clone()));
    }
    assert_ne!(ticket(&[]), (false, first));
}

#[test]
fn a_listener_without_a_lifetime_issues_no_tickets() {
    let site = Site::new();
    let ringway = site.scenario().listener("session_ticket_lifetime = \"0s\"").start();
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(versioned_config(&[&site.issuer.pem], &[version], None));
        for _ in 0..3 {
            assert!(is_full(kind(ringway.address(), &config)), "{version:?}");
        }
    }
}

/// Further listeners beside `web`: a twin, and one for each way to ask clients for certificates.
fn neighbours(site: &Site) -> Ringway {
    let mut scenario = site.scenario().authority("clients", &site.issuer.pem, None);
    for (name, auth) in [
        ("twin", ""),
        ("optional", "[listener.client_auth]\nmode = \"optional\"\nca = [\"clients\"]"),
        ("require", "[listener.client_auth]\nmode = \"require\"\nca = [\"clients\"]"),
    ] {
        scenario = scenario.table(&format!(
            "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\n\
             certificates = [\"site\"]\ndefault_group = \"app\"\n{auth}"
        ));
    }
    scenario.start()
}

#[test]
fn tickets_are_good_only_where_clients_are_authenticated_alike() {
    let site = Site::new();
    let ringway = neighbours(&site);
    let pair = site.issuer.client("client-1");
    for version in [&TLS12, &TLS13] {
        for from in ["web", "twin", "optional", "require"] {
            for to in ["web", "twin", "optional", "require"] {
                let config = Arc::new(versioned_config(&[&site.issuer.pem], &[version], Some(&pair)));
                assert!(is_full(kind(ringway.address_of(from), &config)));
                let is_resumed = kind(ringway.address_of(to), &config) == Resumed;
                let is_plain = |name| matches!(name, "web" | "twin");
                let alike = from == to || is_plain(from) && is_plain(to);
                assert_eq!(is_resumed, alike, "{version:?} from {from} to {to}");
            }
        }
    }
}

#[test]
fn who_showed_no_certificate_cannot_resume_where_one_is_required() {
    let site = Site::new();
    let ringway = neighbours(&site);
    for from in ["web", "optional"] {
        let config = site.client();
        assert!(is_full(kind(ringway.address_of(from), &config)));
        let error = ask(ringway.address_of("require"), &config, NAME).expect_err("it has no certificate");
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    }
}

const SEED: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn seeded(site: &Site, seed: &str) -> Scenario {
    site.scenario().process("ticket_seed_file = \"seed\"").file("seed", seed)
}

#[test]
fn processes_with_the_same_seed_resume_each_others_sessions() {
    let site = Site::new();
    let first = seeded(&site, SEED).start();
    let second = seeded(&site, SEED).start();
    let stranger = seeded(&site, &SEED.replace('0', "x")).start();
    let unseeded = [site.scenario().start(), site.scenario().start()];
    for version in [&TLS12, &TLS13] {
        for (from, to, resumes) in [
            (&first, &second, true),
            (&second, &first, true),
            (&first, &stranger, false),
            (&first, &unseeded[0], false),
            (&unseeded[0], &unseeded[1], false),
        ] {
            let config = Arc::new(versioned_config(&[&site.issuer.pem], &[version], None));
            assert!(is_full(kind(from.address(), &config)));
            assert_eq!(kind(to.address(), &config) == Resumed, resumes, "{version:?}");
        }
    }
}

#[test]
fn a_restart_with_the_seed_resumes() {
    let site = Site::new();
    let config = site.client();
    let mut before = seeded(&site, SEED).start();
    assert!(is_full(kind(before.address(), &config)));
    assert_eq!(before.terminate().code(), Some(0));
    let after = seeded(&site, SEED).start();
    assert_eq!(kind(after.address(), &config), Resumed);
}

#[test]
fn a_session_of_another_name_is_not_resumed() {
    let issuer = Issuer::new("sites");
    let pair = issuer.server(&[NAME, "other.example"]);
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).certificate("site", &pair).start();
    let config = Arc::new(client_config(&[&issuer.pem]));
    assert!(is_full(kind(ringway.address(), &config)));
    let (_, kind) = ask(ringway.address(), &config, "other.example").expect("it is served");
    assert!(is_full(kind));
}
