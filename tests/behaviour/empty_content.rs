//! Requests that leave open whether content follows, and end without any: HTTP/2 and HTTP/3 may tell the end in a frame or
//! packet of its own. Some servers refuse a GET with content, be it none.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use crate::admin::status;
use crate::support::{
    Ask, Backend, BackendVersion, Content, PATIENCE, Pair, Ringway, Scenario, Version, eventually,
};

/// What a backend was told of content with a head: Transfer-Encoding and Content-Length.
type Told = (Option<String>, Option<String>);

/// Whether `/held` may be answered, and a backend that tells of every other request, and loses `/lost` with its connection
/// once.
struct Scene {
    is_open: Arc<AtomicBool>,
    told: Receiver<Told>,
    backend: Backend,
}

impl Scene {
    fn new(pair: Pair) -> Scene {
        let (sender, told) = channel();
        let is_open = Arc::new(AtomicBool::new(false));
        let (may_answer, was_lost) = (Arc::clone(&is_open), AtomicBool::new(false));
        let backend = pair.backend(move |exchange| {
            if exchange.path() == "/held" {
                eventually("it may answer", || may_answer.load(Ordering::SeqCst));
                return exchange.respond(200, b"");
            }
            let _ = sender.send((exchange.field("transfer-encoding"), exchange.field("content-length")));
            if exchange.path() == "/lost" && !was_lost.swap(true, Ordering::SeqCst) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let length = exchange.read_all()?.len();
            exchange.respond(200, length.to_string().as_bytes())
        });
        Scene { is_open, told, backend }
    }

    /// One request at a time goes to the backend, and one more may wait.
    fn start(&self, pair: Pair) -> Ringway {
        let address = self.backend.address();
        let limited = format!("[[server_group.backend]]\naddress = \"{address}\"\nmax_connections = 1");
        let scenario = Scenario::new().group_table(&limited).group("queue = { size = 1, timeout = \"60s\" }");
        let scenario = if pair.client == Version::Http2 { scenario.secured() } else { scenario.http3() };
        let scenario =
            if pair.backend == BackendVersion::Http2 { scenario.group_protocol("h2c") } else { scenario };
        scenario.table("[admin]\nsocket = \"admin.sock\"").start()
    }

    fn told(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("the backend is asked")
    }
}

fn waiting(ringway: &Ringway) -> u64 {
    status(ringway)["groups"][0]["queue"]["in_use"].as_u64().expect("a number")
}

#[test]
fn an_end_that_is_there_before_a_backend_is_asked_leaves_no_content() {
    Pair::each_of(Pair::multiplexed(), |pair| {
        // What is lost is asked for again, because all of it is known.
        for (method, path, length) in [("GET", "/", None), ("POST", "/", Some("0")), ("GET", "/lost", None)] {
            let scene = Scene::new(pair);
            let ringway = scene.start(pair);
            let mut first = pair.connect(ringway.address());
            let held = first.begin(Ask::get("/held"));
            let is_busy = || status(&ringway)["groups"][0]["backends"][0]["in_flight"] == 1;
            eventually("the backend is busy", is_busy);
            let mut client = pair.connect(ringway.address());
            let call = client.begin(Ask::post(path, Content::Open).method(method));
            eventually("it waits", || waiting(&ringway) == 1);
            client.end(call, &[]).expect("it is taken");
            // The refusal of another one shows that the end has come.
            assert_eq!(client.get("/").status, 503);
            scene.is_open.store(true, Ordering::SeqCst);
            assert_eq!(first.response(held).status, 200);
            let answer = client.response(call);
            assert_eq!((answer.status, answer.text().as_str()), (200, "0"), "{method} {path}");
            let expected = (None, length.map(str::to_owned));
            assert_eq!(scene.told(), expected, "{method} {path}");
            if path == "/lost" {
                assert_eq!(scene.told(), expected, "{method} {path}");
            }
        }
    });
}

#[test]
fn an_end_that_is_not_there_is_not_waited_for() {
    Pair::each_of(Pair::multiplexed(), |pair| {
        let scene = Scene::new(pair);
        let ringway = scene.start(pair);
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/", Content::Open).method("GET"));
        let chunked = (pair.backend == BackendVersion::Http1).then(|| "chunked".to_owned());
        assert_eq!(scene.told(), (chunked, None));
        client.end(call, &[]).expect("it is taken");
        assert_eq!(client.response(call).text(), "0");
    });
}
