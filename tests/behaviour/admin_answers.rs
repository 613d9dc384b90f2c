//! What commands answer beyond the plain case: warnings, certificates, and where memory is short.

use crate::admin::{command, raw, scenario, status};
use crate::support::tls::Issuer;
use crate::support::{Backend, eventually};
use serde_json::{Value as Json, json};
use std::fs;
use std::process::Command;

const REFUSED: i32 = 5;

#[test]
fn warnings_of_a_reload_are_printed_and_refuse_a_strict_one() {
    let backend = Backend::echo_head();
    let scenario = scenario(&backend);
    let ringway = scenario.start();
    let text = scenario.text().replace("workers = 2", "workers = 3");
    ringway.replace_configuration(&text);
    for _ in 0..2 {
        let ended = command(&ringway, &["reload", "--strict"]);
        assert_eq!(ended.code, Some(REFUSED), "{}", ended.stderr);
        assert!(ended.stderr.contains("error: process.workers has changed"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("\n\n"), "{}", ended.stderr);
    }
    assert_eq!(status(&ringway)["epoch"], 1);
    // It is said for as long as it holds.
    for epoch in [2, 3] {
        let ended = command(&ringway, &["reload"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains(&format!("config generation {epoch}")), "{}", ended.stdout);
        assert!(ended.stderr.contains("warning: process.workers has changed"), "{}", ended.stderr);
        ringway.wait_for_line("warning: process.workers has changed");
    }
    let answer: Json = serde_json::from_str(&raw(&ringway, b"reload\n")).expect("it is JSON");
    assert!(answer["warnings"].as_str().expect("a text").contains("process.workers"), "{answer}");
    ringway.replace_configuration(&scenario.text());
    let ended = command(&ringway, &["reload", "--strict"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn status_tells_which_certificate_serves_and_that_its_files_are_broken() {
    let backend = Backend::echo_head();
    let issuer = Issuer::new("sites");
    let pair = issuer.server(&["a.example", "b.example"]);
    let ringway =
        scenario(&backend).certificate("site", &pair).authority("clients", &issuer.pem, None).start();
    let entry = &status(&ringway)["certificates"][0];
    let parts = ["name", "names", "listeners", "broken"].map(|key| entry[key].clone());
    assert_eq!(Json::from(&parts[..]), json!(["site", ["a.example", "b.example"], ["web"], null]));
    assert!(entry["not_after"].as_str().is_some_and(|date| date.ends_with('Z')), "{entry}");
    for file in ["site.crt", "clients.crt"] {
        fs::write(ringway.folder().join(file), "nonsense").expect("it can be written");
    }
    let broken = |of: &str| status(&ringway)[of][0]["broken"].clone();
    eventually("the broken files are known", || {
        !broken("certificates").is_null() && !broken("cas").is_null()
    });
    assert!(broken("certificates").to_string().contains("site.crt is not PEM"));
    let page = command(&ringway, &["status"]).stdout;
    assert!(page.contains("a.example b.example") && page.contains("its files are broken since"), "{page}");
    assert!(page.contains("CA clients: its files are broken since"), "{page}");
    fs::write(ringway.folder().join("site.crt"), &pair.certificate).expect("it can be written");
    eventually("they are whole again", || broken("certificates").is_null());
}

#[test]
fn commands_are_answered_where_memory_for_threads_is_short() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    // What the first command makes once is there.
    assert_eq!(command(&ringway, &["status"]).code, Some(0));
    let text = fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let size = text.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a line");
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().expect("a number");
    // Room for an answer, but not for the stack of a thread.
    let limit = format!("--as={}:", (kib + 1900) * 1024);
    let arguments = [format!("--pid={}", ringway.id()), limit];
    assert!(Command::new("prlimit").args(arguments).status().expect("`prlimit` runs").success());
    for verb in ["status", "reload", "status"] {
        let ended = command(&ringway, &[verb]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}
