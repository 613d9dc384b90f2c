//! Rules as those write them who come from elsewhere.

use super::*;

/// The report of a configuration with one rule of these lines.
fn report(lines: &str) -> String {
    let rule = format!("[[rule]]\nname = \"r\"\nlistener = \"web\"\npriority = 10\n{lines}\n");
    load_text(&format!("config_version = 1\n{LISTENER}{GROUP}{rule}")).report.to_text(false)
}

#[test]
fn values_of_others_are_answered_with_ours() {
    for (lines, said, fix) in [
        (
            "path = \"~^/a(.*)\"\nrewrite = { path = \"/b/$1\" }\ngroup = \"app\"",
            "warning: `path` has \"$1\", which is sent as it stands here",
            "help: write ${1}",
        ),
        (
            "path = \"/a\"\nredirect = { host = \"www.$host\" }",
            "warning: `host` has \"$host\"",
            "help: write ${host}",
        ),
        (
            "set_header = { name = \"x\", value = \"$remote_addr\" }\ngroup = \"app\"",
            "warning: `value` has \"$remote_addr\", which is sent as it stands here",
            "write { system = \"client_ip\" }",
        ),
        (
            "set_header = { name = \"x\", value = \"a ${host}\" }\ngroup = \"app\"",
            "warning: `value` has \"${host}\"",
            "values of headers have no variables",
        ),
        (
            "set_header = { name = \"x\", value = \"%[src]\" }\ngroup = \"app\"",
            "warning: `value` has \"%[src]\"",
            "values of headers have no variables",
        ),
        (
            "set_header = [{ name = \"x\", value = \"1\" }]\ngroup = \"app\"",
            "error: `set_header` is about one header",
            "write actions = [{ set_header = { … } }",
        ),
        (
            "group = [\"app\", \"app\"]",
            "error: `group` names one group",
            "write forward = [{ group = \"app\"",
        ),
        (
            "max_connections = 5\ngroup = \"app\"",
            "error: unknown key `max_connections`",
            "[[server_group.backend]]",
        ),
        ("redirect = { url = \"https://x/\" }", "error: unknown key `url` in `redirect`", "valid keys: code"),
    ] {
        let report = report(lines);
        assert!(report.contains(said) && report.contains(fix), "{lines}: {report}");
        assert_eq!(report.matches("error: ").count(), usize::from(said.starts_with("error")), "{report}");
    }
}

#[test]
fn text_that_only_looks_like_a_variable_is_sent_in_silence() {
    for lines in [
        "set_header = { name = \"x\", value = \"$5 or 100%\" }\ngroup = \"app\"",
        "path = \"~^/a(.*)\"\nrewrite = { path = \"/b/${1}$\" }\ngroup = \"app\"",
    ] {
        assert_eq!(report(lines), "", "{lines}");
    }
}

#[test]
fn all_mistakes_of_one_action_are_told() {
    let forward =
        "{ groups = [{ group = \"a p\", weight = 800 }, { group = \"app\" }], sticky = { timeout = 3600 } }";
    let report = report(&format!("path = \"/a\"\nforward = {forward}"));
    for said in [
        "`group` is not a valid name",
        "`weight` is out of range",
        "`weight` is missing",
        "`timeout` needs a unit",
    ] {
        assert!(report.contains(said), "no {said} in {report}");
    }
}

#[test]
fn lists_of_names_tell_where_addresses_go() {
    for list in ["allow = [\"192.0.2.0/24\"]\n", "deny = [\"2001:db8::1\"]\n"] {
        let report = report_with("", list, "");
        assert!(report.contains("takes names, not addresses"), "{report}");
        assert!(report.contains("list the address in the entries of an [[ip_group]]"), "{report}");
    }
    let report = report_with("", "allow = [\"192.0.2.7\"]\n", "");
    assert!(report.contains("list the address in the entries of an [[ip_group]]"), "{report}");
}

#[test]
fn what_says_nothing_or_is_no_host_is_refused() {
    for (lines, said) in [
        ("conditions = [{}]\ngroup = \"app\"", "error: `conditions` has an empty table"),
        ("path = \"/a\"\nactions = [{}]", "error: `actions` has an empty table"),
        ("host = \"a@b\"\ngroup = \"app\"", "error: `host` \"a@b\" has characters that no host has"),
        ("path = \"/a\"\ngroup = \"app\"\nrewrite = { host = \"a:99999\" }", "error: `host` is no host"),
    ] {
        let text = report(lines);
        assert!(text.contains(said), "{text}");
    }
    for lines in [
        "path = \"/a\"\ngroup = \"app\"\nrewrite = { host = \"inner.example:8080\" }",
        "path = \"/a\"\nredirect = { host = \"www.${host}\" }",
    ] {
        assert!(!report(lines).contains("error"), "{}", report(lines));
    }
}
