//! Messages pass unharmed, whichever version of HTTP the client and the backend speak.

use crate::support::{Ask, Content, Exchange, Pair};
use std::io;

/// Bytes that show where they belong.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

/// Answers with what it got, framed as it got it.
fn echo(exchange: &mut dyn Exchange) -> io::Result<()> {
    let length = exchange.field("content-length").and_then(|length| length.parse().ok());
    let body = exchange.read_all()?;
    exchange.head(200, &[], length)?;
    exchange.write(&body)?;
    exchange.end(&[])
}

#[test]
fn bodies_pass_both_ways() {
    Pair::each(|pair| {
        let backend = pair.backend(echo);
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        for size in [0, 1, 100_000, 5_000_000] {
            for content in [Content::Sized(size), Content::Open] {
                let body = pattern(size);
                let call = client.begin(Ask::post("/", content));
                client.write(call, &body).expect("it is taken");
                client.end(call, &[]).expect("it is taken");
                let answer = client.response(call);
                assert_eq!(answer.status, 200, "{content:?} of {size}");
                assert!(answer.body == body, "{content:?}: {} of {size} bytes", answer.body.len());
                let length = answer.field("content-length").map(str::to_owned);
                let is_expected = match content {
                    // An empty body that ended with its head has a known length.
                    Content::Open => length.is_none() || (size == 0 && length.as_deref() == Some("0")),
                    _ => length == Some(size.to_string()),
                };
                assert!(is_expected, "{content:?} of {size}: {length:?}");
            }
        }
        assert_eq!(backend.connections(), 1, "connections are kept");
    });
}

#[test]
fn trailers_pass_both_ways() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let body = exchange.read_all()?;
            let trailers = exchange.trailers();
            exchange.head(200, &[("trailer", "x-answer")], None)?;
            exchange.write(&body)?;
            let echoed = trailers.iter().find(|(name, _)| name == "x-question");
            exchange.end(&[("x-answer", echoed.map_or("none came", |(_, value)| value))])
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        for body in [pattern(0), pattern(70_000)] {
            let ask = Ask::post("/", Content::Open).fields(&[("te", "trailers"), ("trailer", "x-question")]);
            let call = client.begin(ask);
            client.write(call, &body).expect("it is taken");
            client.end(call, &[("x-question", "why not")]).expect("they are taken");
            let answer = client.response(call);
            assert!(answer.body == body, "{} bytes", answer.body.len());
            let expected = [("x-answer".to_owned(), "why not".to_owned())];
            assert_eq!(answer.trailers, expected, "behind {} bytes", body.len());
        }
    });
}

#[test]
fn a_client_that_waits_is_told_to_continue() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            if exchange.field("expect").is_some() {
                exchange.interim(100, &[])?;
            }
            let body = exchange.read_all()?;
            exchange.respond(200, &body)
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        for _ in 0..2 {
            let ask = Ask::post("/", Content::Sized(5)).fields(&[("expect", "100-continue")]);
            let call = client.begin(ask);
            assert_eq!(client.interim(call), 100);
            client.write(call, b"hello").expect("it is taken");
            client.end(call, &[]).expect("it is taken");
            assert_eq!(client.response(call).body, b"hello");
        }
    });
}

#[test]
fn early_hints_come_before_the_answer() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            exchange.interim(103, &[("link", "</style.css>; rel=preload")])?;
            exchange.interim(103, &[("link", "</script.js>; rel=preload")])?;
            exchange.respond(200, b"page")
        });
        let ringway = pair.scenario(&backend).listener("early_hints = \"pass\"").start();
        let mut client = pair.connect(ringway.address());
        for _ in 0..2 {
            let answer = client.get("/");
            assert_eq!((answer.interim.as_slice(), answer.body.as_slice()), (&[103, 103][..], &b"page"[..]));
        }
    });
}

#[test]
fn answers_without_a_body_end_at_once() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| match exchange.path().as_str() {
            "/204" => exchange.head(204, &[], None),
            "/304" => exchange.head(304, &[("etag", "\"x\"")], None),
            _ => exchange.respond(200, b"twelve bytes"),
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        for (method, path, status, length) in
            [("HEAD", "/", 200, Some("12")), ("GET", "/204", 204, None), ("GET", "/304", 304, None)]
        {
            let call = client.begin(Ask::get(path).method(method));
            let answer = client.response(call);
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{method} {path}");
            assert_eq!(answer.field("content-length"), length, "{method} {path}");
        }
        assert_eq!(client.get("/").body, b"twelve bytes");
    });
}

#[test]
fn an_answer_in_the_midst_of_an_upload_is_not_lost() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            if exchange.method() == "GET" {
                return exchange.respond(200, b"next");
            }
            exchange.read_some()?;
            exchange.respond(403, b"enough")?;
            // Bytes left unread would reset a connection of HTTP/1, and its answer with it.
            while exchange.read_some()?.is_some() {}
            Ok(())
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/", Content::Open));
        client.write(call, &pattern(20_000)).expect("it is taken");
        let answer = client.response(call);
        assert_eq!((answer.status, answer.body.as_slice()), (403, &b"enough"[..]));
        if pair.client.is_multiplexed() {
            // Either the stream was reset, or its upload ends in vain.
            let _ = client.end(call, &[]);
            assert_eq!(client.get("/").body, b"next", "only the stream is over");
        }
    });
}

#[test]
fn heads_keep_their_meaning() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let authority = exchange.field(":authority").or_else(|| exchange.field("host"));
            let said = format!(
                "{} {} {} [{}] [{}]",
                exchange.method(),
                exchange.path(),
                authority.unwrap_or_default(),
                exchange.field("x-empty").unwrap_or_default(),
                exchange.field("x-wide").unwrap_or_default(),
            );
            exchange.read_all()?;
            let fields = [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-connection", "fine")];
            exchange.head(299, &fields, Some(said.len()))?;
            exchange.write(said.as_bytes())?;
            exchange.end(&[])
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        let fields = [("X-Empty", ""), ("X-Wide", "a,  b; \"c\"")].map(|(name, value)| {
            if pair.client.is_multiplexed() {
                (name.to_ascii_lowercase(), value)
            } else {
                (name.to_owned(), value)
            }
        });
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let call = client.begin(Ask::get("/a%20b//c?d=%2F&e").method("PATCH").fields(&fields));
        let answer = client.response(call);
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(said, "PATCH /a%20b//c?d=%2F&e test.example [] [a,  b; \"c\"]");
        assert_eq!(answer.status, 299);
        let cookies: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "set-cookie").collect();
        assert_eq!(cookies.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"]);
    });
}

#[test]
fn many_streams_at_a_time_do_not_mix() {
    // QUIC tells only now and then how many more there may be.
    const STREAMS: usize = 80;
    for pair in Pair::multiplexed() {
        let backend = pair.backend(|exchange| {
            let body = exchange.read_all()?;
            let path = exchange.path();
            exchange.respond(200, &[path.as_bytes(), &body].concat())
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        for round in 0..3 {
            let asks: Vec<_> = (0..STREAMS).map(|number| format!("/{round}/{number}")).collect();
            let calls: Vec<_> =
                asks.iter().map(|path| client.begin(Ask::post(path, Content::Sized(3000)))).collect();
            for call in calls.iter().rev() {
                client.write(*call, &pattern(3000)).expect("it is taken");
                client.end(*call, &[]).expect("it is taken");
            }
            for (path, call) in asks.iter().zip(calls) {
                let answer = client.response(call);
                let expected = [path.as_bytes(), &pattern(3000)].concat();
                assert!(answer.body == expected, "{path}: {} bytes", answer.body.len());
            }
        }
    }
}
