//! `ringway doctor` on this host: what is in the way of a configuration, and how bad it is.

use crate::support::tls::Issuer;
use crate::support::{Backend, Scenario};
use serde_json::Value;
use std::net::TcpListener;
use std::process::{Command, Output};

fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg("doctor").args(arguments).output().expect("the binary runs")
}

/// The findings of one check, as `severity: message`.
fn findings(output: &Output, check: &str) -> Vec<String> {
    let document: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let list = document["findings"].as_array().expect("there is a list");
    let of_check = list.iter().filter(|found| found["check"] == check);
    let text = |found: &Value, key: &str| found[key].as_str().expect("it is text").to_owned();
    let told = of_check.map(|found| {
        assert!(!text(found, "cure").is_empty(), "{found}");
        format!("{}: {}", text(found, "severity"), text(found, "message"))
    });
    told.collect()
}

/// What doctor finds of a configuration.
fn findings_of(configuration: &str) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("ringway.toml");
    std::fs::write(&file, configuration).expect("it can be written");
    doctor(&["--json", "--config", &file.display().to_string()])
}

/// The number of the line that has this.
fn line_of(text: &str, words: &str) -> usize {
    text.lines().position(|line| line.contains(words)).expect("it stands there") + 1
}

#[test]
fn what_keeps_a_configuration_from_serving_is_found() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has one");
    let backend = Backend::echo_head();
    // Nothing listens there any more.
    let away = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a port is free");
    let scenario = Scenario::of(&backend).backend(away).address(&format!("\"{address}\""));
    let output = findings_of(&scenario.text());
    assert_eq!(output.status.code(), Some(4));
    let port = findings(&output, "port").join("\n");
    assert!(port.starts_with("error: ") || port.starts_with("note: "), "{port}");
    assert!(port.contains(&format!("listens at {address}, which web wants")), "{port}");
    let line = line_of(&scenario.text(), &address.to_string());
    assert!(port.contains(&format!("ringway.toml:{line}: ")), "{port}");
    let backends = findings(&output, "backend");
    assert_eq!(backends.len(), 1, "{backends:?}");
    assert!(
        backends[0].starts_with("warning: ")
            && backends[0].contains(&format!(
                "ringway.toml:{}: {away} of group app cannot be reached: ",
                line_of(&scenario.text(), &away.to_string())
            )),
        "{backends:?}"
    );
}

#[test]
fn what_is_good_is_not_found() {
    let backend = Backend::echo_head();
    let output = findings_of(&Scenario::of(&backend).text());
    for check in ["port", "backend", "certificate_names", "configuration"] {
        assert_eq!(findings(&output, check), Vec::<String>::new());
    }
    // The host may have something to tell.
    assert!(matches!(output.status.code(), Some(0 | 1 | 4)), "{output:?}");
}

#[test]
fn a_group_that_nothing_serves_and_a_name_that_is_none_are_found() {
    let text = "config_version = 1\n[process]\nresolvers = [\"127.0.0.1:1\"]\n\
        [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\ndefault_group = \"app\"\n\
        [[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"nowhere.invalid:80\"\n";
    let output = findings_of(text);
    assert_eq!(output.status.code(), Some(4));
    let backends = findings(&output, "backend");
    let expected = "ringway.toml:11: no backend of group app can be reached; nowhere.invalid:80: its name cannot be resolved: ";
    assert!(
        backends.len() == 1 && backends[0].starts_with("error: ") && backends[0].contains(expected),
        "{backends:?}"
    );
}

#[test]
fn a_rule_for_a_host_without_a_certificate_is_found() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let pair = Issuer::new("sites").server(&["site.example"]);
    let backend = Backend::echo_head();
    let rule = "[[rule]]\nname = \"shop\"\nlistener = \"web\"\npriority = 1\ngroup = \"app\"\n\
        host = [\"site.example\", \"shop.example\", \"*.example\"]\n";
    let text = Scenario::of(&backend).certificate("site", &pair).table(rule).text();
    for (name, content) in [("site.crt", &pair.certificate), ("site.key", &pair.key), ("ringway.toml", &text)]
    {
        std::fs::write(folder.path().join(name), content).expect("it can be written");
    }
    let output = doctor(&["--json", "-c", &folder.path().display().to_string()]);
    let place = format!("ringway.toml:{}: ", line_of(&text, "name = \"shop\""));
    let expected =
        "rule shop is for shop.example, and listener web has no certificate for it: browsers refuse to go on";
    let found = findings(&output, "certificate_names");
    assert!(
        found.len() == 1
            && found[0].starts_with("warning: ")
            && found[0].ends_with(&format!("{place}{expected}")),
        "{found:?}"
    );
}

#[test]
fn a_configuration_that_is_invalid_is_told_with_its_own_exit_code() {
    let output = findings_of("config_version = 1\nnonsense = 1\n");
    assert_eq!(output.status.code(), Some(3));
    assert!(findings(&output, "configuration").iter().any(|found| found.contains("nonsense")));
}

#[test]
fn a_host_is_looked_at_without_a_configuration() {
    let output = doctor(&[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 1 | 4)), "{output:?}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("error") || last == "nothing was found that is in the way", "{said}");
}
