//! Tasks of a worker, and a stock of futures so that a request on a warm worker allocates nothing.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// Starts a task on this worker. It runs to its end; nobody waits for it.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(task));
}

/// How many unused blocks are kept; the rest returns to the allocator.
const KEPT: usize = 256;

/// Memory for futures of one type, used again and again.
///
/// An idle connection must be small, yet serving a request takes a future of some KiB. So the
/// connection's own task is small, and the large future lives in a block of this stock while a
/// request is served.
pub struct Stock<F> {
    blocks: RefCell<Vec<Pin<Box<Option<F>>>>>,
}

impl<F> Default for Stock<F> {
    fn default() -> Stock<F> {
        Stock { blocks: RefCell::new(Vec::new()) }
    }
}

impl<F: Future> Stock<F> {
    /// Runs `future` in a block of the stock.
    pub async fn run(self: Rc<Stock<F>>, future: F) -> F::Output {
        let block = self.blocks.borrow_mut().pop();
        let mut block = block.unwrap_or_else(|| Box::pin(None));
        block.as_mut().set(Some(future));
        let output = match block.as_mut().as_pin_mut() {
            Some(future) => future.await,
            None => unreachable!("the block was filled above"),
        };
        block.as_mut().set(None);
        let mut blocks = self.blocks.borrow_mut();
        if blocks.len() < KEPT {
            blocks.push(block);
        }
        output
    }
}
