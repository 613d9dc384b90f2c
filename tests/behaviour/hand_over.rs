//! Another process takes everything over: `ringway upgrade`, USR2 and `ringway run --take-over`.

use crate::admin::{Ended, command, run, socket_of, status};
use crate::support::tls::{Issuer, ask as ask_tls, client_config};
use crate::support::{
    Ask, Backend, Client, Content, PATIENCE, Pair, Peer, Ringway, Scenario, eventually, now, within,
};
use rustls::HandshakeKind::{Full, Resumed};
use serde_json::Value as Json;
use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const REFUSED: i32 = 5;

pub(crate) fn with_socket(scenario: Scenario) -> Scenario {
    scenario.table("[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"")
}

/// Upgrades; the new process.
pub(crate) fn upgraded(ringway: &Ringway) -> u64 {
    let before = status(ringway)["pid"].as_u64();
    let ended = command(ringway, &["upgrade", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let answer: Json = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!(answer["outcome"], "upgraded");
    let after = answer["pid"].as_u64().expect("a process");
    assert_ne!(Some(after), before);
    assert_eq!(status(ringway)["pid"], after);
    after
}

pub(crate) fn refused(ended: &Ended, reason: &str) {
    assert_eq!(ended.code, Some(REFUSED), "{}", ended.stderr);
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the upgrade is refused; what was in service still is"),
        "{}",
        ended.stderr
    );
}

/// Switches to a tunnel that echoes.
fn echoing() -> Backend {
    Backend::script(|peer: &mut Peer| {
        while let Some(head) = peer.read_head()? {
            if head.field("upgrade").is_none() {
                peer.respond("200 OK", b"ok")?;
                continue;
            }
            peer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )?;
            return echo(peer);
        }
        Ok(())
    })
}

fn echo(peer: &mut Peer) -> io::Result<()> {
    loop {
        match peer.read_some()? {
            bytes if bytes.is_empty() => return Ok(()),
            bytes => peer.write(&bytes)?,
        }
    }
}

fn tunnel(ringway: &Ringway) -> Client {
    let mut client = Client::connect(ringway.address());
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.read_response().status, 101);
    client
}

pub(crate) fn metric(ringway: &Ringway, line: &str) -> u64 {
    let told = ringway.wait_for_line("metrics on http://");
    let url = told.split("metrics on ").nth(1).expect("an address").to_owned();
    let address = url.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut client = Client::connect_in_the_clear(address.parse().expect("an address"));
    client.send(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    let text = client.read_response().body;
    let text = String::from_utf8(text).expect("it is a text");
    let found = text.lines().find_map(|known| known.strip_prefix(line));
    // What has counted nothing yet has no series.
    found.map_or(0, |value| value.trim().parse().expect("it is a number"))
}

#[test]
fn what_is_under_way_is_finished_and_everything_new_is_the_new_ones() {
    Pair::each(|pair| {
        let is_open = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&is_open);
        let backend = pair.backend(move |exchange| {
            while exchange.path() == "/slow" && !gate.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            exchange.read_all()?;
            exchange.respond(200, b"served")
        });
        let mut ringway = with_socket(pair.scenario(&backend).workers(2)).start();
        assert_eq!(pair.connect(ringway.address()).get("/before").status, 200);
        let mut waiting = pair.connect(ringway.address());
        let call = waiting.begin(Ask::get("/slow"));
        eventually("it is under way", || status(&ringway)["groups"][0]["in_flight"] == 1);
        let new = upgraded(&ringway);
        assert_eq!(pair.connect(ringway.address()).get("/after").status, 200);
        let old = &status(&ringway)["predecessors"];
        assert_eq!((old.as_array().map(Vec::len), &old[0]["pid"]), (Some(1), &Json::from(ringway.id())));
        let text = command(&ringway, &["status"]).stdout;
        assert!(text.contains(&format!("old process {}: ", ringway.id())), "{text}");
        is_open.store(true, Ordering::SeqCst);
        assert_eq!(waiting.response(call).body, b"served");
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
        eventually("the old one is gone", || status(&ringway)["predecessors"] == Json::Array(Vec::new()));
        // Also what the old process counted after the hand-over.
        eventually("all are counted", || status(&ringway)["groups"][0]["backends"][0]["requests"] == 3);
        assert_eq!(status(&ringway)["pid"], new);
        let told = ringway.stderr();
        assert!(told.contains(&format!("replaced by process {new}: ")), "{told}");
    });
}

#[test]
fn counters_go_on() {
    let backend = Backend::echo_head();
    let mut ringway = with_socket(Scenario::of(&backend)).start();
    let line = "ringway_http_requests_total{listener=\"web\",rule=\"\",group=\"app\",code=\"200\",protocol=\"HTTP/1.1\"}";
    let accepted = "ringway_connections_accepted_total{listener=\"web\"}";
    for count in 1..=3 {
        assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
        eventually("it is counted", || metric(&ringway, line) == count);
        assert_eq!(metric(&ringway, accepted), count);
        upgraded(&ringway);
        eventually("the old one is gone", || status(&ringway)["predecessors"] == Json::Array(Vec::new()));
        assert_eq!(metric(&ringway, line), count);
        assert_eq!(metric(&ringway, accepted), count);
    }
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

#[test]
fn tunnels_live_on_and_at_most_two_old_processes_do() {
    let backend = echoing();
    let mut ringway = with_socket(Scenario::of(&backend)).start();
    let mut tunnels = Vec::new();
    for _ in 0..2 {
        tunnels.push(tunnel(&ringway));
        upgraded(&ringway);
    }
    let mut last = tunnel(&ringway);
    let pids = status(&ringway)["predecessors"].clone();
    assert_eq!(pids.as_array().map(Vec::len), Some(2), "{pids}");
    refused(&command(&ringway, &["upgrade"]), "2 old processes still serve what they have (pid ");
    for client in tunnels.iter_mut().chain([&mut last]) {
        client.send("still there");
        assert_eq!(client.read_exactly(11), b"still there");
    }
    // TERM lets an old one end as a stop does, and then there is room for another.
    ringway.signal("TERM");
    tunnels.remove(0).finish_sending();
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    eventually("one is left", || status(&ringway)["predecessors"].as_array().map(Vec::len) == Some(1));
    upgraded(&ringway);
    last.send("and on");
    assert_eq!(last.read_exactly(6), b"and on");
}

#[test]
fn the_time_of_an_old_process_is_bounded() {
    let backend = echoing();
    let scenario = with_socket(Scenario::of(&backend)).process("upgrade_drain_timeout = \"200ms\"");
    let mut ringway = scenario.start();
    let mut client = tunnel(&ringway);
    upgraded(&ringway);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(client.try_read_response().is_err(), "it is closed");
    ringway.wait_for_line("upgrade_drain_timeout is over: 1 client connection cut off");
}

#[test]
fn what_cannot_take_over_is_refused_and_changes_nothing() {
    let backend = Backend::echo_head();
    let scenario = with_socket(Scenario::of(&backend));
    let mut ringway = scenario.start();
    let file = |name: &str, text: &str, mode: u32| {
        let path = ringway.folder().join(name);
        fs::write(&path, text).expect("a file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode can be set");
        path.display().to_string()
    };
    let crashes = file("crashes", "#!/bin/sh\nkill -KILL $$\n", 0o755);
    let fails = file("fails", "#!/bin/sh\nexit 7\n", 0o755);
    let lets_go = file(
        "lets-go",
        "#!/bin/bash\nfor fd in /proc/$$/fd/*; do fd=${fd##*/}; [ $fd -lt 3 ] || eval \"exec $fd>&-\"; done\nexec sleep 60\n",
        0o755,
    );
    let no_program = file("no-program", "text", 0o755);
    let forbidden = file("forbidden", "#!/bin/sh\n", 0o644);
    let another = file("another", "#!/bin/sh\nexit 0\n", 0o755);
    let nowhere = ringway.folder().join("nowhere").display().to_string();
    for (binary, reason) in [
        (&crashes, "the new process ended before it was ready (signal: 9 (SIGKILL))"),
        (&fails, "the new process ended before it was ready (exit status: 7)"),
        (&lets_go, "the new process lets go of what it was started with"),
        (&no_program, "Exec format error"),
        (&another, "it is no Ringway"),
        (&no_program, "it is no program for this machine"),
        (&forbidden, "Permission denied"),
        (&forbidden, &format!("chmod +x {forbidden}")),
        (&nowhere, "No such file or directory"),
        (&nowhere, "--binary /absolute/path"),
    ] {
        refused(&command(&ringway, &["upgrade", "--binary", binary]), reason);
        assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    }
    ringway.replace_configuration(&format!("{}nonsense = 1\n", scenario.text()));
    refused(&command(&ringway, &["upgrade"]), "unknown key `nonsense`");
    // A port that somebody else has.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port can be bound");
    let taken = taken.local_addr().expect("it has an address");
    let other = format!(
        "{}\n[[listener]]\nname = \"other\"\naddress = \"{taken}\"\ndefault_group = \"app\"\n",
        scenario.text()
    );
    ringway.replace_configuration(&other);
    refused(&command(&ringway, &["upgrade"]), &format!("cannot bind {taken}"));
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert_eq!((status(&ringway)["pid"].as_u64(), ringway.is_running()), (Some(ringway.id().into()), true));
    ringway.replace_configuration(&scenario.text());
    upgraded(&ringway);
}

#[test]
fn a_signal_upgrades_too_and_a_replaced_process_lets_others_do_it() {
    let backend = echoing();
    let mut ringway = with_socket(Scenario::of(&backend)).start();
    let held = tunnel(&ringway);
    ringway.signal("USR2");
    eventually("another process answers", || status(&ringway)["pid"] != ringway.id());
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    ringway.signal("USR2");
    ringway.wait_for_line("a successor has taken over already");
    ringway.signal("HUP");
    ringway.wait_for_line("another process has taken over, reload that one");
    drop(held);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    assert_eq!(command(&ringway, &["reload"]).code, Some(0));
}

#[test]
fn a_process_that_was_started_elsewhere_takes_over() {
    let backend = Backend::echo_head();
    let scenario = with_socket(Scenario::of(&backend).workers(2));
    let mut old = scenario.start();
    let address = old.address();
    let configuration = old.folder().join("ringway.toml").display().to_string();
    let socket = socket_of(&old).display().to_string();
    let nowhere = run(&["run", "-c", &configuration, "--take-over", "/nowhere/admin.sock"]);
    assert_eq!(nowhere.code, Some(REFUSED));
    assert!(
        nowhere.stderr.contains("cannot take over: cannot reach a running ringway at /nowhere"),
        "{}",
        nowhere.stderr
    );

    let mut new = Ringway::with_arguments(&["run", "-c", &configuration, "--take-over", &socket]);
    new.wait_for_listeners(1);
    assert_eq!(new.address(), address);
    assert_eq!(old.wait_for_exit(PATIENCE).code(), Some(0));
    assert_eq!(status(&old)["pid"], new.id());
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/").status, 200);
    }
    assert_eq!(new.terminate().code(), Some(0));
}

#[test]
fn what_a_configuration_changes_is_changed() {
    let backend = Backend::echo_head();
    let scenario = |workers: usize| with_socket(Scenario::of(&backend).workers(workers));
    let ringway = scenario(1).start();
    let address = ringway.address();
    for workers in [4, 1, 2] {
        ringway.replace_configuration(&scenario(workers).text());
        upgraded(&ringway);
        assert_eq!(status(&ringway)["workers"], workers);
        // Whichever socket they come to.
        for _ in 0..40 {
            assert_eq!(Client::connect(address).get("/").status, 200);
        }
        eventually("old ones have ended", || {
            status(&ringway)["predecessors"].as_array().is_some_and(Vec::is_empty)
        });
    }
    let renamed = scenario(2).text().replace("name = \"web\"", "name = \"renamed\"");
    ringway.replace_configuration(&renamed);
    upgraded(&ringway);
    // It had a port of the kernel's choice, which is bound to its name.
    let refused = within(PATIENCE, || TcpStream::connect(address).is_err().then_some(()));
    assert!(refused.is_some(), "nobody listens at the address that is gone");
}

#[test]
fn sessions_are_resumed_by_the_new_process() {
    let issuer = Issuer::new("sites");
    let pair = issuer.server(&["site.example"]);
    let backend = Backend::echo_head();
    let ringway = with_socket(Scenario::of(&backend).workers(2)).certificate("site", &pair).start();
    let client = Arc::new(client_config(&[&issuer.pem]));
    let kind = || ask_tls(ringway.address(), &client, "site.example").expect("it is served").1;
    assert_eq!(kind(), Full);
    for _ in 0..2 {
        upgraded(&ringway);
        assert_eq!(kind(), Resumed);
        assert_eq!(kind(), Resumed);
    }
}

#[test]
fn clients_stay_with_their_backends() {
    for sticky in ["sticky = { mode = \"insert\" }", "sticky = { mode = \"source_ip\" }"] {
        let names = ["one", "two", "three"];
        let backends =
            names.map(|name| Backend::per_request(move |peer, _, _| peer.respond("200 OK", name.as_bytes())));
        let mut scenario = with_socket(Scenario::new()).group(sticky);
        for backend in &backends {
            scenario = scenario.backend(backend.address());
        }
        let ringway = scenario.start();
        let first = Client::connect(ringway.address()).get("/");
        let cookie =
            first.field("set-cookie").map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned());
        let ask = || {
            let mut client = Client::connect(ringway.address());
            let cookie = cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n"));
            client.read_response().body
        };
        upgraded(&ringway);
        assert!((0..6).all(|_| ask() == first.body), "{sticky}");
    }
}

#[test]
fn limits_ejections_and_maintenance_go_on() {
    let (good, bad) = (Backend::echo_head(), Backend::refused_address());
    let scenario = with_socket(Scenario::of(&good))
        .backend(bad)
        .group("passive_check = { consecutive_failures = 1, ejection_time = \"300s\" }")
        .listener("per_client = { requests_per_second = 1, burst = 200 }")
        .table(
            "[[rule]]\nname = \"shop\"\nlistener = \"web\"\npriority = 1\npath = \"/shop\"\ngroup = \"app\"",
        );
    let ringway = scenario.start();
    let state = || {
        let backends = status(&ringway)["groups"][0]["backends"].clone();
        let found =
            backends.as_array().into_iter().flatten().find(|known| known["address"] == bad.to_string());
        found.map(|known| known["state"].clone())
    };
    let mut client = Client::connect(ringway.address());
    let admitted = |client: &mut Client, count| (0..count).filter(|_| client.get("/").status == 200).count();
    let begun = now();
    assert!(admitted(&mut client, 220) >= 201);
    eventually("it is ejected", || state() == Some("ejected".into()));
    assert_eq!(command(&ringway, &["maintenance", "shop", "on"]).code, Some(0));
    upgraded(&ringway);
    assert_eq!(state(), Some("ejected".into()));
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/shop").status, 503);
    // As many as are due by now, and not another burst.
    let due = begun.elapsed().as_secs() as usize + 1;
    assert!(admitted(&mut client, 20 + due) <= due, "the limit begins anew");
}

#[test]
fn an_upload_that_is_under_way_arrives_as_a_whole() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let content = exchange.read_all()?;
            exchange.respond(200, content.len().to_string().as_bytes())
        });
        let ringway = with_socket(pair.scenario(&backend)).start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/", Content::Sized(30)));
        client.write(call, &[b'a'; 10]).expect("it is taken");
        eventually("the backend is asked", || backend.requests() == 1 || backend.connections() == 1);
        upgraded(&ringway);
        client.write(call, &[b'b'; 20]).expect("it is taken");
        client.end(call, &[]).expect("it is taken");
        assert_eq!(client.response(call).body, b"30");
    });
}

#[test]
fn a_program_that_does_nothing_is_given_up_in_half_a_minute() {
    let backend = Backend::echo_head();
    let mut ringway = with_socket(Scenario::of(&backend)).start();
    let idle = ringway.folder().join("idle");
    fs::write(&idle, "#!/bin/sh\nexec sleep 300\n").expect("a file can be written");
    fs::set_permissions(&idle, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    let ended = command(&ringway, &["upgrade", "--binary", &idle.display().to_string()]);
    refused(&ended, "the new process was not ready within 30 s");
    assert_eq!((Client::connect(ringway.address()).get("/").status, ringway.is_running()), (200, true));
    // It is ended, and there is room for another one.
    upgraded(&ringway);
}

#[test]
fn whoever_serves_after_a_stop_in_the_midst_of_it_can_be_reached() {
    let backend = Backend::echo_head();
    for pause_ms in [0, 4, 8, 12, 16, 25] {
        let mut ringway = with_socket(Scenario::of(&backend)).start();
        let socket = socket_of(&ringway).display().to_string();
        let upgrade = std::thread::spawn(move || run(&["upgrade", "--json", "--socket", &socket]));
        std::thread::sleep(Duration::from_millis(pause_ms));
        ringway.signal("TERM");
        let ended = upgrade.join().expect("it ends");
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
        // Refused because of the stop, or done: then the new process is all there is, and it serves.
        if ended.code == Some(0) {
            let served = within(PATIENCE, || {
                Client::connect(ringway.address()).get("/").status.eq(&200).then_some(())
            });
            assert!(served.is_some(), "{pause_ms}: {}", ended.stdout);
        }
    }
}

#[test]
fn old_processes_stop_with_the_new_one() {
    let backend = echoing();
    let scenario = with_socket(Scenario::of(&backend)).process("shutdown_timeout = \"500ms\"");
    let mut ringway = scenario.start();
    let mut held = tunnel(&ringway);
    let new = upgraded(&ringway).to_string();
    held.send("still there");
    assert_eq!(held.read_exactly(11), b"still there");
    let ended = std::process::Command::new("kill").args(["-s", "TERM", &new]).status();
    assert!(ended.expect("`kill` runs").success());
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    ringway.wait_for_line("shutdown_timeout is over: 1 client connection cut off");
}

#[test]
fn warnings_of_the_new_process_reach_who_upgrades() {
    let backend = Backend::echo_head();
    let scenario = with_socket(Scenario::of(&backend));
    let ringway = scenario.start();
    let unused =
        "\n[[server_group]]\nname = \"unused\"\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"\n";
    ringway.replace_configuration(&format!("{}{unused}", scenario.text()));
    let ended = command(&ringway, &["upgrade"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("warning") && ended.stderr.contains("unused"), "{}", ended.stderr);
}
