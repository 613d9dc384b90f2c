//! Tasks of a worker, and a stock of futures so that a request on a warm worker allocates nothing.

use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use crate::net::shelf::Shelf;

/// Starts a task on this worker. It runs to its end; nobody waits for it.
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

/// Memory for futures of one type, used again and again.
///
/// An idle connection must be small, yet serving a request takes a future of some KiB. So the
/// connection's own task is small, and the large future lives in a block of this stock while a
/// request is served.
pub struct Stock<F> {
    blocks: RefCell<Shelf<Pin<Box<Option<F>>>>>,
}

impl<F> Default for Stock<F> {
    fn default() -> Stock<F> {
        Stock { blocks: RefCell::default() }
    }
}

impl<F: Future> Stock<F> {
    /// Runs the future that `make` makes, in a block of the stock. What is returned is small.
    pub fn run(self: &Rc<Stock<F>>, make: impl FnOnce() -> F) -> Running<F> {
        let block = self.blocks.borrow_mut().take();
        let mut block = block.unwrap_or_else(|| Box::pin(None));
        block.as_mut().set(Some(make()));
        Running { block: Some(block), stock: Rc::clone(self) }
    }

    /// Frees some of the blocks that were not needed lately.
    pub fn trim(&self) {
        self.blocks.borrow_mut().trim();
    }
}

/// A future that runs in a block of a [`Stock`].
pub struct Running<F> {
    /// Gone when the future is done.
    block: Option<Pin<Box<Option<F>>>>,
    stock: Rc<Stock<F>>,
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
            running.stock.blocks.borrow_mut().put(block);
        }
        Poll::Ready(output)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_panic_ends_its_task_only() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut contained = std::pin::pin!(Contained { task: async { panic!("a fault of ours") } });
        assert_eq!(contained.as_mut().poll(&mut cx), Poll::Ready(()));
    }

    #[test]
    fn a_block_is_used_again() {
        let stock = Rc::new(Stock::default());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let mut running = std::pin::pin!(stock.run(|| std::future::ready(7)));
            assert_eq!(running.as_mut().poll(&mut cx), Poll::Ready(7));
            assert_eq!(stock.blocks.borrow().len(), 1);
        }
    }
}
