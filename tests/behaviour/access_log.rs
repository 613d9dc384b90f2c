//! The access log: one line for each exchange, whatever became of it.

use crate::admin::command;
use crate::support::{Backend, Client, Http2, Scenario, eventually, log_entries, log_lines, now, over_tls};
use std::time::Duration;

#[test]
fn a_json_line_has_the_fields_of_the_contract() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    let request = "POST /path?q=1 HTTP/1.1\r\nHost: site.example\r\nUser-Agent: tests\r\nReferer: http://r.example/\r\n\
                   X-Forwarded-For: 9.9.9.9\r\nX-Real-IP: 8.8.8.8\r\nContent-Length: 5\r\n\r\nhello";
    client.send(request);
    assert_eq!(client.read_response().status, 200);
    let entry = &log_entries(&ringway, 1)[0];
    let upstream = backend.address().to_string();
    let port = client.local_address().port();
    for (name, value) in [
        ("client_ip", serde_json::json!("127.0.0.1")),
        ("client_port", port.into()),
        ("request_method", "POST".into()),
        ("scheme", if over_tls() { "https" } else { "http" }.into()),
        ("host", "site.example".into()),
        ("http_host", "site.example".into()),
        ("request_uri", "/path?q=1".into()),
        ("server_protocol", "HTTP/1.1".into()),
        ("request_length", request.len().into()),
        ("http_referer", "http://r.example/".into()),
        ("http_user_agent", "tests".into()),
        ("http_x_forwarded_for", "9.9.9.9".into()),
        ("http_x_real_ip", "8.8.8.8".into()),
        ("status", 200.into()),
        ("body_bytes_sent", 5.into()),
        ("upstream_addr", upstream.into()),
        ("upstream_status", 200.into()),
        ("reason", "-".into()),
        ("retry_count", 0.into()),
        ("worker", 0.into()),
        ("listener", "web".into()),
        ("server_group", "app".into()),
    ] {
        assert_eq!(entry[name], value, "{name} in {entry}");
    }
    for name in
        ["request_time", "upstream_response_time", "read_request_time", "write_response_time", "tcpinfo_rtt"]
    {
        assert!(entry[name].is_number(), "{name} in {entry}");
    }
    assert!(entry["time"].as_str().is_some_and(|time| time.ends_with('Z') && time.contains('T')));
    assert!(entry["request_id"].as_str().is_some_and(|id| id.len() >= 16));
}

#[test]
fn a_line_has_the_fields_that_were_chosen_in_their_own_order() {
    let backend = Backend::echo_body();
    let chosen = r#"fields = ["reason", "status", "tls_resumed", "sni", "request_uri", "server_protocol"]"#;
    let scenario = Scenario::of(&backend).logged("json").log(chosen);
    for (scenario, is_tls) in
        [(scenario.clone().prior_knowledge(), over_tls()), (scenario.clone().secured(), true)]
    {
        let ringway = scenario.start();
        let mut client = Client::connect(ringway.address());
        (0..2).for_each(|_| assert_eq!(client.get("/one").status, 200));
        client.send("GET /bad HTTP/1.1\r\n\r\n");
        assert_eq!(client.read_response().status, 400);
        log_lines(&ringway, 3);
        assert_eq!(Http2::connect(ringway.address()).get("/two").status, 200);
        let tls: &[&str] = if is_tls { &["sni", "tls_resumed"] } else { &[] };
        let expected = [&["time", "server_protocol", "request_uri"], tls, &["status", "reason"]].concat();
        for line in log_lines(&ringway, 4) {
            // No value here has this sequence in it.
            let names = line.trim_matches(['{', '"']).split(",\"").map(|field| field.split('"').next());
            assert!(names.eq(expected.iter().copied().map(Some)), "{line}");
        }
        let told: Vec<_> = log_entries(&ringway, 4)
            .iter()
            .map(|entry| (entry["server_protocol"].clone(), entry["status"].clone(), entry["reason"].clone()))
            .collect();
        let of = |version: &str, status: u16, reason: &str| (version.into(), status.into(), reason.into());
        let refused = of("HTTP/1.1", 400, "missing_host");
        assert_eq!(
            told,
            [of("HTTP/1.1", 200, "-"), of("HTTP/1.1", 200, "-"), refused, of("HTTP/2.0", 200, "-")]
        );
    }
}

#[test]
fn another_choice_of_fields_waits_for_the_next_start() {
    let backend = Backend::echo_body();
    let scenario = Scenario::of(&backend).logged("json").table("[admin]\nsocket = \"admin.sock\"");
    let before = scenario.clone().log(r#"fields = ["status", "host"]"#);
    let ringway = before.start();
    // The same fields in another order are the same choice.
    for (line, is_told) in [(r#"fields = ["host", "time", "status"]"#, false), (r#"fields = ["host"]"#, true)]
    {
        ringway.replace_configuration(&scenario.clone().log(line).text());
        let ended = command(&ringway, &["reload"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let told =
            "warning: access_log.fields has changed, which takes effect at the next start or upgrade\n";
        assert_eq!(ended.stderr, if is_told { told } else { "" });
    }
    Client::connect(ringway.address()).get("/");
    assert_eq!(log_entries(&ringway, 1)[0]["status"], 200);
}

#[test]
fn the_time_is_that_of_the_first_byte_also_where_a_second_ends_behind_it() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    let in_second = || Duration::from_nanos(jiff::Timestamp::now().subsec_nanosecond().unsigned_abs().into());
    // Far from the end of a second, which comes while the request is on its way.
    let late = Duration::from_millis(700);
    std::thread::sleep(late.saturating_sub(in_second()));
    let before = jiff::Timestamp::now();
    client.send("GET / HTTP/1.1\r\n");
    std::thread::sleep(Duration::from_millis(1_150).saturating_sub(in_second()));
    client.send("Host: a\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    let time = log_entries(&ringway, 1)[0]["time"].as_str().expect("a text").to_owned();
    let told: jiff::Timestamp = time.parse().expect("it is in RFC 3339");
    let difference = told.as_millisecond() - before.as_millisecond();
    assert!((-20..900).contains(&difference), "{told} instead of {before}");
}

#[test]
fn request_ids_differ() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).logged("json").workers(2).start();
    for _ in 0..10 {
        Client::connect(ringway.address()).get("/");
    }
    let mut ids: Vec<_> =
        log_entries(&ringway, 10).iter().map(|entry| entry["request_id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10);
}

#[test]
fn the_combined_format_is_what_log_readers_know() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).logged("combined").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: te\"st\\s\r\n\r\n");
    client.read_response();
    let line = &log_lines(&ringway, 1)[0];
    let (before, after) = line.split_once('[').expect("a time");
    let (time, rest) = after.split_once(']').expect("a time");
    assert_eq!(before, "127.0.0.1 - - ");
    assert_eq!(time.len(), "10/Oct/2000:13:55:36 -0700".len(), "{time}");
    assert_eq!(rest, " \"GET /a HTTP/1.1\" 200 0 \"-\" \"te\\x22st\\x5Cs\"");
}

#[test]
fn hostile_bytes_cannot_forge_lines() {
    for format in ["json", "combined"] {
        let backend = Backend::echo_body();
        let ringway = Scenario::of(&backend).logged(format).start();
        let mut client = Client::connect(ringway.address());
        client.send(b"GET /\"},{\"status\":200 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.read_response().status, 200);
        let mut client = Client::connect(ringway.address());
        client.send(b"GET /a\"\\b HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\xfe\"\\\t\"x\r\nReferer: \xc2\x9b31m\r\n\r\n");
        client.read_response();
        let lines = log_lines(&ringway, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.bytes().all(|byte| (0x20..0x7f).contains(&byte))), "{lines:?}");
        if format == "json" {
            let entry = &log_entries(&ringway, 2)[1];
            assert_eq!(entry["http_user_agent"], "\\xFF\\xFE\"\\\t\"x");
            assert_eq!(entry["http_referer"], "\u{9b}31m");
        }
    }
}

#[test]
fn usr1_opens_the_file_anew() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.get("/before");
    log_lines(&ringway, 1);
    let (path, old) = (ringway.folder().join("access.log"), ringway.folder().join("access.log.1"));
    std::fs::rename(&path, &old).expect("the log can be renamed");
    client.get("/between");
    eventually("the renamed file goes on", || {
        std::fs::read_to_string(&old).is_ok_and(|text| text.lines().count() == 2)
    });
    ringway.signal("USR1");
    eventually("a new file is there", || path.exists());
    client.get("/after");
    assert_eq!(log_entries(&ringway, 1)[0]["request_uri"], "/after");
    assert_eq!(std::fs::read_to_string(&old).expect("the old file").lines().count(), 2);
}

#[test]
fn every_line_is_written_before_the_process_ends() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..200 {
        client.get("/");
    }
    drop(client);
    assert_eq!(ringway.terminate().code(), Some(0));
    assert_eq!(log_lines(&ringway, 200).len(), 200);
}

#[test]
fn refused_requests_are_logged_with_their_reasons() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).logged("json").start();
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("\x16\x03\x01\x02", 400),
    ];
    for (number, (request, status)) in cases.into_iter().enumerate() {
        let mut client = Client::connect(ringway.address());
        client.send(request);
        assert_eq!(client.read_response().status, status, "{request:?}");
        let entry = log_entries(&ringway, number + 1).pop().expect("a line");
        assert_eq!(entry["status"], status, "{request:?}");
        let reason = entry["reason"].as_str().expect("a word");
        assert!(
            reason.len() > 3
                && reason
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{reason}"
        );
    }
}

#[test]
fn a_client_that_leaves_within_a_response_is_named() {
    let backend = Backend::per_request(|peer, _, _| {
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")?;
        loop {
            peer.write(&[b'x'; 100_000])?;
        }
    });
    let ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_exactly(1000);
    std::thread::sleep(Duration::from_millis(20));
    drop(client);
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "client_closed");
}

#[test]
fn a_log_that_takes_nothing_is_told_of_while_it_does_and_at_the_end() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"ok"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("`mkfifo` runs");
    assert!(made.success());
    let _reader = std::fs::File::options().read(true).write(true).open(&pipe).expect("it can be opened");
    let log = format!("[access_log]\npath = \"{}\"", pipe.display());
    let mut ringway = Scenario::of(&backend).table(&log).start();
    let mut client = Client::connect(ringway.address());
    let target = format!("/{}", "a".repeat(4_000));
    (0..40).for_each(|_| assert_eq!(client.get(&target).status, 200));
    ringway.wait_for_line("takes nothing at present, for 1 s and longer");
    assert_eq!(client.get("/").status, 200);
    drop(client);
    assert_eq!(ringway.terminate().code(), Some(0));
    ringway.wait_for_line("are lost at the end: it did not take them");
}

#[test]
fn a_full_disk_costs_lines_and_is_told_of_once() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"ok"));
    let log = "[access_log]\npath = \"/dev/full\"";
    let mut ringway = Scenario::of(&backend).table(log).start();
    let start = now();
    while start.elapsed() < Duration::from_millis(1_500) {
        let mut client = Client::connect(ringway.address());
        (0..10).for_each(|_| assert_eq!(client.get("/").status, 200));
    }
    assert_eq!(ringway.terminate().code(), Some(0));
    let said = ringway
        .wait_for_line("cannot write the access log /dev/full, its lines are lost: No space left on device");
    assert!(said.starts_with("warning: "), "{said}");
    let stderr = ringway.stderr();
    let told = ["cannot write the access log", "lost lines", "that could not be written"];
    assert_eq!(told.map(|text| stderr.matches(text).count()), [1, 0, 1], "{stderr}");
}

#[test]
fn a_log_of_the_largest_size_ends_nothing_and_no_line_is_broken() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"ok"));
    let mut ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let limit = |bytes: &str| {
        let arguments = [format!("--pid={}", ringway.id()), format!("--fsize={bytes}:")];
        assert!(std::process::Command::new("prlimit").args(arguments).status().expect("it runs").success());
    };
    let length = log_lines(&ringway, 1)[0].len();
    // Room for one and a half line more.
    limit(&format!("{}", length * 5 / 2));
    (0..5).for_each(|_| assert_eq!(client.get("/").status, 200));
    ringway.wait_for_line("cannot write the access log access.log, its lines are lost: File too large");
    limit("unlimited");
    assert_eq!(client.get("/last").status, 200);
    // What was written in part is completed; what was lost is counted.
    eventually("the last line is there", || {
        std::fs::read_to_string(ringway.folder().join("access.log")).is_ok_and(|text| text.contains("/last"))
    });
    log_entries(&ringway, 3);
    ringway.wait_for_line("of the access log access.log that could not be written");
    assert_eq!(ringway.terminate().code(), Some(0));
}
