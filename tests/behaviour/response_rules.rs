//! Rules for responses of backends.

use crate::support::{Ask, Backend, Client, Content, Pair, Scenario, log_entries};

/// A rule for responses of the listener `web`.
fn rule(name: &str, priority: u32, lines: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\ndirection = \"response\"\n{lines}\n"
    )
}

/// A rule that marks responses with its name.
fn marking(name: &str, priority: u32, conditions: &str) -> String {
    let mark = format!("set_response_header = {{ name = \"x-rule\", value = \"{name}\" }}");
    rule(name, priority, &format!("{conditions}\n{mark}"))
}

#[test]
fn the_first_rule_that_holds_takes_a_response() {
    Pair::each(|pair| {
        // The path says what is answered.
        let backend = pair.backend(|exchange| {
            let path = exchange.path();
            let mut words = path.trim_start_matches('/').split('/');
            let status = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
            let kind = words.next().unwrap_or("none").to_owned();
            exchange.head(status, &[("x-kind", &kind)], Some(4))?;
            exchange.write(b"body")?;
            exchange.end(&[])
        });
        let ringway = pair
            .scenario(&backend)
            .table(&marking(
                "header",
                10,
                "response_header = { name = \"X-Kind\", values = [\"a*\"] }\nstatus = \"2xx\"",
            ))
            .table(&marking(
                "both",
                20,
                "response_header = [{ name = \"x-kind\", values = [\"b\"] }, { name = \"x-none\" }]",
            ))
            .table(&marking("statuses", 30, "status = [404, \"500-502\"]"))
            .table(&marking("request", 40, "path_prefix = \"/403\"\nmethod = \"POST\""))
            .table(&marking("regex", 50, "path = \"~^/2[0-9]+/z\"\nstatus = 201"))
            .start();
        let mut client = pair.connect(ringway.address());
        for (method, path, expected) in [
            ("GET", "/200/abc", Some("header")),
            ("GET", "/404/abc", Some("statuses")),
            ("GET", "/200/b", None),
            ("GET", "/501/x", Some("statuses")),
            ("GET", "/503/x", None),
            ("POST", "/403/x", Some("request")),
            ("GET", "/403/x", None),
            ("GET", "/201/z", Some("regex")),
            ("GET", "/x/../201/%7A", None),
        ] {
            let call = client.begin(Ask::get(path).method(method));
            let answer = client.response(call);
            assert_eq!(answer.field("x-rule"), expected, "{method} {path}");
            assert_eq!(answer.body, b"body", "{method} {path}");
        }
    });
}

#[test]
fn an_answer_takes_the_place_of_a_backends() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            exchange.read_all()?;
            let length = match exchange.path().as_str() {
                "/large" => 1 << 20,
                _ => 6,
            };
            exchange.head(500, &[("x-secret", "trace")], Some(length))?;
            // Nobody may read it.
            if exchange.method() != "HEAD" && exchange.write(&vec![b's'; length]).is_ok() {
                return exchange.end(&[]);
            }
            Ok(())
        });
        let respond = "status = \"5xx\"\nset_response_header = { name = \"x-rule\", value = \"gone\" }\n\
            respond = { code = 503, content_type = \"text/html\", body = \"<p>later\" }";
        let ringway = pair
            .scenario(&backend)
            .listener("response_headers = [{ set_header = { name = \"x-all\", value = \"1\" } }]")
            .table(&rule("hide", 10, respond))
            .logged("json")
            .start();
        let mut client = pair.connect(ringway.address());
        for path in ["/", "/large", "/"] {
            let answer = client.get(path);
            assert_eq!((answer.status, answer.body.as_slice()), (503, &b"<p>later"[..]), "{path}");
            assert_eq!(answer.field("server"), Some("ringway"));
            assert_eq!((answer.field("x-secret"), answer.field("content-type")), (None, Some("text/html")));
            assert_eq!((answer.field("x-rule"), answer.field("x-all")), (Some("gone"), Some("1")));
        }
        let call = client.begin(Ask::get("/").method("HEAD"));
        let answer = client.response(call);
        assert_eq!((answer.status, answer.body.len()), (503, 0));
        let call = client.begin(Ask::post("/", Content::Sized(4)));
        client.write(call, b"abcd").unwrap();
        client.end(call, &[]).unwrap();
        let answer = client.response(call);
        assert_eq!(answer.status, 503);
        let entries = log_entries(&ringway, 5);
        assert!(entries.iter().all(|entry| entry["status"] == 503), "{entries:?}");
        assert!(entries.iter().all(|entry| entry["upstream_status"] == 500), "{entries:?}");
        assert!(entries.iter().all(|entry| entry["reason"] == "fixed_response"), "{entries:?}");
    });
}

#[test]
fn a_connection_whose_response_was_dropped_is_used_again() {
    let backend = Backend::fixed("HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\noops!");
    let ringway =
        Scenario::of(&backend).table(&rule("r", 1, "status = 500\nrespond = { body = \"fine\" }")).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..5 {
        let response = client.get("/");
        assert_eq!((response.status, response.body.as_slice()), (200, &b"fine"[..]));
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn what_ringway_answers_itself_is_no_response_of_a_backend() {
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let ringway = Scenario::of(&backend).table(&marking("all", 1, "")).start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").field("x-rule"), Some("all"));
    client.send("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.field("x-rule")), (405, None));
}
