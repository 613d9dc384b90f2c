//! Backends at names: resolved at the start, followed while serving, kept when the resolver fails.

use crate::admin::status;
use crate::support::{Backend, Client, Dns, Peer, Reply, Ringway, Scenario, eventually, log_entries};
use std::net::SocketAddr;

const NAME: &str = "app.test";

/// A backend that says who it is.
fn named(address: &str, name: &'static str) -> Backend {
    let script = move |peer: &mut Peer| {
        while peer.read_request()?.is_some() {
            peer.respond("200 OK", name.as_bytes())?;
        }
        Ok(())
    };
    Backend::script_on(address, script)
}

/// Two backends with the same port, at 127.0.0.1 and 127.0.0.2.
struct Site {
    dns: Dns,
    _first: Backend,
    second: Backend,
}

impl Site {
    fn new() -> Site {
        let first = named("127.0.0.1:0", "first");
        let second = named(&format!("127.0.0.2:{}", first.address().port()), "second");
        Site { dns: Dns::start(), _first: first, second }
    }

    fn scenario(&self) -> Scenario {
        let backend = format!("{NAME}:{}", self.second.address().port());
        Scenario::new().process(&self.dns.setting()).backend_at(&backend, 100)
    }
}

fn ask(address: SocketAddr) -> String {
    let response = Client::connect(address).get("/");
    assert_eq!(response.status, 200);
    response.text()
}

/// Puts another text in the place of one in the configuration, and asks for it.
fn reload_with(ringway: &Ringway, old: &str, new: &str) {
    let path = ringway.folder().join("ringway.toml");
    let text = std::fs::read_to_string(&path).expect("it can be read");
    assert!(text.contains(old), "{text}");
    std::fs::write(path, text.replacen(old, new, 1)).expect("it can be written");
    ringway.signal("HUP");
}

#[test]
fn traffic_follows_a_name_without_a_failed_request() {
    let site = Site::new();
    site.dns.set_addresses(NAME, &["127.0.0.1"]);
    let ringway = site.scenario().workers(2).start();
    assert_eq!(ask(ringway.address()), "first");
    site.dns.set_addresses(NAME, &["127.0.0.2"]);
    eventually("the second answers", || ask(ringway.address()) == "second");
    ringway.wait_for_line("names: \"app.test\" now has the address 127.0.0.2");
    let asked = |_| ask(ringway.address());
    assert!((0..20).map(asked).all(|answer| answer == "second"));

    // The second of them twice, and an address of nobody, which is what 0.0.0.0 is.
    site.dns.set_addresses(NAME, &["127.0.0.2", "0.0.0.0", "127.0.0.1", "127.0.0.2"]);
    eventually("the first answers too", || ask(ringway.address()) == "first");
    ringway.wait_for_line("names: \"app.test\" now has 2 addresses: 127.0.0.1, 127.0.0.2");
}

#[test]
fn the_same_answer_is_no_change() {
    let site = Site::new();
    site.dns.set_addresses(NAME, &["127.0.0.1", "127.0.0.2"]);
    let ringway = site.scenario().start();
    let asked = site.dns.questions();
    site.dns.set_addresses(NAME, &["127.0.0.2", "127.0.0.1"]);
    eventually("the name is looked up thrice more", || site.dns.questions() >= asked + 6);
    assert!(!ringway.stderr().contains("names:"), "{}", ringway.stderr());
}

#[test]
fn a_silent_resolver_leaves_the_last_addresses_in_use() {
    let site = Site::new();
    site.dns.set_addresses(NAME, &["127.0.0.2"]);
    let ringway = site.scenario().start();
    site.dns.set_reply(NAME, Reply::Silence);
    let warning = "warning: cannot resolve host name \"app.test\" any more: the resolver does not answer; its last \
                   addresses stay in use";
    ringway.wait_for_line(warning);
    assert_eq!(ask(ringway.address()), "second");
}

#[test]
fn a_name_that_is_gone_stays_until_it_comes_back_elsewhere() {
    let site = Site::new();
    site.dns.set_addresses(NAME, &["127.0.0.2"]);
    let ringway = site.scenario().start();
    site.dns.set_reply(NAME, Reply::NoSuchHost);
    ringway.wait_for_line("cannot resolve host name \"app.test\" any more: no such host");
    assert_eq!(ask(ringway.address()), "second");
    site.dns.set_addresses(NAME, &["127.0.0.1"]);
    ringway.wait_for_line("names: \"app.test\" resolves again");
    ringway.wait_for_line("names: \"app.test\" now has the address 127.0.0.1");
    assert_eq!(ask(ringway.address()), "first");
}

#[test]
fn a_start_goes_on_without_a_name_that_does_not_resolve() {
    for (reply, reason) in [
        (Reply::NoSuchHost, "no such host"),
        (Reply::Addresses(Vec::new(), 1), "it has no address"),
        (Reply::Refusal, "the resolver refuses to answer"),
        (Reply::Silence, "the resolver does not answer"),
    ] {
        let site = Site::new();
        site.dns.set_reply(NAME, reply);
        let ringway = site.scenario().logged("json").table("[admin]\nsocket = \"admin.sock\"").start();
        let line = ringway.wait_for_line("cannot resolve");
        assert!(line.contains("ringway.toml:"), "{line}");
        assert!(
            line.ends_with(&format!("warning: cannot resolve host name \"app.test\": {reason}")),
            "{line}"
        );
        let mut client = Client::connect(ringway.address());
        let response = client.get("/");
        assert_eq!((response.status, response.field("x-router-code")), (503, Some("40000")));
        let name = format!("{NAME}:{}", site.second.address().port());
        let group = &status(&ringway)["groups"][0];
        assert_eq!((&group["availability"], &group["unresolved"][0]), (&"nobody".into(), &name.into()));

        // Whoever is there later is taken.
        site.dns.set_addresses(NAME, &["127.0.0.2"]);
        eventually("it resolves", || client.get("/").status == 200);
        ringway.wait_for_line("names: \"app.test\" now has the address 127.0.0.2");
        assert_eq!(status(&ringway)["groups"][0]["unresolved"], serde_json::json!([]));
        assert_eq!(log_entries(&ringway, 2)[0]["reason"], "no_backend");
    }
}

#[test]
fn a_check_looks_names_up_when_it_is_told_to() {
    let dns = Dns::start();
    dns.set_reply("nowhere.test", Reply::NoSuchHost);
    dns.set_addresses(NAME, &["127.0.0.1"]);
    for (name, code) in [("nowhere.test", 3), (NAME, 0)] {
        let scenario = Scenario::new().process(&dns.setting()).backend_at(&format!("{name}:80"), 100);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("a.toml"), scenario.text()).expect("it can be written");
        let check = |arguments: &[&str]| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringway"));
            command.args(arguments).current_dir(folder.path()).output().expect("it runs")
        };
        assert_eq!(check(&["check", "-c", "a.toml"]).status.code(), Some(0));
        let output = check(&["check", "--resolve", "-c", "a.toml"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let words = "error: cannot resolve host name \"nowhere.test\": no such host";
        assert_eq!(said.contains(words), code == 3, "{said}");
    }
}

#[test]
fn a_reload_keeps_what_it_knows_and_refuses_what_it_does_not() {
    let site = Site::new();
    site.dns.set_addresses(NAME, &["127.0.0.2"]);
    let ringway = site.scenario().start();
    let backend = format!("{NAME}:{}", site.second.address().port());

    site.dns.set_reply("new.test", Reply::NoSuchHost);
    reload_with(&ringway, &backend, &backend.replace(NAME, "new.test"));
    ringway.wait_for_line("error: cannot resolve host name \"new.test\": no such host");
    ringway.wait_for_line("the reload is refused");
    // What is in service is watched as before.
    site.dns.set_addresses(NAME, &["127.0.0.1"]);
    eventually("the first answers", || ask(ringway.address()) == "first");

    site.dns.set_reply("new.test", Reply::Addresses(vec![[127, 0, 0, 2].into()], 600));
    reload_with(&ringway, "weight = 100", "weight = 99");
    ringway.wait_for_line("reloaded: ");
    eventually("the second answers under its new name", || ask(ringway.address()) == "second");

    site.dns.set_reply("new.test", Reply::NoSuchHost);
    reload_with(&ringway, "weight = 99", "weight = 98");
    ringway.wait_for_line("warning: cannot resolve host name \"new.test\" now: no such host");
    assert_eq!(ask(ringway.address()), "second");
}

#[test]
fn the_second_resolver_is_asked_only_when_the_first_knows_nothing() {
    let (first, second, backend) = (Dns::start(), Dns::start(), named("127.0.0.1:0", "it"));
    second.set_addresses(NAME, &["127.0.0.1"]);
    let resolvers = format!("resolvers = [\"{}\", \"{}\"]", first.address(), second.address());
    let address = format!("{NAME}:{}", backend.address().port());
    let scenario = Scenario::new().process(&resolvers).backend_at(&address, 100);
    for reply in [Reply::Silence, Reply::Refusal] {
        first.set_reply(NAME, reply);
        assert_eq!(ask(scenario.start().address()), "it");
    }
    first.set_reply(NAME, Reply::NoSuchHost);
    scenario.start().wait_for_line("cannot resolve host name \"app.test\": no such host");
    let questions = second.questions();
    first.set_addresses(NAME, &["127.0.0.1"]);
    assert_eq!(ask(scenario.start().address()), "it");
    assert_eq!(second.questions(), questions);
}

#[test]
fn names_of_the_hosts_file_are_asked_of_nobody() {
    let dns = Dns::start();
    let backend = named("127.0.0.1:0", "local");
    let address = format!("LOCALHOST:{}", backend.address().port());
    let ringway = Scenario::new()
        .process(&dns.setting())
        .table("[admin]\nsocket = \"admin.sock\"")
        .backend_at(&address, 100)
        .start();
    assert_eq!(ask(ringway.address()), "local");
    assert_eq!(dns.questions(), 0);
    // Whoever knows the configuration finds the backend by what that says.
    let told = &status(&ringway)["groups"][0]["backends"][0];
    assert_eq!((&told["address"], &told["name"]), (&backend.address().to_string().into(), &address.into()));
}

#[test]
fn without_names_there_is_no_thread_for_them() {
    let threads = |ringway: &Ringway| -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", ringway.id())).expect("a process has tasks");
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).collect()
    };
    let has_thread = |ringway: &Ringway| threads(ringway).iter().any(|name| name == "ringway-names");
    let site = Site::new();
    assert!(!has_thread(&Scenario::of(&site.second).start()));

    site.dns.set_addresses(NAME, &["127.0.0.2"]);
    let ringway = site.scenario().start();
    assert!(has_thread(&ringway));
    reload_with(&ringway, NAME, "127.0.0.2");
    eventually("the thread ends", || !has_thread(&ringway));
    assert_eq!(ask(ringway.address()), "second");
}
