//! Which connection gets the next stream, and when another one is opened.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use crate::net::buffer::Buffers;
use crate::net::task;
use crate::net::timer::Deadline;
use crate::net::timer::Timers;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::snapshot::group::Versions;
use crate::upstream::connect;
use crate::upstream::connect::Target;
use crate::upstream::error::UpstreamError;
use crate::upstream::h2::MOST_CONNECTIONS;
use crate::upstream::h2::STREAMS_PER_CONNECTION;
use crate::upstream::h2::connection::Shared;
use crate::upstream::h2::drive::drive;
use crate::upstream::h2::stream::Stream;
use crate::upstream::lease::Connection;
use crate::upstream::link::Link;
use crate::upstream::pool::Pool;

/// Names of a backend that are remembered though there is no connection.
const REMEMBERED_NAMES: usize = 64;

/// The connections of one worker that speak HTTP/2, by the slot of their backend.
#[derive(Default)]
pub struct Connections {
    backends: RefCell<Vec<Rc<ToBackend>>>,
    /// Streams lent so far.
    lent: Cell<u64>,
}

/// The connections to one backend.
#[derive(Default)]
struct ToBackend {
    names: RefCell<BTreeMap<u64, Rc<ToName>>>,
    /// Idle connections that are kept, over all names, as the group has it that used it last.
    most_idle: Cell<usize>,
}

/// The connections to one backend under one name. Names do not wait for one another.
#[derive(Default)]
struct ToName {
    connections: RefCell<Vec<Rc<Shared>>>,
    /// Connections that are being opened.
    opening: Cell<usize>,
    /// Of those, the ones that speak HTTP/2 and whose settings have not come.
    proving: Cell<usize>,
    /// It chose HTTP/1.1 when it could have chosen HTTP/2.
    prefers_http1: Cell<bool>,
    waiting: Rc<Waiting>,
}

/// What is wanted of which backend.
pub struct Wanted<'a> {
    pub group: &'a Group,
    pub backend: &'a Arc<Backend>,
    /// Stands for the terms of TLS and for the name; see [`Connection::server_name`].
    pub server_name: u64,
    /// A connection that was used before failed, or refused the request.
    pub fresh: bool,
}

/// What a connection is opened with.
pub struct Means<'a> {
    pub target: Target<'a>,
    pub pool: &'a Pool,
    pub timers: &'a Timers,
    pub buffers: &'a Buffers,
}

/// A link, and whether its connection served an exchange before.
pub type Leased = (Link, bool);

/// What is to be done for a stream.
enum Choice {
    Use(Rc<Shared>),
    UseHttp1(Connection),
    Open,
    Wait,
}

impl Connections {
    /// A stream of a connection, or, where the backend may choose and chooses so, a connection of HTTP/1.1.
    pub async fn lease(&self, wanted: &Wanted<'_>, means: &Means<'_>) -> Result<Leased, UpstreamError> {
        let backend = self.to(wanted.backend);
        let to = backend.to(wanted.server_name);
        // One name alone may have as many.
        let most_idle = means.pool.share(wanted.group.keepalive_connections).max(MOST_CONNECTIONS);
        backend.most_idle.set(most_idle);
        let deadline = means.timers.deadline();
        deadline.set(means.target.timeout);
        let mut has_waited = false;
        loop {
            match to.choose(wanted, means.pool, has_waited) {
                Choice::Use(shared) => {
                    let leased = lend(shared, wanted, means);
                    to.call_next();
                    return Ok(leased);
                }
                Choice::UseHttp1(connection) => return Ok((Link::Http1(connection), true)),
                Choice::Open => {
                    if !to.prefers_http1.get() {
                        backend.keep_idle(most_idle - 1);
                    }
                    if let Some(leased) = to.open(wanted, means).await? {
                        return Ok(leased);
                    }
                    if !to.has_place() {
                        to.wait(&deadline).await?;
                    }
                }
                Choice::Wait => to.wait(&deadline).await?,
            }
            has_waited = true;
        }
    }

    /// The work of each second.
    pub fn sweep(&self) {
        for backend in self.backends.borrow().iter() {
            for to in backend.names.borrow().values() {
                let mut connections = to.connections.take();
                connections.retain(|connection| connection.sweep());
                // Nothing is opened while this runs.
                to.connections.replace(connections);
            }
            backend.keep_idle(backend.most_idle.get());
        }
    }

    fn to(&self, backend: &Backend) -> Rc<ToBackend> {
        let mut backends = self.backends.borrow_mut();
        let slot = backend.slot as usize;
        if slot >= backends.len() {
            backends.resize_with(slot + 1, Rc::default);
        }
        // It is there now.
        Rc::clone(&backends[slot])
    }
}

impl ToBackend {
    fn to(&self, server_name: u64) -> Rc<ToName> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(&server_name) {
            return Rc::clone(known);
        }
        if names.len() >= REMEMBERED_NAMES {
            names.retain(|_, to| Rc::strong_count(to) > 1 || !to.connections.borrow().is_empty());
        }
        Rc::clone(names.entry(server_name).or_default())
    }

    /// Ends the idle connections beyond `most` over all names, those first that were lent from longest ago: where
    /// the server name follows the host of the request, clients could else keep connections for names that nobody
    /// asks for again.
    fn keep_idle(&self, most: usize) {
        let names = self.names.borrow();
        let count_idle = |to: &Rc<ToName>| to.connections.borrow().iter().filter(|it| it.is_idle()).count();
        let excess = names.values().map(count_idle).sum::<usize>().saturating_sub(most);
        if excess == 0 {
            return;
        }
        let mut idle = Vec::new();
        for to in names.values() {
            idle.extend(to.connections.borrow().iter().filter(|it| it.is_idle()).map(Rc::clone));
        }
        idle.sort_unstable_by_key(|shared| shared.last_lent.get());
        idle.iter().take(excess).for_each(|shared| shared.shut_down());
    }
}

/// Lends a stream of a connection that has one left.
fn lend(shared: Rc<Shared>, wanted: &Wanted<'_>, means: &Means<'_>) -> Leased {
    let lent = &means.pool.streams.lent;
    lent.set(lent.get() + 1);
    shared.last_lent.set(lent.get());
    shared.keepalive_timeout.set(match wanted.group.keepalive_connections {
        0 => Duration::ZERO,
        _ => wanted.group.keepalive_timeout,
    });
    let is_reused = shared.has_served() && !wanted.fresh;
    (Link::Http2(Stream::new(shared, wanted.group.is_grpc)), is_reused)
}

impl ToName {
    /// Who `has_waited` takes the newest connection, even if it should be fresh: it waited for one.
    fn choose(&self, wanted: &Wanted<'_>, pool: &Pool, has_waited: bool) -> Choice {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|shared| !shared.is_lost());
        // A slot is given to another backend when nobody holds the one before any more.
        let of_backend = || connections.iter().filter(|shared| Arc::ptr_eq(&shared.backend, wanted.backend));
        let has_place = |shared: &&Rc<Shared>| {
            shared.can_open() && shared.open_streams() < STREAMS_PER_CONNECTION && !shared.is_stale()
        };
        let found = match wanted.fresh {
            true if has_waited => of_backend().rev().find(has_place),
            true => None,
            false => of_backend().find(has_place),
        };
        if let Some(shared) = found {
            return Choice::Use(Rc::clone(shared));
        }
        let may_be_http1 = wanted.group.versions == Versions::Both;
        if may_be_http1 {
            let idle = if wanted.fresh { None } else { pool.take(wanted.backend, wanted.server_name) };
            if let Some(connection) = idle {
                return Choice::UseHttp1(connection);
            }
            if self.prefers_http1.get() {
                return Choice::Open;
            }
        }
        let opening = self.opening.get();
        if opening > 0 && self.waiting.len() < opening * STREAMS_PER_CONNECTION {
            return Choice::Wait;
        }
        if of_backend().filter(|shared| shared.counts()).count() + opening < MOST_CONNECTIONS {
            return Choice::Open;
        }
        match of_backend().filter(|shared| shared.can_open()).min_by_key(|shared| shared.open_streams()) {
            Some(shared) => Choice::Use(Rc::clone(shared)),
            None => Choice::Wait,
        }
    }

    /// Whoever has taken a place calls the next while places are left.
    fn call_next(&self) {
        if self.waiting.len() > 0 && self.has_place() {
            self.waiting.call_next();
        }
    }

    fn has_place(&self) -> bool {
        self.connections.borrow().iter().any(|shared| shared.can_open())
    }

    async fn wait(&self, deadline: &Deadline) -> Result<(), UpstreamError> {
        match deadline.guard(pin!(self.waiting.wait())).await {
            Ok(outcome) => outcome,
            Err(_elapsed) if self.opening.get() > 0 => Err(UpstreamError::ConnectTimeout),
            Err(_elapsed) => Err(UpstreamError::NoStreamFree),
        }
    }

    /// Opens a connection. Gives none if there is no place for it among the others, or none for a stream on it.
    async fn open(&self, wanted: &Wanted<'_>, means: &Means<'_>) -> Result<Option<Leased>, UpstreamError> {
        let opening = Counted::among(&self.opening);
        let outcome = self.open_connection(wanted, means).await;
        drop(opening);
        match &outcome {
            Ok(_) => self.waiting.call_all(Ok(())),
            // Whoever waited for it has waited for nothing, unless there are others.
            Err(error) if self.opening.get() == 0 && self.connections.borrow().is_empty() => {
                self.waiting.call_all(Err(*error));
            }
            Err(_) => self.waiting.call_next(),
        }
        outcome
    }

    async fn open_connection(
        &self,
        wanted: &Wanted<'_>,
        means: &Means<'_>,
    ) -> Result<Option<Leased>, UpstreamError> {
        let opened = connect::open(&means.target, means.timers).await?;
        if wanted.group.versions == Versions::Both {
            self.prefers_http1.set(!opened.is_http2);
            if !opened.is_http2 {
                return Ok(Some((Link::Http1(opened.connection), false)));
            }
        }
        // It chose HTTP/1.1 before, and any number of connections was opened.
        let counted = self.connections.borrow().iter().filter(|shared| shared.counts()).count();
        if counted + self.proving.get() >= MOST_CONNECTIONS {
            return Ok(None);
        }
        let _proving = Counted::among(&self.proving);
        let deadline = means.timers.deadline();
        deadline.set(means.target.timeout);
        let of_worker = (means.timers, means.buffers);
        let shared = Rc::new(Shared::new(
            opened.connection,
            wanted.backend,
            of_worker,
            &self.waiting,
            wanted.group.response_limits,
        ));
        let unproven = Unproven(Some(Rc::clone(&shared)));
        task::spawn(drive(Rc::clone(&shared)));
        match deadline.guard(pin!(shared.ready())).await {
            Ok(ready) => ready?,
            Err(_elapsed) => return Err(UpstreamError::ConnectTimeout),
        }
        unproven.prove();
        self.connections.borrow_mut().push(Rc::clone(&shared));
        // A backend may allow none at first.
        Ok(shared.can_open().then(|| lend(shared, wanted, means)))
    }
}

/// A connection that is counted until this is dropped.
struct Counted<'t>(&'t Cell<usize>);

impl<'t> Counted<'t> {
    fn among(count: &'t Cell<usize>) -> Counted<'t> {
        count.set(count.get() + 1);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection that nobody knows of yet. It ends with this.
struct Unproven(Option<Rc<Shared>>);

impl Unproven {
    fn prove(mut self) {
        self.0 = None;
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.lose();
        }
    }
}

/// Who waits for a stream to a backend under one name, in the order of arrival.
#[derive(Default)]
pub(super) struct Waiting {
    queue: RefCell<VecDeque<Rc<Ticket>>>,
}

/// A place in the queue.
#[derive(Default)]
struct Ticket {
    called: Cell<Option<Result<(), UpstreamError>>>,
    waker: RefCell<Option<Waker>>,
}

impl Waiting {
    fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Lets the first in the queue look again.
    pub(super) fn call_next(&self) {
        let next = self.queue.borrow_mut().pop_front();
        if let Some(ticket) = next {
            ticket.call(Ok(()));
        }
    }

    fn call_all(&self, outcome: Result<(), UpstreamError>) {
        for ticket in self.queue.take() {
            ticket.call(outcome);
        }
    }

    /// Waits to be called. A future that is dropped gives its place up, and its call to the next.
    fn wait(&self) -> Call<'_> {
        let ticket = Rc::<Ticket>::default();
        self.queue.borrow_mut().push_back(Rc::clone(&ticket));
        Call { waiting: self, ticket, is_done: false }
    }
}

impl Ticket {
    fn call(&self, outcome: Result<(), UpstreamError>) {
        self.called.set(Some(outcome));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

struct Call<'w> {
    waiting: &'w Waiting,
    ticket: Rc<Ticket>,
    is_done: bool,
}

impl Future for Call<'_> {
    type Output = Result<(), UpstreamError>;

    fn poll(mut self: Pin<&mut Self>, turn: &mut Context<'_>) -> Poll<Self::Output> {
        match self.ticket.called.get() {
            Some(outcome) => {
                self.is_done = true;
                Poll::Ready(outcome)
            }
            None => {
                *self.ticket.waker.borrow_mut() = Some(turn.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        if self.ticket.called.get().is_some() {
            self.waiting.call_next();
        } else {
            self.waiting.queue.borrow_mut().retain(|ticket| !Rc::ptr_eq(ticket, &self.ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(call: &mut Call<'_>) -> Poll<Result<(), UpstreamError>> {
        Pin::new(call).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_waits_is_called_in_turn() {
        let waiting = Waiting::default();
        let mut calls = [waiting.wait(), waiting.wait(), waiting.wait()];
        assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
        waiting.call_next();
        assert_eq!(calls.each_mut().map(|call| poll(call).is_ready()), [true, false, false]);
        waiting.call_all(Err(UpstreamError::ConnectRefused));
        assert_eq!(poll(&mut calls[2]), Poll::Ready(Err(UpstreamError::ConnectRefused)));
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn a_call_is_passed_on_by_who_does_not_wait_any_more() {
        let waiting = Waiting::default();
        let (gone, called, mut last) = (waiting.wait(), waiting.wait(), waiting.wait());
        drop(gone);
        waiting.call_next();
        drop(called);
        assert_eq!(poll(&mut last), Poll::Ready(Ok(())));
    }

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Shared>() <= 1536, "{}", size_of::<Shared>());
    }
}
