//! A small process that starts programs for this one, which may not: what [`super::lock`] takes away is taken from all that it
//! starts, too, and a successor may have other folders.
//!
//! It is forked while there is only one thread, and before anything is locked. It knows one command, ends with this process, and
//! starts no program that somebody else than root, or than the owner of ours, could have put there.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::control::process::users::User;
use crate::net::packet_socket::PacketSocket;
use crate::net::packet_socket::ReceivedPacket;

/// How long an answer may take: a fork, or the end of a process that was killed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than any wait of ours, after which it looks again whether anybody is there.
const IDLE: Duration = Duration::from_secs(3_600);

/// How often, and how long each time, the end of a process is waited for.
const END_LOOKS: usize = 100;
const END_PAUSE: Duration = Duration::from_millis(10);

/// Variables that speak to one process alone.
pub const OWN_VARIABLES: [&str; 4] = ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The way to the process. Closing it ends the process.
#[derive(Clone, Debug)]
pub struct Launcher(Arc<PacketSocket>);

/// A program that was started.
#[derive(Debug)]
pub enum StartedProcess {
    /// By this process.
    Own(Child),
    /// By the launcher.
    Launched { pid: u32, launcher: Launcher },
}

/// What is started: a program, its arguments, and the one behind them that is followed by the number of the descriptor.
pub struct Launch<'l> {
    pub binary: &'l Path,
    pub arguments: &'l [OsString],
    pub descriptor_argument: &'l str,
}

impl Launcher {
    /// Forks. To be called while there is only one thread. `user`: whom this process becomes later, and the other one at once.
    ///
    /// # Errors
    /// The system grants no process.
    pub fn fork(user: Option<&User>) -> io::Result<Launcher> {
        let (own, its) = PacketSocket::pair()?;
        // SAFETY: there is only one thread, so that the copy can go on like any process.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(own);
                let outcome = serve(its, user);
                std::process::exit(i32::from(outcome.is_err()))
            }
            _ => Ok(Launcher(Arc::new(own))),
        }
    }

    /// Starts a program with one more descriptor.
    ///
    /// # Errors
    /// What the system says, or that the program is not to be trusted.
    pub fn start(&self, launch: &Launch<'_>, descriptor: BorrowedFd<'_>) -> io::Result<StartedProcess> {
        let words = [launch.binary.as_os_str(), OsStr::new(launch.descriptor_argument)];
        let words = words.into_iter().chain(launch.arguments.iter().map(OsString::as_os_str));
        let mut text = b"start".to_vec();
        for word in words {
            text.push(0);
            text.extend_from_slice(word.as_bytes());
        }
        let pid = self.ask(&text, &[descriptor])?;
        let pid = u32::try_from(pid).map_err(io::Error::other)?;
        Ok(StartedProcess::Launched { pid, launcher: self.clone() })
    }

    /// Each question brings the way of its answer along, so that threads can ask at once.
    fn ask(&self, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<i64> {
        let (socket, its) = PacketSocket::pair()?;
        let descriptors: Vec<_> = [its.as_fd()].iter().chain(descriptors).copied().collect();
        self.0.send(text, &descriptors)?;
        drop(its);
        let gone = || io::Error::other("the process that starts others is gone");
        let ReceivedPacket::Packet(answer, _) = socket.receive(ANSWER_TIMEOUT)? else { return Err(gone()) };
        let answer = String::from_utf8_lossy(&answer).into_owned();
        match answer.split_once(' ') {
            Some(("ok", number)) => number.parse().map_err(io::Error::other),
            Some(("error", reason)) => Err(io::Error::other(reason.to_owned())),
            _ => Err(gone()),
        }
    }
}

impl StartedProcess {
    pub fn id(&self) -> u32 {
        match self {
            StartedProcess::Own(child) => child.id(),
            StartedProcess::Launched { pid, .. } => *pid,
        }
    }

    /// Kills it, and waits until it is gone.
    pub fn end(&mut self) {
        match self {
            StartedProcess::Own(child) => {
                drop(child.kill());
                drop(child.wait());
            }
            StartedProcess::Launched { pid, launcher } => {
                drop(launcher.ask(format!("kill\0{pid}").as_bytes(), &[]));
            }
        }
    }

    /// How it ended, if it has ended or does so in a moment.
    pub fn wait(&mut self) -> Option<ExitStatus> {
        match self {
            StartedProcess::Own(child) => wait_a_moment(child).ok(),
            StartedProcess::Launched { pid, launcher } => {
                let status = launcher.ask(format!("wait\0{pid}").as_bytes(), &[]).ok()?;
                i32::try_from(status).ok().map(ExitStatus::from_raw)
            }
        }
    }

    /// Takes it out of the table of processes if it has ended.
    pub fn look(&mut self) {
        // The launcher looks after its own before it answers anything.
        if let StartedProcess::Own(child) = self {
            drop(child.try_wait());
        }
    }
}

/// A process that has let go of its descriptors is about to end, or has closed them and goes on.
fn wait_a_moment(child: &mut Child) -> io::Result<ExitStatus> {
    for _ in 0..END_LOOKS {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(END_PAUSE);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// What the launcher does all its life.
fn serve(socket: PacketSocket, user: Option<&User>) -> io::Result<()> {
    stand_alone(&socket)?;
    if let Some(user) = user {
        user.become_for_good()?;
    }
    let mut started: Vec<Child> = Vec::new();
    loop {
        let (text, descriptors) = match socket.receive(IDLE)? {
            ReceivedPacket::Packet(text, descriptors) => (text, descriptors),
            ReceivedPacket::Nothing => continue,
            ReceivedPacket::Closed => return Ok(()),
        };
        let mut descriptors = descriptors.into_iter();
        let Some(asker) = descriptors.next().and_then(|socket| PacketSocket::adopt(socket).ok()) else {
            continue;
        };
        let answer = match obey(&text, descriptors.as_slice(), &mut started) {
            Ok(number) => format!("ok {number}"),
            Err(error) => format!("error {error}"),
        };
        // Whoever has asked may not want to know any more.
        drop(asker.send(answer.as_bytes(), &[]));
    }
}

/// Closes what belongs to the other process, and leaves it to that one to obey signals.
fn stand_alone(socket: &PacketSocket) -> io::Result<()> {
    let own = socket.as_fd().as_raw_fd().cast_unsigned();
    // SAFETY: what is closed is used by nobody here; the calls take no pointers but a name that ends with a zero.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, own - 1, 0);
        libc::syscall(libc::SYS_close_range, own + 1, libc::c_uint::MAX, 0);
        libc::prctl(libc::PR_SET_NAME, c"ringway-launch".as_ptr());
    }
    let nothing: extern "C" fn(libc::c_int) = do_nothing;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2] {
        // SAFETY: the function does nothing, which is allowed whatever was interrupted.
        unsafe { libc::signal(signal, nothing as libc::sighandler_t) };
    }
    Ok(())
}

/// Signals that are ignored stay so in programs that are started; those that a function takes do not.
extern "C" fn do_nothing(_signal: libc::c_int) {}

fn obey(text: &[u8], descriptors: &[OwnedFd], started: &mut Vec<Child>) -> io::Result<i64> {
    let words: Vec<&OsStr> = text.split(|byte| *byte == 0).map(OsStr::from_bytes).collect();
    let unknown = || io::Error::from(io::ErrorKind::InvalidInput);
    match (words.as_slice(), descriptors) {
        ([verb, binary, argument, arguments @ ..], [descriptor]) if *verb == "start" => {
            let child = start(Path::new(binary), (argument, arguments), descriptor)?;
            let pid = child.id();
            // Whoever has ended is not to stay in the table of processes.
            started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            started.push(child);
            Ok(pid.into())
        }
        ([verb, pid], []) => {
            let pid = pid.to_str().and_then(|pid| pid.parse::<u32>().ok()).ok_or_else(unknown)?;
            let child = started.iter_mut().find(|child| child.id() == pid).ok_or_else(unknown)?;
            let status = match verb.to_str() {
                Some("kill") => child.kill().and_then(|()| child.wait())?,
                Some("wait") => wait_a_moment(child)?,
                _ => return Err(unknown()),
            };
            Ok(status.into_raw().into())
        }
        _ => Err(unknown()),
    }
}

fn start(
    binary: &Path,
    (argument, arguments): (&OsStr, &[&OsStr]),
    descriptor: &OwnedFd,
) -> io::Result<Child> {
    is_to_be_trusted(binary)?;
    let number = descriptor.as_raw_fd();
    let mut command = Command::new(binary);
    command.args(arguments).arg(argument).arg(number.to_string());
    for name in OWN_VARIABLES {
        command.env_remove(name);
    }
    // Nothing else is started meanwhile, and then it is closed.
    // SAFETY: the call takes no pointers, and the descriptor is open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    command.spawn()
}

/// Whoever has taken this process over could write a program, and would be free of its lock with it.
fn is_to_be_trusted(binary: &Path) -> io::Result<()> {
    const OTHERS_MAY_WRITE: u32 = 0o002;
    let found = fs::metadata(binary)?;
    let own = fs::metadata("/proc/self/exe")?;
    if found.uid() != 0 && found.uid() != own.uid() {
        let reason =
            format!("it belongs to user {}, and has to belong to root or user {}", found.uid(), own.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    if found.mode() & OTHERS_MAY_WRITE != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "every user may write to it"));
    }
    Ok(())
}
