//! What operators see of HTTP/3: in the status, in `ringway top`, and in what `ringway explain` says.

use crate::admin::{command, run, socket_of, status};
use crate::support::{Backend, Http3, Ringway, Scenario, eventually};
use serde_json::{Value as Json, json};

const FAST: &str = "[[listener]]\nname = \"fast\"\naddress = \"127.0.0.1:0\"\nprotocol = \"quic\"\n\
                    certificates = [\"kit\"]\ndefault_group = \"app\"\n";

/// A listener for HTTPS that clients may leave for one of QUIC, one that has HTTP/3 itself, and one without that is disabled.
fn start(backend: &Backend) -> Ringway {
    let both = FAST.replace("fast", "both").replace("\"quic\"", "\"https\"\nhttp3 = true");
    let off = both.replace("both", "off").replace("http3 = true", "http3 = true\nenabled = false");
    let mut ringway = Scenario::of(backend)
        .secured()
        .listener("quic_listener = \"fast\"")
        .table(FAST)
        .table(&both)
        .table(&off)
        .table("[admin]\nsocket = \"admin.sock\"")
        .spawn();
    ringway.wait_for_listeners(3);
    ringway
}

/// The member of this name of a list.
fn named(list: &Json, name: &str) -> Json {
    let found = list.as_array().into_iter().flatten().find(|one| one["name"] == name);
    found.cloned().unwrap_or_else(|| panic!("no {name} in {list}"))
}

fn seen(listener: &Json) -> [Json; 3] {
    ["protocol", "http3", "quic_listener"].map(|key| listener[key].clone())
}

fn explained(ringway: &Ringway, arguments: &[&str]) -> Json {
    let ended = command(ringway, &[&["explain", "--json"], arguments].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("it is JSON")
}

#[test]
fn status_tells_where_http3_is_served() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let told = status(&ringway);
    let seen_of = |name| seen(&named(&told["listeners"], name));
    assert_eq!(seen_of("web"), [json!("https"), json!(false), json!("fast")]);
    assert_eq!(seen_of("fast"), [json!("quic"), json!(true), json!(null)]);
    assert_eq!(seen_of("both"), [json!("https"), json!(true), json!(null)]);
    assert_eq!(seen_of("off"), [json!("https"), json!(true), json!(null)]);
    assert!(named(&told["listeners"], "web")["datagrams"].is_null());
    let text = command(&ringway, &["status"]).stdout;
    for line in
        ["web       https ", "  HTTP/3 at the listener fast", "fast      quic ", "both      https+h3 "]
    {
        assert!(text.lines().any(|its| its.starts_with(line)), "no {line:?} in\n{text}");
    }
    let tree = command(&ringway, &["status", "--tree"]).stdout;
    for part in ["  https+h3 at 127.0.0.1:", ", HTTP/3 at the listener fast"] {
        assert!(tree.contains(part), "no {part:?} in\n{tree}");
    }
}

#[test]
fn datagrams_of_http3_are_counted_in_the_status_and_in_top() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let mut client = Http3::connect(ringway.address_of("both"));
    assert_eq!(client.get("/").status, 200);
    // They are told once a second.
    eventually("its datagrams are told", || {
        let datagrams = named(&status(&ringway)["listeners"], "both")["datagrams"].clone();
        let count = |key| datagrams[key].as_u64().unwrap_or_else(|| panic!("no {key} in {datagrams}"));
        assert_eq!(datagrams["dropped"]["receive_queue_full"], 0, "{datagrams}");
        count("received") >= 3 && count("sent") >= 3
    });
    let socket = socket_of(&ringway).display().to_string();
    let ended = run(&["top", "--once", "--json", "--socket", &socket]);
    let figures: Json = serde_json::from_str(&ended.stdout).expect("it is JSON");
    let both = named(&figures["listeners"], "both");
    assert_eq!(seen(&both), [json!("https"), json!(true), json!(null)]);
    assert!(both["datagrams_lost_per_second"].is_number(), "{both}");
    let text = run(&["top", "--once", "--socket", &socket]).stdout;
    assert!(text.lines().any(|line| line.starts_with("both      https+h3 ")), "{text}");
}

#[test]
fn a_request_over_http3_is_explained() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let fast = ringway.address_of("fast").port();
    let told = explained(&ringway, &["GET", &format!("https://kit.example:{fast}/")]);
    assert_eq!((&told["listener"], seen(&told)), (&json!("fast"), [json!("quic"), json!(true), json!(null)]));
    let told = explained(&ringway, &["GET", "https://kit.example/", "--listener", "web"]);
    assert_eq!(seen(&told), [json!("https"), json!(false), json!("fast")]);
    let alt_svc = json!([["Alt-Svc", format!("h3=\":{fast}\"; ma=86400")]]);
    assert_eq!(told["response"]["set_headers"], alt_svc);
    let text = command(&ringway, &["explain", "GET", "https://kit.example/", "--listener", "web"]).stdout;
    assert!(text.contains("\"fast\" hold: --listener fast explains them"), "{text}");
    let text = command(&ringway, &["explain", "GET", "https://kit.example/", "--listener", "both"]).stdout;
    assert!(text.contains("by TCP or by HTTP/3, to which the same rules apply"), "{text}");
}

/// A client that knows nothing but the URL comes by TCP.
#[test]
fn of_two_listeners_at_one_port_the_one_of_tcp_is_explained() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let text = std::fs::read_to_string(ringway.folder().join("ringway.toml")).expect("it is there");
    let text = text
        .replace("name = \"both\"\naddress = \"127.0.0.1:0\"", "name = \"both\"\naddress = \"127.0.0.1:1\"");
    let other = ringway.folder().join("other.toml");
    std::fs::write(&other, text.replace("127.0.0.1:0", "127.0.0.1:443")).expect("it can be written");
    let other = other.display().to_string();
    for (arguments, listener) in [(&[][..], "web"), (&["--listener", "fast"], "fast")] {
        let ended =
            run(&[&["explain", "-c", &other, "--json", "GET", "https://kit.example/"], arguments].concat());
        let told: Json = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
        assert_eq!(told["listener"], listener);
    }
}
