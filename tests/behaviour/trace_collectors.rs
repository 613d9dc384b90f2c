//! Collectors of spans that are away, slow or unwilling, and others that take the place of one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::support::tls::{Issuer, server_config};
use crate::support::{
    Backend, Client, Collector, PATIENCE, Ringway, Scenario, TAKEN, ToldSpan, eventually, now, over_tls,
};

const SERVER: u64 = 2;
const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

fn of_kind(spans: &[ToldSpan], kind: u64) -> Vec<ToldSpan> {
    spans.iter().filter(|span| span.kind == kind).cloned().collect()
}

/// How many spans came to this end, by the metrics.
fn counted(ringway: &Ringway, result: &str) -> u64 {
    let line = ringway.wait_for_line("metrics on http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let mut stream =
        TcpStream::connect(address.parse::<SocketAddr>().expect("an address")).expect("it listens");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let name = format!("ringway_trace_spans_total{{result=\"{result}\"}} ");
    let line = answer.lines().find_map(|line| line.strip_prefix(&name)).expect("the series is there");
    line.parse().expect("a number")
}

#[test]
fn a_collector_that_is_away_costs_spans_and_no_time() {
    let place = Collector::new();
    let (lines, address) = (place.lines(), place.backend.address().to_string());
    place.backend.stop();
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).table(&lines).table(ADMIN).start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/kept").status, 200);
    ringway.wait_for_line("takes no spans: it refuses connections");
    let (began, long) = (now(), "x".repeat(1000));
    // What a worker may keep has a bound, and what is beyond is dropped.
    while counted(&ringway, "queue_full") == 0 {
        assert!(began.elapsed() < PATIENCE, "the queue is full some time");
        let requests = format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(20);
        client.send(requests);
        (0..20).for_each(|_| assert_eq!(client.read_response().status, 200));
    }
    let mut collector = Collector::at(&address, |_| TAKEN.to_owned());
    ringway.wait_for_line("takes spans again");
    let spans = collector.spans(400);
    assert_eq!(of_kind(&spans, SERVER)[0].attribute("url.path"), "/kept", "the oldest were not lost");
    let dropped = counted(&ringway, "queue_full");
    assert_eq!(client.get("/new").status, 200);
    eventually("new ones are told", || {
        collector.spans(0);
        let count = counted(&ringway, "exported") as usize;
        collector.spans(count).iter().any(|span| span.attribute("url.path") == "/new")
    });
    assert_eq!((counted(&ringway, "queue_full"), counted(&ringway, "unavailable")), (dropped, 0));
}

#[test]
fn what_cannot_be_taken_now_is_sent_again() {
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy";
    let unavailable =
        "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
    let collector = Collector::answering(move |number| match number {
        0 => busy.to_owned(),
        1 => unavailable.to_owned(),
        _ => TAKEN.to_owned(),
    });
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).table(&collector.lines()).table(ADMIN).start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    let came: Vec<_> = (0..3)
        .map(|_| {
            let message = collector.message();
            (now(), message.spans.iter().map(|span| span.span.clone()).collect::<Vec<_>>())
        })
        .collect();
    assert!(came[0].1 == came[1].1 && came[1].1 == came[2].1, "{came:?}");
    assert!(came[1].0 - came[0].0 >= Duration::from_millis(950), "Retry-After is minded");
    let count = came[0].1.len() as u64;
    eventually("they are counted", || counted(&ringway, "exported") == count);
    assert_eq!(counted(&ringway, "refused") + counted(&ringway, "unavailable"), 0);
    ringway.wait_for_line("it answers with 429");
}

#[test]
fn no_collector_makes_pauses_shorter_or_keeps_its_successor_out() {
    let hasty = Collector::answering(|_| {
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n".to_owned()
    });
    let mut other = Collector::new();
    let backend = Backend::echo_body();
    let scenario = Scenario::of(&backend);
    let ringway = scenario.clone().table(&hasty.lines()).start();
    assert_eq!(Client::connect(ringway.address()).get("/kept").status, 200);
    hasty.message();
    let (began, mut count) = (now(), 1);
    while began.elapsed() < Duration::from_millis(1500) {
        count += usize::from(!hasty.is_silent(Duration::from_millis(100)));
    }
    assert!((2..=3).contains(&count), "{count} requests came where two were due");
    // The next pause is of two seconds.
    let began = now();
    ringway.reload(&scenario.table(&other.lines()).text());
    assert_eq!(of_kind(&other.spans(2), SERVER)[0].attribute("url.path"), "/kept");
    assert!(began.elapsed() < Duration::from_millis(1200), "{:?}", began.elapsed());
}

#[test]
fn what_a_collector_refuses_is_lost_and_counted() {
    // One span of each batch is rejected, with words for the operator.
    let partial = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n\x0a\x09\x08\x01\x12\x05early";
    let collector = Collector::answering(move |number| match number {
        0 => "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => partial.to_owned(),
    });
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).table(&collector.lines()).table(ADMIN).start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let refused = collector.message().spans.len() as u64;
    let line = ringway.wait_for_line("refuses");
    assert!(line.contains(&format!("{refused} spans: it answers with 401")), "{line}");
    eventually("they are counted", || counted(&ringway, "refused") == refused);
    assert_eq!(client.get("/").status, 200);
    let taken = collector.message().spans.len() as u64;
    eventually("one more is refused", || counted(&ringway, "refused") == refused + 1);
    assert_eq!(counted(&ringway, "exported"), taken - 1);
}

#[test]
fn a_slow_collector_holds_nothing_up() {
    let collector = Collector::answering(|_| {
        std::thread::sleep(Duration::from_secs(3));
        TAKEN.to_owned()
    });
    let backend = Backend::echo_body();
    let lines = collector.lines() + "timeout = \"500ms\"\n";
    let mut ringway = Scenario::of(&backend).table(&lines).start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    ringway.wait_for_line("takes no spans: it does not answer in time");
    let began = now();
    (0..50).for_each(|_| assert_eq!(client.get("/").status, 200));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(client);
    let began = now();
    assert!(ringway.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let said = ringway.stderr_to_end();
    assert!(said.contains("spans are lost at the end"), "{said}");
}

#[test]
fn a_stop_sends_what_is_left() {
    let mut collector = Collector::new();
    let backend = Backend::echo_body();
    let mut ringway = Scenario::of(&backend).workers(2).table(&collector.lines()).start();
    for _ in 0..20 {
        assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    }
    assert!(ringway.terminate().success());
    let spans = collector.spans(if over_tls() { 60 } else { 40 });
    assert_eq!(of_kind(&spans, SERVER).len(), 20);
    assert!(!ringway.stderr_to_end().contains("lost"));
}

#[test]
fn a_reload_goes_on_with_another_collector() {
    let (mut one, mut other) = (Collector::new(), Collector::new());
    let backend = Backend::echo_body();
    let scenario = Scenario::of(&backend);
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/none").status, 200);
    ringway.reload(&scenario.clone().table(&one.lines()).text());
    assert_eq!(client.get("/one").status, 200);
    assert_eq!(of_kind(&one.spans(2), SERVER)[0].attribute("url.path"), "/one");
    ringway.reload(&scenario.clone().table(&other.lines()).text());
    assert_eq!(client.get("/other").status, 200);
    assert_eq!(of_kind(&other.spans(2), SERVER)[0].attribute("url.path"), "/other");
    ringway.reload(&scenario.text());
    assert_eq!(client.get("/none").status, 200);
    assert!(other.is_silent(Duration::from_millis(1200)) && one.is_silent(Duration::from_millis(1)));
}

#[test]
fn a_collector_is_known_by_its_certificate_and_knows_us_by_a_header() {
    let (issuer, stranger) = (Issuer::new("collectors"), Issuer::new("strangers"));
    let collector = |issuer: &Issuer| {
        let pair = issuer.sign(&["localhost"], |params| {
            params.subject_alt_names.push(rcgen::SanType::IpAddress([127, 0, 0, 1].into()));
        });
        Collector::secured(Arc::new(server_config(&pair, None)))
    };
    let backend = Backend::echo_body();
    for (collector, is_known) in [(collector(&issuer), true), (collector(&stranger), false)] {
        let lines = collector.lines().replace("http://", "https://")
            + "ca_file = \"collector.crt\"\nheaders_file = \"secrets\"\nheaders = { x-scope = \"edge\" }\n\
               compression = \"gzip\"\nservice_name = \"entrance\"\n";
        let scenario = Scenario::of(&backend).table(&lines).file("collector.crt", &issuer.pem);
        let ringway = scenario
            .file("secrets", "# of the collector\nAuthorization: Bearer s3cr3t\n\n")
            .logged("json")
            .start();
        assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
        if !is_known {
            ringway.wait_for_line("takes no spans");
            assert!(ringway.stderr().contains("UnknownIssuer"), "{}", ringway.stderr());
            continue;
        }
        let message = collector.message();
        assert!(message.head.start_line.starts_with("POST /v1/traces "), "{}", message.head.start_line);
        let field = |name| message.head.field(name).unwrap_or_default();
        let got = ["authorization", "x-scope", "content-type", "content-encoding", "host"].map(field);
        let host = collector.backend.address().to_string();
        assert_eq!(got, ["Bearer s3cr3t", "edge", "application/x-protobuf", "gzip", &host]);
        assert_eq!(message.resource["service.name"], "entrance");
        assert!(message.resource.contains_key("service.instance.id"));
        assert!(message.spans.len() >= 2);
        assert!(!ringway.stderr().contains("s3cr3t"));
    }
}
