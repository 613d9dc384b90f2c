//! A process that root starts becomes the user that the configuration names; and files that only root can read.

use crate::support::tls::{Issuer, ask, client_config};
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::Arc;

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// An address of loopback that no other test has, with a port that only the privileged may bind.
fn privileged_address(last: u8) -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("\"127.{high}.{low}.{last}:81\"")
}

/// A field of each thread of a process.
pub(crate) fn of_threads(process: u32, field: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let statuses =
        threads.map(|thread| fs::read_to_string(thread.expect("it is there").path().join("status")));
    let value = |status: String| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{field}:")).map(str::trim).map(str::to_owned));
        line.expect("the field is there")
    };
    statuses.map(|status| value(status.expect("it can be read"))).collect()
}

pub(crate) fn let_everybody_read(ringway: &Ringway) {
    let folder = ringway.folder();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("it can be changed");
    for entry in fs::read_dir(folder).expect("it can be read") {
        let path = entry.expect("it is there").path();
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("it can be changed");
    }
}

#[test]
fn every_thread_becomes_the_user_and_may_still_bind_low_ports() {
    if !is_root() {
        return;
    }
    let backend = Backend::echo_head();
    let issuer = Issuer::new("sites");
    let config = Arc::new(client_config(&[&issuer.pem]));
    let is_served =
        |address| ask(address, &config, "site.example").is_ok_and(|(response, _)| response.status == 200);
    let scenario = Scenario::of(&backend).workers(2).process("user = \"nobody\"");
    let scenario = scenario.certificate("site", &issuer.server(&["site.example"]));
    let mut ringway = scenario.clone().address(&privileged_address(1)).start();
    ringway.wait_for_line("started as root, running as nobody");
    assert!(is_served(ringway.address()));
    let wanted = Command::new("id").args(["-u", "nobody"]).output().expect("id runs").stdout;
    let wanted = String::from_utf8(wanted).expect("it is a number");
    for id in of_threads(ringway.id(), "Uid") {
        assert!(id.split_whitespace().all(|id| id == wanted.trim()), "{id}");
    }
    // Threads that began before have nothing left, the others CAP_NET_BIND_SERVICE.
    for capabilities in of_threads(ringway.id(), "CapPrm") {
        assert!(["0000000000000000", "0000000000000400"].contains(&capabilities.as_str()), "{capabilities}");
    }
    assert!(of_threads(ringway.id(), "CapBnd").iter().all(|bound| bound == "0000000000000400"));
    assert!(of_threads(ringway.id(), "NoNewPrivs").iter().all(|forbidden| forbidden == "1"));

    // The key is root's: that it cannot be read again was told, and is so.
    ringway.wait_for_line("warning: nobody may not read");
    ringway.signal("HUP");
    ringway.wait_for_line("error: the reload is refused; what was in service still is");
    assert!(is_served(ringway.address()));

    let other = scenario.address(&privileged_address(2)).text();
    ringway.replace_configuration(&other);
    let_everybody_read(&ringway);
    ringway.signal("HUP");
    ringway.wait_for_line("reloaded: config generation 2,");
    let second = privileged_address(2).trim_matches('"').parse().expect("it is an address");
    assert!(is_served(second));
    assert!(ringway.terminate().success());
}

#[test]
fn what_is_made_belongs_to_the_user() {
    if !is_root() {
        return;
    }
    let backend = Backend::echo_head();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let place = |name: &str| folder.path().join(name);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it can be changed");
    let tables = format!(
        "[admin]\nsocket = \"{0}/admin.sock\"\n[access_log]\npath = \"{0}/access.log\"",
        folder.path().display()
    );
    let process = format!("user = \"nobody\"\nstate_folder = \"{}\"", place("state").display());
    let ringway = Scenario::of(&backend).process(&process).table(&tables).start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    for (name, mode) in [("admin.sock", 0o600), ("access.log", 0o644), ("state", 0o700)] {
        let found = fs::metadata(place(name)).expect("it is there");
        assert_ne!(found.uid(), 0, "{name}");
        assert_eq!(found.permissions().mode() & 0o777, mode, "{name}");
    }
}

#[test]
fn a_user_that_is_not_there_is_an_error() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).process("user = \"no-such-user\"");
    let mut ringway = Ringway::spawn(&scenario.text());
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(3));
    ringway.wait_for_line("error: this host has no user no-such-user");
    ringway.wait_for_line("help: make it: useradd --system");
}

#[test]
fn check_looks_with_the_permissions_of_the_user() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("ringway.toml");
    let pair = Issuer::new("sites").server(&["site.example"]);
    fs::write(folder.path().join("site.crt"), &pair.certificate).expect("it can be written");
    fs::write(folder.path().join("site.key"), &pair.key).expect("it can be written");
    let key = Permissions::from_mode(0o600);
    fs::set_permissions(folder.path().join("site.key"), key).expect("it can be changed");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it can be changed");
    let text = "config_version = 1\n[process]\nuser = \"nobody\"\n[access_log]\npath = \"access.log\"\n\
        [[certificate]]\nname = \"site\"\nchain = \"site.crt\"\nkey = \"site.key\"\n\
        [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:443\"\nprotocol = \"https\"\ncertificates = [\"site\"]\n";
    fs::write(&file, text).expect("it can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["check", "-c"])
        .arg(&file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("error: the user nobody may not make the access log"), "{said}");
    assert!(said.contains("site.key: no reload, and no renewal, can read it again"), "{said}");
    assert!(!said.contains("site.crt: no reload"), "{said}");
}

#[test]
fn credentials_of_the_service_manager_are_files_of_keys() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let issuer = Issuer::new("sites");
    let put =
        |name: &str, content: &str| fs::write(folder.path().join(name), content).expect("it can be written");
    let pair = issuer.server(&["site.example"]);
    put("site.crt", &pair.certificate);
    put("site.key", &pair.key);
    let backend = Backend::echo_head();
    let text = Scenario::of(&backend).certificate("site", &pair).text();
    let text = text.replace("\"site.crt\"", "\"credential:site.crt\"");
    let text = text.replace("\"site.key\"", "\"credential:site.key\"");
    let variable = ("CREDENTIALS_DIRECTORY", folder.path().display().to_string());
    let ringway = Ringway::start_with_environment(&text, &[variable]);
    let config = Arc::new(client_config(&[&issuer.pem]));
    assert_eq!(ask(ringway.address(), &config, "site.example").expect("it is trusted").0.status, 200);

    // systemd 257 and newer renews them at a reload.
    let other = Issuer::new("others");
    let pair = other.server(&["site.example"]);
    put("site.key", &pair.key);
    put("site.crt", &pair.certificate);
    ringway.wait_for_line("certificate \"site\": in service");
    let config = Arc::new(client_config(&[&other.pem]));
    assert_eq!(ask(ringway.address(), &config, "site.example").expect("it is trusted").0.status, 200);
}
