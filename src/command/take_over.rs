//! The process before, if there is one that hands over to this one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::control::build::binding::Binding;
use crate::control::handover::inheritance::Inheritance;
use crate::control::handover::inheritance::Predecessor;
use crate::control::reload::Command;
use crate::runtime::plan::Settle;

/// How long workers may take to get their sockets.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The process before, until it has handed over or this one has given up.
#[derive(Clone, Default)]
pub(super) struct TakeOver(Rc<RefCell<Option<Predecessor>>>);

impl TakeOver {
    pub(super) fn from(predecessor: Predecessor) -> TakeOver {
        TakeOver(Rc::new(RefCell::new(Some(predecessor))))
    }

    /// Whether somebody hands over.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Tells the process before why it has to go on.
    pub(super) fn give_up(&self, reason: &str) {
        if let Some(predecessor) = self.0.take() {
            predecessor.refuse(reason.trim_end());
        }
    }

    /// What is handed over; nothing if nobody hands over.
    ///
    /// # Errors
    /// The process before has changed its mind.
    pub(super) fn inherit(&self) -> Result<Inheritance, String> {
        match &mut *self.0.borrow_mut() {
            Some(predecessor) => predecessor.take_over(),
            None => Ok(Inheritance::default()),
        }
    }

    /// What is to be done once all workers accept at these addresses.
    pub(super) fn settle(
        &self,
        (bindings, warnings): (Vec<Binding>, String),
        commands: Sender<Command>,
    ) -> Option<Settle> {
        let predecessor = Rc::clone(&self.0);
        let settle = move || {
            let predecessor = predecessor.take().ok_or("the process before is gone")?;
            let (generation, sessions) = predecessor.ready(&bindings, warnings)?;
            let (done, accepting) = mpsc::channel();
            if commands.send(Command::Accept { sessions, done }).is_ok() {
                // The thread that reloads has nothing else to do yet.
                accepting.recv_timeout(ACCEPT_TIMEOUT).unwrap_or_default();
            }
            let follow = move || {
                generation.tell_settled();
                // The thread that reloads lives as long as the process.
                drop(commands.send(Command::Follow(generation)));
            };
            Ok(Box::new(follow) as Box<dyn FnOnce()>)
        };
        self.is_under_way().then(|| Box::new(settle) as Settle)
    }
}
