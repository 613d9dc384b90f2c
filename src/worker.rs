//! What one thread owns: the snapshot it serves from, pools, buffers, timers, its clock and its log.
//!
//! Nothing here is shared, so nothing is locked. A borrow of a `RefCell` never spans an `await`.

use std::cell::Cell;
use std::cell::RefCell;
use std::sync::Arc;

use crate::net::buffer::Buffers;
use crate::net::clock::Clock;
use crate::net::timer::Timers;
use crate::snapshot::Snapshot;
use crate::telemetry::access_log::Format;
use crate::telemetry::date::Dates;
use crate::telemetry::log_writer::LogQueue;
use crate::upstream::pool::Pool;

pub struct Worker {
    /// Counts from 0.
    pub index: usize,
    pub snapshot: Arc<Snapshot>,
    pub clock: Clock,
    pub timers: Timers,
    pub buffers: Buffers,
    pub pool: Pool,
    pub dates: RefCell<Dates>,
    /// Memory for building header values in.
    pub scratch: RefCell<Vec<u8>>,
    pub log: Option<AccessLog>,
    /// No connection may go on after the exchange it is in.
    draining: Cell<bool>,
    /// Where each group's round robin stands.
    positions: Vec<Cell<usize>>,
}

/// A worker's side of the access log.
pub struct AccessLog {
    pub format: Format,
    pub queue: RefCell<LogQueue>,
    /// Memory of lines that are not being written.
    pub spare_lines: RefCell<Vec<Vec<u8>>>,
    /// Chosen at random when the process starts.
    pub process: u64,
    pub sequence: Cell<u64>,
}

impl AccessLog {
    pub fn new(format: Format, queue: LogQueue, process: u64) -> AccessLog {
        AccessLog {
            format,
            queue: RefCell::new(queue),
            spare_lines: RefCell::default(),
            process,
            sequence: Cell::new(0),
        }
    }
}

impl Worker {
    /// To be called on the worker's thread.
    pub fn new(index: usize, snapshot: Arc<Snapshot>, log: Option<AccessLog>) -> Worker {
        let pool = Pool::new(&snapshot, index);
        // Workers begin at different places of a round, lest all send their first request to one.
        let begin = |length: usize| Cell::new(length * index / snapshot.workers.max(1));
        let positions = snapshot.groups.iter().map(|group| begin(group.schedule.round_length())).collect();
        let worker = Worker {
            index,
            snapshot,
            clock: Clock::start(),
            timers: Timers::default(),
            buffers: Buffers::default(),
            pool,
            dates: RefCell::default(),
            scratch: RefCell::default(),
            log,
            draining: Cell::new(false),
            positions,
        };
        worker.advance_dates();
        worker
    }

    /// The work of each tick of the timer wheel.
    pub fn tick(&self) {
        self.timers.tick();
        self.clock.follow_wall();
        self.advance_dates();
        if let Some(log) = &self.log {
            log.queue.borrow_mut().hand_over();
        }
    }

    /// The next position in a group's round.
    pub fn next_position(&self, group: usize) -> usize {
        self.positions.get(group).map_or(0, |position| position.replace(position.get().wrapping_add(1)))
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub fn begin_drain(&self) {
        self.draining.set(true);
    }

    fn advance_dates(&self) {
        self.dates.borrow_mut().advance(self.clock.wall(self.clock.now()));
    }
}
