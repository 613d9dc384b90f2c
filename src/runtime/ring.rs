//! The io_uring of a worker: which flags the kernel grants, and what to do when it grants none.

use std::future::Future;
use std::io;

use io_uring::Builder;
use io_uring::IoUring;
use monoio::IoUringDriver;
use monoio::LegacyDriver;
use monoio::Runtime;
use monoio::RuntimeBuilder;

/// Completions may outnumber submissions: each connection has one operation in flight for long.
const COMPLETIONS_PER_SUBMISSION: u32 = 4;

/// Which driver the operator asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// io_uring, or epoll with a warning where io_uring is forbidden.
    Auto,
    IoUring,
    Epoll,
}

/// A worker's loop.
pub(super) enum Driver {
    Ring(Box<Runtime<IoUringDriver>>),
    Epoll(Box<Runtime<LegacyDriver>>),
}

/// A driver that was set up, and how it is to be described to the operator.
pub(super) struct Chosen {
    pub(super) driver: Driver,
    pub(super) description: String,
    pub(super) warning: Option<String>,
}

/// Flags as the operator knows them, and how to ask for them.
type Rung = (&'static str, fn(&mut Builder));

/// The flags to try, best first. DEFER_TASKRUN runs completions when the worker asks for them
/// instead of interrupting it; measured, it is worth about a fifth of a request's cost.
const LADDER: [Rung; 3] = [
    ("SINGLE_ISSUER, DEFER_TASKRUN", |builder| {
        builder.setup_single_issuer().setup_defer_taskrun();
    }),
    ("COOP_TASKRUN", |builder| {
        builder.setup_coop_taskrun();
    }),
    ("no flags", |_| ()),
];

impl Driver {
    /// Runs the loop until `future` is done.
    pub(super) fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        match self {
            Driver::Ring(runtime) => runtime.block_on(future),
            Driver::Epoll(runtime) => runtime.block_on(future),
        }
    }
}

/// Sets up the calling thread's driver. The error is a sentence with its cure.
pub(super) fn choose(wanted: Wanted, entries: u32) -> Result<Chosen, String> {
    if wanted == Wanted::Epoll {
        return epoll(None);
    }
    match ring(entries) {
        Ok((driver, flags)) => {
            let description = format!("io_uring ({flags}; {entries} entries)");
            Ok(Chosen { driver, description, warning: None })
        }
        Err(error) => {
            let text = format!("io_uring cannot be used: {error}; {}", cure(&error));
            if wanted == Wanted::IoUring { Err(text) } else { epoll(Some(format!("{text}; using epoll"))) }
        }
    }
}

fn ring(entries: u32) -> io::Result<(Driver, &'static str)> {
    let mut refusal = io::ErrorKind::Unsupported.into();
    for (flags, set) in LADDER {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(entries.next_power_of_two().saturating_mul(COMPLETIONS_PER_SUBMISSION));
        set(&mut builder);
        let runtime =
            RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(builder).build();
        match runtime {
            Ok(runtime) => return Ok((Driver::Ring(Box::new(runtime)), flags)),
            // An older kernel does not know the flags; the next rung asks for less.
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn epoll(warning: Option<String>) -> Result<Chosen, String> {
    match RuntimeBuilder::<LegacyDriver>::new().build() {
        Ok(runtime) => {
            let driver = Driver::Epoll(Box::new(runtime));
            Ok(Chosen { driver, description: "epoll".to_owned(), warning })
        }
        Err(error) => {
            Err(format!("epoll cannot be used: {error}; raise the descriptor limit (LimitNOFILE=)"))
        }
    }
}

fn cure(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => {
            "it is forbidden here: see sysctl kernel.io_uring_disabled, or the seccomp profile of the container"
        }
        Some(libc::ENOMEM) => {
            "memory may not be locked: raise LimitMEMLOCK= (ulimit -l) or lower process.ring_entries"
        }
        Some(libc::ENOSYS) => "this kernel has none: Linux 5.11 or newer is needed",
        Some(libc::EMFILE | libc::ENFILE) => "raise the descriptor limit (LimitNOFILE=)",
        _ => "set io_driver = \"epoll\" to do without",
    }
}

/// What this kernel grants, for `ringway version -v`.
pub fn abilities() -> String {
    const PROBE_ENTRIES: u32 = 8;
    let granted = LADDER.iter().find(|(_, set)| {
        let mut builder = IoUring::builder();
        set(&mut builder);
        builder.build(PROBE_ENTRIES).is_ok()
    });
    match granted {
        Some((flags, _)) => format!("available ({flags})"),
        None => {
            let error = IoUring::new(PROBE_ENTRIES).err().unwrap_or_else(io::Error::last_os_error);
            format!("not available: {error}; {}", cure(&error))
        }
    }
}
