//! Waking a worker from outside its loop: by another thread, or by time.

use std::cell::Cell;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use monoio::net::UnixStream;

use crate::net::socket::wants_nonblocking;

/// A bell that any thread can ring and one worker hears. Rings that are not yet heard count once.
#[derive(Clone)]
pub struct Doorbell {
    eventfd: Arc<OwnedFd>,
}

impl Doorbell {
    pub fn new() -> io::Result<Doorbell> {
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        Ok(Doorbell { eventfd: Arc::new(own(descriptor)?) })
    }

    /// Wakes the worker. Never blocks.
    pub fn ring(&self) {
        add_one(&self.eventfd);
    }

    /// For a thread of its own: waits until something can be read from a descriptor; false once the bell was rung.
    pub fn wait_unless_rung(&self, descriptor: BorrowedFd<'_>) -> io::Result<bool> {
        let readable = |descriptor| libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        let mut both = [readable(self.eventfd.as_raw_fd()), readable(descriptor.as_raw_fd())];
        // SAFETY: `both` are two valid entries.
        let result = unsafe { libc::poll(both.as_mut_ptr(), 2, -1) };
        match io::Error::last_os_error() {
            error if result < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(both[0].revents == 0),
        }
    }

    /// The worker's side; to be called on the worker's thread.
    pub fn listen(&self) -> io::Result<Wakeups> {
        Wakeups::new(self.eventfd.try_clone()?)
    }
}

/// Periodic wake-ups of the worker whose thread calls this.
pub fn every(period: Duration) -> io::Result<Wakeups> {
    let timerfd = timerfd()?;
    set_timerfd(&timerfd, period, period)?;
    Wakeups::new(timerfd)
}

/// One wake-up at a time, of the worker on whose thread it was made, as soon as it was set to.
pub struct Alarm {
    wakeups: Wakeups,
}

impl Alarm {
    /// It is not set.
    pub fn new() -> io::Result<Alarm> {
        Ok(Alarm { wakeups: Wakeups::new(timerfd()?)? })
    }

    /// Goes off once when this time has passed, and not when it was set to before. None: never.
    pub fn set(&self, after: Option<Duration>) {
        // Nothing at all would mean never.
        let wait = after.map_or(Duration::ZERO, |after| after.max(Duration::from_nanos(1)));
        let set = set_timerfd(&self.wakeups.counter, wait, Duration::ZERO);
        debug_assert!(set.is_ok(), "a timerfd takes every time");
    }

    /// Waits until it goes off.
    pub async fn rung(&self) -> io::Result<()> {
        self.wakeups.next().await.map(drop)
    }
}

fn timerfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    own(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })
}

/// Lets a timer go off after a while and then again and again, or once if `period` is nothing; never if `first` is.
fn set_timerfd(timerfd: &impl AsRawFd, first: Duration, period: Duration) -> io::Result<()> {
    let time = |duration: Duration| libc::timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    };
    let schedule = libc::itimerspec { it_interval: time(period), it_value: time(first) };
    // SAFETY: `schedule` is valid for the call and a null pointer is allowed for the old value.
    let result =
        unsafe { libc::timerfd_settime(timerfd.as_raw_fd(), 0, &raw const schedule, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where the one task that waits for something leaves its waker.
#[derive(Default)]
pub struct WakerSlot {
    waker: Cell<Option<Waker>>,
}

impl WakerSlot {
    /// The task of this context is woken next; one that registered before is not.
    pub fn register(&self, cx: &Context<'_>) {
        let known = self.waker.take();
        let waker = known.filter(|known| known.will_wake(cx.waker()));
        self.waker.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
    }

    /// Wakes the task that registered, if one did since the last time.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Wakes the task that registered, as often as this is called.
    pub fn wake_by_ref(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Forgets the task that registered, whose memory a waker keeps.
    pub fn clear(&self) {
        self.waker.set(None);
    }
}

/// Lets the worker's loop turn while the caller has work left. One task at a time may wait for it.
///
/// Waking oneself is not enough. As long as any task is ready, the loop does not look at what the kernel
/// has completed. And a loop with epoll runs whoever
/// wakes itself many times over before it looks for events again: after a thousand events, two thousand
/// times. So this waits for an event that can only come from the kernel.
pub struct YieldToKernel {
    counter: UnixStream,
    /// With io_uring the counter has always counted something: to wait for it takes one operation. epoll
    /// tells of changes only, so there it is rung for each wait.
    is_rung: bool,
}

impl YieldToKernel {
    /// To be called on the worker's thread.
    pub fn new() -> io::Result<YieldToKernel> {
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let counter = UnixStream::from_std(StdUnixStream::from(own(descriptor)?))?;
        Ok(YieldToKernel { counter, is_rung: wants_nonblocking() })
    }

    /// Returns in a later turn of the loop.
    pub async fn wait(&self) {
        if !self.is_rung {
            // The tasks that are ready run first.
            yield_once().await;
            drop(self.counter.readable(false).await);
            return;
        }
        // A counter that counts nothing is waited for; what makes it count after that is an event.
        read_counter(&self.counter);
        let mut readable = pin!(self.counter.readable(false));
        let mut is_second = false;
        poll_fn(|cx| {
            let polled = readable.as_mut().poll(cx);
            if polled.is_pending() && !std::mem::replace(&mut is_second, true) {
                add_one(&self.counter);
            }
            polled.map(drop)
        })
        .await;
    }
}

/// Lets the tasks that are ready run first.
async fn yield_once() {
    let mut is_second = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A counter of the kernel (eventfd or timerfd) that a worker waits on.
pub struct Wakeups {
    counter: UnixStream,
}

impl Wakeups {
    /// The driver only polls the descriptor, so that a counter can stand where monoio has a stream.
    fn new(counter: OwnedFd) -> io::Result<Wakeups> {
        Ok(Wakeups { counter: UnixStream::from_std(StdUnixStream::from(counter))? })
    }

    /// Waits for at least one event and returns how many there were since the last call.
    pub async fn next(&self) -> io::Result<u64> {
        loop {
            self.counter.readable(false).await?;
            if let Some(count) = read_counter(&self.counter) {
                return Ok(count);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
        }
    }
}

fn add_one(counter: &impl AsRawFd) {
    let one = 1u64;
    // SAFETY: `one` is valid for eight bytes. A full counter says the same already.
    unsafe { libc::write(counter.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// What a counter counted, which begins again; None if that is nothing.
fn read_counter(counter: &impl AsRawFd) -> Option<u64> {
    let mut count = 0u64;
    // SAFETY: `count` is valid for eight bytes; the descriptor is non-blocking.
    let read = unsafe { libc::read(counter.as_raw_fd(), (&raw mut count).cast(), 8) };
    (read == 8).then_some(count)
}

fn own(descriptor: i32) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
