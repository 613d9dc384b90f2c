//! Who may connect: IP groups, and what listeners and rules make of them.

use crate::support::{Backend, Client, Ringway, Scenario, eventually, log_entries, now, within};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// What is promised of files that change.
const SOON: Duration = Duration::from_secs(1);

fn group(name: &str, lines: &str) -> String {
    format!("[[ip_group]]\nname = \"{name}\"\n{lines}\n")
}

/// Puts a new file in the place of the old one.
fn replace(path: &Path, content: &str) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, content).expect("it can be written");
    std::fs::rename(fresh, path).expect("it can be renamed");
}

/// Whether a client that sends this first gets any answer.
fn is_answered(address: SocketAddr, header: &str) -> bool {
    let mut client = TcpStream::connect(address).expect("the kernel accepts");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("it can be set");
    // Over TLS the answer is that this is no TLS.
    let sent = client.write_all(format!("{header}GET / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    sent.is_ok() && client.read(&mut [0; 100]).is_ok_and(|count| count > 0)
}

fn admits(ringway: &Ringway) -> bool {
    is_answered(ringway.address(), "")
}

#[test]
fn only_those_who_may_connect_do() {
    let backend = Backend::echo_head();
    let groups =
        [group("here", "entries = [\"127.0.0.0/8\"]"), group("there", "entries = [\"192.0.2.0/24\"]")];
    for (lines, expected) in [
        ("allow = [\"here\"]", true),
        ("allow = [\"there\", \"here\"]", true),
        ("allow = [\"there\"]", false),
        ("deny = [\"there\"]", true),
        ("deny = [\"here\"]", false),
        ("allow = [\"here\"]\ndeny = [\"there\", \"here\"]", false),
    ] {
        let scenario = Scenario::of(&backend).listener(lines).logged("json");
        let ringway = groups.iter().fold(scenario, |scenario, group| scenario.table(group)).start();
        assert_eq!(admits(&ringway), expected, "{lines}");
        if !expected {
            let entry = &log_entries(&ringway, 1)[0];
            assert_eq!(
                (&entry["reason"], &entry["status"]),
                (&"access_denied".into(), &403.into()),
                "{entry}"
            );
            assert_eq!(entry["client_ip"], "127.0.0.1", "{entry}");
            ringway.wait_for_line("127.0.0.1 may not connect to listener \"web\" (allow, deny)");
        }
    }
}

#[test]
fn an_allow_list_without_entries_lets_nobody_in() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).listener("allow = [\"nobody\"]");
    let ringway =
        scenario.table(&group("nobody", "file = \"nobody.txt\"")).file("nobody.txt", "# \n").start();
    ringway.wait_for_line("nobody may connect to the listener \"web\"");
    assert!(!admits(&ringway));
}

#[test]
fn behind_a_proxy_header_its_address_counts() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend)
        .listener("proxy_protocol = \"accept\"")
        .listener("allow = [\"clients\"]")
        .table(&group("clients", "entries = [\"192.0.2.0/24\", \"2001:db8::/32\"]"))
        .logged("json")
        .start();
    for (header, expected) in [
        ("PROXY TCP4 192.0.2.7 127.0.0.1 1111 80\r\n", true),
        ("PROXY TCP6 2001:db8::7 ::1 1111 80\r\n", true),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1111 80\r\n", true),
        ("PROXY TCP4 198.51.100.9 127.0.0.1 1111 80\r\n", false),
        // It names no client, so who sent it is the client.
        ("PROXY UNKNOWN\r\n", false),
    ] {
        assert_eq!(is_answered(ringway.address(), header), expected, "{header}");
    }
    let denied = || {
        let entries = log_entries(&ringway, 2);
        entries.into_iter().filter(|entry| entry["reason"] == "access_denied").collect::<Vec<_>>()
    };
    eventually("both are told", || denied().len() == 2);
    assert_eq!(denied()[0]["client_ip"], "198.51.100.9", "{:?}", denied());
}

#[test]
fn files_that_change_are_in_service_within_a_second() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).workers(2).listener("allow = [\"office\"]");
    let rule = "[[rule]]\nname = \"inside\"\nlistener = \"web\"\npriority = 1\nsource_ip = [\"office\"]\n\
                path = \"/inside\"\nrespond = { body = \"inside\" }\n";
    let scenario = scenario
        .table(&group("office", "entries = [\"198.51.100.0/24\"]\nfile = \"office.txt\""))
        .table(rule)
        .file("office.txt", "127.0.0.1 # this host\n");
    let ringway = scenario.start();
    let file = ringway.folder().join("office.txt");
    let mut established = Client::connect(ringway.address());
    assert_eq!(established.get("/inside").text(), "inside");

    replace(&file, "192.0.2.0/24\n");
    let start = now();
    assert!(within(SOON, || (!admits(&ringway)).then_some(())).is_some(), "{:?}", start.elapsed());
    // Established connections stay, and rules follow.
    let response = established.get("/inside");
    assert_eq!(response.status, 200);
    assert_ne!(response.text(), "inside");
    ringway.wait_for_line("IP group \"office\": in service");

    // All bad lines are told, and what was in service stays.
    replace(&file, "127.0.0.1\n127.0.0.1/33\nhello\n");
    ringway.wait_for_line("line 2 of");
    ringway.wait_for_line("line 3 of");
    assert!(!admits(&ringway));

    replace(&file, "2001:db8::/32\n127.0.0.0/8\n");
    let start = now();
    assert!(within(SOON, || admits(&ringway).then_some(())).is_some(), "{:?}", start.elapsed());
    assert_eq!(established.get("/inside").text(), "inside");

    // So does a reload, which refuses a file with faults.
    replace(&file, "hello\n");
    ringway.replace_configuration(&scenario.text());
    ringway.signal("HUP");
    ringway.wait_for_line("the reload is refused");
    assert!(admits(&ringway));
}

#[test]
fn a_reload_changes_who_may_connect_and_keeps_connections() {
    let backend = Backend::echo_head();
    let here = group("here", "entries = [\"127.0.0.1\"]");
    let ringway = Scenario::of(&backend).start();
    let mut established = Client::connect(ringway.address());
    assert_eq!(established.get("/").status, 200);
    ringway.reload(&Scenario::of(&backend).listener("deny = [\"here\"]").table(&here).text());
    assert!(!admits(&ringway));
    assert_eq!(established.get("/").status, 200);
    ringway.reload(&Scenario::of(&backend).listener("allow = [\"here\"]").table(&here).text());
    assert!(admits(&ringway));
}

#[test]
fn rules_ask_for_groups_by_the_client_that_proxies_name() {
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone");
    let rule = "[[rule]]\nname = \"office\"\nlistener = \"web\"\npriority = 1\n\
                source_ip = [\"office\", \"203.0.113.9\"]\nrespond = { body = \"office\" }\n";
    let ringway = Scenario::of(&backend)
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .table(&group("office", "entries = [\"192.0.2.0/24\", \"2001:db8::/32\"]"))
        .table(rule)
        .start();
    let mut client = Client::connect(ringway.address());
    for (address, expected) in [
        ("192.0.2.7", "office"),
        ("2001:db8::1", "office"),
        ("203.0.113.9", "office"),
        ("203.0.113.8", "none"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n"));
        assert_eq!(client.read_response().text(), expected, "{address}");
    }
}

/// A refused client does not use up what others may.
#[test]
fn who_may_not_connect_costs_no_connection_of_the_rate() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend)
        .listener("connections_per_second = 1")
        .listener("deny = [\"here\"]")
        .table(&group("here", "entries = [\"127.0.0.1\"]"))
        .start();
    let start = now();
    for _ in 0..20 {
        assert!(!admits(&ringway));
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
