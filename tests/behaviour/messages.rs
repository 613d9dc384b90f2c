//! What Ringway tells the operator on standard error, and that nothing waits for who reads it.

use crate::support::tls::{Issuer, client_config};
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, configuration_for, eventually, now};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

const CHECK: &str = "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\nhealthy_threshold = 1\n\
                     unhealthy_threshold = 1\npath = \"/health\"\n";

const NAME: &str = "site.example";

/// Answers its name, and to `/health` the status of the moment.
fn named(name: &'static str) -> (Backend, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answer = status.clone();
    let backend = Backend::per_request(move |peer, head, _| {
        if !head.start_line.contains("/health") {
            return peer.respond("200 OK", name.as_bytes());
        }
        let status = answer.load(Ordering::SeqCst);
        peer.write(format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n").as_bytes())
    });
    (backend, status)
}

/// Runs `ringway reload` and returns its exit code.
fn reload(ringway: &Ringway) -> Option<i32> {
    let socket = ringway.folder().join("admin.sock").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    let command = command.args(["reload", "--socket", &socket]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("it runs").code()
}

fn shown(address: SocketAddr, root: &str) -> Vec<u8> {
    let config = Arc::new(client_config(&[root]));
    let client = Client::secured(address, &config, NAME).expect("it is secured");
    client.wire().session(|session| session.peer_certificates().expect("there is one")[0].to_vec())
}

#[test]
fn when_nobody_reads_standard_error_everything_goes_on() {
    let ((ill, status), (well, _)) = (named("ill"), named("well"));
    let issuer = Issuer::new("sites");
    let scenario = Scenario::of(&ill)
        .backend(well.address())
        .certificate("site", &issuer.server(&[NAME]))
        .table("[admin]\nsocket = \"admin.sock\"")
        .group_table(CHECK);
    let mut ringway = scenario.start();
    let address = ringway.address();
    let config = Arc::new(client_config(&[&issuer.pem]));
    let mut client = Client::secured(address, &config, NAME).expect("it is secured");
    let mut servers = move || {
        let mut names: Vec<_> = (0..8).map(|_| client.get("/").text()).collect();
        names.sort();
        names.dedup();
        names
    };
    eventually("both serve", || servers() == ["ill", "well"]);
    ringway.stop_reading();

    // The health checker.
    for (answer, expected) in [(500, &["well"][..]), (200, &["ill", "well"]), (500, &["well"])] {
        status.store(answer, Ordering::SeqCst);
        eventually("probes are taken into account", || servers() == expected);
    }
    // Certificates.
    let renewed = issuer.server(&[NAME]);
    std::fs::write(ringway.folder().join("site.crt"), &renewed.certificate).expect("it can be written");
    std::fs::write(ringway.folder().join("site.key"), &renewed.key).expect("it can be written");
    eventually("the certificate is renewed", || shown(address, &issuer.pem) == renewed.chain()[0].to_vec());
    // A worker that cannot accept.
    ringway.limit_descriptors(ringway.descriptors() + 5);
    let held: Vec<_> =
        (0..20).map(|_| std::net::TcpStream::connect(address).expect("it waits in the queue")).collect();
    let start = now();
    while start.elapsed() < Duration::from_millis(600) {
        assert_eq!(servers(), ["well"]);
    }
    drop(held);
    ringway.limit_descriptors(1_000);
    eventually("new clients are served", || Client::secured(address, &config, NAME).is_ok());
    // Reloads, with more to say than there is room for.
    let good = scenario.text();
    let wrong: String =
        (0..1_500).map(|number| format!("unknown_key_{number} = \"{number:>90}\"\n")).collect();
    ringway.replace_configuration(&format!("{wrong}{good}"));
    for _ in 0..8 {
        assert_eq!(reload(&ringway), Some(5));
    }
    ringway.replace_configuration(&good);
    assert_eq!(reload(&ringway), Some(0));

    ringway.read_again();
    ringway.wait_for_line("cannot accept connections");
    let line = ringway.wait_for_line("messages are lost");
    assert!(line.starts_with("warning: ") && line.contains("standard error did not take them"), "{line}");
    assert_eq!(ringway.terminate().code(), Some(0));
}

#[test]
fn a_process_ends_though_nobody_reads_standard_error() {
    let backend = Backend::echo_head();
    let mut ringway = Ringway::in_front_of(&[backend.address()]);
    ringway.stop_reading();
    let start = now();
    ringway.signal("HUP");
    assert_eq!(ringway.terminate().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn each_line_begins_with_the_time() {
    let backend = Backend::echo_head();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("ringway.toml");
    std::fs::write(&file, configuration_for(&[backend.address()])).expect("it can be written");
    let log = folder.path().join("stderr");
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["run", "-c", &file.display().to_string()])
        .stderr(std::fs::File::create(&log).expect("it can be made"))
        .spawn()
        .expect("the binary starts");
    let text = || std::fs::read_to_string(&log).expect("it can be read");
    let is_ready = crate::support::within(PATIENCE, || text().contains("listening on").then_some(()));
    child.kill().expect("it can be ended");
    child.wait().expect("it ends");
    assert!(is_ready.is_some(), "{}", text());
    for line in text().lines() {
        let (stamp, message) = line.split_once(' ').expect("a stamp and a message");
        let digits = stamp.replace(|letter: char| letter.is_ascii_digit(), "0");
        assert!(digits == "0000-00-00T00:00:00.000Z" && !message.is_empty(), "{line}");
    }
}
