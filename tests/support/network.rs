//! Hosts of their own: network namespaces, each of which a test can put its threads and processes into.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

/// A host with a loopback interface and those that are plugged into it. Gone once nothing is in it.
pub(crate) struct Namespace(File);

impl Namespace {
    /// # Errors
    /// What the system says to who may not make one.
    pub(crate) fn new() -> io::Result<Namespace> {
        let make = || {
            // SAFETY: the call takes no pointers, and changes the calling thread alone.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            File::open("/proc/thread-self/ns/net").map(Namespace)
        };
        std::thread::spawn(make).join().expect("it does not panic")
    }

    /// Does something there. What it starts stays there, and so do sockets that it makes.
    pub(crate) fn within<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            // SAFETY: the descriptor is open, and the call changes the calling thread alone.
            let outcome = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
            body()
        };
        let outcome = std::thread::scope(|scope| scope.spawn(enter).join());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs lines of a shell there, each of which has to succeed.
    pub(crate) fn run(&self, script: &str) {
        self.within(|| {
            let mut shell =
                Command::new("sh").args(["-e", "-x"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let shell = shell.as_mut().expect("there is a shell");
            let mut input = shell.stdin.take().expect("it is a pipe");
            input.write_all(script.as_bytes()).expect("the shell reads");
            drop(input);
            let said = io::read_to_string(shell.stderr.take().expect("it is a pipe")).unwrap_or_default();
            let status = shell.wait().expect("it ends");
            assert!(status.success(), "{script}: {said}");
        });
    }

    /// Lays a cable from here to there, between interfaces of these names.
    pub(crate) fn plug(&self, own: &str, there: (&Namespace, &str)) {
        let (other, name) = there;
        let (process, descriptor) = (std::process::id(), other.0.as_raw_fd());
        self.run(&format!(
            "ip link add {own} type veth peer name {name} netns /proc/{process}/fd/{descriptor}"
        ));
    }
}
