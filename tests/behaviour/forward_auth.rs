//! A service of the operator's decides which requests pass.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{
    Ask, Backend, BackendVersion, Client, Content, Exchange, Pair, Scenario, Version, eventually,
    log_entries, now,
};

/// A rule for everything below `/a`, which asks at the group `auth`.
fn asking(lines: &str) -> String {
    format!(
        "[[rule]]\nname = \"asks\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/a\"\ngroup = \"app\"\n\
         forward_auth = {{ group = \"auth\", {lines} }}\n"
    )
}

/// The group `auth`, whose backends speak what this says.
fn auth_group(address: std::net::SocketAddr, protocol: &str, lines: &str) -> String {
    format!(
        "[[server_group]]\nname = \"auth\"\nprotocol = \"{protocol}\"\n{lines}\n\
         [[server_group.backend]]\naddress = \"{address}\"\n"
    )
}

fn protocol(pair: Pair) -> &'static str {
    if pair.backend == BackendVersion::Http2 { "h2c" } else { "http" }
}

/// Lets `good` pass as `ada`, and tells others why not.
fn judge(exchange: &mut dyn Exchange) -> io::Result<()> {
    let field = |name: &str| exchange.field(name).unwrap_or_default();
    let asked = ["method", "proto", "host", "uri", "for"].map(|name| field(&format!("x-forwarded-{name}")));
    let asked = format!("{} {} {}", exchange.method(), exchange.path(), asked.join(" "));
    let (token, agent) = (field("authorization"), field("x-agent"));
    match token.as_str() {
        "good" => {
            exchange.head(204, &[("x-user", "ada"), ("x-asked", &asked), ("x-agent", &agent)], None)?;
            exchange.end(&[])
        }
        "login" => {
            exchange.head(302, &[("location", "https://login.example/?a=b")], Some(0))?;
            exchange.end(&[])
        }
        "broken" => exchange.respond(500, b"oops"),
        _ => {
            exchange.head(401, &[("www-authenticate", "Bearer"), ("set-cookie", "a=b")], Some(5))?;
            exchange.write(b"no, A")?;
            exchange.end(&[])
        }
    }
}

#[test]
fn what_passes_carries_what_the_service_says() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let field = |name| exchange.field(name).unwrap_or_else(|| "-".to_owned());
            let text = ["x-user", "x-asked", "x-agent", "x_user"].map(field).join("|");
            let content = String::from_utf8(exchange.read_all()?).unwrap_or_default();
            let trailers = exchange.trailers().len();
            exchange.respond(200, format!("{text}|{content}{trailers}").as_bytes())
        });
        let auth = pair.backend(judge);
        let rule = asking("path = \"/verify?x=1\", response_headers = [\"X-User\", \"x-asked\"]");
        let ringway = pair
            .scenario(&backend)
            .table(&auth_group(auth.address(), protocol(pair), ""))
            .table(&rule)
            .start();
        let mut client = pair.connect(ringway.address());
        let fields = [
            ("authorization", "good"),
            ("x-user", "root"),
            ("x_user", "root"),
            ("x-agent", "mine"),
            ("x-forwarded-method", "DELETE"),
        ];
        let call = client.begin(Ask::post("/a/b?c=d", Content::Open).fields(&fields));
        client.write(call, b"hello, ").unwrap();
        client.write(call, b"backend").unwrap();
        // Some servers make headers of trailers.
        client.end(call, &[("x-user", "root")]).unwrap();
        let answer = client.response(call);
        let scheme = if is_secure(pair) { "https" } else { "http" };
        let asked = format!("GET /verify?x=1 POST {scheme} test.example /a/b?c=d 127.0.0.1");
        assert_eq!(String::from_utf8(answer.body).unwrap(), format!("ada|{asked}|mine|-|hello, backend0"));
        // Other requests are not asked about.
        let answer = client.get("/b");
        assert_eq!(String::from_utf8(answer.body).unwrap(), "-|-|-|-|0");
        assert_eq!(auth.requests(), 1);
    });
}

fn is_secure(pair: Pair) -> bool {
    pair.client != Version::Http1 || crate::support::over_tls()
}

#[test]
fn what_is_denied_gets_the_answer_of_the_service() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"app"));
        let auth = pair.backend(judge);
        let ringway = pair
            .scenario(&backend)
            .table(&auth_group(auth.address(), protocol(pair), ""))
            .table(&asking("response_headers = [\"x-user\"]"))
            .logged("json")
            .start();
        let mut client = pair.connect(ringway.address());
        let answer = client.get("/a");
        assert_eq!((answer.status, &answer.body[..]), (401, &b"no, A"[..]));
        assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.field("set-cookie"), Some("a=b"));
        let call = client.begin(Ask::get("/a").fields(&[("authorization", "login")]));
        let answer = client.response(call);
        assert_eq!((answer.status, answer.field("location")), (302, Some("https://login.example/?a=b")));
        let call = client.begin(Ask::get("/a").method("HEAD"));
        assert_eq!(client.response(call).status, 401);
        let call = client.begin(Ask::get("/a").fields(&[("authorization", "broken")]));
        assert_eq!(client.response(call).status, 503);
        // An upload that is denied is not waited for.
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/a", Content::Sized(1_000_000)));
        assert_eq!(client.response(call).status, 401);
        assert_eq!(backend.requests(), 0);
        let entries = log_entries(&ringway, 5);
        let told = |index: usize| (entries[index]["status"].as_u64(), entries[index]["reason"].as_str());
        assert_eq!(told(0), (Some(401), Some("forward_auth_denied")));
        assert_eq!(told(1), (Some(302), Some("forward_auth_denied")));
        assert_eq!(told(3), (Some(503), Some("forward_auth_failed")));
        assert_eq!(entries[0]["rule"], "asks");
    });
}

#[test]
fn a_service_that_is_down_or_slow_lets_nobody_pass_unless_told_to() {
    let backend = Backend::echo_head();
    let slow = Backend::silent();
    let addresses = [Backend::refused_address(), slow.address()];
    for (address, passes) in addresses.into_iter().flat_map(|address| [(address, false), (address, true)]) {
        let on_failure = if passes { "pass" } else { "deny" };
        let lines =
            format!("timeout = \"1s\", on_failure = \"{on_failure}\", response_headers = [\"x-user\"]");
        let scenario = Scenario::of(&backend).table(&auth_group(address, "http", "")).table(&asking(&lines));
        let ringway = scenario.start();
        let mut client = Client::connect(ringway.address());
        let began = now();
        client.send("GET /a HTTP/1.1\r\nHost: a\r\nX-User: root\r\n\r\n");
        let response = client.read_response();
        assert_eq!(response.status, if passes { 200 } else { 503 });
        assert!(!response.text().to_lowercase().contains("x-user"), "{}", response.text());
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn the_service_is_asked_before_a_redirect_and_a_fixed_response() {
    let backend = Backend::echo_head();
    let auth = Backend::per_request(|peer, head, _| match head.field("authorization") {
        Some("good") => peer.respond("200 OK", b""),
        _ => peer.respond("403 Forbidden", b"no"),
    });
    let rule = asking("path = \"/\"").replace("group = \"app\"\n", "respond = { body = \"secret\" }\n");
    let scenario = Scenario::of(&backend).table(&auth_group(auth.address(), "http", "")).table(&rule);
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    let response = client.get("/a");
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: good\r\n\r\n");
    assert_eq!(client.read_response().text(), "secret");
}

#[test]
fn the_question_goes_to_another_backend_and_long_answers_are_refused() {
    let backend = Backend::echo_head();
    let long = Arc::new(AtomicUsize::new(0));
    let bytes = Arc::clone(&long);
    let auth = Backend::per_request(move |peer, _, _| {
        peer.respond("401 Unauthorized", &vec![b'x'; bytes.load(Ordering::Relaxed)])
    });
    let group = auth_group(auth.address(), "http", "")
        + &format!("[[server_group.backend]]\naddress = \"{}\"\n", Backend::refused_address());
    let ringway = Scenario::of(&backend).table(&group).table(&asking("path = \"/\"")).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..4 {
        assert_eq!(client.get("/a").status, 401);
    }
    for (bytes, status) in [(64 * 1024, 401), (64 * 1024 + 1, 503)] {
        long.store(bytes, Ordering::Relaxed);
        let response = client.get("/a");
        assert_eq!(response.status, status);
        assert_eq!(response.body.len() == bytes, status == 401);
    }
}

#[test]
fn a_client_that_leaves_ends_the_question() {
    for pair in Pair::ALL {
        let backend = pair.backend(|exchange| exchange.respond(200, b"app"));
        let auth = Backend::silent();
        let ringway = pair
            .scenario(&backend)
            .table(&auth_group(auth.address(), "http", ""))
            .table(&asking("timeout = \"60s\""))
            .logged("json")
            .start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::get("/a"));
        eventually("the service is asked", || auth.open_connections() == 1);
        drop(client.abort(call));
        let entry = &log_entries(&ringway, 1)[0];
        assert_eq!((&entry["status"], &entry["reason"]), (&499.into(), &"client_closed".into()));
        eventually("the question ends", || auth.open_connections() == 0);
        assert_eq!(backend.requests(), 0);
    }
}

/// Maintenance keeps out clients that are forwarded to a group, and the service of a rule is none.
#[test]
fn a_service_in_maintenance_is_asked_all_the_same() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"app"));
        let auth = pair.backend(judge);
        let ringway = pair
            .scenario(&backend)
            .table(&auth_group(auth.address(), protocol(pair), "maintenance = { enabled = true }"))
            .table(&asking("response_headers = [\"x-user\"]"))
            .start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::get("/a").fields(&[("authorization", "good")]));
        assert_eq!(client.response(call).status, 200);
        assert_eq!(client.get("/a").status, 401);
        assert_eq!(auth.requests(), 2);
    });
}

/// A service that lets all pass but `/a/secret` cannot be asked about another spelling than is served.
#[test]
fn the_service_is_asked_about_the_path_that_is_served() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let path = exchange.path();
            exchange.respond(200, path.as_bytes())
        });
        let auth = pair.backend(|exchange| {
            let uri = exchange.field("x-forwarded-uri").unwrap_or_default();
            exchange.respond(if uri.starts_with("/a/secret") { 403 } else { 200 }, b"")
        });
        let ringway = pair
            .scenario(&backend)
            .table(&auth_group(auth.address(), protocol(pair), ""))
            .table(&asking(""))
            .start();
        let mut client = pair.connect(ringway.address());
        for path in ["/a/secret?x=%61", "/a//secret", "/a/%73ecret", "/a/b/../secret", "/./a/secret"] {
            assert_eq!(client.get(path).status, 403, "{path}");
        }
        let answer = client.get("/a/./b?x=%61//");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"/a/b?x=%61//"[..]));
    });
}
