//! A proxy that is measured beside others: a process of its own, its CPU time and its memory.

use std::fs;
use std::process::{Child, Command, Stdio};

/// A proxy that runs, until this is dropped.
pub struct MeasuredProxy {
    pub name: &'static str,
    child: Child,
}

impl MeasuredProxy {
    /// Starts a program. What it writes is lost.
    pub fn start(name: &'static str, mut command: Command) -> Result<MeasuredProxy, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|e| format!("starting {name}: {e}"))?;
        Ok(MeasuredProxy { name, child })
    }

    /// CPU time of all its threads, in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let of_task = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.filter_map(of_task).sum()
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }
}

impl Drop for MeasuredProxy {
    fn drop(&mut self) {
        // SAFETY: the call takes no pointers, and the child is not waited for yet, so its number is its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        drop(self.child.wait());
    }
}

/// The least and the middle of what was measured.
pub fn least_and_middle(mut figures: Vec<f64>) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    let least = figures.first().copied().unwrap_or(0.0);
    (least, figures.get(figures.len() / 2).copied().unwrap_or(0.0))
}
