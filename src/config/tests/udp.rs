//! Listeners and groups of datagrams.

use super::*;

/// The report of a configuration with a listener and a group of UDP and these lines.
fn report_of(listener: &str, group: &str) -> String {
    let text = format!(
        "config_version = 1\n[[listener]]\nname = \"dns\"\nprotocol = \"udp\"\naddress = \"127.0.0.1:53\"\n\
         default_group = \"app\"\n{listener}\n[[server_group]]\nname = \"app\"\nprotocol = \"udp\"\n{group}\n\
         [[server_group.backend]]\naddress = \"127.0.0.1:5353\"\n"
    );
    load_text(&text).report.to_text(false)
}

#[test]
fn messages_of_datagrams() {
    let listener = [
        "idle_timeout = \"0s\"",
        "requests = -1",
        "responses = \"all\"",
        "proxy_protocol = \"accept\"",
        "tls_policy = \"x\"",
        "http2 = true",
        "bandwidth_bytes_per_second = \"1MB\"",
        "per_client = { requests_per_second = 5, max_connections = 3, bandwidth_bytes_per_second = \"1MB\" }",
        "[[listener]]\nname = \"other\"\nprotocol = \"UDP\"\naddress = \"0.0.0.0:53\"\ndefault_group = \"app\"",
        "[[listener]]\nname = \"tcp\"\naddress = \"127.0.0.1:53\"\nprotocol = \"tcp\"\ndefault_group = \"app\"",
    ];
    let group = [
        "queue = { size = 3, timeout = \"1s\" }",
        "http2 = true",
        "connect_timeout = \"1s\"",
        "algorithm = \"consistent_hash\"\nhash_key = { path = true }",
        "algorithm = \"consistent_hash\"\nhash_key = { quic_cid = 7 }",
        "algorithm = \"consistent_hash\"",
        "transparent = true\non_marked_down = \"reset\"",
        "session_timeout = \"5s\"\naccept_proxy = true",
        "sticky = { mode = \"insert\" }",
        "health_check = { path = \"/\" }",
        "health_check = { payload = 7 }",
        "health_check = { payload = \"hex:123\", expect_payload = \"\" }",
        "health_check = { expect_payload = \"hex:zz\" }",
        "health_check = { protocol = \"tcp\", port = 80, payload = \"x\" }",
        "health_check = { protocol = \"tcp\" }",
        "[[server_group.backend]]\naddress = \"unix:/run/app.sock\"",
        "source_address = \"::1\"",
        "source_address = \"10.0.0.1:53\"",
        "source = \"backend\"",
        "source_address = \"127.0.0.1\"\nsource = \"client\"",
        "source = \"client\"\n[[server_group.backend]]\naddress = \"[::1]:5353\"",
        "on_drain = \"reset\"\ndrain_timeout = \"5s\"",
        "on_drain = \"drop\"",
    ];
    let text = cases(&listener, |lines| report_of(lines, "")) + &cases(&group, |lines| report_of("", lines));
    assert_snapshot("datagrams", text);
}

#[test]
fn keys_of_datagrams_are_kept() {
    let listener = |lines: &str| {
        let text = format!(
            "config_version = 1\n[[listener]]\nname = \"dns\"\nprotocol = \"udp\"\naddress = \"127.0.0.1:53\"\n\
             default_group = \"app\"\n{lines}\n{}",
            GROUP.replace("[[server_group.backend]]", "protocol = \"udp\"\n[[server_group.backend]]")
        );
        let loaded = load_text(&text);
        let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.report.to_text(false)));
        let protocol = config.listeners.into_iter().next().map(|listener| listener.protocol);
        match protocol {
            Some(ListenerProtocol::Datagram(datagram)) => datagram,
            other => panic!("{other:?}"),
        }
    };
    let expected = |seconds, requests, responses| DatagramListener {
        idle_timeout: std::time::Duration::from_secs(seconds),
        bandwidth_bytes_per_second: 0,
        requests,
        responses,
    };
    assert_eq!(listener(""), expected(60, 0, None));
    assert_eq!(
        listener("idle_timeout = \"4000s\"\nrequests = 1\nresponses = 0"),
        expected(4_000, 1, Some(0))
    );
}

#[test]
fn ports_of_tcp_and_udp_are_others() {
    let group = |name: &str, protocol: &str| {
        format!(
            "[[server_group]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\n[[server_group.backend]]\n\
             address = \"127.0.0.1:5353\"\n"
        )
    };
    let listener = |protocol: &str| {
        format!(
            "[[listener]]\nname = \"{protocol}\"\nprotocol = \"{protocol}\"\naddress = \"0.0.0.0:53\"\n\
             default_group = \"{protocol}\"\n"
        )
    };
    let text = format!(
        "config_version = 1\n{}{}{}{}",
        listener("tcp"),
        listener("udp"),
        group("tcp", "tcp"),
        group("udp", "udp")
    );
    assert_eq!(load_text(&text).report.to_text(false), "");
}

/// What follows from a protocol that nobody knows is not told.
#[test]
fn a_protocol_that_is_misspelt_is_one_error() {
    let report = |protocols: (&str, &str), listener: &str, group: &str| {
        let (of_listener, of_group) = protocols;
        let before = if listener.contains("site") { [SITE, CA].concat() } else { String::new() };
        let text = format!(
            "config_version = 1\n{before}[[listener]]\nname = \"a\"\naddress = \"0.0.0.0\"\nports = \"1-3\"\n\
             protocol = \"{of_listener}\"\ndefault_group = \"app\"\n{listener}\n[[server_group]]\nname = \"app\"\n\
             protocol = \"{of_group}\"\n{group}\n"
        );
        load_text(&text).report.to_text(false)
    };
    let backend = "[[server_group.backend]]\naddress = \"127.0.0.1\"\n";
    let group = format!(
        "source = \"client\"\non_drain = \"reset\"\nalgorithm = \"consistent_hash\"\nhash_key = {{ tuple = true }}\n\
         http2 = true\nhealth_check = {{ port = 53, payload = \"x\" }}\n{backend}"
    );
    let tls = "certificates = [\"site\"]\nalpn = [\"imap\"]\n[listener.client_auth]\nmode = \"require\"\nca = [\"clients\"]";
    let found = [
        report(("upd", "udp"), "requests = 1\nresponses = 1", backend),
        report(("udp", "upd"), "", &group),
        report(("tsl", "tcp"), tls, backend),
        report(("tpc", "tcp"), "passthrough = true", backend),
        report(("TCP_UDP", "tcp"), "", backend),
    ];
    assert_snapshot("misspelt_protocols", found.join("────\n"));
}

#[test]
fn tls_that_is_passed_through_is_a_matter_of_tls() {
    let report = |listener: &str, rule: &str| {
        let group = GROUP.replace("[[server_group.backend]]", "protocol = \"tcp\"\n[[server_group.backend]]");
        let text = format!(
            "config_version = 1\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:443\"\n{listener}\n\
             [[rule]]\nname = \"r\"\nlistener = \"a\"\npriority = 1\ngroup = \"app\"\n{rule}\n{group}"
        );
        load_text(&text).report.to_text(false)
    };
    let passed = "protocol = \"tls\"\npassthrough = true";
    let found = [
        report("protocol = \"https\"\npassthrough = true", "sni = \"x\""),
        report("protocol = \"tcp\"\npassthrough = true", "sni = \"x\""),
        report("passthrough = false\ndefault_group = \"app\"", "path = \"/\""),
        report(passed, "server_name = \"x\""),
        report(passed, "host = \"x\""),
        report(passed, "path = \"/\""),
        report("protocol = \"tcp\"", "host = \"x\""),
    ];
    assert_snapshot("passthrough", found.join("────\n"));
}
