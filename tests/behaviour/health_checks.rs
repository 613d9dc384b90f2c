//! Probes and failing requests: who is in service, who is not, and what the operator reads about it.

use crate::support::tls::{Issuer, server_config};
use crate::support::{Backend, Client, Response, Ringway, Scenario, eventually, now, recording};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

/// Probes each second; one failure is enough.
const EACH_SECOND: &str = "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\n\
                           healthy_threshold = 1\nunhealthy_threshold = 1\n";

/// The same, of `/health`.
const CHECK: &str = "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\n\
                     healthy_threshold = 1\nunhealthy_threshold = 1\npath = \"/health\"\n";

/// A backend whose answer to `/health` a test chooses. It answers everything else with 200 and its name.
struct Patient {
    backend: Backend,
    status: Arc<AtomicU16>,
    probes: Arc<AtomicUsize>,
}

impl Patient {
    fn new(name: &'static str, status: u16) -> Patient {
        let status = Arc::new(AtomicU16::new(status));
        let probes = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (status.clone(), probes.clone());
        let backend = Backend::per_request(move |peer, head, _| {
            if !head.start_line.contains("/health") {
                return peer.respond("200 OK", name.as_bytes());
            }
            count.fetch_add(1, Ordering::SeqCst);
            let status = answer.load(Ordering::SeqCst);
            peer.write(format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n").as_bytes())
        });
        Patient { backend, status, probes }
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    /// The beginning of a line about it.
    fn line(&self, rest: &str) -> String {
        line(self.address(), rest)
    }

    /// Waits until so many more probes were answered.
    fn wait_for_probes(&self, count: usize) {
        let end = self.probes.load(Ordering::SeqCst) + count;
        eventually("it is probed", || self.probes.load(Ordering::SeqCst) >= end);
    }
}

fn line(backend: SocketAddr, rest: &str) -> String {
    format!("health: backend {backend} of group \"app\" {rest}")
}

fn get(ringway: &Ringway) -> Response {
    Client::connect(ringway.address()).get("/")
}

/// Who answers a few requests, each name once.
fn servers(ringway: &Ringway) -> Vec<String> {
    let mut names: Vec<_> = (0..8).map(|_| get(ringway).text()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn a_backend_goes_when_probes_fail_and_comes_back_when_they_succeed() {
    let (ill, well) = (Patient::new("ill", 200), Patient::new("well", 200));
    let check = CHECK.replace("threshold = 1", "threshold = 2");
    let ringway = Scenario::of(&ill.backend).backend(well.address()).group_table(&check).start();
    ringway.wait_for_line(&ill.line("is healthy (first probe)"));
    ringway.wait_for_line(&well.line("is healthy (first probe)"));
    assert_eq!(servers(&ringway), ["ill", "well"]);

    // One failure is not enough.
    ill.answer(500);
    ill.wait_for_probes(1);
    ill.answer(200);
    ill.wait_for_probes(1);
    assert!(!ringway.stderr().contains("unhealthy"), "{}", ringway.stderr());

    ill.answer(500);
    ringway.wait_for_line(
        &ill.line("is unhealthy: RESPONSE_MISMATCH, expected 200-299, got 500 (2 probes in a row failed)"),
    );
    assert_eq!(servers(&ringway), ["well"]);
    ill.answer(204);
    let line = ringway.wait_for_line(&ill.line("is healthy again after "));
    assert!(line.ends_with(" s (2 probes in a row succeeded)"), "{line}");
    assert_eq!(servers(&ringway), ["ill", "well"]);
}

/// A group of one backend that serves nobody and is only probed, with keys of the group and of its check.
fn probed_group(name: &str, backend: SocketAddr, keys: &str, check: &str) -> String {
    format!(
        "[[server_group]]\nname = \"{name}\"\n{keys}\n{EACH_SECOND}{check}\n\
         [[server_group.backend]]\naddress = \"{backend}\""
    )
}

/// A backend, the lines of its check, and what comes of it: `healthy`, or why not.
struct Case {
    name: &'static str,
    backend: Backend,
    check: &'static str,
    verdict: &'static str,
}

fn case(name: &'static str, backend: Backend, check: &'static str, verdict: &'static str) -> Case {
    Case { name, backend, check, verdict }
}

/// Waits for what the first probe of a backend makes of it.
fn wait_for_verdict(ringway: &Ringway, group: &str, backend: SocketAddr, verdict: &str) {
    let said = match verdict {
        "healthy" => "is healthy (first probe)".to_owned(),
        reason => format!("is unhealthy: {reason} (1 probe failed)"),
    };
    ringway.wait_for_line(&format!("health: backend {backend} of group \"{group}\" {said}"));
}

#[test]
fn what_a_backend_answers_decides_the_verdict() {
    let head =
        |status: &str| format!("HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
    let answering = |status: &str| Backend::fixed(head(status));
    let interim = head("103 Early Hints").replace("Content-Length: 0\r\n", "");
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(300_000));
    let drip = Backend::slow_response(head("200 OK"), Duration::from_millis(100));
    let cases = [
        case("status", answering("404 Not Found"), "expect = [\"2xx\", 404]", "healthy"),
        case(
            "range",
            answering("404 Not Found"),
            "expect = [\"2xx\", \"500-503\", 401]",
            "RESPONSE_MISMATCH, expected 200-299, 500-503, 401, got 404",
        ),
        case("redirect", answering("302 Found"), "", "RESPONSE_MISMATCH, expected 200-299, got 302"),
        case("interim", Backend::fixed(interim.repeat(8) + &head("200 OK")), "", "healthy"),
        case("patient", Backend::fixed(interim.repeat(9) + &head("200 OK")), "", "RESPONSE_FORMAT_ERROR"),
        case("long", Backend::fixed(long), "method = \"GET\"", "healthy"),
        case("garbage", Backend::fixed("SSH-2.0-OpenSSH_9.9\r\n"), "", "RESPONSE_FORMAT_ERROR"),
        case("end", Backend::closes_after("HTTP/1.1 200 OK\r\n", 17), "", "RECV_RESPONSE_FAILED"),
        case("silent", Backend::silent(), "", "RECV_RESPONSE_TIMEOUT"),
        case("drip", drip, "", "RECV_RESPONSE_TIMEOUT"),
        case("tcp", Backend::silent(), "protocol = \"tcp\"", "healthy"),
    ];
    let web = Patient::new("web", 200);
    let refused = Backend::refused_address();
    let mut scenario = Scenario::of(&web.backend).table(&probed_group("refused", refused, "", ""));
    for Case { name, backend, check, .. } in &cases {
        scenario = scenario.table(&probed_group(name, backend.address(), "", check));
    }
    let ringway = scenario.start();
    for Case { name, backend, verdict, .. } in &cases {
        wait_for_verdict(&ringway, name, backend.address(), verdict);
    }
    wait_for_verdict(&ringway, "refused", refused, "CONNECT_REFUSED");
    let redirecting = cases.iter().find(|case| case.name == "redirect").expect("it is there");
    assert_eq!(redirecting.backend.requests(), redirecting.backend.connections(), "one request each");
}

#[test]
fn probes_by_https_verify_what_requests_verify() {
    let (issuer, stranger) = (Issuer::new("backends"), Issuer::new("strangers"));
    let secured = |issuer: &Issuer| {
        let config = server_config(&issuer.server(&["app.example"]), None);
        Backend::secured(Arc::new(config), |peer| match peer.read_request()? {
            Some(_) => peer.write(b"HTTP/1.1 204 No Content\r\n\r\n"),
            None => Ok(()),
        })
    };
    let https = "protocol = \"https\"\n";
    let verifying =
        "protocol = \"https\"\n[server_group.tls]\nverify = \"ca\"\nca = \"backends\"\nsni = \"app.example\"";
    let plain = Backend::fixed("HTTP/1.1 200 OK\r\n\r\n");
    let cases = [
        ("unverified", secured(&stranger), "", https, "healthy"),
        ("plain", plain, "", https, "SSL_HANDSHAKE_ERROR"),
        ("silent", Backend::silent(), "", https, "SSL_HANDSHAKE_ERROR"),
        ("verified", secured(&issuer), https, verifying, "healthy"),
        ("stranger", secured(&stranger), https, verifying, "SSL_HANDSHAKE_ERROR"),
    ];
    let web = Patient::new("web", 200);
    let mut scenario = Scenario::of(&web.backend).authority("backends", &issuer.pem, None);
    for (name, backend, keys, check, _) in &cases {
        scenario = scenario.table(&probed_group(name, backend.address(), keys, check));
    }
    let ringway = scenario.start();
    for (name, backend, _, _, verdict) in &cases {
        wait_for_verdict(&ringway, name, backend.address(), verdict);
    }
}

#[test]
fn a_probe_asks_what_it_is_told_to() {
    let (default, default_heads) = recording();
    let (elsewhere, elsewhere_heads) = recording();
    let serving = Patient::new("serving", 200);
    let lines = format!(
        "path = \"/health\"\nmethod = \"GET\"\nhost = \"app.example\"\nport = {}",
        elsewhere.address().port()
    );
    let ringway = Scenario::of(&default)
        .group_table(EACH_SECOND)
        .table(&probed_group("elsewhere", serving.address(), "", &lines))
        .start();
    let expect =
        |heads: std::sync::mpsc::Receiver<(crate::support::Head, Vec<u8>)>, line: &str, host: &str| {
            let (head, _) = heads.recv_timeout(crate::support::PATIENCE).expect("a probe");
            assert_eq!(head.start_line, line);
            for (name, value) in [
                ("host", host),
                ("user-agent", "ringway-health-check"),
                ("accept", "*/*"),
                ("connection", "close"),
            ] {
                assert_eq!(head.field(name), Some(value), "{name}");
            }
        };
    expect(default_heads, "HEAD / HTTP/1.1", &default.address().to_string());
    expect(elsewhere_heads, "GET /health HTTP/1.1", "app.example");
    ringway.wait_for_line(&format!("backend {} of group \"elsewhere\" is healthy", serving.address()));
}

#[test]
fn a_tcp_probe_ends_with_a_reset() {
    let was_reset = Arc::new(AtomicBool::new(false));
    let seen = was_reset.clone();
    let backend = Backend::script(move |peer| {
        let ended = peer.read_some().map_err(|error| error.kind());
        seen.store(ended == Err(std::io::ErrorKind::ConnectionReset), Ordering::SeqCst);
        Ok(())
    });
    let check = format!("{EACH_SECOND}protocol = \"tcp\"");
    let _ringway = Scenario::of(&backend).group_table(&check).start();
    eventually("a reset", || was_reset.load(Ordering::SeqCst));
}

#[test]
fn probes_of_a_backend_do_not_overlap() {
    let backend = Backend::silent();
    let check = CHECK.replace("timeout = \"1s\"", "timeout = \"2s\"");
    let _ringway = Scenario::of(&backend).group_table(&check).start();
    eventually("a probe", || backend.connections() > 0);
    let end = now() + Duration::from_secs(4);
    while now() < end {
        assert!(backend.open_connections() <= 1);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!((2..=3).contains(&backend.connections()), "{}", backend.connections());
}

#[test]
fn flapping_below_the_threshold_changes_nothing() {
    let backend = Patient::new("flapping", 200);
    let check = CHECK.replace("unhealthy_threshold = 1", "unhealthy_threshold = 2");
    let ringway = Scenario::of(&backend.backend).group_table(&check).start();
    ringway.wait_for_line(&backend.line("is healthy (first probe)"));
    for status in [500, 200, 500, 200] {
        backend.answer(status);
        backend.wait_for_probes(1);
    }
    assert!(!ringway.stderr().contains("unhealthy"), "{}", ringway.stderr());
}

#[test]
fn when_all_are_down_requests_go_on_or_fail_as_configured() {
    let ill = Patient::new("ill", 503);
    let forwarding = Scenario::of(&ill.backend).group_table(CHECK);
    let failing = forwarding.clone().group("when_all_down = \"fail\"");
    let (forwarding, failing) = (forwarding.start(), failing.start());
    for ringway in [&forwarding, &failing] {
        ringway.wait_for_line(&ill.line("is unhealthy"));
    }
    assert_eq!(get(&forwarding).text(), "ill");
    let response = get(&failing);
    assert_eq!((response.status, response.head.field("x-router-code")), (503, Some("50000")));
    ill.answer(200);
    failing.wait_for_line(&ill.line("is healthy again"));
    assert_eq!(get(&failing).status, 200);
}

/// Answers requests, and no probe of `/health` nor anything over HTTP/2.
fn unresponsive_to_probes() -> Backend {
    Backend::per_request(|peer, head, _| match &head.start_line {
        line if line.contains("/health") || line.starts_with("PRI ") => {
            std::thread::sleep(Duration::from_secs(2));
            Ok(())
        }
        _ => peer.respond("200 OK", b"unresponsive"),
    })
}

#[test]
fn a_start_serves_before_the_first_probe_unless_it_is_told_to_wait() {
    for protocol in ["http", "h2c"] {
        let unresponsive = unresponsive_to_probes();
        let scenario = Scenario::of(&unresponsive).group("when_all_down = \"fail\"");
        if protocol == "http" {
            // By default nothing waits.
            let ringway = scenario.clone().group_table(CHECK).start();
            let start = now();
            assert_eq!(get(&ringway).text(), "unresponsive");
            assert!(start.elapsed() < Duration::from_millis(250), "{:?}", start.elapsed());
        }
        // The first probe says nothing in time.
        let waiting = format!("{CHECK}initial = \"down\"\n").replace("timeout = \"1s\"", "timeout = \"5s\"");
        let start = now();
        let ringway = scenario.group_protocol(protocol).group_table(&waiting).start();
        assert_eq!(get(&ringway).status, 503);
        let took = start.elapsed();
        assert!((Duration::from_millis(150)..Duration::from_secs(3)).contains(&took), "{took:?}");
    }
    // The first probe ends the wait, which is so short that a busy machine can miss it now and then.
    let well = Patient::new("well", 200);
    let scenario = Scenario::of(&well.backend).group("when_all_down = \"fail\"");
    let scenario = scenario.group_table(&format!("{CHECK}initial = \"down\"\n"));
    assert!((0..5).any(|_| get(&scenario.clone().start()).text() == "well"));
}

#[test]
fn new_backends_are_probed_at_once_and_a_failure_takes_them_out() {
    let (ill, well) = (Patient::new("ill", 500), Patient::new("well", 200));
    let check =
        CHECK.replace("interval = \"1s\"", "interval = \"30s\"").replace("unhealthy_threshold = 1", "");
    let ringway = Scenario::of(&ill.backend).backend(well.address()).group_table(&check).start();
    let start = now();
    eventually("both are probed", || {
        [&ill, &well].iter().all(|backend| backend.probes.load(Ordering::SeqCst) > 0)
    });
    assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
    ringway
        .wait_for_line(&ill.line("failed its first probe and serves once one succeeds: RESPONSE_MISMATCH"));
    assert_eq!(servers(&ringway), ["well"]);
}

#[test]
fn backends_are_probed_as_they_are_spoken_to() {
    let config = server_config(&Issuer::new("backends").server(&["app.example"]), None);
    let secured = Backend::secured(Arc::new(config), |peer| match peer.read_request()? {
        Some(_) => peer.write(b"HTTP/1.1 204 No Content\r\n\r\n"),
        None => Ok(()),
    });
    let web = Patient::new("web", 200);
    let table = probed_group("secured", secured.address(), "protocol = \"https\"", "");
    let ringway = Scenario::of(&web.backend).table(&table).start();
    wait_for_verdict(&ringway, "secured", secured.address(), "healthy");
    assert!(!ringway.stderr().contains("plain http"), "{}", ringway.stderr());
}

#[test]
fn a_standby_takes_over_and_hands_back() {
    let (active, standby) = (Patient::new("active", 200), Patient::new("standby", 200));
    let table = format!("[[server_group.backend]]\naddress = \"{}\"\nrole = \"standby\"", standby.address());
    let ringway = Scenario::of(&active.backend).group_table(CHECK).group_table(&table).start();
    ringway.wait_for_line(&active.line("is healthy"));
    ringway.wait_for_line(&standby.line("is healthy"));
    assert_eq!(servers(&ringway), ["active"]);
    active.answer(500);
    ringway.wait_for_line(&active.line("is unhealthy"));
    assert_eq!(servers(&ringway), ["standby"]);
    active.answer(200);
    ringway.wait_for_line(&active.line("is healthy again"));
    assert_eq!(servers(&ringway), ["active"]);
}

const PASSIVE: &str = "[server_group.passive_check]\nconsecutive_failures = 2\nejection_time = \"2s\"";

/// A backend that hangs up on every request for as long as the flag says.
fn hanging_up() -> (Backend, Arc<AtomicBool>) {
    let is_failing = Arc::new(AtomicBool::new(true));
    let fails = is_failing.clone();
    let backend = Backend::per_request(move |peer, _, _| match fails.load(Ordering::SeqCst) {
        true => Err(std::io::ErrorKind::Other.into()),
        false => peer.respond("200 OK", b"recovered"),
    });
    (backend, is_failing)
}

#[test]
fn a_backend_that_fails_requests_is_left_out_for_a_while() {
    let (failing, is_failing) = hanging_up();
    let good = Patient::new("good", 200);
    let ringway =
        Scenario::of(&failing).backend(good.address()).group("max_retries = 0").group_table(PASSIVE).start();
    let statuses: Vec<_> = (0..4).map(|_| get(&ringway).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 2, "{statuses:?}");
    ringway.wait_for_line(&line(failing.address(), "is ejected for 2 s: 2 requests in a row failed"));
    assert_eq!(servers(&ringway), ["good"]);
    is_failing.store(false, Ordering::SeqCst);
    ringway.wait_for_line(&line(failing.address(), "is no longer ejected"));
    assert_eq!(servers(&ringway), ["good", "recovered"]);
}

#[test]
fn the_last_backend_is_never_left_out() {
    let (failing, is_failing) = hanging_up();
    let ringway = Scenario::of(&failing).group("max_retries = 0").group_table(PASSIVE).start();
    assert!((0..6).all(|_| get(&ringway).status == 502));
    is_failing.store(false, Ordering::SeqCst);
    assert_eq!(get(&ringway).text(), "recovered");
    assert!(!ringway.stderr().contains("ejected"), "{}", ringway.stderr());
}

#[test]
fn a_reload_forgets_nothing_about_backends_that_stay() {
    let (old, new) = (Patient::new("old", 200), Patient::new("new", 200));
    let check = CHECK.replace("unhealthy_threshold = 1", "unhealthy_threshold = 3");
    let scenario = Scenario::of(&old.backend).group_table(&check);
    let ringway = scenario.start();
    ringway.wait_for_line(&old.line("is healthy (first probe)"));
    old.answer(500);
    old.wait_for_probes(2);
    let both = scenario.backend(new.address());
    ringway.reload(&both.text());
    // Two of the three failures were before the reload.
    old.wait_for_probes(1);
    ringway.wait_for_line(&old.line("is unhealthy"));
    ringway.wait_for_line(&new.line("is healthy (first probe)"));
    assert_eq!(servers(&ringway), ["new"]);
    ringway.reload(&both.group("max_retries = 0").text());
    assert_eq!(servers(&ringway), ["new"]);

    ringway.reload(&Scenario::of(&new.backend).group_table(&check).text());
    // A probe may have been on its way.
    new.wait_for_probes(1);
    let probes = old.probes.load(Ordering::SeqCst);
    new.wait_for_probes(2);
    assert_eq!(old.probes.load(Ordering::SeqCst), probes, "nobody watches it any more");
    let stderr = ringway.stderr();
    assert_eq!(stderr.matches("(first probe)").count(), 2, "{stderr}");
}

#[test]
fn a_health_cpu_that_does_not_exist_is_told() {
    let backend = Patient::new("web", 200);
    let ringway = Scenario::of(&backend.backend).process("health_cpu = 1023").group_table(CHECK).start();
    ringway.wait_for_line("warning: the health checker cannot be pinned to CPU 1023");
    ringway.wait_for_line(&backend.line("is healthy"));
}
