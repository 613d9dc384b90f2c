//! The QUIC socket of a listener on one worker: who may connect, and the task of each connection.

use std::cell::Cell;
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::downstream::admission;
use crate::downstream::client_side::ClientSide;
use crate::downstream::coverage::Coverage;
use crate::downstream::eviction;
use crate::downstream::h3::driver;
use crate::downstream::h3::head;
use crate::downstream::h3::head::RequestSpawner;
use crate::downstream::h3::stream;
use crate::downstream::handshake;
use crate::downstream::lifecycle;
use crate::downstream::unserved;
use crate::net::clock::Moment;
use crate::net::task;
use crate::net::task::FutureCache;
use crate::net::timer::Deadline;
use crate::net::timer::Tag;
use crate::proto::h3::fault::ErrorCode;
use crate::quic::admission::Admission;
use crate::quic::admission::Newcomer;
use crate::quic::connection::QuicConnection;
use crate::quic::end::QuicEnd;
use crate::quic::settings::QuicLimits;
use crate::quic::settings::QuicServer;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::tls::accept::Facts;
use crate::tls::accept::HandshakeError;
use crate::tls::quic::QuicTls;
use crate::worker::Worker;

/// How much later QUIC ends what is silent than HTTP/3 does.
const LATER: Duration = Duration::from_secs(5);

/// HTTP/3 in TLS (RFC 9114 §3.1).
const ALPN: &[u8] = b"h3";

/// See the module.
pub(super) struct QuicAccepting {
    /// The slot of the listener; a reload may hand the socket to another one.
    pub(super) listener: Cell<usize>,
    /// The one that clients connect to.
    port: u16,
    worker: Rc<Worker>,
    spawner: RefCell<Option<RequestSpawner>>,
    /// What was offered last.
    offered: RefCell<Option<QuicServer>>,
}

impl QuicAccepting {
    pub(super) fn new(listener: usize, port: u16, worker: &Rc<Worker>) -> Rc<QuicAccepting> {
        let spawner = RefCell::new(Some(spawner_of_streams(worker)));
        Rc::new(QuicAccepting {
            listener: Cell::new(listener),
            port,
            worker: Rc::clone(worker),
            spawner,
            offered: RefCell::default(),
        })
    }

    /// What the listener offers now; None if it is not there any more, or speaks no HTTP/3.
    pub(super) fn offer(&self) -> Option<QuicServer> {
        let snapshot = self.worker.snapshot();
        let terms = snapshot.listener(self.listener.get())?;
        let quic = terms.http()?.quic.as_ref()?;
        let (tls, limits) = (terms.tls.as_ref()?.terms.load(), limits_of(terms.http()?));
        let mut offered = self.offered.borrow_mut();
        let is_current =
            |server: &&QuicServer| Arc::ptr_eq(server.tls.tls(), &tls) && server.limits == limits;
        if offered.as_ref().filter(is_current).is_none() {
            let tls = Arc::new(QuicTls::new(tls, &[ALPN]).ok()?);
            *offered = QuicServer::new(tls, &quic.keys, limits);
        }
        offered.clone()
    }

    /// Whether a client may connect, before anything of its handshake is calculated.
    pub(super) fn admit(&self, newcomer: &Newcomer) -> Admission {
        let worker = &self.worker;
        let snapshot = worker.snapshot();
        let Some(listener) = snapshot.listener(self.listener.get()) else { return Admission::Refuse };
        if worker.is_draining() || listener.is_leaving() {
            return Admission::Refuse;
        }
        if !newcomer.is_validated && has_places_to_lose(listener) {
            return Admission::Retry;
        }
        let second = worker.clock.wall(worker.clock.now()).as_secs();
        if listener.connection_rate.is_limited() && !listener.connection_rate.acquire(second) {
            return Admission::Refuse;
        }
        let Some(counted) = worker.count_connection(listener) else {
            listener.connection_rate.give_back(second);
            // The client asks again within a second or two, where it hears nothing.
            let comes_later = eviction::makes_room_for_one(listener, worker);
            return if comes_later { Admission::Ignore } else { Admission::Refuse };
        };
        let peer = (newcomer.peer.ip().to_canonical(), newcomer.peer.port()).into();
        let Some(share) = admission::admit(listener, peer, self.port, worker) else {
            listener.connection_rate.give_back(second);
            // From a forged address, an answer would go to somebody else.
            return Admission::Ignore;
        };
        listener.counters.iter().for_each(|counters| counters.accepted(worker.index));
        let mut client = ClientSide::new(peer, self.port, counted);
        client.share = share;
        let (worker, spawner) = (Rc::clone(worker), self.spawner.borrow().clone());
        Admission::Serve(Box::new(move |begun| match (begun, spawner) {
            (Ok(quic), Some(spawner)) => task::spawn(serve((quic, client), worker, spawner)),
            (Ok(_), None) => {}
            (Err(error), _) => record_failure(error, worker.clock.now(), &client, &worker),
        }))
    }
}

/// QUIC itself ends what is silent later than HTTP/3 does, in steps: it cannot tell whether a request is under way.
fn limits_of(http: &HttpListener) -> QuicLimits {
    let no_error = ErrorCode::NoError.to_wire() as u32;
    QuicLimits {
        idle_timeout: http.idle_timeout.max(http.client_header_timeout) + LATER,
        max_streams: http.http2_limits.max_concurrent_streams,
        abandoned_connection: no_error,
        abandoned_stream: ErrorCode::InternalError.to_wire() as u32,
        ..QuicLimits::default()
    }
}

/// Whether a client whose address may be forged could take a place from others.
fn has_places_to_lose(listener: &Listener) -> bool {
    listener.connections.limit().is_some()
        || listener.client_connections.is_some()
        || listener.connection_rate.is_limited()
}

/// What starts the tasks of streams, in memory that earlier ones left.
fn spawner_of_streams(worker: &Rc<Worker>) -> RequestSpawner {
    let cache = Rc::new(FutureCache::default());
    task::spawn(lifecycle::trim(Rc::downgrade(&cache), Rc::clone(worker)));
    Rc::new(move |new_stream| {
        let cache = Rc::clone(&cache);
        task::spawn(async move {
            let Some(job) = head::receive(new_stream).await else { return };
            cache.run(|| stream::serve(job)).await;
        });
    })
}

/// The life of a connection.
async fn serve(
    (quic, mut client): (QuicConnection, ClientSide),
    worker: Rc<Worker>,
    spawner: RequestSpawner,
) {
    let began = worker.clock.now();
    let deadline = worker.timers.deadline();
    deadline.set_tag(Tag::QuicListener(client.listener() as u32));
    let Some(facts) = Box::pin(shake_hands(&quic, &client, (&deadline, began), &worker)).await else {
        return;
    };
    if !secure(&mut client, *facts, began, &worker) {
        return;
    }
    driver::run((quic, client, deadline), worker, spawner).await;
}

/// Waits for the handshake, within the time that the listener has for it; None, after telling why, if there is none.
async fn shake_hands(
    quic: &QuicConnection,
    client: &ClientSide,
    (deadline, began): (&Deadline, Moment),
    worker: &Worker,
) -> Option<Box<Facts>> {
    let timeout = |listener: &Listener| Some(listener.tls.as_ref()?.handshake_timeout);
    deadline.set(client.term(worker, timeout)??);
    let error = match deadline.guard(pin!(quic.handshake())).await {
        Ok(Ok(facts)) => return Some(facts),
        Ok(Err(QuicEnd::Handshake(error))) => error.as_str(),
        Ok(Err(end)) => end.as_str(),
        Err(_elapsed) => "tls_handshake_timeout",
    };
    record(error, began, client, worker);
    None
}

/// Takes over what the handshake told; false where the listener is not there any more.
fn secure(client: &mut ClientSide, facts: Facts, began: Moment, worker: &Worker) -> bool {
    let snapshot = worker.snapshot();
    let known = snapshot.listener(client.listener()).and_then(|terms| Some((terms, terms.tls.as_ref()?)));
    let Some((terms, tls)) = known else { return false };
    handshake::count(&facts, terms, worker.clock.now_after(began).since(began), worker);
    client.tls = Some(Box::new(handshake::client_tls((&facts, began), terms, tls, worker)));
    let server = tls.terms.load();
    client.coverage = Some(Box::new(Coverage { terms: Arc::clone(&server), opened_for: facts.server_name }));
    true
}

fn record_failure(error: HandshakeError, began: Moment, client: &ClientSide, worker: &Worker) {
    record(error.as_str(), began, client, worker);
}

/// Counts a handshake that has failed, and writes its line.
fn record(word: &'static str, began: Moment, client: &ClientSide, worker: &Worker) {
    let snapshot = worker.snapshot();
    let Some(terms) = snapshot.listener(client.listener()) else { return };
    handshake::count_failure(word, terms, worker);
    unserved::record_quic((Reason::ClientTls(word), began), terms, (client.peer, client.port), worker);
}
