//! The threads that verify passwords.

use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;

use crate::worker::password_checks::MAX_WAITING_PASSWORDS;
use crate::worker::password_checks::PasswordJob;

/// Workers for which one thread verifies. People log in seldom, and what was verified is remembered for a minute.
const WORKERS_PER_THREAD: usize = 4;

/// The most threads.
const MAX_THREADS: usize = 4;

/// How much they give way to workers, which share their CPUs: half of what there is.
const NICENESS: i32 = 10;

/// Starts the threads; they live as long as the process. Returns where jobs are left for each of them.
pub(super) fn start(workers: usize) -> io::Result<Vec<SyncSender<PasswordJob>>> {
    let threads = workers.div_ceil(WORKERS_PER_THREAD).clamp(1, MAX_THREADS);
    let start = |number| {
        let (sender, receiver) = sync_channel(MAX_WAITING_PASSWORDS);
        let name = format!("passwords-{number}");
        std::thread::Builder::new().name(name).spawn(move || verify_for_ever(&receiver))?;
        Ok(sender)
    };
    (0..threads).map(start).collect()
}

fn verify_for_ever(jobs: &Receiver<PasswordJob>) {
    // SAFETY: the call takes no pointers; 0 is the calling thread. Where it is not allowed, the system shares evenly.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    while let Ok(job) = jobs.recv() {
        // Who waits for a job that panicked gives up in time; the others are verified.
        drop(catch_unwind(AssertUnwindSafe(|| job.run())));
    }
}
