//! What a rule says for its requests in the place of its listener and its group.

use std::time::Duration;

use crate::support::{Ask, Backend, Client, Content, Pair, Scenario, eventually, log_entries, now};

fn rule(name: &str, priority: u32, lines: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = {priority}\n\
         path_prefix = \"/{name}\"\ngroup = \"app\"\n{lines}\n"
    )
}

#[test]
fn content_has_the_limit_of_its_rule() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let bytes = exchange.read_all()?.len();
            exchange.respond(200, bytes.to_string().as_bytes())
        });
        let scenario = pair.scenario(&backend).listener("max_body_bytes = 1000").logged("json");
        let scenario = scenario.table(&rule("large", 10, "max_body_bytes = \"100KiB\""));
        let scenario = scenario.table(&rule("small", 20, "actions = [{ max_body_bytes = 10 }]"));
        let ringway = scenario.table(&rule("any", 30, "max_body_bytes = 0")).start();
        let ask = |path: &str, content: Content, bytes: usize| {
            let mut client = pair.connect(ringway.address());
            let call = client.begin(Ask::post(path, content));
            // What is refused may be refused before all of it was taken.
            let _ = client.write(call, &vec![b'x'; bytes]).and_then(|()| client.end(call, &[]));
            client.response(call).status
        };
        for (path, most) in [("/", 1_000), ("/large", 100 << 10), ("/small", 10)] {
            assert_eq!(ask(path, Content::Sized(most), most), 200, "{path}");
            assert_eq!(ask(path, Content::Sized(most + 1), most + 1), 413, "{path}");
            assert_eq!(ask(path, Content::Open, most), 200, "{path}");
            assert_eq!(ask(path, Content::Open, most + 1), 413, "{path}");
        }
        assert_eq!(ask("/any", Content::Open, 200_000), 200);
        let entries = log_entries(&ringway, 13);
        let refused = entries.iter().find(|entry| entry["status"] == 413 && entry["rule"] == "small");
        assert!(refused.is_some(), "{entries:?}");
    });
}

#[test]
fn a_backend_may_be_silent_for_as_long_as_the_rule_says() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let pause = if exchange.path().starts_with("/short") { 5_000 } else { 1_500 };
            std::thread::sleep(Duration::from_millis(pause));
            exchange.respond(200, b"late")
        });
        let scenario = pair.scenario(&backend).group("response_timeout = \"1s\"").group("max_retries = 0");
        let scenario = scenario.table(&rule("long", 10, "response_timeout = \"1h\""));
        let ringway = scenario.table(&rule("short", 20, "response_timeout = \"100ms\"")).start();
        let status = |path: &str| pair.connect(ringway.address()).get(path).status;
        assert_eq!(status("/"), 504);
        assert_eq!(status("/long"), 200);
        let began = now();
        assert_eq!(status("/short"), 504);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    });
}

#[test]
fn a_tunnel_is_idle_for_as_long_as_the_rule_says() {
    let backend = Backend::script(|peer| {
        peer.read_request()?;
        peer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")?;
        while !peer.read_some()?.is_empty() {
            peer.write(b"pong")?;
        }
        Ok(())
    });
    let scenario = Scenario::of(&backend).listener("tunnel_idle_timeout = \"1s\"");
    let ringway = scenario.table(&rule("ws", 10, "tunnel_idle_timeout = \"1h\"")).start();
    let open = |path: &str| {
        let mut client = Client::connect(ringway.address());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
        assert_eq!(client.read_response().status, 101);
        client
    };
    let (mut other, mut kept) = (open("/"), open("/ws"));
    other.expect_closed();
    kept.send("ping");
    assert_eq!(kept.read_exactly(4), b"pong");
    drop((other, kept));
    eventually("both tunnels are closed", || backend.open_connections() == 0);
}

#[test]
fn a_client_may_stop_within_its_content_for_as_long_as_the_rule_says() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            exchange.read_all()?;
            exchange.respond(200, b"all")
        });
        let scenario = pair.scenario(&backend).listener("client_body_timeout = \"1s\"");
        let ringway = scenario.table(&rule("slow", 10, "client_body_timeout = \"60s\"")).start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/slow", Content::Sized(2)));
        client.write(call, b"a").unwrap();
        // The other one is timed out meanwhile.
        let mut other = pair.connect(ringway.address());
        let stalled = other.begin(Ask::post("/", Content::Sized(2)));
        other.write(stalled, b"a").unwrap();
        assert_eq!(other.response(stalled).status, 408);
        client.write(call, b"b").unwrap();
        client.end(call, &[]).unwrap();
        assert_eq!(client.response(call).status, 200);
    });
}

#[test]
fn a_rule_says_which_of_its_requests_are_logged() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let status = if exchange.path().ends_with("bad") { 500 } else { 200 };
            exchange.respond(status, b"x")
        });
        let scenario = pair.scenario(&backend).logged("json");
        let scenario = scenario.table(&rule("off", 10, "log = \"off\""));
        let scenario = scenario.table(&rule("errors", 20, "log = \"errors\""));
        let ringway = scenario.table(&rule("all", 30, "log = \"all\"")).start();
        let mut client = pair.connect(ringway.address());
        for rule in ["off", "errors", "all"] {
            client.get(&format!("/{rule}/good"));
            client.get(&format!("/{rule}/bad"));
        }
        client.get("/end");
        let told: Vec<_> =
            log_entries(&ringway, 4).iter().map(|entry| entry["request_uri"].clone()).collect();
        assert_eq!(told, ["/errors/bad", "/all/good", "/all/bad", "/end"]);
    });
}
