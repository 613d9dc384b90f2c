//! The complete example and the reference hold every key.

use super::*;

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
            "access_log"
            | "certificate"
            | "ca"
            | "tls_policy"
            | "ip_group"
            | "listener"
            | "server_group"
            | "server_group.backend"
            | "rule"
            | "error_page" => {
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
    let minimal = "config_version = 1\n[process]\ninstance_id = \"edge-1\"\nticket_seed_file = \"tls/ticket_seed\"\nuser = \"root\"\ngroup = \"root\"\n\
        [admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:9180\"\ntokens_file = \"admin.tokens\"\naudit = \"audit.log\"\ntls = { certificate = \"site\", client_ca = \"clients\" }\nelb_api = { keys_file = \"elb.keys\", state = \"elb\" }\n[tracing]\npropagate = true\notlp = \"https://otlp.example.com/v1/traces\"\n\
        ca_file = \"tls/collector-ca.crt\"\nheaders_file = \"collector-headers\"\n[[access_log]]\nname = \"main\"\nlistener = \"web\"\nheaders = { request = [\"x-tenant\"], response = [\"server\"], cookies = [\"lang\"] }\n[[access_log]]\npath = \"syslog:udp:127.0.0.1:514\"\n[[certificate]]\nname = \"site\"\nchain = \"tls/site.crt\"\nkey = \"tls/site.key\"\n\
        names = [\"WWW.example.com\", \"*.shop.example.com\", \"www.example.com\"]\n\
        ocsp = \"tls/site.ocsp\"\n[[tls_policy]]\nname = \"edge\"\nversions = [\"1.3\", \"TLSv1.2\"]\n\
        cipher_suites = [\"TLS13_AES_128_GCM_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\",\n\
        \"ECDHE-RSA-AES128-GCM-SHA256\"]\n";
    let elb = "[listener.forwarded]\nx_forwarded_elb_ip = \"192.0.2.10\"\nx_forwarded_elb_id = \"lb-1\"\n";
    let secure = "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:8443\"\nprotocol = \"https\"\n\
        default_group = \"internal\"\ncertificates = [\"site\"]\ntls_policy = \"edge\"\n\
        modification_protection = \"frozen until the sale is over\"\n\
        hsts = { max_age = \"180d\", include_subdomains = true }\nquic_listener = \"fast\"\n\
        [listener.client_auth]\nmode = \"optional\"\nca = [\"clients\"]\n\
        [[listener]]\nname = \"fast\"\naddress = \"127.0.0.1:8444\"\nprotocol = \"quic\"\n\
        default_group = \"internal\"\ncertificates = [\"site\"]\nhsts = { max_age = \"180d\", include_subdomains = true }\n\
        [listener.client_auth]\nmode = \"optional\"\nca = [\"clients\"]\n";
    let internal = "[[server_group]]\nname = \"internal\"\nprotocol = \"https\"\n\
        modification_protection = \"its backends move to another rack\"\n\
        algorithm = \"consistent_hash\"\nhash_key = { cookie = \"session\" }\n\
        maintenance = { page = \"pages/maintenance.html\", retry_after = \"1h\", allow = \"10.0.0.0/8\" }\n[server_group.tls]\n\
        verify = \"system\"\nsni = \"App.Internal.\"\nclient_certificate = \"site\"\n[[server_group.backend]]\n\
        address = \"127.0.0.1:9443\"\n";
    let check = "[server_group.health_check]\nhost = \"app.example.com\"\n";
    // Rules have no defaults to show, nor has a redirect.
    let (_, rules) = COMPLETE_EXAMPLE.split_once("# A listener that sends").expect("the rules come last");
    let text = format!("{minimal}{CA}{LISTENER}{elb}{secure}{GROUP}{check}{internal}#{rules}");
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
            // A list may go on over several lines.
            let rest = text[index + 1..].iter_mut();
            rest.take_while(|line| line.starts_with([' ', ']'])).for_each(|line| *line = "");
            let loaded = load_text(&text.join("\n"));
            assert!(loaded.config.is_none(), "{wrong_line}");
            let first = format!("ringway.toml:{}:", index + 1);
            let report = loaded.report.to_text(false);
            assert!(report.starts_with(&first), "{wrong_line}: {report}");
            assert!(report.contains(&format!("`{key}`")), "{wrong_line}: {report}");
        }
    }
}
