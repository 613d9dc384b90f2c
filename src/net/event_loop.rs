//! The loop that a thread with a ring runs, in one place for all futures.

use std::future::Future;
use std::pin::Pin;
use std::pin::pin;

use monoio::IoUringDriver;
use monoio::LegacyDriver;
use monoio::Runtime;

/// A driver that was set up, and the tasks on it.
pub enum EventLoop {
    Ring(Box<Runtime<IoUringDriver>>),
    Epoll(Box<Runtime<LegacyDriver>>),
}

impl EventLoop {
    /// Runs the loop until `future` is done.
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        let mut output = None;
        self.turn_until(pin!(async { output = Some(future.await) }));
        match output {
            Some(output) => output,
            None => unreachable!("the loop ends with its future only"),
        }
    }

    /// Generic functions are compiled by the crate that names their types, and made fast or small as that crate is. So
    /// the loop, which turns for every request, is no generic function.
    fn turn_until(&mut self, done: Pin<&mut dyn Future<Output = ()>>) {
        match self {
            EventLoop::Ring(runtime) => runtime.block_on(done),
            EventLoop::Epoll(runtime) => runtime.block_on(done),
        }
    }
}
