//! Certificates, keys, CAs and revocation lists that change on disk are in service within a second.

use crate::support::tls::{Issuer, Pair, ask, client_config, versioned_config};
use crate::support::{Backend, Client, Dns, Reply, Ringway, Scenario, eventually, now, within};
use rustls::version::TLS13;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const NAME: &str = "site.example";
/// What is promised.
const SOON: Duration = Duration::from_secs(1);

fn write(path: &Path, content: &str) {
    std::fs::write(path, content).expect("it can be written");
}

/// Puts a new file in the place of the old one.
fn replace(path: &Path, content: &str) {
    let fresh = path.with_extension("new");
    write(&fresh, content);
    std::fs::rename(fresh, path).expect("it can be renamed");
}

fn put(folder: &Path, pair: &Pair, how: fn(&Path, &str)) {
    how(&folder.join("site.crt"), &pair.certificate);
    how(&folder.join("site.key"), &pair.key);
}

/// The certificate that a new client gets, in a full handshake.
fn shown(address: SocketAddr, root: &str) -> Vec<u8> {
    let config = Arc::new(client_config(&[root]));
    let client = Client::secured(address, &config, NAME).expect("it is secured");
    client.wire().session(|session| session.peer_certificates().expect("there is one")[0].to_vec())
}

fn leaf(pair: &Pair) -> Vec<u8> {
    pair.chain()[0].to_vec()
}

struct Site {
    issuer: Issuer,
    old: Pair,
    _backend: Backend,
    ringway: Ringway,
}

impl Site {
    fn new() -> Site {
        let issuer = Issuer::new("sites");
        let old = issuer.server(&[NAME]);
        let backend = Backend::echo_head();
        let ringway = Scenario::of(&backend).workers(2).certificate("site", &old).start();
        Site { issuer, old, _backend: backend, ringway }
    }

    fn is_shown(&self, pair: &Pair) -> bool {
        shown(self.ringway.address(), &self.issuer.pem) == leaf(pair)
    }

    fn errors(&self) -> String {
        let said = self.ringway.stderr();
        said.lines().filter(|line| line.contains("error")).collect()
    }
}

#[test]
fn however_files_are_replaced_new_handshakes_get_the_new_certificate() {
    let site = Site::new();
    let config = Arc::new(client_config(&[&site.issuer.pem]));
    let mut client = Client::secured(site.ringway.address(), &config, NAME).expect("it is secured");
    for how in [write, replace] {
        let new = site.issuer.server(&[NAME]);
        put(site.ringway.folder(), &new, how);
        let start = now();
        assert!(within(SOON, || site.is_shown(&new).then_some(())).is_some(), "{:?}", start.elapsed());
        assert_eq!(client.get("/").status, 200, "the connection goes on");
    }
    assert_eq!(site.errors(), "");
    site.ringway.wait_for_line("certificate \"site\": in service");
}

#[test]
fn under_load_no_request_fails() {
    let site = Site::new();
    let (address, root) = (site.ringway.address(), site.issuer.pem.as_str());
    let (is_over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || {
        let config = Arc::new(client_config(&[root]));
        while !is_over.load(Ordering::SeqCst) {
            let mut client = Client::secured(address, &config, NAME).expect("it is secured");
            for _ in 0..5 {
                assert_eq!(client.get("/").status, 200);
                served.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        for how in [write, replace, write, replace] {
            let new = site.issuer.server(&[NAME]);
            put(site.ringway.folder(), &new, how);
            assert!(within(SOON * 3, || site.is_shown(&new).then_some(())).is_some());
        }
        is_over.store(true, Ordering::SeqCst);
        clients.into_iter().for_each(|client| client.join().expect("no request fails"));
    });
    assert!(served.load(Ordering::SeqCst) > 100, "{served:?}");
    assert_eq!(site.errors(), "");
}

#[test]
fn a_broken_file_leaves_the_old_certificate_in_service_and_is_named() {
    let site = Site::new();
    let foreign_key = site.issuer.server(&[NAME]).key;
    for (file, content, word) in [
        ("site.crt", "-----BEGIN CERTIFICATE-----\nnonsense\n", "site.crt"),
        ("site.key", foreign_key.as_str(), "site.key"),
    ] {
        let path = site.ringway.folder().join(file);
        let before = std::fs::read_to_string(&path).expect("it is there");
        write(&path, content);
        let line = site.ringway.wait_for_line(word);
        assert!(line.contains("error: certificate \"site\" stays as it was: "), "{line}");
        assert!(site.is_shown(&site.old));
        write(&path, &before);
        assert!(site.is_shown(&site.old));
    }
    // It is not stuck.
    let new = site.issuer.server(&[NAME]);
    put(site.ringway.folder(), &new, replace);
    assert!(within(SOON, || site.is_shown(&new).then_some(())).is_some());
}

#[test]
fn a_key_may_follow_its_certificate_after_a_moment() {
    let site = Site::new();
    for turn in 0..4 {
        let new = site.issuer.server(&[NAME]);
        // The looks at the files are at other moments in each turn.
        std::thread::sleep(Duration::from_millis(60 * turn));
        replace(&site.ringway.folder().join("site.crt"), &new.certificate);
        std::thread::sleep(Duration::from_millis(300));
        replace(&site.ringway.folder().join("site.key"), &new.key);
        assert!(within(SOON, || site.is_shown(&new).then_some(())).is_some());
        assert_eq!(site.errors(), "");
    }
}

#[test]
fn hup_reads_everything_and_says_so() {
    let site = Site::new();
    site.ringway.signal("HUP");
    site.ringway.wait_for_line("reloaded: config generation 2");
    assert!(site.is_shown(&site.old));
    // What is broken is told at once.
    write(&site.ringway.folder().join("site.crt"), "nonsense");
    site.ringway.signal("HUP");
    let line = site.ringway.wait_for_line("is not PEM");
    assert!(line.contains("ringway.toml:") && line.contains("site.crt"), "{line}");
    site.ringway.wait_for_line("the reload is refused");
    assert!(site.is_shown(&site.old));
}

#[test]
fn a_reload_that_waits_for_an_address_does_not_hold_certificates_up() {
    let issuer = Issuer::new("sites");
    let old = issuer.server(&[NAME]);
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).certificate("site", &old);
    let ringway = scenario.start();
    let address = ringway.address();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let other = taken.local_addr().expect("it has an address");
    let table = format!("[[listener]]\nname = \"other\"\naddress = \"{other}\"\ndefault_group = \"app\"");
    ringway.replace_configuration(&scenario.table(&table).text());
    ringway.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    let new = issuer.server(&[NAME]);
    put(ringway.folder(), &new, replace);
    let is_new = || (shown(address, &issuer.pem) == leaf(&new)).then_some(());
    assert!(within(SOON, is_new).is_some(), "{}", ringway.stderr());
    assert!(!ringway.stderr().contains("reload"), "it still waits: {}", ringway.stderr());
    drop(taken);
    ringway.wait_for_line("reloaded: config generation 2");
    assert!(is_new().is_some(), "what was read before is not served again");
}

#[test]
fn a_reload_that_waits_for_names_does_not_hold_certificates_up() {
    let issuer = Issuer::new("sites");
    let dns = Dns::start();
    dns.set_reply("slow.test", Reply::Silence);
    let backend = Backend::echo_head();
    let scenario =
        Scenario::of(&backend).process(&dns.setting()).certificate("site", &issuer.server(&[NAME]));
    let ringway = scenario.start();
    let address = ringway.address();
    ringway.replace_configuration(&scenario.backend_at("slow.test:80", 100).text());
    ringway.signal("HUP");
    eventually("the name is asked for", || dns.questions() > 0);
    let new = issuer.server(&[NAME]);
    put(ringway.folder(), &new, replace);
    let is_new = || (shown(address, &issuer.pem) == leaf(&new)).then_some(());
    assert!(within(SOON, is_new).is_some(), "{}", ringway.stderr());
    assert!(!ringway.stderr().contains("reload"), "it still waits: {}", ringway.stderr());
}

#[test]
fn another_ca_decides_at_once_who_is_let_in() {
    let site = Issuer::new("sites");
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend)
        .certificate("site", &site.server(&[NAME]))
        .authority("clients", &old.pem, None)
        .client_auth("require", "clients")
        .start();
    let configs = [&old, &new]
        .map(|issuer| Arc::new(versioned_config(&[&site.pem], &[&TLS13], Some(&issuer.client("client-1")))));
    let is_let_in = |number: usize| ask(ringway.address(), &configs[number], NAME).is_ok();
    assert_eq!([0, 1].map(is_let_in), [true, false]);
    replace(&ringway.folder().join("clients.crt"), &new.pem);
    assert!(within(SOON, || is_let_in(1).then_some(())).is_some());
    assert!(!is_let_in(0), "its session is worth nothing any more");
}
