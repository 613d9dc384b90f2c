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
        "sticky = { mode = \"insert\" }",
        "health_check = { path = \"/\" }",
        "health_check = { payload = 7 }",
        "health_check = { payload = \"hex:123\", expect_payload = \"\" }",
        "health_check = { expect_payload = \"hex:zz\" }",
        "health_check = { protocol = \"tcp\", port = 80, payload = \"x\" }",
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
