//! Several access logs at once: each has its own path, form, listeners and choice of requests.

use crate::admin::command;
use crate::support::{Backend, Client, Ringway, Scenario, eventually};

/// What the log of this name has, once it has so many lines.
fn lines(ringway: &Ringway, name: &str, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(ringway.folder().join(name)).unwrap_or_default();
    eventually(&format!("{name} has {count} lines"), || read().lines().count() >= count);
    read().lines().map(str::to_owned).collect()
}

/// Answers with the status that the path names.
fn backend() -> Backend {
    Backend::per_request(|peer, head, _| {
        let code = head.start_line.split('/').nth(1).and_then(|rest| rest.get(..3)).unwrap_or("200");
        peer.respond(&format!("{code} Text"), b"ok")
    })
}

const LOGS: &str = "[[access_log]]\nname = \"all\"\npath = \"all.log\"\nformat = '$status $request_uri $request_id'\n\
    [[access_log]]\npath = \"errors.log\"\nlog = \"errors\"\nfields = [\"status\", \"request_id\"]\n\
    [[access_log]]\npath = \"some.log\"\nlog = [\"3xx\", 404]\nformat = \"$sent_http_content_length $status\"\n\
    [[access_log]]\npath = \"none.log\"\nsample = 0\nformat = \"$status\"\n";

#[test]
fn each_log_has_its_own_form_and_its_own_requests() {
    let backend = backend();
    let ringway = Scenario::of(&backend).table(LOGS).start();
    let mut client = Client::connect(ringway.address());
    let statuses = [200, 302, 404, 503];
    statuses.iter().copied().for_each(|status| assert_eq!(client.get(&format!("/{status}")).status, status));
    client.send("GET /400 HTTP/1.1\r\n\r\n");
    assert_eq!(client.read_response().status, 400);
    let all = lines(&ringway, "all.log", 5);
    let fields: Vec<Vec<&str>> = all.iter().map(|line| line.split(' ').collect()).collect();
    let told: Vec<&str> = fields.iter().map(|line| line[0]).collect();
    assert_eq!(told, ["200", "302", "404", "503", "400"]);
    let errors = lines(&ringway, "errors.log", 3);
    for (line, expected) in errors.iter().zip([&fields[2], &fields[3], &fields[4]]) {
        let entry: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        // A request has one identity in all logs.
        assert_eq!(
            (entry["status"].to_string(), entry["request_id"].as_str()),
            (expected[0].to_owned(), Some(expected[2]))
        );
    }
    assert_eq!(errors.len(), 3);
    assert_eq!(lines(&ringway, "some.log", 2), ["2 302", "2 404"]);
    // Failures of servers are in every sample.
    assert_eq!(lines(&ringway, "none.log", 1), ["503"]);
}

#[test]
fn every_log_is_reopened_and_a_stuck_one_holds_no_other_up() {
    let backend = backend();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("`mkfifo` runs").success());
    let stuck = format!("[[access_log]]\npath = \"{}\"\n", pipe.display());
    let logs = "[[access_log]]\npath = \"a.log\"\nformat = \"$request_uri\"\n[[access_log]]\npath = \"b.log\"\n\
                format = \"$status $request_uri\"\n";
    let mut ringway = Scenario::of(&backend).table(&stuck).table(logs).start();
    let mut client = Client::connect(ringway.address());
    let long = format!("/200/{}", "a".repeat(4_000));
    (0..40).for_each(|_| assert_eq!(client.get(&long).status, 200));
    lines(&ringway, "a.log", 40);
    lines(&ringway, "b.log", 40);
    for name in ["a.log", "b.log"] {
        std::fs::rename(ringway.folder().join(name), ringway.folder().join(format!("{name}.1")))
            .expect("it is there");
    }
    ringway.signal("USR1");
    eventually("both are made anew", || {
        ["a.log", "b.log"].iter().all(|name| ringway.folder().join(name).exists())
    });
    assert_eq!(client.get("/200/x").status, 200);
    assert_eq!(lines(&ringway, "a.log", 1), ["/200/x"]);
    assert_eq!(lines(&ringway, "b.log", 1), ["200 /200/x"]);
    ringway.wait_for_line(&format!("the access log {} takes nothing at present", pipe.display()));
    drop(client);
    assert_eq!(ringway.terminate().code(), Some(0));
    ringway.wait_for_line(&format!("of the access log {} are lost at the end", pipe.display()));
}

#[test]
fn a_log_is_written_to_by_the_listeners_that_it_names_also_after_a_reload() {
    let backend = backend();
    let text = |named: &str, logs: &str| {
        let second = "[[listener]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
                      default_group = \"app\"";
        let own = format!(
            "[[access_log]]\npath = \"own.log\"\nlistener = {named}\nformat = \"$listener $request_uri\""
        );
        let scenario = Scenario::of(&backend).table("[admin]\nsocket = \"admin.sock\"");
        scenario.table(logs).table(&own).table(second)
    };
    let all = "[[access_log]]\npath = \"all.log\"\nformat = \"$listener $request_uri\"";
    let mut ringway = text("\"second\"", all).spawn();
    ringway.wait_for_listeners(2);
    let ask = |target: &str| {
        for name in ["web", "second"] {
            assert_eq!(Client::connect(ringway.address_of(name)).get(target).status, 200);
        }
    };
    ask("/200/a");
    assert_eq!(lines(&ringway, "own.log", 1), ["second /200/a"]);
    // Another place in the list is the same log.
    let after = text("[\"web\", \"second\"]", "").text() + all;
    ringway.replace_configuration(&after);
    let ended = command(&ringway, &["reload"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ask("/200/b");
    assert_eq!(lines(&ringway, "own.log", 3), ["second /200/a", "web /200/b", "second /200/b"]);
    assert_eq!(lines(&ringway, "all.log", 4).len(), 4);
    // Of a log that is gone, what it was told before goes on until the next start.
    ringway.replace_configuration(&text("\"web\"", "").text().replace("own.log", "all.log"));
    let ended = command(&ringway, &["reload"]);
    let told = "warning: access_log has changed, which takes effect at the next start or upgrade\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), told));
    ask("/200/c");
    assert_eq!(lines(&ringway, "own.log", 4)[3], "second /200/c");
    assert_eq!(lines(&ringway, "all.log", 5)[4], "web /200/c");
}
