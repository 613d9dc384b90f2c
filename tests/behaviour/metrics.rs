//! Metrics and health by HTTP.

use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, eventually, now};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

fn admin_address(ringway: &Ringway) -> SocketAddr {
    let line = ringway.wait_for_line("metrics on http://");
    let rest = line.split("metrics on http://").nth(1).expect("the line was waited for");
    rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address stands there")
}

/// What is answered to these bytes, to the end of the connection.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    answer
}

fn get(address: SocketAddr, path: &str, fields: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{fields}\r\n"))
}

/// Every sample by its name with labels.
pub(crate) fn samples(ringway: &Ringway) -> BTreeMap<String, f64> {
    let text = get(admin_address(ringway), "/metrics", "");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("\r\nContent-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    let lines: Vec<_> = body.lines().filter(|line| !line.starts_with('#')).collect();
    let samples: BTreeMap<_, _> = lines
        .iter()
        .map(|line| line.rsplit_once(' ').expect("a name and a value"))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect();
    assert_eq!(samples.len(), lines.len(), "a series stands twice");
    samples
}

fn requests(ringway: &Ringway, labels: &str) -> f64 {
    samples(ringway).get(&format!("ringway_http_requests_total{{{labels}}}")).copied().unwrap_or_default()
}

const RULES: &str = "[[rule]]\nname = \"hello\"\nlistener = \"web\"\npriority = 1\npath = \"/hello\"\n\
    respond = { code = 202, body = \"hello\" }";

/// Asks once for each thing there is, and once in HTTP/1.0.
fn ask_each_way(ringway: &Ringway) {
    let mut client = Client::connect(ringway.address());
    for (path, status) in [("/", 200), ("/missing", 404), ("/hello", 202)] {
        assert_eq!(client.get(path).status, status);
    }
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
}

#[test]
fn requests_are_counted_by_listener_rule_group_status_and_protocol() {
    let backend = Backend::per_request(|peer, head, _| match head.start_line.contains("/missing") {
        true => peer.respond("404 Not Found", b"nothing"),
        false => peer.respond("200 OK", b"here"),
    });
    let ringway = Scenario::of(&backend).workers(2).table(ADMIN).table(RULES).start();
    (0..3).for_each(|_| ask_each_way(&ringway));
    let of = |rule: &str, group: &str, code: u16, protocol: &str| {
        format!("listener=\"web\",rule=\"{rule}\",group=\"{group}\",code=\"{code}\",protocol=\"{protocol}\"")
    };
    eventually("the last request is counted", || requests(&ringway, &of("", "app", 200, "HTTP/1.0")) == 3.0);
    for (rule, group, code) in [("", "app", 200), ("", "app", 404), ("hello", "", 202)] {
        assert_eq!(requests(&ringway, &of(rule, group, code, "HTTP/1.1")), 3.0, "{code}");
    }

    let samples = samples(&ringway);
    let of_group = "{listener=\"web\",rule=\"\",group=\"app\"}";
    let of_all = "{listener=\"web\",rule=\"\",group=\"app\",le=\"+Inf\"}";
    let backend = format!("{{group=\"app\",backend=\"{}\"}}", backend.address());
    for (name, labels, value) in [
        ("http_request_duration_seconds_count", of_group, 9.0),
        ("http_request_duration_seconds_bucket", of_all, 9.0),
        ("http_upstream_duration_seconds_count", of_group, 9.0),
        ("http_response_bytes_total", of_group, 3.0 * (4.0 + 7.0 + 4.0)),
        ("http_request_reasons_total", "{listener=\"web\",reason=\"fixed_response\"}", 3.0),
        ("upstream_tls_handshake_duration_seconds_count", "{group=\"app\"}", 0.0),
        ("upstream_queue_duration_seconds_count", "{group=\"app\"}", 0.0),
        ("connections_accepted_total", "{listener=\"web\"}", 3.0),
        ("backend_requests_total", &backend, 9.0),
        ("backend_up", &backend, 1.0),
    ] {
        assert_eq!(samples[&format!("ringway_{name}{labels}")], value, "{name}");
    }
    for name in ["request_duration", "time_to_first_byte", "upstream_duration"] {
        // Each of nine requests takes some microseconds, also where all of it happens in one turn of the loop.
        let sum = samples[&format!("ringway_http_{name}_seconds_sum{of_group}")];
        assert!(sum >= 0.000_009, "{name}: {sum}");
    }
    assert!(samples["ringway_upstream_connect_duration_seconds_count{group=\"app\"}"] >= 1.0);
}

#[test]
fn handshakes_are_counted_by_version_and_by_failure() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).secured().table(ADMIN).start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    let mut broken = TcpStream::connect(ringway.address()).expect("it listens");
    broken.write_all(b"\x16\x03\x01\x00\x05hello").expect("it takes a record that is none");
    let _ = broken.shutdown(Shutdown::Write);
    eventually("both are counted", || {
        let samples = samples(&ringway);
        let sum = |start: &str| -> f64 {
            samples.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum()
        };
        sum("ringway_tls_handshakes_total{listener=\"web\",version=\"TLSv1.3\"") == 1.0
            && sum("ringway_tls_handshake_failures_total{listener=\"web\"") == 1.0
    });
}

#[test]
fn a_reload_keeps_what_was_counted_and_a_renamed_rule_starts_anew() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).table(ADMIN);
    let with_rule = |name: &str| {
        scenario.clone().table(&RULES.replace("hello\"\nlistener", &format!("{name}\"\nlistener")))
    };
    let ringway = with_rule("one").start();
    let mut client = Client::connect(ringway.address());
    let of = |rule: &str| {
        format!("listener=\"web\",rule=\"{rule}\",group=\"\",code=\"202\",protocol=\"HTTP/1.1\"")
    };
    assert_eq!(client.get("/hello").status, 202);
    eventually("it is counted", || requests(&ringway, &of("one")) == 1.0);
    ringway.reload(&with_rule("one").process("shutdown_timeout = \"29s\"").text());
    assert_eq!(client.get("/hello").status, 202);
    eventually("it is counted on", || requests(&ringway, &of("one")) == 2.0);
    ringway.reload(&with_rule("two").text());
    assert_eq!(client.get("/hello").status, 202);
    eventually("the new one is counted", || requests(&ringway, &of("two")) == 1.0);
    assert_eq!(requests(&ringway, &of("one")), 0.0);
}

#[test]
fn each_worker_tells_its_load() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).workers(2).table(ADMIN).start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let told =
        |name: &str, worker: u8| samples(&ringway)[&format!("ringway_worker_{name}{{worker=\"{worker}\"}}")];
    eventually("one of them has the connection", || told("connections", 0) + told("connections", 1) == 1.0);
    for worker in 0..2 {
        eventually("it has told its lag", || told("loop_lag_seconds_count", worker) >= 2.0);
        assert!(told("cpu_seconds_total", worker) > 0.0);
        assert!(told("loop_lag_seconds_sum", worker) < 60.0);
    }
    drop(client);
    eventually("it is gone", || told("connections", 0) + told("connections", 1) == 0.0);
}

#[test]
fn without_metrics_nothing_of_requests_is_counted() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).table(ADMIN).table("[metrics]\nenabled = false").start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    let samples = samples(&ringway);
    assert!(samples.contains_key("ringway_workers"));
    assert!(!samples.keys().any(|name| name.starts_with("ringway_http_")), "{samples:?}");
}

#[test]
fn health_and_status_are_served_until_the_stop_begins() {
    let backend = Backend::silent();
    let mut ringway = Scenario::of(&backend).table(ADMIN).start();
    let admin = admin_address(&ringway);
    let status = |path: &str| get(admin, path, "").split(' ').nth(1).map(str::to_owned);
    assert_eq!(status("/livez").as_deref(), Some("200"));
    assert_eq!(status("/readyz").as_deref(), Some("200"));
    assert_eq!(status("/nothing").as_deref(), Some("404"));
    let answer = get(admin, "/status", "");
    let (_, document) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
    assert_eq!(document["listeners"][0]["name"], "web");
    // A request that lasts keeps the process until it is told again.
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request arrives", || backend.connections() == 1);
    ringway.signal("TERM");
    eventually("it is not ready any more", || status("/readyz").as_deref() == Some("503"));
    assert_eq!(status("/livez").as_deref(), Some("200"));
    ringway.terminate();
}

#[test]
fn a_delayed_stop_serves_new_clients_while_it_says_that_it_is_not_ready() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend).process("shutdown_delay = \"1s\"").table(ADMIN).start();
    let admin = admin_address(&ringway);
    ringway.signal("TERM");
    eventually("it is not ready any more", || get(admin, "/readyz", "").starts_with("HTTP/1.1 503 "));
    let mut client = Client::connect(ringway.address());
    let answer = client.get("/");
    assert_eq!((answer.status, answer.field("connection")), (200, None));
    assert!(ringway.wait_for_exit(PATIENCE).success());
    assert!(ringway.stderr_to_end().contains("stopping: new connections are taken for 1s more"));
}

#[test]
fn only_who_asks_by_its_name_may_read() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).table(&format!("{ADMIN}\nhosts = [\"edge.example\"]")).start();
    let admin = admin_address(&ringway);
    let status = |request: &str| exchange(admin, request).split(' ').nth(1).unwrap_or_default().to_owned();
    let get = |host: &str, fields: &str| {
        status(&format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n"))
    };
    assert_eq!(get(&admin.to_string(), ""), "200");
    assert_eq!(get("localhost", ""), "200");
    assert_eq!(get("edge.example:9180", "Origin: http://edge.example:9180\r\n"), "200");
    assert_eq!(get("rebound.example", ""), "421");
    assert_eq!(get(&admin.to_string(), "Origin: https://evil.example\r\n"), "403");
    assert_eq!(get(&admin.to_string(), "Content-Length: 4\r\n"), "413");
    assert_eq!(
        status(&format!("POST /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")),
        "405"
    );
    assert_eq!(status("hello\r\n\r\n"), "400");
    assert_eq!(status(&format!("GET /{} HTTP/1.1\r\nHost: {admin}\r\n\r\n", "x".repeat(20_000))), "414");
    let head =
        exchange(admin, &format!("HEAD /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"));
    assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: "), "{head}");
}

#[test]
fn a_scraper_keeps_its_connection_and_may_ask_for_open_metrics() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).table(ADMIN).start();
    let admin = admin_address(&ringway);
    let mut client = Client::connect_in_the_clear(admin);
    for _ in 0..3 {
        let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        client.send(format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nAccept: {accept}\r\n\r\n"));
        let answer = client.read_response();
        let text = answer.text();
        assert!(
            text.starts_with("# HELP ringway_build The version of Ringway.\n# TYPE ringway_build info\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }
}

#[test]
fn bytes_are_counted_on_the_wire_and_those_of_handshakes_apart() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).table(ADMIN).start();
    let request = "GET /wire HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = Client::connect(ringway.address());
    client.send(request);
    let response = client.read_response();
    let bytes =
        |name: &str, labels: &str| samples(&ringway)[&format!("ringway_{name}_bytes_total{{{labels}}}")];
    let of_client = |direction| bytes("client", &format!("listener=\"web\",direction=\"{direction}\""));
    let of_handshake =
        |direction| bytes("tls_handshake", &format!("listener=\"web\",direction=\"{direction}\""));
    let is_secured = std::env::var_os("RINGWAY_TEST_TLS").is_some();
    eventually("the response is counted", || of_client("sent") > response.body.len() as f64);
    if is_secured {
        // The request may have come together with the last message of the handshake.
        assert!(of_client("received") + of_handshake("received") > request.len() as f64 + 200.0);
        assert!(of_handshake("sent") > 200.0);
    } else {
        assert_eq!(of_client("received"), request.len() as f64);
        assert_eq!((of_handshake("received"), of_handshake("sent")), (0.0, 0.0));
    }
    // The backend got a line and two fields more, and echoed them.
    let upstream = |direction| bytes("upstream", &format!("group=\"app\",direction=\"{direction}\""));
    assert!(upstream("sent") >= response.body.len() as f64, "{} {}", upstream("sent"), response.body.len());
    assert!(upstream("received") > response.body.len() as f64);
}

#[test]
fn connections_to_backends_and_their_answers_are_counted() {
    let backend = Backend::per_request(|peer, head, _| match head.start_line.contains("/missing") {
        true => peer.respond("404 Not Found", b"nothing"),
        false => peer.respond("200 OK", b"here"),
    });
    let refused = Backend::refused_address();
    let group = format!(
        "[[server_group]]\nname = \"gone\"\n[[server_group.backend]]\naddress = \"{refused}\"\n\
         [[rule]]\nname = \"gone\"\nlistener = \"web\"\npriority = 1\npath = \"/gone\"\nforward = [{{ group = \"gone\" }}]\n"
    );
    let ringway = Scenario::of(&backend).table(ADMIN).table(&group).start();
    let mut client = Client::connect(ringway.address());
    for (path, status) in [("/", 200), ("/missing", 404), ("/gone", 502)] {
        assert_eq!(client.get(path).status, status, "{path}");
    }
    let of = |name: &str, labels: &str| samples(&ringway)[&format!("ringway_upstream_{name}{{{labels}}}")];
    assert_eq!(of("responses_total", "group=\"app\",code=\"2xx\""), 1.0);
    assert_eq!(of("responses_total", "group=\"app\",code=\"4xx\""), 1.0);
    assert_eq!(of("responses_total", "group=\"gone\",code=\"5xx\""), 0.0);
    assert!(of("connection_failures_total", "group=\"gone\",reason=\"connect_refused\"") >= 1.0);
    eventually("workers tell what waits", || of("idle_connections", "group=\"app\"") == 1.0);
    assert_eq!(of("http2_connections", "group=\"app\""), 0.0);
}

#[test]
fn requests_under_way_are_counted_to_their_end() {
    let backend = Backend::silent();
    let ringway = Scenario::of(&backend).table(ADMIN).start();
    let in_flight = || samples(&ringway)["ringway_http_requests_in_flight{listener=\"web\"}"];
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(ringway.address())).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    eventually("all are under way", || in_flight() == 3.0);
    drop(clients);
    eventually("none is left", || in_flight() == 0.0);
}

#[test]
fn the_last_reload_is_told() {
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).table(ADMIN);
    let ringway = scenario.start();
    assert!(!samples(&ringway).contains_key("ringway_last_reload_succeeded"));
    ringway.reload(&scenario.clone().process("shutdown_timeout = \"29s\"").text());
    assert_eq!(samples(&ringway)["ringway_last_reload_succeeded"], 1.0);
    let ago = samples(&ringway)["ringway_last_reload_timestamp_seconds"]
        - samples(&ringway)["ringway_start_time_seconds"];
    assert!((0.0..60.0).contains(&ago), "{ago}");
}

#[test]
fn without_histograms_there_are_no_durations_by_rule() {
    let backend = Backend::echo_head();
    let ringway =
        Scenario::of(&backend).table(ADMIN).table(RULES).table("[metrics]\nhistograms = false").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!((client.get("/").status, client.get("/hello").status), (200, 202));
    eventually("they are counted", || {
        requests(&ringway, "listener=\"web\",rule=\"hello\",group=\"\",code=\"202\",protocol=\"HTTP/1.1\"")
            == 1.0
    });
    let told = samples(&ringway);
    assert!(told.keys().any(|name| name.starts_with("ringway_http_requests_total{")));
    assert!(told.keys().any(|name| name.starts_with("ringway_upstream_connect_duration_seconds_bucket{")));
    assert!(!told.keys().any(|name| name.starts_with("ringway_http_request_duration_seconds")), "{told:?}");
}

/// What a client measures of each request, and what the histogram makes of the same ones.
#[test]
fn percentiles_are_those_that_clients_measure() {
    const REQUESTS: u64 = 200;
    let backend = Backend::per_request(|peer, head, _| {
        let target = head.start_line.split(' ').nth(1).unwrap_or_default();
        let milliseconds = target.trim_start_matches('/').parse().unwrap_or_default();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        peer.respond("200 OK", b"late")
    });
    let ringway = Scenario::of(&backend).workers(2).table(ADMIN).start();
    let address = ringway.address();
    let mut measured: Vec<f64> = Vec::new();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let ask = |turn: u64| {
                        let began = now();
                        // From 0 to 120 ms, most of them short.
                        assert_eq!(client.get(&format!("/{}", (turn * turn) / 5)).status, 200);
                        began.elapsed().as_secs_f64()
                    };
                    (0..REQUESTS / 8).map(ask).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().for_each(|client| measured.extend(client.join().expect("it was answered")));
    });
    measured.sort_by(f64::total_cmp);
    let of = "{listener=\"web\",rule=\"\",group=\"app\"";
    let count = || samples(&ringway)[&format!("ringway_http_request_duration_seconds_count{of}}}")];
    eventually("all are counted", || count() == REQUESTS as f64);
    let told = samples(&ringway);
    let bounds = ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "+Inf"];
    let bucket =
        |bound: &str| told[&format!("ringway_http_request_duration_seconds_bucket{of},le=\"{bound}\"}}")];
    for share in [0.5, 0.75, 0.9, 0.99] {
        let rank = (share * REQUESTS as f64).ceil();
        let place = bounds.iter().position(|bound| bucket(bound) >= rank).expect("all are in the last");
        let exact = measured[rank as usize - 1];
        let of_client = bounds.iter().position(|bound| bound.parse().is_ok_and(|bound: f64| exact <= bound));
        let distance = of_client.unwrap_or(bounds.len() - 1).abs_diff(place);
        assert!(
            distance <= 1,
            "{share}: {exact} s of the client is {distance} buckets from {}",
            bounds[place]
        );
    }
    let sum = told[&format!("ringway_http_request_duration_seconds_sum{of}}}")];
    let of_clients: f64 = measured.iter().sum();
    assert!(sum <= of_clients && sum > 0.5 * of_clients, "{sum} of {of_clients}");
}
