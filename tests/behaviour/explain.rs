//! `ringway explain` and `ringway test`: what they tell, and that it is what happens.

use crate::support::{Backend, Client, Relayed, Ringway, Scenario, UdpBackend, UdpClient};
use std::process::{Command, Output};

fn rule(name: &str, priority: u32, lines: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\n{lines}\n")
}

/// Runs the program in the folder of a configuration: exit code, standard output and standard error.
fn run(ringway: &Ringway, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(arguments)
        .current_dir(ringway.folder())
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

fn explained(ringway: &Ringway, arguments: &[&str]) -> serde_json::Value {
    let all = [&["explain", "--json", "--socket", "admin.sock"], arguments].concat();
    let (code, text, error) = run(ringway, &all);
    assert_eq!(code, 0, "{error}");
    serde_json::from_str(&text).unwrap_or_else(|reason| panic!("{reason}: {text}"))
}

/// What the listener speaks.
fn scheme() -> &'static str {
    if crate::support::over_tls() { "https" } else { "http" }
}

/// With the admin socket.
fn scenario(backend: &Backend) -> Scenario {
    Scenario::of(backend).table("[admin]\nsocket = \"admin.sock\"")
}

#[test]
fn every_rule_is_told_with_the_condition_that_failed() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend)
        .table(&rule("never", 10, "method = \"PUT\"\npath = \"/api/*\"\nrespond = { code = 403 }"))
        .table(&rule(
            "api",
            20,
            "path = \"~^/api/(.*)$\"\nheader = { name = \"x-a\" }\nrewrite = { path = \"/v2/${1}\", host = \"in.${host}\" }\n\
             set_header = { name = \"x-ip\", value = { system = \"client_ip\" } }\nremove_header = { name = \"x-a\" }\n\
             group = \"app\"",
        ))
        .table(&rule("last", 30, "host = \"*.example\"\nredirect = { path = \"/there\" }"))
        .start();
    let url = format!("{}://a.example:{}/x/../api/b?c=1", scheme(), ringway.address().port());
    let told = explained(&ringway, &["GET", &url, "-H", "x-a: 1", "--src", "192.0.2.7"]);
    assert_eq!(told["path"], "/api/b");
    let verdicts: Vec<_> = told["rules"].as_array().unwrap().iter().map(|rule| &rule["verdict"]).collect();
    assert_eq!(verdicts, ["missed", "taken", "not_reached"]);
    assert_eq!(told["rules"][0]["missed"], "method \"PUT\"");
    assert_eq!((&told["rule"], &told["target"]), (&"api".into(), &"/v2/b?c=1".into()));
    assert_eq!(told["forwarded_host"], "in.a.example");
    assert_eq!(told["set_headers"], serde_json::json!([["x-ip", "192.0.2.7"]]));
    assert_eq!(told["groups"][0]["backend"], backend.address().to_string());
    let told = explained(&ringway, &["GET", &url.replace("api", "x")]);
    assert_eq!((&told["rule"], &told["status"]), (&"last".into(), &302.into()));
    assert!(told["location"].as_str().unwrap().ends_with("/there?c=1"), "{told}");
    // For people, and from the file.
    let (code, text, _) = run(&ringway, &["explain", "-c", "ringway.toml", "GET", &url]);
    assert_eq!(code, 0);
    for line in [
        "   10  never  no: method \"PUT\"",
        "   20  api    no: header x-a = \"*\"",
        "   30  last   takes the request",
    ] {
        assert!(text.lines().any(|its| its == line), "no {line:?} in\n{text}");
    }
    let (code, _, error) = run(&ringway, &["explain", "GET", "example.com"]);
    assert!(code == 2 && error.contains("http:// or https://"), "{error}");
}

/// Requests that chance makes out of a few words: what is told of them is what happens to them.
#[test]
fn what_is_told_is_what_happens() {
    const HOSTS: &[&str] = &["a.example", "b.example", "other"];
    const PATHS: &[&str] = &[
        "/", "/a", "/a/", "/a/b", "//a", "/a/../b", "/%61", "/b.php", "/..", "/a%2Fb", "/x?y=1", "/a/b?y=2",
    ];
    const METHODS: &[&str] = &["GET", "PUT", "DELETE"];
    const CONDITIONS: &[&str] = &[
        "host = \"a.example\"",
        "host = [\"*.example\"]",
        "path = \"/a\"",
        "path = [\"/a/*\", \"*.php\"]",
        "path_prefix = \"/a\"",
        "path = \"~^/[ab]$\"",
        "path = \"~*B\"",
        "method = [\"PUT\", \"GET\"]",
        "query = { name = \"y\", values = [\"1\"] }",
        "header = { name = \"x-t\", values = [\"?\"] }",
    ];
    let mut number: u64 = 42;
    let mut below = |bound: usize| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) as usize % bound
    };
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone");
    let mut scenario = scenario(&backend);
    for index in 0..12 {
        let (one, two) = (CONDITIONS[below(CONDITIONS.len())], CONDITIONS[below(CONDITIONS.len())]);
        let key = |condition: &str| condition.split(' ').next().map(str::to_owned);
        let second = if key(one) == key(two) { "" } else { two };
        let lines = format!("{one}\n{second}\nrespond = {{ body = \"r{index}\" }}");
        scenario = scenario.table(&rule(&format!("r{index}"), 10 + index, &lines));
    }
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..60 {
        let (host, path, method) = (HOSTS[below(3)], PATHS[below(PATHS.len())], METHODS[below(3)]);
        let field = if below(2) == 0 { "x-t: 1" } else { "x-t: 12" };
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{field}\r\n\r\n"));
        let response = client.read_response();
        let url = format!("{}://{host}{path}", scheme());
        let told = explained(&ringway, &[method, &url, "-H", field, "--listener", "web"]);
        let asked = format!("{method} {url} {field}: {told}");
        match told["status"].as_u64() {
            Some(status) => assert_eq!(u64::from(response.status), status, "{asked}"),
            None => assert_eq!(response.text(), "none", "{asked}"),
        }
        if response.status == 200 {
            assert_eq!(response.text(), told["rule"].as_str().unwrap_or("none"), "{asked}");
        }
    }
}

#[test]
fn a_table_of_requests_tells_what_went_elsewhere() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend)
        .table(&rule("api", 10, "path_prefix = \"/api\"\nstrip_prefix = \"/api\"\nset_header = { name = \"x-a\", value = \"1\" }\nset_response_header = { name = \"X-R\", value = \"2\" }\ngroup = \"app\""))
        .table(&rule("moved", 20, "path = \"/old\"\nredirect = { code = 301, host = \"new.example\", path = \"/\" }"))
        .file(
            "good.toml",
            "[[request]]\nurl = \"http://a/api/x\"\nlistener = \"web\"\nrule = \"api\"\ngroup = \"app\"\ntarget = \"/x\"\n\
             request_headers = [\"X-A: 1\"]\nresponse_headers = [\"x-r:2\"]\nupstream_status = 404\n\
             [[request]]\nmethod = \"POST\"\nurl = \"http://a/old\"\nlistener = \"web\"\nstatus = 301\n\
             [[request]]\nurl = \"http://a/\"\nlistener = \"web\"\nrule = \"\"\naction = \"forward\"\n",
        )
        .file("bad.toml", "[[request]]\nurl = \"http://a/api\"\nlistener = \"web\"\nrule = \"moved\"\nresponse_headers = [\"x-r: 3\"]\n")
        .file("wrong.toml", "[[request]]\nurl = \"http://a/\"\nrules = \"x\"\n")
        .start();
    let test = |file: &str| run(&ringway, &["test", file, "-c", "ringway.toml"]);
    let (code, text, error) = test("good.toml");
    assert_eq!((code, text.trim()), (0, "3 requests went where they were expected to go"), "{error}");
    let (code, _, error) = test("bad.toml");
    assert_eq!(code, 1);
    assert!(
        error.contains("bad.toml:1: GET http://a/api\n  rule: expected \"moved\", found \"api\""),
        "{error}"
    );
    assert!(error.contains("  response_headers: expected \"x-r: 3\", found \"x-r: 2\""), "{error}");
    let (code, _, error) = test("wrong.toml");
    assert!(code == 3 && error.contains("`rules`"), "{error}");
}

/// Rules for both directions, limits and lists.
fn rules_for_responses(backend: &Backend) -> Scenario {
    let response_rule = |name: &str, priority: u32, lines: &str| {
        rule(name, priority, &format!("direction = \"response\"\n{lines}"))
    };
    scenario(backend)
        .table("[[ip_group]]\nname = \"office\"\nentries = [\"10.0.0.0/8\"]\n[[ip_group]]\nname = \"bad\"\nentries = [\"192.0.2.66\"]")
        .table("[[server_group]]\nname = \"shadow\"\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"")
        .listener("deny = [\"bad\"]\nrequests_per_second = 500\nbandwidth_bytes_per_second = \"1TiB\"")
        .listener("response_headers = [{ remove_header = { name = \"server\" } }]")
        .table(&rule("staff", 10, "source_ip = [\"office\", \"192.0.2.8\"]\nrespond = { body = \"staff\" }"))
        .table(&rule(
            "api",
            20,
            "path_prefix = \"/api\"\nset_response_header = { name = \"x-ip\", value = { system = \"client_ip\" } }\n\
             limit = { requests_per_second = 40000, per_client_requests_per_second = 10, burst = 20 }\n\
             mirror = { group = \"shadow\", percent = 10 }\nmax_body_bytes = \"1KiB\"\nresponse_timeout = \"1h\"\n\
             log = \"errors\"\ngroup = \"app\"",
        ))
        .table(&response_rule("puts", 1, "method = \"PUT\"\nrespond = { code = 500 }"))
        .table(&response_rule("text", 2, "response_header = { name = \"content-type\", values = [\"text/*\"] }\nremove_response_header = { name = \"x-powered-by\" }"))
        .table(&response_rule("errors", 3, "status = [\"5xx\"]\nrespond = { code = 503, body = \"sorry\" }"))
        .table("[[error_page]]\nstatus = 404\nfile = \"404.html\"\nupstream = true")
        .file("404.html", "<p>no")
}

#[test]
fn what_becomes_of_the_response_is_told_too() {
    let backend = Backend::fixed("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 1\r\nServer: app\r\n\r\nx");
    let ringway = rules_for_responses(&backend).start();
    let url = format!("{}://a.example:{}/api", scheme(), ringway.address().port());
    let told = explained(&ringway, &["GET", &url, "--src", "192.0.2.7"]);
    assert_eq!(told["rules"][0]["missed"], "source_ip 192.0.2.8, \"office\"");
    let response = &told["response"];
    assert_eq!((&response["status"], &response["rule"]), (&200.into(), &serde_json::Value::Null));
    let missed: Vec<_> = response["rules"].as_array().unwrap().iter().map(|rule| &rule["missed"]).collect();
    assert_eq!(missed, ["method \"PUT\"", "response header content-type = \"text/*\"", "status 500-599"]);
    assert_eq!(response["set_headers"], serde_json::json!([["x-ip", "192.0.2.7"]]));
    assert_eq!(response["removed_headers"], serde_json::json!(["server"]));
    assert_eq!(
        told["details"],
        serde_json::json!([
            ["listener limit", "500 requests per second"],
            ["listener bandwidth", "1099511627776 bytes per second, in each direction"],
            [
                "limit",
                "40000 requests per second with a burst of 20, 10 requests per second of each client with a burst of 20"
            ],
            ["mirror", "10 % of requests to \"shadow\", with content"],
            ["max_body_bytes", "1024 bytes"],
            ["response_timeout", "3600s"],
            ["log", "errors"]
        ])
    );
    let told = explained(&ringway, &["GET", &url, "--status", "502"]);
    assert_eq!((&told["response"]["status"], &told["response"]["rule"]), (&503.into(), &"errors".into()));
    let mut client = Client::connect(ringway.address());
    client.send("GET /api HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let answer = client.read_response();
    assert_eq!(
        (answer.status, answer.head.field("server"), answer.head.field("x-ip")),
        (503, None, Some("127.0.0.1"))
    );
    let told = explained(
        &ringway,
        &["GET", &url, "--status", "404", "--response-header", "content-type: text/html"],
    );
    assert_eq!(
        (&told["response"]["rule"], &told["response"]["is_error_page"]),
        (&"text".into(), &true.into())
    );
    assert_eq!(told["response"]["removed_headers"], serde_json::json!(["server", "x-powered-by"]));
}

#[test]
fn answers_of_our_own_are_told_and_all_of_it_for_people() {
    let backend = Backend::echo_head();
    let ringway = rules_for_responses(&backend).start();
    let url = format!("{}://a.example:{}/api", scheme(), ringway.address().port());
    // Answers of our own are edited as well, and no rule for responses is asked.
    let told = explained(&ringway, &["PUT", &url, "--src", "10.1.2.3"]);
    assert_eq!(
        (&told["response"]["status"], &told["response"]["rules"]),
        (&200.into(), &serde_json::json!([]))
    );
    let told = explained(&ringway, &["GET", &url, "--src", "192.0.2.66"]);
    assert_eq!((&told["action"], &told["reason"]), (&"refuse".into(), &"access_denied".into()));
    let (code, text, error) =
        run(&ringway, &["explain", "-c", "ringway.toml", "GET", &url, "--status", "500"]);
    assert_eq!(code, 0, "{error}");
    for line in [
        "   10  staff  no: source_ip 192.0.2.8, \"office\"",
        "  listener limit: 500 requests per second",
        "  listener bandwidth: 1099511627776 bytes per second, in each direction",
        "the response with status 503",
        "    3  errors  takes the response",
        "  without server",
        "  with    x-ip: 127.0.0.1",
    ] {
        assert!(text.lines().any(|its| its == line), "no {line:?} in\n{text}");
    }
    let (code, _, error) = run(&ringway, &["explain", "GET", &url, "--status", "99"]);
    assert!(code == 2 && error.contains("--status"), "{error}");
}

#[test]
fn maintenance_and_preflights_are_told_with_what_clients_get() {
    let backend = Backend::echo_head();
    let cors =
        "cors = { allow_origins = [\"https://app.example\"], allow_methods = [\"PUT\"], max_age = \"1h\" }";
    let ringway = scenario(&backend)
        .file("closed.html", "<p>closed")
        .file("503.html", "<p>later")
        .table("[[error_page]]\nstatus = 503\nfile = \"503.html\"")
        .table(&rule(
            "paged",
            10,
            "path = \"/paged\"\nmaintenance = { enabled = true, page = \"closed.html\", retry_after = \"1h\" }\ngroup = \"app\"",
        ))
        .table(&rule("plain", 20, "path = \"/plain\"\nmaintenance = { enabled = true }\ngroup = \"app\""))
        .table(&rule("api", 30, &format!("path = \"/api\"\n{cors}\ngroup = \"app\"")))
        .start();
    let base = format!("{}://a.example:{}", scheme(), ringway.address().port());
    let told = explained(&ringway, &["GET", &format!("{base}/paged")]);
    assert_eq!((&told["reason"], &told["status"]), (&"maintenance".into(), &503.into()));
    let response = &told["response"];
    assert_eq!((&response["is_maintenance_page"], &response["is_error_page"]), (&true.into(), &false.into()));
    assert_eq!(response["set_headers"], serde_json::json!([["Retry-After", "3600"]]));
    let told = explained(&ringway, &["GET", &format!("{base}/plain")]);
    let response = &told["response"];
    assert_eq!((&response["is_maintenance_page"], &response["is_error_page"]), (&false.into(), &true.into()));
    let preflight = ["-H", "Origin: https://app.example", "-H", "Access-Control-Request-Method: PUT"];
    let told = explained(&ringway, &[&["OPTIONS", &format!("{base}/api")], &preflight[..]].concat());
    let headers = told["response"]["set_headers"].to_string();
    for field in [
        r#"["Access-Control-Allow-Methods","PUT"]"#,
        r#"["Access-Control-Max-Age","3600"]"#,
        r#"["Access-Control-Allow-Origin","https://app.example"]"#,
    ] {
        assert!(headers.contains(field), "no {field} in {headers}");
    }
}

#[test]
fn the_group_of_a_client_is_told() {
    let one = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp");
    let two = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
    let other = format!(
        "[[server_group]]\nname = \"other\"\n[[server_group.backend]]\naddress = \"{}\"\n",
        two.address()
    );
    let shared = "path_prefix = \"/\"\nforward = { groups = [{ group = \"app\", weight = 50 }, { group = \"other\", \
                  weight = 50 }], sticky = { timeout = \"1h\" } }";
    let ringway = scenario(&one).table(&other).table(&rule("shared", 10, shared)).start();
    let url = format!("{}://a.example:{}/", scheme(), ringway.address().port());
    let groups = |told: &serde_json::Value| told["groups"].as_array().map_or(0, Vec::len);
    let told = explained(&ringway, &["GET", &url]);
    assert_eq!(groups(&told), 2);
    assert!(told["why"].as_str().unwrap().contains("has no cookie SERVERGROUPID"), "{told}");
    let told = explained(&ringway, &["GET", &url, "-H", "Cookie: SERVERGROUPID=0"]);
    assert!(groups(&told) == 2 && told["why"].as_str().unwrap().contains("none of this process"), "{told}");
    let response = Client::connect(ringway.address()).get("/");
    let cookie = response.field("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
    let told = explained(&ringway, &["GET", &url, "-H", &format!("Cookie: {cookie}")]);
    assert_eq!((groups(&told), &told["groups"][0]["name"]), (1, &response.text().into()));
    assert_eq!(told["groups"][0]["percent"], 100);
}

/// Two names that are passed through, each to a group of its own.
fn passed() -> Ringway {
    let group = |name: &str, lines: &str| {
        format!(
            "[[server_group]]\nname = \"{name}\"\nprotocol = \"tcp\"\n{lines}\n\
             [[server_group.backend]]\naddress = \"127.0.0.1:11\"\n[[server_group.backend]]\naddress = \"127.0.0.1:12\"\n"
        )
    };
    let rule = |name: &str, priority: u32, lines: &str| {
        format!("[[rule]]\nname = \"{name}\"\nlistener = \"relay\"\npriority = {priority}\n{lines}\n")
    };
    Relayed::passed_through()
        .listener("deny = [\"far\"]")
        .table("[[ip_group]]\nname = \"far\"\nentries = [\"203.0.113.0/24\"]")
        .table("[admin]\nsocket = \"admin.sock\"")
        .table(&rule("office", 5, "source_ip = \"198.51.100.0/24\"\ngroup = \"one\""))
        .table(&rule("shop", 10, "sni = \"*.shop.example\"\nalpn = \"h2\"\ngroup = \"one\""))
        .table(&rule(
            "both",
            20,
            "sni = \"both.example\"\nforward = [{ group = \"one\", weight = 1 }, { group = \"hashed\", weight = 3 }]",
        ))
        .table(&group("one", ""))
        .table(&group("hashed", "algorithm = \"source_ip_hash\""))
        .start()
}

#[test]
fn connections_are_explained_by_their_names() {
    let ringway = passed();
    let of = |arguments: &[&str]| explained(&ringway, &[&["--listener", "relay"], arguments].concat());
    let told = of(&["--sni", "A.Shop.Example", "--alpn", "imap", "--alpn", "h2"]);
    assert_eq!(
        (&told["rule"], &told["action"], &told["protocol"]),
        (&"shop".into(), &"forward".into(), &"tls".into())
    );
    assert_eq!((&told["host"], &told["groups"][0]["name"]), (&"a.shop.example".into(), &"one".into()));
    assert_eq!(told["groups"][0]["candidates"], serde_json::json!(["127.0.0.1:11", "127.0.0.1:12"]));
    let verdicts: Vec<_> = told["rules"].as_array().unwrap().iter().map(|rule| &rule["verdict"]).collect();
    assert_eq!(verdicts, ["missed", "taken", "not_reached"]);
    let told = of(&["--sni", "a.shop.example", "--alpn", "imap"]);
    assert_eq!((&told["action"], &told["reason"]), (&"refuse".into(), &"no_route".into()));
    let missed: Vec<_> = told["rules"].as_array().unwrap().iter().map(|rule| &rule["missed"]).collect();
    assert_eq!(missed, ["source_ip 198.51.100.0 to 198.51.100.255", "alpn \"h2\"", "sni \"both.example\""]);
    let told = of(&["--sni", "both.example"]);
    let percents: Vec<_> = told["groups"].as_array().unwrap().iter().map(|group| &group["percent"]).collect();
    assert_eq!(percents, [25, 75]);
    // The hash is that of the address, and the same each time.
    let hashed = &told["groups"][1];
    assert_eq!(hashed["why"], "by the hash of the client's address");
    assert_eq!(of(&["--sni", "both.example"])["groups"][1]["backend"], hashed["backend"]);
    let told = of(&["--src", "203.0.113.9"]);
    assert_eq!((&told["action"], &told["reason"]), (&"refuse".into(), &"access_denied".into()));
    let told = of(&["--src", "198.51.100.1"]);
    assert_eq!(told["rule"], "office");
    let text =
        run(&ringway, &["explain", "--socket", "admin.sock", "--listener", "relay", "--src", "198.51.100.1"])
            .1;
    assert!(text.starts_with("connection from 198.51.100.1 at the listener \"relay\"\n"), "{text}");
    assert!(
        text.contains("takes the connection") && text.contains("group   one (weighted_round_robin)"),
        "{text}"
    );
}

#[test]
fn connections_cannot_be_asked_of_as_requests_nor_requests_as_connections() {
    let ringway = passed();
    let refused =
        |arguments: &[&str]| run(&ringway, &[&["explain", "-c", "ringway.toml"], arguments].concat());
    let (code, _, error) = refused(&["GET", "https://a.example/", "--listener", "relay"]);
    assert!(code == 1 && error.contains("takes no requests: ask without method and URL"), "{code} {error}");
    for arguments in
        [&[][..], &["GET", "--listener", "relay"], &["GET", "https://a.example/", "--alpn", "h2"]]
    {
        assert_eq!(refused(arguments).0, 2, "{arguments:?}");
    }
    let (code, _, error) = refused(&["--listener", "rely"]);
    assert!(
        code == 1 && error.contains("there is no listener: \"rely\"; there are \"relay\""),
        "{code} {error}"
    );
    let hint = |arguments: &[&str]| {
        refused(&[&["--listener", "relay"], arguments].concat()).1.contains("--sni NAME")
    };
    assert!(hint(&[]) && !hint(&["--sni", "a.example"]) && !hint(&["--src", "198.51.100.1"]));
    let backend = Backend::echo_head();
    let of_http = scenario(&backend).start();
    let (code, _, error) = run(&of_http, &["explain", "--socket", "admin.sock", "--listener", "web"]);
    assert!(code == 1 && error.contains("takes requests: name method and URL"), "{code} {error}");
}

#[test]
fn a_standby_is_told_of() {
    let backend = UdpBackend::echo("");
    let why = |others: &str| {
        let ringway = Relayed::udp(&[backend.address()])
            .table(others)
            .table("[admin]\nsocket = \"admin.sock\"")
            .start();
        explained(&ringway, &["--listener", "relay"])["groups"][0]["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let other = |lines: &str| format!("[[server_group.backend]]\naddress = \"127.0.0.1:9\"\n{lines}");
    assert_eq!(why(""), "it is the only one");
    assert_eq!(
        why(&other("role = \"standby\"")),
        "it is the only active one; a standby takes over when it fails"
    );
    for lines in ["weight = 0", "enabled = false"] {
        assert_eq!(why(&other(lines)), "it is the only one that can be asked");
    }
    let instead = format!("weight = 0\n{}", other("role = \"standby\""));
    assert_eq!(why(&instead), "no active one can be asked, and it is the only standby that can");
}

#[test]
fn datagrams_are_explained() {
    let backends = [UdpBackend::echo("1:"), UdpBackend::echo("2:")];
    let ringway = Relayed::udp(&backends.each_ref().map(UdpBackend::address))
        .group("algorithm = \"source_ip_hash\"")
        .table("[admin]\nsocket = \"admin.sock\"")
        .start();
    let told = explained(&ringway, &["--listener", "relay"]);
    assert_eq!((&told["protocol"], &told["why"]), (&"udp".into(), &"it goes to the default_group".into()));
    // What is told is what happens.
    let client = UdpClient::connect(ringway.address());
    let place = if client.ask("x") == "1:x" { 0 } else { 1 };
    assert_eq!(told["groups"][0]["backend"], backends[place].address().to_string());
    let (code, _, error) =
        run(&ringway, &["explain", "--socket", "admin.sock", "--listener", "relay", "--sni", "a.example"]);
    assert!(code == 1 && error.contains("looks into no TLS handshake"), "{code} {error}");
}
