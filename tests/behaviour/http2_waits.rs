//! Every wait for a client has a bound, and only waits have one.

use crate::support::{Ask, Content, Pair, now};
use std::time::Duration;

/// With `client_body_timeout` of a second, on a busy machine.
const MOST: Duration = Duration::from_secs(4);

#[test]
fn content_that_was_asked_for_and_does_not_come_is_408() {
    for pair in Pair::multiplexed() {
        let backend = pair.backend(|exchange| {
            if exchange.path() == "/next" {
                return exchange.respond(200, b"next");
            }
            exchange.interim(100, &[])?;
            exchange.read_all().map(drop)
        });
        let ringway = pair.scenario(&backend).listener("client_body_timeout = \"1s\"").start();
        let mut client = pair.connect(ringway.address());
        let expecting = Ask::post("/", Content::Sized(5)).fields(&[("expect", "100-continue")]);
        let call = client.begin(expecting);
        assert_eq!(client.interim(call), 100, "{pair:?}");
        let start = now();
        assert_eq!(client.response(call).status, 408, "{pair:?}");
        assert!(start.elapsed() < MOST, "{pair:?}: {:?}", start.elapsed());
        assert_eq!(client.get("/next").body, b"next", "only the stream is over");
    }
}

/// A call of gRPC whose client listens.
#[test]
fn a_client_may_be_silent_while_its_response_flows() {
    for pair in Pair::multiplexed() {
        let backend = pair.backend(|exchange| {
            let first = exchange.read_some()?.unwrap_or_default();
            exchange.head(200, &[], None)?;
            for _ in 0..10 {
                exchange.write(&first)?;
                std::thread::sleep(Duration::from_millis(250));
            }
            let rest = exchange.read_all()?;
            exchange.write(&rest)?;
            exchange.end(&[])
        });
        let ringway = pair.scenario(&backend).listener("client_body_timeout = \"1s\"").start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/", Content::Open));
        client.write(call, b"tick ").expect("it is taken");
        let flowed = client.await_content(call, 50);
        assert!(flowed.is_ok(), "{pair:?}: {flowed:?}");
        client.write(call, b"tock").expect("it is taken");
        client.end(call, &[]).expect("it is taken");
        let expected = [&b"tick ".repeat(10)[..], b"tock"].concat();
        assert_eq!(client.response(call).body, expected, "{pair:?}");
    }
}
