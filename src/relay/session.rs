//! A relayed connection, from the choice of a backend to its end.

use std::borrow::Cow;
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::net::buffer::Buffer;
use crate::net::connect::KeepAlive;
use crate::net::task;
use crate::policy::balance::hash_key::FlowStart;
use crate::policy::retry::Failure;
use crate::policy::retry::Replay;
use crate::relay::choice;
use crate::relay::client::ClientConnection;
use crate::relay::end::SessionEnd;
use crate::relay::flow::Flow;
use crate::relay::flow::FlowTerms;
use crate::relay::record::SessionRecord;
use crate::relay::route;
use crate::relay::route::StreamRoute;
use crate::relay::silence::Silence;
use crate::snapshot::backend::Backend;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::group::Group;
use crate::upstream::balancer::InFlight;
use crate::upstream::connect;
use crate::upstream::connect::ConnectTarget;
use crate::upstream::connect::TlsTarget;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::pool_key::PoolKey;
use crate::upstream::proxied_client;
use crate::upstream::selection::Next;
use crate::upstream::selection::Selection;
use crate::worker::Worker;

/// A connection to a backend, and what it counts for.
struct BackendLeg<'w> {
    connection: Connection,
    backend: &'w Backend,
    _in_flight: Option<InFlight<'w>>,
    /// Holds the room at a backend that has a limit.
    _room: Option<Box<Selection<'w>>>,
}

/// Relays a connection until it ends.
pub async fn serve(mut client: Box<ClientConnection>, worker: Rc<Worker>) {
    let mut record = SessionRecord::new(&worker);
    // What is over soon is boxed here: most of the time is spent behind it.
    let input = if route::needs_hello(&client, &worker) {
        Box::pin(route::receive_hello(&mut client, &worker)).await
    } else {
        Ok(client.input.take())
    };
    let (route, input) = match routed(input, &client, &worker) {
        Ok(routed) => routed,
        Err(end) => return finish(end, None, &client, (&record, &worker)),
    };
    let opened = Box::pin(open(&route.group, &client, &mut record, &worker)).await;
    client.told = None;
    client.names = None;
    let end = match &opened {
        Err(end) => *end,
        Ok(leg) => relay((&client, input), leg, (&route, &record), &worker).await,
    };
    finish(end, Some(&route), &client, (&record, &worker));
}

/// Where the connection goes, with what was received of it.
fn routed(
    input: Result<Option<Buffer>, SessionEnd>,
    client: &ClientConnection,
    worker: &Worker,
) -> Result<(StreamRoute, Option<Buffer>), SessionEnd> {
    let input = input?;
    let route = route::of(client, worker).ok_or(SessionEnd::NoRoute)?;
    Ok((route, input))
}

/// Says good-bye to the client, whose connection is about to be closed, and tells of it.
fn finish(
    end: SessionEnd,
    route: Option<&StreamRoute>,
    client: &ClientConnection,
    (record, worker): (&SessionRecord, &Worker),
) {
    match end {
        // What was not delivered must not look like the end of it.
        SessionEnd::Idle if client.transport.has_unsent() => client.transport.reset_on_close(),
        SessionEnd::Complete | SessionEnd::Idle | SessionEnd::Silent => client.transport.close(),
        // What is not an orderly end must not look like one.
        _ => client.transport.reset_on_close(),
    }
    if end != SessionEnd::Silent {
        record.end(end, route, client, worker);
    }
}

/// A connection to a backend of the group: as long as nothing was relayed, another one can take the place of one that
/// cannot be reached.
async fn open<'w>(
    group: &'w Group,
    client: &ClientConnection,
    record: &mut SessionRecord,
    worker: &'w Worker,
) -> Result<BackendLeg<'w>, SessionEnd> {
    let flow = FlowStart { client: client.peer, port: client.port, datagram: b"" };
    let preference = choice::preference(group, &flow, worker);
    let selection = Selection::new(group, preference, &worker.balancer);
    let mut chosen = choice::first(&selection, worker).await?;
    loop {
        choice::remember(preference, group, chosen, worker);
        let Some(member) = group.member(chosen as usize) else { return Err(SessionEnd::NoRoute) };
        let backend = &*member.backend;
        record.attempt_began(chosen, worker);
        let in_flight = worker.balancer.begin(group, chosen);
        let error = match connect_to(group, backend, client, worker).await {
            Ok(connection) => {
                record.connected(worker);
                worker.balancer.note_success(group, chosen);
                let room = group.queue.is_some().then(|| Box::new(selection));
                return Ok(BackendLeg { connection, backend, _in_flight: in_flight, _room: room });
            }
            Err(error) => error,
        };
        if error.is_local() {
            in_flight.iter().for_each(InFlight::never_sent);
        } else if !group.keeps_client_address || error != UpstreamError::ConnectTimeout {
            worker.balancer.note_failure(group, chosen);
        }
        // What a backend answers to the address of a client may go elsewhere, which is no fault of the backend.
        drop(in_flight);
        let replay = Replay { idempotent: true, complete: true, sticky: false };
        match selection.after(Some(Failure::Connect), replay) {
            Next::Other(other) => chosen = other,
            Next::None | Next::Same => return Err(SessionEnd::Unconnected(error)),
        }
    }
}

async fn connect_to(
    group: &Group,
    backend: &Backend,
    client: &ClientConnection,
    worker: &Worker,
) -> Result<Connection, UpstreamError> {
    let counters = group.counters.as_ref().map(|counters| (&**counters, worker.index));
    let tls_client = group.tls.as_ref().map(|terms| worker.pool.client(backend, terms));
    let address = backend.address.for_client_at(client.port);
    let own_name = match &address {
        Cow::Borrowed(_) => Cow::Borrowed(backend.name.as_str()),
        Cow::Owned(address) => Cow::Owned(address.to_string()),
    };
    let asked_for = client.names.as_ref().and_then(|names| names.server_name.as_deref());
    let tls = tls_client.as_deref().map(|tls_client| TlsTarget {
        client: tls_client,
        // Where the group names no host, it is the one that the client asked for.
        host: asked_for.unwrap_or(&own_name).as_bytes(),
        buffers: &worker.buffers,
        budget: &worker.handshakes,
    });
    let preface = &proxied_client::preface(client.told.as_deref(), group);
    let target = ConnectTarget {
        backend,
        address: &address,
        source: group.source_for(client.peer.ip()),
        keepalive: KeepAlive::WhenSilent,
        pool_key: PoolKey::PLAIN,
        timeout: group.connect_timeout,
        counters,
        preface,
        tls,
    };
    connect::open(&target, &worker.timers).await.map(|opened| opened.connection)
}

/// Relays bytes both ways until both sides have ended, or one is gone.
async fn relay(
    (client, input): (&ClientConnection, Option<Buffer>),
    opened: &BackendLeg<'_>,
    (route, record): (&StreamRoute, &SessionRecord),
    worker: &Worker,
) -> SessionEnd {
    let Connection { transport: backend, deadline, .. } = &opened.connection;
    let terms = FlowTerms {
        client,
        backend,
        silence: Silence::new(deadline, route.idle_timeout),
        record,
        counters: route.counters.as_deref(),
        has_one_ended: Cell::new(false),
        worker,
    };
    let up = Flow { direction: Direction::Up, terms: &terms };
    let down = Flow { direction: Direction::Down, terms: &terms };
    // Futures are pinned where they are made: moved, they would be held twice.
    let (up, down) = (pin!(up.run(input)), pin!(down.run(None)));
    let both = pin!(task::join(up, down));
    // A silent wait is woken by its deadline, but a busy connection moves that before it passes.
    let when_taken_away = |_: &mut Context<'_>| match taken_away(opened.backend) {
        Some(end) => Poll::Ready(end),
        None => Poll::Pending,
    };
    let mut both = pin!(task::unless(both, when_taken_away));
    let end = loop {
        let outcome = deadline.guard(both.as_mut()).await;
        match (outcome, taken_away(opened.backend)) {
            (Ok(Ok(Ok(()))), _) => break SessionEnd::Complete,
            (Ok(Ok(Err(end)) | Err(end)), _) | (Err(_), Some(end)) => break end,
            (Err(_elapsed), None) => {
                let is_over = terms.silence.is_over(|| backend.socket().keep_alive());
                if is_over && !terms.silence.goes_on([&client.transport, backend]) {
                    break SessionEnd::Idle;
                }
            }
        }
    };
    let is_cut = matches!(end, SessionEnd::ClientReset | SessionEnd::Drained | SessionEnd::BackendDown);
    if is_cut || end == SessionEnd::Idle && backend.has_unsent() {
        backend.reset_on_close();
    }
    end
}

/// Why the connection is not to go on whatever the two sides do, if it is not.
fn taken_away(backend: &Backend) -> Option<SessionEnd> {
    match (backend.health.drain_expired(), backend.health.is_cut_off()) {
        (true, _) => Some(SessionEnd::Drained),
        (false, true) => Some(SessionEnd::BackendDown),
        (false, false) => None,
    }
}
