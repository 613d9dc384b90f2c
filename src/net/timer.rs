//! One coarse timer wheel per worker.
//!
//! A connection owns one [`Deadline`] and moves it many times per request, so moving must cost
//! nothing: it stores a number. The wheel looks at a deadline when the slot that it was last queued
//! in comes round, and queues it again if it has moved away meanwhile. No timer object of the kernel
//! or of the runtime exists per operation; one tick source drives the wheel.

use std::cell::Cell;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::net::task;
use crate::net::wake::WakerSlot;

/// The resolution of every timeout. A deadline fires up to two ticks late, never early.
pub const TICK: Duration = Duration::from_millis(100);

pub const TICKS_PER_SECOND: u64 = 10;

/// Slots of the wheel. A farther deadline is looked at and queued again every `SLOTS` ticks; the
/// number bounds how long the wheel remembers the deadline of a closed connection.
const SLOTS: u64 = 64;

const NEVER: u64 = u64::MAX;

/// The timer wheel of one worker. Cloning gives another hold on the same wheel.
#[derive(Clone)]
pub struct Timers {
    wheel: Rc<Wheel>,
}

/// A time after which waiting is over, owned by one connection and waited on by one task.
pub struct Deadline {
    node: Rc<Node>,
    wheel: Rc<Wheel>,
}

/// Which deadlines are brought forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shorten {
    Drainable,
    All,
}

/// The deadline passed before the operation was done.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed;

struct Wheel {
    /// Ticks since the wheel began.
    now: Cell<u64>,
    /// How far away a drainable deadline may be set; short once [`Timers::shorten`] was called.
    max_drainable: Cell<Duration>,
    slots: RefCell<Vec<Vec<Rc<Node>>>>,
    /// Connections that were evicted and are not closed yet.
    evicting: Cell<usize>,
}

struct Node {
    /// The tick at which waiting is over, or NEVER.
    due: Cell<u64>,
    /// The tick whose slot holds the valid entry of this node, or NEVER. `queued <= due` whenever
    /// both are set, so no deadline is overlooked.
    queued: Cell<u64>,
    waker: WakerSlot,
    /// [`Timers::shorten`] may bring the deadline forward.
    drainable: Cell<bool>,
    /// [`Timers::evict_idle`] brought it forward.
    evicted: Cell<bool>,
    /// Since which tick its connection waits for nothing in particular, or NEVER.
    idle_since: Cell<u64>,
    tag: Cell<Tag>,
}

/// What a deadline has to do with, so that [`Timers::shorten_tagged`] finds those that belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    #[default]
    None,
    /// The slot of a listener.
    Listener(u32),
    /// The same, of a connection of QUIC.
    QuicListener(u32),
    /// The slot of a backend.
    Backend(u32),
}

impl Default for Timers {
    fn default() -> Timers {
        let slots = RefCell::new((0..SLOTS).map(|_| Vec::new()).collect());
        Timers {
            wheel: Rc::new(Wheel {
                now: Cell::new(0),
                max_drainable: Cell::new(Duration::MAX),
                slots,
                evicting: Cell::new(0),
            }),
        }
    }
}

impl Timers {
    /// A deadline that is not set.
    pub fn deadline(&self) -> Deadline {
        let node = Node {
            due: Cell::new(NEVER),
            queued: Cell::new(NEVER),
            waker: WakerSlot::default(),
            drainable: Cell::new(false),
            evicted: Cell::new(false),
            idle_since: Cell::new(NEVER),
            tag: Cell::default(),
        };
        Deadline { node: Rc::new(node), wheel: Rc::clone(&self.wheel) }
    }

    /// Ticks since the wheel began: time as coarse as it is cheap.
    pub fn ticks(&self) -> u64 {
        self.wheel.now.get()
    }

    /// Advances by one tick and wakes the tasks whose deadlines have passed.
    pub fn tick(&self) {
        let now = self.wheel.now.get() + 1;
        self.wheel.now.set(now);
        let mut entries = {
            let mut slots = self.wheel.slots.borrow_mut();
            slots.get_mut((now % SLOTS) as usize).map(std::mem::take).unwrap_or_default()
        };
        for node in entries.drain(..) {
            if node.queued.get() == now {
                node.queued.set(NEVER);
                self.wheel.look_at(node);
            }
        }
        // The vector goes back so that a steady load of timers allocates nothing.
        let mut slots = self.wheel.slots.borrow_mut();
        if let Some(slot) = slots.get_mut((now % SLOTS) as usize)
            && slot.is_empty()
        {
            *slot = entries;
        }
    }

    /// Brings every drainable deadline forward to at most `within` from now, and those that are set
    /// later to at most `within` from then.
    pub fn shorten(&self, within: Duration) {
        self.wheel.max_drainable.set(within);
        self.bring_forward(within, |node| node.drainable.get());
    }

    /// Brings deadlines with this tag forward to at most `within` from now: the drainable ones, or all.
    pub fn shorten_tagged(&self, tag: Tag, within: Duration, whom: Shorten) {
        self.bring_forward(within, |node| {
            node.tag.get() == tag && (whom == Shorten::All || node.drainable.get())
        });
    }

    /// Lets all deadlines pass whose tag is meant.
    pub fn end_tagged(&self, is_meant: impl Fn(Tag) -> bool) {
        self.bring_forward(Duration::ZERO, |node| is_meant(node.tag.get()));
    }

    fn bring_forward(&self, within: Duration, is_meant: impl Fn(&Node) -> bool) {
        let due = self.wheel.due_after(within);
        let entries: Vec<_> = self.wheel.slots.borrow_mut().iter_mut().flat_map(std::mem::take).collect();
        for node in entries {
            if is_meant(&node) && node.due.get() != NEVER {
                node.due.set(node.due.get().min(due));
            }
            // Each node has one valid entry; queueing makes this one it. One that is due already, as an
            // outdated entry may be, has no slot that comes round any more.
            if node.due.get() == NEVER || node.due.get() <= self.wheel.now.get() {
                node.queued.set(NEVER);
                self.wheel.look_at(node);
            } else {
                self.wheel.queue(node);
            }
        }
    }

    /// Ends the waits of connections that have been idle for at least `idle_ticks`, the longest idle first and at most
    /// `count` of those that are meant. Gives the number of those that are ending, from before included: one of HTTP/2
    /// says good-bye first.
    ///
    /// It looks at every deadline, so it is for when a limit keeps new connections waiting.
    pub fn evict_idle(&self, count: usize, idle_ticks: u64, is_meant: impl Fn(Tag) -> bool) -> usize {
        let now = self.wheel.now.get();
        let is_idle = |node: &Node| {
            let since = node.idle_since.get();
            since != NEVER && now.saturating_sub(since) >= idle_ticks && is_meant(node.tag.get())
        };
        let mut idle: Vec<Rc<Node>> = {
            let slots = self.wheel.slots.borrow();
            slots.iter().flatten().filter(|node| is_idle(node)).cloned().collect()
        };
        idle.sort_unstable_by_key(|node| node.idle_since.get());
        let evicting = &self.wheel.evicting;
        for node in idle {
            // A node that moved has outdated entries besides its valid one.
            if evicting.get() < count && node.idle_since.replace(NEVER) != NEVER {
                evicting.set(evicting.get() + usize::from(!node.evicted.replace(true)));
                node.due.set(now);
                self.wheel.look_at(node);
            }
        }
        evicting.get().min(count)
    }

    /// Completes when `duration` has passed, to the resolution of the wheel.
    pub async fn sleep(&self, duration: Duration) {
        let deadline = self.deadline();
        deadline.set(duration);
        let elapsed = deadline.guard(pin!(std::future::pending::<()>())).await;
        debug_assert_eq!(elapsed, Err(Elapsed));
    }
}

impl Wheel {
    fn due_after(&self, duration: Duration) -> u64 {
        let of_seconds = duration.as_secs().saturating_mul(TICKS_PER_SECOND);
        let of_rest = u64::from(duration.subsec_nanos().div_ceil(TICK.subsec_nanos()));
        // The present tick has begun already, hence one more.
        self.now.get().saturating_add(of_seconds).saturating_add(of_rest).saturating_add(1)
    }

    fn look_at(&self, node: Rc<Node>) {
        let due = node.due.get();
        if due == NEVER {
            return;
        }
        if due > self.now.get() {
            self.queue(node);
        } else {
            node.waker.wake();
        }
    }

    fn queue(&self, node: Rc<Node>) {
        let slot_tick = node.due.get().min(self.now.get() + SLOTS - 1);
        node.queued.set(slot_tick);
        if let Some(slot) = self.slots.borrow_mut().get_mut((slot_tick % SLOTS) as usize) {
            slot.push(node);
        }
    }
}

impl Deadline {
    /// Moves the deadline to `after` from now.
    pub fn set(&self, after: Duration) {
        let now = self.wheel.now.get();
        let due = self.wheel.due_after(after);
        self.node.drainable.set(false);
        self.node.idle_since.set(NEVER);
        self.node.due.set(due);
        if self.node.queued.get() > due.min(now + SLOTS - 1) {
            self.wheel.queue(Rc::clone(&self.node));
        }
    }

    /// Like [`Deadline::set`], for a wait that need not last when the worker wants to end.
    pub fn set_drainable(&self, after: Duration) {
        self.set(after.min(self.wheel.max_drainable.get()));
        self.node.drainable.set(true);
    }

    /// From now on the deadline may be brought forward, until it is set again. It is at once, if the
    /// worker wants to end already.
    pub fn make_drainable(&self) {
        let soonest = self.wheel.due_after(self.wheel.max_drainable.get());
        if soonest < self.node.due.get() {
            self.node.due.set(soonest);
            if self.node.queued.get() > soonest {
                self.wheel.queue(Rc::clone(&self.node));
            }
        }
        self.node.drainable.set(true);
    }

    /// Until the deadline is set again, the connection has been idle since this tick, and may be evicted.
    pub fn mark_idle(&self, since: u64) {
        self.node.idle_since.set(since);
    }

    /// Whether the wait was ended to make room for another connection.
    pub fn is_evicted(&self) -> bool {
        self.node.evicted.get()
    }

    /// Something came before the connection was closed, which so is none that is evicted.
    pub fn forget_eviction(&self) {
        if self.node.evicted.replace(false) {
            self.wheel.evicting.set(self.wheel.evicting.get() - 1);
        }
    }

    pub fn set_tag(&self, tag: Tag) {
        self.node.tag.set(tag);
    }

    /// Takes the deadline away.
    pub fn clear(&self) {
        self.node.idle_since.set(NEVER);
        self.node.due.set(NEVER);
    }

    /// At which tick of the wheel it passes.
    pub fn due(&self) -> u64 {
        self.node.due.get()
    }

    pub fn has_passed(&self) -> bool {
        self.node.due.get() <= self.wheel.now.get()
    }

    /// Runs `operation` until it is done or the deadline passes, wherever it is moved meanwhile.
    ///
    /// The operation is dropped when the deadline passes; its connection is fit only to be closed.
    /// It comes pinned because a future that takes another by value holds it twice.
    pub async fn guard<T>(&self, operation: Pin<&mut impl Future<Output = T>>) -> Result<T, Elapsed> {
        task::unless(operation, |cx| {
            if self.has_passed() {
                return Poll::Ready(Elapsed);
            }
            self.node.waker.register(cx);
            Poll::Pending
        })
        .await
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.clear();
        self.forget_eviction();
        // The task may be gone before the wheel forgets the node.
        self.node.waker.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::task::Context;
    use std::task::Wake;
    use std::task::Waker;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ticks until the guarded wait is over, polling only when woken.
    fn ticks_until_elapsed(timers: &Timers, deadline: &Deadline, most: usize) -> Option<usize> {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut never = std::future::pending::<()>();
        let mut wait = pin!(deadline.guard(Pin::new(&mut never)));
        assert!(wait.as_mut().poll(&mut context).is_pending());
        for tick in 1..=most {
            timers.tick();
            if wakes.0.swap(0, Ordering::Relaxed) > 0 {
                assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(Err(Elapsed)));
                return Some(tick);
            }
        }
        None
    }

    #[test]
    fn a_deadline_fires_within_two_ticks_of_its_time() {
        for ticks in [0, 1, 5, 62, 63, 64, 65, 200, 6000] {
            let timers = Timers::default();
            let deadline = timers.deadline();
            deadline.set(TICK * ticks);
            let fired = ticks_until_elapsed(&timers, &deadline, 7000).unwrap();
            assert!((ticks as usize..=ticks as usize + 2).contains(&fired), "{ticks} ticks: {fired}");
        }
    }

    #[test]
    fn moving_a_deadline_forward_and_back_counts() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        deadline.set(TICK * 10);
        deadline.set(TICK * 300);
        deadline.set(TICK * 3);
        assert_eq!(ticks_until_elapsed(&timers, &deadline, 400), Some(4));

        deadline.set(TICK * 3);
        deadline.set(TICK * 100);
        assert_eq!(ticks_until_elapsed(&timers, &deadline, 400), Some(101));
    }

    #[test]
    fn a_cleared_deadline_never_fires() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        deadline.set(TICK);
        deadline.clear();
        assert_eq!(ticks_until_elapsed(&timers, &deadline, 200), None);
    }

    #[test]
    fn a_busy_connection_keeps_one_entry() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        for _ in 0..1000 {
            deadline.set(TICK * 150);
            deadline.clear();
            deadline.set(TICK * 600);
        }
        let entries: usize = timers.wheel.slots.borrow().iter().map(Vec::len).sum();
        assert_eq!(entries, 1);
    }

    #[test]
    fn hastening_moves_only_what_yields() {
        for (drainable, fired) in [(true, 3), (false, 301)] {
            let timers = Timers::default();
            let deadline = timers.deadline();
            let set = if drainable { Deadline::set_drainable } else { Deadline::set };
            set(&deadline, TICK * 300);
            timers.shorten(TICK * 2);
            assert_eq!(ticks_until_elapsed(&timers, &deadline, 400), Some(fired));
        }
    }

    #[test]
    fn a_deadline_that_yields_after_hastening_comes_forward() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        timers.shorten(TICK * 2);
        deadline.set(TICK * 300);
        deadline.make_drainable();
        assert_eq!(ticks_until_elapsed(&timers, &deadline, 400), Some(3));
    }

    #[test]
    fn a_deadline_that_had_passed_before_hastening_can_be_set_again() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        // The first entry is outdated once the second one exists.
        deadline.set(TICK * 300);
        deadline.set(TICK);
        assert_eq!(ticks_until_elapsed(&timers, &deadline, 10), Some(2));
        timers.tick();
        timers.shorten(TICK);
        deadline.set(TICK * 5);
        assert_eq!(ticks_until_elapsed(&timers, &deadline, 200), Some(6));
    }

    #[test]
    fn yielding_changes_nothing_before_the_worker_wants_to_end() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        deadline.set(TICK * 20);
        deadline.make_drainable();
        assert_eq!(ticks_until_elapsed(&timers, &deadline, 400), Some(21));
    }

    #[test]
    fn an_operation_that_is_done_wins_over_a_passed_deadline() {
        let timers = Timers::default();
        let deadline = timers.deadline();
        deadline.set(Duration::ZERO);
        timers.tick();
        let mut context = Context::from_waker(Waker::noop());
        let mut ready = std::future::ready(7);
        let done = pin!(deadline.guard(Pin::new(&mut ready))).poll(&mut context);
        assert_eq!(done, Poll::Ready(Ok(7)));
    }

    #[test]
    fn the_longest_idle_are_evicted_first() {
        let timers = Timers::default();
        let deadlines: Vec<_> = (0..5).map(|_| timers.deadline()).collect();
        for (index, deadline) in deadlines.iter().enumerate() {
            // Moved, so that there are outdated entries.
            deadline.set_drainable(Duration::from_secs(9 - index as u64));
            deadline.set_drainable(Duration::from_secs(9));
            deadline.set_tag(Tag::Listener(u32::from(index == 0)));
            deadline.mark_idle(timers.ticks());
            timers.tick();
        }
        // Busy, and so not meant.
        deadlines[1].set(Duration::from_secs(9));
        let is_meant = |tag| tag == Tag::Listener(0);
        assert_eq!(timers.evict_idle(1, 3, is_meant), 1);
        assert_eq!(timers.evict_idle(1, 3, |_| true), 1, "the same one, which is not closed yet");
        let evicted = || deadlines.iter().map(Deadline::is_evicted).collect::<Vec<_>>();
        assert_eq!(evicted(), [false, false, true, false, false]);
        assert!(deadlines[2].has_passed() && !deadlines[3].has_passed());
        assert_eq!(timers.evict_idle(9, 2, is_meant), 2, "the last has not been idle for long");
        assert_eq!(timers.evict_idle(9, 2, |_| true), 3);
        assert_eq!(evicted(), [true, false, true, true, false]);
    }
}
