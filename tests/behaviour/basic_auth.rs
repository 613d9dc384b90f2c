//! Users and passwords that a rule asks for.

use std::fs;

use crate::support::{Ask, Backend, Client, Pair, Ringway, Scenario, eventually, log_entries, log_lines};

/// All with the password `secret`, made by htpasswd, openssl and argon2 with as little work as they allow.
const USERS: &str = "bob:$2y$04$qbcEnJTO29l/dEKchCc0LuoRz/5biRYV2NDw.RelWjLdOwMwYvMy6\n\
    eve:$6$oedAZ9M854nNhsNg$aGyagInjOkgR.cEsNZawW/9lwOhTf2B6/4jLdRuRx.HTxP1nRYcthVOnnzXrlcKh8J6NnOQfge/AYDbdBI9fw/\n\
    ada:$argon2id$v=19$m=16,t=1,p=1$AsU6gIVXbRHygO7BM0r7Pw$vLkG2ie/e9NXtEMQL2LXQoNJECx3F4Jm5V6M407ASbk\n";

/// The same by a bcrypt of usual cost.
const COSTLY: &str = "bob:$2b$12$DUWuqwi855uQQmoAv.w3OuJl8yuDECmv7Z.h14gaSeAnMLQoEnUZG\n";

/// `bob:secret`, `eve:secret`, `ada:secret`, and pairs that are none.
const BOB: &str = "Basic Ym9iOnNlY3JldA==";
const EVE: &str = "Basic ZXZlOnNlY3JldA==";
const ADA: &str = "Basic YWRhOnNlY3JldA==";
const WRONG: &str = "Basic Ym9iOndyb25n";
const NOBODY: &str = "Basic bm9ib2R5OnNlY3JldA==";

/// A rule for everything below `/a`.
fn asking(lines: &str) -> String {
    format!(
        "[[rule]]\nname = \"asks\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/a\"\ngroup = \"app\"\n\
         basic_auth = {{ realm = \"staff only\", file = \"users\"{lines} }}\n"
    )
}

#[test]
fn users_pass_by_their_password_alone() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let told = exchange.field("authorization").unwrap_or_else(|| "-".to_owned());
            exchange.respond(200, told.as_bytes())
        });
        let scenario = pair.scenario(&backend).file("users", USERS).table(&asking("")).logged("json");
        let ringway = scenario.start();
        let mut client = pair.connect(ringway.address());
        for (authorization, status) in [
            (None, 401),
            (Some(BOB), 200),
            (Some(EVE), 200),
            (Some(ADA), 200),
            (Some(WRONG), 401),
            (Some(NOBODY), 401),
            (Some("Basic Ym9i"), 401),
            (Some("Bearer Ym9iOnNlY3JldA=="), 401),
            (Some(BOB), 200),
        ] {
            let fields: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
            let call = client.begin(Ask::get("/a").fields(&fields));
            let answer = client.response(call);
            assert_eq!(answer.status, status, "{authorization:?}");
            if status == 401 {
                let challenge = "Basic realm=\"staff only\", charset=\"UTF-8\"";
                assert_eq!(answer.field("www-authenticate"), Some(challenge));
            } else {
                assert_eq!(answer.body, b"-", "the password is the load balancer's concern");
            }
        }
        // Two fields could be taken for either.
        let twice = [("authorization", BOB), ("authorization", WRONG)];
        let call = client.begin(Ask::get("/a").fields(&twice));
        assert_eq!(client.response(call).status, 401);
        let call = client.begin(Ask::get("/b").fields(&[("authorization", BOB)]));
        assert_eq!(client.response(call).body, BOB.as_bytes());
        let entries = log_entries(&ringway, 11);
        let reasons: Vec<_> = entries.iter().map(|entry| entry["reason"].as_str().unwrap_or("-")).collect();
        let (required, wrong) = ("password_required", "wrong_password");
        assert_eq!(reasons[..10], [required, "-", "-", "-", wrong, wrong, required, required, "-", required]);
        let told = log_lines(&ringway, 11).concat() + &ringway.stderr();
        assert!(["secret", "Ym9iOnNlY3JldA", "wrong\""].iter().all(|word| !told.contains(word)), "{told}");
    });
}

#[test]
fn what_backends_and_services_learn_is_a_choice() {
    for passes in [false, true] {
        let backend = Backend::echo_head();
        let auth = Backend::per_request(|peer, head, _| {
            let told = head.field("authorization").map_or("204 None", |_| "401 Told");
            peer.respond(told, b"")
        });
        let group = format!(
            "[[server_group]]\nname = \"auth\"\n[[server_group.backend]]\naddress = \"{}\"\n",
            auth.address()
        );
        let rule =
            asking(&format!(", pass_authorization = {passes}")) + "forward_auth = { group = \"auth\" }\n";
        let ringway = Scenario::of(&backend).file("users", USERS).table(&group).table(&rule).start();
        let mut client = Client::connect(ringway.address());
        client.send(format!("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: {BOB}\r\n\r\n"));
        let response = client.read_response();
        assert_eq!(response.status, if passes { 401 } else { 200 });
        assert!(passes || !response.text().contains("Basic"), "{}", response.text());
        assert_eq!(auth.requests(), 1);
        // Who has no password is not asked about.
        assert_eq!(client.get("/a").status, 401);
        assert_eq!(auth.requests(), 1);
    }
}

fn status_of(ringway: &Ringway, authorization: &str) -> u16 {
    let mut client = Client::connect(ringway.address());
    client.send(format!("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"));
    client.read_response().status
}

#[test]
fn a_changed_file_is_in_service_and_a_bad_one_is_not() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).file("users", USERS).table(&asking("")).start();
    let file = ringway.folder().join("users");
    assert_eq!(status_of(&ringway, BOB), 200);
    let without_bob = USERS.replace("bob:", "carl:");
    fs::write(&file, &without_bob).unwrap();
    // Also for those who were known a moment ago.
    eventually("bob is forgotten", || status_of(&ringway, BOB) == 401);
    assert_eq!(status_of(&ringway, EVE), 200);
    fs::write(&file, format!("{without_bob}bob:$apr1$salt$0123456789012345678901\n")).unwrap();
    let line = ringway.wait_for_line("stays as it was");
    assert!(line.contains("line 4 of") && line.contains("is MD5 (apr1), which is not accepted"), "{line}");
    assert!(line.contains("make one by `htpasswd -B FILE USER`"), "{line}");
    assert_eq!((status_of(&ringway, EVE), status_of(&ringway, BOB)), (200, 401));
    fs::write(&file, USERS).unwrap();
    eventually("bob is known", || status_of(&ringway, BOB) == 200);
}

#[test]
fn nothing_starts_with_a_hash_that_cannot_be_verified() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend)
        .file("users", "# staff\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        .table(&asking(""))
        .spawn();
    assert!(!ringway.wait_for_exit(crate::support::PATIENCE).success());
    let told = ringway.stderr_to_end();
    assert!(told.contains("line 2 of") && told.contains("the hash of \"bob\" is SHA-1"), "{told}");
}

#[test]
fn a_flood_of_passwords_holds_up_nobody_who_is_known() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).file("users", COSTLY).table(&asking("")).logged("json").start();
    assert_eq!(status_of(&ringway, BOB), 200);
    // More than the queue holds, and each takes a quarter of a second.
    let mut flood: Vec<Client> = (0..300).map(|_| Client::connect(ringway.address())).collect();
    for client in &mut flood {
        client.send(format!("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: {WRONG}\r\n\r\n"));
    }
    let is_full = || log_entries(&ringway, 1).iter().any(|entry| entry["reason"] == "password_queue_full");
    eventually("the queue is full", is_full);
    for _ in 0..20 {
        assert_eq!(status_of(&ringway, BOB), 200);
    }
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/b").status, 200);
    let entries = log_entries(&ringway, 20);
    // Most of the flood still waits: nobody who is known stood in its queue.
    let verified = entries.iter().filter(|entry| entry["reason"] == "wrong_password").count();
    assert!(verified < 100, "{verified}");
    drop(flood);
}
