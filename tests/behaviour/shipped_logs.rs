//! Access logs that leave in datagrams, to a syslog server and to the journal.

use crate::support::{Backend, Client, Scenario, eventually};
use std::collections::HashMap;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// The next datagram, which has to come soon.
fn next(mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>) -> Vec<u8> {
    let mut bytes = vec![0; 100_000];
    let count = receive(&mut bytes).expect("a datagram comes");
    bytes.truncate(count);
    bytes
}

fn receiver(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("it can be bound");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    socket
}

fn udp_receiver() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("it can be bound");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    socket
}

/// The parts of a message as RFC 5424 §6 has them: priority, version, time, host, name, process, kind, structured data, text.
fn parsed(message: &[u8]) -> [String; 9] {
    let text = std::str::from_utf8(message).expect("it is UTF-8");
    let rest = text.strip_prefix('<').expect("it begins with the priority");
    let (priority, rest) = rest.split_once('>').expect("the priority ends");
    let mut parts: Vec<String> = rest.splitn(8, ' ').map(str::to_owned).collect();
    parts.insert(0, priority.to_owned());
    parts.try_into().unwrap_or_else(|parts| panic!("{parts:?}"))
}

fn backend() -> Backend {
    Backend::per_request(|peer, _, _| peer.respond("200 OK", b"ok"))
}

#[test]
fn a_syslog_server_gets_a_message_of_rfc_5424_for_each_line() {
    let backend = backend();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (unix, udp) = (receiver(&folder.path().join("socket")), udp_receiver());
    let port = udp.local_addr().expect("it has an address").port();
    let log = format!(
        "[[access_log]]\npath = \"syslog:unix:{}/socket\"\nformat = \"$status $request_uri\"\n\
         [[access_log]]\npath = \"syslog:udp:localhost:{port}\"\nfields = [\"status\"]\nfacility = \"local0\"\n\
         severity = \"notice\"\napp_name = \"edge\"\n\
         [[access_log]]\npath = \"syslog:udp:127.0.0.1:{port}\"\nformat = \"$request_uri\"\nsyslog_format = \"local\"\n\
         max_message_bytes = 480",
        folder.path().display()
    );
    let ringway = Scenario::of(&backend).process("instance_id = \"edge-1\"").table(&log).start();
    let mut client = Client::connect(ringway.address());
    let long = format!("/{}", "a".repeat(1_000));
    ["/one", "/two"].iter().for_each(|target| assert_eq!(client.get(target).status, 200));
    let id = ringway.id().to_string();
    for target in ["/one", "/two"] {
        let [priority, version, time, host, name, process, kind, structured, text] =
            parsed(&next(|bytes| unix.recv(bytes)));
        let header = [priority, version, host, name, process, kind, structured];
        assert_eq!(header, ["190", "1", "edge-1", "ringway", &id, "access", "-"]);
        time.parse::<jiff::Timestamp>().expect("the time is in RFC 3339");
        assert_eq!((time.len(), text), ("1994-11-06T08:49:37.000042Z".len(), format!("200 {target}")));
    }
    // Both logs go to one server by two names.
    let mut messages: Vec<Vec<u8>> = (0..4).map(|_| next(|bytes| udp.recv(bytes))).collect();
    messages.sort();
    let local: Vec<String> =
        messages.iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect();
    assert_eq!(local[2..], [format!("<190>ringway[{id}]: /one"), format!("<190>ringway[{id}]: /two")]);
    let [priority, _, _, _, name, _, _, _, text] = parsed(&messages[0]);
    assert_eq!((priority.as_str(), name.as_str()), ("133", "edge"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON")["status"], 200);

    assert_eq!(client.get(&long).status, 200);
    let mut messages: Vec<Vec<u8>> = (0..2).map(|_| next(|bytes| udp.recv(bytes))).collect();
    messages.sort();
    let cut = String::from_utf8_lossy(&messages[1]).into_owned();
    assert!(
        cut.len() == 480 && cut.starts_with("<190>ringway[") && cut.ends_with("aaa [truncated]"),
        "{cut}"
    );
}

#[test]
fn a_receiver_that_is_away_is_told_of_once_and_found_again() {
    let backend = backend();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("socket");
    let log = format!("[access_log]\npath = \"syslog:unix:{}\"\nformat = \"$request_uri\"", path.display());
    let mut ringway = Scenario::of(&backend).table(&log).start();
    let mut client = Client::connect(ringway.address());
    for number in 0..5 {
        // Lines are handed over by and by.
        assert_eq!(client.get(&format!("/{number}")).status, 200);
        std::thread::sleep(Duration::from_millis(120));
    }
    let socket = receiver(&path);
    let came = next(|bytes| {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        // Until it is looked for again, lines are lost.
        for _ in 0..100 {
            assert_eq!(client.get("/found").status, 200);
            if let Ok(count) = socket.recv(bytes) {
                return Ok(count);
            }
        }
        Err(std::io::ErrorKind::TimedOut.into())
    });
    assert!(came.ends_with(b" - /found"), "{}", String::from_utf8_lossy(&came));
    let told = ringway.wait_for_line("cannot write the access log syslog:unix:");
    assert!(told.contains("No such file or directory"), "{told}");
    ringway.wait_for_line("that could not be written");
    // It ends and begins anew without a loss.
    drop(socket);
    std::fs::remove_file(&path).expect("it is there");
    let socket = receiver(&path);
    assert_eq!(client.get("/again").status, 200);
    eventually("the line comes", || next(|bytes| socket.recv(bytes)).ends_with(b" - /again"));
    drop(client);
    assert_eq!(ringway.terminate().code(), Some(0));
    assert_eq!(ringway.stderr().matches("cannot write the access log").count(), 1, "{}", ringway.stderr());
}

#[test]
fn the_journal_gets_an_entry_with_the_fields_of_each_line() {
    let backend = backend();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let socket = receiver(&folder.path().join("socket"));
    let log = format!(
        "[access_log]\npath = \"journald:{}/socket\"\nseverity = \"notice\"",
        folder.path().display()
    );
    let ringway = Scenario::of(&backend).table(&log).start();
    let mut client = Client::connect(ringway.address());
    client.send("GET /a?b=\"c HTTP/1.1\r\nHost: a.example\r\nUser-Agent: t\\e\"st\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    let entry = next(|bytes| socket.recv(bytes));
    let text = std::str::from_utf8(&entry).expect("it is UTF-8");
    let fields: HashMap<&str, &str> =
        text.lines().map(|line| line.split_once('=').unwrap_or_else(|| panic!("{line}"))).collect();
    let id = ringway.id().to_string();
    for (name, value) in [
        ("PRIORITY", "5"),
        ("SYSLOG_FACILITY", "23"),
        ("SYSLOG_IDENTIFIER", "ringway"),
        ("SYSLOG_PID", &id),
        ("RINGWAY_STATUS", "200"),
        ("RINGWAY_REQUEST_URI", "/a?b=\"c"),
        ("RINGWAY_HTTP_USER_AGENT", "t\\e\"st"),
        ("RINGWAY_REASON", "-"),
    ] {
        assert_eq!(fields.get(name), Some(&value), "{name} in {text}");
    }
    let message: serde_json::Value = serde_json::from_str(fields["MESSAGE"]).expect("it is JSON");
    assert_eq!(message["request_uri"], "/a?b=\"c");
    // Every field of the line is one of the entry.
    assert_eq!(fields.len(), message.as_object().expect("it is an object").len() + 5);
}

#[test]
fn a_server_that_reads_nothing_costs_lines_and_no_time() {
    let backend = backend();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let _socket = receiver(&folder.path().join("socket"));
    let log = format!("[access_log]\npath = \"syslog:unix:{}/socket\"", folder.path().display());
    let mut ringway = Scenario::of(&backend).table(&log).start();
    let mut client = Client::connect(ringway.address());
    let target = format!("/{}", "a".repeat(8_000));
    (0..600).for_each(|_| assert_eq!(client.get(&target).status, 200));
    ringway.wait_for_line("takes nothing at present");
    assert_eq!(client.get("/").status, 200);
    drop(client);
    assert_eq!(ringway.terminate().code(), Some(0));
    ringway.wait_for_line("are lost at the end: it did not take them");
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_that_are_counted_and_no_time() {
    let backend = backend();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("`mkfifo` runs").success());
    let logs = format!(
        "[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"\n\
         [[access_log]]\nname = \"stuck\"\npath = \"{}\"\n\
         [[access_log]]\npath = \"access.log\"\nformat = \"$status\"\n[[access_log]]\npath = \"/dev/full\"",
        pipe.display()
    );
    let ringway = Scenario::of(&backend).table(&logs).start();
    let mut client = Client::connect(ringway.address());
    // Of a value 4 KiB are told: with what the pipe and the queue hold, 500 lines are more than enough.
    let target = format!("/{}", "a".repeat(5_000));
    let slowest = (0..500).map(|_| {
        let begun = crate::support::now();
        assert_eq!(client.get(&target).status, 200);
        begun.elapsed()
    });
    let slowest = slowest.max().expect("there were requests");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(crate::support::log_lines(&ringway, 500).len(), 500);
    let logs = || crate::admin::status(&ringway)["access_logs"].clone();
    let count = |log: usize, key: &str| logs()[log][key].as_u64().expect("a number");
    eventually("what the full disk did not take is counted", || count(2, "lines_dropped") == 500);
    let lost = count(0, "lines_dropped");
    // The pipe has 64 KiB, the queue 1 MiB.
    assert!((100..400).contains(&lost), "{lost}");
    assert_eq!((count(1, "lines"), count(1, "lines_dropped"), count(2, "lines")), (500, 0, 0));
    let metrics = crate::metrics::samples(&ringway);
    for (name, log, expected) in
        [("lines_dropped", "stuck", lost), ("lines_dropped", "/dev/full", 500), ("lines", "access.log", 500)]
    {
        let series = format!("ringway_access_log_{name}_total{{log=\"{log}\"}}");
        assert_eq!(metrics.get(&series), Some(&(expected as f64)), "{series}");
    }
    let told = crate::admin::command(&ringway, &["status"]).stdout;
    assert!(told.contains(&format!("access log stuck: {lost} lines are lost since the start\n")), "{told}");
}
