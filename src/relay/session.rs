//! A relayed connection, from the choice of a backend to its end.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use crate::net::buffer::Buffer;
use crate::net::connect::SocketUse;
use crate::net::memory;
use crate::net::task;
use crate::net::timer::TICK;
use crate::net::timer::Tag;
use crate::policy::balance::hash_key::FlowStart;
use crate::policy::retry::Failure;
use crate::policy::retry::Replay;
use crate::relay::both_ways;
use crate::relay::choice;
use crate::relay::client::ClientConnection;
use crate::relay::end::SessionEnd;
use crate::relay::flow::Course;
use crate::relay::flow::FlowTerms;
use crate::relay::record::SessionRecord;
use crate::relay::resting::PARTS;
use crate::relay::resting::RestingConnection;
use crate::relay::resting::RestingConnections;
use crate::relay::resting::RestingSockets;
use crate::relay::route;
use crate::relay::route::StreamRoute;
use crate::relay::silence::Silence;
use crate::relay::silence::SilenceStage;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::tls::transport::Transport;
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
    /// The index of the backend in its group.
    member: u32,
    in_flight: Option<InFlight<'w>>,
}

/// A connection that is relayed, but for the backend's side.
struct RelaySession {
    client: Box<ClientConnection>,
    route: StreamRoute,
    record: SessionRecord,
    course: Course,
}

/// Why relaying is over for now.
enum RelayOutcome {
    Ended(SessionEnd),
    Silent(RestingSockets, SilenceStage),
}

/// Relays a connection until it ends, or rests.
pub async fn serve(mut client: Box<ClientConnection>, rests: Rc<RestingConnections>, worker: Rc<Worker>) {
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
    let group = Arc::clone(&route.group);
    let opened = Box::pin(open(&group, &client, &mut record, &worker)).await;
    client.told = None;
    client.names = None;
    let (leg, room) = match opened {
        Ok(opened) => opened,
        Err(end) => return finish(end, Some(&route), &client, (&record, &worker)),
    };
    let session = RelaySession { client, route, record, course: Course::default() };
    let silence = Silence::new(&leg.connection.deadline, session.route.idle_timeout);
    // Room at a backend is held by what cannot rest.
    let rests = Some(rests).filter(|_| room.is_none());
    let relayed = relay((&session, input), &leg, silence, (rests.as_deref(), &worker)).await;
    conclude(relayed, session, leg, (rests, worker.clone()));
}

/// Goes on with a connection that has rested.
async fn resume(resting: RestingConnection, (rests, worker): (Rc<RestingConnections>, Rc<Worker>)) {
    let RestingConnection { sockets, client, route, member, in_flight, record, course, silence: stage } =
        resting;
    // Whatever happens, it is given back.
    let in_flight = in_flight.map(|counted| worker.balancer.resume(counted));
    let Some((client_socket, backend_socket)) = sockets.adopt() else {
        let end = SessionEnd::Unconnected(UpstreamError::NoDescriptor);
        return record.end(end, Some(&route), &client, &worker);
    };
    let client = ClientConnection::resumed(client, client_socket);
    let session = RelaySession { client, route, record, course };
    let deadline = worker.timers.deadline();
    if let Some(member) = session.route.group.member(member as usize) {
        deadline.set_tag(Tag::Backend(member.backend.slot));
    }
    let leg = BackendLeg { connection: Connection::unpooled(backend_socket, deadline), member, in_flight };
    let timeout = session.route.idle_timeout;
    let silence = Silence::resumed(&leg.connection.deadline, timeout, (stage, worker.timers.ticks()));
    let relayed = relay((&session, None), &leg, silence, (Some(&rests), &worker)).await;
    conclude(relayed, session, leg, (Some(rests), Rc::clone(&worker)));
}

/// Tells of the end, or lets the connection rest.
fn conclude(
    relayed: RelayOutcome,
    session: RelaySession,
    leg: BackendLeg<'_>,
    (rests, worker): (Option<Rc<RestingConnections>>, Rc<Worker>),
) {
    let RelaySession { client, route, record, course } = session;
    match (relayed, rests) {
        (RelayOutcome::Silent(sockets, silence), Some(rests)) => {
            let (member, in_flight) = (leg.member, leg.in_flight.map(InFlight::keep));
            let client = client.who;
            rests.keep(RestingConnection {
                sockets,
                client,
                route,
                member,
                in_flight,
                record,
                course,
                silence,
            });
            hear(&rests, &worker);
            if !rests.is_watched.replace(true) {
                task::spawn(resume_overdue(rests, worker));
            }
        }
        (RelayOutcome::Silent(..), None) => {}
        (RelayOutcome::Ended(end), _) => finish(end, Some(&route), &client, (&record, &worker)),
    }
}

/// Lets a task wait until a side of any says something.
fn hear(rests: &Rc<RestingConnections>, worker: &Rc<Worker>) {
    if !rests.is_heard.replace(true) {
        task::spawn(resume_woken(Rc::clone(rests), Rc::clone(worker)));
    }
}

/// Resumes connections as soon as a side says something, or ends, until none is left.
async fn resume_woken(rests: Rc<RestingConnections>, worker: Rc<Worker>) {
    while !rests.is_empty()
        && let Some(woken) = rests.woken().await
    {
        for connection in woken {
            task::spawn(resume(connection, (Rc::clone(&rests), Rc::clone(&worker))));
        }
    }
    rests.is_heard.set(false);
}

/// Resumes connections for which something is due, or that are to be cut off, until none is left; and gives memory
/// back.
async fn resume_overdue(rests: Rc<RestingConnections>, worker: Rc<Worker>) {
    while !rests.is_empty() || rests.owes_memory() {
        worker.timers.sleep(TICK).await;
        if rests.gives_memory_back() {
            memory::give_back();
        }
        if !rests.is_empty() {
            // The one before may have ended by an error.
            hear(&rests, &worker);
        }
        let now = worker.timers.ticks();
        let is_overdue = |connection: &RestingConnection| {
            let member = connection.route.group.member(connection.member as usize);
            let is_cut_off =
                member.is_none_or(|member| both_ways::cut_off(&member.backend, &worker).is_some());
            connection.silence.due <= now || is_cut_off
        };
        // A stop that is over leaves no time.
        let looks = if worker.is_stop_over() { PARTS } else { 1 };
        for connection in (0..looks).flat_map(|_| rests.overdue(is_overdue)) {
            task::spawn(resume(connection, (Rc::clone(&rests), Rc::clone(&worker))));
        }
    }
    rests.is_watched.set(false);
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
        record.end(end, route, &client.who, worker);
    }
}

/// A connection to a backend of the group: as long as nothing was relayed, another one can take the place of one that
/// cannot be reached. The selection holds the room at a backend that has a limit.
async fn open<'w>(
    group: &'w Group,
    client: &ClientConnection,
    record: &mut SessionRecord,
    worker: &'w Worker,
) -> Result<(BackendLeg<'w>, Option<Box<Selection<'w>>>), SessionEnd> {
    let flow = FlowStart { client: client.who.peer, port: client.who.port, datagram: b"" };
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
                return Ok((BackendLeg { connection, member: chosen, in_flight }, room));
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
    let address = backend.address.for_client_at(client.who.port);
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
    // Boxed, because it is large and rare.
    let preface =
        group.proxy_header.map(|_| Box::new(proxied_client::preface(client.told.as_deref(), group)));
    let target = ConnectTarget {
        backend,
        address: &address,
        source: group.source_for(client.who.peer.ip()),
        // A handshake waits in its operations, and sends piece by piece.
        socket_use: if tls.is_some() { SocketUse::Exchanges } else { SocketUse::Relay },
        pool_key: PoolKey::PLAIN,
        timeout: group.connect_timeout,
        counters,
        preface: preface.as_deref().map_or(b"", |preface| preface),
        tls,
    };
    connect::open(&target, &worker.timers).await.map(|opened| opened.connection)
}

/// Relays bytes both ways until both sides have ended, one is gone, or both have been silent for long.
async fn relay(
    (session, input): (&RelaySession, Option<Buffer>),
    leg: &BackendLeg<'_>,
    silence: Silence<'_>,
    (rests, worker): (Option<&RestingConnections>, &Worker),
) -> RelayOutcome {
    let RelaySession { client, route, record, course } = session;
    let Some(member) = route.group.member(leg.member as usize) else {
        return RelayOutcome::Ended(SessionEnd::NoRoute);
    };
    let counters = route.counters.as_deref();
    let backend = &leg.connection.transport;
    let terms = FlowTerms { client, backend, silence, record, counters, course, worker };
    let mut sockets = None;
    let may_rest = || {
        let (Some(rests), Transport::Plain(client), Transport::Plain(backend)) =
            (rests, &client.transport, backend)
        else {
            return false;
        };
        sockets = rests.begin(client, backend, course).ok();
        sockets.is_some()
    };
    let end = both_ways::relay(input, &terms, &member.backend, may_rest).await;
    match (end, sockets) {
        (None, Some(sockets)) => RelayOutcome::Silent(sockets, terms.silence.stage()),
        (end, _) => RelayOutcome::Ended(end.unwrap_or(SessionEnd::Idle)),
    }
}
