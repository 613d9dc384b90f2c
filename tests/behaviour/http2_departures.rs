//! Clients of HTTP/2 and HTTP/3 that give a request up: nothing more is done for it, wherever it is.

use crate::support::tls::{own_pair, server_config};
use crate::support::{Ask, Backend, Content, EitherClient, Http2, Scenario, Version, eventually, now};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const CANCEL: u32 = 8;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Serves each request with 200, and tells its path.
fn serve(end: &mut Http2, told: &Sender<Option<String>>) -> io::Result<()> {
    while let Some(stream) = end.next_request()? {
        let _ = told.send(end.stream(stream).field(":path").map(str::to_owned));
        end.respond(stream, "200", b"fine")?;
    }
    Ok(())
}

/// One request is given up while its connection is being opened, and another one waits for the same.
fn gives_up_one_of_two(scenario: &Scenario, told: &Receiver<Option<String>>) {
    for version in Version::WITH_STREAMS {
        // Each has connections of its own.
        let ringway = scenario.start();
        let mut client = EitherClient::connect(version, ringway.address());
        let given_up = client.begin(Ask::post("/given-up", Content::None));
        let wanted = client.begin(Ask::post("/wanted", Content::None));
        std::thread::sleep(Duration::from_millis(30));
        let mut client = client.abort(given_up).expect("only the stream is over");
        let start = now();
        assert_eq!(client.response(wanted).status, 200);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Some("/wanted".to_owned())]);
    }
}

/// The time that a handshake may take.
const HANDSHAKE: Duration = Duration::from_millis(300);

#[test]
fn a_request_that_waits_for_settings_is_not_sent() {
    let (sender, told) = channel();
    let backend = Backend::script(move |peer| {
        std::thread::sleep(HANDSHAKE);
        serve(&mut peer.http2(&[])?, &sender)
    });
    gives_up_one_of_two(&Scenario::of(&backend).http3().group_protocol("h2c"), &told);
}

#[test]
fn who_waits_for_a_handshake_is_not_forgotten_with_the_request_that_began_it() {
    let mut config = server_config(own_pair(), None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let (sender, told) = channel();
    let backend = Backend::script(move |peer| {
        std::thread::sleep(HANDSHAKE);
        let session = rustls::ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        peer.secure(session.into())?;
        serve(&mut peer.http2(&[])?, &sender)
    });
    let scenario = Scenario::of(&backend).http3().group("http2 = true").group_tls("verify = \"off\"");
    gives_up_one_of_two(&scenario, &told);
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
    for (number, version) in Version::WITH_STREAMS.into_iter().enumerate() {
        let ringway = Scenario::of(&backend).http3().group_protocol("h2c").start();
        let mut client = EitherClient::connect(version, ringway.address());
        let upload = client.begin(Ask::post("/", Content::Open));
        client.write(upload, &[b'x'; 10_000]).expect("it is taken");
        eventually("the request is under way", || backend.requests() == number + 1);
        let _kept = client.abort(upload);
        // Long before `response_timeout`.
        assert_eq!(seen.recv_timeout(Duration::from_secs(3)), Ok(Some(CANCEL)));
    }
}
