//! `[[listener]]`, `[[ca]]` and what clients must prove.

use super::*;
use crate::policy::identity::Fact;

#[test]
fn messages_of_listener() {
    let lines = [
        "protocol = \"htpp\"\nsni_match = \"wildcard\"",
        "protocol = \"smtp\"",
        "idle_timeout = \"4001s\"",
        "idle_timout = \"15s\"",
        "client_header_timeout = \"0s\"",
        "client_body_timeout = \"15 minutes\"",
        "keepalive_requests = \"0\"",
        "http2_max_concurrent_streams = 0",
        "http2_max_resets = 0",
        "http2_resets_per_second = \"300\"",
        "max_header_bytes = \"64K\"",
        "max_header_bytes = 1",
        "max_header_bytes = true",
        "max_headers = 257",
        "max_uri_bytes = \"2MiB\"",
        "max_body_bytes = -1",
        "connections_per_second = 1.5",
        "proxy_protocol = \"v2\"",
        "trusted_proxies = \"10.0.0.0/8\"",
        "trusted_proxies = [\"10.0.0.0/33\", \"host\", 1]",
        "trusted_proxies = [\"10.1.2.3/8\"]",
        "trusted_proxies = [\"0.0.0.0/0\", \"::/0\"]",
        "real_ip_header = \"CF-Connecting-IP\"",
        "real_ip_header = \"a b\"",
        "default_host = \"http://www.example.com\"",
        "health_path = \"healthz\"",
        "health_path = \"/a?b\"",
        "health_path = true",
        "early_hints = true",
        "tunnel_idle_timeout = \"169h\"",
        "http2 = \"yes\"",
        "forwarded = true",
        "[listener.forwarded]\nx_forwarded_for = \"of\"",
        "[listener.forwarded]\nx_forwarded_proto = \"on\"",
        "[listener.forwarded]\nx_real_ipp = true",
        "[[listener.forwarded]]\nx_real_ip = true",
    ];
    assert_snapshot("listener", cases(&lines, |line| report_with("", &format!("{line}\n"), "")));
}

#[test]
fn messages_of_ca() {
    let tables = [
        "",
        "name = \"clients\"",
        "bundle = \"ca.crt\"",
        "name = \"clients\"\nbundle = \"tls/\"",
        "name = \"clients\"\nbundle = [\"ca.crt\"]",
        "name = \"clients\"\nbundle = \"ca.crt\"\ncrl = \"a.crl\"",
        "name = \"clients\"\nbundle = \"ca.crt\"\ncrl = [\"\", 1]",
        "name = \"clients\"\nbundle = \"ca.crt\"\ncert = \"ca.crt\"",
        "name = \"clients\"\nbundle = \"ca.crt\"\n[[ca]]\nname = \"clients\"\nbundle = \"b.crt\"",
    ];
    let report = |table| report_with(&format!("[[ca]]\n{table}\n"), "", "");
    assert_snapshot("ca", cases(&tables, report));
}

#[test]
fn messages_of_client_auth() {
    let tables = [
        "mode = \"off\"",
        "mode = \"on\"",
        "mode = true",
        "mode = \"off\"\nca = [\"clients\"]",
        "mode = \"require\"",
        "mode = \"optional\"\nca = []",
        "mode = \"require\"\nca = [\"clients\"]",
        "ca = [\"clients\"]",
        "ca = \"clients\"",
        "mode = \"off\"\nca = [\"client\", \"a b\"]",
        "mode = \"off\"\nca = [\"client\", \"clients\", \"clients\"]",
        "depth = 2",
    ];
    let report = |table| report_with(CA, &format!("[listener.client_auth]\n{table}\n"), "");
    let mut text = cases(&tables, report);
    text += &cases(&["mode = \"off\"\nca = [\"clients\"]"], |table| {
        report_with("", &format!("[listener.client_auth]\n{table}\n"), "")
    });
    assert_snapshot("client_auth", text);
}

#[test]
fn messages_of_headers_about_certificates() {
    let lines = [
        "clientcert_subjectdn = true",
        "tls_sni = \"x-sni\"",
        "clientcert_subjectdn = \"X-Subject\"",
        "clientcert_subjectdn = \"\"",
        "clientcert_subjectdn = \"x_forwarded_for\"",
        "clientcert = \"authorization\"",
        "clientcert_end = 1",
        "client_cert = \"x-cert\"",
        "fingerprint_hash = \"md5\"",
        "tls_sni = \"x-a\"\ntls_cipher = \"x_a\"",
        "tls_sni = \"x-forwarded-clientcert-end\"\nclientcert_end = true",
        "clientcert_subject = true",
    ];
    let report = |line| report_with("", &format!("[listener.forwarded]\n{line}\n"), "");
    assert_snapshot("identity", cases(&lines, report));
}

#[test]
fn aliases_and_cas_are_kept() {
    let told =
        "[listener.forwarded]\ntls_sni = \"x-sni\"\nclientcert = true\nfingerprint_hash = \"sha256\"\n";
    let auth = "[listener.client_auth]\nmode = \"off\"\nca = [\"clients\", \"others\"]\n";
    let text =
        format!("config_version = 1\n{}{CA}{LISTENER}{told}{auth}{GROUP}", CA.replace("clients", "others"));
    let config = load_text(&text).config.expect("there are only warnings");
    let [listener] = config.listeners.as_slice() else { panic!("there is one listener") };
    assert_eq!(listener.client_auth.ca, [1, 0]);
    assert_eq!(listener.http().unwrap().forwarded.fingerprint_hash, FingerprintHash::Sha256);
    assert_eq!(
        listener.http().unwrap().forwarded.identity,
        [(Fact::Certificate, None), (Fact::TlsSni, Some("x-sni".to_owned()))]
    );
}

#[test]
fn messages_of_listen_addresses() {
    let lines = [
        "\"localhost:8080\"",
        "\"unix:/run/a.sock\"",
        "\"8080\"",
        "\":8080\"",
        "\"127.0.0.1\"",
        "\"::1\"",
        "\"127.0.0.1:70000\"",
        "\"[::ffff:127.0.0.1]:80\"",
        "\"what is this\"",
        "[]",
        "8080",
        "[\"127.0.0.1:8080\", 8081]",
    ];
    let report = |value| {
        let listener = format!("[[listener]]\nname = \"a\"\ndefault_group = \"app\"\naddress = {value}\n");
        load_text(&format!("config_version = 1\n{listener}{GROUP}")).report.to_text(false)
    };
    assert_snapshot("listen_addresses", cases(&lines, report));
}

#[test]
fn dual_stack_is_decided_by_the_other_addresses() {
    let dual = |addresses: &str| {
        let listener =
            format!("[[listener]]\nname = \"a\"\ndefault_group = \"app\"\naddress = [{addresses}]\n");
        let loaded = load_text(&format!("config_version = 1\n{listener}{GROUP}"));
        assert!(loaded.config.is_some(), "{}", loaded.report.to_text(false));
        loaded
            .config
            .map(|config| config.listeners[0].addresses.iter().map(|a| a.dual_stack).collect::<Vec<_>>())
    };
    assert_eq!(dual("\"[::]:80\", \"0.0.0.0:81\", \"[::1]:82\""), Some(vec![true, false, false]));
    assert_eq!(dual("\"[::]:80\", \"0.0.0.0:80\""), Some(vec![false, false]));
    assert_eq!(dual("\"127.0.0.1:80\", \"[::1]:80\""), Some(vec![false, false]));
}

#[test]
fn what_a_listener_offers_stands_with_its_keys() {
    let https = "protocol = \"https\"\ncertificates = [\"site\"]\n";
    let mut loaded = load_text(&format!("config_version = 1\n{SITE}{LISTENER}{https}{GROUP}"));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    loaded.effective.set_offered(
        0,
        Offered {
            versions: words(&["TLS 1.3", "TLS 1.2"]),
            cipher_suites: words(&["TLS_AES_128_GCM_SHA256"]),
            key_exchange_groups: words(&["X25519"]),
        },
    );
    let toml = loaded.effective.to_toml(&loaded.report);
    assert!(load_text(&toml).config.is_some(), "{toml}");
    assert!(
        toml.contains("\n# offered versions: TLS 1.3, TLS 1.2\n# offered cipher suites: TLS_AES_"),
        "{toml}"
    );
    let json = loaded.effective.to_json(&loaded.report);
    assert!(json.contains("\"offered\": {\n    \"listener[0]\": {\n      \"cipher_suites\": ["), "{json}");
}

#[test]
fn a_listener_that_calls_cannot_come_through_is_warned_of() {
    let report = |listener: &str, group: &str| {
        let group = GROUP.replace("[[server_group.backend]]", &format!("{group}\n[[server_group.backend]]"));
        load_text(&format!("config_version = 1\n{LISTENER}{listener}\n{group}")).report.to_text(false)
    };
    let said = report("", "protocol = \"grpc\"");
    let expected =
        "warning: the listener \"web\" has no http2, without which no call of gRPC reaches \"app\"";
    assert!(said.starts_with("ringway.toml:3:8: ") && said.contains(expected), "{said}");
    assert!(said.contains("write http2 = true"), "{said}");
    for (listener, group) in [("http2 = true", "protocol = \"grpc\""), ("", "protocol = \"h2c\"")] {
        assert_eq!(report(listener, group), "", "{listener} {group}");
    }
}

#[test]
fn defaults_fill_what_a_table_lacks() {
    let text = "config_version = 1\n[defaults.listener]\nidle_timeout = \"7s\"\ntls_policy = \"tls_cipher_policy_1_2\"\n\
        default_group = \"app\"\nforwarded = { x_real_ip = true, slb_id = true }\n[defaults.server_group]\n\
        connect_timeout = \"2s\"\nhealth_check = { interval = \"9s\" }\n\
        [[listener]]\nname = \"one\"\naddress = \"127.0.0.1:1\"\n\
        [[listener]]\nname = \"two\"\naddress = \"127.0.0.1:2\"\nidle_timeout = \"3s\"\nforwarded = { slb_id = false }\n\
        [[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:3\"\n";
    let loaded = load_text(text);
    let report = loaded.report.to_text(false);
    let config = loaded.config.unwrap_or_else(|| panic!("{report}"));
    let seconds: Vec<_> =
        config.listeners.iter().map(|listener| listener.http().unwrap().idle_timeout.as_secs()).collect();
    assert_eq!(seconds, [7, 3]);
    let fields: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| listener.http().unwrap().forwarded.fields)
        .map(|fields| (fields.x_real_ip, fields.slb_id))
        .collect();
    assert_eq!(fields, [(true, true), (true, false)]);
    let group = &config.server_groups[0];
    assert_eq!(group.connect_timeout.as_secs(), 2);
    assert_eq!(group.health_check.as_ref().map(|check| check.interval.as_secs()), Some(9));
    assert!(
        loaded
            .effective
            .to_toml(&loaded.report)
            .contains("idle_timeout = \"7s\"                          # ringway.toml:3")
    );
}

#[test]
fn what_is_wrong_in_defaults_is_said_once() {
    let listeners: String = (1..4)
        .map(|port| {
            format!(
                "[[listener]]\nname = \"l{port}\"\naddress = \"127.0.0.1:{port}\"\ndefault_group = \"app\"\n"
            )
        })
        .collect();
    let text = format!(
        "config_version = 1\n[defaults.listener]\nidle_timeout = 7\nname = \"x\"\nfoo = 1\n[defaults.group]\na = 1\n{listeners}{GROUP}"
    );
    let report = load_text(&text).report.to_text(false);
    for words in [
        "ringway.toml:3:16: error: `idle_timeout` needs a unit",
        "ringway.toml:4:1: error: `name` is each [[listener]]'s own",
        "ringway.toml:5:1: error: unknown key `foo`",
        "unknown table `group` in [defaults]",
    ] {
        assert_eq!(report.matches(words).count(), 1, "{words} in\n{report}");
    }
}

#[test]
fn messages_of_ports() {
    let own = [
        "\"\"",
        "\"0\"",
        "\"8010-8000\"",
        "\"8000-\"",
        "\"8000-70000\"",
        "\"8000 - 8010\"",
        "\"+1\"",
        "8000",
        "true",
        "[]",
        "[\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\", \"10\", \"11\"]",
        "[\"8000-8010\", \"8010-8020\"]",
        "\"1000-2000\"",
        "[\"8000-8010\", \"21\"]",
    ];
    let with = |ports: &str, address: &str, more: &str| {
        let listener = format!(
            "[[listener]]\nname = \"a\"\nprotocol = \"tcp\"\nports = {ports}\naddress = {address}\ndefault_group = \"app\"\n{more}"
        );
        let group = GROUP.replace("[[server_group.backend]]", "protocol = \"tcp\"\n[[server_group.backend]]");
        load_text(&format!("config_version = 1\n{listener}{group}")).report.to_text(false)
    };
    let text = cases(&own, |ports| with(ports, "\"0.0.0.0\"", ""));
    let addresses = [
        "\"0.0.0.0:8000\"",
        "\"::ffff:10.0.0.1\"",
        "\"localhost\"",
        "[]",
        "7",
        "[\"127.0.0.1\", \"[::1]\", \"::2\"]",
    ];
    let text = text + &cases(&addresses, |address| with("\"8000-8399\"", address, ""));
    let other = |ports: &str| {
        let protocol = "protocol = \"tcp\"\ndefault_group = \"app\"";
        format!("[[listener]]\nname = \"b\"\n{protocol}\n{ports}\n")
    };
    let others = [
        "address = \"127.0.0.1:8005\"",
        "address = \"127.0.0.1\"\nports = [\"7990-8003\", \"8008-8020\"]",
        "address = \"[::]:8000\"",
        "address = \"127.0.0.1\"\nports = \"1-7999\"",
    ];
    let text = text + &cases(&others, |ports| with("\"8000-8010\"", "\"0.0.0.0\"", &other(ports)));
    assert_snapshot("ports", text);
}

#[test]
fn each_port_is_an_address() {
    let addresses = |lines: &str| {
        let listener = LISTENER.replace("address = \"127.0.0.1:8080\"", lines);
        let loaded = load_text(&format!("config_version = 1\n{listener}{GROUP}"));
        let config = loaded.config.unwrap_or_else(|| panic!("{lines}: {}", loaded.report.to_text(false)));
        let addresses = config.listeners[0].addresses.iter();
        addresses.map(|one| (one.address.to_string(), one.dual_stack)).collect::<Vec<_>>()
    };
    let expected = |addresses: &[(&str, bool)]| {
        addresses.iter().map(|(address, dual_stack)| ((*address).to_owned(), *dual_stack)).collect::<Vec<_>>()
    };
    assert_eq!(
        addresses("ports = [\"80-81\", \"443\"]\naddress = [\"127.0.0.1\", \"::1\"]"),
        expected(&[
            ("127.0.0.1:80", false),
            ("127.0.0.1:81", false),
            ("127.0.0.1:443", false),
            ("[::1]:80", false),
            ("[::1]:81", false),
            ("[::1]:443", false),
        ])
    );
    assert_eq!(addresses("ports = \"65535\"\naddress = \"[::]\""), expected(&[("[::]:65535", true)]));
}

#[test]
fn all_listeners_together_have_a_bound() {
    let listener = |number: u32| {
        let (first, last) = (number * 1_000 + 1, number * 1_000 + 1_000);
        format!(
            "[[listener]]\nname = \"l{number}\"\naddress = \"127.0.0.1\"\nports = \"{first}-{last}\"\ndefault_group = \"app\"\n"
        )
    };
    let report = |count: u32| {
        let listeners: String = (0..count).map(listener).collect();
        load_text(&format!("config_version = 1\n{listeners}{GROUP}")).report.to_text(false)
    };
    assert_eq!(report(4), "");
    let refused = report(5);
    assert!(refused.contains("with \"l4\", listeners have 5000 addresses and ports together"), "{refused}");
}
