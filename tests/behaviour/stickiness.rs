//! Clients that stay with their backend.

use crate::support::{Backend, Client, Response, Scenario};

/// Backends that answer with their name, and with `extra` field lines.
fn named(extra: &'static str) -> [Backend; 3] {
    ["one", "two", "three"].map(|name| {
        Backend::per_request(move |peer, head, _| {
            let cookie = head.field("cookie").unwrap_or("-").to_owned();
            let body = format!("{name} {cookie}");
            peer.write(
                format!("HTTP/1.1 200 OK\r\n{extra}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
            )
        })
    })
}

fn scenario(backends: &[Backend], sticky: &str) -> Scenario {
    let sticky = format!("[server_group.sticky]\n{sticky}");
    backends
        .iter()
        .fold(Scenario::new().group_table(&sticky), |scenario, one| scenario.backend(one.address()))
}

fn ask(client: &mut Client, cookie: Option<&str>) -> Response {
    let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n"));
    client.read_response()
}

/// The name of the backend that answered, and the cookies that it saw.
fn who(response: &Response) -> (String, String) {
    let text = response.text();
    let (name, cookies) = text.split_once(' ').expect("a name and cookies");
    (name.to_owned(), cookies.to_owned())
}

/// The cookie that a response sets, without its attributes.
fn set_cookie(response: &Response) -> Option<String> {
    Some(response.field("set-cookie")?.split(';').next()?.to_owned())
}

#[test]
fn an_inserted_cookie_has_the_attributes_that_it_is_given() {
    let backends = named("");
    let secure = if crate::support::over_tls() { "; Secure" } else { "" };
    let none = if crate::support::over_tls() { "; SameSite=None; Secure" } else { "" };
    for (keys, expected) in [
        (
            "path = \"/app\"\ndomain = \"Example.com\"",
            format!("Path=/app; HttpOnly; Max-Age=1000; Domain=example.com{secure}"),
        ),
        ("same_site = \"strict\"", format!("Path=/; HttpOnly; Max-Age=1000; SameSite=Strict{secure}")),
        ("same_site = \"none\"\nsecure = \"auto\"", format!("Path=/; HttpOnly; Max-Age=1000{none}")),
        (
            "same_site = \"none\"\nsecure = true",
            "Path=/; HttpOnly; Max-Age=1000; SameSite=None; Secure".to_owned(),
        ),
    ] {
        let ringway = scenario(&backends, &format!("mode = \"insert\"\n{keys}")).start();
        let set = ask(&mut Client::connect(ringway.address()), None);
        let set = set.field("set-cookie").expect("a cookie");
        assert_eq!(set.split_once("; ").map(|(_, attributes)| attributes), Some(&expected[..]), "{keys}");
    }
}

#[test]
fn an_inserted_cookie_brings_its_client_back_and_is_not_shown() {
    let backends = named("");
    let ringway = scenario(&backends, "mode = \"insert\"").start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        let first = ask(&mut client, None);
        let set = first.field("set-cookie").expect("a cookie").to_owned();
        let (name, attributes) = set.split_once("; ").expect("attributes");
        assert!(name.starts_with("SERVERID=") && name.len() == 41, "{set}");
        let secure = if crate::support::over_tls() { "; Secure" } else { "" };
        assert_eq!(attributes, format!("Path=/; HttpOnly; Max-Age=1000{secure}"));
        for other in ["", "a=b; ", "x=\"1\"; "] {
            let again = ask(&mut client, Some(&format!("{other}{name}; z=9")));
            assert_eq!(again.field("set-cookie"), None);
            assert_eq!(who(&again), (who(&first).0, format!("{other}z=9")));
        }
        assert_eq!(who(&ask(&mut client, Some(name))), (who(&first).0, "-".to_owned()));
    }
}

#[test]
fn what_is_no_token_of_ours_gets_a_new_one() {
    let backends = named("");
    let ringway = scenario(&backends, "mode = \"insert\"\ncookie = \"LB\"").start();
    let mut client = Client::connect(ringway.address());
    for nonsense in ["LB=", "LB=deadbeef", &format!("LB={}", "0".repeat(32)), "LB", "lb=1"] {
        let response = ask(&mut client, Some(nonsense));
        assert!(set_cookie(&response).is_some_and(|cookie| cookie.len() == 35), "{nonsense}");
    }
}

#[test]
fn a_token_ends_with_its_time() {
    let backends = named("");
    let ringway = scenario(&backends, "mode = \"insert\"\ntimeout = \"2s\"").start();
    let mut client = Client::connect(ringway.address());
    let cookie = set_cookie(&ask(&mut client, None)).expect("a cookie");
    assert_eq!(set_cookie(&ask(&mut client, Some(&cookie))), None);
    std::thread::sleep(std::time::Duration::from_millis(3_100));
    assert!(set_cookie(&ask(&mut client, Some(&cookie))).is_some());
}

#[test]
fn a_client_whose_backend_is_gone_gets_another_and_a_new_cookie() {
    let mut backends: Vec<_> = named("").into();
    let ringway = scenario(&backends, "mode = \"insert\"").start();
    let mut client = Client::connect(ringway.address());
    let first = ask(&mut client, None);
    let cookie = set_cookie(&first).expect("a cookie");
    let (owner, _) = who(&first);
    let index = ["one", "two", "three"].iter().position(|name| *name == owner).expect("a name");
    let gone = backends.remove(index);
    gone.stop();
    let second = ask(&mut client, Some(&cookie));
    assert_eq!(second.status, 200);
    assert_ne!(who(&second).0, owner);
    let new = set_cookie(&second).expect("a new cookie");
    assert_ne!(new, cookie);
    assert_eq!(who(&ask(&mut client, Some(&new))).0, who(&second).0);
}

#[test]
fn a_rewritten_cookie_keeps_its_attributes() {
    let backends = named("Set-Cookie: app=secret; Path=/shop; Secure\r\nSet-Cookie: other=1\r\n");
    let ringway = scenario(&backends, "mode = \"rewrite\"\ncookie = \"app\"").start();
    let mut client = Client::connect(ringway.address());
    let first = ask(&mut client, None);
    let all = first.head.all("set-cookie");
    let rewritten = all.iter().find(|cookie| cookie.starts_with("app=")).expect("the cookie");
    let (pair, attributes) = rewritten.split_once("; ").expect("attributes");
    assert_eq!((pair.len(), attributes), (36, "Path=/shop; Secure"));
    assert!(all.contains(&"other=1") && all.len() == 2, "{all:?}");
    for _ in 0..6 {
        assert_eq!(who(&ask(&mut client, Some(pair))), (who(&first).0, pair.to_owned()));
    }
}

/// "Servers SHOULD NOT include more than one Set-Cookie header field in the same response with the same cookie-name" (RFC
/// 6265 §4.1.1), and of those that do, the last one counts: order tells.
#[test]
fn a_rewritten_cookie_stays_where_it_stands() {
    let lines = "Set-Cookie: a=1\r\nSet-Cookie: app=x\r\nVary: b\r\nSet-Cookie: app=x\r\nSet-Cookie: c=1\r\n";
    for (versions, is_http2) in [("", false), ("http2", true)] {
        let backends = named(lines);
        let scenario = scenario(&backends, "mode = \"rewrite\"\ncookie = \"app\"");
        let fields = if is_http2 {
            let ringway = scenario.secured().start();
            crate::support::Http2::connect(ringway.address()).get("/").fields
        } else {
            let ringway = scenario.start();
            Client::connect(ringway.address()).get("/").head.fields
        };
        let names: Vec<_> = fields
            .iter()
            .filter(|(name, _)| ["set-cookie", "vary"].contains(&name.to_ascii_lowercase().as_str()))
            .map(|(_, value)| value.split('=').next().unwrap_or_default())
            .collect();
        assert_eq!(names, ["a", "app", "b", "app", "c"], "{versions}");
        assert!(!fields.iter().any(|(_, value)| value == "app=x"), "{fields:?}");
    }
}

#[test]
fn the_applications_own_cookie_is_remembered() {
    let backends = ["one", "two", "three"].map(|name| {
        Backend::per_request(move |peer, head, _| {
            let set = match head.field("cookie") {
                Some(_) => String::new(),
                None => format!("Set-Cookie: JSESSIONID={name}-session; Path=/\r\n"),
            };
            let body = format!("{name} -");
            peer.write(
                format!("HTTP/1.1 200 OK\r\n{set}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
            )
        })
    });
    let ringway = scenario(&backends, "mode = \"app_cookie\"\ncookie = \"JSESSIONID\"").workers(2).start();
    for _ in 0..3 {
        let mut client = Client::connect(ringway.address());
        let first = ask(&mut client, None);
        let cookie = set_cookie(&first).expect("the application's cookie");
        assert_eq!(cookie, format!("JSESSIONID={}-session", who(&first).0));
        for _ in 0..4 {
            // Any worker knows it.
            assert_eq!(who(&ask(&mut Client::connect(ringway.address()), Some(&cookie))).0, who(&first).0);
        }
    }
    // Nobody knows who set this one, but it stays where it was sent.
    let mut client = Client::connect(ringway.address());
    let first = who(&ask(&mut client, Some("JSESSIONID=unheard-of"))).0;
    assert!((0..6).all(|_| who(&ask(&mut client, Some("JSESSIONID=unheard-of"))).0 == first));
}

#[test]
fn a_clients_address_can_be_its_claim() {
    let backends = named("");
    let scenario = scenario(&backends, "mode = \"source_ip\"").listener("trusted_proxies = [\"127.0.0.1\"]");
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    let mut ask_as = |address: &str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n"));
        who(&client.read_response()).0
    };
    let firsts: Vec<_> = (1..40).map(|number| ask_as(&format!("192.0.2.{number}"))).collect();
    let again: Vec<_> = (1..40).map(|number| ask_as(&format!("192.0.2.{number}"))).collect();
    assert_eq!(firsts, again);
    assert!(["one", "two", "three"].iter().all(|name| firsts.iter().any(|first| first == name)));
}

#[test]
fn a_token_survives_reload_and_with_a_seed_restart() {
    let backends = named("");
    let seeded = scenario(&backends, "mode = \"insert\"")
        .file("seed", &"s".repeat(32))
        .process("ticket_seed_file = \"seed\"");
    let ringway = seeded.start();
    let mut client = Client::connect(ringway.address());
    let first = ask(&mut client, None);
    let cookie = set_cookie(&first).expect("a cookie");
    ringway.reload(&seeded.clone().listener("idle_timeout = \"20s\"").text());
    let again = ask(&mut client, Some(&cookie));
    assert_eq!((who(&again).0, set_cookie(&again)), (who(&first).0, None));
    drop(ringway);
    let ringway = seeded.start();
    let again = ask(&mut Client::connect(ringway.address()), Some(&cookie));
    assert_eq!((who(&again).0, set_cookie(&again)), (who(&first).0, None));
}

#[test]
fn a_client_whose_backend_is_gone_is_retried_like_any_other() {
    let (owner, other) =
        (Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"), named("").into_iter().next());
    let other = other.expect("a backend");
    let closing = Backend::closes_after("", 0);
    let scenario = scenario(&[], "mode = \"insert\"")
        .group("max_retries = 2")
        .backend(owner.address())
        .backend_at(&closing.address().to_string(), 100)
        .backend(other.address());
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    let cookie = std::iter::repeat_with(|| ask(&mut client, None))
        .take(6)
        .find(|response| response.text() == "one")
        .and_then(|response| set_cookie(&response))
        .expect("the owner answers one of the first");
    owner.stop();
    for _ in 0..4 {
        assert_eq!(ask(&mut client, Some(&cookie)).status, 200);
    }
}
