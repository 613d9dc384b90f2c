//! Pages of the operator's for answers with an error status.

use crate::support::{Ask, Backend, Client, Pair, Ringway, Scenario, eventually, log_entries};

/// A page with these further keys, in a file of this name.
fn page(status: &str, file: &str, more: &str) -> String {
    format!("[[error_page]]\nstatus = {status}\nfile = \"{file}\"\n{more}\n")
}

#[test]
fn own_answers_show_the_page_and_keep_the_rest() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(503, b"from the backend"));
        let ringway = pair
            .scenario(&backend)
            .table("[[rule]]\nname = \"none\"\nlistener = \"web\"\npriority = 1\npath = \"/none\"\ngroup = \"empty\"")
            .table("[[server_group]]\nname = \"empty\"\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"\nweight = 0")
            .table(&page("[\"5xx\"]", "503.html", ""))
            .table(&page("405", "405.json", "listener = [\"web\"]"))
            .file("503.html", "<p>später")
            .file("405.json", "{}")
            .logged("json")
            .start();
        let mut client = pair.connect(ringway.address());
        let answer = client.get("/none");
        assert_eq!((answer.status, answer.body.as_slice()), (503, "<p>später".as_bytes()));
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!((answer.field("x-router-code"), answer.field("server")), (Some("40000"), Some("ringway")));
        let call = client.begin(Ask::get("/none").method("HEAD"));
        let answer = client.response(call);
        assert_eq!((answer.status, answer.body.len(), answer.field("content-length")), (503, 0, Some("10")));
        let call = client.begin(Ask::get("/").method("TRACE"));
        let answer = client.response(call);
        assert_eq!((answer.status, answer.body.as_slice()), (405, &b"{}"[..]));
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert!(answer.field("allow").is_some());
        // What backends say stays.
        assert_eq!(client.get("/").body, b"from the backend");
        assert_eq!(log_entries(&ringway, 4)[0]["reason"], "no_backend");
    });
}

#[test]
fn pages_take_the_place_of_what_backends_send() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            exchange.read_all()?;
            let status = exchange.path().trim_start_matches('/').parse().unwrap_or(200);
            let fields = [("content-type", "text/plain"), ("etag", "\"1\""), ("www-authenticate", "Basic")];
            let length = if exchange.method() == "HEAD" { None } else { Some(7) };
            exchange.head(status, &fields, length)?;
            exchange.write(b"details")?;
            exchange.end(&[])
        });
        // More than a buffer holds.
        let large = format!("<p>{}", "x".repeat(300_000));
        let ringway = pair
            .scenario(&backend)
            .listener("compression = true")
            .table(&page("[500, 503]", "large.html", "upstream = true"))
            .table(&page("401", "401.txt", "upstream = true"))
            .file("large.html", &large)
            .file("401.txt", "who are you?")
            .logged("json")
            .start();
        let mut client = pair.connect(ringway.address());
        for status in [500, 503, 500] {
            let call = client.begin(Ask::get(&format!("/{status}")).fields(&[("accept-encoding", "br")]));
            let answer = client.response(call);
            assert_eq!(answer.status, status);
            assert!(answer.body == large.as_bytes(), "{} bytes", answer.body.len());
            assert_eq!(answer.all("content-type"), ["text/html; charset=utf-8"]);
            assert_eq!((answer.field("etag"), answer.field("content-length")), (None, Some("300003")));
        }
        let answer = client.get("/401");
        assert_eq!((answer.status, answer.body.as_slice()), (401, &b"who are you?"[..]));
        assert_eq!(answer.field("www-authenticate"), Some("Basic"));
        let answer = client.get("/502");
        assert_eq!((answer.status, answer.body.as_slice()), (502, &b"details"[..]));
        let call = client.begin(Ask::get("/500").method("HEAD"));
        let answer = client.response(call);
        assert_eq!(
            (answer.status, answer.body.len(), answer.field("content-length")),
            (500, 0, Some("300003"))
        );
        let entries = log_entries(&ringway, 6);
        assert_eq!((&entries[0]["status"], &entries[0]["reason"]), (&500.into(), &"-".into()));
        assert_eq!(entries[0]["body_bytes_sent"], 300_003);
    });
}

#[test]
fn a_reload_reads_pages_again() {
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let scenario = Scenario::of(&backend).table(&page("405", "page.txt", "")).file("page.txt", "one");
    let ringway = scenario.start();
    let shown = |ringway: &Ringway| {
        let mut client = Client::connect(ringway.address());
        client.send("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.read_response().text()
    };
    assert_eq!(shown(&ringway), "one");
    std::fs::write(ringway.folder().join("page.txt"), "two").unwrap();
    ringway.reload(&scenario.text());
    assert_eq!(shown(&ringway), "two");
}

#[test]
fn pages_that_change_on_disk_are_in_service_soon() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"from the backend"));
        let rule = |name: &str, priority: u32, respond: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\npath = \"/{name}\"\n\
                 respond = {{ {respond} }}"
            )
        };
        let ringway = pair
            .scenario(&backend)
            .table(&page("405", "page.txt", ""))
            .table(&rule("sorry", 1, "code = 503, body_file = \"page.txt\""))
            .table(&rule("typed", 2, "content_type = \"text/x-own\", body_file = \"page.txt\""))
            .file("page.txt", "one")
            .start();
        let mut client = pair.connect(ringway.address());
        let mut shown = |path: &str, method: &str| {
            let call = client.begin(Ask::get(path).method(method));
            let answer = client.response(call);
            let content_type = answer.field("content-type").unwrap_or_default().to_owned();
            let length = answer.field("content-length").unwrap_or_default().to_owned();
            (answer.status, content_type, length, String::from_utf8(answer.body).expect("it is text"))
        };
        let told = |status, content_type: &str, text: &str| {
            (status, content_type.to_owned(), text.len().to_string(), text.to_owned())
        };
        let path = ringway.folder().join("page.txt");
        for text in ["one", "and two"] {
            std::fs::write(ringway.folder().join("next.txt"), text).expect("it can be written");
            std::fs::rename(ringway.folder().join("next.txt"), &path).expect("it can be renamed");
            eventually("the page is in service", || {
                shown("/sorry", "GET") == told(503, "text/plain; charset=utf-8", text)
            });
            assert_eq!(shown("/typed", "GET"), told(200, "text/x-own", text));
            assert_eq!(shown("/", "TRACE"), told(405, "text/plain; charset=utf-8", text));
            let (status, _, length, body) = shown("/sorry", "HEAD");
            assert_eq!((status, length, body), (503, text.len().to_string(), String::new()));
        }
        // What is no page leaves the old one.
        std::fs::write(&path, "").expect("it can be written");
        ringway.wait_for_line("page.txt is empty; write a page into it");
        assert_eq!(shown("/sorry", "GET").3, "and two");
        assert_eq!(shown("/", "TRACE").3, "and two");
        std::fs::write(&path, "three").expect("it can be written");
        eventually("the page is in service", || {
            shown("/sorry", "GET").3 == "three" && shown("/", "TRACE").3 == "three"
        });
    });
}

#[test]
fn callers_of_grpc_get_no_page() {
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let text = Scenario::of(&backend)
        .table(&page("[\"4xx\", \"5xx\"]", "page.txt", "upstream = true"))
        .text()
        .replace("default_group = \"app\"\n", "");
    let ringway = Ringway::start_with(&text, &[("page.txt".to_owned(), "page".to_owned())]);
    let mut client = Client::connect(ringway.address());
    client.send("POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert!(response.field("grpc-status").is_some());
    assert_eq!(client.get("/").text(), "page");
}
