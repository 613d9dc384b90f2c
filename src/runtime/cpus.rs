//! The CPUs of this host, as far as they are ours: how many workers they are enough for, and what people are told.

use std::fs;
use std::path::Path;

use crate::runtime::cpu_quota::CpuQuota;
use crate::runtime::pin::usable_cpus;

/// Where the kernel tells of nodes of memory.
const NODES: &str = "/sys/devices/system/node";

/// Workers with `workers = "auto"`: one for each CPU that this process may use, but no more than the quota of its control
/// group keeps busy.
pub fn automatic_workers() -> usize {
    let quota = CpuQuota::of_process().map_or(usize::MAX, |quota| quota.workers());
    usable_cpus().len().min(quota).max(1)
}

/// CPUs that this process may run on.
pub fn usable_cpu_count() -> usize {
    usable_cpus().len()
}

/// What the control groups of this process grant it, in thousandths of a CPU; None: there is no limit.
pub fn granted_cpu_time() -> Option<u64> {
    CpuQuota::of_process().map(|quota| quota.thousandths())
}

/// What `ringway version -v` tells: lines with their names.
pub fn cpu_layout() -> [(&'static str, String); 4] {
    let usable = usable_cpus();
    let nodes = nodes_below(Path::new(NODES), &usable);
    let quota = CpuQuota::of_process().map_or_else(|| "none".to_owned(), |quota| quota.text());
    [
        ("cpus", format!("{} ({})", usable.len(), ranges(&usable))),
        ("cpu quota", quota),
        ("workers", format!("{} with workers = \"auto\"", automatic_workers())),
        ("numa", if nodes.is_empty() { "the kernel names no nodes".to_owned() } else { nodes.join("; ") }),
    ]
}

/// A sentence for each node, in the order of their numbers.
fn nodes_below(folder: &Path, usable: &[usize]) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok());
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    let sentence = |number: usize| {
        let list = fs::read_to_string(folder.join(format!("node{number}/cpulist"))).ok()?;
        let list = list.trim();
        let own: Vec<usize> = usable.iter().copied().filter(|cpu| is_within(*cpu, list)).collect();
        Some(match (list, own.len()) {
            ("", _) => format!("node {number} without CPUs"),
            (_, 0) => format!("node {number} with CPUs {list}, none of them usable"),
            _ => format!("node {number} with CPUs {list}, usable {}", ranges(&own)),
        })
    };
    numbers.into_iter().filter_map(sentence).collect()
}

/// Whether a list of the kernel, such as `0-3,8`, has this number.
fn is_within(number: usize, list: &str) -> bool {
    list.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&number))
    })
}

/// Numbers in their order, as the kernel would list them.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|before, next| before + 1 == *next);
    let texts = runs.filter_map(|run| match (run.first()?, run.last()?) {
        (first, last) if first == last => Some(first.to_string()),
        (first, last) => Some(format!("{first}-{last}")),
    });
    texts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_listed_as_the_kernel_does() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[]), "");
        assert!([0, 2, 5, 7, 8].into_iter().all(|cpu| is_within(cpu, "0-2,5,7-8")));
        assert!(![3, 6, 9].into_iter().any(|cpu| is_within(cpu, "0-2,5,7-8")) && !is_within(0, ""));
    }

    #[test]
    fn nodes_tell_what_of_them_is_usable() {
        let folder = tempfile::tempdir().unwrap();
        for (node, cpus) in [("node10", "8-9\n"), ("node2", "\n"), ("node0", "0-3\n"), ("power", "x")] {
            fs::create_dir(folder.path().join(node)).unwrap();
            fs::write(folder.path().join(node).join("cpulist"), cpus).unwrap();
        }
        assert_eq!(
            nodes_below(folder.path(), &[1, 2]),
            [
                "node 0 with CPUs 0-3, usable 1-2",
                "node 2 without CPUs",
                "node 10 with CPUs 8-9, none of them usable",
            ]
        );
        assert!(nodes_below(&folder.path().join("none"), &[0]).is_empty());
    }
}
