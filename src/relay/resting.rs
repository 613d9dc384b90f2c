//! Connections that have been silent for long, in a few hundred bytes each: without a task, without operations of the ring.

use std::cell::Cell;
use std::cell::OnceCell;
use std::cell::RefCell;
use std::io;

use crate::net::silent_sockets::SilentSocket;
use crate::net::silent_sockets::SilentSockets;
use crate::net::slab::Slab;
use crate::net::socket::Socket;
use crate::relay::client::RelayedClient;
use crate::relay::flow::Course;
use crate::relay::record::SessionRecord;
use crate::relay::route::StreamRoute;
use crate::relay::silence::SilenceStage;
use crate::upstream::balancer::CountedInFlight;

/// How many times a look at a part of the connections makes one at all of them.
pub(super) const PARTS: usize = 4;

/// So many leave some hundred KiB of memory where they were served, or rested.
const MANY: usize = 250;

/// Ten seconds. The timer wheel forgets the deadlines that they had while they were served within seven.
const LOOKS_BEFORE_GIVING_BACK: usize = 50;

/// What goes on when somebody says something.
pub(super) struct RestingConnection {
    pub(super) sockets: RestingSockets,
    pub(super) client: RelayedClient,
    pub(super) route: StreamRoute,
    /// The index of the backend in its group.
    pub(super) member: u32,
    pub(super) in_flight: Option<CountedInFlight>,
    pub(super) record: SessionRecord,
    pub(super) course: Course,
    pub(super) silence: SilenceStage,
}

pub(super) struct RestingSockets {
    key: u32,
    pub(super) client: SilentSocket,
    pub(super) backend: SilentSocket,
}

impl RestingSockets {
    /// Lets the driver of the worker know of them again; None: it cannot.
    pub(super) fn adopt(self) -> Option<(Socket, Socket)> {
        let (client, backend) = (self.client.adopt(), self.backend.adopt());
        if client.is_err() || backend.is_err() {
            // What is not an orderly end must not look like one.
            [&client, &backend].into_iter().flatten().for_each(Socket::reset_on_close);
        }
        Some((client.ok()?, backend.ok()?))
    }
}

/// Those of one worker that came by one listener, or from other workers.
#[derive(Default)]
pub struct RestingConnections {
    /// Opened for the first one: most listeners have none.
    sockets: OnceCell<SilentSockets>,
    kept: RefCell<Slab<RestingConnection>>,
    count: Cell<usize>,
    /// How many came to rest or left it since memory was given back, and how many looks at a part ago they became many.
    moved: Cell<(usize, usize)>,
    /// A task waits until something comes.
    pub(super) is_heard: Cell<bool>,
    /// A task looks for what is due.
    pub(super) is_watched: Cell<bool>,
    /// Which part is looked at next.
    part: Cell<usize>,
}

impl RestingConnections {
    /// Waits from now on for whatever side has not ended. What is returned goes to [`RestingConnections::keep`].
    ///
    /// # Errors
    /// The kernel has no descriptor left, or takes none into the set.
    pub(super) fn begin(
        &self,
        client: &Socket,
        backend: &Socket,
        course: &Course,
    ) -> io::Result<RestingSockets> {
        let set = match self.sockets.get() {
            Some(set) => set,
            None => {
                let opened = SilentSockets::open()?;
                self.sockets.get_or_init(|| opened)
            }
        };
        let (client, backend) = (SilentSocket::of(client)?, SilentSocket::of(backend)?);
        let key = self.kept.borrow_mut().reserve();
        let sources = [(!course.up.has_ended.get(), &client), (!course.down.has_ended.get(), &backend)];
        for (_, socket) in sources.into_iter().filter(|(is_open, _)| *is_open) {
            if let Err(error) = set.add(socket, key) {
                // What is in the set would stay there as long as the connection.
                set.remove(&client);
                set.remove(&backend);
                self.kept.borrow_mut().release(key);
                return Err(error);
            }
        }
        Ok(RestingSockets { key, client, backend })
    }

    pub(super) fn keep(&self, connection: RestingConnection) {
        let key = connection.sockets.key;
        self.kept.borrow_mut().put(key, connection);
        self.count.set(self.count.get() + 1);
        self.note_moved(1);
    }

    fn note_moved(&self, count: usize) {
        let (moved, looks) = self.moved.get();
        self.moved.set((moved + count, looks));
    }

    /// Whether much memory may lie unused that many have left.
    pub(super) fn owes_memory(&self) -> bool {
        self.moved.get().0 >= MANY
    }

    /// Whether that is to be given back now; asked with each look at a part.
    pub(super) fn gives_memory_back(&self) -> bool {
        let (moved, looks) = self.moved.get();
        let is_time = self.owes_memory() && looks >= LOOKS_BEFORE_GIVING_BACK;
        match (is_time, self.owes_memory()) {
            (true, _) => self.moved.set((0, 0)),
            (false, true) => self.moved.set((moved, looks + 1)),
            (false, false) => {}
        }
        is_time
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// Those of which a side has said something, or ended, once there are some; None: they cannot be waited for.
    pub(super) async fn woken(&self) -> Option<Vec<RestingConnection>> {
        let mut keys = Vec::new();
        self.sockets.get()?.wait(&mut keys).await.ok()?;
        Some(self.take(&keys))
    }

    /// Those that are not to go on resting, of a part; each call looks at another one.
    pub(super) fn overdue(&self, is_overdue: impl Fn(&RestingConnection) -> bool) -> Vec<RestingConnection> {
        let part = self.part.get();
        self.part.set((part + 1) % PARTS);
        let kept = self.kept.borrow();
        let overdue = kept.share(part, PARTS).filter(|(_, connection)| is_overdue(connection));
        let keys: Vec<u32> = overdue.map(|(key, _)| key).collect();
        drop(kept);
        self.take(&keys)
    }

    fn take(&self, keys: &[u32]) -> Vec<RestingConnection> {
        let mut kept = self.kept.borrow_mut();
        let taken: Vec<_> = keys.iter().filter_map(|key| kept.take(*key)).collect();
        self.count.set(self.count.get() - taken.len());
        self.note_moved(taken.len());
        if let Some(set) = self.sockets.get() {
            for RestingConnection { sockets, .. } in &taken {
                set.remove(&sockets.client);
                set.remove(&sockets.backend);
            }
        }
        taken
    }
}
