//! What of a host's limits, kernel and CPUs is in the way.

use crate::control::doctor::finding::Finding;
use crate::control::doctor::host::HostFacts;
use crate::control::doctor::host::Needs;
use crate::telemetry::words::counted;

/// The oldest kernel whose io_uring has everything that workers ask for.
const WHOLE_IO_URING: (u32, u32) = (6, 1);

/// The oldest kernel that is looked after and has what the fallback driver needs.
const LEAST_KERNEL: (u32, u32) = (5, 10);

/// Fewer clients than this is a limit that nobody has chosen.
const FEW_CONNECTIONS: u64 = 10_000;

/// What is wanted of rings, of descriptors, of the clock and of CPUs.
pub fn judge(facts: &HostFacts, needs: &Needs) -> Vec<Finding> {
    let found = [
        kernel(facts),
        ring_switch(facts),
        ring(facts, needs),
        locked_memory(facts, needs),
        descriptors(facts, needs),
    ];
    let others = [clock(facts), huge_pages(facts), quota(facts, needs), crowd(facts, needs)];
    found.into_iter().chain(others).flatten().collect()
}

fn kernel(facts: &HostFacts) -> Option<Finding> {
    let (major, minor) = facts.kernel?;
    let message = |what: &str| format!("Linux {major}.{minor} {what}");
    match (major, minor) {
        version if version < LEAST_KERNEL => {
            let cure = "install a kernel of 6.1 or newer (Debian: apt-get install linux-image-amd64)";
            Some(Finding::warning("kernel", message("is older than 5.10, the oldest that is tested"), cure))
        }
        version if version < WHOLE_IO_URING => {
            let what = "lacks flags of io_uring that save CPU time (DEFER_TASKRUN and others, since 6.1)";
            Some(Finding::note("kernel", message(what), "install a kernel of 6.1 or newer"))
        }
        _ => None,
    }
}

fn ring_switch(facts: &HostFacts) -> Option<Finding> {
    let cure = "sysctl -w kernel.io_uring_disabled=0, and the same in /etc/sysctl.d/";
    match facts.io_uring_disabled? {
        0 => None,
        1 => {
            let message = "kernel.io_uring_disabled is 1: only members of kernel.io_uring_group have rings";
            let cure = "sysctl -w kernel.io_uring_group=$(id -g ringway), and the same in /etc/sysctl.d/";
            Some(Finding::note("io_uring_disabled", message, cure))
        }
        _ => Some(Finding::warning(
            "io_uring_disabled",
            "kernel.io_uring_disabled is 2: workers run on epoll, which takes more CPU time",
            cure,
        )),
    }
}

fn ring(facts: &HostFacts, needs: &Needs) -> Option<Finding> {
    let refusal = facts.ring.refusal.as_ref()?;
    let (reason, cure) = refusal.split_once("; ").unwrap_or((refusal, "see docs/troubleshooting.md"));
    let message = format!("there are no rings of io_uring for this user: {reason}");
    Some(match needs.wants_ring {
        true => Finding::error("io_uring", message, format!("{cure}; or write io_driver = \"auto\"")),
        false => Finding::warning("io_uring", format!("{message}; workers run on epoll"), cure),
    })
}

fn locked_memory(facts: &HostFacts, needs: &Needs) -> Option<Finding> {
    // The health checker has one, too.
    let rings = needs.workers + 1;
    let room = facts.ring.room.filter(|room| *room < rings)?;
    let message = format!(
        "rings count as locked memory, and there is room for {room} of {rings} in full size; they are smaller then"
    );
    let cure = "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited as root";
    Some(Finding::warning("memlock", message, cure))
}

fn descriptors(facts: &HostFacts, needs: &Needs) -> Option<Finding> {
    let limit = facts.descriptors?;
    let clients = needs.clients_within(limit);
    let cure = "LimitNOFILE=1048576 in the unit, or ulimit -Hn 1048576 as root";
    match needs.connections {
        Some(wanted) if wanted > clients => {
            let message = format!(
                "max_connections is {wanted}, and a limit of {limit} descriptors allows {clients} clients"
            );
            Some(Finding::warning("nofile", message, cure))
        }
        None if clients < FEW_CONNECTIONS => {
            let message = format!("a limit of {limit} descriptors allows {clients} clients at a time");
            Some(Finding::warning("nofile", message, cure))
        }
        _ => None,
    }
}

fn clock(facts: &HostFacts) -> Option<Finding> {
    if facts.is_clock_synchronised? {
        return None;
    }
    let message =
        "the clock is not synchronised: certificates and tickets of others seem expired, or not valid yet";
    Some(Finding::warning("clock", message, "timedatectl set-ntp true, or apt-get install chrony"))
}

fn huge_pages(facts: &HostFacts) -> Option<Finding> {
    (facts.huge_pages.as_deref()? == "always").then(|| {
        let message =
            "transparent huge pages are on for everybody: memory of idle connections is given back late";
        let cure = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
        Finding::note("huge_pages", message, cure)
    })
}

fn quota(facts: &HostFacts, needs: &Needs) -> Option<Finding> {
    let thousandths = facts.cpu_quota?;
    let busy = thousandths.div_ceil(1_000).max(1);
    (busy < needs.workers).then(|| {
        let message = format!(
            "the control group grants {}.{:03} CPUs, and there are {} workers: all of them stop for the rest of each period \
             once it is used up",
            thousandths / 1_000,
            thousandths % 1_000,
            needs.workers
        );
        Finding::warning("cpu_quota", message, format!("workers = \"auto\" or {busy}, or a larger CPUQuota="))
    })
}

/// With more workers than this for each CPU, they wait for each other instead of for clients.
const MANY_WORKERS_PER_CPU: u64 = 2;

fn crowd(facts: &HostFacts, needs: &Needs) -> Option<Finding> {
    let cpus = facts.usable_cpus?.max(1);
    (needs.workers > cpus * MANY_WORKERS_PER_CPU).then(|| {
        let message = format!(
            "there are {} workers for {}: they share CPUs, each has memory of its own, and one that waits for its CPU \
             keeps its clients waiting",
            needs.workers,
            counted(cpus as usize, "CPU")
        );
        Finding::warning("workers", message, format!("workers = \"auto\" or {cpus}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::doctor::host::RingFacts;

    fn needs() -> Needs {
        Needs {
            workers: 4,
            pin: true,
            listening: 4,
            connections: None,
            groups: Vec::new(),
            wants_ring: false,
        }
    }

    /// The checks that find something, with how bad it is.
    fn found(facts: HostFacts, needs: &Needs) -> Vec<(&'static str, &'static str)> {
        judge(&facts, needs).iter().map(|found| (found.check, found.severity.as_str())).collect()
    }

    #[test]
    fn a_host_of_which_nothing_is_known_or_that_is_good_has_no_findings() {
        assert_eq!(found(HostFacts::default(), &needs()), []);
        let good = HostFacts {
            kernel: Some((6, 1)),
            ring: RingFacts { refusal: None, room: Some(5) },
            io_uring_disabled: Some(0),
            descriptors: Some(1_048_576),
            is_clock_synchronised: Some(true),
            huge_pages: Some("madvise".to_owned()),
            cpu_quota: Some(3_500),
            usable_cpus: Some(2),
            ..HostFacts::default()
        };
        assert_eq!(found(good, &needs()), []);
    }

    #[test]
    fn each_limit_is_found() {
        let cases = [
            (HostFacts { kernel: Some((4, 19)), ..HostFacts::default() }, ("kernel", "warning")),
            (HostFacts { kernel: Some((5, 15)), ..HostFacts::default() }, ("kernel", "note")),
            (HostFacts { io_uring_disabled: Some(1), ..HostFacts::default() }, ("io_uring_disabled", "note")),
            (
                HostFacts { io_uring_disabled: Some(2), ..HostFacts::default() },
                ("io_uring_disabled", "warning"),
            ),
            (HostFacts { descriptors: Some(1_024), ..HostFacts::default() }, ("nofile", "warning")),
            (HostFacts { is_clock_synchronised: Some(false), ..HostFacts::default() }, ("clock", "warning")),
            (
                HostFacts { huge_pages: Some("always".to_owned()), ..HostFacts::default() },
                ("huge_pages", "note"),
            ),
            (HostFacts { usable_cpus: Some(1), ..HostFacts::default() }, ("workers", "warning")),
            (HostFacts { cpu_quota: Some(1_500), ..HostFacts::default() }, ("cpu_quota", "warning")),
        ];
        for (facts, expected) in cases {
            assert_eq!(found(facts, &needs()), [expected]);
        }
    }

    #[test]
    fn what_the_configuration_wants_counts() {
        let refused = RingFacts { refusal: Some("Operation not permitted; allow it".to_owned()), room: None };
        let facts = HostFacts { ring: refused, descriptors: Some(20_000), ..HostFacts::default() };
        assert_eq!(found(facts.clone(), &needs()), [("io_uring", "warning")]);
        let wanting = Needs { wants_ring: true, connections: Some(20_000), ..needs() };
        assert_eq!(found(facts.clone(), &wanting), [("io_uring", "error"), ("nofile", "warning")]);
        assert_eq!(judge(&facts, &wanting)[0].cure, "allow it; or write io_driver = \"auto\"");
        let tight = HostFacts { ring: RingFacts { refusal: None, room: Some(4) }, ..HostFacts::default() };
        assert_eq!(found(tight, &needs()), [("memlock", "warning")]);
    }
}
