//! Headers of responses that listeners and rules insert, set, append and remove.

use crate::support::{Answer, Ask, Backend, Client, EitherClient, Pair, Scenario, Version};

fn rule(name: &str, priority: u32, lines: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\n{lines}\n")
}

/// What Ringway answers itself.
fn trace(client: &mut EitherClient) -> Answer {
    let call = client.begin(Ask::get("/").method("TRACE"));
    client.response(call)
}

const LISTENER: &str = "response_headers = [{ set_header = { name = \"X-Frame-Options\", value = \"DENY\" } }, \
    { insert_header = { name = \"cache-control\", value = \"no-store\" } }, { remove_header = { name = \"x-powered-by\" } }]";

const EDITS: &str = "actions = [{ set_response_header = { name = \"x-frame-options\", value = \"SAMEORIGIN\" } }, \
    { append_response_header = { name = \"x-seen\", value = \"2\" } }, \
    { insert_response_header = { name = \"x-seen\", value = \"3\" } }, \
    { set_response_header = { name = \"x-client\", value = { system = \"client_ip\" } } }, \
    { set_response_header = { name = \"x-copy\", value = { header = \"x-powered-by\" } } }, \
    { set_response_header = { name = \"x-none\", value = { header = \"x-absent\" } } }]";

/// The values of what is edited.
fn edited(answer: &Answer) -> String {
    let names =
        ["x-frame-options", "x-powered-by", "x-seen", "cache-control", "x-client", "x-copy", "x-none"];
    names.map(|name| answer.all(name).join(",")).join("|")
}

#[test]
fn responses_of_backends_and_own_ones_are_edited() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let fields = [("x-powered-by", "php"), ("x-frame-options", "ALLOW"), ("x-seen", "1")];
            exchange.head(200, &fields, Some(2))?;
            exchange.write(b"ok")?;
            exchange.end(&[])
        });
        let ringway = pair
            .scenario(&backend)
            .listener(LISTENER)
            .table(&rule("app", 10, &format!("path = \"/app\"\n{EDITS}\ngroup = \"app\"")))
            .table(&rule("fixed", 20, &format!("path = \"/fixed\"\n{EDITS}\nrespond = {{ body = \"hi\" }}")))
            .table(&rule(
                "moved",
                30,
                &format!("path = \"/moved\"\n{EDITS}\nredirect = {{ host = \"b.example\" }}"),
            ))
            .start();
        let mut client = pair.connect(ringway.address());
        let own = "SAMEORIGIN||2|no-store|127.0.0.1||";
        for (path, status, expected) in [
            ("/", 200, "DENY||1|no-store|||"),
            ("/app", 200, "SAMEORIGIN||1,2|no-store|127.0.0.1|php|"),
            ("/fixed", 200, own),
            ("/moved", 302, own),
        ] {
            let answer = client.get(path);
            assert_eq!((answer.status, edited(&answer).as_str()), (status, expected), "{path}");
        }
        // What could not be forwarded has them too.
        let answer = trace(&mut client);
        assert_eq!((answer.status, edited(&answer).as_str()), (405, "DENY|||no-store|||"));
    });
}

#[test]
fn the_head_of_a_response_stays_framed_and_what_is_our_own_stays() {
    let backend = Backend::fixed(
        "HTTP/1.1 200 OK\r\nServer: app\r\nSet-Cookie: a=1\r\nVary: Cookie\r\nContent-Type: text/css\r\n\
         Content-Length: 2000\r\n\r\n"
            .to_owned()
            + &"a".repeat(2_000),
    );
    let ringway = Scenario::of(&backend)
        .listener("compression = true")
        .listener(
            "response_headers = [{ remove_header = { name = \"server\" } }, \
             { remove_header = { name = \"set-cookie\" } }, { set_header = { name = \"Vary\", value = \"Origin\" } }]",
        )
        .group_table("[server_group.sticky]\nmode = \"insert\"")
        .start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.field("server"), None);
    // The cookie of stickiness comes after the edits, and so does what compression says.
    let all = |name| response.head.all(name);
    assert_eq!(all("set-cookie").len(), 1, "{}", response.head.text());
    assert!(all("set-cookie")[0].starts_with("SERVERID="));
    assert_eq!(all("vary"), ["Origin", "Accept-Encoding"]);
    assert_eq!(response.field("content-encoding"), Some("gzip"));
    // An answer of Ringway's to what is no request.
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.field("server")), (400, None));
    assert_eq!(response.head.all("vary"), ["Origin"]);
}

#[test]
fn a_secure_listener_asks_to_be_asked_securely() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            exchange.head(200, &[("strict-transport-security", "max-age=1")], Some(0))?;
            exchange.end(&[])
        });
        let scenario =
            pair.scenario(&backend).listener("hsts = { max_age = \"180d\", include_subdomains = true }");
        let ringway = if pair.client == Version::Http1 { scenario.secured() } else { scenario }.start();
        let mut client = pair.connect(ringway.address());
        for answer in [client.get("/"), trace(&mut client)] {
            assert_eq!(answer.all("strict-transport-security"), ["max-age=15552000; includeSubDomains"]);
        }
    });
}

#[test]
fn a_request_is_named_to_its_client() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend)
        .forwarded("x_request_id = true")
        .listener(
            "response_headers = [{ set_header = { name = \"x-request-id\", value = { system = \"request_id\" } } }, \
             { set_header = { name = \"x-port\", value = { system = \"listener_port\" } } }]",
        )
        .start();
    let mut client = Client::connect(ringway.address());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let response = client.get("/");
        let id = response.field("x-request-id").unwrap().to_owned();
        assert!(
            response.text().to_lowercase().contains(&format!("x-request-id: {id}")),
            "{}",
            response.text()
        );
        assert_eq!(response.field("x-port"), Some(ringway.address().port().to_string().as_str()));
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}
