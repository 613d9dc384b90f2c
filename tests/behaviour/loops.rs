//! Requests that come around again, and what tells others that a message passed.

use crate::support::{Ask, Backend, BackendVersion, Pair, Version, log_entries, over_tls};

#[test]
fn a_request_that_comes_around_is_refused() {
    if over_tls() {
        // The backends of the pair are in cleartext, and the second hop would not be.
        return;
    }
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"app"));
        // The second hop of the loop speaks what the pair's backend speaks.
        let scenario = |backend: &Backend| {
            let second = "[[listener]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\nhttp2 = true\n\
                          default_group = \"app\"\n";
            pair.scenario(backend).listener("loop_detection = true").logged("json").table(second)
        };
        let started = scenario(&backend);
        let ringway = started.start();
        let mut client = pair.connect(ringway.address_of("web"));
        assert_eq!(client.get("/").status, 200);
        let address = ringway.address_of("second").to_string();
        let own = backend.address().to_string();
        let second_looks = "default_group = \"app\"\nloop_detection = true\n";
        let text = started.text().replace(&own, &address);
        ringway.reload(
            &text
                .replace("http2 = true\ndefault_group = \"app\"\n", &format!("http2 = true\n{second_looks}")),
        );
        assert_eq!(client.get("/").status, 463);
        let entries = log_entries(&ringway, 4);
        let looped: Vec<_> = entries.iter().filter(|entry| entry["reason"] == "loop_detected").collect();
        assert_eq!(looped.len(), 1, "{entries:?}");
        assert_eq!((&looped[0]["listener"], &looped[0]["status"]), (&"second".into(), &463.into()));
    });
}

#[test]
fn each_pass_adds_its_mark_and_too_many_are_a_loop() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let told = ["x-lb-trace", "via"].map(|name| exchange.field(name).unwrap_or_default());
            exchange.respond(200, told.join("|").as_bytes())
        });
        let ringway = pair.scenario(&backend).listener("loop_detection = true").start();
        let mut client = pair.connect(ringway.address());
        let mut ask = |trace: &str| {
            let call = client.begin(Ask::get("/").fields(&[("x-lb-trace", trace)]));
            let answer = client.response(call);
            (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
        };
        let (status, told) = ask("00000000000000aa");
        assert_eq!(status, 200);
        let (before, own) = told.trim_end_matches('|').split_once(", ").expect("there are two");
        assert_eq!(before, "00000000000000aa");
        assert!(own.len() == 16 && own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{told}");
        assert_eq!(ask(own).0, 463);
        assert_eq!(ask(&["00000000000000aa"; 15].join(", ")).0, 200);
        assert_eq!(ask(&["00000000000000aa"; 16].join(", ")).0, 463);
    });
}

#[test]
fn without_the_keys_nothing_is_added() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let told = ["x-lb-trace", "via"].map(|name| exchange.field(name).unwrap_or_default());
            exchange.respond(200, told.join("|").as_bytes())
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        let answer = client.get("/");
        assert_eq!((answer.body.as_slice(), answer.field("via")), (&b"|"[..], None));
        let call = client.begin(Ask::get("/").fields(&[("x-lb-trace", "a"), ("via", "1.1 x")]));
        assert_eq!(client.response(call).body, b"a|1.1 x");
    });
}

#[test]
fn via_tells_in_which_version_a_message_came() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let via = exchange.field("via").unwrap_or_default();
            exchange.respond(200, via.as_bytes())
        });
        let ringway = pair.scenario(&backend).listener("via = true").start();
        let mut client = pair.connect(ringway.address());
        let answer = client.get("/");
        let of_client = match pair.client {
            Version::Http1 => "1.1 ringway",
            Version::Http2 => "2 ringway",
            Version::Http3 => "3 ringway",
        };
        let of_backend = match pair.backend {
            BackendVersion::Http1 => "1.1 ringway",
            BackendVersion::Http2 => "2 ringway",
        };
        assert_eq!(String::from_utf8_lossy(&answer.body), of_client);
        assert_eq!(answer.field("via"), Some(of_backend));
    });
}
