//! The admin socket, and the commands that go through it.

use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, eventually, now, within};
use serde_json::{Value as Json, json};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const FAILURE: i32 = 1;
const USAGE: i32 = 2;
const CONFIGURATION_INVALID: i32 = 3;
const CANNOT_START: i32 = 4;
const REFUSED: i32 = 5;

/// Configurations are rewritten here, so the kit must not make HTTPS of them.
const ADMIN: &str = "# in cleartext\n[admin]\nsocket = \"admin.sock\"";

pub(crate) fn scenario(backend: &Backend) -> Scenario {
    Scenario::of(backend).workers(2).table(ADMIN)
}

pub(crate) fn socket_of(ringway: &Ringway) -> PathBuf {
    ringway.folder().join("admin.sock")
}

fn configuration_of(ringway: &Ringway) -> PathBuf {
    ringway.folder().join("ringway.toml")
}

/// How a command of ours ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway")).args(arguments).output().expect("it runs");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `ringway VERB --socket …`.
pub(crate) fn command(ringway: &Ringway, arguments: &[&str]) -> Ended {
    let socket = socket_of(ringway).display().to_string();
    run(&[arguments, &["--socket", &socket]].concat())
}

pub(crate) fn status(ringway: &Ringway) -> Json {
    let ended = command(ringway, &["status", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("it is JSON")
}

/// What comes back for exactly these bytes.
pub(crate) fn raw(ringway: &Ringway, said: &[u8]) -> String {
    let mut stream = connect(ringway);
    stream.write_all(said).expect("it is read");
    read_all(&mut stream)
}

fn connect(ringway: &Ringway) -> UnixStream {
    let stream = UnixStream::connect(socket_of(ringway)).expect("the socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    stream
}

fn read_all(stream: &mut UnixStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it ends");
    answer
}

pub(crate) fn number(json: &Json) -> u64 {
    json.as_u64().unwrap_or_else(|| panic!("no number: {json}"))
}

#[test]
fn status_tells_of_the_process_and_its_listeners() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).listener("max_connections = 50").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let status = status(&ringway);
    let parts = ["version", "pid", "stopping", "epoch", "workers", "leaving"].map(|key| status[key].clone());
    assert_eq!(Json::from(&parts[..]), json!([env!("CARGO_PKG_VERSION"), ringway.id(), false, 1, 2, []]));
    assert_eq!(status["reloads"], json!({"succeeded": 0, "refused": 0, "last": null}));
    let started = status["started"].as_str().expect("a date");
    assert!(started.len() == 20 && started.starts_with("20") && started.ends_with('Z'), "{started}");
    assert!(number(&status["uptime_seconds"]) < 60);
    assert_eq!(status["connections"]["in_use"], 1);
    assert!(number(&status["connections"]["limit"]) > 0);
    let listener = json!({
        "name": "web", "protocol": "http", "http3": false, "quic_listener": null,
        "addresses": [ringway.address().to_string()],
        "connections": {"in_use": 1, "limit": 50}, "leaving": false, "disabled": false,
        "rules": [], "disabled_rules": [], "default_group": "app", "redirect_port": null,
        "refused": {
            "access_denied": 0, "client_connection_limit": 0, "client_connection_rate_limit": 0,
            "tls_unknown_name": 0,
        },
    });
    let mut told = status["listeners"].clone();
    // Another test tells of the counters.
    for counted in ["accepted", "requests", "reasons", "bytes", "datagrams", "relayed"] {
        assert!(told[0].as_object_mut().expect("a table").remove(counted).is_some(), "{told}");
    }
    assert_eq!(told, json!([listener]));
}

#[test]
fn status_tells_of_groups_and_their_backends() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).backend_at("127.0.0.1:1", 0).start();
    let mut client = Client::connect(ringway.address());
    (0..3).for_each(|_| assert_eq!(client.get("/").status, 200));
    let status = status(&ringway);
    let group = &status["groups"][0];
    let parts = ["name", "algorithm", "availability", "in_flight"].map(|key| group[key].clone());
    assert_eq!(Json::from(&parts[..]), json!(["app", "weighted_round_robin", "active", 0]));
    let serving = json!({
        "address": backend.address().to_string(), "role": "active", "weight": 100,
        "state": "unchecked", "reason": null, "status": null, "check": "unchecked", "available": true, "ejected_until": null,
        "since": null, "seconds": null, "in_flight": 0, "requests": 3, "failures": 0, "changes": 0,
    });
    assert_eq!(group["backends"][0], serving);
    let drained = &group["backends"][1];
    assert!(["draining", "drained"].contains(&drained["state"].as_str().expect("a word")), "{drained}");
    assert!(drained["since"].is_string() && drained["seconds"].is_u64(), "{drained}");
}

#[test]
fn what_is_under_way_and_what_failed_is_counted() {
    let (slow, failing) = (Backend::silent(), Backend::script(|_| Ok(())));
    let ringway = scenario(&slow).group("max_retries = 0\nresponse_timeout = \"60s\"").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the request is under way", || {
        let group = &status(&ringway)["groups"][0];
        group["in_flight"] == 1 && group["backends"][0]["in_flight"] == 1
    });

    let ringway = scenario(&failing).group("max_retries = 0").start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
    eventually("the failure is counted", || status(&ringway)["groups"][0]["backends"][0]["failures"] == 1);
}

#[test]
fn a_reload_brings_a_listener_and_a_backend_into_service() {
    let (one, two) = (Backend::fixed(ok("one")), Backend::fixed(ok("two")));
    let ringway = scenario(&one).start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").text(), "one");

    let second = "[[listener]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\ndefault_group = \"app\"";
    let text = scenario(&one).backend(two.address()).table(second).text();
    ringway.replace_configuration(&text);
    let ended = command(&ringway, &["reload"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stderr);
    assert!(
        ended.stdout.starts_with("reloaded: config generation 2, 2 listeners, 1 group, 2 backends"),
        "{}",
        ended.stdout
    );

    let mut answers = [client.get("/").text(), client.get("/").text()];
    answers.sort_unstable();
    assert_eq!(answers, ["one", "two"], "the connection goes on");
    let status = status(&ringway);
    assert_eq!((&status["epoch"], &status["reloads"]["succeeded"]), (&2.into(), &1.into()));
    assert_eq!(status["reloads"]["last"]["outcome"], "reloaded");
    assert_eq!(status["listeners"][1]["name"], "second");
    let address = status["listeners"][1]["addresses"][0].as_str().expect("an address");
    let mut client = Client::connect(address.parse().expect("an address"));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn what_leaves_is_told_until_it_is_gone() {
    let (old, new) = (Backend::silent(), Backend::echo_head());
    let second = "[[listener]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\ndefault_group = \"app\"";
    let mut ringway = scenario(&old).group("response_timeout = \"60s\"").table(second).spawn();
    ringway.wait_for_listeners(2);
    let mut client = Client::connect(ringway.address_of("second"));
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("it is under way", || status(&ringway)["groups"][0]["in_flight"] == 1);

    let text = scenario(&new).text().replace("\"app\"", "\"other\"");
    ringway.replace_configuration(&text);
    assert_eq!(command(&ringway, &["reload"]).code, Some(0));
    let status = status(&ringway);
    assert_eq!(status["groups"][0]["name"], "other");
    let leaving = &status["leaving"][0];
    assert_eq!((&leaving["state"], &leaving["in_flight"]), (&"draining".into(), &1.into()), "{status}");
    let listeners = status["listeners"].as_array().expect("a list");
    let second = listeners.iter().find(|listener| listener["name"] == "second").expect("it has a connection");
    assert_eq!((&second["leaving"], &second["connections"]["in_use"]), (&true.into(), &1.into()));
    assert!(command(&ringway, &["status"]).stdout.contains("backends that are being removed"));
}

#[test]
fn a_refused_reload_names_the_place_and_changes_nothing() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    let good = fs::read_to_string(configuration_of(&ringway)).expect("it is there");
    for (line, words) in [
        ("max_retrys = 1", "unknown key `max_retrys`"),
        ("algorithm = \"fastest\"", "invalid value \"fastest\" for `algorithm`"),
        ("max_retries = [", "not valid TOML"),
    ] {
        let bad = scenario(&backend).group(line).text();
        fs::write(configuration_of(&ringway), &bad).expect("it can be written");
        let place = bad.lines().position(|its| its == line).expect("the line is there") + 1;
        for arguments in [&["reload"][..], &["reload", "--json"]] {
            let ended = command(&ringway, arguments);
            assert_eq!(ended.code, Some(REFUSED), "{}", ended.stderr);
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(said.contains(words.split('"').next().unwrap_or(words)), "{said}");
            assert!(said.contains(&format!("ringway.toml:{place}:")) || words.contains("TOML"), "{said}");
        }
    }
    let ended = command(&ringway, &["reload"]);
    assert!(
        ended.stderr.ends_with("error: the reload is refused; what was in service still is\n"),
        "{}",
        ended.stderr
    );
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    let after = status(&ringway);
    assert_eq!((&after["epoch"], &after["reloads"]["last"]["outcome"]), (&1.into(), &"refused".into()));
    assert_eq!(number(&after["reloads"]["refused"]), 7);

    ringway.replace_configuration(&good);
    let ended = command(&ringway, &["reload", "--json"]);
    let document: Json = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!((&document["outcome"], &document["epoch"]), (&"reloaded".into(), &2.into()));
}

#[test]
fn the_outcome_of_a_signal_is_told_on_standard_error_and_in_the_status() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    ringway.signal("HUP");
    ringway.wait_for_line("reloaded: config generation 2");
    ringway.replace_configuration("nonsense");
    ringway.signal("HUP");
    ringway.wait_for_line("the reload is refused; what was in service still is");
    let reloads = &status(&ringway)["reloads"];
    assert_eq!((number(&reloads["succeeded"]), number(&reloads["refused"])), (1, 1));
}

#[test]
fn the_socket_is_found_by_the_configuration_even_by_a_broken_one() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    let file = configuration_of(&ringway).display().to_string();
    assert_eq!(run(&["status", "-c", &file]).code, Some(0));
    fs::write(&file, scenario(&backend).group("max_retrys = 1").text()).expect("it can be written");
    let ended = run(&["reload", "-c", &file]);
    assert_eq!(ended.code, Some(REFUSED), "{}", ended.stderr);

    fs::write(&file, "config_version = ").expect("it can be written");
    let ended = run(&["reload", "-c", &file]);
    assert_eq!(ended.code, Some(CONFIGURATION_INVALID), "{}", ended.stderr);
    fs::write(&file, Scenario::of(&backend).text()).expect("it can be written");
    let ended = run(&["reload", "-c", &file]);
    assert_eq!(ended.code, Some(FAILURE));
    assert!(ended.stderr.contains("no [admin] socket"), "{}", ended.stderr);
    assert_eq!(run(&["reload", "-c", &file, "--socket", "/a"]).code, Some(USAGE));
}

#[test]
fn nobody_to_ask_is_explained() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("admin.sock");
    let socket = path.display().to_string();
    for verb in ["reload", "status"] {
        let ended = run(&[verb, "--socket", &socket]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(FAILURE), ""));
        assert!(
            ended.stderr.contains(&socket) && ended.stderr.contains("--socket or -c"),
            "{}",
            ended.stderr
        );
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file can be written");
    let ended = run(&["status", "--socket", &file.display().to_string()]);
    assert!(ended.code == Some(FAILURE) && ended.stderr.contains("is no socket"), "{}", ended.stderr);
    let listener = UnixListener::bind(&path).expect("the path is free");
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        stream.write_all(b"220 mail.example ESMTP\r\n").expect("it is read");
    });
    let ended = run(&["status", "--socket", &socket]);
    assert!(ended.stderr.contains("does not answer as ringway does"), "{}", ended.stderr);
    stranger.join().expect("it has ended");
    let ended = run(&["status", "--socket", &socket]);
    assert_eq!(ended.code, Some(FAILURE));
    assert!(ended.stderr.contains("its process is gone"), "{}", ended.stderr);
}

#[test]
fn the_socket_is_private_and_removed_at_the_end() {
    let backend = Backend::echo_head();
    for signal in ["TERM", "INT", "QUIT"] {
        let mut ringway = scenario(&backend).start();
        let metadata = fs::metadata(socket_of(&ringway)).expect("it is there");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        ringway.signal(signal);
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
        assert!(!socket_of(&ringway).exists(), "{signal}");
    }
}

#[test]
fn the_socket_of_a_dead_process_is_replaced() {
    let backend = Backend::echo_head();
    let mut first = scenario(&backend).start();
    first.signal("KILL");
    first.wait_for_exit(PATIENCE);
    let socket = socket_of(&first);
    assert!(socket.exists());
    let elsewhere = ADMIN.replace("admin.sock", &socket.display().to_string());
    let second = Scenario::of(&backend).table(&elsewhere).start();
    assert_eq!(status(&first)["pid"], second.id());
}

#[test]
fn a_living_socket_and_what_is_none_are_left_alone() {
    let backend = Backend::echo_head();
    let first = scenario(&backend).start();
    let socket = socket_of(&first);
    let elsewhere = |path: &PathBuf| {
        let table = ADMIN.replace("admin.sock", &path.display().to_string());
        let mut ringway = Scenario::of(&backend).table(&table).spawn();
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(CANNOT_START));
        ringway.wait_for_line("cannot take commands at")
    };
    let line = elsewhere(&socket);
    assert!(line.contains("ringway.toml:") && line.contains("another process listens there"), "{line}");
    assert_eq!(status(&first)["pid"], first.id());

    let file = first.folder().join("file");
    fs::write(&file, "precious").expect("it can be written");
    let link = first.folder().join("link");
    symlink(&file, &link).expect("a link can be made");
    for path in [&file, &link] {
        assert!(elsewhere(path).contains("no socket; remove it"));
    }
    assert_eq!(fs::read_to_string(&link).expect("it is there"), "precious");
    let line = elsewhere(&first.folder().join("missing/admin.sock"));
    assert!(line.contains("make the folder"), "{line}");
}

#[test]
fn while_a_process_stops_it_answers_and_another_may_take_its_place() {
    let backend = Backend::silent();
    let mut first =
        scenario(&backend).group("response_timeout = \"60s\"").process("shutdown_timeout = \"60s\"").start();
    let mut client = Client::connect(first.address());
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the request is under way", || status(&first)["groups"][0]["in_flight"] == 1);
    first.signal("TERM");
    eventually("it stops", || status(&first)["stopping"] == true);
    let ended = command(&first, &["reload"]);
    assert_eq!(ended.code, Some(REFUSED));
    assert!(ended.stderr.contains("the process is stopping"), "{}", ended.stderr);
    let ended = command(&first, &["upgrade"]);
    assert_eq!(ended.code, Some(REFUSED));
    let expected =
        "error: the process is stopping\nerror: the upgrade is refused; it serves what it has and ends\n";
    assert!(ended.stderr.ends_with(expected), "{}", ended.stderr);

    let elsewhere = ADMIN.replace("admin.sock", &socket_of(&first).display().to_string());
    let second = Scenario::of(&backend).table(&elsewhere).start();
    assert_eq!(status(&first)["pid"], second.id());
    first.signal("TERM");
    assert_eq!(first.wait_for_exit(PATIENCE).code(), Some(0));
    assert_eq!(status(&first)["pid"], second.id(), "the socket of the other one stays");
}

#[test]
fn garbage_is_answered_with_an_error() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    for (said, words) in [
        (
            &b"restart\n"[..],
            "unknown command \\\"restart\\\", known are: backend, events, explain, maintenance, reload, reload strict, status",
        ),
        (b"\n", "unknown command \\\"\\\""),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "unknown command"),
        (b"\x00\xff\x16\x03\n", "unknown command"),
        (&[b'x'; 70_000], "a command has at most 65536 bytes"),
    ] {
        let answer = raw(&ringway, said);
        let document: Json = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no JSON: {answer}"));
        assert!(document["error"].is_string() && answer.contains(words), "{answer}");
        assert_eq!(answer.lines().count(), 1);
    }
    let mut silent = connect(&ringway);
    silent.write_all(b"status").expect("it is read");
    silent.shutdown(Shutdown::Write).expect("it is open");
    assert!(read_all(&mut silent).contains("\"epoch\":1"), "the end of the stream ends a line");
    assert!(raw(&ringway, b"status\r\n").contains("\"epoch\":1"));
    drop(connect(&ringway));
    assert_eq!(status(&ringway)["epoch"], 1);
}

#[test]
fn slow_clients_keep_nobody_away_for_long() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    let began = now();
    let mut slow: Vec<_> = (0..8).map(|_| connect(&ringway)).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(b"stat").expect("it is read"));
    eventually("there is no place", || {
        let mut stream = connect(&ringway);
        // It is answered and closed before anything was heard.
        let _ = stream.write_all(b"status\n");
        let mut answer = [0; 256];
        let length = stream.read(&mut answer).expect("there is an answer");
        String::from_utf8_lossy(&answer[..length]).contains("too many clients at a time")
    });
    let ended = command(&ringway, &["status"]);
    assert_eq!(ended.code, Some(FAILURE), "{}", ended.stderr);
    assert!(ended.stderr.contains("try again"), "{}", ended.stderr);
    for stream in &mut slow {
        assert!(read_all(stream).contains("no command came within 5 s"));
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let answered = within(PATIENCE, || (command(&ringway, &["status"]).code == Some(0)).then_some(()));
    assert!(answered.is_some());
}

#[test]
fn without_a_socket_there_are_no_commands() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).start();
    assert!(!socket_of(&ringway).exists());
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn status_counts_who_was_turned_away_and_a_reload_goes_on_counting() {
    let backend = Backend::echo_head();
    let limited = |more: &str| {
        scenario(&backend)
            .table("[[ip_group]]\nname = \"bad\"\nentries = [\"192.0.2.66\"]")
            .listener(&format!("proxy_protocol = \"accept\"\n{more}"))
    };
    let ringway = limited("deny = [\"bad\"]\nper_client = { max_connections = 1 }").start();
    let connect = |source: &str| {
        let mut client = Client::connect(ringway.address());
        client.send(format!("PROXY TCP4 {source} 127.0.0.1 1111 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.try_read_response().ok().map(|_| client)
    };
    let refused = |reason: &str| number(&status(&ringway)["listeners"][0]["refused"][reason]);
    assert!(connect("192.0.2.66").is_none() && connect("192.0.2.66").is_none());
    let first = connect("192.0.2.1");
    assert!(first.is_some() && connect("192.0.2.1").is_none() && connect("192.0.2.2").is_some());
    eventually("all are counted", || {
        (refused("access_denied"), refused("client_connection_limit")) == (2, 1)
    });
    let line = "2 access_denied, 1 client_connection_limit";
    let page = command(&ringway, &["status"]).stdout;
    assert!(page.contains("REFUSED") && page.lines().any(|its| its.contains(line)), "{page}");
    drop(first);
    ringway.reload(&limited("deny = [\"bad\"]\nper_client = { connections_per_second = 1 }").text());
    assert_eq!((refused("access_denied"), refused("client_connection_limit")), (2, 1));
    let hello = "PROXY TCP4 192.0.2.3 127.0.0.1 1111 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    eventually("one is counted", || {
        // Without waiting for answers, so that they come in the same second.
        let clients: Vec<Client> = (0..5)
            .map(|_| {
                let mut client = Client::connect(ringway.address());
                client.send(hello);
                client
            })
            .collect();
        drop(clients);
        refused("client_connection_rate_limit") >= 1
    });
}
