//! The access log in the layouts of clouds and by templates.

use crate::admin::command;
use crate::support::{Backend, Client, Http2, Ringway, Scenario, eventually, log_lines, over_tls};

/// The fields of a line, which are separated by spaces unless they stand in quotes.
fn fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(rest) => rest.split_once('"').expect("quotes end"),
            None => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
        };
        fields.push(field);
        rest = behind.strip_prefix(' ').unwrap_or(behind);
    }
    fields
}

const HOSTILE: &[u8] = b"GET /a\"b?c=d HTTP/1.1\r\nHost: site.example\r\nUser-Agent: one \"two\\\t\xff\r\n\
    Referer: \" 200 \"\r\nX-Forwarded-For: 2001:db8::7\r\nX-Tenant: a\"b\r\nCookie: lang=de; id=1\"\r\n\r\n";

/// A good request with everything in it that may be logged, a refused one, and one of HTTP/2.
fn lines_of(scenario: &Scenario) -> (Vec<String>, Ringway, u16) {
    let ringway = scenario.clone().prior_knowledge().start();
    let mut client = Client::connect(ringway.address());
    let port = client.local_address().port();
    client.send(HOSTILE);
    assert_eq!(client.read_response().status, 200);
    log_lines(&ringway, 1);
    client.send("GET /bad HTTP/1.1\r\n\r\n");
    assert_eq!(client.read_response().status, 400);
    log_lines(&ringway, 2);
    assert_eq!(Http2::connect(ringway.address()).get("/two?x=y").status, 200);
    let lines = log_lines(&ringway, 3);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.bytes().all(|byte| (0x20..0x7f).contains(&byte))), "{lines:?}");
    (lines, ringway, port)
}

#[test]
fn alb_has_its_fields_in_their_order() {
    let backend = Backend::echo_body();
    let scenario = Scenario::of(&backend).logged("alb").process("instance_id = \"edge-1\"");
    let (lines, ringway, port) = lines_of(&scenario);
    let lines: Vec<_> = lines.iter().map(|line| fields(line)).collect();
    assert!(lines.iter().all(|fields| fields.len() == 31), "{lines:?}");
    let (scheme, upstream) = (if over_tls() { "https" } else { "http" }, backend.address().to_string());
    let (port, own) = (port.to_string(), ringway.address().port().to_string());
    let good = &lines[0];
    assert!(good[0].ends_with("+00:00") && good[0].len() == "1994-11-06T08:49:37+00:00".len(), "{good:?}");
    let expected =
        ["127.0.0.1", &port, "GET", scheme, "site.example", "site.example", r"/a\x22b?c=d", "HTTP/1.1"];
    assert_eq!(good[1..9], expected);
    let expected = [r"\x22 200 \x22", r"one \x22two\x5C\x09\xFF", "2001:db8::7", "-", "200", "0"];
    assert_eq!(good[10..16], expected);
    assert_eq!(good[19..21], [&upstream, "200"]);
    assert_eq!(good[22].starts_with("TLSv1"), over_tls());
    assert_eq!(good[24..], [good[24], "edge-1", "127.0.0.1", &own, "-", "-", "-"]);
    assert!(good[24].parse::<u32>().is_ok(), "{good:?}");
    let refused = &lines[1];
    assert_eq!(refused[3..9], ["GET", scheme, "-", "-", "/bad", "HTTP/1.1"]);
    assert_eq!((refused[14], &refused[19..22]), ("400", &["-", "-", "-"][..]));
    assert_eq!(lines[2][7..9], ["/two?x=y", "HTTP/2.0"]);
}

#[test]
fn elb_has_its_layout_with_brackets_around_ipv6() {
    let backend = Backend::echo_body();
    let scenario = Scenario::of(&backend).logged("elb").process("instance_id = \"edge-1\"");
    let scenario = scenario.listener("trusted_proxies = [\"127.0.0.0/8\"]");
    let (lines, ringway, port) = lines_of(&scenario);
    let lines: Vec<_> = lines.iter().map(|line| fields(line)).collect();
    assert!(lines.iter().all(|fields| fields.len() == 33), "{lines:?}");
    let scheme = if over_tls() { "https" } else { "http" };
    let upstream = backend.address().to_string();
    let good = &lines[0];
    let seconds = |field: usize| good[field].parse::<f64>().expect("seconds");
    // To connect took no longer than the head, and that no longer than the whole.
    assert!(seconds(0) > 1e9 && seconds(12) <= seconds(13) && seconds(13) <= seconds(14), "{good:?}");
    assert!(good[2].starts_with('[') && good[2].ends_with("+00:00]"), "{good:?}");
    assert_eq!(good[3..6], ["elb_01", &format!("[2001:db8::7]:{port}"), "200"]);
    assert_eq!(good[6], format!(r"GET {scheme}://site.example/a\x22b?c=d HTTP/1.1"));
    // The head alone.
    assert!(good[8].parse::<u64>().is_ok_and(|bytes| bytes > 40), "{good:?}");
    assert_eq!((good[9], good[11]), ("0", "200"));
    assert_eq!(good[15], upstream);
    assert_eq!(good[18..24], ["2001:db8::7", "edge-1", "web", "-", "app", &upstream]);
    assert_eq!(good[25], ringway.address().to_string());
    let refused = &lines[1];
    assert_eq!(refused[5..7], ["400", &format!("GET {scheme}://-/bad HTTP/1.1")]);
    assert_eq!(refused[11..16], ["-"; 5]);
    assert_eq!(lines[2][6], format!("GET {scheme}://test.example/two?x=y HTTP/2.0"));
}

#[test]
fn a_template_tells_what_it_names() {
    let backend = Backend::echo_body();
    let format = "$remote_addr $request_method '$request' $http_x_tenant $cookie_lang $cookie_id $http_cookie| \
                  $status ${reason} $listener/$group/$rule $upstream_addr $ssl_session_reused $args $$";
    let (lines, ..) = lines_of(&Scenario::of(&backend).logged(format));
    let upstream = backend.address();
    let reused = if over_tls() { "." } else { "-" };
    assert_eq!(
        lines,
        [
            format!(
                r"127.0.0.1 GET 'GET /a\x22b?c=d HTTP/1.1' a\x22b de 1\x22 lang=de; id=1\x22| 200 - web/app/- {upstream} {reused} c=d $"
            ),
            format!("127.0.0.1 GET 'GET /bad HTTP/1.1' - - - -| 400 missing_host web/-/- - {reused} - $"),
            format!(
                "127.0.0.1 GET 'GET /two?x=y HTTP/2.0' - - - -| 200 - web/app/- {upstream} {reused} x=y $"
            ),
        ]
    );
}

#[test]
fn a_template_tells_of_tls_once_for_all_requests_of_a_connection() {
    let backend = Backend::echo_body();
    let format = "$ssl_protocol $sni $ssl_server_name $tls_ja4 $ssl_client_verify $status $alpn";
    let ringway = Scenario::of(&backend).logged(format).secured().start();
    let mut client = Client::connect(ringway.address());
    (0..2).for_each(|_| assert_eq!(client.get("/").status, 200));
    let lines = log_lines(&ringway, 2);
    assert_eq!(lines[0], lines[1]);
    let fields = fields(&lines[0]);
    assert_eq!((fields[0], fields[1], &fields[4..]), ("TLSv1.3", fields[2], &["NONE", "200", fields[6]][..]));
    assert!(fields[3].starts_with("t13"), "{fields:?}");
}

#[test]
fn a_template_tells_headers_of_responses_as_they_were_sent() {
    let backend = Backend::per_request(|peer, _, _| {
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: one\r\nX-A: t\"wo\r\nX-Hidden: h\r\n\r\nok")
    });
    let format = "$status $sent_http_x_a|$sent_http_x_hidden|$sent_http_x_new|$sent_http_location|\
                  $sent_http_content_length|$sent_http_server|$upstream_http_x_hidden";
    let rules = "[[rule]]\nname = \"moved\"\nlistener = \"web\"\npriority = 1\npath = \"/moved\"\n\
                 redirect = { code = 301, host = \"b.example\", path = \"/there\" }\n\
                 [[rule]]\nname = \"edited\"\nlistener = \"web\"\npriority = 2\npath_prefix = \"/\"\ngroup = \"app\"\n\
                 remove_response_header = { name = \"x-hidden\" }\n\
                 set_response_header = { name = \"x-new\", value = \"n\" }";
    let ringway = Scenario::of(&backend).logged(format).table(rules).prior_knowledge().start();
    let mut client = Client::connect(ringway.address());
    for (target, status) in [("/", 200), ("/moved", 301), ("/", 200)] {
        assert_eq!(client.get(target).status, status);
    }
    client.send("GET / HTTP/1.1\r\n\r\n");
    let refused = client.read_response();
    assert_eq!(refused.status, 400);
    log_lines(&ringway, 4);
    assert_eq!(Http2::connect(ringway.address()).get("/").status, 200);
    let lines = log_lines(&ringway, 5);
    let good = r"200 one, t\x22wo|-|n|-|2|-|h";
    assert_eq!((&lines[0][..], &lines[2][..], &lines[4][..]), (good, good, good));
    assert!(lines[1].starts_with("301 -|-|-|http"), "{lines:?}");
    assert!(lines[1].contains("/there|") && lines[1].ends_with("|ringway|-"), "{lines:?}");
    assert_eq!(lines[3], format!("400 -|-|-|-|{}|ringway|-", refused.body.len()));
}

#[test]
fn a_sample_leaves_out_everything_but_failures_of_servers() {
    let backend = Backend::per_request(|peer, head, _| {
        let status = if head.start_line.contains("/bad") { "503 Service Unavailable" } else { "200 OK" };
        peer.respond(status, b"ok")
    });
    let rules = "[[rule]]\nname = \"whole\"\nlistener = \"web\"\npriority = 1\npath_prefix = \"/whole\"\n\
                 sample = 1\ngroup = \"app\"\n[[rule]]\nname = \"half\"\nlistener = \"web\"\npriority = 2\n\
                 path_prefix = \"/half\"\nsample = 0.5\ngroup = \"app\"";
    let scenario = Scenario::of(&backend).logged("$request_uri $status").log("sample = 0").table(rules);
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    for target in ["/none", "/bad", "/none", "/whole", "/none"] {
        client.get(target);
    }
    (0..200).for_each(|_| assert_eq!(client.get("/half").status, 200));
    client.get("/bad/last");
    eventually("the last line is there", || {
        log_lines(&ringway, 3).iter().any(|line| line.starts_with("/bad/last"))
    });
    let lines = log_lines(&ringway, 3);
    let half = lines.iter().filter(|line| *line == "/half 200").count();
    // Of 200 draws, fewer than 50 or more than 150 come once in 10¹² runs.
    assert!((50..150).contains(&half), "{half}");
    let others: Vec<_> = lines.iter().filter(|line| *line != "/half 200").collect();
    assert_eq!(others, ["/bad 503", "/whole 200", "/bad/last 503"]);
}

#[test]
fn another_template_waits_for_the_next_start() {
    let backend = Backend::echo_body();
    let scenario = Scenario::of(&backend).table("[admin]\nsocket = \"admin.sock\"");
    let ringway = scenario.clone().logged("$status $host").start();
    for (format, is_told) in [("$status $host", false), ("$status", true), ("alb", true)] {
        ringway.replace_configuration(&scenario.clone().logged(format).text());
        let ended = command(&ringway, &["reload"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let told =
            "warning: access_log.format has changed, which takes effect at the next start or upgrade\n";
        assert_eq!(ended.stderr, if is_told { told } else { "" });
    }
    Client::connect(ringway.address()).get("/");
    assert!(log_lines(&ringway, 1)[0].starts_with("200 "));
}

#[test]
fn bytes_sent_are_those_of_the_head_and_the_framing_too() {
    let backend = Backend::per_request(|peer, head, _| match head.start_line.split(' ').nth(1) {
        Some("/chunks") => peer
            .write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        Some("/large") => peer.respond("200 OK", &[b'x'; 100_000]),
        _ => peer.respond("200 OK", b"abcde"),
    });
    let ringway = Scenario::of(&backend).logged("$bytes_sent $body_bytes_sent").prior_knowledge().start();
    let mut received = Vec::new();
    for (target, head) in [("/", "GET"), ("/chunks", "GET"), ("/large", "GET"), ("/", "HEAD")] {
        let mut client = Client::connect(ringway.address());
        client.send(format!("{head} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        received.push(client.read_to_end().len());
        log_lines(&ringway, received.len());
    }
    let mut refused = Client::connect(ringway.address());
    refused.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    received.push(refused.read_to_end().len());
    let lines = log_lines(&ringway, 5);
    let content = [5, 5, 100_000, 0];
    for (index, body) in content.into_iter().enumerate() {
        assert_eq!(lines[index], format!("{} {body}", received[index]));
    }
    assert!(lines[4].starts_with(&format!("{} ", received[4])), "{lines:?}");

    // A frame is told with its header of nine bytes.
    let mut client = Http2::connect(ringway.address());
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    let lines = log_lines(&ringway, 8);
    let of =
        |line: &str| -> u64 { line.split(' ').next().and_then(|text| text.parse().ok()).expect("a number") };
    // Of a later head, HPACK has seen everything before, but for a date when a second has passed.
    let (first, later) = (of(&lines[5]), of(&lines[6]).min(of(&lines[7])));
    assert!((9 + 1 + 9 + 5..40).contains(&later), "{lines:?}");
    assert!(first > later, "{lines:?}");
    assert_eq!(client.get("/large").status, 200);
    let large = of(&log_lines(&ringway, 9)[8]);
    assert!((100_000 + 9 * 7..100_000 + 9 * 40 + 40).contains(&large), "{large}");
}

#[test]
fn the_time_to_connect_is_that_of_the_last_attempt() {
    let backend = Backend::echo_body();
    let ringway =
        Scenario::of(&backend).logged("$upstream_connect_time|$upstream_header_time|$status").start();
    let mut client = Client::connect(ringway.address());
    (0..2).for_each(|_| assert_eq!(client.get("/").status, 200));
    let lines = log_lines(&ringway, 2);
    let times: Vec<&str> = lines.iter().map(|line| line.split('|').next().unwrap_or_default()).collect();
    assert!(times[0].starts_with("0.0") && times[0].len() == 5, "{lines:?}");
    // A kept connection costs none.
    assert_eq!(times[1], "0.000");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("an address");
    let ringway = Scenario::new().backend(nobody).logged("json").start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
    let entry = &crate::support::log_entries(&ringway, 1)[0];
    assert_eq!((&entry["upstream_connect_time"], &entry["reason"]), (&"-".into(), &"connect_refused".into()));
    assert!(entry["bytes_sent"].as_u64() > entry["body_bytes_sent"].as_u64());
}

#[test]
fn json_tells_the_headers_and_cookies_that_were_chosen() {
    let backend = Backend::per_request(|peer, _, _| {
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Cache: \"hit\"\r\nx-cache: far\r\n\r\nok")
    });
    let chosen = "fields = [\"status\"]\n\
                  headers = { request = [\"X-Tenant\"], response = [\"x-cache\", \"content-length\"], cookies = [\"lang\"] }";
    let ringway = Scenario::of(&backend).logged("json").log(chosen).prior_knowledge().start();
    let mut client = Client::connect(ringway.address());
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: o\"ne\r\nx-tenant: two\r\nCookie: id=1; lang=de\r\n\r\n",
    );
    assert_eq!(client.read_response().status, 200);
    client.send("GET / HTTP/1.1\r\n\r\n");
    let refused = client.read_response();
    assert_eq!(refused.status, 400);
    log_lines(&ringway, 2);
    assert_eq!(Http2::connect(ringway.address()).get("/").status, 200);
    let mut entries = crate::support::log_entries(&ringway, 3);
    for entry in &mut entries {
        assert!(entry.as_object_mut().and_then(|entry| entry.remove("time")).is_some());
    }
    let of = |tenant: &str, lang: &str, status: u16, cache: &str, length: &str| {
        serde_json::json!({"http_x_tenant": tenant, "cookie_lang": lang, "status": status,
            "sent_http_x_cache": cache, "sent_http_content_length": length})
    };
    let cache = "\"hit\", far";
    let length = refused.body.len().to_string();
    assert_eq!(
        entries,
        [
            of("o\"ne, two", "de", 200, cache, "2"),
            of("-", "-", 400, "-", &length),
            of("-", "-", 200, cache, "2")
        ]
    );
}
