//! Passwords on their way to the threads that verify them: a worker never does, because that takes a hundred times as
//! long as a request.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use crate::net::wait_queue::WaitQueue;
use crate::net::wake::Doorbell;
use crate::net::wake::Wakeups;
use crate::snapshot::gates::Htpasswd;
use crate::snapshot::gates::LoginPair;
use crate::snapshot::gates::VerifiedPairs;

/// Passwords that wait for one thread to verify them. At 50 ms for each, the last one waits for some seconds; who comes
/// after that is told to come again.
pub const MAX_WAITING_PASSWORDS: usize = 128;

const PENDING: u8 = 0;
const RIGHT: u8 = 1;
const WRONG: u8 = 2;

/// A password to verify.
pub struct PasswordJob {
    users: Arc<Htpasswd>,
    pair: LoginPair,
    outcome: Arc<AtomicU8>,
    bell: Doorbell,
}

impl PasswordJob {
    /// Verifies it, unless nobody waits for that any more, and tells the worker.
    pub fn run(self) {
        if Arc::strong_count(&self.outcome) > 1 {
            let outcome = if self.users.knows(&self.pair) { RIGHT } else { WRONG };
            self.outcome.store(outcome, Ordering::Release);
            self.bell.ring();
        }
    }
}

/// What came of verifying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordVerdict {
    Right,
    Wrong,
    /// Too many others wait.
    Busy,
}

/// A worker's end.
pub struct PasswordChecks {
    jobs: SyncSender<PasswordJob>,
    bell: Doorbell,
    waiting: WaitQueue<(), ()>,
    verified: RefCell<VerifiedPairs>,
}

impl PasswordChecks {
    pub(super) fn new(jobs: SyncSender<PasswordJob>) -> io::Result<PasswordChecks> {
        let bell = Doorbell::new()?;
        Ok(PasswordChecks { jobs, bell, waiting: WaitQueue::default(), verified: RefCell::default() })
    }

    /// What wakes the worker when something was verified; to be called on its thread.
    pub fn listen(&self) -> io::Result<Wakeups> {
        self.bell.listen()
    }

    /// Lets all who wait look whether it was theirs.
    pub fn wake(&self) {
        self.waiting.call_all(());
    }

    /// Whether the pair was verified a moment ago. `now` is in seconds.
    pub fn knows(&self, pair: &LoginPair, users: &Htpasswd, now: u64) -> bool {
        let mut verified = self.verified.borrow_mut();
        verified.tag(pair, users).is_some_and(|tag| verified.contains(tag, now))
    }

    /// Has a pair verified, and remembers it if it is right.
    pub async fn verify(&self, pair: &LoginPair, users: &Arc<Htpasswd>, now: u64) -> PasswordVerdict {
        let outcome = Arc::new(AtomicU8::new(PENDING));
        let job = PasswordJob {
            users: Arc::clone(users),
            pair: pair.clone(),
            outcome: Arc::clone(&outcome),
            bell: self.bell.clone(),
        };
        if self.jobs.try_send(job).is_err() {
            return PasswordVerdict::Busy;
        }
        loop {
            match outcome.load(Ordering::Acquire) {
                PENDING => self.waiting.wait(()).await,
                RIGHT => {
                    let mut verified = self.verified.borrow_mut();
                    if let Some(tag) = verified.tag(pair, users) {
                        verified.insert(tag, now);
                    }
                    return PasswordVerdict::Right;
                }
                _ => return PasswordVerdict::Wrong,
            }
        }
    }
}
