//! Responses that end with the backend's connection.

use crate::support::{Backend, Client, Ringway};

fn until_close() -> Backend {
    let response = "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nall of it";
    Backend::closes_after(response, response.len())
}

#[test]
fn http11_gets_chunks_and_keeps_its_connection() {
    let backend = until_close();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(response.field("transfer-encoding"), Some("chunked"));
        assert_eq!((response.text().as_str(), response.is_close_delimited), ("all of it", false));
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn http10_gets_the_end_of_its_connection() {
    let backend = until_close();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.text().as_str(), response.is_close_delimited), ("all of it", true));
    assert_eq!(response.field("connection"), Some("close"));
}

#[test]
fn a_backend_of_http10_is_understood() {
    let response = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let backend = Backend::closes_after(response, response.len());
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(
            (response.head.start_line.as_str(), response.text().as_str()),
            ("HTTP/1.1 200 OK", "hello")
        );
    }
}

#[test]
fn a_reset_is_no_end() {
    let backend = Backend::script(|peer| {
        peer.read_request()?;
        peer.write(b"HTTP/1.1 200 OK\r\n\r\npart of it")?;
        std::thread::sleep(std::time::Duration::from_millis(100));
        socket2::SockRef::from(peer.stream()).set_linger(Some(std::time::Duration::ZERO))
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_read_response().is_err(), "HTTP/1.1 sees that the last chunk is missing");
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.try_read_response().is_err(), "HTTP/1.0 sees a reset");
}
