//! Starting, and saying clearly why not.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, now, over_tls};

#[test]
fn a_taken_port_is_explained() {
    let backend = Backend::echo_head();
    let first = Scenario::of(&backend).start();
    let address = first.address();
    let began = now();
    let mut second = Ringway::spawn(&Scenario::of(&backend).address(&format!("\"{address}\"")).text());
    assert_eq!(second.wait_for_exit(PATIENCE).code(), Some(4));
    assert!(began.elapsed() >= Duration::from_secs(1), "it is waited for: {:?}", began.elapsed());
    let line = second.wait_for_line("cannot bind");
    assert!(line.contains("listener \"web\"") && line.contains(&address.to_string()), "{line}");
    assert!(
        line.contains(&format!("another process has port {}", address.port())) && line.contains("ss -ltnp"),
        "{line}"
    );
}

/// As those of a process that was killed, whose sockets are closed a moment later.
#[test]
fn addresses_that_are_freed_a_moment_after_the_start_are_taken() {
    let backend = Backend::echo_head();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("admin.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let admin = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let unix = UnixListener::bind(&path).expect("nothing is there");
    let udp_listener = format!(
        "[[listener]]\nname = \"datagrams\"\naddress = \"{}\"\nprotocol = \"udp\"\ndefault_group = \"far\"\n\
         [[server_group]]\nname = \"far\"\nprotocol = \"udp\"\nbackend = [{{ address = \"127.0.0.1:9\" }}]\n",
        udp.local_addr().expect("it is bound")
    );
    let admin_table = format!(
        "[admin]\nsocket = \"{}\"\naddress = \"{}\"\n",
        path.display(),
        admin.local_addr().expect("it is bound")
    );
    let address = tcp.local_addr().expect("it is bound");
    let scenario = Scenario::of(&backend).address(&format!("\"{address}\"")).table(&udp_listener);
    let mut ringway = Ringway::spawn(&scenario.table(&admin_table).text());
    // One after the other is in the way.
    for held in [Box::new(tcp) as Box<dyn Send>, Box::new(udp), Box::new(unix), Box::new(admin)] {
        std::thread::sleep(Duration::from_millis(150));
        assert!(ringway.is_running(), "{}", ringway.stderr());
        drop(held);
    }
    ringway.wait_for_listeners(2);
    assert_eq!(Client::connect(address).get("/").status, 200);
    ringway.wait_for_line("metrics on http");
    assert!(UnixStream::connect(&path).is_ok());
}

/// Nobody waits for ever, and each message is what it was.
#[test]
fn admin_addresses_that_stay_taken_are_explained() {
    let backend = Backend::echo_head();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("admin.sock");
    let _unix = UnixListener::bind(&path).expect("nothing is there");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let at_path = path.display().to_string();
    for (key, value, words) in [
        ("socket", &at_path, "another process listens there"),
        ("address", &address, "stop what listens there"),
    ] {
        let began = now();
        let table = format!("[admin]\n{key} = \"{value}\"\n");
        let mut ringway = Ringway::spawn(&Scenario::of(&backend).table(&table).text());
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(4), "{key}");
        assert!(began.elapsed() >= Duration::from_secs(1), "{key}: {:?}", began.elapsed());
        ringway.wait_for_line(words);
    }
}

#[test]
fn an_address_of_another_host_is_explained() {
    let backend = Backend::echo_head();
    let mut ringway = Ringway::spawn(&Scenario::of(&backend).address("\"192.0.2.1:0\"").text());
    let status = ringway.wait_for_exit(PATIENCE).code();
    // Port 0 may be refused by the checks already.
    assert!(matches!(status, Some(3 | 4)), "{status:?}");
}

#[test]
fn a_port_that_needs_privilege_is_explained() {
    let floor = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if is_root || floor.trim() == "0" {
        return;
    }
    let backend = Backend::echo_head();
    let mut ringway = Ringway::spawn(&Scenario::of(&backend).address("\"127.0.0.1:81\"").text());
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(4));
    ringway.wait_for_line("CAP_NET_BIND_SERVICE");
}

#[test]
fn an_invalid_configuration_is_status_3_and_every_error_is_named() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).listener("idle_timeout = \"9h\"").group("max_retrys = 1");
    let mut ringway = Ringway::spawn(&scenario.text());
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(3));
    ringway.wait_for_line("ringway.toml:");
    ringway.wait_for_line("idle_timeout");
    ringway.wait_for_line("max_retries");
}

#[test]
fn an_access_log_that_cannot_be_opened_is_explained() {
    let backend = Backend::echo_head();
    let text = Scenario::of(&backend).logged("json").text().replace("access.log", "missing/access.log");
    let mut ringway = Ringway::spawn(&text);
    let status = ringway.wait_for_exit(PATIENCE).code();
    assert!(matches!(status, Some(3 | 4)), "{status:?}");
    ringway.wait_for_line("missing");
}

#[test]
fn the_start_is_announced() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).workers(2).address("[\"127.0.0.1:0\", \"[::1]:0\"]").start();
    let driver = std::env::var("RINGWAY_TEST_IO_DRIVER").unwrap_or_default();
    let line = ringway.wait_for_line("2 workers on ");
    assert!(driver.is_empty() || line.contains(&driver), "{line}");
    ringway.wait_for_line("client connections");
    let scheme = if over_tls() { "https" } else { "http" };
    ringway.wait_for_line(&format!("listening on {scheme}://127.0.0.1:"));
    ringway.wait_for_line(&format!("listening on {scheme}://[::1]:"));
}

#[test]
fn without_io_uring_it_serves_on_epoll_and_says_why() {
    let backend = Backend::echo_head();
    let mut ringway = Ringway::spawn_without_io_uring(&Scenario::of(&backend).text());
    ringway.wait_for_listeners(1);
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    let line = ringway.wait_for_line("io_uring cannot be used");
    assert!(line.starts_with("warning:") && line.contains("kernel.io_uring_disabled"), "{line}");
    ringway.wait_for_line("on epoll");
    assert_eq!(ringway.terminate().code(), Some(0));
}

#[test]
fn io_uring_that_is_demanded_and_forbidden_is_explained() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).process("io_driver = \"io_uring\"");
    let mut ringway = Ringway::spawn_without_io_uring(&scenario.text());
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(4));
    ringway.wait_for_line("kernel.io_uring_disabled");
}

#[test]
fn hup_does_not_end_a_process_that_is_still_starting() {
    let backend = crate::support::Backend::echo_head();
    // Nobody answers, so that the start takes its time.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let resolver = silent.local_addr().expect("it has an address");
    let mut ringway = crate::support::Scenario::of(&backend)
        .process(&format!("resolvers = [\"{resolver}\"]"))
        .backend_at("backend.example:80", 100)
        .spawn();
    std::thread::sleep(std::time::Duration::from_millis(1_000));
    ringway.signal("HUP");
    // It goes on, and serves without the name in the end.
    ringway.wait_for_listeners(1);
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert_eq!(ringway.terminate().code(), Some(0));
}

#[test]
fn a_thread_that_cannot_start_is_named() {
    let backend = Backend::echo_head();
    let mut ringway = Ringway::spawn_without_threads(&Scenario::of(&backend).text());
    let line = ringway.wait_for_line("cannot start the thread");
    assert!(line.starts_with("error: ") && line.contains("that writes messages"), "{line}");
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(4));
}

/// Whether this machine lets anybody have a ring.
fn has_io_uring(ringway: &Ringway) -> bool {
    !ringway.stderr().contains("kernel.io_uring_disabled")
}

#[test]
fn rings_take_only_operations_in_use_where_the_kernel_goes_along() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).process("io_driver = \"auto\"");
    let ringway = scenario.start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    if has_io_uring(&ringway) {
        assert!(ringway.stderr().contains(" entries; restricted)"), "{}", ringway.stderr());
    }
    let mut ringway = Ringway::spawn_without_ring_restrictions(&scenario.text());
    ringway.wait_for_listeners(1);
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    if has_io_uring(&ringway) {
        let line = " entries; not restricted to operations in use)";
        assert!(ringway.stderr().contains(line), "{}", ringway.stderr());
    }
}

#[test]
fn where_memory_for_rings_is_short_all_workers_get_smaller_ones_and_it_is_said() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend)
        .workers(6)
        .process("io_driver = \"auto\"")
        .table("[admin]\nsocket = \"admin.sock\"");
    let mut ringway = Ringway::spawn_with_locked_memory(&scenario.text(), 1 << 20);
    ringway.wait_for_listeners(1);
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    let line = ringway.wait_for_line("6 workers");
    if has_io_uring(&ringway)
        && !line.contains("6 workers on io_uring (SINGLE_ISSUER, COOP_TASKRUN; 4096 entries;")
    {
        // Others of the same user may have taken some of it.
        let warning = ringway.wait_for_line("instead of 4096");
        assert!(warning.starts_with("warning: ") && warning.contains("LimitMEMLOCK="), "{warning}");
        assert!(line.contains("on io_uring"), "{line}");
    }
    let socket = ringway.folder().join("admin.sock").display().to_string();
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["status", "--json", "--socket", &socket])
        .output()
        .expect("it runs");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("it is JSON");
    let drivers = status["drivers"].as_array().expect("a list");
    assert!(drivers.iter().all(|entry| line.contains(entry["driver"].as_str().expect("a driver"))), "{line}");
    assert_eq!(drivers.iter().filter_map(|entry| entry["workers"].as_u64()).sum::<u64>(), 6);
}

#[test]
fn the_largest_ring_that_can_be_configured_is_one() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).process("ring_entries = 32768").process("io_driver = \"auto\"");
    let ringway = scenario.start();
    let line = ringway.wait_for_line("1 worker on");
    let is_short = ringway.stderr().contains("LimitMEMLOCK=");
    assert!(line.contains("32768 entries") || is_short || !has_io_uring(&ringway), "{}", ringway.stderr());
}
