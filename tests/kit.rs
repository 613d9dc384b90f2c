//! The test kit tests itself: its client talks to its backends directly.

mod support;

use std::sync::Arc;
use std::time::Duration;
use support::{Backend, Client, Http2, eventually, tls};

#[test]
fn a_head_is_echoed_and_counted() {
    let backend = Backend::echo_head();
    let mut client = Client::connect(backend.address());
    let response = client.get("/a?b");
    assert_eq!(response.status, 200);
    assert_eq!(response.text(), "GET /a?b HTTP/1.1\r\nHost: test.example\r\n\r\n");
    assert_eq!(client.get("/second").field("content-length"), Some("44"));
    assert_eq!((backend.connections(), backend.requests(), backend.open_connections()), (1, 2, 1));
    drop(client);
    eventually("the backend notices the end", || backend.open_connections() == 0);
}

#[test]
fn chunked_bodies_and_trailers_are_read_both_ways() {
    let echo = Backend::echo_body();
    let mut client = Client::connect(echo.address());
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    );
    assert_eq!(client.read_response().text(), "abc");

    let fixed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nT: v\r\n\r\n";
    let backend = Backend::fixed(fixed);
    let response = Client::connect(backend.address()).get("/");
    assert_eq!(response.text(), "ok");
    assert_eq!(response.trailers, [("T".to_owned(), "v".to_owned())]);
}

#[test]
fn pipelined_answers_are_read_one_by_one() {
    let backend = Backend::echo_body();
    let mut client = Client::connect(backend.address());
    let post = |body: &str| format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    client.send(post("one") + &post("two") + "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_response().text(), "one");
    assert_eq!(client.read_response().text(), "two");
    assert_eq!(client.read_response_to("HEAD").status, 200);
    client.expect_closed();
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let response = "HTTP/1.1 200 OK\r\n\r\nall of it";
    let backend = Backend::closes_after(response, response.len());
    let response = Client::connect(backend.address()).get("/");
    assert_eq!((response.text().as_str(), response.is_close_delimited), ("all of it", true));
}

#[test]
fn truncated_and_malformed_answers_are_errors() {
    for (response, count, error) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 40, "inside a message"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 20, "inside a message"),
        ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 99, "bare LF"),
        ("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", 99, "status line"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 99, "beside"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 99, "chunk size"),
        ("", 0, "inside a message"),
    ] {
        let backend = Backend::closes_after(response, count);
        let mut client = Client::connect(backend.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let said = client.try_read_response().expect_err(response).to_string();
        assert!(said.contains(error), "{response:?}: {said}");
    }
}

#[test]
fn silent_and_dripping_backends_take_their_time() {
    let silent = Backend::silent();
    let mut client = Client::connect(silent.address());
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.expect_silence(Duration::from_millis(50));
    client.finish_sending();
    client.expect_closed();

    let slow = Backend::slow_response("HTTP/1.1 204 No Content\r\n\r\n", Duration::from_millis(1));
    let mut client = Client::connect(slow.address());
    let request = b"GET / HTTP/1.1\r\n\r\n".chunks(3);
    client.send_slowly(request, Duration::from_millis(1));
    assert_eq!(client.read_response().status, 204);
}

#[test]
fn a_script_sees_each_connection_by_its_number() {
    let backend = Backend::script(|peer| {
        let number = peer.number.to_string();
        while peer.read_request()?.is_some() {
            peer.respond("200 OK", number.as_bytes())?;
        }
        Ok(())
    });
    let mut clients = [Client::connect(backend.address()), Client::connect(backend.address())];
    let mut numbers = clients.each_mut().map(|client| client.get("/").text());
    numbers.sort();
    assert_eq!(numbers, ["0", "1"]);
}

#[test]
fn a_dropped_backend_closes_and_its_address_can_be_taken_again() {
    let backend = Backend::echo_head();
    let address = backend.address();
    let mut client = Client::connect(address);
    client.get("/");
    drop(backend);
    client.expect_closed();
    let again = Backend::script_on(&address.to_string(), |peer| peer.respond("200 OK", b"again"));
    assert_eq!(Client::connect(again.address()).get("/").text(), "again");
    assert!(std::net::TcpStream::connect(Backend::refused_address()).is_err());
}

#[test]
fn start_up_lines_and_configurations_are_understood() {
    support::check_text_functions();
}

#[test]
fn http2_carries_several_requests_at_a_time() {
    let backend = Backend::http2_echo_body();
    let mut client = Http2::connect(backend.address());
    let bodies: Vec<Vec<u8>> = [0, 1, 100_000, 1_000_000].map(|size| vec![b'x'; size]).into();
    let streams: Vec<u32> = bodies.iter().map(|_| client.request("POST", "/", &[], false)).collect();
    for (stream, body) in streams.iter().zip(&bodies).rev() {
        client.send_content(*stream, body, true).expect("it is taken");
    }
    for (stream, body) in streams.iter().zip(&bodies) {
        let response = client.response(*stream);
        assert_eq!((response.status, response.body.len()), (200, body.len()));
    }
    assert_eq!((backend.connections(), backend.requests()), (1, 4));
    drop(client);
    eventually("the backend notices the end", || backend.open_connections() == 0);
}

#[test]
fn http2_shows_interim_responses_and_trailers() {
    let backend = Backend::http2_per_request(|end, stream, request| {
        assert_eq!(request.trailers, [("x".to_owned(), "y".to_owned())]);
        end.send_fields(stream, &[(":status", "103"), ("link", "</a>")], false)?;
        end.send_fields(stream, &[(":status", "200")], false)?;
        end.send_content(stream, b"ok", false)?;
        end.send_fields(stream, &[("t", "v")], true)
    });
    let mut client = Http2::connect(backend.address());
    let stream = client.request("POST", "/", &[], false);
    client.send_content(stream, b"abc", false).expect("it is taken");
    client.send_fields(stream, &[("x", "y")], true).expect("they are taken");
    let response = client.response(stream);
    assert_eq!((response.status, response.text().as_str(), response.interim.len()), (200, "ok", 1));
    assert_eq!(response.trailers, [("t".to_owned(), "v".to_owned())]);
}

#[test]
fn http2_goes_over_tls_and_tells_resets() {
    let server = tls::server_config(tls::own_pair(), None);
    let backend = Backend::http2_secured(&server, |end| {
        while let Some(stream) = end.next_request()? {
            end.reset(stream, 7)?;
        }
        Ok(())
    });
    let mut config = tls::client_config(&[&tls::own_pair().certificate]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client =
        Http2::secured(backend.address(), &Arc::new(config), "test.example").expect("the handshake succeeds");
    let stream = client.request("GET", "/", &[], true);
    let error = client.message(stream).expect_err("there is no response");
    assert!(error.to_string().contains("code 7"), "{error}");
}

#[test]
fn a_stream_that_is_held_stops_its_sender_alone() {
    let backend = Backend::http2(|end| {
        let mut bodies = std::collections::BTreeMap::new();
        loop {
            for stream in end.take_new_streams() {
                end.send_fields(stream, &[(":status", "200")], false)?;
                bodies.insert(stream, vec![0; 200_000]);
            }
            for (stream, body) in &mut bodies {
                let sent = end.try_send_content(*stream, body, true)?;
                body.drain(..sent);
            }
            bodies.retain(|_, body| !body.is_empty());
            if end.receive()?.is_none() {
                return Ok(());
            }
        }
    });
    let mut client = Http2::connect(backend.address());
    let held = client.request("GET", "/", &[], true);
    client.hold(held);
    assert_eq!(client.get("/").body.len(), 200_000);
    assert_eq!(client.stream(held).body.len(), 65_535);
    client.open_window(held, 200_000).expect("it is taken");
    assert_eq!(client.response(held).body.len(), 200_000);
}
