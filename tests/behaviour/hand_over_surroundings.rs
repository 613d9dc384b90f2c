//! Hand-overs where the addresses, the admin socket or the container are not as usual.

use crate::admin::{command, socket_of, status};
use crate::hand_over::{refused, upgraded, with_socket};
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, eventually};
use std::fs;
use std::net::TcpStream;

#[test]
fn an_address_that_was_given_up_a_moment_ago_is_waited_for() {
    let backend = Backend::echo_head();
    let scenario = with_socket(Scenario::of(&backend));
    let ringway = scenario.start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let other = free.expect("a port is free");
    let more = format!(
        "{}\n[[listener]]\nname = \"other\"\naddress = \"{other}\"\ndefault_group = \"app\"\n",
        scenario.text()
    );
    // Given up by a reload, and then by an upgrade.
    for verb in ["reload", "upgrade"] {
        ringway.replace_configuration(&more);
        upgraded(&ringway);
        assert!(TcpStream::connect(other).is_ok());
        // There may be two old processes at a time.
        eventually("old processes have ended", || status(&ringway)["predecessors"] == serde_json::json!([]));
        ringway.replace_configuration(&scenario.text());
        assert_eq!(command(&ringway, &[verb]).code, Some(0));
    }
    ringway.replace_configuration(&more);
    upgraded(&ringway);
    assert!(TcpStream::connect(other).is_ok());
}

#[test]
fn a_successor_that_control_commands_cannot_reach_serves_all_the_same() {
    let backend = Backend::echo_head();
    let mut ringway = with_socket(Scenario::of(&backend)).start();
    // What stands there now cannot be replaced by a socket, and that is found out behind the word to go on.
    let socket = socket_of(&ringway);
    fs::remove_file(&socket).expect("it is there");
    fs::create_dir(&socket).expect("a folder can be made");
    ringway.signal("USR2");
    ringway.wait_for_line("error: control commands cannot reach this process at");
    ringway.wait_for_line("upgraded: process");
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
}

#[test]
fn process_1_of_a_container_is_not_replaced() {
    const STARTER: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];
    let mut probe = std::process::Command::new(STARTER[0]);
    let may = probe.args(&STARTER[1..]).arg("true").output().is_ok_and(|output| output.status.success());
    if !may {
        return eprintln!("skipped: no namespace of processes can be made");
    }
    let backend = Backend::echo_head();
    let ringway = Ringway::start_under(&STARTER, &with_socket(Scenario::of(&backend)).text());
    refused(&command(&ringway, &["upgrade"]), "this is process 1 of its container");
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
}
