//! What the service manager that started the process is told (sd_notify(3)). Without one, nothing is.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::net::packet_socket;
use crate::net::packet_socket::MAX_DESCRIPTORS;
use crate::telemetry::operator::log_line;

/// Messages that wait for a service manager that reads none; what does not fit is not told.
const MAX_WAITING_MESSAGES: usize = 16;

/// Workers are heard of ten times a second, and asked four times in this.
const MIN_WATCHDOG: Duration = Duration::from_secs(2);

/// How often, and how long each time, a process that hands over waits until its service manager is told.
const HAND_OVER_LOOKS: usize = 200;
const HAND_OVER_PAUSE: Duration = Duration::from_millis(5);

/// The way to the service manager. A thread of its own tells it, because sending waits while its queue is full.
#[derive(Clone)]
pub struct Systemd {
    /// None: nobody wants to know.
    sender: Option<SyncSender<SystemdNotice>>,
    /// Messages that wait, or are being sent.
    waiting: Arc<AtomicUsize>,
    watchdog: Option<Duration>,
    /// Another process is the main one.
    is_silent: Arc<AtomicBool>,
}

/// With a sentence that `systemctl status` shows, where there is one.
#[derive(Debug)]
enum SystemdNotice {
    Ready(String),
    Reloading,
    Stopping(String),
    Alive,
    MainProcess(u32),
    /// Listening sockets are to be kept under this name.
    Store(String, Vec<OwnedFd>),
    Forget(String),
}

impl Systemd {
    /// Starts the thread where the environment names a service manager (`NOTIFY_SOCKET`).
    ///
    /// # Errors
    /// The system grants no thread.
    pub fn start() -> io::Result<Systemd> {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Systemd {
                sender: None,
                waiting: Arc::default(),
                watchdog: None,
                is_silent: Arc::default(),
            });
        }
        let watchdog = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
        if watchdog.is_some_and(|patience| patience < MIN_WATCHDOG) {
            log_line("warning: WatchdogSec= is shorter than 2 s, in which a busy worker may not be heard of");
        }
        let (sender, messages) = mpsc::sync_channel(MAX_WAITING_MESSAGES);
        let waiting: Arc<AtomicUsize> = Arc::default();
        let left = Arc::clone(&waiting);
        let body = move || pass_on(&messages, &left);
        thread::Builder::new().name("ringway-notify".to_owned()).spawn(body)?;
        Ok(Systemd { sender: Some(sender), waiting, watchdog, is_silent: Arc::default() })
    }

    /// Every worker accepts connections, or a reload has ended, successfully or not.
    pub fn ready(&self, status: &str) {
        self.tell(SystemdNotice::Ready(status.to_owned()));
    }

    /// A reload begins; [`Systemd::ready`] must follow, for which `systemctl reload` waits.
    pub fn reloading(&self) {
        self.tell(SystemdNotice::Reloading);
    }

    /// A stop begins.
    pub fn stopping(&self, status: &str) {
        self.tell(SystemdNotice::Stopping(status.to_owned()));
    }

    /// Another process is the main one of the service from now on, and this one has no more to say. Waits a moment until
    /// that is told, as the other one is not heard before.
    pub fn hand_over(&self, pid: u32) {
        self.tell(SystemdNotice::MainProcess(pid));
        self.is_silent.store(true, Ordering::Relaxed);
        for _ in 0..HAND_OVER_LOOKS {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
            thread::sleep(HAND_OVER_PAUSE);
        }
    }

    /// This process is the main one after all.
    pub fn take_back(&self) {
        self.is_silent.store(false, Ordering::Relaxed);
        self.tell(SystemdNotice::MainProcess(std::process::id()));
    }

    /// Every worker has done something lately.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.tell(SystemdNotice::Alive);
        }
    }

    /// After how long without [`Systemd::alive`] the process is ended and started again; None: never.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Whether there is a service manager.
    pub fn is_there(&self) -> bool {
        self.sender.is_some() && !self.is_silent.load(Ordering::Relaxed)
    }

    /// Keeps listening sockets open over the end of the process, if the service manager may (`FileDescriptorStoreMax=`).
    pub fn store_sockets(&self, name: &str, mut sockets: Vec<OwnedFd>) {
        while !sockets.is_empty() {
            let rest = sockets.split_off(sockets.len().min(MAX_DESCRIPTORS));
            self.tell_surely(SystemdNotice::Store(name.to_owned(), sockets));
            sockets = rest;
        }
    }

    /// Keeps what is stored under this name no longer.
    pub fn forget_sockets(&self, name: &str) {
        self.tell_surely(SystemdNotice::Forget(name.to_owned()));
    }

    /// Waits a moment for room.
    fn tell_surely(&self, message: SystemdNotice) {
        let Some(sender) = &self.sender else { return };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let mut message = message;
        for _ in 0..HAND_OVER_LOOKS {
            match sender.try_send(message) {
                Ok(()) => return,
                Err(TrySendError::Full(returned)) => message = returned,
                Err(TrySendError::Disconnected(_)) => break,
            }
            thread::sleep(HAND_OVER_PAUSE);
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// One that does not read must not hold up who tells. What begins something leaves room for what ends it, and signs of
    /// life leave room for both.
    fn tell(&self, message: SystemdNotice) {
        let Some(sender) = &self.sender else { return };
        if self.is_silent.load(Ordering::Relaxed) {
            return;
        }
        let kept_free = match message {
            SystemdNotice::Alive => 3,
            SystemdNotice::Reloading => 2,
            _ => 0,
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) + kept_free >= MAX_WAITING_MESSAGES
            || sender.try_send(message).is_err()
        {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn pass_on(messages: &Receiver<SystemdNotice>, waiting: &AtomicUsize) {
    let mut has_failed = false;
    for message in messages {
        if let Err(error) = notify(&message)
            && !has_failed
        {
            has_failed = true;
            log_line(&format!(
                "warning: the service manager at NOTIFY_SOCKET cannot be told anything: {error}"
            ));
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn notify(message: &SystemdNotice) -> io::Result<()> {
    match message {
        // The watchdog counts from the start, which may have taken long.
        SystemdNotice::Ready(status) => {
            send(&[NotifyState::Ready, NotifyState::Status(status), NotifyState::Watchdog])
        }
        SystemdNotice::Reloading => send(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]),
        SystemdNotice::Stopping(status) => send(&[NotifyState::Stopping, NotifyState::Status(status)]),
        SystemdNotice::Alive => send(&[NotifyState::Watchdog]),
        SystemdNotice::MainProcess(pid) => send(&[NotifyState::MainPid(*pid)]),
        SystemdNotice::Store(name, sockets) => {
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            send_with(&format!("FDSTORE=1\nFDNAME={name}\n"), &sockets)
        }
        SystemdNotice::Forget(name) => send_with(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), &[]),
    }
}

/// Sends by ourselves: the package takes the name of an abstract socket for a path.
fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    send_with(&text, &[])
}

fn send_with(text: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match name.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    packet_socket::send_with(socket.as_fd(), text.as_bytes(), descriptors)
}
