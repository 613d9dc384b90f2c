//! `[[server_group]]`: balancing, health, stickiness and backends.

use std::time::Duration;

use super::*;

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
        "algorithm = \"least_conn\"",
        "max_fails = 3",
        "max_response_header_bytes = \"128k\"",
        "max_response_headers = 257",
        "max_response_header_bytes = \"2MiB\"",
        "default_host = \"a b\"",
        "http10_upstream = \"2\"",
        "http10_upstream = 1.0",
        "protocol = \"h2c\"\nhttp10_upstream = \"1.0\"",
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
        "proxy_protocol = \"v3\"",
        "source = \"client\"",
        "proxy_protocol_tlvs = \"pass\"",
        "proxy_protocol = \"v1\"\nproxy_protocol_tlvs = \"pass\"",
        "proxy_protocol = \"v2\"\nproxy_protocol_tlvs = \"pass\"",
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
        "{ tuple = false }",
        "{ tuple = true }",
        "{ quic_cid = true }",
        "{ quic_cid = {} }",
        "{ quic_cid = { length = \"8\" } }",
        "{ quic_cid = { offset = 13, length = 8 } }",
        "{ quic_cid = { length = 8, size = 1 } }",
        "{ quic_cid = { length = 8 } }",
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
        "mode = \"insert\"\npath = \"app\"",
        "mode = \"insert\"\npath = \"/;\"",
        "mode = \"insert\"\ndomain = \".example.com\"",
        "mode = \"insert\"\ndomain = \"a;b\"",
        "mode = \"insert\"\nsame_site = \"off\"",
        "mode = \"insert\"\nsecure = false",
        "mode = \"insert\"\nsecure = 1",
        "mode = \"source_ip\"\ndomain = \"a\"\nsame_site = \"lax\"\nsecure = true\npath = \"/a\"",
    ];
    let report = |line| report_with("", "", &format!("[server_group.sticky]\n{line}\n"));
    assert_snapshot("sticky", cases(&lines, report));
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
        initial: InitialState::Up,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        healthy_threshold: 3,
        unhealthy_threshold: 3,
        method: CheckMethod::Head,
        path: "/".to_owned(),
        host: None,
        port: 0,
        expect: vec![200..=299],
        payload: Vec::new(),
        expect_payload: None,
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
            initial: InitialState::Up,
            interval: Duration::from_secs(300),
            timeout: Duration::from_secs(1),
            healthy_threshold: 1,
            unhealthy_threshold: 10,
            method: CheckMethod::Get,
            path: "/up?a=b".to_owned(),
            host: Some("[::1]:8443".to_owned()),
            port: 65_535,
            expect: vec![300..=399, 204..=204, 404..=404, 500..=599, 200..=202],
            payload: Vec::new(),
            expect_payload: None,
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
fn payloads_are_text_or_digits() {
    let check = |lines: &str| {
        let text = format!("[server_group.health_check]\nprotocol = \"udp\"\n{lines}");
        let check = group_with(&text).health_check.unwrap();
        (check.payload, check.expect_payload)
    };
    assert_eq!(check(""), (Vec::new(), None));
    assert_eq!(
        check("payload = \"ping\\n\"\nexpect_payload = \"hex:00 fF10\""),
        (b"ping\n".to_vec(), Some(vec![0, 255, 16]))
    );
    let check = group_with("[server_group.health_check]\nprotocol = \"UDP\"").health_check.unwrap();
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(5), Duration::from_secs(10)));
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
        let attributes =
            CookieAttributes { path: "/".to_owned(), domain: None, same_site: None, is_always_secure: false };
        Some(Sticky { mode, cookie: cookie.to_owned(), timeout: Duration::from_secs(seconds), attributes })
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
fn messages_of_backends_without_a_port() {
    let report = |(protocol, lines): (&str, &str)| {
        let listener = LISTENER.replace("8080\"", &format!("8080\"\nprotocol = \"{protocol}\""));
        let group = GROUP.replace(
            "[[server_group.backend]]",
            &format!("protocol = \"{protocol}\"\n[[server_group.backend]]"),
        );
        let group = group.replace("\"127.0.0.1:9001\"", lines);
        load_text(&format!("config_version = 1\n{listener}{group}")).report.to_text(false)
    };
    let lines = [
        "\"10.0.0.5\"",
        "\"2001:db8::5:80\"",
        "\"[2001:db8::5]\"",
        "\"app.example\"",
        "\"0.0.0.0\"",
        "\"10.0.0.5:0\"",
        "\"10.0.0.555\"",
        "\"10.0.0.5\"\n[server_group.health_check]",
        "\"10.0.0.5\"\n[server_group.health_check]\nport = 22",
        "\"10.0.0.5\"\n[server_group.passive_check]\nconsecutive_failures = 2",
        "\"10.0.0.5\"\n[[server_group.backend]]\naddress = \"10.0.0.5:80\"",
        "\"::5\"\n[[server_group.backend]]\naddress = \"[::5]\"",
    ];
    let text = cases(&lines, |line| report(("tcp", line)));
    let text = text + &cases(&["\"10.0.0.5\""], |line| report(("http", line)));
    assert_snapshot("backends_without_a_port", text);
}
