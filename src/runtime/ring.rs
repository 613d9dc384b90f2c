//! The io_uring of a worker: which flags the kernel grants, and what to do when it grants none.

use std::io;
use std::time::Duration;

use io_uring::Builder;
use io_uring::IoUring;
use monoio::IoUringDriver;
use monoio::LegacyDriver;
use monoio::RuntimeBuilder;

use crate::control::doctor::host::RingFacts;
use crate::net::event_loop::EventLoop;
use crate::runtime::ring_restrictions::restricted;

/// Completions may outnumber submissions: each connection has one operation in flight for long.
const COMPLETIONS_PER_SUBMISSION: u32 = 4;

/// The most that the kernel allows (IORING_MAX_CQ_ENTRIES).
const MAX_COMPLETIONS: u32 = 65_536;

/// The smallest ring that is tried where memory is short, as for the configuration.
const LEAST_ENTRIES: u32 = 256;

/// What the kernel locks for one submission and one completion.
const SUBMISSION_BYTES: u64 = 64 + 4;
const COMPLETION_BYTES: u64 = 16;
/// Areas of memory that a ring has, each of whole pages: submissions, and both queues.
const AREAS: u64 = 2;

/// The kernel gives the memory of rings back a moment after their process has ended: how often and after which
/// pause a ring of the size that is wanted is tried again.
const MEMORY_TRIES: u32 = 4;
const MEMORY_PAUSE: Duration = Duration::from_millis(50);

/// Which driver the operator asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring, or epoll with a warning where io_uring is forbidden.
    Auto,
    IoUring,
    Epoll,
}

/// A driver that was set up, and how it is to be described to the operator.
pub(super) struct Chosen {
    pub(super) driver: EventLoop,
    pub(super) description: String,
    pub(super) warning: Option<String>,
}

const MEMORY_CURE: &str =
    "memory may not be locked: raise LimitMEMLOCK= (ulimit -l) or lower process.ring_entries";

/// Entries of a worker's ring unless the configuration says otherwise.
const DEFAULT_ENTRIES: u32 = 4_096;

/// Entries of the ring with which it is found out what the kernel grants.
const PROBE_ENTRIES: u32 = 8;

/// How a ring that takes only what workers submit is described, and one of a kernel that does not go along with that.
const RESTRICTED: &str = "restricted";
const UNRESTRICTED: &str = "not restricted to operations in use";

/// Flags as the operator knows them, and how to ask for them.
type Flags = (&'static str, fn(&mut Builder));

/// The flags to try, best first. COOP_TASKRUN runs completions when the worker enters the kernel instead of interrupting
/// it; measured, it is worth about a fifth of a request's cost. DEFER_TASKRUN costs the same, but Linux 6.18 then runs
/// twenty completions at a time, and with thousands of busy connections some of them wait for seconds.
const FLAG_FALLBACKS: [Flags; 3] = [
    ("SINGLE_ISSUER, COOP_TASKRUN", |builder| {
        builder.setup_single_issuer().setup_coop_taskrun();
    }),
    ("COOP_TASKRUN", |builder| {
        builder.setup_coop_taskrun();
    }),
    ("no flags", |_| ()),
];

/// Sets up the calling thread's driver. Where memory is short, smaller rings are tried before epoll. The error
/// is a sentence with its fix.
pub(super) fn choose(wanted: DriverChoice, entries: Entries) -> Result<Chosen, String> {
    if wanted == DriverChoice::Epoll {
        return epoll(None);
    }
    match ring_that_fits(entries.share) {
        Ok((GrantedRing { driver, flags, restriction }, granted)) => {
            let description = format!("io_uring ({flags}; {granted} entries; {restriction})");
            let warning = (granted < entries.wanted).then(|| {
                let wanted = entries.wanted;
                format!("rings have {granted} entries instead of {wanted}: {MEMORY_CURE}")
            });
            Ok(Chosen { driver, description, warning })
        }
        Err(error) => {
            let text = format!("io_uring cannot be used: {error}; {}", fix(&error));
            if wanted == DriverChoice::IoUring {
                Err(text)
            } else {
                epoll(Some(format!("{text}; using epoll")))
            }
        }
    }
}

/// The largest ring of at most so many entries for which there is memory.
fn ring_that_fits(entries: u32) -> io::Result<(GrantedRing, u32)> {
    let mut entries = entries;
    let mut tries = 0;
    loop {
        let refusal = match ring(entries) {
            Ok(granted) => return Ok((granted, entries)),
            Err(error) => error,
        };
        let is_short = refusal.raw_os_error() == Some(libc::ENOMEM);
        tries += 1;
        if is_short && tries <= MEMORY_TRIES {
            std::thread::sleep(MEMORY_PAUSE);
        } else if is_short && entries > LEAST_ENTRIES {
            entries = (entries / 2).max(LEAST_ENTRIES);
        } else {
            return Err(refusal);
        }
    }
}

/// The size of rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entries {
    /// As configured.
    wanted: u32,
    /// What each may have, so that there is memory for all.
    share: u32,
}

impl Entries {
    /// For so many rings of `wanted` entries each. To be asked before other threads make rings.
    pub(super) fn of(wanted: u32, rings: usize, driver: DriverChoice) -> Entries {
        let limit = match driver {
            DriverChoice::Epoll => None,
            _ => locked_memory().filter(|_| counts_as_locked()),
        };
        let share = limit.map_or(wanted, |bytes| share(wanted, bytes / rings.max(1) as u64));
        Entries { wanted, share }
    }

    pub(super) fn exactly(wanted: u32) -> Entries {
        Entries { wanted, share: wanted }
    }
}

/// The largest ring, halving `wanted`, that takes at most so many bytes.
fn share(wanted: u32, bytes: u64) -> u32 {
    let mut entries = wanted;
    while entries > LEAST_ENTRIES && ring_bytes(entries) > bytes {
        entries = (entries.next_power_of_two() / 2).max(LEAST_ENTRIES);
    }
    entries
}

fn completions(entries: u32) -> u32 {
    entries.next_power_of_two().saturating_mul(COMPLETIONS_PER_SUBMISSION).min(MAX_COMPLETIONS)
}

/// What a ring locks.
fn ring_bytes(entries: u32) -> u64 {
    u64::from(entries.next_power_of_two()) * SUBMISSION_BYTES
        + u64::from(completions(entries)) * COMPLETION_BYTES
        + AREAS * page_bytes()
}

/// The size of a page, which is 4, 16 or 64 KiB on arm64.
fn page_bytes() -> u64 {
    // SAFETY: sysconf reads a number and touches no memory of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(MAX_PAGE_BYTES).min(MAX_PAGE_BYTES)
}

/// The largest pages that Linux has for small areas of memory.
const MAX_PAGE_BYTES: u64 = 64 * 1_024;

/// Raises the soft limit of locked memory to the hard one and returns it in bytes; None: there is none.
fn locked_memory() -> Option<u64> {
    let mut limit = memory_limit()?;
    limit.rlim_cur = limit.rlim_max;
    set_memory_limit(&limit);
    memory_limit().map(|limit| limit.rlim_cur).filter(|bytes| *bytes != libc::RLIM_INFINITY)
}

/// Whether rings count as locked memory, which depends on the kernel and on the privileges of this process: a
/// ring is asked for while nothing may be locked.
fn counts_as_locked() -> bool {
    let Some(limit) = memory_limit() else { return false };
    set_memory_limit(&libc::rlimit { rlim_cur: 0, ..limit });
    let refusal = IoUring::new(PROBE_ENTRIES).err();
    set_memory_limit(&limit);
    refusal.is_some_and(|error| error.raw_os_error() == Some(libc::ENOMEM))
}

fn memory_limit() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call.
    (unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0).then_some(limit)
}

/// A failure leaves the limit as it was.
fn set_memory_limit(limit: &libc::rlimit) {
    // SAFETY: `limit` is valid for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, limit) };
}

/// A ring that the kernel granted, and how it is to be described.
struct GrantedRing {
    driver: EventLoop,
    flags: &'static str,
    restriction: &'static str,
}

fn ring(entries: u32) -> io::Result<GrantedRing> {
    let mut refusal = io::ErrorKind::Unsupported.into();
    for (flags, set) in FLAG_FALLBACKS {
        let build = |builder: &mut Builder| {
            builder.setup_cqsize(completions(entries));
            set(builder);
            let runtime = RuntimeBuilder::<IoUringDriver>::new().with_entries(entries);
            runtime.uring_builder(builder.clone()).build()
        };
        for restriction in [RESTRICTED, UNRESTRICTED] {
            let attempt = match restriction {
                RESTRICTED => restricted(|| build(IoUring::builder().setup_r_disabled())),
                _ => build(&mut IoUring::builder()),
            };
            match attempt {
                Ok(runtime) => {
                    return Ok(GrantedRing {
                        driver: EventLoop::Ring(Box::new(runtime)),
                        flags,
                        restriction,
                    });
                }
                // Other flags need no less memory.
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => return Err(error),
                // An older kernel does not know the flags; the next attempt asks for less.
                Err(error) => refusal = error,
            }
        }
    }
    Err(refusal)
}

fn epoll(warning: Option<String>) -> Result<Chosen, String> {
    match RuntimeBuilder::<LegacyDriver>::new().build() {
        Ok(runtime) => {
            let driver = EventLoop::Epoll(Box::new(runtime));
            Ok(Chosen { driver, description: "epoll".to_owned(), warning })
        }
        Err(error) => {
            Err(format!("epoll cannot be used: {error}; raise the descriptor limit (LimitNOFILE=)"))
        }
    }
}

fn fix(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => {
            "it is forbidden here: see sysctl kernel.io_uring_disabled, or the seccomp profile of the container"
        }
        Some(libc::ENOMEM) => MEMORY_CURE,
        Some(libc::ENOSYS) => "this kernel has none: Linux 5.11 or newer is needed",
        Some(libc::EMFILE | libc::ENFILE) => "raise the descriptor limit (LimitNOFILE=)",
        _ => "set io_driver = \"epoll\" to do without",
    }
}

/// What this kernel grants, for `ringway version -v`.
pub fn abilities() -> String {
    let granted = FLAG_FALLBACKS.iter().find(|(_, set)| {
        let mut builder = IoUring::builder();
        set(&mut builder);
        builder.build(PROBE_ENTRIES).is_ok()
    });
    match granted {
        Some((flags, set)) => {
            let disabled = || {
                let mut builder = IoUring::builder();
                set(&mut builder);
                builder.setup_r_disabled().build(PROBE_ENTRIES)
            };
            let restriction = match restricted(disabled) {
                Ok(_) => RESTRICTED.to_owned(),
                Err(error) => format!("{UNRESTRICTED}: {error}"),
            };
            format!("available ({flags}; {restriction}); {}", memory_for_rings())
        }
        None => {
            let error = IoUring::new(PROBE_ENTRIES).err().unwrap_or_else(io::Error::last_os_error);
            format!("not available: {error}; {}", fix(&error))
        }
    }
}

/// Whether there are rings of io_uring, and how many of this size.
pub fn ring_facts(entries: Option<u32>) -> RingFacts {
    let refusal = IoUring::new(PROBE_ENTRIES).err().map(|error| format!("{error}; {}", fix(&error)));
    let room = locked_memory().filter(|_| refusal.is_none() && counts_as_locked());
    RingFacts { refusal, room: room.map(|bytes| bytes / ring_bytes(entries.unwrap_or(DEFAULT_ENTRIES))) }
}

/// How many rings may be had, as far as locked memory is concerned.
fn memory_for_rings() -> String {
    let of_default = |bytes: u64| bytes / ring_bytes(DEFAULT_ENTRIES);
    match locked_memory().filter(|_| counts_as_locked()) {
        None => "rings do not count as locked memory here".to_owned(),
        Some(bytes) => format!(
            "rings count as locked memory, of which the user of this process may have {} KiB: room for {} rings of \
             {DEFAULT_ENTRIES} entries; for more, raise LimitMEMLOCK= (ulimit -l)",
            bytes / 1024,
            of_default(bytes)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_share_what_memory_there_is() {
        // 16 workers and the health checker within the limit that distributions set.
        assert_eq!(share(4_096, (8 << 20) / 17), 2_048);
        assert_eq!(share(4_096, (8 << 20) / 65), 512);
        assert_eq!(share(4_096, 0), LEAST_ENTRIES);
        assert_eq!(share(4_096, 8 << 20), 4_096);
        // The kernel rounds up to a power of two.
        assert_eq!(share(5_000, ring_bytes(4_096)), 4_096);
    }

    #[test]
    fn rings_are_rounded_up_to_pages_of_the_system() {
        let said = std::process::Command::new("getconf").arg("PAGESIZE").output();
        let said = said.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
        assert_eq!(said.unwrap_or(page_bytes()), page_bytes());
        assert!(page_bytes().is_power_of_two() && page_bytes() >= 4_096);
        // Submissions and completions of the default, and as much as two areas may be rounded up by.
        assert_eq!(ring_bytes(4_096), 4_096 * 68 + 16_384 * 16 + 2 * page_bytes());
    }

    #[test]
    fn the_largest_ring_is_within_what_the_kernel_allows() {
        assert_eq!((completions(4_096), completions(5_000), completions(32_768)), (16_384, 32_768, 65_536));
    }

    #[test]
    fn the_drivers_ring_refuses_what_workers_do_not_submit() {
        use monoio::io::AsyncWriteRent as _;
        use monoio::net::UnixStream;

        let Ok(GrantedRing { mut driver, restriction: RESTRICTED, .. }) = ring(LEAST_ENTRIES) else {
            return eprintln!("skipped: the kernel grants no restricted ring");
        };
        driver.run(async {
            let (mut one, _other) = UnixStream::pair().unwrap();
            assert_eq!(one.write(b"as workers do").await.0.unwrap(), 13);
            let several = monoio::buf::VecBuf::from(vec![b"x".to_vec(), b"y".to_vec()]);
            let refusal = one.writev(several).await.0.unwrap_err();
            assert_eq!(refusal.raw_os_error(), Some(libc::EACCES));
            assert_eq!(one.write(b"and goes on").await.0.unwrap(), 11);
        });
    }
}
