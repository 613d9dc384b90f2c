//! A process that the harness started and therefore ends.

use crate::interrupt;
use crate::usage;
use ringway_bench::now;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running program. Dropping it ends it and the processes that it started, by their ids.
pub(crate) struct Started {
    child: Child,
    program: String,
    /// Where its standard output and error go; read when something fails.
    log: PathBuf,
}

/// How long a process may take to end by itself after TERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

impl Started {
    /// Starts `program` on one CPU.
    pub(crate) fn on_cpu(
        cpu: usize,
        program: &Path,
        arguments: &[&str],
        folder: &Path,
    ) -> Result<Started, String> {
        let stem = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.join(format!("{stem}.log"));
        // What an earlier turn wrote, such as an access log, is of no use any more.
        let _ = std::fs::remove_file(&log);
        let open = || File::options().create(true).append(true).open(&log);
        let outputs = open().and_then(|first| Ok((first, open()?)));
        let (output, errors) = outputs.map_err(|e| format!("{}: {e}", log.display()))?;
        let mut command = Command::new("taskset");
        command.arg("-c").arg(cpu.to_string()).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                // Should the harness be killed, what it started ends too.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong);
                Ok(())
            });
        }
        let child = command.spawn().map_err(|e| format!("taskset (Debian package util-linux): {e}"))?;
        Ok(Started { child, program: stem, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error that ends with the last lines which the program wrote.
    pub(crate) fn failure(&self, what: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        format!("{}: {what}\n{tail}", self.program)
    }

    /// Fails when the program has ended although it should run on.
    pub(crate) fn check_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(&format!("ended with {status}"))),
            Err(error) => Err(self.failure(&format!("cannot be waited for: {error}"))),
        }
    }

    /// Waits until the program ends by itself, for at most `bound`.
    pub(crate) fn finish(&mut self, bound: Duration) -> Result<ExitStatus, String> {
        let end = now() + bound;
        loop {
            interrupt::check()?;
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if now() >= end => return Err(self.failure(&format!("still runs after {bound:?}"))),
                Ok(None) => std::thread::sleep(interrupt::LOOK_INTERVAL),
                Err(error) => return Err(self.failure(&format!("cannot be waited for: {error}"))),
            }
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let descendants = usage::family(self.id());
        signal(self.id(), libc::SIGTERM);
        let end = now() + STOP_TIMEOUT;
        while now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(interrupt::LOOK_INTERVAL);
        }
        eprintln!("bench-load: {} did not end after TERM and is killed", self.program);
        for id in descendants {
            signal(id, libc::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

fn signal(id: u32, signal: i32) {
    // SAFETY: kill takes no pointer; the id belongs to a child that was not waited for, so it is not reused.
    unsafe { libc::kill(id as libc::pid_t, signal) };
}
