//! gRPC: calls to backends, locally generated responses, and probes.

use crate::support::tls::{Issuer, server_config};
use crate::support::{
    Ask, Backend, Call, Client, Content, EitherClient, Http2, Response, Scenario, Version, log_entries,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const CALL: &str = "POST /app.Greeter/Hello HTTP/1.1\r\nHost: app.example\r\nContent-Type: application/grpc+proto\r\n\
                    grpc-timeout: 3S\r\nx-meta-bin: AAE\r\nTransfer-Encoding: chunked\r\n\r\n";

fn scenario(backend: &Backend) -> Scenario {
    Scenario::of(backend).group_protocol("grpc").logged("json")
}

fn call(client: &mut Client) -> Response {
    client.send(format!("{CALL}7\r\n\0\0\0\0\u{2}hi\r\n0\r\n\r\n"));
    client.read_response()
}

#[test]
fn a_call_passes_with_its_metadata_and_its_status() {
    let backend = Backend::http2_per_request(|end, stream, request| {
        for (name, value) in [
            (":method", "POST"),
            (":path", "/app.Greeter/Hello"),
            ("content-type", "application/grpc+proto"),
            ("te", "trailers"),
            ("grpc-timeout", "3S"),
            ("x-meta-bin", "AAE"),
        ] {
            assert_eq!(request.field(name), Some(value), "{name}");
        }
        assert_eq!(request.body, b"\0\0\0\0\x02hi");
        end.send_fields(stream, &[(":status", "200"), ("content-type", "application/grpc")], false)?;
        end.send_content(stream, b"\0\0\0\0\x03you", false)?;
        let trailers = [("grpc-status", "0"), ("grpc-message", "fine%21"), ("x-trail-bin", "AQ")];
        end.send_fields(stream, &trailers, true)
    });
    // A group of h2c may serve calls beside other requests.
    for protocol in ["grpc", "h2c"] {
        let ringway = Scenario::of(&backend).group_protocol(protocol).start();
        let response = call(&mut Client::connect(ringway.address()));
        assert_eq!((response.status, &response.body[..]), (200, &b"\0\0\0\0\x03you"[..]), "{protocol}");
        let trailers = response.trailers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let expected = [("grpc-status", "0"), ("grpc-message", "fine%21"), ("x-trail-bin", "AQ")];
        assert_eq!(trailers.collect::<Vec<_>>(), expected, "{protocol}");
    }
}

#[test]
fn an_answer_that_is_only_trailers_passes() {
    let backend = Backend::http2_per_request(|end, stream, _| {
        let fields = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")];
        end.send_fields(stream, &fields, true)
    });
    let ringway = scenario(&backend).http3().start();
    let response = call(&mut Client::connect(ringway.address()));
    assert_eq!((response.status, response.field("grpc-status")), (200, Some("12")));
    // Callers take every field for metadata of the call, so that none is added but what tells of HTTP/3.
    for mut client in EitherClient::with_streams(ringway.address()) {
        let call = begin_call(&mut client);
        client.write(call, b"\0\0\0\0\x02hi").expect("it is taken");
        client.end(call, &[]).expect("it is taken");
        let names = client.response(call).fields.into_iter().map(|(name, _)| name);
        let names: Vec<_> = names.filter(|name| name != "alt-svc").collect();
        assert_eq!(names, ["content-type", "grpc-status"]);
    }
}

#[test]
fn answers_of_our_own_are_such_as_callers_understand() {
    let silent = Backend::http2(|end| {
        while end.receive()?.is_some() {}
        Ok(())
    });
    let cases = [
        (Scenario::new().backend(Backend::refused_address()).group_protocol("grpc"), "14", 502),
        (scenario(&silent).group("response_timeout = \"300ms\""), "4", 504),
        (Scenario::new().backend_at("127.0.0.1:1", 0).group_protocol("grpc"), "14", 503),
    ];
    for (scenario, code, status) in cases {
        let ringway = scenario.logged("json").start();
        let mut client = Client::connect(ringway.address());
        let response = call(&mut client);
        assert_eq!((response.status, response.field("grpc-status")), (200, Some(code)));
        assert_eq!(response.field("content-type"), Some("application/grpc"));
        assert!(response.field("grpc-message").is_some_and(|text| text.starts_with(&status.to_string())));
        assert!(response.body.is_empty());
        assert_eq!(log_entries(&ringway, 1)[0]["status"], status);
        // Others get a status of HTTP.
        let mut other = Client::connect(ringway.address());
        other.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n");
        let response = other.read_response();
        assert_eq!((response.status, response.field("grpc-status")), (status, None));
    }
}

#[test]
fn messages_pass_one_by_one_in_both_directions() {
    // Answers each piece at once; neither side has ended by then.
    let backend = Backend::http2(|end| {
        let stream = end.next_request()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        end.send_fields(stream, &[(":status", "200")], false)?;
        loop {
            let ended = end.receive_until(|end| {
                let its = end.stream(stream);
                (its.ended || !its.body.is_empty()).then_some(its.ended)
            })?;
            let piece = end.take_content(stream);
            if !piece.is_empty() {
                end.send_content(stream, &piece, false)?;
            }
            if ended != Some(false) {
                return end.send_fields(stream, &[("grpc-status", "0")], true);
            }
        }
    });
    let ringway = scenario(&backend).start();
    let mut client = Client::connect(ringway.address());
    client.send(CALL);
    let head = client.read_exactly("HTTP/1.1 200 OK\r\n".len());
    assert_eq!(head, b"HTTP/1.1 200 OK\r\n");
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n\r\n") {
        line.extend(client.read_exactly(1));
    }
    for text in ["one", "two", "six"] {
        client.send(format!("3\r\n{text}\r\n"));
        assert_eq!(client.read_exactly(8), format!("3\r\n{text}\r\n").as_bytes());
    }
    client.send("0\r\n\r\n");
    let end = b"0\r\ngrpc-status: 0\r\n\r\n";
    assert_eq!(client.read_exactly(end.len()), end);
}

#[test]
fn over_tls_nothing_but_http2_is_spoken() {
    let issuer = Issuer::new("backends");
    let config = server_config(&issuer.server(&["app.example"]), None);
    let modern = Backend::http2_secured(&config, |end| serve(end, b"secure"));
    let old = Backend::secured(Arc::new(config), |peer| peer.respond("200 OK", b"old"));
    let tls = "[server_group.tls]\nverify = \"off\"";
    let ringway = scenario(&modern).group_table(tls).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "secure");
    }
    assert_eq!(modern.connections(), 1);
    let ringway = scenario(&old).group_table(tls).start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "upstream_without_http2");
}

fn serve(end: &mut Http2, answer: &[u8]) -> io::Result<()> {
    while let Some(stream) = end.next_request()? {
        end.message(stream)?;
        end.respond(stream, "200", answer)?;
    }
    Ok(())
}

#[test]
fn probes_ask_as_the_health_protocol_says() {
    // SERVING is 1 and NOT_SERVING is 2; 0 stands for who does not know the method.
    let standing = Arc::new(AtomicU8::new(1));
    let told = standing.clone();
    let backend = Backend::http2_per_request(move |end, stream, request| {
        if request.field(":path") != Some("/grpc.health.v1.Health/Check") {
            return end.respond(stream, "200", b"");
        }
        assert_eq!(request.field("content-type"), Some("application/grpc"));
        assert_eq!((request.field("te"), &request.body[..]), (Some("trailers"), &[0; 5][..]));
        let fields = [(":status", "200"), ("content-type", "application/grpc")];
        match told.load(Ordering::SeqCst) {
            0 => end.send_fields(stream, &[fields[0], fields[1], ("grpc-status", "12")], true),
            standing => {
                end.send_fields(stream, &fields, false)?;
                end.send_content(stream, &[0, 0, 0, 0, 2, 0x08, standing], false)?;
                end.send_fields(stream, &[("grpc-status", "0")], true)
            }
        }
    });
    let check = |more: &str| {
        let check =
            "[server_group.health_check]\nprotocol = \"grpc\"\ninterval = \"1s\"\nhealthy_threshold = 1";
        scenario(&backend).group_table(&format!("{check}\nunhealthy_threshold = 1\n{more}")).start()
    };
    let ringway = check("");
    ringway.wait_for_line("is healthy");
    standing.store(2, Ordering::SeqCst);
    ringway.wait_for_line("is unhealthy: NOT_SERVING");
    standing.store(0, Ordering::SeqCst);
    let patient = check("expect = [0, 12]");
    patient.wait_for_line("is healthy");
    let strict = check("");
    strict.wait_for_line("is unhealthy: RESPONSE_MISMATCH, expected 0, got 12");
}

#[test]
fn probes_of_http_speak_what_the_group_speaks() {
    let backend = Backend::http2_per_request(|end, stream, request| {
        assert_eq!(request.field(":method"), Some("HEAD"));
        end.send_fields(stream, &[(":status", "204")], true)
    });
    let check = "[server_group.health_check]\ninterval = \"1s\"";
    let ringway = Scenario::of(&backend).group_protocol("h2c").group_table(check).start();
    ringway.wait_for_line("is healthy");
}

#[test]
fn the_log_tells_the_status_of_calls() {
    let backend = Backend::http2_per_request(|end, stream, request| {
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        match request.field("x-meta-bin") {
            Some("AAE") => {
                end.send_fields(stream, &head, false)?;
                end.send_fields(stream, &[("grpc-status", "5")], true)
            }
            Some(_) => end.send_fields(stream, &[&head[..], &[("grpc-status", "12")]].concat(), true),
            None => end.respond(stream, "200", b"no call"),
        }
    });
    let ringway = scenario(&backend).start();
    let mut client = Client::connect(ringway.address());
    call(&mut client);
    client.send(format!("{}0\r\n\r\n", CALL.replace("AAE", "AAA")));
    client.read_response();
    client.get("/");
    let entries = log_entries(&ringway, 3);
    let statuses: Vec<_> = entries.iter().map(|entry| entry.get("grpc_status").cloned()).collect();
    assert_eq!(statuses, [Some(5.into()), Some(12.into()), None]);

    let ringway =
        Scenario::new().backend(Backend::refused_address()).group_protocol("grpc").logged("json").start();
    call(&mut Client::connect(ringway.address()));
    assert_eq!(log_entries(&ringway, 1)[0]["grpc_status"], 14);
}

/// Neither says anything for longer than `client_body_timeout`, before the answer begins and after.
#[test]
fn a_quiet_call_goes_on() {
    let backend = Backend::http2(|end| {
        while let Some(stream) = end.next_request()? {
            std::thread::sleep(Duration::from_millis(1300));
            end.send_fields(stream, &[(":status", "200"), ("content-type", "application/grpc")], false)?;
            std::thread::sleep(Duration::from_millis(1300));
            end.send_content(stream, b"\0\0\0\0\x03you", false)?;
            end.send_fields(stream, &[("grpc-status", "0")], true)?;
        }
        Ok(())
    });
    let ringway = scenario(&backend).http3().listener("client_body_timeout = \"1s\"").start();
    for mut client in EitherClient::with_streams(ringway.address()) {
        let call = begin_call(&mut client);
        let answer = client.response(call);
        assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
    }
    let mut http1 = Client::connect(ringway.address());
    http1.send(CALL);
    let answer = http1.read_response();
    assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
}

/// A call of which nothing but the head was sent.
fn begin_call(client: &mut EitherClient) -> Call {
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    client.begin(Ask::post("/app.Greeter/Talk", Content::Open).fields(&fields))
}

/// A bare end of the stream would look like a fault of the connection.
#[test]
fn what_ends_a_call_within_its_answer_is_told_in_trailers() {
    let backend = Backend::http2(|end| {
        let stream = end.next_request()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let path = end.stream(stream).field(":path").map(str::to_owned);
        end.send_fields(stream, &[(":status", "200"), ("content-type", "application/grpc")], false)?;
        end.send_content(stream, b"\0\0\0\0\x03you", false)?;
        if path.as_deref() == Some("/app.Greeter/Talk") {
            while end.receive()?.is_some() {}
        }
        std::thread::sleep(Duration::from_millis(200));
        Ok(())
    });
    let scenario = scenario(&backend).http3().listener("client_body_timeout = \"1s\"");
    let scenario = scenario.listener("tunnel_idle_timeout = \"1s\"");
    let ringway = scenario.start();
    // The backend goes.
    let mut http1 = Client::connect(ringway.address());
    http1.send(CALL);
    let lost = http1.read_response();
    // The caller says nothing for too long, and neither does the backend, whose connection is another one each time.
    let others = [scenario.start(), scenario.start()];
    let mut ringways = others.iter();
    let [http2, http3] = Version::WITH_STREAMS.map(|version| {
        let ringway = ringways.next().expect("there is one for each");
        let mut client = EitherClient::connect(version, ringway.address());
        let call = begin_call(&mut client);
        client.response(call).trailers
    });
    for (trailers, code, word) in [
        (lost.trailers, "14", "upstream_closed"),
        (http2, "1", "client_body_timeout"),
        (http3, "1", "client_body_timeout"),
    ] {
        let trailers: Vec<_> = trailers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(trailers, [("grpc-status", code), ("grpc-message", word)]);
    }
    let told = |ringway| {
        let entry = log_entries(ringway, 1).remove(0);
        (entry["reason"].clone(), entry["grpc_status"].clone())
    };
    assert_eq!(told(&ringway), ("upstream_closed".into(), 14.into()));
    others.iter().for_each(|other| assert_eq!(told(other), ("client_body_timeout".into(), 1.into())));
}
