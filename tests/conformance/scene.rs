//! A client, a Ringway and a backend, and what each of them saw.

use super::support::{Backend, Client, Head, Response, Ringway, Scenario};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Long enough for what must not come to have come.
pub(crate) const MOMENT: Duration = Duration::from_millis(150);

/// A Ringway in front of one backend.
pub(crate) struct Scene {
    pub(crate) ringway: Ringway,
    pub(crate) backend: Backend,
}

/// A scene whose backend notes each request and answers it with an empty 200.
pub(crate) struct Watched {
    pub(crate) scene: Scene,
    requests: Receiver<(Head, Vec<u8>)>,
}

impl Scene {
    pub(crate) fn new(backend: Backend) -> Scene {
        // By default they do not reach clients of HTTP/1.1, which is one of the deliberate deviations.
        let scenario = Scenario::of(&backend).listener("early_hints = \"pass\"");
        Scene { ringway: scenario.start(), backend }
    }

    /// A backend that answers every request with these bytes and keeps the connection open.
    pub(crate) fn answering(response: &str) -> Scene {
        Scene::new(Backend::fixed(response.as_bytes()))
    }

    /// A backend that sends these bytes and closes.
    pub(crate) fn closing_after(response: &str) -> Scene {
        Scene::new(Backend::closes_after(response.as_bytes(), response.len()))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.ringway.address()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// The answer to a request on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        self.ask_as("GET", request)
    }

    /// The same for a request whose method decides how its response is framed.
    pub(crate) fn ask_as(&self, method: &str, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.client();
        client.send(request);
        client.read_response_to(method)
    }

    /// Fails unless the request is answered with this status, the connection closed, and nothing of it
    /// forwarded.
    pub(crate) fn refuses(&self, request: impl AsRef<[u8]>, status: u16) {
        let request = request.as_ref();
        let shown = String::from_utf8_lossy(request);
        let before = self.backend.requests();
        let mut client = self.client();
        client.send(request);
        let response = client.read_response();
        assert_eq!(response.status, status, "{shown:?}");
        assert_eq!(response.field("connection"), Some("close"), "{shown:?}");
        client.expect_closed();
        assert_eq!(self.backend.requests(), before, "forwarded: {shown:?}");
    }
}

impl Watched {
    pub(crate) fn new() -> Watched {
        let (sender, requests) = channel();
        let backend = Backend::per_request(move |peer, head, body| {
            // The test may be over already.
            let _ = sender.send((head.clone(), body.to_vec()));
            peer.respond("200 OK", b"")
        });
        Watched { scene: Scene::new(backend), requests }
    }

    /// The head and the body that the backend sees of this request.
    pub(crate) fn forwards(&self, request: impl AsRef<[u8]>) -> (Head, Vec<u8>) {
        let request = request.as_ref();
        let response = self.scene.ask(request);
        assert_eq!(response.status, 200, "{:?}", String::from_utf8_lossy(request));
        self.requests.try_recv().expect("the backend saw the request")
    }

    /// The head that the backend sees of `GET / HTTP/1.1` with Host and these field lines.
    pub(crate) fn forwards_fields(&self, lines: &str) -> Head {
        self.forwards(get(lines)).0
    }
}

/// `GET / HTTP/1.1` with Host and these field lines, each of which ends with CR LF.
pub(crate) fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: test.example\r\n{lines}\r\n")
}

/// The response to a GET through a scene of its own, whose backend sends these bytes and closes.
pub(crate) fn relayed(response: &str) -> Response {
    Scene::closing_after(response).ask(get(""))
}

/// Fails unless a response of these bytes becomes a 502 of Ringway.
pub(crate) fn becomes_bad_gateway(response: &str) {
    let answer = relayed(response);
    assert_eq!((answer.status, answer.field("server")), (502, Some("ringway")), "{response:?}");
}
