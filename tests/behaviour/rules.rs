//! Which rule takes a request, and what becomes of it.

use crate::support::{Ask, Backend, Client, Content, Pair, Ringway, Scenario, log_entries};

/// A rule of the listener `web`.
fn rule(name: &str, priority: u32, lines: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\n{lines}\n")
}

/// A rule that answers with its name.
fn named(name: &str, priority: u32, conditions: &str) -> String {
    rule(name, priority, &format!("{conditions}\nrespond = {{ body = \"{name}\" }}"))
}

/// A second group, in front of this backend.
fn other_group(backend: &Backend) -> String {
    let address = backend.address();
    format!("[[server_group]]\nname = \"other\"\n[[server_group.backend]]\naddress = \"{address}\"\n")
}

/// What answers a request with this head, without its last line.
fn answer(ringway: &Ringway, head: &str) -> (u16, String) {
    let mut client = Client::connect(ringway.address());
    client.send(format!("{}\r\n\r\n", head.replace('\n', "\r\n")));
    let response = client.read_response();
    (response.status, response.text())
}

#[test]
fn every_condition_tells_requests_apart() {
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone");
    let rules = [
        named("host", 10, "host = \"one.example\""),
        named("hosts", 11, "host = [\"*.two.example\", \"~^shop[0-9]+\\\\.example$\"]"),
        named("dot", 12, "host = \"three.example.\""),
        named("path", 20, "path = \"/exact\""),
        named("pattern", 21, "path = \"/images/*.p?g\""),
        named("case", 22, "path = \"~*^/CASE/\""),
        named("below", 23, "path_prefix = \"/below\""),
        named("method", 30, "method = [\"DELETE\", \"PATCH\"]"),
        named("header", 40, "header = { name = \"X-Canary\", values = [\"1\", \"beta*\"] }"),
        named("query", 50, "query = { name = \"user\", values = [\"a b\"] }"),
        named("cookie", 60, "cookie = { name = \"beta\" }"),
        named("source", 70, "source_ip = [\"192.0.2.0/24\"]"),
        named(
            "both",
            80,
            "path = \"/both\"\nconditions = [{ header = { name = \"x-a\" } }, { header = { name = \"x-b\" } }]",
        ),
    ];
    let scenario = Scenario::of(&backend).listener("trusted_proxies = [\"127.0.0.0/8\"]");
    let ringway = rules.iter().fold(scenario, |scenario, rule| scenario.table(rule)).start();
    for (head, expected) in [
        ("GET / HTTP/1.1\nHost: one.example", "host"),
        ("GET / HTTP/1.1\nHost: ONE.example:8080", "host"),
        // A dot at the end changes nothing about a host.
        ("GET / HTTP/1.1\nHost: one.example.", "host"),
        ("GET http://One.Example.:80/ HTTP/1.1\nHost: x", "host"),
        ("GET / HTTP/1.1\nHost: a.two.example.", "hosts"),
        ("GET / HTTP/1.1\nHost: shop1.example.:8080", "hosts"),
        ("GET / HTTP/1.1\nHost: three.example", "dot"),
        ("GET / HTTP/1.1\nHost: three.example.", "dot"),
        ("GET http://one.example/ HTTP/1.1\nHost: x", "host"),
        ("GET / HTTP/1.1\nHost: xone.example", "none"),
        ("GET / HTTP/1.1\nHost: a.b.two.example", "hosts"),
        ("GET / HTTP/1.1\nHost: two.example", "none"),
        ("GET / HTTP/1.1\nHost: SHOP12.example", "hosts"),
        ("GET / HTTP/1.1\nHost: shop.example", "none"),
        ("GET /exact?x=1 HTTP/1.1\nHost: x", "path"),
        ("GET /exact/ HTTP/1.1\nHost: x", "none"),
        ("GET /Exact HTTP/1.1\nHost: x", "none"),
        ("GET /images/a/b.png HTTP/1.1\nHost: x", "pattern"),
        ("GET /images/a.jpeg HTTP/1.1\nHost: x", "none"),
        ("GET /case/x HTTP/1.1\nHost: x", "case"),
        ("GET /below HTTP/1.1\nHost: x", "below"),
        ("GET /below/x HTTP/1.1\nHost: x", "below"),
        ("GET /belowx HTTP/1.1\nHost: x", "none"),
        ("DELETE / HTTP/1.1\nHost: x", "method"),
        ("GET / HTTP/1.1\nHost: x\nx-canary: 2\nX-CANARY: beta-7", "header"),
        ("GET / HTTP/1.1\nHost: x\nx-canary: 2", "none"),
        ("GET /?id=1&user=a+b HTTP/1.1\nHost: x", "query"),
        ("GET /?us%65r=a%20b HTTP/1.1\nHost: x", "query"),
        ("GET /?user=ab HTTP/1.1\nHost: x", "none"),
        ("GET / HTTP/1.1\nHost: x\nCookie: a=1; beta=0", "cookie"),
        ("GET / HTTP/1.1\nHost: x\nCookie: alpha=beta", "none"),
        ("GET / HTTP/1.1\nHost: x\nX-Forwarded-For: 192.0.2.9", "source"),
        ("GET / HTTP/1.1\nHost: x\nX-Forwarded-For: 198.51.100.9", "none"),
        ("GET /both HTTP/1.1\nHost: x\nx-a: 1\nx-b: 2", "both"),
        ("GET /both HTTP/1.1\nHost: x\nx-a: 1", "none"),
        // The lower number is asked first.
        ("DELETE /exact HTTP/1.1\nHost: one.example", "host"),
        ("DELETE /exact HTTP/1.1\nHost: x", "path"),
    ] {
        let (status, body) = answer(&ringway, head);
        assert_eq!((status, body.as_str()), (200, expected), "{head}");
    }
}

#[test]
fn a_path_cannot_be_spelled_around_a_rule() {
    let backend = Backend::echo_head();
    let guard = rule("guard", 10, "path_prefix = \"/admin\"\nrespond = { code = 403, body = \"no\" }");
    let ringway = Scenario::of(&backend).table(&guard).start();
    for path in [
        "/admin",
        "//admin",
        "/x/../admin",
        "/%61dmin",
        "/./admin",
        "/admin/",
        "/admin/x",
        "/admin;x=1",
        "/admin;x/y",
        "/x/%2e%2e/admin",
        "/%2E/admin",
        "///admin//x",
        "/x/y/../../admin",
    ] {
        let (status, _) = answer(&ringway, &format!("GET {path} HTTP/1.1\nHost: x"));
        assert_eq!(status, 403, "{path}");
    }
    for path in
        ["/..", "/../admin", "/a/../../admin", "/a%00", "/a\\admin", "/%", "/%zz", "/..;/admin", "/;/admin"]
    {
        let (status, _) = answer(&ringway, &format!("GET {path} HTTP/1.1\nHost: x"));
        assert_eq!(status, 400, "{path}");
    }
    // What is forwarded is what was matched, and the query stays as it is.
    for (path, forwarded) in [
        ("/a//b/./c?x=%2e%2E//", "/a/b/c?x=%2e%2E//"),
        ("/%7euser/%c3%a4", "/~user/%C3%A4"),
        ("/a%2Fb;c/d", "/a%2Fb;c/d"),
        ("/plain?", "/plain?"),
        ("/?", "/?"),
    ] {
        let (status, head) = answer(&ringway, &format!("GET {path} HTTP/1.1\nHost: x"));
        assert_eq!(status, 200, "{path}");
        assert!(head.starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")), "{path}: {head}");
    }
}

#[test]
fn paths_stay_as_they_are_where_no_rule_asks_for_them() {
    let backend = Backend::echo_head();
    let by_host = rule("host", 10, "host = \"a.example\"\ngroup = \"app\"");
    let off = rule("off", 20, "path = \"/admin\"\nrespond = { code = 403 }");
    let asks_for_host = Scenario::of(&backend).table(&by_host);
    let asks_for_path = Scenario::of(&backend).listener("path_normalization = \"off\"").table(&off);
    for scenario in [asks_for_host, asks_for_path] {
        let ringway = scenario.start();
        for path in ["/a/../b//c?d", "/%61dmin", "/..", "//admin"] {
            let (status, head) = answer(&ringway, &format!("GET {path} HTTP/1.1\nHost: a.example"));
            assert_eq!(status, 200, "{path}");
            assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{path}: {head}");
        }
    }
}

#[test]
fn requests_are_rewritten_and_get_their_fields() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let field = |name| exchange.field(name).unwrap_or_else(|| "-".to_owned());
            let fields = ["x-set", "x-inserted", "x-kept", "x-gone", "x-ip", "x-copy"].map(field);
            let text = format!("{} {}", exchange.path(), fields.join(" "));
            exchange.respond(200, text.as_bytes())
        });
        let actions = rule(
            "api",
            10,
            "path = \"~^/api/v([0-9]+)/(.*)$\"\nrewrite = { path = \"/${2}\", query = \"v=${1}&${query}\" }\n\
             actions = [{ set_header = { name = \"x-set\", value = \"new\" } },\n\
               { insert_header = { name = \"x-inserted\", value = \"in\" } },\n\
               { insert_header = { name = \"x-kept\", value = \"in\" } },\n\
               { remove_header = { name = \"x-gone\" } },\n\
               { set_header = { name = \"x-ip\", value = { system = \"client_ip\" } } },\n\
               { append_header = { name = \"x-copy\", value = { header = \"x-kept\" } } }]\n\
             group = \"app\"",
        );
        let strip = rule("strip", 20, "strip_prefix = \"/files\"\npath_prefix = \"/files\"\ngroup = \"app\"");
        let ringway = pair.scenario(&backend).table(&actions).table(&strip).start();
        let mut client = pair.connect(ringway.address());
        let fields = [("x-set", "old"), ("x-kept", "mine"), ("x-gone", "1"), ("x-ip", "9.9.9.9")];
        let call = client.begin(Ask::get("/api/v2/users?id=7").fields(&fields));
        let answer = client.response(call);
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(text, "/users?v=2&id=7 new in mine - 127.0.0.1 mine");
        let answer = client.get("/files/a%20b?x");
        assert_eq!(String::from_utf8(answer.body).unwrap(), "/a%20b?x - - - - - -");
        assert!(client.get("/files").body.starts_with(b"/ "));
    });
}

#[test]
fn redirects_and_fixed_responses_need_no_backend() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"app"));
        let scenario = pair
            .scenario(&backend)
            .table(&rule(
                "moved",
                10,
                "path = \"~^/old/([^/]+)$\"\n\
                 redirect = { code = 308, protocol = \"https\", host = \"new.example\", port = 8443, path = \"/new/${1}\" }",
            ))
            .table(&rule("known", 20, "host = \"test.example\"\npath = \"/kept\"\nredirect = { path = \"/here\", query = \"\" }"))
            .table(&rule("html", 30, "path = \"/page\"\nrespond = { code = 418, content_type = \"text/html\", body = \"<p>tea\" }"))
            .table(&rule("empty", 40, "path = \"/empty\"\nrespond = { code = 204 }"));
        let ringway = scenario.start();
        let mut client = pair.connect(ringway.address());
        let answer = client.get("/old/a%20b?q=1");
        assert_eq!(answer.status, 308);
        assert_eq!(answer.field("location"), Some("https://new.example:8443/new/a%20b?q=1"));
        assert_eq!(answer.field("server"), Some("ringway"));
        let answer = client.get("/kept?q=1");
        assert_eq!(answer.status, 302);
        assert!(
            answer.field("location").is_some_and(|to| to.ends_with("://test.example/here")),
            "{answer:?}"
        );
        let answer = client.get("/page");
        assert_eq!((answer.status, answer.field("content-type")), (418, Some("text/html")));
        assert_eq!(answer.body, b"<p>tea");
        let call = client.begin(Ask::get("/page").method("HEAD"));
        let answer = client.response(call);
        assert_eq!((answer.status, answer.body.len()), (418, 0));
        let answer = client.get("/empty");
        assert_eq!((answer.status, answer.body.len(), answer.field("content-type")), (204, 0, None));
        assert_eq!(client.get("/").body, b"app");
        assert_eq!(backend.requests(), 1);
    });
}

#[test]
fn a_redirect_repeats_no_host_that_is_not_served_here() {
    let backend = Backend::echo_head();
    let away = rule("away", 10, "path = \"/a\"\nredirect = { path = \"/b\" }");
    let ringway = Scenario::of(&backend).table(&away).logged("json").start();
    let (status, _) = answer(&ringway, "GET /a HTTP/1.1\nHost: evil.example");
    assert_eq!(status, 421);
    let entry = &log_entries(&ringway, 1)[0];
    assert_eq!((&entry["reason"], &entry["status"]), (&"misdirected".into(), &421.into()));
}

#[test]
fn every_request_is_redirected_to_the_secure_listener() {
    let backend = Backend::echo_head();
    let plain = |spares: bool| {
        format!(
            "[[listener]]\nname = \"plain\"\naddress = \"127.0.0.1:0\"\nredirect_to = \"web\"\n\
             redirect_spares_acme = {spares}\ndefault_group = \"app\"\n"
        )
    };
    for spares in [false, true] {
        let ringway = Scenario::of(&backend).secured().table(&plain(spares)).start();
        let port = ringway.address_of("web").port();
        let ask = |target: &str, host: &str| {
            let mut client = Client::connect_in_the_clear(ringway.address_of("plain"));
            client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            client.read_response()
        };
        let response = ask("/a/../b//%41?x=%2e", "test.example:8080");
        let location = format!("https://test.example:{port}/a/../b//%41?x=%2e");
        assert_eq!((response.status, response.field("location")), (301, Some(location.as_str())));
        assert_eq!(ask("/", "evil.example").status, 421);
        let challenge = ask("/.well-known/acme-challenge/token", "test.example");
        assert_eq!(challenge.status, if spares { 200 } else { 301 });
        // What a backend may read as another path is no challenge.
        for hidden in
            ["../../admin", "%2e%2e/%2e%2e/admin", "..;/admin", "/../admin", "a\\..\\..\\admin", "%2e./x"]
        {
            let target = format!("/.well-known/acme-challenge/{hidden}");
            assert_eq!(ask(&target, "test.example").status, 301, "{target}");
        }
        assert_eq!(ask("/.well-known/acme-challenge/a?b=/../", "test.example").status, challenge.status);
    }
}

#[test]
fn groups_share_requests_by_weight_and_the_log_names_the_rule() {
    let one = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    let two = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
    let canary = rule(
        "canary",
        10,
        "path = \"/c\"\nforward = [{ group = \"app\", weight = 75 }, { group = \"other\", weight = 25 }]",
    );
    let ringway = Scenario::of(&one).table(&other_group(&two)).table(&canary).logged("json").start();
    let mut client = Client::connect(ringway.address());
    let seconds = (0..400).filter(|_| client.get("/c").body == b"2").count();
    // Further from 100 than this, chance leads once in a hundred million runs.
    assert!((50..=150).contains(&seconds), "{seconds} of 400");
    assert_eq!(client.get("/x").body, b"1");
    let entries = log_entries(&ringway, 401);
    assert_eq!(entries[0]["rule"], "canary");
    assert!(entries.iter().any(|entry| entry["rule"] == "canary" && entry["server_group"] == "other"));
    assert!(entries[400]["rule"].is_null(), "{}", entries[400]);
}

#[test]
fn rules_change_with_a_reload() {
    let backend = Backend::echo_head();
    let with = |lines: &str| Scenario::of(&backend).table(&rule("r", 10, lines)).text();
    let ringway = Ringway::start(&with("path = \"~^/a$\"\nrespond = { body = \"one\" }"));
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/a").body, b"one");
    ringway.reload(&with("path = [\"~^/b$\", \"/c\"]\nrespond = { body = \"two\" }"));
    assert_eq!(client.get("/b").body, b"two");
    assert_eq!(client.get("/c").body, b"two");
    assert!(client.get("/a").body.starts_with(b"GET /a "));
}

#[test]
fn trailers_cannot_stand_for_headers_that_a_rule_sets() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            exchange.read_all()?;
            let user = exchange.field("x-user").unwrap_or_default();
            let text = format!("{user} {:?}", exchange.trailers());
            exchange.respond(200, text.as_bytes())
        });
        let sets = rule(
            "sets",
            10,
            "path = \"/set\"\nset_header = { name = \"x-user\", value = \"nobody\" }\ngroup = \"app\"",
        );
        let ringway = pair.scenario(&backend).table(&sets).start();
        for (path, expected) in [("/set", "nobody []"), ("/other", " [(\"x-user\", \"root\")]")] {
            let mut client = pair.connect(ringway.address());
            let call = client.begin(Ask::post(path, Content::Open));
            client.write(call, b"content").expect("it is read");
            client.end(call, &[("x-user", "root")]).expect("it is read");
            assert_eq!(String::from_utf8(client.response(call).body).unwrap(), expected);
        }
    });
}

/// Backends that make variables of names take `x_user` for `x-user`.
#[test]
fn headers_that_are_set_pass_in_no_other_spelling() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let field = |name: &str| exchange.field(name).unwrap_or_else(|| "-".to_owned());
            let names = ["x-user", "x_user", "x-internal", "x_internal", "x_kept", "x-empty"];
            exchange.respond(200, names.map(field).join(" ").as_bytes())
        });
        let edits = rule(
            "edits",
            10,
            "path = \"/\"\nset_header = { name = \"X-User\", value = \"edge\" }\n\
             remove_header = { name = \"x-internal\" }\ninsert_header = { name = \"x-empty\", value = \"\" }\n\
             group = \"app\"",
        );
        let ringway = pair.scenario(&backend).table(&edits).start();
        let mut client = pair.connect(ringway.address());
        let forged = ["x-user", "x_user", "x-internal", "x_internal", "x_kept"].map(|name| (name, "root"));
        let call = client.begin(Ask::get("/").fields(&forged));
        assert_eq!(String::from_utf8(client.response(call).body).unwrap(), "edge - - - root -");
    });
}

/// What is written for all is not written beside what a rule writes.
#[test]
fn a_rule_has_the_last_word_about_the_request_id() {
    let backend = Backend::echo_head();
    let own = rule(
        "own",
        10,
        "path = \"/own\"\nset_header = { name = \"X-Request-ID\", value = \"mine\" }\ngroup = \"app\"",
    );
    let scenario = Scenario::of(&backend).forwarded("x_request_id = true");
    let ringway = scenario.table(&own).start();
    for (path, ids) in [("/own", 1), ("/other", 1)] {
        let (_, head) = answer(&ringway, &format!("GET {path} HTTP/1.1\nHost: x"));
        assert_eq!(head.to_ascii_lowercase().matches("x-request-id:").count(), ids, "{head}");
        assert_eq!(head.contains(": mine"), path == "/own", "{head}");
    }
}

#[test]
fn nobody_is_sent_to_no_host() {
    let backend = Backend::echo_head();
    let moved = rule("moved", 10, "host = \"*\"\npath = \"/moved\"\nredirect = { protocol = \"https\" }");
    let ringway = Scenario::of(&backend).table(&moved).start();
    assert_eq!(answer(&ringway, "GET /moved HTTP/1.1\nHost: x").0, 302);
    assert_eq!(answer(&ringway, "GET /moved HTTP/1.0").0, 421);
}

/// What backends take a request for that names no host, rules do, too.
#[test]
fn rules_see_the_host_of_requests_that_name_none() {
    let backend = Backend::echo_head();
    let guard = rule("guard", 10, "host = \"test.example\"\nrespond = { code = 403 }");
    let ringway = Scenario::of(&backend).listener("default_host = \"test.example\"").table(&guard).start();
    for (head, expected) in [
        ("GET / HTTP/1.0", 403),
        ("GET / HTTP/1.0\nHost: test.example", 403),
        ("GET / HTTP/1.0\nHost: other.example", 200),
        ("GET / HTTP/1.0\nHost: ", 403),
    ] {
        assert_eq!(answer(&ringway, head).0, expected, "{head}");
    }
}
