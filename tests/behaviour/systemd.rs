//! What systemd is told by sd_notify, here by a socket of the test.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, over_tls};

/// A service manager that reads what it is told.
struct NotifySocket {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl NotifySocket {
    fn new() -> NotifySocket {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket can be bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        NotifySocket { socket, folder }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("NOTIFY_SOCKET", self.folder.path().join("notify").display().to_string())]
    }

    /// The lines of the next message.
    fn message(&self) -> Vec<String> {
        loop {
            let message = self.any_message();
            // What is stored is looked at elsewhere.
            if !message[0].starts_with("FDSTORE") {
                return message;
            }
        }
    }

    fn any_message(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("a message comes");
        let text = String::from_utf8(bytes[..length].to_vec()).expect("it is a text");
        text.lines().map(str::to_owned).collect()
    }

    /// The next message that is more than a sign of life.
    fn news(&self) -> Vec<String> {
        loop {
            let message = self.message();
            if message != ["WATCHDOG=1"] {
                return message;
            }
        }
    }
}

/// The next message with its descriptors.
pub(crate) fn message_with_descriptors(socket: &impl AsFd) -> (String, Vec<OwnedFd>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)
        .expect("a message comes");
    let rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let descriptors = rights.flatten().collect();
    (String::from_utf8_lossy(&bytes[..received.bytes]).into_owned(), descriptors)
}

/// The sockets that are stored next.
fn stored(manager: &NotifySocket) -> (String, Vec<OwnedFd>) {
    loop {
        let (text, descriptors) = message_with_descriptors(&manager.socket);
        if text.starts_with("FDSTORE=1\n") {
            return (text, descriptors);
        }
    }
}

#[test]
fn sockets_in_the_store_outlive_a_crash() {
    let manager = NotifySocket::new();
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).workers(2);
    let mut ringway = Ringway::start_with_environment(&scenario.text(), &manager.variables());
    let address = ringway.address();
    let (text, sockets) = stored(&manager);
    assert_eq!(text, format!("FDSTORE=1\nFDNAME=tcp-{}\n", address.to_string().replace(':', "_")));
    assert_eq!(sockets.len(), 2);
    ringway.signal("KILL");
    ringway.wait_for_exit(PATIENCE);
    // Nobody is there, and nobody is refused.
    let waiting: Vec<_> = (0..8).map(|_| TcpStream::connect(address).expect("it waits")).collect();
    let text = scenario.text().replace("127.0.0.1:0", &address.to_string());
    let next = Ringway::start_with_sockets(&text, &sockets, &manager.variables());
    drop(sockets);
    assert_eq!(next.address(), address);
    for mut client in waiting.into_iter().filter(|_| !over_tls()) {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it is taken");
        let mut answer = String::new();
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        client.read_to_string(&mut answer).expect("an answer comes");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(Client::connect(address).get("/").status, 200);
    // It stores its own, and takes out what it closes.
    assert_eq!(stored(&manager).1.len(), 2);
    next.reload(&text.replace(&address.to_string(), "127.0.0.1:0"));
    loop {
        let (text, _) = message_with_descriptors(&manager.socket);
        if text.starts_with("FDSTOREREMOVE=1") {
            assert_eq!(
                text,
                format!("FDSTOREREMOVE=1\nFDNAME=tcp-{}\n", address.to_string().replace(':', "_"))
            );
            break;
        }
    }
}

#[test]
fn a_socket_that_systemd_has_opened_is_accepted_on_by_all_workers() {
    let backend = Backend::echo_head();
    let activated = TcpListener::bind("127.0.0.1:0").expect("a port can be bound");
    let address = activated.local_addr().expect("it has an address");
    let unknown = TcpListener::bind("127.0.0.1:0").expect("a port can be bound");
    let stranger = unknown.local_addr().expect("it has an address");
    let text = Scenario::of(&backend).workers(3).text().replace("127.0.0.1:0", &address.to_string());
    let sockets =
        [activated.into(), unknown.into(), std::fs::File::open("/dev/null").expect("it is there").into()];
    let ringway = Ringway::start_with_sockets(&text, &sockets, &[]);
    drop(sockets);
    for _ in 0..30 {
        assert_eq!(Client::connect(address).get("/").status, 200);
    }
    ringway.wait_for_line(&format!(
        "the service manager has opened {stranger}, which is no address of a [[listener]]"
    ));
    ringway.wait_for_line("descriptor 5 of the service manager is of no use");
    assert!(TcpStream::connect(stranger).is_err());
}

fn status(message: &[String]) -> &str {
    message.iter().find_map(|line| line.strip_prefix("STATUS=")).unwrap_or_default()
}

#[test]
fn the_start_reloads_and_the_stop_are_told() {
    let manager = NotifySocket::new();
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend);
    let mut ringway = Ringway::start_with_environment(&scenario.text(), &manager.variables());
    let ready = manager.message();
    assert!(ready.contains(&"READY=1".to_owned()), "{ready:?}");
    assert_eq!(status(&ready), "serving with 1 worker");
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);

    ringway.reload(&scenario.clone().process("shutdown_timeout = \"29s\"").text());
    let begun = manager.message();
    assert_eq!(begun[0], "RELOADING=1");
    let moment: u64 =
        begun[1].strip_prefix("MONOTONIC_USEC=").and_then(|us| us.parse().ok()).expect("a time");
    assert!(moment > 0);
    let ended = manager.message();
    assert!(ended.contains(&"READY=1".to_owned()), "{ended:?}");
    assert!(status(&ended).starts_with("reloaded: config generation 2,"), "{ended:?}");

    // Who waits for the end of a reload must not wait for ever when it is refused.
    ringway.replace_configuration("config_version = 1\nnonsense = 1\n");
    ringway.signal("HUP");
    assert_eq!(manager.message()[0], "RELOADING=1");
    let ended = manager.message();
    assert!(ended.contains(&"READY=1".to_owned()), "{ended:?}");
    assert!(
        status(&ended).starts_with("the last reload was refused, what was in service still is: "),
        "{ended:?}"
    );
    assert!(status(&ended).contains(": error: "), "{ended:?}");

    assert!(ringway.terminate().success());
    assert!(manager.message().contains(&"STOPPING=1".to_owned()));
}

#[test]
fn the_watchdog_is_fed_while_every_worker_is_alive() {
    let manager = NotifySocket::new();
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).workers(2);
    let mut variables = manager.variables();
    variables.push(("WATCHDOG_USEC", "1000000".to_owned()));
    let ringway = Ringway::start_with_environment(&scenario.text(), &variables);
    // It counts from the start, so it is fed at once.
    assert!(manager.message().contains(&"WATCHDOG=1".to_owned()));
    for _ in 0..3 {
        assert_eq!(manager.message(), ["WATCHDOG=1"]);
    }
    ringway.reload(&scenario.clone().process("shutdown_timeout = \"29s\"").text());
    assert_eq!(manager.news()[0], "RELOADING=1");
    assert!(manager.news().contains(&"READY=1".to_owned()));
    assert_eq!(manager.message(), ["WATCHDOG=1"]);
}

#[test]
fn a_manager_that_reads_nothing_holds_up_nobody() {
    let manager = NotifySocket::new();
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend);
    let mut variables = manager.variables();
    variables.push(("WATCHDOG_USEC", "20000".to_owned()));
    let mut ringway = Ringway::start_with_environment(&scenario.text(), &variables);
    // More than its queue holds.
    for number in 0..40 {
        ringway.reload(&scenario.clone().process(&format!("shutdown_timeout = \"{}s\"", 30 + number)).text());
    }
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    // Once it reads again, no reload has begun that has not ended.
    let mut is_reloading = false;
    for _ in 0..200 {
        match manager.message()[0].as_str() {
            "RELOADING=1" => is_reloading = true,
            "READY=1" => is_reloading = false,
            _ if !is_reloading => break,
            _ => {}
        }
    }
    assert!(!is_reloading);
    assert!(ringway.terminate().success());
}

#[test]
fn a_socket_without_a_file_is_told_too() {
    let name = format!("ringway-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket can be bound");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let backend = Backend::echo_head();
    let variables = [("NOTIFY_SOCKET", format!("@{name}"))];
    let _ringway = Ringway::start_with_environment(&Scenario::of(&backend).text(), &variables);
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).expect("a message comes");
    assert!(bytes[..length].starts_with(b"READY=1\n"));
}

#[test]
fn a_manager_that_is_not_there_is_told_of_once() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend);
    let nowhere = [("NOTIFY_SOCKET", "/nowhere/notify".to_owned())];
    let ringway = Ringway::start_with_environment(&scenario.text(), &nowhere);
    ringway.wait_for_line("the service manager at NOTIFY_SOCKET cannot be told anything");
    ringway.reload(&scenario.clone().process("shutdown_timeout = \"29s\"").text());
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert_eq!(ringway.stderr().matches("NOTIFY_SOCKET").count(), 1);
}

#[test]
fn a_successor_is_the_main_process_and_speaks_from_then_on() {
    let manager = NotifySocket::new();
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).table("[admin]\nsocket = \"admin.sock\"");
    let mut variables = manager.variables();
    variables.push(("WATCHDOG_USEC", "20000000".to_owned()));
    let mut ringway = Ringway::start_with_environment(&scenario.text(), &variables);
    assert!(manager.message().contains(&"READY=1".to_owned()));
    assert_eq!(crate::admin::command(&ringway, &["upgrade"]).code, Some(0));
    let successor = crate::admin::status(&ringway)["pid"].to_string();
    assert_eq!(manager.news(), [format!("MAINPID={successor}")]);
    // It says so itself, and that it is alive, before the patience with the other one is over.
    let ready = manager.news();
    assert!(ready.contains(&"READY=1".to_owned()) && ready.contains(&"WATCHDOG=1".to_owned()), "{ready:?}");
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    // The old one says nothing any more, not even that it stops: what comes next is of the successor.
    let ended = std::process::Command::new("kill").args(["-s", "TERM", &successor]).status();
    assert!(ended.expect("`kill` runs").success());
    assert!(manager.news().contains(&"STOPPING=1".to_owned()));
}

#[test]
fn a_number_of_sockets_that_is_wrong_takes_nothing_away() {
    let backend = Backend::echo_head();
    let wrong = [("LISTEN_FDS", "100".to_owned())];
    let mut ringway = Ringway::start_with_sockets(&Scenario::of(&backend).text(), &[], &wrong);
    ringway.wait_for_line(
        "the service manager passes fewer sockets than it says (LISTEN_FDS=100): 3 is not open",
    );
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert_eq!(ringway.terminate().code(), Some(0));
}
