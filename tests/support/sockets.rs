//! Listening sockets that a service manager passes to the process that it starts.

use super::ringway::{Ringway, addresses_in, folder_with, with_tested_driver};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

impl Ringway {
    /// Starts with these sockets as systemd passes them (sd_listen_fds(3)), and with these variables.
    pub(crate) fn start_with_sockets(
        configuration: &str,
        sockets: &[OwnedFd],
        variables: &[(&str, String)],
    ) -> Ringway {
        const FIRST: i32 = 3;
        let (folder, file) = folder_with(&with_tested_driver(configuration));
        let mut command = Command::new("sh");
        // The number of the process is known in the process only.
        command
            .args(["-c", "LISTEN_PID=$$ exec \"$0\" run -c \"$1\"", env!("CARGO_BIN_EXE_ringway")])
            .arg(&file);
        command.env("LISTEN_FDS", sockets.len().to_string()).envs(variables.iter().cloned());
        let numbers: Vec<i32> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let pass = move || {
            // Out of the way first, as one could be where another belongs.
            const ASIDE: i32 = 500;
            for (place, number) in (ASIDE..).zip(&numbers) {
                // SAFETY: the call takes no pointers.
                if unsafe { libc::dup2(*number, place) } < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            for (offset, _) in (0..).zip(&numbers) {
                // SAFETY: the calls take no pointers.
                unsafe {
                    libc::dup2(ASIDE + offset, FIRST + offset);
                    libc::close(ASIDE + offset);
                }
            }
            Ok(())
        };
        // SAFETY: between fork and exec, only system calls are made.
        unsafe { command.pre_exec(pass) };
        let mut ringway = Ringway::run(folder, command);
        ringway.wait_for_listeners(addresses_in(configuration));
        ringway
    }
}
