//! Spans of sampled requests, as a collector gets them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::{
    Ask, Backend, BackendVersion, Client, Collector, Content, PATIENCE, Pair, Ringway, Scenario, ToldSpan,
    Version, over_tls,
};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

fn of_kind(spans: &[ToldSpan], kind: u64) -> Vec<ToldSpan> {
    spans.iter().filter(|span| span.kind == kind).cloned().collect()
}

#[test]
fn an_exchange_and_its_attempt_are_told() {
    Pair::each(|pair| {
        let mut collector = Collector::new();
        let (sender, told) = channel();
        let backend = pair.backend(move |exchange| {
            exchange.read_all()?;
            drop(sender.send(exchange.field("traceparent")));
            exchange.respond(503, b"busy")
        });
        let ringway = pair.scenario(&backend).table(&collector.lines()).start();
        let mut client = pair.connect(ringway.address());
        let value = format!("00-{ID}-{PARENT}-01");
        let fields = [("traceparent", value.as_str()), ("tracestate", "a=1,b=2"), ("user-agent", AGENT)];
        for _ in 0..2 {
            let call = client.begin(Ask::get("/a%20b?secret=1").fields(&fields));
            assert_eq!(client.response(call).status, 503);
        }
        let is_secure = pair.client != Version::Http1 || over_tls();
        let spans = collector.spans(4 + usize::from(is_secure));
        let exchanges = of_kind(&spans, SERVER);
        let attempts = of_kind(&spans, CLIENT);
        assert_eq!((exchanges.len(), attempts.len()), (2, 2));
        assert!(spans.iter().all(|span| span.trace == ID && span.state == "a=1,b=2"));
        for (exchange, attempt) in exchanges.iter().zip(&attempts) {
            let passed = told.recv_timeout(PATIENCE).expect("a request").expect("a traceparent");
            assert_eq!(passed, format!("00-{ID}-{}-01", attempt.span));
            assert_eq!((exchange.parent.as_str(), attempt.parent.as_str()), (PARENT, exchange.span.as_str()));
            assert!(exchange.start <= attempt.start && attempt.end <= exchange.end);
            assert!(exchange.is_error && attempt.is_error);
            check_exchange(exchange, (pair, is_secure), (&ringway, &backend));
            check_attempt(attempt, pair, &backend);
            assert_eq!((exchange.name.as_str(), attempt.name.as_str()), ("GET", "GET"));
        }
        assert_ne!(exchanges[0].span, exchanges[1].span);
        check_handshake(&spans, &exchanges[0], is_secure);
    });
}

const AGENT: &str = "caf\u{e9} \"x\"/1";

fn version(version: Version) -> &'static str {
    match version {
        Version::Http1 => "1.1",
        Version::Http2 => "2",
        Version::Http3 => "3",
    }
}

fn backend_version(version: BackendVersion) -> &'static str {
    if version == BackendVersion::Http2 { "2" } else { "1.1" }
}

fn check_exchange(
    exchange: &ToldSpan,
    (pair, is_secure): (Pair, bool),
    (ringway, backend): (&Ringway, &Backend),
) {
    for (key, expected) in [
        ("http.request.method", "GET"),
        ("url.scheme", if is_secure { "https" } else { "http" }),
        ("url.path", "/a%20b"),
        ("server.address", "test.example"),
        ("server.port", &ringway.address().port().to_string()),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", version(pair.client)),
        ("user_agent.original", AGENT),
        ("http.response.status_code", "503"),
        ("http.response.body.size", "4"),
        ("error.type", "503"),
        ("ringway.listener", "web"),
        ("ringway.group", "app"),
        ("ringway.backend", &backend.address().to_string()),
        ("ringway.worker", "0"),
        ("ringway.rule", ""),
    ] {
        assert_eq!(exchange.attribute(key), expected, "{key}");
    }
}

fn check_attempt(attempt: &ToldSpan, pair: Pair, backend: &Backend) {
    let address = backend.address().to_string();
    for (key, expected) in [
        ("http.request.method", "GET"),
        ("url.full", format!("http://{address}/a%20b").as_str()),
        ("server.address", "127.0.0.1"),
        ("server.port", &backend.address().port().to_string()),
        ("network.protocol.version", backend_version(pair.backend)),
        ("http.response.status_code", "503"),
        ("error.type", "503"),
        ("http.request.resend_count", ""),
        ("ringway.backend", &address),
    ] {
        assert_eq!(attempt.attribute(key), expected, "{key}");
    }
}

/// The first request of a connection tells of its handshake.
fn check_handshake(spans: &[ToldSpan], exchange: &ToldSpan, is_secure: bool) {
    let handshakes: Vec<_> = spans.iter().filter(|span| span.name == "TLS handshake").collect();
    assert_eq!(handshakes.len(), usize::from(is_secure));
    for handshake in handshakes {
        assert_eq!(handshake.parent, exchange.span);
        assert!(handshake.start < handshake.end && handshake.end <= exchange.end);
        assert_eq!(handshake.attribute("tls.protocol.version"), "1.3");
        assert_eq!(handshake.attribute("tls.client.server_name"), "test.example");
        assert_eq!(handshake.attribute("tls.resumed"), "false");
        assert!(handshake.attribute("tls.cipher").starts_with("TLS_"), "{handshake:?}");
    }
}

#[test]
fn each_attempt_is_told_with_what_came_of_it() {
    let mut collector = Collector::new();
    let refused = Backend::refused_address();
    let backend = Backend::echo_head();
    let scenario = Scenario::new().backend(refused).backend(backend.address()).table(&collector.lines());
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    // Round robin: one of two requests begins with the backend that is not there.
    let texts: Vec<_> = (0..2).map(|_| client.get("/").text()).collect();
    let spans = collector.spans(5 + usize::from(over_tls()));
    let (exchanges, attempts) = (of_kind(&spans, SERVER), of_kind(&spans, CLIENT));
    assert_eq!((exchanges.len(), attempts.len()), (2, 3));
    assert!(exchanges.iter().all(|exchange| !exchange.is_error && exchange.parent.is_empty()));
    let failed: Vec<_> = attempts.iter().filter(|attempt| attempt.is_error).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].attribute("error.type"), "connect_refused");
    assert_eq!(failed[0].attribute("ringway.backend"), refused.to_string());
    assert_eq!(failed[0].attribute("http.response.status_code"), "");
    let second = attempts.iter().find(|other| other.parent == failed[0].parent && !other.is_error);
    let second = second.expect("another one followed");
    assert_eq!(second.attribute("http.request.resend_count"), "1");
    assert!(failed[0].end <= second.start);
    for attempt in attempts.iter().filter(|attempt| !attempt.is_error) {
        let line = format!("-{}-{}-01", attempt.trace, attempt.span);
        assert!(texts.iter().any(|text| text.contains(&line)), "{line} {texts:?}");
    }
}

#[test]
fn a_response_that_breaks_off_is_told_with_its_status() {
    let mut collector = Collector::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome";
    let backend = Backend::closes_after(head, head.len());
    let ringway = Scenario::of(&backend).table(&collector.lines()).start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_read_response().is_err());
    let spans = collector.spans(2 + usize::from(over_tls()));
    for span in [of_kind(&spans, SERVER).remove(0), of_kind(&spans, CLIENT).remove(0)] {
        let told = ["http.response.status_code", "error.type"].map(|key| span.attribute(key));
        assert_eq!((told, span.is_error), (["200", "upstream_closed"], true), "{span:?}");
    }
}

#[test]
fn only_sampled_requests_are_told() {
    let mut collector = Collector::new();
    let backend = Backend::echo_head();
    let lines = collector.lines() + "sample = 0\n";
    let ringway = Scenario::of(&backend).table(&lines).start();
    let mut client = Client::connect(ringway.address());
    for flags in ["00", "01"] {
        client.send(format!(
            "GET /{flags} HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{ID}-{PARENT}-{flags}\r\n\r\n"
        ));
        assert_eq!(client.read_response().status, 200);
        assert!(client.get("/own").text().contains("-00\r\n"));
    }
    let spans = collector.spans(2);
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(|span| span.trace == ID && !span.is_error));
    assert_eq!(of_kind(&spans, SERVER)[0].attribute("url.path"), "/01");
    // Its connection's handshake belonged to a request that was not sampled.
    assert!(collector.is_silent(Duration::from_millis(1200)));
}

#[test]
fn answers_of_ringway_and_clients_that_leave_are_told() {
    Pair::each(|pair| {
        let mut collector = Collector::new();
        let (sender, came) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let waits = Arc::clone(&is_over);
        let backend = pair.backend(move |exchange| {
            let _ = sender.send(());
            exchange.read_all()?;
            while !waits.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            exchange.respond(200, b"late")
        });
        let rule = "[[rule]]\nname = \"hello\"\nlistener = \"web\"\npriority = 1\npath = \"/hello\"\n\
            respond = { code = 202, body = \"hello\" }\n";
        let ringway = pair.scenario(&backend).table(rule).table(&collector.lines()).start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::get("/hello").method("BREW"));
        assert_eq!(client.response(call).status, 202);
        let call = client.begin(Ask::get("/slow"));
        came.recv_timeout(PATIENCE).expect("a request");
        drop(client.abort(call));
        let is_secure = usize::from(pair.client != Version::Http1 || over_tls());
        let spans = collector.spans(3 + is_secure);
        is_over.store(true, Ordering::Relaxed);
        let exchanges = of_kind(&spans, SERVER);
        let own = exchanges.iter().find(|span| span.attribute("url.path") == "/hello").expect("it is told");
        assert_eq!((own.name.as_str(), own.is_error), ("HTTP", false));
        assert_eq!(own.attribute("http.request.method"), "_OTHER");
        assert_eq!(own.attribute("http.request.method_original"), "BREW");
        assert_eq!(
            (own.attribute("ringway.rule"), own.attribute("ringway.reason")),
            ("hello", "fixed_response")
        );
        assert_eq!((own.attribute("ringway.backend"), own.attribute("http.response.body.size")), ("", "5"));
        let left = exchanges.iter().find(|span| span.attribute("url.path") == "/slow").expect("it is told");
        assert_eq!((left.attribute("error.type"), left.is_error), ("client_closed", true));
        let attempt = of_kind(&spans, CLIENT).remove(0);
        assert_eq!((attempt.attribute("error.type"), &attempt.parent), ("client_closed", &left.span));
    });
}

#[test]
fn copies_and_questions_are_told() {
    let mut collector = Collector::new();
    let ends = [Backend::echo_head(), Backend::echo_head(), Backend::echo_head()];
    let group = |name: &str, at: usize| {
        format!(
            "[[server_group]]\nname = \"{name}\"\n[[server_group.backend]]\naddress = \"{}\"\n",
            ends[at].address()
        )
    };
    let rule = "[[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/\"\ngroup = \"app\"\n\
        mirror = { group = \"shadow\" }\nforward_auth = { group = \"auth\", path = \"/auth?key=1\" }\n";
    let scenario = Scenario::of(&ends[0]).table(&group("shadow", 1)).table(&group("auth", 2)).table(rule);
    let ringway = scenario.table(&collector.lines()).start();
    let mut client = Client::connect(ringway.address());
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.read_response().status, 200);
    let spans = collector.spans(4 + usize::from(over_tls()));
    let exchange = of_kind(&spans, SERVER).remove(0);
    assert_eq!((exchange.attribute("ringway.rule"), exchange.attribute("ringway.group")), ("all", "app"));
    let mut attempts = of_kind(&spans, CLIENT);
    assert!(attempts.iter().all(|span| span.parent == exchange.span && span.trace == exchange.trace));
    attempts.sort_by_key(|span| span.attribute("ringway.purpose").to_owned());
    let told = |span: &ToldSpan, key: &str| span.attribute(key).to_owned();
    let told: Vec<_> = attempts
        .iter()
        .map(|span| (told(span, "ringway.purpose"), told(span, "ringway.group"), span.name.clone()))
        .collect();
    let expected = [("", "app", "POST"), ("forward_auth", "auth", "GET"), ("mirror", "shadow", "POST")];
    let expected =
        expected.map(|(purpose, group, name)| (purpose.to_owned(), group.to_owned(), name.to_owned()));
    assert_eq!(told, expected);
    assert!(attempts[1].end <= attempts[0].start, "the question comes first");
    assert!(attempts[1].attribute("url.full").ends_with("/auth"));
}

#[test]
fn without_propagation_spans_stand_alone() {
    let mut collector = Collector::new();
    let backend = Backend::echo_head();
    let lines = collector.lines().replace("propagate = true", "propagate = false");
    let ringway = Scenario::of(&backend).table(&lines).start();
    let mut client = Client::connect(ringway.address());
    let value = format!("00-{ID}-{PARENT}-00");
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {value}\r\n\r\n"));
    assert!(client.read_response().text().contains(&format!("traceparent: {value}\r\n")));
    let spans = collector.spans(2);
    let exchange = of_kind(&spans, SERVER).remove(0);
    assert!(exchange.trace != ID && exchange.parent.is_empty());
    assert_eq!(of_kind(&spans, CLIENT)[0].parent, exchange.span);
    assert!(ringway.stderr().contains("the spans of Ringway stand alone"), "{}", ringway.stderr());
}

/// What is sent with a request must not be told of content that was sent.
#[test]
fn an_upload_is_told_when_it_has_ended() {
    let mut collector = Collector::new();
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).table(&collector.lines()).start();
    let mut client = crate::support::EitherClient::Http1(Client::connect(ringway.address()));
    let call = client.begin(Ask::post("/", Content::Open));
    client.write(call, b"some").expect("it is taken");
    assert!(collector.is_silent(Duration::from_millis(1200)));
    client.end(call, &[]).expect("it is taken");
    assert_eq!(client.response(call).body, b"some");
    let spans = collector.spans(2);
    let exchange = of_kind(&spans, SERVER).remove(0);
    assert!(exchange.end - exchange.start >= 1_000_000_000, "{exchange:?}");
}

#[test]
fn calls_of_grpc_are_told_with_what_they_came_to() {
    let mut collector = Collector::new();
    let (sender, told) = channel();
    let pair = Pair { client: Version::Http2, backend: BackendVersion::Http2 };
    let backend = pair.backend(move |exchange| {
        let _ = sender.send(exchange.field("traceparent"));
        exchange.read_all()?;
        exchange.head(200, &[("content-type", "application/grpc")], None)?;
        exchange.end(&[("grpc-status", "5")])
    });
    let ringway = pair.scenario(&backend).table(&collector.lines()).start();
    let mut client = pair.connect(ringway.address());
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let call = client.begin(Ask::post("/shop.Orders/Get", Content::Open).fields(&fields));
    client.write(call, &[0; 5]).expect("it is taken");
    client.end(call, &[]).expect("it is taken");
    assert_eq!(client.response(call).status, 200);
    let spans = collector.spans(3);
    let (exchange, attempt) = (of_kind(&spans, SERVER).remove(0), of_kind(&spans, CLIENT).remove(0));
    let passed = told.recv_timeout(PATIENCE).expect("a call").expect("a traceparent");
    assert_eq!(passed, format!("00-{}-{}-01", exchange.trace, attempt.span));
    assert_eq!(exchange.attribute("rpc.grpc.status_code"), "5");
    assert_eq!((exchange.attribute("url.path"), exchange.name.as_str()), ("/shop.Orders/Get", "POST"));
}
