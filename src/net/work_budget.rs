//! Costly steps, a bounded share per turn of the loop, so that they cannot starve everything else.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use crate::net::task;
use crate::net::wait_queue::WaitQueue;
use crate::net::wake::YieldToKernel;

/// Lets tasks take steps until these cost `per_turn`; then a turn of the loop, with its input and
/// output, comes first. Tasks that wait go on in the order of their arrival. Cloning gives another hold on the same budget.
#[derive(Clone)]
pub struct WorkBudget {
    inner: Rc<BudgetState>,
}

struct BudgetState {
    per_turn: usize,
    /// What steps may still cost before the next turn.
    left: Cell<usize>,
    /// Each task brought what its step costs.
    queue: WaitQueue<usize, ()>,
    /// A task is at work that lets the queue go on.
    reopening: Cell<bool>,
    kernel: YieldToKernel,
}

impl WorkBudget {
    /// To be called on the worker's thread.
    pub fn new(per_turn: usize) -> io::Result<WorkBudget> {
        let inner = BudgetState {
            per_turn,
            left: Cell::new(per_turn),
            queue: WaitQueue::default(),
            reopening: Cell::new(false),
            kernel: YieldToKernel::new()?,
        };
        Ok(WorkBudget { inner: Rc::new(inner) })
    }

    /// Waits until a step of this cost may be taken. A future that is dropped gives its place up.
    pub async fn acquire(&self, cost: usize) {
        let left = self.inner.left.get();
        if left > 0 && self.inner.queue.is_empty() {
            self.inner.left.set(left.saturating_sub(cost));
            return;
        }
        let admitted = self.inner.queue.wait(cost);
        if !self.inner.reopening.replace(true) {
            task::spawn(Rc::clone(&self.inner).reopen());
        }
        admitted.await;
    }
}

impl BudgetState {
    /// Lets the first of the queue go on, turn by turn, until it is empty.
    async fn reopen(self: Rc<BudgetState>) {
        while !self.queue.is_empty() {
            self.kernel.wait().await;
            self.left.set(self.per_turn);
            self.admit();
        }
        self.reopening.set(false);
    }

    fn admit(&self) {
        while self.left.get() > 0 {
            let Some(cost) = self.queue.first() else { return };
            self.left.set(self.left.get().saturating_sub(cost));
            self.queue.call_next(());
        }
    }
}
