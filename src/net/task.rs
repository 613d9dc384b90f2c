//! Tasks of a worker, and a cache of futures so that a request on a warm worker allocates nothing.

use std::cell::RefCell;
use std::future::Future;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::net::free_list::FreeList;

/// Starts a task on this worker. It runs to its end; no task waits for it.
///
/// A panic ends this task alone: what it owned is dropped, and other connections do not notice. The
/// panic hook has printed it by then.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(Contained { task }));
}

/// A future whose panic is its end.
struct Contained<F> {
    task: F,
}

impl<F: Future<Output = ()>> Future for Contained<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `task` is pinned with `self`: it is never moved out, and `Contained` is neither
        // `Unpin` unless `F` is, nor has it a `Drop` of its own.
        let task = unsafe { self.map_unchecked_mut(|contained| &mut contained.task) };
        // What a panic leaves half-done belongs to the task and is never looked at again.
        catch_unwind(AssertUnwindSafe(|| task.poll(cx))).unwrap_or(Poll::Ready(()))
    }
}

/// One of two futures with the same output. Unlike an `async` block around both, it is no larger than the larger
/// of them, and what they take is not held twice.
pub enum Either<A, B> {
    One(A),
    Other(B),
}

impl<A: Future, B: Future<Output = A::Output>> Future for Either<A, B> {
    type Output = A::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        // SAFETY: what is held is pinned with `self`: it is never moved out, and `Either` is neither `Unpin`
        // unless both are, nor has it a `Drop` of its own.
        unsafe {
            match self.get_unchecked_mut() {
                Either::One(future) => Pin::new_unchecked(future).poll(cx),
                Either::Other(future) => Pin::new_unchecked(future).poll(cx),
            }
        }
    }
}

/// Runs two futures side by side until both are done or one fails. Neither is polled again once it is done.
pub fn join<E>(
    mut one: impl Future<Output = Result<(), E>> + Unpin,
    mut other: impl Future<Output = Result<(), E>> + Unpin,
) -> impl Future<Output = Result<(), E>> {
    let (mut one_is_done, mut other_is_done) = (false, false);
    poll_fn(move |cx| {
        if !one_is_done && let Poll::Ready(result) = Pin::new(&mut one).poll(cx) {
            one_is_done = true;
            result?;
        }
        if !other_is_done && let Poll::Ready(result) = Pin::new(&mut other).poll(cx) {
            other_is_done = true;
            result?;
        }
        if one_is_done && other_is_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
}

/// Runs two futures side by side until one is done; `one` is polled first.
pub fn race<T>(
    mut one: impl Future<Output = T> + Unpin,
    mut other: impl Future<Output = T> + Unpin,
) -> impl Future<Output = T> + Unpin {
    poll_fn(move |cx| match Pin::new(&mut one).poll(cx) {
        Poll::Pending => Pin::new(&mut other).poll(cx),
        done => done,
    })
}

/// Runs `operation` unless `end` gives a reason to stop first. That is asked each time the operation has to wait.
pub fn unless<T, E>(
    mut operation: impl Future<Output = T> + Unpin,
    mut end: impl FnMut(&mut Context<'_>) -> Poll<E>,
) -> impl Future<Output = Result<T, E>> {
    poll_fn(move |cx| match Pin::new(&mut operation).poll(cx) {
        Poll::Pending => end(cx).map(Err),
        Poll::Ready(done) => Poll::Ready(Ok(done)),
    })
}

/// Memory for futures of one type, used again and again.
///
/// An idle connection must be small, yet serving a request takes a future of some KiB. So the
/// connection's own task is small, and the large future lives in a block of this cache while a
/// request is served.
pub struct FutureCache<F> {
    blocks: RefCell<FreeList<Pin<Box<Option<F>>>>>,
}

impl<F> Default for FutureCache<F> {
    fn default() -> FutureCache<F> {
        FutureCache { blocks: RefCell::default() }
    }
}

impl<F: Future> FutureCache<F> {
    /// Runs the future that `make` makes, in a block of the cache. What is returned is small.
    pub fn run(self: &Rc<FutureCache<F>>, make: impl FnOnce() -> F) -> Running<F> {
        let block = self.blocks.borrow_mut().take();
        let mut block = block.unwrap_or_else(|| Box::pin(None));
        block.as_mut().set(Some(make()));
        Running { block: Some(block), cache: Rc::clone(self) }
    }

    /// Frees some of the blocks that were not needed lately.
    pub fn trim(&self) {
        self.blocks.borrow_mut().trim();
    }
}

/// A future that runs in a block of a [`FutureCache`].
pub struct Running<F> {
    /// Gone when the future is done.
    block: Option<Pin<Box<Option<F>>>>,
    cache: Rc<FutureCache<F>>,
}

impl<F: Future> Future for Running<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let running = &mut *self;
        let future = running.block.as_mut().and_then(|block| block.as_mut().as_pin_mut());
        let Some(future) = future else { panic!("a future that is done was polled again") };
        let output = std::task::ready!(future.poll(cx));
        if let Some(mut block) = running.block.take() {
            block.as_mut().set(None);
            running.cache.blocks.borrow_mut().put(block);
        }
        Poll::Ready(output)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::future::ready;
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_panic_ends_its_task_only() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut contained = pin!(Contained { task: async { panic!("a fault of ours") } });
        assert_eq!(contained.as_mut().poll(&mut cx), Poll::Ready(()));
    }

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_join_ends_when_both_are_done_or_one_fails() {
        let (waits, ends, fails) = (pending::<Result<(), u8>>, || ready(Ok(())), || ready(Err(7)));
        assert_eq!(poll(join(ends(), ends())), Poll::Ready(Ok(())));
        assert_eq!(poll(join(waits(), fails())), Poll::Ready(Err(7)));
        assert_eq!(poll(join(fails(), waits())), Poll::Ready(Err(7)));
        assert_eq!(poll(join(ends(), waits())), Poll::Pending);
        // One that is done is not polled again, which `async` blocks do not bear.
        let mut is_second = false;
        let later = poll_fn(|_| {
            if is_second {
                Poll::Ready(Ok(()))
            } else {
                is_second = true;
                Poll::Pending
            }
        });
        let once = pin!(async { Ok::<(), u8>(()) });
        let mut joined = pin!(join(once, later));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(joined.as_mut().poll(&mut cx).is_pending());
        assert_eq!(joined.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_race_ends_with_the_first_that_is_done() {
        assert_eq!(poll(race(ready(1), ready(2))), Poll::Ready(1));
        assert_eq!(poll(race(pending(), ready(2))), Poll::Ready(2));
        assert_eq!(poll(race(pending::<u8>(), pending())), Poll::Pending);
    }

    #[test]
    fn an_operation_that_has_to_wait_is_stopped_for_a_reason() {
        assert_eq!(poll(unless(ready(1), |_| Poll::Ready("stop"))), Poll::Ready(Ok(1)));
        assert_eq!(poll(unless(pending::<u8>(), |_| Poll::Ready("stop"))), Poll::Ready(Err("stop")));
        assert_eq!(poll(unless(pending::<u8>(), |_| Poll::<()>::Pending)), Poll::Pending);
    }

    #[test]
    fn a_block_is_used_again() {
        let cache = Rc::new(FutureCache::default());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let mut running = pin!(cache.run(|| ready(7)));
            assert_eq!(running.as_mut().poll(&mut cx), Poll::Ready(7));
            assert_eq!(cache.blocks.borrow().len(), 1);
        }
    }
}
