//! Which connection gets the next stream, and when another one is opened.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::net::task;
use crate::net::timer::Deadline;
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Group;
use crate::snapshot::group::Versions;
use crate::upstream::connect;
use crate::upstream::connect::ConnectTarget;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::h2::MAX_CONNECTIONS;
use crate::upstream::h2::STREAMS_PER_CONNECTION;
use crate::upstream::h2::connection::SharedConnection;
use crate::upstream::h2::connection::Waiters;
use crate::upstream::h2::drive::drive;
use crate::upstream::h2::stream::Stream;
use crate::upstream::pool::Pool;
use crate::upstream::pool_key::PoolKey;
use crate::upstream::stream::UpstreamStream;
use crate::upstream::want::Resources;
use crate::upstream::want::Want;

/// Names of a backend that are remembered though there is no connection.
const REMEMBERED_NAMES: usize = 64;

/// The connections of one worker that speak HTTP/2, by the slot of their backend.
#[derive(Default)]
pub struct Connections {
    backends: RefCell<Vec<Rc<BackendPool>>>,
}

/// The connections to one backend.
#[derive(Default)]
struct BackendPool {
    names: RefCell<BTreeMap<PoolKey, Rc<KeyPool>>>,
    /// Idle connections that are kept, over all names, as the group has it that used it last.
    max_idle: Cell<usize>,
}

/// The connections to one backend under one name. Names do not wait for one another.
#[derive(Default)]
struct KeyPool {
    connections: RefCell<Vec<Rc<SharedConnection>>>,
    /// Connections that are being opened.
    opening: Cell<usize>,
    /// Those being opened that speak HTTP/2 and whose settings have not come.
    proving: Cell<usize>,
    /// It chose HTTP/1.1 when it could have chosen HTTP/2.
    prefers_http1: Cell<bool>,
    waiting: Rc<Waiters>,
}

/// A stream, and whether its connection served an exchange before.
pub type Leased = (UpstreamStream, bool);

/// What is to be done for a stream.
enum PoolChoice {
    Use(Rc<SharedConnection>),
    UseHttp1(Connection),
    Open,
    Wait,
}

impl Connections {
    /// A stream of a connection, or, where the backend may choose and chooses so, a connection of HTTP/1.1.
    pub async fn lease(
        &self,
        wanted: &Want<'_, '_>,
        (target, resources): (&ConnectTarget<'_>, &Resources<'_>),
    ) -> Result<Leased, UpstreamError> {
        self.to(wanted.backend).lease(wanted, (target, resources)).await
    }

    /// The work of each second.
    pub fn sweep(&self) {
        self.backends.borrow().iter().for_each(|backend| backend.sweep());
    }

    /// How many connections there are to the backends of a group, and streams on them.
    pub fn open_to(&self, group: &Group) -> (usize, usize) {
        let backends = self.backends.borrow();
        let of_members = group.members.iter().filter_map(|member| backends.get(member.backend.slot as usize));
        of_members
            .map(|backend| backend.open())
            .fold((0, 0), |(connections, streams), more| (connections + more.0, streams + more.1))
    }

    fn to(&self, backend: &Backend) -> Rc<BackendPool> {
        let mut backends = self.backends.borrow_mut();
        let slot = backend.slot as usize;
        if slot >= backends.len() {
            backends.resize_with(slot + 1, Rc::default);
        }
        // It is there now.
        Rc::clone(&backends[slot])
    }
}

/// The connections that serve one client alone, to the few backends that it was sent to. They end with this.
#[derive(Default)]
pub struct OwnConnections {
    /// With the slots of their backends.
    backends: RefCell<Vec<(u32, Rc<BackendPool>)>>,
}

impl OwnConnections {
    /// The same as [`Connections::lease`].
    pub async fn lease(
        &self,
        wanted: &Want<'_, '_>,
        (target, resources): (&ConnectTarget<'_>, &Resources<'_>),
    ) -> Result<Leased, UpstreamError> {
        self.to(wanted.backend.slot).lease(wanted, (target, resources)).await
    }

    /// The work of each second.
    pub fn sweep(&self) {
        self.backends.borrow_mut().retain(|(_, backend)| {
            backend.sweep();
            Rc::strong_count(backend) > 1 || backend.open() != (0, 0)
        });
    }

    /// How many connections there are to the backends of a group, and streams on them.
    pub fn open_to(&self, group: &Group) -> (usize, usize) {
        let is_of_group = |slot: &u32| group.members.iter().any(|member| member.backend.slot == *slot);
        let backends = self.backends.borrow();
        let of_group = backends.iter().filter(|(slot, _)| is_of_group(slot));
        of_group
            .map(|(_, backend)| backend.open())
            .fold((0, 0), |(connections, streams), more| (connections + more.0, streams + more.1))
    }

    fn to(&self, slot: u32) -> Rc<BackendPool> {
        let mut backends = self.backends.borrow_mut();
        if let Some((_, known)) = backends.iter().find(|(known, _)| *known == slot) {
            return Rc::clone(known);
        }
        let new = Rc::<BackendPool>::default();
        backends.push((slot, Rc::clone(&new)));
        new
    }
}

impl Drop for OwnConnections {
    fn drop(&mut self) {
        // No stream is left on them. Nobody would notice when a good-bye is not taken, so that none is said.
        self.backends.borrow().iter().for_each(|(_, backend)| backend.lose());
    }
}

impl BackendPool {
    async fn lease(
        &self,
        wanted: &Want<'_, '_>,
        (target, resources): (&ConnectTarget<'_>, &Resources<'_>),
    ) -> Result<Leased, UpstreamError> {
        let to = self.to(wanted.pool_key);
        // One name alone may have as many.
        let max_idle = resources.pool.share(wanted.group.keepalive_connections).max(MAX_CONNECTIONS);
        self.max_idle.set(max_idle);
        let deadline = resources.timers.deadline();
        deadline.set(target.timeout);
        let mut has_waited = false;
        loop {
            match to.choose(wanted, resources.pool, has_waited) {
                PoolChoice::Use(shared) => {
                    let leased = lend(shared, wanted, resources);
                    to.call_next();
                    return Ok(leased);
                }
                PoolChoice::UseHttp1(connection) => return Ok((UpstreamStream::Http1(connection), true)),
                PoolChoice::Open => {
                    if !to.prefers_http1.get() {
                        self.keep_idle(max_idle - 1);
                    }
                    if let Some(leased) = to.open(wanted, (target, resources)).await? {
                        return Ok(leased);
                    }
                    if !to.has_place() {
                        to.wait(&deadline).await?;
                    }
                }
                PoolChoice::Wait => to.wait(&deadline).await?,
            }
            has_waited = true;
        }
    }

    fn sweep(&self) {
        for to in self.names.borrow().values() {
            let mut connections = to.connections.take();
            connections.retain(|connection| connection.sweep());
            // Nothing is opened while this runs.
            to.connections.replace(connections);
        }
        self.keep_idle(self.max_idle.get());
    }

    /// Ends all connections at once.
    fn lose(&self) {
        for to in self.names.borrow().values() {
            to.connections.take().iter().for_each(|shared| shared.lose());
        }
    }

    fn to(&self, pool_key: PoolKey) -> Rc<KeyPool> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(&pool_key) {
            return Rc::clone(known);
        }
        if names.len() >= REMEMBERED_NAMES {
            names.retain(|_, to| Rc::strong_count(to) > 1 || !to.connections.borrow().is_empty());
        }
        Rc::clone(names.entry(pool_key).or_default())
    }

    /// Connections and their streams.
    fn open(&self) -> (usize, usize) {
        let names = self.names.borrow();
        names.values().fold((0, 0), |(connections, streams), to| {
            let open = to.connections.borrow();
            (
                connections + open.len(),
                streams + open.iter().map(|shared| shared.open_streams()).sum::<usize>(),
            )
        })
    }

    /// Ends the idle connections beyond `most` over all names, those first that were lent from longest ago: where
    /// the server name follows the host of the request, clients could else keep connections for names that are
    /// never asked for again.
    fn keep_idle(&self, most: usize) {
        let names = self.names.borrow();
        let count_idle = |to: &Rc<KeyPool>| to.connections.borrow().iter().filter(|it| it.is_idle()).count();
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

/// An idle connection of HTTP/1.1.
fn take_idle(wanted: &Want<'_, '_>, pool: &Pool) -> Option<Connection> {
    match &wanted.proxied {
        Some(proxied) => proxied.idle.take(wanted.backend, wanted.pool_key),
        None => pool.take(wanted.backend, wanted.pool_key),
    }
}

/// Lends a stream of a connection that has one left.
fn lend(shared: Rc<SharedConnection>, wanted: &Want<'_, '_>, resources: &Resources<'_>) -> Leased {
    shared.last_lent.set(resources.pool.next_use());
    shared.keepalive_timeout.set(match wanted.group.keepalive_connections {
        0 => Duration::ZERO,
        _ => wanted.group.keepalive_timeout,
    });
    let is_reused = shared.has_served() && !wanted.fresh;
    (UpstreamStream::Http2(Stream::new(shared, wanted.group.is_grpc)), is_reused)
}

impl KeyPool {
    /// Who `has_waited` takes the newest connection, even if it should be fresh: it waited for one.
    fn choose(&self, wanted: &Want<'_, '_>, pool: &Pool, has_waited: bool) -> PoolChoice {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|shared| !shared.is_lost());
        // A slot is given to another backend once the one before is held no more.
        let of_backend = || connections.iter().filter(|shared| Arc::ptr_eq(&shared.backend, wanted.backend));
        let has_place = |shared: &&Rc<SharedConnection>| {
            shared.can_open() && shared.open_streams() < STREAMS_PER_CONNECTION && !shared.is_stale()
        };
        let found = match wanted.fresh {
            true if has_waited => of_backend().rev().find(has_place),
            true => None,
            false => of_backend().find(has_place),
        };
        if let Some(shared) = found {
            return PoolChoice::Use(Rc::clone(shared));
        }
        let may_be_http1 = wanted.group.versions == Versions::Both;
        if may_be_http1 {
            let idle = if wanted.fresh { None } else { take_idle(wanted, pool) };
            if let Some(connection) = idle {
                return PoolChoice::UseHttp1(connection);
            }
            if self.prefers_http1.get() {
                return PoolChoice::Open;
            }
        }
        let opening = self.opening.get();
        if opening > 0 && self.waiting.len() < opening * STREAMS_PER_CONNECTION {
            return PoolChoice::Wait;
        }
        if of_backend().filter(|shared| shared.counts()).count() + opening < MAX_CONNECTIONS {
            return PoolChoice::Open;
        }
        match of_backend().filter(|shared| shared.can_open()).min_by_key(|shared| shared.open_streams()) {
            Some(shared) => PoolChoice::Use(Rc::clone(shared)),
            None => PoolChoice::Wait,
        }
    }

    /// An exchange that has taken a place calls the next one while places are left.
    fn call_next(&self) {
        if !self.waiting.is_empty() && self.has_place() {
            self.waiting.call_next(Ok(()));
        }
    }

    fn has_place(&self) -> bool {
        self.connections.borrow().iter().any(|shared| shared.can_open())
    }

    async fn wait(&self, deadline: &Deadline) -> Result<(), UpstreamError> {
        match deadline.guard(pin!(self.waiting.wait(()))).await {
            Ok(outcome) => outcome,
            Err(_elapsed) if self.opening.get() > 0 => Err(UpstreamError::ConnectTimeout),
            Err(_elapsed) => Err(UpstreamError::NoStreamFree),
        }
    }

    /// Opens a connection. Gives none if there is no place for it among the others, or none for a stream on it.
    async fn open(
        &self,
        wanted: &Want<'_, '_>,
        (target, resources): (&ConnectTarget<'_>, &Resources<'_>),
    ) -> Result<Option<Leased>, UpstreamError> {
        let opening = OpeningConnection::begin(self);
        let outcome = self.open_connection(wanted, (target, resources)).await;
        opening.end();
        match &outcome {
            Ok(_) => self.waiting.call_all(Ok(())),
            // The exchanges that waited for it have waited for nothing, unless there are others.
            Err(error) if self.opening.get() == 0 && self.connections.borrow().is_empty() => {
                self.waiting.call_all(Err(*error));
            }
            Err(_) => self.waiting.call_next(Ok(())),
        }
        outcome
    }

    async fn open_connection(
        &self,
        wanted: &Want<'_, '_>,
        (target, resources): (&ConnectTarget<'_>, &Resources<'_>),
    ) -> Result<Option<Leased>, UpstreamError> {
        let preface = wanted.preface();
        let target = &ConnectTarget { preface: &preface, ..*target };
        let opened = connect::open(target, resources.timers).await?;
        if wanted.group.versions == Versions::Both {
            self.prefers_http1.set(!opened.is_http2);
            if !opened.is_http2 {
                return Ok(Some((UpstreamStream::Http1(opened.connection), false)));
            }
        }
        // It chose HTTP/1.1 before, and any number of connections was opened.
        let counted = self.connections.borrow().iter().filter(|shared| shared.counts()).count();
        if counted + self.proving.get() >= MAX_CONNECTIONS {
            return Ok(None);
        }
        let _proving = Counted::among(&self.proving);
        let deadline = resources.timers.deadline();
        deadline.set(target.timeout);
        let of_worker = (resources.timers, resources.buffers);
        let shared = Rc::new(SharedConnection::new(
            opened.connection,
            wanted.backend,
            of_worker,
            &self.waiting,
            wanted.group.response_limits,
        ));
        let unproven = Handshaking(Some(Rc::clone(&shared)));
        task::spawn(drive(Rc::clone(&shared)));
        match deadline.guard(pin!(shared.ready())).await {
            Ok(ready) => ready?,
            Err(_elapsed) => return Err(UpstreamError::ConnectTimeout),
        }
        unproven.prove();
        self.connections.borrow_mut().push(Rc::clone(&shared));
        // A backend may allow none at first.
        Ok(shared.can_open().then(|| lend(shared, wanted, resources)))
    }
}

/// A connection that is being opened for a request.
struct OpeningConnection<'p> {
    pool: &'p KeyPool,
    is_over: bool,
}

impl<'p> OpeningConnection<'p> {
    fn begin(pool: &'p KeyPool) -> OpeningConnection<'p> {
        pool.opening.set(pool.opening.get() + 1);
        OpeningConnection { pool, is_over: false }
    }

    fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for OpeningConnection<'_> {
    fn drop(&mut self) {
        self.pool.opening.set(self.pool.opening.get() - 1);
        if !self.is_over {
            // The request was given up. Of those that waited for its connection, one opens another.
            self.pool.waiting.call_next(Ok(()));
        }
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

/// A connection that is not in the pool yet. It ends with this.
struct Handshaking(Option<Rc<SharedConnection>>);

impl Handshaking {
    fn prove(mut self) {
        self.0 = None;
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.lose();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<SharedConnection>() <= 1536, "{}", size_of::<SharedConnection>());
    }
}
