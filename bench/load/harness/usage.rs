//! What a proxy has used: CPU time and memory, summed over its processes, from /proc.

use std::fs;
use std::ops::Sub;

/// CPU time in microseconds.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
}

impl CpuTime {
    pub(crate) fn total_us(self) -> f64 {
        self.user_us + self.system_us
    }
}

impl Sub for CpuTime {
    type Output = CpuTime;

    fn sub(self, earlier: CpuTime) -> CpuTime {
        CpuTime { user_us: self.user_us - earlier.user_us, system_us: self.system_us - earlier.system_us }
    }
}

/// The process and all its descendants; nginx works in a child, the others in the process itself.
pub(crate) fn family(id: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = numbered_processes().filter_map(|id| Some((id, parent_of(id)?))).collect();
    let mut members = vec![id];
    let mut next = 0;
    while let Some(&parent) = members.get(next) {
        members
            .extend(parents.iter().filter(|(_, its_parent)| *its_parent == parent).map(|(child, _)| child));
        next += 1;
    }
    members
}

/// User and system time of all threads of a process family; ended threads count too.
pub(crate) fn cpu_time(family: &[u32]) -> CpuTime {
    sum_of_stats(family.iter().map(|id| format!("/proc/{id}")))
}

/// The same of the threads with this name, as long as they live.
pub(crate) fn cpu_time_of_threads(family: &[u32], name: &str) -> CpuTime {
    let threads = family.iter().flat_map(|id| fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten());
    let folders = threads.flatten().map(|entry| entry.path().display().to_string());
    let is_named = |folder: &String| {
        fs::read_to_string(format!("{folder}/comm")).is_ok_and(|found| found.trim_end() == name)
    };
    sum_of_stats(folders.filter(is_named))
}

/// CPU time in the stat files of these folders of /proc.
fn sum_of_stats(folders: impl Iterator<Item = String>) -> CpuTime {
    // SAFETY: sysconf takes no pointer.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let us_per_tick = 1e6 / ticks_per_second as f64;
    let mut sum = CpuTime::default();
    for folder in folders {
        // proc(5): utime and stime are fields 14 and 15, the parent is field 4.
        let Some(fields) = stat_after_name(&folder) else { continue };
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        sum.user_us += ticks(11) * us_per_tick;
        sum.system_us += ticks(12) * us_per_tick;
    }
    sum
}

/// Anonymous memory of a process family in bytes; pages shared between processes count once.
pub(crate) fn anonymous_bytes(family: &[u32]) -> u64 {
    family.iter().map(|id| field_bytes(&format!("/proc/{id}/smaps_rollup"), "Pss_Anon:")).sum()
}

/// Memory that the kernel of the whole machine holds in slabs and socket buffers, in bytes.
pub(crate) fn kernel_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages = sockets
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .and_then(|line| line.split_once(" mem "))
        .and_then(|(_, pages)| pages.trim().parse::<u64>().ok())
        .unwrap_or(0);
    field_bytes("/proc/meminfo", "Slab:") + pages * PAGE_BYTES
}

/// A line such as `Slab:   123 kB` of a file of /proc.
fn field_bytes(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}

fn numbered_processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent_of(id: u32) -> Option<u32> {
    stat_after_name(&format!("/proc/{id}"))?.get(1)?.parse().ok()
}

/// The fields of a stat file from the third on: the name before them may hold spaces and brackets.
fn stat_after_name(folder: &str) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::{CpuTime, anonymous_bytes, cpu_time, cpu_time_of_threads, family};

    #[test]
    fn a_process_sees_its_own_usage() {
        let own = family(std::process::id());
        assert_eq!(own.first(), Some(&std::process::id()));
        let mut sum = 0_u64;
        for value in 0..200_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(value));
        }
        assert!(cpu_time(&own).total_us() > 0.0, "{sum}");
        assert!(anonymous_bytes(&own) > 0);
    }

    #[test]
    fn threads_are_found_by_their_names() {
        let own = [std::process::id()];
        let spin = || {
            let sum =
                (0..200_000_000_u64).fold(0, |sum: u64, value| std::hint::black_box(sum.wrapping_add(value)));
            (sum, cpu_time_of_threads(&own, "spinner"))
        };
        let spinner = std::thread::Builder::new().name("spinner".to_owned());
        let (sum, time) =
            std::thread::scope(|scope| spinner.spawn_scoped(scope, spin).unwrap().join().unwrap());
        assert!(time.total_us() > 0.0, "{sum}");
        assert_eq!(cpu_time_of_threads(&own, "nobody"), CpuTime::default());
    }
}
