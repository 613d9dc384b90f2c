//! `ringway events`: what happened, and who hears of it.

use crate::admin::{command, raw, run, scenario, socket_of};
use crate::support::tls::Issuer;
use crate::support::{Backend, Client, PATIENCE, Ringway, eventually};
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};

const CHECK: &str = "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\nhealthy_threshold = 1\n\
                     unhealthy_threshold = 1\npath = \"/health\"\n";

/// The events that are kept, as JSON.
fn events(ringway: &Ringway, arguments: &[&str]) -> Vec<Json> {
    let ended = command(ringway, &[&["events", "--json"], arguments].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

/// Waits for an event of this kind, and returns the last.
fn await_event(ringway: &Ringway, kind: &str) -> Json {
    let last = || events(ringway, &[]).into_iter().rev().find(|event| event["kind"] == kind);
    eventually(kind, || last().is_some());
    last().expect("it was there")
}

fn message(event: &Json) -> &str {
    event["message"].as_str().expect("a sentence")
}

/// A `ringway events -f` that runs, and its lines.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(arguments: &[&str], socket: &std::path::Path) -> Follower {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
            .args(["events", "-f", "--socket"])
            .arg(socket)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        Follower { child, lines }
    }

    /// Waits for a line that contains this.
    fn await_line(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits until it ends by itself: its exit code and standard error.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it ends");
        (self.child.wait().expect("it has ended").code(), said)
    }
}

#[test]
fn a_backend_that_dies_and_returns_is_told_with_the_words_of_standard_error() {
    let status = Arc::new(AtomicU16::new(200));
    let answer = Arc::clone(&status);
    let ill = Backend::per_request(move |peer, _, _| {
        let status = answer.load(Ordering::SeqCst);
        peer.write(format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n").as_bytes())
    });
    let standby = Backend::echo_head();
    let table = format!("[[server_group.backend]]\naddress = \"{}\"\nrole = \"standby\"", standby.address());
    let ringway = scenario(&ill).group_table(CHECK).table(&table).start();
    let up = await_event(&ringway, "backend_up");
    assert_eq!(up["subject"]["group"], "app");
    eventually("both are healthy", || {
        let up = |event: &Json| event["kind"] == "backend_up";
        events(&ringway, &[]).iter().filter(|event| up(event)).count() == 2
    });
    status.store(503, Ordering::SeqCst);
    let down = await_event(&ringway, "backend_down");
    assert_eq!(down["subject"], json!({"group": "app", "backend": ill.address().to_string()}));
    assert!(message(&down).contains("RESPONSE_MISMATCH"), "{down}");
    ringway.wait_for_line(message(&down));
    let standbys = await_event(&ringway, "group_availability");
    assert_eq!(message(&standbys), "health: group \"app\": standbys serve: no active backend is available");
    status.store(200, Ordering::SeqCst);
    ringway.wait_for_line("health: group \"app\": active backends serve again");
    let again = await_event(&ringway, "group_availability");
    assert!(message(&again).ends_with("active backends serve again"), "{again}");

    let all = events(&ringway, &[]);
    let numbers: Vec<u64> = all.iter().filter_map(|event| event["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(all[0]["kind"], "started");
    assert_eq!(events(&ringway, &["--since", "1h"]), all);
    assert!(events(&ringway, &["--since", "2100-01-01T00:00:00Z"]).is_empty());
    let since = down["time"].as_str().expect("a date");
    assert_eq!(events(&ringway, &["--since", since])[0]["number"], down["number"]);
    let text = command(&ringway, &["events"]).stdout;
    assert_eq!(text.lines().count(), all.len(), "{text}");
    assert!(text.contains(&format!("{since} backend_down      health: backend ")), "{text}");
}

#[test]
fn an_ejection_and_its_end_are_events() {
    let (failing, backend) = (Backend::script(|_| Ok(())), Backend::echo_head());
    let ringway = scenario(&failing)
        .backend(backend.address())
        .group("passive_check = { consecutive_failures = 1, ejection_time = \"1s\" }\n")
        .start();
    eventually("a request fails", || {
        Client::connect(ringway.address()).get("/");
        events(&ringway, &[]).iter().any(|event| event["kind"] == "backend_ejected")
    });
    for kind in ["backend_ejected", "backend_returned"] {
        let event = await_event(&ringway, kind);
        assert_eq!(event["subject"]["backend"], failing.address().to_string(), "{event}");
        assert!(message(&event).contains("ejected"), "{event}");
    }
}

#[test]
fn reloads_and_what_they_change_are_events() {
    let (one, two, three) = (Backend::echo_head(), Backend::echo_head(), Backend::echo_head());
    let scenario = || scenario(&one).group("drain_timeout = \"1s\"\n");
    let ringway = scenario().backend(two.address()).start();
    ringway.replace_configuration("config_version = 1\nbackends = 7\n");
    assert_eq!(command(&ringway, &["reload"]).code, Some(5));
    let refused = await_event(&ringway, "reload_refused");
    assert!(message(&refused).contains("unknown key `backends`"), "{refused}");

    let other = "[[listener]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\ndefault_group = \"app\"\n";
    let with = scenario().backend_at(&two.address().to_string(), 7).backend(three.address()).table(other);
    ringway.replace_configuration(&with.text());
    assert_eq!(command(&ringway, &["reload"]).code, Some(0));
    assert!(message(&await_event(&ringway, "reload_done")).starts_with("reloaded: config generation 2, "));
    let weight = await_event(&ringway, "weight_changed");
    let changed = format!("backend {} of group \"app\" has weight 7 instead of 100", two.address());
    assert_eq!(message(&weight), changed);
    let added = await_event(&ringway, "backend_added");
    assert_eq!(added["subject"], json!({"group": "app", "backend": three.address().to_string()}));
    assert_eq!(await_event(&ringway, "listener_opened")["subject"], json!({"listener": "other"}));

    ringway.replace_configuration(&scenario().text());
    assert_eq!(command(&ringway, &["reload"]).code, Some(0));
    let closed = await_event(&ringway, "listener_closed");
    assert_eq!(closed["subject"], json!({"listener": "other"}));
    ringway.wait_for_line(message(&closed));
    let removed = events(&ringway, &[]);
    let removed = removed.iter().filter(|event| event["kind"] == "backend_removed").count();
    assert_eq!(removed, 2);
    for kind in ["backend_draining", "backend_drained"] {
        eventually(kind, || events(&ringway, &[]).iter().filter(|event| event["kind"] == kind).count() == 2);
    }
}

#[test]
fn files_that_are_read_again_are_events() {
    let issuer = Issuer::new("sites");
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).certificate("site", &issuer.server(&["site.example"])).start();
    let renewed = issuer.server(&["site.example"]);
    let write = |name: &str, text: &str| {
        std::fs::write(ringway.folder().join(name), text).expect("it can be written")
    };
    write("site.crt", &renewed.certificate);
    write("site.key", &renewed.key);
    let read = await_event(&ringway, "files_read");
    assert_eq!(read["subject"], json!({"certificate": "site"}));
    assert!(message(&read).starts_with("certificate \"site\": in service "), "{read}");
    write("site.crt", "no certificate");
    let broken = await_event(&ringway, "files_broken");
    assert_eq!(broken["subject"], json!({"certificate": "site"}));
    ringway.wait_for_line(message(&broken));
}

#[test]
fn followers_hear_what_happens_until_the_process_ends() {
    let backend = Backend::echo_head();
    let mut ringway = scenario(&backend).start();
    let socket = socket_of(&ringway);
    let followers = [Follower::start(&["--json"], &socket), Follower::start(&[], &socket)];
    followers.iter().for_each(|follower| drop(follower.await_line("started")));
    assert_eq!(command(&ringway, &["maintenance", "app", "on"]).code, Some(0));
    let event: Json = serde_json::from_str(&followers[0].await_line("maintenance_on")).expect("it is JSON");
    assert_eq!(event["subject"], json!({"server_group": "app"}));
    followers[1].await_line(message(&event));
    ringway.signal("KILL");
    ringway.wait_for_exit(PATIENCE);
    for follower in followers {
        let (code, said) = follower.ended();
        assert_eq!(code, Some(1), "{said}");
        let expected =
            format!("error: process {}, which was followed, does not answer any more: ", ringway.id());
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn a_follower_ends_where_another_process_has_taken_the_socket() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let socket = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&socket).expect("it can be bound");
    let is_other = Arc::new(AtomicBool::new(false));
    let other = Arc::clone(&is_other);
    // Where it is asked for what is behind an event it cannot know, it is the other one.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("it is accepted");
            let mut question = String::new();
            BufReader::new(stream.try_clone().expect("it has a copy"))
                .read_line(&mut question)
                .expect("a line");
            let pid = if other.load(Ordering::SeqCst) { 8 } else { 7 };
            let events = if question.contains("0}") {
                json!([{"number": 41, "time": "2026-11-21T08:40:00.000Z", "kind": "started", "message": "first"}])
            } else {
                json!([])
            };
            let answer =
                json!({"pid": pid, "started": "2026-11-21T08:40:00Z", "newest": 41, "events": events});
            stream.write_all(format!("{answer}\n").as_bytes()).expect("it is read");
        }
    });
    let follower = Follower::start(&[], &socket);
    assert_eq!(follower.await_line("first"), "2026-11-21T08:40:00.000Z started           first");
    is_other.store(true, Ordering::SeqCst);
    let (code, said) = follower.ended();
    let expected =
        "error: process 7, which was followed, has ended; process 8 answers now, begin again to follow it\n";
    assert_eq!((code, said.as_str()), (Some(1), expected));
    assert_eq!(run(&["events", "--since", "yesterday"]).code, Some(2));
}

#[test]
fn who_comes_late_is_told_how_much_is_gone() {
    /// As many as the process keeps.
    const KEPT: u64 = 512;
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    for number in 0..KEPT {
        let order = format!("maintenance {{\"name\": \"app\", \"on\": {}}}\n", number % 2 == 0);
        assert!(raw(&ringway, order.as_bytes()).contains("\"changed\":true"));
    }
    let ask =
        |line: &str| -> Json { serde_json::from_str(&raw(&ringway, line.as_bytes())).expect("it is JSON") };
    let all = ask("events\n");
    let newest = all["newest"].as_u64().expect("a number");
    let count = |reply: &Json| reply["events"].as_array().expect("a list").len() as u64;
    assert!(newest > KEPT);
    assert_eq!((count(&all), all["missed"].as_u64()), (KEPT, Some(newest - KEPT)));
    assert_eq!(all["pid"], ringway.id());
    let late = ask("events {\"after\": 1}\n");
    assert_eq!((count(&late), late["missed"].as_u64()), (KEPT, Some(newest - KEPT - 1)));
    let last = ask(&format!("events {{\"after\": {}}}\n", newest - 1));
    assert_eq!((count(&last), &last["missed"], &last["events"][0]["number"]), (1, &0.into(), &newest.into()));
    let wrong = ask("events {\"after\": -1}\n");
    assert!(wrong["error"].as_str().expect("a sentence").contains("which events are meant"), "{wrong}");
}
