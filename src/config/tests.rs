//! Every message as people see it, and what holds for all keys together.

use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;

use super::*;
use crate::policy::balance::Algorithm;
use crate::policy::balance::WhenAllDown;
use crate::policy::balance::hash_key::HashKey;
use crate::policy::balance::sticky::StickyMode;

const COMPLETE_EXAMPLE: &str = include_str!("../../config/ringway.toml");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

const GROUP: &str =
    "[[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9001\"\n";
const LISTENER: &str =
    "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\ndefault_group = \"app\"\n";
const CA: &str = "[[ca]]\nname = \"clients\"\nbundle = \"tls/clients-ca.crt\"\n";

fn load_text(text: &str) -> Loaded {
    load(vec![Source::made_up("ringway.toml", text.to_owned())])
}

/// The report of a configuration that is right but for the piece under test.
fn report_with(before: &str, listener: &str, group: &str) -> String {
    let text = format!("config_version = 1\n{before}{LISTENER}{listener}{GROUP}{group}");
    load_text(&text).report.to_text(false)
}

/// Each case with the report it gives.
fn cases<'c>(lines: &[&'c str], report: impl Fn(&'c str) -> String) -> String {
    lines
        .iter()
        .map(|line| format!("──── {}\n{}", line.trim_end().replace('\n', " ⏎ "), report(line)))
        .collect()
}

fn assert_snapshot(name: &str, text: String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn messages_of_the_whole_file() {
    let whole = [
        "",
        "config_version = 1",
        "config_version = 2\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"",
        "config_version = \"1\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"",
        "listener = []\nconfig_version = 1",
        "config_version = 1\n[lisener]\n[[quux]]\n",
        "config_version = 1\n[listener]\nname = \"web\"",
        "config_version = 1\nlistener = [1]",
        "config_version = 1\n[[process]]\n[[access_log]]\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"",
        "config_version = 1\nprocess = 5\naccess_log = \"stdout\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"",
        "config_version = 1\n[[listener]]\n[[server_group]]\n",
    ];
    assert_snapshot("whole_file", cases(&whole, |text| load_text(text).report.to_text(false)));
}

#[test]
fn messages_of_bad_toml() {
    let texts = [
        "config_version = 1\nidle = 15s\n",
        "config_version = 1\n[process\npin = 1\n",
        "config_version = 1\n[process]\npin = true\npin = false\n",
        "config_version = 1\n[process]\npin\n",
        "config_version = 1\n[process]\nworkers = \"auto\nring_entries = 1\n",
        "config_version = 1\nname = 'a' 'b'\n[proces]\n",
        "config_version = 1\nä = \u{7}\n",
    ];
    assert_snapshot("bad_toml", cases(&texts, |text| load_text(text).report.to_text(false)));
}

#[test]
fn messages_of_process() {
    let lines = [
        "wokers = 1",
        "workers = \"many\"",
        "workers = 0",
        "workers = 1025",
        "pin = \"yes\"",
        "pin = 1",
        "ring_entries = 255",
        "ring_entries = \"4096\"",
        "ring_entries = 99999999999999999999999999999999999999999999",
        "io_driver = \"iouring\"",
        "io_driver = true",
        "shutdown_timeout = 30",
        "shutdown_timeout = \"2h\"",
        "shutdown_timeout = \"1.5s\"",
        "shutdown_timeout = 1.5",
        "max_connections = -1",
        "instance_id = \"edge 1\"",
        "instance_id = 1",
        "health_cpu = \"auto\"",
        "health_cpu = 1023",
        "health_cpu = 1024",
        "health_cpu = \"0\"",
        "resolvers = []",
        "resolvers = [\"127.0.0.1:5353\", \"[::1]:53\", \"192.0.2.1\", \"::1\"]",
        "resolvers = \"127.0.0.1\"",
        "resolvers = [\"127.0.0.1:0\", \"0.0.0.0\", \"224.0.0.1\", \"dns.example\", \"\", 1]",
        "resolvers = [\"::1\", \"::2\", \"::3\", \"::4\", \"::5\", \"::6\", \"::7\", \"::8\", \"::9\"]",
    ];
    assert_snapshot("process", cases(&lines, |line| report_with(&format!("[process]\n{line}\n"), "", "")));
}

#[test]
fn messages_of_admin() {
    let long = format!("socket = \"/{}\"", "a".repeat(107));
    let lines = [
        "",
        "socket = \"/run/ringway/admin.sock\"",
        "socket = \"\"",
        "socket = \"run/\"",
        "socket = \"unix:/run/admin.sock\"",
        &long,
        "socket = 5",
        "address = \"127.0.0.1:9180\"",
        "adress = 1\n[[admin]]",
        "[admin]",
        "soket = \"a\"",
    ];
    assert_snapshot("admin", cases(&lines, |line| report_with(&format!("[admin]\n{line}\n"), "", "")));
}

#[test]
fn messages_of_access_log() {
    let lines =
        ["path = \"\"", "path = \"logs/\"", "path = 1", "format = \"JSON\"", "format = \"alb\"", "size = 1"];
    assert_snapshot(
        "access_log",
        cases(&lines, |line| report_with(&format!("[access_log]\n{line}\n"), "", "")),
    );
}

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
    assert_eq!(listener.forwarded.fingerprint_hash, FingerprintHash::Sha256);
    assert_eq!(
        listener.forwarded.identity,
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
fn messages_of_names() {
    let long = format!("\"{}\"", "a".repeat(65));
    let names = ["\"\"", "\"a b\"", "\"ä\"", long.as_str(), "5"];
    let report = |name| {
        load_text(&format!("config_version = 1\n[[listener]]\nname = {name}\naddress = \"127.0.0.1:80\"\n"))
    };
    assert_snapshot("names", cases(&names, |name| report(name).report.to_text(false)));
}

#[test]
fn messages_of_server_group() {
    let lines = [
        "protocol = \"h2\"",
        "protocol = \"gRPC\"",
        "protocol = \"h2c\"\nhttp2 = true",
        "http2 = \"yes\"",
        "algorithm = \"weighted_roundrobin\"",
        "algorithm = \"LEAST_CONNECTIONS\"",
        "connect_timeout = \"5ms\"",
        "response_timeout = \"16m\"",
        "keepalive_timeout = 60",
        "keepalive_connections = -1",
        "max_retries = 11",
        "slow_start = \"30s\"",
        "slow_start = \"29s\"",
        "slow_start = \"1201s\"",
        "slow_start = 30",
        "slow_start = \"30s\"\nalgorithm = \"random\"",
        "slow_start = \"0s\"\nalgorithm = \"random\"",
        "slow_start = \"30s\"\nalgorithm = \"quux\"",
        "drain_timeout = \"0s\"",
        "drain_timeout = \"4001s\"",
        "when_all_down = \"reject\"",
    ];
    assert_snapshot("server_group", cases(&lines, report_of_group));
}

/// The report of a server group that is right but for these lines.
fn report_of_group(lines: &str) -> String {
    let group = GROUP.replace("[[server_group.backend]]", &format!("{lines}\n[[server_group.backend]]"));
    load_text(&format!("config_version = 1\n{LISTENER}{group}")).report.to_text(false)
}

#[test]
fn messages_of_hash_keys() {
    let keys = [
        "{ query = \"user\" }",
        "{ header = \"Host\" }",
        "{ cookie = \"session\" }",
        "{ path = true }",
        "{ source_ip = true }",
        "{}",
        "{ query = \"a\", path = true }",
        "{ quary = \"a\" }",
        "{ path = true, quux = 1 }",
        "\"query\"",
        "{ query = \"\" }",
        "{ query = \"a=b\" }",
        "{ query = 1 }",
        "{ header = \"x user\" }",
        "{ header = \"Cookie\" }",
        "{ cookie = \"a;b\" }",
        "{ path = false }",
        "{ source_ip = \"yes\" }",
    ];
    let report = |key| report_of_group(&format!("algorithm = \"consistent_hash\"\nhash_key = {key}"));
    let mut text = cases(&keys, report);
    let lines = [
        "algorithm = \"consistent_hash\"",
        "algorithm = \"Uch\"",
        "hash_key = { path = true }",
        "algorithm = \"source_ip_hash\"\nhash_key = { source_ip = true }",
        "algorithm = \"consistent\"\nhash_key = { path = true }",
    ];
    text += &cases(&lines, report_of_group);
    assert_snapshot("hash_keys", text);
}

#[test]
fn messages_of_health_checks() {
    let long_path = format!("path = \"/{}\"", "a".repeat(80));
    let long_host = format!("host = \"{}\"", "a.".repeat(50) + "b");
    let tables = [
        "",
        "protocol = \"grpc\"",
        "protocol = \"udp\"",
        "interval = \"500ms\"",
        "interval = 2",
        "timeout = \"301s\"",
        "healthy_threshold = 0",
        "unhealthy_threshold = 11",
        "method = \"POST\"",
        "path = \"health\"",
        "path = \"/a b\"",
        "path = \"/a#b\"",
        "path = \"/?a=[1]&b=%20\"",
        &long_path,
        "host = \"\"",
        "host = \"http://app\"",
        "host = \"app:0\"",
        &long_host,
        "port = 65536",
        "port = \"80\"",
        "expect = []",
        "expect = \"2xx\"",
        "expect = [\"1xx\", \"6xx\", \"xx\", \"100\", 99, 600, \"300-200\", \"199-200\", \"200-\", \"2XX\", \"+20\", true]",
        "expect = [200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 214, 215, 216]",
        "protocol = \"grpc\"\nmethod = \"GET\"\nexpect = [0, \"1-16\", 99]",
        "protocol = \"GRPC\"\nexpect = [100, \"2xx\", -1]",
        "protocol = \"tcp\"",
        "protocol = \"tcp\"\nmethod = \"GET\"\npath = \"/\"\nhost = \"app\"\nexpect = [\"2xx\"]\nport = 80",
        "protocol = \"tcp\"\npath = 1",
        "codes = [\"2xx\"]",
        "[[server_group.health_check]]",
    ];
    let report = |table: &str| match table.starts_with('[') {
        true => report_with("", "", &format!("{table}\n")),
        false => report_with("", "", &format!("[server_group.health_check]\n{table}\n")),
    };
    let mut text = cases(&tables, report);
    let unix = |line| {
        let group = GROUP.replace("127.0.0.1:9001", "unix:/run/app.sock");
        let check = format!("[server_group.health_check]\n{line}\n");
        load_text(&format!("config_version = 1\n{LISTENER}{group}{check}")).report.to_text(false)
    };
    text += &cases(&["port = 0", "port = 80"], unix);
    let https =
        |table| report_of_group(&format!("protocol = \"https\"\n[server_group.health_check]\n{table}"));
    text += &cases(
        &[
            "",
            "protocol = \"http\"",
            "protocol = \"https\"",
            "protocol = \"tcp\"",
            "port = 80",
            "protocol = \"grpc\"",
        ],
        https,
    );
    assert_snapshot("health_checks", text);
}

#[test]
fn messages_of_health_checks_of_secured_grpc() {
    let report = |table| {
        let tls = "[server_group.tls]\nverify = \"off\"\n";
        report_of_group(&format!("protocol = \"grpc\"\n{tls}[server_group.health_check]\n{table}"))
    };
    assert_snapshot("grpc_health_checks", cases(&["", "protocol = \"grpc\""], report));
}

#[test]
fn messages_of_passive_checks() {
    let lines = [
        "consecutive_failures = 0\nejection_time = \"1s\"",
        "consecutive_failures = 1001",
        "consecutive_failures = \"5\"",
        "ejection_time = \"301s\"",
        "ejection_time = \"0s\"",
        "failures = 5",
    ];
    let report = |line| report_with("", "", &format!("[server_group.passive_check]\n{line}\n"));
    let mut text = cases(&lines, report);
    text += &cases(&["passive_check = false"], report_of_group);
    assert_snapshot("passive_checks", text);
}

#[test]
fn messages_of_sticky() {
    let long = format!("mode = \"insert\"\ncookie = \"{}\"", "a".repeat(201));
    let lines = [
        "",
        "cookie = \"SERVERID\"",
        "mode = \"cookie\"",
        "mode = true",
        "mode = \"off\"\ncookie = \"a\"\ntimeout = \"1s\"",
        "mode = \"insert\"",
        "mode = \"insert\"\ncookie = \"a b\"",
        "mode = \"insert\"\ncookie = \"$a\"",
        "mode = \"insert\"\ncookie = \"\"",
        &long,
        "mode = \"insert\"\ntimeout = \"0s\"",
        "mode = \"insert\"\ntimeout = \"86401s\"",
        "mode = \"rewrite\"",
        "mode = \"rewrite\"\ncookie = \"a\"\ntimeout = \"1s\"",
        "mode = \"app_cookie\"",
        "mode = \"app_cookie\"\ncookie = 5",
        "mode = \"app_cookie\"\ncookie = \"a\"\ntimeout = \"1s\"",
        "mode = \"source_ip\"",
        "mode = \"source_ip\"\ncookie = \"a\"\ntimeout = \"1s\"",
        "mode = \"insert\"\nname = \"a\"",
    ];
    let report = |line| report_with("", "", &format!("[server_group.sticky]\n{line}\n"));
    assert_snapshot("sticky", cases(&lines, report));
}

/// The server group of a configuration in which these lines stand before its backend.
fn group_with(lines: &str) -> ServerGroup {
    let group = GROUP.replace("[[server_group.backend]]", &format!("{lines}\n[[server_group.backend]]"));
    let loaded = load_text(&format!("config_version = 1\n{LISTENER}{group}"));
    let groups = loaded.config.map(|config| config.server_groups);
    assert!(groups.is_some(), "{lines}: {}", loaded.report.to_text(false));
    groups.into_iter().flatten().next().expect("there is a group")
}

#[test]
fn balancing_is_kept() {
    let defaults = group_with("");
    assert_eq!(
        (defaults.algorithm, defaults.when_all_down),
        (Algorithm::WeightedRoundRobin, WhenAllDown::Forward)
    );
    assert_eq!((defaults.slow_start, defaults.drain_timeout), (Duration::ZERO, Duration::from_secs(300)));
    assert_eq!(defaults.backends[0].role, Role::Active);
    let unusual = group_with("when_all_down = \"fail\"\nslow_start = \"20m\"\ndrain_timeout = \"0s\"");
    assert_eq!((unusual.when_all_down, unusual.slow_start), (WhenAllDown::Fail, Duration::from_secs(1_200)));
    assert_eq!(unusual.drain_timeout, Duration::ZERO);
    let keys = [
        ("{ query = \"User\" }", HashKey::Query("User".to_owned())),
        ("{ header = \"X-User\" }", HashKey::Header("x-user".to_owned())),
        ("{ cookie = \"Session\" }", HashKey::Cookie("Session".to_owned())),
        ("{ path = true }", HashKey::Path),
        ("{ source_ip = true }", HashKey::SourceIp),
    ];
    for (text, key) in keys {
        for word in ["consistent_hash", "Uch"] {
            let group = group_with(&format!("algorithm = \"{word}\"\nhash_key = {text}"));
            assert_eq!(group.algorithm, Algorithm::ConsistentHash(key.clone()), "{text}");
        }
    }
}

#[test]
fn health_checks_are_kept() {
    assert_eq!(group_with("").health_check, None);
    let check = |lines: &str| group_with(&format!("[server_group.health_check]\n{lines}")).health_check;
    let default = HealthCheck {
        protocol: CheckProtocol::Http,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        healthy_threshold: 3,
        unhealthy_threshold: 3,
        method: CheckMethod::Head,
        path: "/".to_owned(),
        host: None,
        port: 0,
        expect: vec![200..=299],
    };
    assert_eq!(check(""), Some(default.clone()));
    assert_eq!(group_with("health_check = {}").health_check, Some(default.clone()));
    let unusual = "protocol = \"HTTPS\"\ninterval = \"5m\"\ntimeout = \"1s\"\nhealthy_threshold = 1\n\
        unhealthy_threshold = 10\nmethod = \"get\"\npath = \"/up?a=b\"\nhost = \"[::1]:8443\"\nport = 65535\n\
        expect = [\"http_3xx\", \"204\", 404, \"500-599\", \"200-202\"]";
    assert_eq!(
        check(unusual),
        Some(HealthCheck {
            protocol: CheckProtocol::Https,
            interval: Duration::from_secs(300),
            timeout: Duration::from_secs(1),
            healthy_threshold: 1,
            unhealthy_threshold: 10,
            method: CheckMethod::Get,
            path: "/up?a=b".to_owned(),
            host: Some("[::1]:8443".to_owned()),
            port: 65_535,
            expect: vec![300..=399, 204..=204, 404..=404, 500..=599, 200..=202],
        })
    );
    for (word, protocol) in
        [("HTTP", CheckProtocol::Http), ("TCP", CheckProtocol::Tcp), ("tcp", CheckProtocol::Tcp)]
    {
        let expected = HealthCheck { protocol, ..default.clone() };
        assert_eq!(check(&format!("protocol = \"{word}\"")), Some(expected), "{word}");
    }
    for host in ["app", "app_1.example.com.", "192.0.2.7", "192.0.2.7:80", "[::1]", "app:65535"] {
        assert_eq!(check(&format!("host = \"{host}\"")).and_then(|check| check.host).as_deref(), Some(host));
    }
}

#[test]
fn passive_checks_are_kept() {
    let check = |failures, seconds| PassiveCheck {
        consecutive_failures: failures,
        ejection_time: Duration::from_secs(seconds),
    };
    assert_eq!(group_with("").passive_check, check(5, 10));
    let unusual = "[server_group.passive_check]\nconsecutive_failures = 1000\nejection_time = \"300s\"";
    assert_eq!(group_with(unusual).passive_check, check(1_000, 300));
}

#[test]
fn sticky_modes_are_kept() {
    let sticky = |lines: &str| group_with(&format!("[server_group.sticky]\n{lines}")).sticky;
    let expected = |mode, cookie: &str, seconds| {
        Some(Sticky { mode, cookie: cookie.to_owned(), timeout: Duration::from_secs(seconds) })
    };
    assert_eq!(group_with("").sticky, None);
    assert_eq!(sticky("mode = \"off\""), None);
    for word in ["insert", "Insert", "HTTP_COOKIE"] {
        assert_eq!(sticky(&format!("mode = \"{word}\"")), expected(StickyMode::Insert, "SERVERID", 1_000));
    }
    let application = [
        ("rewrite", StickyMode::Rewrite),
        ("Server", StickyMode::Rewrite),
        ("app_cookie", StickyMode::AppCookie),
        ("APP_COOKIE", StickyMode::AppCookie),
    ];
    for (word, mode) in application {
        assert_eq!(
            sticky(&format!("mode = \"{word}\"\ncookie = \"JSESSIONID\"")),
            expected(mode, "JSESSIONID", 1_000)
        );
    }
    for word in ["source_ip", "SOURCE_IP"] {
        let lines = format!("mode = \"{word}\"\ntimeout = \"24h\"");
        assert_eq!(sticky(&lines), expected(StickyMode::SourceIp, "", 86_400));
    }
}

#[test]
fn the_process_wide_keys_of_health_and_control_are_kept() {
    let text = |before: &str| format!("config_version = 1\n{before}{LISTENER}{GROUP}");
    let defaults = load_text(&text("")).config.expect("the configuration is valid");
    assert_eq!((defaults.process.health_cpu, defaults.admin.socket), (HealthCpu::Auto, None));
    assert_eq!(defaults.process.resolvers, []);
    let unusual = "[process]\nhealth_cpu = 0\nresolvers = [\"127.0.0.1:5353\", \"[::1]:53\", \"192.0.2.1\", \"::1\"]\n\
        [admin]\nsocket = \"run/admin.sock\"\n";
    let source = Source::file(Path::new("conf/a.toml"), PathBuf::from("/srv"), Ok(text(unusual)));
    let config = load(vec![source]).config.expect("the configuration is valid");
    assert_eq!(config.process.health_cpu, HealthCpu::Cpu(0));
    let resolvers: Vec<String> = config.process.resolvers.iter().map(ToString::to_string).collect();
    assert_eq!(resolvers, ["127.0.0.1:5353", "[::1]:53", "192.0.2.1:53", "[::1]:53"]);
    let socket = config.admin.socket.map(|socket| socket.path);
    assert_eq!(socket, Some(PathBuf::from("/srv/run/admin.sock")));
}

const SITE: &str = "[[certificate]]\nname = \"site\"\nchain = \"a.crt\"\nkey = \"a.key\"\n";

#[test]
fn messages_of_certificates() {
    let pieces = [
        "[[certificate]]\nname = \"b\"",
        "[[certificate]]\nname = \"b\"\nchain = \"\"\nkey = \"keys/\"\nocsp = 5",
        "[[certificate]]\nname = \"b\"\nchain = \"a.crt\"\nkey = \"-----BEGIN PRIVATE KEY-----\"",
        "[[certificate]]\nname = \"b\"\nchain = \"a.crt\"\nkey = \"a.key\"\npassword = \"x\"",
        SITE,
        "[[certificate]]\nname = \"b\"\nchain = \"a.crt\"\nkey = \"a.key\"",
        "[certificate]\nname = \"b\"",
        "[process]\nticket_seed_file = \"seeds/\"",
    ];
    let https = "protocol = \"https\"\ncertificates = [\"site\"]\n";
    assert_snapshot(
        "certificates",
        cases(&pieces, |piece| report_with(&format!("{SITE}{piece}\n"), https, "")),
    );
}

#[test]
fn messages_of_tls_policies() {
    let bodies = [
        "",
        "name = \"e\"\nversions = [\"1.3\"]\ncipher_suites = [\"TLS_AES_128_GCM_SHA256\"]",
        "name = \"1edge\"\nversions = [\"1.3\"]\ncipher_suites = [\"TLS_AES_128_GCM_SHA256\"]",
        "name = \"tls-1-2\"\nversions = [\"1.3\"]\ncipher_suites = [\"TLS_AES_128_GCM_SHA256\"]",
        "name = \"edge\"\nversions = []\ncipher_suites = []",
        "name = \"edge\"\nversions = \"1.2\"\ncipher_suites = \"TLS_AES_128_GCM_SHA256\"",
        "name = \"edge\"\nversions = [1.2, \"SSLv3\"]\ncipher_suites = [5, \"quux\"]",
        "name = \"edge\"\nversions = [\"1.2\"]\ncipher_suites = [\"ECDHE-RSA-AES128-GCM-SHA265\"]",
        "name = \"edge\"\nversions = [\"1.2\"]\ncipher_suites = [\"TLS_AES_128_GCM_SHA256\"]",
        "name = \"edge\"\nversions = [\"1.3\"]\ncipher_suites = [\"AES128-SHA\", \"AES128-GCM-SHA256\"]",
        "name = \"edge\"\nversions = [\"1.2\"]\ncipher_suites = [\"AES128-SHA\", \"TLS_RSA_WITH_AES_128_CBC_SHA\"]",
        "name = \"idle\"\nversions = [\"1.3\"]\ncipher_suites = [\"TLS13_AES_128_GCM_SHA256\"]",
    ];
    let https = "protocol = \"https\"\ncertificates = [\"site\"]\n";
    let report = |body: &str| {
        let policy = if body.contains("\"edge\"") { "tls_policy = \"edge\"\n" } else { "" };
        report_with(&format!("{SITE}[[tls_policy]]\n{body}\n"), &format!("{https}{policy}"), "")
    };
    assert_snapshot("tls_policies", cases(&bodies, report));
}

#[test]
fn messages_of_https_listeners() {
    let bodies = [
        "",
        "certificates = [\"site\"]",
        "protocol = \"http\"\ncertificates = [\"site\"]\nsni_match = \"wildcard\"\ntls_policy = \"x\"\n\
         session_ticket_lifetime = \"0s\"\ntls_handshake_timeout = \"1s\"",
        "protocol = \"https\"",
        "protocol = \"https\"\ncertificates = []",
        "protocol = \"https\"\ncertificates = \"site\"",
        "protocol = \"https\"\ncertificates = [\"sit\", \"quux\"]",
        "protocol = \"https\"\ncertificates = [\"site\", \"site\"]",
        "protocol = \"https\"\ncertificates = [\"site\"]\nsni_match = \"suffix\"",
        "protocol = \"https\"\ncertificates = [\"site\"]\ntls_policy = \"tls-1-2-strickt\"",
        "protocol = \"https\"\ncertificates = [\"site\"]\ntls_policy = \"quux\"",
        "protocol = \"https\"\ncertificates = [\"site\"]\ntls_policy = \"\"",
        "protocol = \"https\"\ncertificates = [\"site\"]\nsession_ticket_lifetime = \"25h\"",
        "protocol = \"https\"\ncertificates = [\"site\"]\nsession_ticket_lifetime = 0",
        "protocol = \"https\"\ncertificates = [\"site\"]\ntls_handshake_timeout = \"500ms\"",
    ];
    assert_snapshot("https_listeners", cases(&bodies, |body| report_with(SITE, &format!("{body}\n"), "")));
}

#[test]
fn messages_of_https_server_groups() {
    let bodies = [
        "[server_group.tls]\nverify = \"off\"",
        "protocol = \"https\"",
        "protocol = \"https\"\ntls = 5",
        "protocol = \"https\"\n[server_group.tls]\nverify = \"on\"",
        "protocol = \"https\"\n[server_group.tls]\nverify = \"ca\"",
        "protocol = \"https\"\n[server_group.tls]\nverify = \"ca\"\nca = \"backends\"",
        "protocol = \"https\"\n[server_group.tls]\nca = \"backends\"",
        "protocol = \"https\"\n[server_group.tls]\nverify = \"system\"\nca = \"backends\"",
        "protocol = \"https\"\n[server_group.tls]\nsni = \"127.0.0.1\"",
        "protocol = \"https\"\n[server_group.tls]\nsni = \"app_1.internal:443\"",
        "protocol = \"https\"\n[server_group.tls]\nclient_certificate = \"side\"",
        "protocol = \"https\"\n[server_group.tls]\nclient_certificate = \"site\"",
        "protocol = \"grpc\"\n[server_group.tls]\nverify = \"off\"",
        "protocol = \"h2c\"\n[server_group.tls]\nverify = \"off\"",
        "protocol = \"https\"\nhttp2 = true",
    ];
    let https = "protocol = \"https\"\ncertificates = [\"site\"]\n";
    let report = |body| {
        let group = GROUP.replace("[[server_group.backend]]", &format!("{body}\n[[server_group.backend]]"));
        load_text(&format!("config_version = 1\n{SITE}{LISTENER}{https}{group}")).report.to_text(false)
    };
    assert_snapshot("https_server_groups", cases(&bodies, report));
}

#[test]
fn messages_of_backends() {
    let pieces = [
        "",
        "backend = []",
        "backend = \"127.0.0.1:9001\"",
        "backend = [\"127.0.0.1:9001\"]",
        "[server_group.backend]\naddress = \"127.0.0.1:9001\"",
        "[[server_group.backend]]\nweight = 1",
        "[[server_group.backend]]\naddress = \"http://app:9001\"",
        "[[server_group.backend]]\naddress = \"app\"",
        "[[server_group.backend]]\naddress = \"::1\"",
        "[[server_group.backend]]\naddress = \"app:0\"",
        "[[server_group.backend]]\naddress = \"300.0.0.1:80\"",
        "[[server_group.backend]]\naddress = \"127.0.0.1:0\"",
        "[[server_group.backend]]\naddress = \"0.0.0.0:80\"",
        "[[server_group.backend]]\naddress = \"224.0.0.1:80\"",
        "[[server_group.backend]]\naddress = \"unix:\"",
        "[[server_group.backend]]\naddress = \"unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "[[server_group.backend]]\naddress = 9001",
        "[[server_group.backend]]\naddress = \"app:80\"\nweight = 101",
        "[[server_group.backend]]\naddress = \"app:+80\"",
        "[[server_group.backend]]\naddress = \"app:80\"\nrole = \"standby\"",
        "[[server_group.backend]]\naddress = \"app:80\"\nrole = \"backup\"",
        "[[server_group.backend]]\naddress = \"app:80\"\nrole = \"Slave\"\n[[server_group.backend]]\naddress = \"app:81\"\nrole = \"master\"",
        "[[server_group.backend]]\naddress = \"app:80\"\nweight = 0",
        "[[server_group.backend]]\naddress = \"app:80\"\n[[server_group.backend]]\naddress = \"app:80\"",
    ];
    let report = |piece| {
        let text = format!("config_version = 1\n{LISTENER}[[server_group]]\nname = \"app\"\n{piece}\n");
        load_text(&text).report.to_text(false)
    };
    assert_snapshot("backends", cases(&pieces, report));
}

#[test]
fn messages_of_references() {
    let second = "[[listener]]\nname = \"api\"\ndefault_group = \"app\"\naddress = ";
    let mut text = cases(
        &[
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:81\"\ndefault_group = \"app\"",
            "[[listener]]\nname = \"api\"\naddress = \"127.0.0.1:81\"\ndefault_group = \"apq\"",
            "[[listener]]\nname = \"api\"\naddress = \"127.0.0.1:81\"\ndefault_group = \"shop\"",
            "[[listener]]\nname = \"api\"\naddress = \"127.0.0.1:81\"",
            GROUP,
            "[[server_group]]\nname = \"idle\"\n[[server_group.backend]]\naddress = \"app:80\"",
        ],
        |piece| report_with("", &format!("{piece}\n"), ""),
    );
    let addresses =
        ["\"127.0.0.1:8080\"", "\"0.0.0.0:8080\"", "\"[::]:8080\"", "[\"[::1]:80\", \"[::]:80\"]"];
    text += &cases(&addresses, |address| report_with("", &format!("{second}{address}\n"), ""));
    text += &load_text(
        "config_version = 1\n[[listener]]\nname = \"a\"\naddress = \"[::]:1\"\ndefault_group = \"b\"",
    )
    .report
    .to_text(false);
    assert_snapshot("references", text);
}

#[test]
fn messages_over_several_files() {
    let folder = PathBuf::from("/etc/ringway");
    let first = format!("config_version = 1\n[process]\n[access_log]\n{LISTENER}{GROUP}");
    let second = "config_version = 3\n[process]\npin = 1\n[access_log]\n[[server_group]]\nname = \"app\"\n";
    let report = load(vec![
        Source::file(Path::new("a.toml"), folder.clone(), Ok(first)),
        Source::file(Path::new("b.toml"), folder.clone(), Ok(second.to_owned())),
        Source::file(Path::new("c.toml"), folder, Err("cannot read the file: it hides".to_owned())),
    ])
    .report;
    assert_snapshot("several_files", report.to_text(false));
    assert_snapshot("several_files_json", report.to_json());
}

#[test]
fn the_report_can_be_coloured_strict_and_continued() {
    let text = format!(
        "config_version = 1\n{LISTENER}{GROUP}[[server_group.backend]]\naddress = \"app:80\"\nweight = 0\n"
    );
    let mut loaded = load_text(&text);
    let backend = &loaded.config.as_ref().expect("the configuration is valid").server_groups[0].backends[1];
    loaded.report.error(backend.location, "cannot resolve \"app\"", "check the name");
    loaded.report.warning(Location::default(), "a warning", "a cure");
    assert!(loaded.report.has_errors());
    loaded.report.be_strict();
    assert_eq!((loaded.report.count(Severity::Error), loaded.report.count(Severity::Warning)), (2, 0));
    assert_snapshot("coloured", loaded.report.to_text(true).replace('\x1b', "ESC"));
}

#[test]
fn places_hold_for_any_line_ends_tabs_and_alphabets() {
    let cases = [
        (
            "config_version = 1\r\n[process]\r\n  pin = 1\r\n",
            "ringway.toml:3:9: error: `pin`",
            "   |         ^\n",
        ),
        ("config_version = 1\n[process]\n\tpin = 1\n", "ringway.toml:3:8: error: `pin`", "   | \t      ^\n"),
        ("config_version = 1\nprocess = { \"ä€\" = 1, pin = 1 }", "ringway.toml:2:29: error: `pin`", " ^\n"),
        (
            "\u{feff}config_version = 1\n[process]\npin = 1",
            "ringway.toml:3:7: error: `pin`",
            "   |       ^\n",
        ),
        ("config_version = 1\n[process]\nworkers = [\n1,\n]", "ringway.toml:3:11: error: `workers`", "^\n"),
    ];
    for (text, first_line, carets) in cases {
        let report = load_text(text).report.to_text(false);
        assert!(report.contains(first_line) && report.contains(carets), "{report}");
        assert!(!report.contains('\r'), "{report}");
    }
}

#[test]
fn of_a_very_long_line_only_a_piece_is_shown() {
    let names = "\"site\", ".repeat(1_000);
    let https = format!("protocol = \"https\"\ncertificates = [{names}\"ä\", {names}]\n");
    let report = load_text(&format!("config_version = 1\n{LISTENER}{https}{GROUP}")).report.to_text(false);
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[0].split(" error").next(), Some("ringway.toml:7:8017:"));
    assert!(lines[2].contains("\"site\", \"ä\", ") && lines.iter().all(|line| line.len() < 500), "{report}");
    assert_eq!(lines[3].find('^'), lines[2].find("\"ä"), "{report}");
}

#[test]
fn a_made_up_text_is_a_source_like_any_other() {
    let text = format!(
        "config_version = 1\n{LISTENER}[[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = {}\n",
        toml_string("app.internal")
    );
    let report = load(vec![Source::made_up("<proxy>", text)]).report.to_text(false);
    assert!(report.starts_with("<proxy>:9:11: error: `address` \"app.internal\" has no port\n"), "{report}");
    assert!(load(Vec::new()).report.to_text(false).starts_with("<none>:1:1: error: "));
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
fn aliases_of_the_cloud_products_are_known() {
    let source_ip = || Algorithm::ConsistentHash(HashKey::SourceIp);
    let cases = [
        ("weighted_round_robin", Algorithm::WeightedRoundRobin),
        ("Wrr", Algorithm::WeightedRoundRobin),
        ("wrr", Algorithm::WeightedRoundRobin),
        ("ROUND_ROBIN", Algorithm::WeightedRoundRobin),
        ("round_robin", Algorithm::RoundRobin),
        ("rr", Algorithm::RoundRobin),
        ("weighted_least_connections", Algorithm::WeightedLeastConnections),
        ("Wlc", Algorithm::WeightedLeastConnections),
        ("wlc", Algorithm::WeightedLeastConnections),
        ("LEAST_CONNECTIONS", Algorithm::WeightedLeastConnections),
        ("power_of_two", Algorithm::PowerOfTwo),
        ("random", Algorithm::Random),
        ("source_ip_hash", source_ip()),
        ("Sch", source_ip()),
        ("sch", source_ip()),
        ("SOURCE_IP", source_ip()),
    ];
    for (alias, algorithm) in cases {
        assert_eq!(group_with(&format!("algorithm = \"{alias}\"")).algorithm, algorithm, "{alias}");
    }
    let roles = [
        ("Master", Role::Active),
        ("master", Role::Active),
        ("Slave", Role::Standby),
        ("slave", Role::Standby),
    ];
    for (alias, role) in roles {
        let config = load_text(&format!("config_version = 1\n{LISTENER}{GROUP}role = \"{alias}\"\n")).config;
        assert_eq!(config.map(|config| config.server_groups[0].backends[0].role), Some(role), "{alias}");
    }
}

#[test]
fn relative_paths_start_at_the_folder_of_their_file() {
    let text = format!(
        "config_version = 1\n[access_log]\npath = \"logs/a.log\"\n{LISTENER}{}",
        GROUP.replace("127.0.0.1:9001", "unix:app.sock")
    );
    let source = Source::file(Path::new("conf/a.toml"), PathBuf::from("/srv/conf"), Ok(text));
    let config = load(vec![source]).config.expect("the configuration is valid");
    let log = config.access_log.expect("there is an access log");
    assert_eq!(log.destination, LogDestination::File(PathBuf::from("/srv/conf/logs/a.log")));
    assert_eq!(
        config.server_groups[0].backends[0].address,
        BackendAddress::Unix(PathBuf::from("/srv/conf/app.sock"))
    );
}

/// The places differ between a file and what is printed of it; nothing else may.
fn without_places(mut config: Config) -> Config {
    let nowhere = Location::default();
    for authority in &mut config.authorities {
        authority.location = nowhere;
        authority.bundle.location = nowhere;
        authority.crl.iter_mut().for_each(|file| file.location = nowhere);
    }
    if let Some(file) = &mut config.process.ticket_seed_file {
        file.location = nowhere;
    }
    if let Some(file) = &mut config.admin.socket {
        file.location = nowhere;
    }
    for certificate in &mut config.certificates {
        certificate.location = nowhere;
        let files = [&mut certificate.chain, &mut certificate.key].into_iter().chain(&mut certificate.ocsp);
        files.for_each(|file| file.location = nowhere);
    }
    for listener in &mut config.listeners {
        listener.location = nowhere;
        if let Some(tls) = &mut listener.tls {
            tls.location = nowhere;
            tls.policy.location = nowhere;
        }
        listener.addresses.iter_mut().for_each(|address| address.location = nowhere);
    }
    for group in &mut config.server_groups {
        group.location = nowhere;
        group.backends.iter_mut().for_each(|backend| backend.location = nowhere);
    }
    if let Some(log) = &mut config.access_log {
        log.location = nowhere;
    }
    config
}

#[test]
fn the_effective_configuration_loads_to_the_same() {
    let unusual = format!(
        "config_version = 1\n[process]\nworkers = 3\nshutdown_timeout = \"1500ms\"\n{}idle_timeout = \"0s\"\n\
         max_body_bytes = 1025\nmax_header_bytes = \"10KB\"\ntrusted_proxies = [\"10.0.0.1\", \"2001:db8::/32\"]\n{}weight = 7\n",
        LISTENER.replace("\"127.0.0.1:8080\"", "[\"[::]:80\", \"[::1]:81\"]"),
        GROUP.replace("127.0.0.1:9001", "unix:/run/\\\"odd\\\\.sock"),
    );
    let balanced = format!(
        "config_version = 1\n[process]\nhealth_cpu = 3\nresolvers = [\"::1\"]\n[admin]\nsocket = \"/run/a.sock\"\n{LISTENER}{}\
         role = \"standby\"\n[server_group.health_check]\nprotocol = \"tcp\"\n[server_group.sticky]\nmode = \"source_ip\"\n\
         [server_group.passive_check]\nejection_time = \"1500ms\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9002\"\n{}{}",
        GROUP.replace("\"app\"", "\"app\"\nalgorithm = \"Uch\"\nhash_key = { header = \"X-User\" }"),
        GROUP.replace(
            "\"app\"",
            "\"b\"\nalgorithm = \"Sch\"\nsticky = { mode = \"Server\", cookie = \"a'b\" }"
        ) + "[server_group.health_check]\nexpect = [\"200-299\", 404, \"400-402\"]\nhost = \"app:80\"\n",
        LISTENER.replace("web", "b").replace("8080", "8081").replace("app", "b"),
    );
    let minimal = format!("config_version = 1\n{LISTENER}{GROUP}");
    for text in [COMPLETE_EXAMPLE, unusual.as_str(), balanced.as_str(), &minimal] {
        let first = load_text(text);
        let printed = first.effective.to_toml(&first.report);
        let second = load_text(&printed);
        assert_eq!(second.report.to_text(false), "", "{printed}");
        assert_eq!(first.config.map(without_places), second.config.map(without_places));
    }
}

#[test]
fn the_effective_configuration_tells_where_values_come_from() {
    let loaded = load_text(&format!("config_version = 1\n{LISTENER}{GROUP}weight = 7\n"));
    assert_snapshot("effective", loaded.effective.to_toml(&loaded.report));
    assert_snapshot("effective_json", loaded.effective.to_json(&loaded.report));
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
fn ten_thousand_certificates_are_checked_quickly() {
    let mut text = format!("config_version = 1\n{GROUP}");
    let mut names = Vec::new();
    for number in 0..10_000 {
        text += &SITE.replace("site", &format!("c{number}"));
        names.push(format!("\"c{number}\""));
    }
    let listener = format!("{LISTENER}protocol = \"https\"\ncertificates = [\n{}\n]\n", names.join(",\n"));
    let started = crate::net::clock::instant_now();
    let loaded = load_text(&format!("{text}{listener}"));
    assert_eq!(loaded.report.to_text(false), "");
    // None of the names is known: as many errors, and still no work that grows with their square.
    let lost = load_text(&format!("{text}{}", listener.replace("\"c", "\"d"))).report;
    assert_eq!(lost.count(Severity::Error), 10_000);
    assert!(lost.to_text(false).len() > 10_000);
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn strings_are_quoted_for_toml() {
    for text in ["plain", "a\"b\\c", "tab\tnewline\n", "\u{1}\u{7f}", "ä€"] {
        let source = Source::made_up("quoted", format!("key = {}", toml_string(text)));
        let root = raw::read(0, &mut Report::new(vec![source]));
        let value = root.find("key").map(|entry| &entry.value.kind);
        assert!(matches!(value, Some(raw::Kind::Text(read)) if read == text), "{text}");
    }
}

/// What only makes sense beside another value than the one shown.
const NOT_IN_THE_EXAMPLE: &[(&str, &str)] = &[("server_group.tls", "ca")];

#[test]
fn every_key_stands_in_the_complete_example_and_the_reference() {
    let loaded = load_text(COMPLETE_EXAMPLE);
    assert_eq!(loaded.report.to_text(false), "");
    let set: HashSet<_> = loaded
        .effective
        .keys()
        .filter(|(_, _, from)| from.is_some())
        .map(|(table, key, _)| (table, key))
        .collect();
    for (table, key, _) in loaded.effective.keys() {
        let is_set = set.contains(&(table, key)) || NOT_IN_THE_EXAMPLE.contains(&(table, key));
        assert!(is_set, "config/ringway.toml does not set `{key}` in {table}");
        let heading = match table {
            "" => "## Before the first table\n".to_owned(),
            "certificate" | "ca" | "tls_policy" | "listener" | "server_group" | "server_group.backend" => {
                format!("## `[[{table}]]`\n")
            }
            single => format!("## `[{single}]`\n"),
        };
        let (_, section) =
            REFERENCE.split_once(&heading).expect("every table has a heading in the reference");
        let section = section.split("\n## ").next().unwrap_or_default();
        assert!(
            section.contains(&format!("\n| `{key}` |")),
            "docs/configuration.md does not tell `{key}` in {table}"
        );
    }
}

#[test]
fn the_complete_example_shows_the_defaults() {
    let example = load_text(COMPLETE_EXAMPLE).config.map(without_places).expect("the example is valid");
    let minimal = "config_version = 1\n[process]\ninstance_id = \"edge-1\"\nticket_seed_file = \"tls/ticket_seed\"\n\
        [admin]\nsocket = \"admin.sock\"\n[access_log]\n[[certificate]]\nname = \"site\"\nchain = \"tls/site.crt\"\nkey = \"tls/site.key\"\n\
        ocsp = \"tls/site.ocsp\"\n[[tls_policy]]\nname = \"edge\"\nversions = [\"1.3\", \"TLSv1.2\"]\n\
        cipher_suites = [\"TLS13_AES_128_GCM_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\",\n\
        \"ECDHE-RSA-AES128-GCM-SHA256\"]\n";
    let secure = "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:8443\"\nprotocol = \"https\"\n\
        default_group = \"internal\"\ncertificates = [\"site\"]\ntls_policy = \"edge\"\n\
        [listener.client_auth]\nmode = \"optional\"\nca = [\"clients\"]\n";
    let internal = "[[server_group]]\nname = \"internal\"\nprotocol = \"https\"\n\
        algorithm = \"consistent_hash\"\nhash_key = { cookie = \"session\" }\n[server_group.tls]\n\
        verify = \"system\"\nsni = \"App.Internal.\"\nclient_certificate = \"site\"\n[[server_group.backend]]\n\
        address = \"127.0.0.1:9443\"\n";
    let check = "[server_group.health_check]\nhost = \"app.example.com\"\n";
    let text = format!("{minimal}{CA}{LISTENER}{secure}{GROUP}{check}{internal}");
    let defaults = load_text(&text).config.map(without_places);
    assert_eq!(Some(example), defaults);
}

#[test]
fn a_wrong_type_of_any_key_is_an_error_on_its_line() {
    let lines: Vec<&str> = COMPLETE_EXAMPLE.lines().collect();
    let assignments =
        (0..lines.len()).filter(|index| !lines[*index].starts_with('#') && lines[*index].contains('='));
    for index in assignments {
        let key = lines[index].split(" = ").next().unwrap_or_default();
        for wrong in ["1979-05-27", "1.5", "{ a = 1 }", "[[]]"] {
            let wrong_line = format!("{key} = {wrong}");
            let mut text = lines.clone();
            text[index] = &wrong_line;
            let loaded = load_text(&text.join("\n"));
            assert!(loaded.config.is_none(), "{wrong_line}");
            let first = format!("ringway.toml:{}:", index + 1);
            let report = loaded.report.to_text(false);
            assert!(report.starts_with(&first), "{wrong_line}: {report}");
            assert!(report.contains(&format!("`{key}`")), "{wrong_line}: {report}");
        }
    }
}

/// A text cut anywhere, or with a byte replaced, gives a report and never a panic.
#[test]
fn no_text_makes_it_panic() {
    for cut in 0..COMPLETE_EXAMPLE.len() {
        if let Some(text) = COMPLETE_EXAMPLE.get(..cut) {
            load_text(text).report.to_text(false);
        }
        let mut bytes = COMPLETE_EXAMPLE.as_bytes().to_vec();
        bytes[cut] = b"\"[]={}\n\r\t\x00.,1\\"[cut % 14];
        load_text(&String::from_utf8_lossy(&bytes)).report.to_text(false);
    }
}
