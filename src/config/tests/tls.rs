//! `[[certificate]]`, `[[tls_policy]]` and TLS on both sides.

use super::*;

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
