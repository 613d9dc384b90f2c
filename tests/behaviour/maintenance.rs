//! Rules and server groups that are not served for a while.

use crate::admin::{command, scenario, status};
use crate::support::{Ask, Backend, BackendVersion, Client, Content, Pair, Ringway, log_entries};
use serde_json::json;

fn rule(name: &str, priority: u32, lines: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\n{lines}\n")
}

fn other(address: std::net::SocketAddr, protocol: &str, lines: &str) -> String {
    format!(
        "[[server_group]]\nname = \"other\"\nprotocol = \"{protocol}\"\n{lines}\n[[server_group.backend]]\n\
         address = \"{address}\"\n"
    )
}

/// A page for the rule `page`, a status for the group `other`, and addresses that are served.
fn in_maintenance(pair: Pair, backend: &Backend) -> Ringway {
    let protocol = if pair.backend == BackendVersion::Http2 { "h2c" } else { "http" };
    let page = "enabled = true, page = \"maintenance.html\", retry_after = \"1h\", allow = [\"office\", \"198.51.100.7\"]";
    pair.scenario(backend)
        .logged("json")
        .listener("trusted_proxies = [\"127.0.0.1\"]")
        .table("[[ip_group]]\nname = \"office\"\nentries = [\"192.0.2.0/24\"]")
        .file("maintenance.html", "<p>später")
        .file("users", "a:$2y$04$mXzjSSyc7DjxScYTf1bOgeDYdO0aF/uS2E0KbLg4s3gDlvP/gSk3a\n")
        .table(&other(
            backend.address(),
            protocol,
            "maintenance = { enabled = true, status = 502, allow = \"office\" }",
        ))
        .table(&rule("page", 10, &format!("path_prefix = \"/page\"\nmaintenance = {{ {page} }}\ngroup = \"app\"")))
        .table(&rule("plain", 20, "path = \"/plain\"\ngroup = \"other\""))
        .table(&rule(
            "locked",
            30,
            "path = \"/locked\"\nbasic_auth = { file = \"users\" }\nmaintenance = { enabled = true }\nrespond = { code = 200 }",
        ))
        .table(&rule("copied", 40, "path = \"/copied\"\nmirror = { group = \"other\" }\ngroup = \"app\""))
        .start()
}

fn served(pair: Pair) -> Backend {
    pair.backend(|exchange| {
        exchange.read_all()?;
        exchange.respond(200, b"served")
    })
}

#[test]
fn clients_get_the_page() {
    Pair::each(|pair| {
        let backend = served(pair);
        let ringway = in_maintenance(pair, &backend);
        let mut client = pair.connect(ringway.address());
        let answer = client.get("/page/a");
        assert_eq!((answer.status, answer.body.as_slice()), (503, "<p>später".as_bytes()));
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!((answer.field("retry-after"), answer.field("server")), (Some("3600"), Some("ringway")));
        let call = client.begin(Ask::get("/page/a").method("HEAD"));
        let answer = client.response(call);
        assert_eq!((answer.status, answer.body.len(), answer.field("content-length")), (503, 0, Some("10")));
        let answer = client.get("/plain");
        assert_eq!((answer.status, answer.field("retry-after")), (502, None));
        assert!(String::from_utf8_lossy(&answer.body).contains("<h1>502 Bad Gateway</h1>"));
        let entries = log_entries(&ringway, 3);
        let told: Vec<_> = entries
            .iter()
            .map(|entry| ["status", "reason", "rule", "server_group"].map(|name| entry[name].clone()))
            .collect();
        assert_eq!(told[0], [json!(503), json!("maintenance"), json!("page"), json!("-")]);
        assert_eq!(told[2], [json!(502), json!("maintenance"), json!("plain"), json!("other")]);
        assert_eq!(backend.connections(), 0);
    });
}

#[test]
fn who_is_allowed_is_served() {
    Pair::each(|pair| {
        let backend = served(pair);
        let ringway = in_maintenance(pair, &backend);
        let mut client = pair.connect(ringway.address());
        for (path, source, expected) in [
            ("/page/a", "192.0.2.9", 200),
            ("/page/a", "198.51.100.7", 200),
            ("/page/a", "198.51.100.8", 503),
            ("/plain", "192.0.2.9", 200),
            ("/plain", "198.51.100.7", 502),
            // No password is asked for where there is nothing to see.
            ("/locked", "192.0.2.9", 503),
            ("/", "198.51.100.8", 200),
        ] {
            let call = client.begin(Ask::get(path).fields(&[("x-forwarded-for", source)]));
            assert_eq!(client.response(call).status, expected, "{path} {source}");
        }
    });
}

#[test]
fn callers_of_grpc_are_told_to_come_again_and_nothing_is_copied() {
    Pair::each(|pair| {
        let backend = served(pair);
        let ringway = in_maintenance(pair, &backend);
        let mut client = pair.connect(ringway.address());
        let fields = [("content-type", "application/grpc"), ("te", "trailers")];
        let call = client.begin(Ask::post("/plain", Content::Sized(5)).fields(&fields));
        client.write(call, b"\0\0\0\0\0").unwrap();
        client.end(call, &[]).unwrap();
        let answer = client.response(call);
        assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("14")));
        let mut client = pair.connect(ringway.address());
        for _ in 0..3 {
            assert_eq!(client.get("/copied").status, 200);
        }
        let entries = log_entries(&ringway, 4);
        assert_eq!((&entries[0]["grpc_status"], &entries[0]["reason"]), (&json!(14), &json!("maintenance")));
        // A copy would have a connection of its own.
        assert_eq!(backend.connections(), 1);
    });
}

fn get(ringway: &Ringway, path: &str) -> u16 {
    Client::connect(ringway.address()).get(path).status
}

/// What a command says, on which stream, with its exit code.
fn said(ringway: &Ringway, arguments: &[&str]) -> (i32, String) {
    let ended = command(ringway, arguments);
    (
        ended.code.expect("it ends by itself"),
        format!("{}{}", ended.stdout, ended.stderr).trim_end().to_owned(),
    )
}

fn switch(ringway: &Ringway, name: &str, state: &str) -> String {
    let (code, said) = said(ringway, &["maintenance", name, state]);
    assert_eq!(code, 0, "{said}");
    said
}

#[test]
fn a_command_switches_and_a_reload_does_not() {
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let fixed = rule("fixed", 10, "path = \"/fixed\"\nrespond = { code = 200 }");
    let scenario = scenario(&backend).table(&fixed);
    let ringway = scenario.start();
    // A connection that is kept notices it, too.
    let mut client = Client::connect(ringway.address());
    assert_eq!((client.get("/").status, get(&ringway, "/fixed")), (200, 200));
    assert_eq!(switch(&ringway, "app", "on"), "maintenance of server group \"app\" is on");
    assert_eq!(switch(&ringway, "app", "on"), "maintenance of server group \"app\" is on already");
    ringway.wait_for_line("maintenance of server group \"app\" is on, by command");
    assert_eq!((client.get("/").status, get(&ringway, "/fixed")), (503, 200));
    assert_eq!(switch(&ringway, "fixed", "on"), "maintenance of rule \"fixed\" is on");
    assert_eq!(get(&ringway, "/fixed"), 503);
    // Another configuration, which says nothing about it.
    ringway.reload(&scenario.text().replace("code = 200", "code = 201"));
    assert_eq!((get(&ringway, "/"), get(&ringway, "/fixed")), (503, 503));
    switch(&ringway, "fixed", "off");
    assert_eq!((get(&ringway, "/"), get(&ringway, "/fixed")), (503, 201));
    let (_, json) = said(&ringway, &["maintenance", "app", "off", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["maintenance"], &json["changed"]), (&json!(false), &json!(true)));
    assert_eq!(client.get("/").status, 200);
    assert_eq!(status(&ringway)["maintenance"], json!([]));
}

#[test]
fn status_tells_what_is_in_maintenance() {
    let backend = Backend::echo_head();
    let fixed =
        rule("fixed", 10, "path = \"/fixed\"\nmaintenance = { enabled = true }\nrespond = { code = 200 }");
    let ringway = scenario(&backend).table(&fixed).start();
    switch(&ringway, "app", "on");
    let told = status(&ringway)["maintenance"].clone();
    assert_eq!(told[0], json!({"kind": "rule", "name": "fixed", "since": null, "seconds": null}));
    assert_eq!((&told[1]["kind"], &told[1]["name"]), (&json!("server_group"), &json!("app")));
    assert!(told[1]["since"].is_string() && told[1]["seconds"].is_u64(), "{told}");
    let (_, page) = said(&ringway, &["status"]);
    assert!(
        page.contains("\nrule fixed is in maintenance\nserver group app is in maintenance for "),
        "{page}"
    );
}

#[test]
fn what_the_configuration_says_anew_counts() {
    let backend = Backend::echo_head();
    let fixed = rule("fixed", 10, "path = \"/fixed\"\nrespond = { code = 200 }");
    let scenario = scenario(&backend).table(&fixed);
    let ringway = scenario.start();
    assert_eq!(get(&ringway, "/fixed"), 200);
    let on =
        scenario.text().replace("respond =", "maintenance = { enabled = true, status = 500 }\nrespond =");
    ringway.reload(&on);
    assert_eq!(get(&ringway, "/fixed"), 500);
    switch(&ringway, "fixed", "off");
    ringway.reload(&on.replace("status = 500", "status = 502"));
    assert_eq!(get(&ringway, "/fixed"), 200);
    switch(&ringway, "fixed", "on");
    assert_eq!(get(&ringway, "/fixed"), 502);
    ringway.reload(&scenario.text());
    assert_eq!(get(&ringway, "/fixed"), 200);
}

#[test]
fn what_cannot_be_switched_is_named() {
    let backend = Backend::echo_head();
    let same = rule("app", 10, "path = \"/fixed\"\nrespond = { code = 200 }");
    let ringway = scenario(&backend).table(&same).start();
    for (arguments, expected) in [
        (&["aap", "on"][..], "named \"aap\"; rules: app; server groups: app"),
        (&["aap", "on", "--group"], "named \"aap\"; rules: none; server groups: app"),
        (
            &["app", "on"],
            "\"app\" is the name of a rule and of a server group: say which with --rule or --group",
        ),
    ] {
        let (code, said) = said(&ringway, &[&["maintenance"], arguments].concat());
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let (code, text) = said(&ringway, &["maintenance", "app", "on", "--rule"]);
    assert_eq!((code, text.as_str()), (0, "maintenance of rule \"app\" is on"));
    assert_eq!((get(&ringway, "/fixed"), get(&ringway, "/")), (503, 200));
    assert_eq!(said(&ringway, &["maintenance", "app", "perhaps"]).0, 2);
    let answer = crate::admin::raw(&ringway, b"maintenance {}\n");
    assert!(answer.contains("this does not say what to switch"), "{answer}");
}

#[test]
fn explain_tells_of_it() {
    let backend = Backend::echo_head();
    let forward = rule("api", 10, "path = \"/api\"\ngroup = \"app\"");
    let ringway = scenario(&backend).table(&forward).start();
    let url = format!("http://a.example:{}/api", ringway.address().port());
    let explained = |arguments: &[&str]| {
        let (_, json) = said(&ringway, &[&["explain", "--json", "GET", &url], arguments].concat());
        serde_json::from_str::<serde_json::Value>(&json).unwrap()
    };
    assert_eq!(explained(&[])["action"], "forward");
    for (name, why) in
        [("app", "the server group \"app\" is in maintenance"), ("api", "the rule is in maintenance")]
    {
        switch(&ringway, name, "on");
        let told = explained(&[]);
        assert_eq!((&told["action"], &told["status"]), (&json!("refuse"), &json!(503)));
        assert_eq!((&told["reason"], &told["why"]), (&json!("maintenance"), &json!(why)));
    }
}
