//! Clients of HTTP/2 that give a request up: nothing more is done for it, wherever it is.

use crate::support::tls::{own_pair, server_config};
use crate::support::{Backend, Http2, Scenario, eventually, now};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

const CANCEL: u32 = 8;
const INITIAL_WINDOW_SIZE: u16 = 4;

#[test]
fn a_request_that_waits_for_its_connection_is_not_sent() {
    let (sender, seen) = channel();
    let backend = Backend::script(move |peer| {
        // The time that a handshake may take.
        std::thread::sleep(Duration::from_millis(300));
        let mut end = peer.http2(&[])?;
        while let Some(stream) = end.next_request()? {
            let _ = sender.send(end.stream(stream).field(":path").map(str::to_owned));
            end.respond(stream, "200", b"fine")?;
        }
        Ok(())
    });
    let ringway = Scenario::of(&backend).secured().group_protocol("h2c").start();
    let mut client = Http2::connect(ringway.address());
    let given_up = client.request("POST", "/given-up", &[], true);
    let wanted = client.request("POST", "/wanted", &[], true);
    client.reset(given_up, CANCEL).expect("it is taken");
    assert_eq!(client.response(wanted).status, 200);
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [Some("/wanted".to_owned())]);
}

#[test]
fn who_waits_for_a_handshake_is_not_forgotten_with_the_request_that_began_it() {
    let mut config = server_config(own_pair(), None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let backend = Backend::script(move |peer| {
        // The time that it may take.
        std::thread::sleep(Duration::from_millis(300));
        let session = rustls::ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        peer.secure(session.into())?;
        let mut end = peer.http2(&[])?;
        while let Some(stream) = end.next_request()? {
            end.respond(stream, "200", b"fine")?;
        }
        Ok(())
    });
    let scenario = Scenario::of(&backend).secured().group("http2 = true").group_tls("verify = \"off\"");
    let ringway = scenario.start();
    let mut client = Http2::connect(ringway.address());
    let given_up = client.request("POST", "/given-up", &[], true);
    let wanted = client.request("POST", "/wanted", &[], true);
    std::thread::sleep(Duration::from_millis(50));
    client.reset(given_up, CANCEL).expect("it is taken");
    let start = now();
    assert_eq!(client.response(wanted).status, 200);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn an_upload_that_waits_for_a_window_is_cancelled() {
    let (sender, seen) = channel();
    let backend = Backend::script(move |peer| {
        let mut end = peer.http2(&[(INITIAL_WINDOW_SIZE, 0)])?;
        let stream = end.next_request()?.unwrap_or_default();
        let code = end.receive_until(|end| end.stream(stream).reset)?;
        let _ = sender.send(code);
        Ok(())
    });
    let ringway = Scenario::of(&backend).secured().group_protocol("h2c").start();
    let mut client = Http2::connect(ringway.address());
    let upload = client.request("POST", "/", &[], false);
    client.try_send_content(upload, &[b'x'; 30_000], false).expect("it is taken");
    client.settle();
    eventually("the request is under way", || backend.requests() == 1);
    client.reset(upload, CANCEL).expect("it is taken");
    // Long before `response_timeout`.
    assert_eq!(seen.recv_timeout(Duration::from_secs(3)), Ok(Some(CANCEL)));
}
