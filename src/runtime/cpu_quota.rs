//! How much CPU time the control groups of this process grant it.
//!
//! A quota of two CPUs on a host with sixty leaves the process all sixty to run on, but stops it for the rest of each
//! period once two CPUs' worth is used: with a worker on each, all of them at once. So workers follow the quota.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Levels of nested control groups that are looked at; the kernel itself refuses deeper ones by default.
const MAX_DEPTH: usize = 64;

/// The smallest grant of all control groups that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CpuQuota {
    /// Thousandths of a CPU, rounded up.
    thousandths: u64,
    /// The file that says so.
    file: PathBuf,
}

impl CpuQuota {
    /// None: there is no limit, or nothing tells of one.
    pub(super) fn of_process() -> Option<CpuQuota> {
        CpuQuota::told_below(Path::new("/"))
    }

    /// Of a CPU, rounded up.
    pub(super) fn thousandths(&self) -> u64 {
        self.thousandths
    }

    /// How many workers it keeps busy, at least one.
    pub(super) fn workers(&self) -> usize {
        usize::try_from(self.thousandths.div_ceil(1_000)).unwrap_or(usize::MAX).max(1)
    }

    /// For people: `1.5 (/sys/fs/cgroup/cpu.max)`.
    pub(super) fn text(&self) -> String {
        let (whole, rest) = (self.thousandths / 1_000, self.thousandths % 1_000);
        let fraction = format!(".{rest:03}");
        format!("{whole}{} ({})", fraction.trim_end_matches('0').trim_end_matches('.'), self.file.display())
    }

    /// As the files below this folder say, `/` but in tests.
    fn told_below(root: &Path) -> Option<CpuQuota> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        let hierarchies = mounts.lines().filter_map(Hierarchy::parse);
        let quotas = hierarchies.flat_map(|hierarchy| hierarchy.quotas(&groups, root));
        quotas.min_by_key(|quota| quota.thousandths)
    }
}

/// A mounted hierarchy of control groups that may limit CPU time.
struct Hierarchy {
    is_version_2: bool,
    /// The group that is seen at `mount_point`.
    top: String,
    mount_point: String,
}

impl Hierarchy {
    /// A line of `/proc/self/mountinfo` (proc(5)): `36 35 0:30 TOP MOUNT_POINT OPTIONS… - TYPE SOURCE SUPER_OPTIONS`.
    fn parse(line: &str) -> Option<Hierarchy> {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let is_version_2 = match kind.next()? {
            "cgroup2" => true,
            "cgroup" if kind.nth(1)?.split(',').any(|option| option == "cpu") => false,
            _ => return None,
        };
        let mut place = place.split(' ').skip(3);
        Some(Hierarchy { is_version_2, top: unescaped(place.next()?), mount_point: unescaped(place.next()?) })
    }

    /// What each group grants that this process is in, from its own up to the top.
    fn quotas(&self, groups: &str, root: &Path) -> Vec<CpuQuota> {
        let Some(own) = self.own_group(groups) else { return Vec::new() };
        // What lies outside of the part that is mounted cannot be read; it is looked at from the top on.
        let below = Path::new(own).strip_prefix(&self.top).unwrap_or(Path::new(""));
        let is_plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let below = if is_plain { below } else { Path::new("") };
        let top = Path::new(&self.mount_point);
        let levels = below.ancestors().take(MAX_DEPTH);
        levels.filter_map(|level| self.quota_at(&top.join(level), root)).collect()
    }

    /// A line of `/proc/self/cgroup` (cgroups(7)): `HIERARCHY:CONTROLLERS:PATH`, without controllers in version 2.
    fn own_group<'g>(&self, groups: &'g str) -> Option<&'g str> {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_this_one = match self.is_version_2 {
                true => controllers.is_empty(),
                false => controllers.split(',').any(|controller| controller == "cpu"),
            };
            is_this_one.then_some(path)
        })
    }

    fn quota_at(&self, group: &Path, root: &Path) -> Option<CpuQuota> {
        let read = |name: &str| {
            fs::read_to_string(root.join(group.strip_prefix("/").unwrap_or(group)).join(name)).ok()
        };
        let (text, file) = match self.is_version_2 {
            true => (read("cpu.max")?, "cpu.max"),
            false => {
                let [quota, period] = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map(read);
                (format!("{} {}", quota?.trim(), period?.trim()), "cpu.cfs_quota_us")
            }
        };
        Some(CpuQuota { thousandths: thousandths(&text)?, file: group.join(file) })
    }
}

/// What `QUOTA PERIOD` in microseconds is worth; none for `max` and for -1, which say that there is no limit.
fn thousandths(text: &str) -> Option<u64> {
    let mut numbers = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    let (quota, period) = (numbers.next()??, numbers.next()??);
    (period > 0).then(|| quota.saturating_mul(1_000).div_ceil(period))
}

/// A path as `mountinfo` writes it, with blanks and backslashes as `\040` and the like.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where these files are, as thousandths and the file.
    fn found(files: &[(&str, &str)]) -> Option<(u64, String)> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let quota = CpuQuota::told_below(root.path())?;
        Some((quota.thousandths, quota.file.display().to_string()))
    }

    const VERSION_2: (&str, &str) = (
        "proc/self/mountinfo",
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    );
    const VERSION_1: (&str, &str) = (
        "proc/self/mountinfo",
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n33 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
         34 25 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:11 - cgroup cgroup rw,cpu,cpuacct\n",
    );

    #[test]
    fn the_smallest_of_nested_groups_counts() {
        let group = ("proc/self/cgroup", "0::/system.slice/ringway.service\n");
        let own = "sys/fs/cgroup/system.slice/ringway.service/cpu.max";
        let slice = "sys/fs/cgroup/system.slice/cpu.max";
        let told = |own_says, slice_says| found(&[VERSION_2, group, (own, own_says), (slice, slice_says)]);
        let of = |thousandths, file: &str| Some((thousandths, format!("/{file}")));
        assert_eq!(told("150000 100000\n", "max 100000\n"), of(1_500, own));
        assert_eq!(told("400000 100000\n", "10000 5000\n"), of(2_000, slice));
        assert_eq!(told("100001 100000\n", "max 100000\n"), of(1_001, own));
        assert_eq!(told("max 100000\n", "max 100000\n"), None);
        assert_eq!(found(&[VERSION_2, group]), None);
    }

    #[test]
    fn a_container_sees_its_own_part_of_a_hierarchy() {
        let folder = "sys/fs/cgroup/cpu,cpuacct";
        let files = |group, quota| {
            [
                VERSION_1,
                ("proc/self/cgroup", group),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ]
        };
        let file = format!("/{folder}/cpu.cfs_quota_us");
        for group in [
            "5:cpu,cpuacct:/docker/abc\n0::/\n",
            "5:cpu,cpuacct:/\n",
            "7:memory:/x\n5:cpu,cpuacct:/../other\n",
        ] {
            assert_eq!(found(&files(group, "50000\n")), Some((500, file.clone())), "{group}");
        }
        assert_eq!(found(&files("5:cpu,cpuacct:/docker/abc\n", "-1\n")), None);
        assert_eq!(found(&files("7:memory:/docker/abc\n", "50000\n")), None);
    }

    #[test]
    fn quotas_are_rounded_up_to_workers() {
        let workers = |text| {
            let quota = CpuQuota { thousandths: thousandths(text).unwrap(), file: "/f".into() };
            (quota.workers(), quota.text())
        };
        assert_eq!(workers("1000 100000"), (1, "0.01 (/f)".to_owned()));
        assert_eq!(workers("100000 100000"), (1, "1 (/f)".to_owned()));
        assert_eq!(workers("150000 100000"), (2, "1.5 (/f)".to_owned()));
        assert_eq!(workers("200001 100000"), (3, "2.001 (/f)".to_owned()));
        for nothing in ["", "max 100000", "-1 100000", "5", "5 0", "x y"] {
            assert_eq!(thousandths(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn blanks_in_paths_are_read_back() {
        assert_eq!(unescaped(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescaped(r"/a\9\04"), r"/a\9\04");
    }
}
