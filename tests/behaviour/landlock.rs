//! The process takes from itself what it does not need: to write elsewhere than where it has to, and to start programs.

use crate::support::{Backend, Client, Ringway, Scenario, eventually};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn is_available() -> bool {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ringway")).args(["version", "-v"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.lines().any(|line| line.starts_with("landlock: ")), "{said}");
    said.contains("landlock: available")
}

fn upgrade(socket: &Path, binary: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg("upgrade").arg("--socket").arg(socket).arg("--binary").arg(binary);
    command.output().expect("the binary runs")
}

/// A configuration that logs into `folder`.
fn logging_to(folder: &Path, backend: &Backend, line: &str) -> Scenario {
    let log = format!("[access_log]\npath = \"{}/access.log\"", folder.display());
    Scenario::of(backend).process(line).table(&log)
}

#[test]
fn another_folder_in_the_place_of_a_known_one_cannot_be_written() {
    if !is_available() {
        return;
    }
    let backend = Backend::echo_head();
    for (line, is_locked) in [("", true), ("landlock = false", false)] {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let logs = folder.path().join("logs");
        fs::create_dir(&logs).expect("it can be made");
        let ringway = logging_to(&logs, &backend, line).start();
        Client::connect(ringway.address()).get("/first");
        // The usual rotation: the file moves, and another one takes its name.
        fs::rename(logs.join("access.log"), logs.join("access.log.1")).expect("it can be renamed");
        ringway.signal("USR1");
        eventually("the log is there again", || logs.join("access.log").exists());
        Client::connect(ringway.address()).get("/second");
        eventually("a line is written", || {
            fs::read_to_string(logs.join("access.log")).is_ok_and(|log| log.contains("/second"))
        });
        // A folder of the same name is another one.
        fs::rename(&logs, folder.path().join("old")).expect("it can be renamed");
        fs::create_dir(&logs).expect("it can be made");
        ringway.signal("USR1");
        if is_locked {
            ringway.wait_for_line("Permission denied");
            assert!(!logs.join("access.log").exists());
        } else {
            eventually("the log is in the new folder", || logs.join("access.log").exists());
        }
        assert_eq!(Client::connect(ringway.address()).get("/third").status, 200);
    }
}

#[test]
fn a_successor_may_write_where_its_own_configuration_says() {
    let backend = Backend::echo_head();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let place = |name: &str| folder.path().join(name);
    fs::create_dir(place("one")).expect("it can be made");
    let admin = format!("[admin]\nsocket = \"{}\"\n", place("admin.sock").display());
    let configured = |logs: &str| logging_to(&place(logs), &backend, "").table(&admin).text();
    let ringway = Ringway::start(&configured("one"));
    fs::create_dir(place("two")).expect("it can be made");
    ringway.replace_configuration(&configured("two"));
    // A program that was replaced by another one of the same name, as packages do it.
    let binary = place("ringway");
    fs::copy(env!("CARGO_BIN_EXE_ringway"), place("fresh")).expect("it can be copied");
    fs::rename(place("fresh"), &binary).expect("it can be renamed");
    let output = upgrade(&place("admin.sock"), &binary);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    eventually("the successor logs", || {
        Client::connect(ringway.address()).get("/after");
        fs::read_to_string(place("two").join("access.log")).is_ok_and(|log| log.contains("/after"))
    });
    let status = Command::new(env!("CARGO_BIN_EXE_ringway"));
    end_successor(status, &place("admin.sock"));
}

/// Ends who answers at this socket.
fn end_successor(mut status: Command, socket: &Path) {
    let output = status.args(["status", "--json", "--socket"]).arg(socket).output().expect("the binary runs");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let pid = document["pid"].as_u64().expect("it has a number");
    assert!(Command::new("kill").arg(pid.to_string()).status().is_ok_and(|status| status.success()));
}

#[test]
fn a_program_that_anybody_could_have_written_does_not_take_over() {
    if !is_available() {
        return;
    }
    let backend = Backend::echo_head();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let socket = folder.path().join("admin.sock");
    let mut ringway =
        Scenario::of(&backend).table(&format!("[admin]\nsocket = \"{}\"\n", socket.display())).start();
    let binary = folder.path().join("ringway");
    fs::copy(env!("CARGO_BIN_EXE_ringway"), &binary).expect("it can be copied");
    fs::set_permissions(&binary, Permissions::from_mode(0o777)).expect("it can be changed");
    let output = upgrade(&socket, &binary);
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("every user may write to it"), "{said}");
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert!(ringway.terminate().success());
}
