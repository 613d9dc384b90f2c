//! The openssl and curl of this machine.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a program said and how it ended.
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Standard output and standard error.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Whether a program is there; says that the test is skipped if not.
pub(crate) fn has(program: &str) -> bool {
    let is_there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !is_there {
        eprintln!("skipped: {program} is missing");
    }
    is_there
}

/// Runs a program in a folder with this input, for at most 20 seconds.
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str], input: &str) -> Said {
    let mut child = Command::new("timeout")
        .args(["20", program])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`timeout` of coreutils runs");
    // A program that ended already needs no input.
    let _ = child.stdin.take().expect("it is a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    Said {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs openssl with the words of `line`, which must succeed, and gives its standard output.
pub(crate) fn openssl(folder: &Path, line: &str) -> String {
    let arguments: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let said = run(folder, "openssl", &arguments, "");
    assert!(said.success, "openssl {line}: {}", said.all());
    said.stdout
}

/// Ends every process of ours that was started with files of this folder.
pub(crate) fn end_all_of(folder: &Path) {
    let folder = folder.display().to_string();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        if line.contains("ringway") && line.contains(&folder) {
            let id = process.file_name().display().to_string();
            let _ = Command::new("kill").args(["-s", "KILL", &id]).status();
        }
    }
}
