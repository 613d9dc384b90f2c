//! Waking a worker from outside its loop: by another thread, or by time.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use monoio::net::UnixStream;

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
        let one = 1u64;
        // SAFETY: `one` is valid for eight bytes. A full counter means that the bell rings already.
        unsafe { libc::write(self.eventfd.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// The worker's side; to be called on the worker's thread.
    pub fn listen(&self) -> io::Result<Wakeups> {
        Wakeups::new(self.eventfd.try_clone()?)
    }
}

/// Periodic wake-ups of the worker whose thread calls this.
pub fn every(period: Duration) -> io::Result<Wakeups> {
    // SAFETY: the call takes no pointers.
    let descriptor =
        unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
    let timerfd = own(descriptor)?;
    let step = libc::timespec {
        tv_sec: period.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: period.subsec_nanos().into(),
    };
    let schedule = libc::itimerspec { it_interval: step, it_value: step };
    // SAFETY: `schedule` is valid for the call and a null pointer is allowed for the old value.
    let result =
        unsafe { libc::timerfd_settime(timerfd.as_raw_fd(), 0, &raw const schedule, std::ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Wakeups::new(timerfd)
}

/// Lets the worker's loop turn while the caller has work left.
///
/// Waking oneself is not enough: as long as any task is ready, the loop does not enter the kernel to
/// wait, and a ring with DEFER_TASKRUN completes operations only there. So this waits for a counter that
/// has always counted something, which takes one operation of the kernel.
pub struct Pause {
    always_ready: UnixStream,
}

impl Pause {
    pub fn new() -> io::Result<Pause> {
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        Ok(Pause { always_ready: UnixStream::from_std(StdUnixStream::from(own(descriptor)?))? })
    }

    /// Returns in a later turn of the loop.
    pub async fn take(&self) {
        // With epoll the counter is found ready at once.
        yield_once().await;
        drop(self.always_ready.readable(false).await);
    }
}

/// Lets the tasks that are ready run first.
async fn yield_once() {
    let mut is_second = false;
    poll_fn(|turn| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        turn.waker().wake_by_ref();
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
            let mut count = 0u64;
            // SAFETY: `count` is valid for eight bytes; the descriptor is non-blocking.
            let read = unsafe { libc::read(self.counter.as_raw_fd(), (&raw mut count).cast(), 8) };
            if read == 8 {
                return Ok(count);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
        }
    }
}

fn own(descriptor: i32) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
