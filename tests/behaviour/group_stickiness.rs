//! Clients that stay with the group that they were given.

use crate::support::{Answer, Ask, Backend, BackendVersion, EitherClient, Pair, Ringway, Scenario, Version};

/// A backend that answers with its name and the cookies that it saw, and would send clients elsewhere.
fn named(pair: Pair, name: &'static str) -> Backend {
    pair.backend(move |exchange| {
        let body = format!("{name} {}", exchange.field("cookie").unwrap_or_default());
        let fields = [("set-cookie", "SERVERGROUPID=0"), ("set-cookie", "app=1")];
        exchange.head(200, &fields, Some(body.len()))?;
        exchange.write(body.as_bytes())?;
        exchange.end(&[])
    })
}

/// The group `other` beside `app`, and a rule that shares its requests between them.
fn sharing(pair: Pair, app: &Backend, other: &Backend, sticky: &str) -> Scenario {
    let protocol = if pair.backend == BackendVersion::Http2 { "h2c" } else { "http" };
    pair.scenario(app)
        .table(&format!(
            "[[server_group]]\nname = \"other\"\nprotocol = \"{protocol}\"\n[[server_group.backend]]\naddress = \"{}\"",
            other.address()
        ))
        .table(&format!(
            "[[rule]]\nname = \"shared\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/\"\nforward = {{ groups = \
             [{{ group = \"app\", weight = 50 }}, {{ group = \"other\", weight = 50 }}], sticky = {{ {sticky} }} }}"
        ))
}

fn ask(client: &mut EitherClient, cookie: &str) -> Answer {
    let fields = [("cookie", cookie)];
    let fields = if cookie.is_empty() { &[][..] } else { &fields };
    let call = client.begin(Ask::get("/").fields(fields));
    client.response(call)
}

/// Who answered, and the cookies that were seen there.
fn who(answer: &Answer) -> (String, String) {
    let text = String::from_utf8(answer.body.clone()).expect("text");
    let (name, cookies) = text.split_once(' ').expect("a name and cookies");
    (name.to_owned(), cookies.to_owned())
}

/// The cookies of this name that a response sets, with their attributes.
fn set(answer: &Answer, name: &str) -> Vec<String> {
    let all = answer.all("set-cookie").into_iter().filter(|value| value.starts_with(&format!("{name}=")));
    all.map(str::to_owned).collect()
}

/// A client's cookie for the group with this name.
fn cookie_of(pair: Pair, ringway: &Ringway, group: &str) -> String {
    let mut client = pair.connect(ringway.address());
    for _ in 0..200 {
        let answer = ask(&mut client, "");
        if who(&answer).0 == group {
            let cookies = set(&answer, "SERVERGROUPID");
            assert_eq!(cookies.len(), 1, "{cookies:?}");
            return cookies[0].split(';').next().unwrap_or_default().to_owned();
        }
    }
    panic!("nobody was sent to {group}");
}

#[test]
fn a_client_stays_with_its_group_and_backends_do_not_see_the_cookie() {
    Pair::each(|pair| {
        let (app, other) = (named(pair, "app"), named(pair, "other"));
        let ringway = sharing(pair, &app, &other, "timeout = \"1h\", same_site = \"lax\"").start();
        for group in ["app", "other"] {
            let cookie = cookie_of(pair, &ringway, group);
            let mut client = pair.connect(ringway.address());
            for _ in 0..10 {
                // Another cookie of the name does not hide ours.
                let answer = ask(&mut client, &format!("a=1; SERVERGROUPID=x; {cookie}; b=2"));
                assert_eq!(who(&answer), (group.to_owned(), "a=1; b=2".to_owned()));
                assert_eq!(answer.all("set-cookie"), ["app=1"]);
            }
            let answer = ask(&mut client, &cookie);
            assert_eq!(who(&answer), (group.to_owned(), String::new()));
        }
        let mut client = pair.connect(ringway.address());
        for made_up in ["SERVERGROUPID=app", "SERVERGROUPID=00000000000000000000000000000000"] {
            let answer = ask(&mut client, made_up);
            let cookies = set(&answer, "SERVERGROUPID");
            assert_eq!(cookies.len(), 1, "{cookies:?}");
            assert!(cookies[0].contains("; Path=/; HttpOnly; Max-Age=3600; SameSite=Lax"), "{cookies:?}");
        }
    });
}

#[test]
fn a_client_stays_with_its_backend_within_its_group() {
    Pair::each(|pair| {
        let (app, other) = (named(pair, "app"), named(pair, "other"));
        let [two, three] = ["two", "three"].map(|name| named(pair, name));
        let ringway = sharing(pair, &app, &other, "")
            .backend(two.address())
            .backend(three.address())
            .group_table("[server_group.sticky]\nmode = \"insert\"\n")
            .start();
        let mut client = pair.connect(ringway.address());
        let first = (0..200).map(|_| ask(&mut client, "")).find(|answer| who(answer).0 != "other");
        let first = first.expect("one that was sent to the group");
        let both: Vec<_> = ["SERVERID", "SERVERGROUPID"]
            .iter()
            .flat_map(|name| set(&first, name))
            .map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(both.len(), 2, "{both:?}");
        for _ in 0..10 {
            let answer = ask(&mut client, &format!("{}; x=1", both.join("; ")));
            assert_eq!(who(&answer), (who(&first).0, "x=1".to_owned()));
            assert_eq!(answer.all("set-cookie"), ["app=1"]);
        }
    });
}

#[test]
fn a_group_that_cannot_serve_loses_its_clients() {
    let pair = Pair { client: Version::Http1, backend: BackendVersion::Http1 };
    let (app, other) = (named(pair, "app"), named(pair, "other"));
    let scenario = sharing(pair, &app, &other, "");
    let ringway = scenario.start();
    let text = scenario.text();
    let cookie = cookie_of(pair, &ringway, "other");
    let asked = |cookie: &str| ask(&mut pair.connect(ringway.address()), cookie);
    let address = format!("address = \"{}\"", other.address());
    let down = format!(
        "address = \"{}\"\n[server_group.health_check]\nprotocol = \"tcp\"\ninitial = \"down\"",
        Backend::refused_address()
    );
    for (what, broken) in [
        ("weight 0", text.replace("\"other\", weight = 50", "\"other\", weight = 0")),
        ("no backend", text.replace(&address, &format!("{address}\nweight = 0"))),
        ("down", text.replace(&address, &down)),
        ("gone", text.replace("{ group = \"other\", weight = 50 }", "{ group = \"app\", weight = 1 }")),
    ] {
        assert_ne!(broken, text, "{what}");
        ringway.reload(&broken);
        for _ in 0..5 {
            let answer = asked(&cookie);
            assert_eq!((answer.status, who(&answer).0.as_str()), (200, "app"), "{what}");
            assert_eq!(set(&answer, "SERVERGROUPID").len(), 1, "{what}");
            // Who is new is sent where somebody serves.
            assert_eq!(who(&asked("")).0, "app", "{what}");
        }
        // Back again, the old cookie counts.
        ringway.reload(&text);
        assert_eq!(who(&asked(&cookie)).0, "other", "{what}");
    }
}
