//! Every message as people see it, by table; and what holds for all keys together.

mod complete_example;
mod effective;
mod limits;
mod listener;
mod process;
mod response_headers;
mod rule;
mod schema;
mod server_group;
mod tls;
mod udp;

use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;

use super::*;
use crate::policy::balance::Algorithm;
use crate::policy::balance::WhenAllDown;
use crate::policy::balance::hash_key::HashKey;
use crate::policy::balance::sticky::CookieAttributes;
use crate::policy::balance::sticky::StickyMode;

const COMPLETE_EXAMPLE: &str = include_str!("../../../config/ringway.toml");
const REFERENCE: &str = include_str!("../../../docs/configuration.md");

const GROUP: &str =
    "[[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9001\"\n";
const LISTENER: &str =
    "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\ndefault_group = \"app\"\n";
const CA: &str = "[[ca]]\nname = \"clients\"\nbundle = \"tls/clients-ca.crt\"\n";
const SITE: &str = "[[certificate]]\nname = \"site\"\nchain = \"a.crt\"\nkey = \"a.key\"\n";

/// What is said of a rule that forwards every path, with these lines besides.
pub(in crate::config) fn report_of_rule(lines: &str) -> String {
    let rule = "[[rule]]\nname = \"r\"\nlistener = \"web\"\npriority = 1\npath = \"/\"\ngroup = \"app\"";
    load_text(&format!("config_version = 1\n{LISTENER}{GROUP}{rule}\n{lines}\n")).report.to_text(false)
}

fn load_text(text: &str) -> Loaded {
    load(vec![Source::made_up("ringway.toml", text.to_owned())])
}

/// The report of a configuration that is right but for the piece under test.
fn report_with(before: &str, listener: &str, group: &str) -> String {
    let text = format!("config_version = 1\n{before}{LISTENER}{listener}{GROUP}{group}");
    load_text(&text).report.to_text(false)
}

/// The server group of a configuration in which these lines stand before its backend.
fn group_with(lines: &str) -> ServerGroup {
    let group = GROUP.replace("[[server_group.backend]]", &format!("{lines}\n[[server_group.backend]]"));
    let loaded = load_text(&format!("config_version = 1\n{LISTENER}{group}"));
    let groups = loaded.config.map(|config| config.server_groups);
    assert!(groups.is_some(), "{lines}: {}", loaded.report.to_text(false));
    groups.into_iter().flatten().next().expect("there is a group")
}

/// Each case with the report it gives.
fn cases<'c>(lines: &[&'c str], report: impl Fn(&'c str) -> String) -> String {
    lines
        .iter()
        .map(|line| format!("──── {}\n{}", line.trim_end().replace('\n', " ⏎ "), report(line)))
        .collect()
}

fn process_without_places(process: &mut Process) {
    let nowhere = Location::default();
    process.ticket_seed_file.iter_mut().for_each(|file| file.location = nowhere);
    process.state_folder.location = nowhere;
    process.user.iter_mut().chain(&mut process.group).for_each(|(_, location)| *location = nowhere);
}

/// The places differ between a file and what is printed of it; nothing else may.
fn admin_without_places(admin: &mut crate::config::Admin) {
    let nowhere = Location::default();
    admin.socket.iter_mut().for_each(|file| file.location = nowhere);
    admin.address.iter_mut().for_each(|(_, location)| *location = nowhere);
    let of_admin = admin.tokens_file.iter_mut().chain(&mut admin.audit);
    of_admin.for_each(|file| file.location = nowhere);
    if let Some(elb) = &mut admin.elb_api {
        elb.keys_file.location = nowhere;
        elb.state.location = nowhere;
        elb.location = nowhere;
    }
    if let Some(tls) = &mut admin.tls {
        tls.certificate.1 = nowhere;
        tls.client_ca.iter_mut().for_each(|(_, location)| *location = nowhere);
    }
}

fn without_places(mut config: Config) -> Config {
    let nowhere = Location::default();
    for authority in &mut config.authorities {
        authority.location = nowhere;
        authority.bundle.location = nowhere;
        authority.crl.iter_mut().for_each(|file| file.location = nowhere);
    }
    for auth in config.rules.iter_mut().filter_map(|rule| rule.actions.gates.basic_auth.as_mut()) {
        auth.file.location = nowhere;
    }
    process_without_places(&mut config.process);
    if let Some(collector) = &mut config.tracing.collector {
        let files = collector.ca_file.iter_mut().chain(&mut collector.headers_file);
        files.for_each(|file| file.location = nowhere);
    }
    admin_without_places(&mut config.admin);
    for certificate in &mut config.certificates {
        certificate.location = nowhere;
        certificate.names.iter_mut().for_each(|(_, location)| *location = nowhere);
        let files = [&mut certificate.chain, &mut certificate.key].into_iter().chain(&mut certificate.ocsp);
        files.for_each(|file| file.location = nowhere);
    }
    for group in &mut config.ip_groups {
        group.location = nowhere;
        group.file.iter_mut().for_each(|file| file.location = nowhere);
    }
    for listener in &mut config.listeners {
        listener.location = nowhere;
        listener.access.location = nowhere;
        if let Some(tls) = &mut listener.tls {
            tls.location = nowhere;
            tls.policy.location = nowhere;
        }
        listener.addresses.iter_mut().for_each(|address| address.location = nowhere);
    }
    for group in &mut config.server_groups {
        group.location = nowhere;
        group.keeps_client_address.iter_mut().for_each(|location| *location = nowhere);
        group.backends.iter_mut().for_each(|backend| backend.location = nowhere);
    }
    let of_groups = config.server_groups.iter_mut().filter_map(|group| group.maintenance.as_mut());
    let of_rules = config.rules.iter_mut().filter_map(|rule| rule.maintenance.as_mut());
    for (page, _) in of_groups.chain(of_rules).filter_map(|maintenance| maintenance.page.as_mut()) {
        page.location = nowhere;
    }
    for rule in &mut config.rules {
        rule.location = nowhere;
        rule.group_sticky.iter_mut().for_each(|sticky| sticky.location = nowhere);
        if let crate::config::FinalAction::Respond(response) = &mut rule.actions.last {
            response.file.iter_mut().for_each(|file| file.location = nowhere);
        }
    }
    for page in &mut config.error_pages {
        (page.location, page.file.location) = (nowhere, nowhere);
    }
    config.response_rules.iter_mut().for_each(|rule| rule.location = nowhere);
    config.access_logs.iter_mut().for_each(|log| log.location = nowhere);
    config
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
        "config_version = 1\n[process]\npin = on\n",
        "config_version = 1\n[process]\npin = False\n",
        "config_version = 1\n[process]\ninstance_id = “edge”\n",
        "config_version = 1\n[process]\npin: true\n",
        "config_version = 1\n[process]\npin = true;\n",
        "config_version = 1\n[[listener]]\naddress: 127.0.0.1:8080\n",
        "config_version = 1\n[process]\nworkers: 4\n",
        "config_version = 1\n[process]\ninstance_id = edge;\n",
        "config_version = 1\nlisten 80;\n",
        "config_version = 1\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"\n[[server_group]]\nname = \"a\"\n",
        "config_version = 1\n[[rule]]\nname = \"a\"\n[process]\nuser = \"ringway\"\n",
        "config_version = 1\nlisten = 80\nworkers = 2\n[[upstream]]\n[process]\nidle_timeout = \"5s\"\n",
    ];
    assert_snapshot("bad_toml", cases(&texts, |text| load_text(text).report.to_text(false)));
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
    loaded.report.warning(Location::default(), "a warning", "a fix");
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
    let log = config.access_logs.first().expect("there is an access log");
    assert_eq!(log.destination, LogDestination::File(PathBuf::from("/srv/conf/logs/a.log")));
    assert_eq!(
        config.server_groups[0].backends[0].address,
        BackendAddress::Unix(PathBuf::from("/srv/conf/app.sock"))
    );
}

/// A text cut anywhere, or with a byte replaced, gives a report and never a panic.
#[test]
fn no_text_makes_it_panic() {
    // Without its comments, which make most of it and are nothing to the checks.
    let keys: Vec<_> = COMPLETE_EXAMPLE.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let example = keys.join("\n");
    for cut in 0..example.len() {
        if let Some(text) = example.get(..cut) {
            load_text(text).report.to_text(false);
        }
        let mut bytes = example.as_bytes().to_vec();
        bytes[cut] = b"\"[]={}\n\r\t\x00.,1\\"[cut % 14];
        load_text(&String::from_utf8_lossy(&bytes)).report.to_text(false);
    }
}
