//! Content that goes no faster than its limits allow.

use std::time::Duration;

use crate::support::{Ask, Content, Pair, now};

const KIB: usize = 1024;

/// Fails unless this many bytes at 1 MiB a second took as long as they should. What may go at once at the beginning, and
/// a busy machine, are allowed for.
fn check(bytes: usize, took: Duration) {
    let expected = bytes as f64 / (KIB * KIB) as f64;
    let took = took.as_secs_f64();
    assert!((expected - 0.45..expected * 1.5 + 3.0).contains(&took), "{bytes} in {took}, not in {expected}");
}

fn rule(lines: &str) -> String {
    format!(
        "[[rule]]\nname = \"slow\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/slow\"\ngroup = \"app\"\n{lines}\n"
    )
}

#[test]
fn responses_are_paced() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            exchange.read_all()?;
            exchange.respond(200, &vec![b'x'; 1536 * KIB])
        });
        let limits = rule("bandwidth_bytes_per_second = \"1MiB\"");
        let ringway = pair.scenario(&backend).workers(2).table(&limits).start();
        let address = ringway.address();
        // Of what no rule limits, nothing waits.
        let began = now();
        assert_eq!(pair.connect(address).get("/").body.len(), 1536 * KIB);
        let unlimited = began.elapsed();
        // Two clients share it, at whichever worker they are.
        let began = now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    assert_eq!(pair.connect(address).get("/slow").body.len(), 1536 * KIB);
                });
            }
        });
        check(3 * KIB * KIB, began.elapsed());
        assert!(unlimited < began.elapsed(), "{unlimited:?}");
    });
}

#[test]
fn uploads_are_paced() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let bytes = exchange.read_all()?.len();
            exchange.respond(200, bytes.to_string().as_bytes())
        });
        let scenario = pair.scenario(&backend).listener("bandwidth_bytes_per_second = \"1MiB\"");
        let ringway = scenario.start();
        let mut client = pair.connect(ringway.address());
        let began = now();
        let call = client.begin(Ask::post("/", Content::Sized(2 * KIB * KIB)));
        for _ in 0..64 {
            client.write(call, &[b'x'; 32 * KIB]).expect("it is taken in time");
        }
        client.end(call, &[]).expect("it is taken in time");
        assert_eq!(client.response(call).body, (2 * KIB * KIB).to_string().as_bytes());
        check(2 * KIB * KIB, began.elapsed());
    });
}

#[test]
fn each_client_has_its_own() {
    let pair = Pair::ALL[0];
    let backend = pair.backend(|exchange| {
        exchange.read_all()?;
        exchange.respond(200, &vec![b'x'; KIB * KIB])
    });
    let lines = "trusted_proxies = [\"127.0.0.0/8\"]\nper_client = { bandwidth_bytes_per_second = \"1MiB\" }";
    let ringway = pair.scenario(&backend).workers(2).listener(lines).start();
    let address = ringway.address();
    let began = now();
    std::thread::scope(|scope| {
        for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
            scope.spawn(move || {
                let mut connection = pair.connect(address);
                let call = connection.begin(Ask::get("/").fields(&[("x-forwarded-for", client)]));
                assert_eq!(connection.response(call).body.len(), KIB * KIB);
            });
        }
    });
    // The first of them has twice as much.
    check(2 * KIB * KIB, began.elapsed());
}
