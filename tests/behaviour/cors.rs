//! Pages of other origins: what their browsers are told, and what backends say that is replaced.

use crate::support::{Answer, Ask, Backend, Client, EitherClient, Pair, Scenario, eventually, log_entries};

fn rule(name: &str, priority: u32, lines: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\n{lines}\n")
}

const APP: &str = "path_prefix = \"/app\"\ngroup = \"app\"\ncors = { \
    allow_origins = [\"https://app.example.com\", \"https://*.example.net\"], allow_methods = [\"GET\", \"PUT\"], \
    allow_headers = [\"x-token\", \"content-type\"], expose_headers = [\"x-total\"], allow_credentials = true, \
    max_age = \"1h\" }";

const PUBLIC: &str = "path_prefix = \"/public\"\ngroup = \"app\"\ncors = { allow_origins = [\"*\"], \
    allow_headers = [\"*\", \"authorization\"] }";

fn ask(client: &mut EitherClient, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let call = client.begin(Ask::get(path).method(method).fields(fields));
    client.response(call)
}

/// Everything that the protocol is about.
fn told(answer: &Answer) -> String {
    let names = [
        "access-control-allow-origin",
        "access-control-allow-credentials",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-expose-headers",
        "access-control-max-age",
        "access-control-allow-private-network",
        "vary",
    ];
    names.map(|name| answer.all(name).join(";")).join("|")
}

/// Method, path, origin, whether a method is asked for; status and fields of the answer.
type Case = (&'static str, &'static str, Option<&'static str>, bool, u16, &'static str);

const MATRIX: &[Case] = &[
    // Responses of the backend, whose own word does not count.
    (
        "GET",
        "/app/a",
        Some("https://app.example.com"),
        false,
        200,
        "https://app.example.com|true|||x-total|||Accept;Origin",
    ),
    (
        "GET",
        "/app/a",
        Some("https://a.b.example.net"),
        false,
        200,
        "https://a.b.example.net|true|||x-total|||Accept;Origin",
    ),
    ("GET", "/app/a", Some("https://evil.example"), false, 200, "|||||||Accept;Origin"),
    ("GET", "/app/a", Some("http://app.example.com"), false, 200, "|||||||Accept;Origin"),
    ("GET", "/app/a", Some("null"), false, 200, "|||||||Accept;Origin"),
    ("GET", "/app/a", None, false, 200, "|||||||Accept;Origin"),
    ("GET", "/public/a", Some("https://evil.example"), false, 200, "*|||||||Accept"),
    ("GET", "/public/a", None, false, 200, "*|||||||Accept"),
    // Preflights.
    (
        "OPTIONS",
        "/app/a",
        Some("https://app.example.com"),
        true,
        204,
        "https://app.example.com|true|GET, PUT|x-token, content-type|x-total|3600||Origin",
    ),
    ("OPTIONS", "/app/a", Some("https://evil.example"), true, 403, "|||||||Origin"),
    ("OPTIONS", "/public/a", Some("null"), true, 204, "*||GET, HEAD, POST|*, authorization||||"),
    // No preflight: the backend answers.
    (
        "OPTIONS",
        "/app/a",
        Some("https://app.example.com"),
        false,
        200,
        "https://app.example.com|true|||x-total|||Accept;Origin",
    ),
    ("OPTIONS", "/app/a", None, true, 200, "|||||||Accept;Origin"),
    // Where no rule has it, the word of the backend passes.
    (
        "GET",
        "/other",
        Some("https://app.example.com"),
        false,
        200,
        "https://wrong.example|false|DELETE|||7|true|Accept",
    ),
];

#[test]
fn origins_methods_and_headers_are_answered_for() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let fields = [
                ("access-control-allow-origin", "https://wrong.example"),
                ("Access-Control-Allow-Credentials", "false"),
                ("access-control-allow-methods", "DELETE"),
                ("access-control-max-age", "7"),
                ("access-control-allow-private-network", "true"),
                ("vary", "Accept"),
            ];
            exchange.head(200, &fields, Some(2))?;
            exchange.write(b"ok")?;
            exchange.end(&[])
        });
        let ringway = pair
            .scenario(&backend)
            .logged("json")
            .table(&rule("app", 10, APP))
            .table(&rule("public", 20, PUBLIC))
            .start();
        let mut client = pair.connect(ringway.address());
        for (method, path, origin, asks, status, expected) in MATRIX {
            let origin = origin.map(|origin| ("origin", origin));
            let asks = asks.then_some(("access-control-request-method", "PUT"));
            let fields: Vec<_> = origin.into_iter().chain(asks).collect();
            let answer = ask(&mut client, method, path, &fields);
            let case = format!("{method} {path} {fields:?}");
            assert_eq!((answer.status, told(&answer).as_str()), (*status, *expected), "{case}");
            assert_eq!(answer.body.is_empty(), *status == 204, "{case}");
        }
        let entries = log_entries(&ringway, MATRIX.len());
        let reasons: Vec<_> = entries.iter().map(|entry| entry["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons[8..11], ["cors_preflight", "cors_origin_denied", "cors_preflight"]);
        assert_eq!(entries[8]["rule"], "app");
    });
}

#[test]
fn answers_of_ringways_own_have_it_too() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"ok"));
        let cors = "cors = { allow_origins = [\"https://a.example\"], allow_credentials = true }";
        let dead = Backend::refused_address();
        let other = format!(
            "[[server_group]]\nname = \"dead\"\nmax_retries = 0\n[[server_group.backend]]\naddress = \"{dead}\"\n"
        );
        let ringway = pair
            .scenario(&backend)
            .listener(
                "response_headers = [{ set_header = { name = \"Access-Control-Allow-Origin\", value = \"*\" } }]",
            )
            .table(&other)
            .file("users", "a:$2y$04$mXzjSSyc7DjxScYTf1bOgeDYdO0aF/uS2E0KbLg4s3gDlvP/gSk3a\n")
            .table(&rule("dead", 10, &format!("path = \"/dead\"\n{cors}\ngroup = \"dead\"")))
            .table(&rule("fixed", 20, &format!("path = \"/fixed\"\n{cors}\nrespond = {{ body = \"hi\" }}")))
            .table(&rule("moved", 30, &format!("path = \"/moved\"\n{cors}\nredirect = {{ host = \"b.example\" }}")))
            .table(&rule(
                "login",
                40,
                &format!("path = \"/login\"\n{cors}\nbasic_auth = {{ file = \"users\" }}\ngroup = \"app\""),
            ))
            .table(&rule("limited", 50, &format!("path = \"/limited\"\n{cors}\nlimit = {{ requests_per_second = 1 }}\ngroup = \"app\"")))
            .start();
        let mut client = pair.connect(ringway.address());
        let origin = ("origin", "https://a.example");
        let shared = "https://a.example|true||||||Origin";
        for (path, status) in [("/dead", 502), ("/fixed", 200), ("/moved", 302), ("/login", 401)] {
            let answer = ask(&mut client, "GET", path, &[origin]);
            assert_eq!((answer.status, told(&answer).as_str()), (status, shared), "{path}");
        }
        // One of them comes within a second of the one before.
        eventually("the limit is reached", || {
            let answer = ask(&mut client, "GET", "/limited", &[origin]);
            assert_eq!(told(&answer), shared);
            answer.status == 503
        });
        // Browsers ask without a password, and what is asked for does not happen.
        for path in ["/dead", "/fixed", "/moved", "/login"] {
            let fields = [origin, ("access-control-request-method", "GET")];
            let answer = ask(&mut client, "OPTIONS", path, &fields);
            let permitted = "https://a.example|true|GET, HEAD, POST|||||Origin";
            assert_eq!((answer.status, told(&answer).as_str()), (204, permitted), "{path}");
        }
        // Where no rule says so, the listener's word counts.
        let answer = ask(&mut client, "GET", "/", &[origin]);
        assert_eq!(told(&answer), "*|||||||");
    });
}

#[test]
fn a_connection_goes_on_behind_a_preflight_and_its_answer_has_no_length() {
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nVary: origin\r\n\r\nok");
    let ringway = Scenario::of(&backend).table(&rule("app", 10, APP)).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        client.send(
            "OPTIONS /app HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n\
             Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-token\r\n\r\n",
        );
        let response = client.read_response_to("OPTIONS");
        assert_eq!(response.status, 204);
        assert!(response.field("content-length").is_none() && response.field("transfer-encoding").is_none());
    }
    // One name is named once.
    client.send("GET /app HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.head.all("vary")), (200, vec!["origin"]));
    // Two origins are none.
    client.send(
        "GET /app HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\nOrigin: https://app.example.com\r\n\r\n",
    );
    assert!(client.read_response().field("access-control-allow-origin").is_none());
    assert_eq!(backend.requests(), 2);
}
