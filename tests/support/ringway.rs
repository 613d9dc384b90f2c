//! The real binary, started with a configuration.

use super::clock::{PATIENCE, within};
use super::system_calls::{forbid, forbidden_call, forbidden_datagrams};
use super::tls::own_pair;
use super::tools::end_all_of;
use super::wire::note;
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A running `ringway`. Dropping it kills the process.
pub(crate) struct Ringway {
    child: Child,
    /// Holds the configuration, and files that the test puts beside it.
    folder: TempDir,
    /// Lines of standard error as they come; ends with the process.
    lines: Receiver<String>,
    /// The lines taken from the channel so far.
    seen: RefCell<Vec<String>>,
    /// While it is set, nobody reads standard error.
    is_deaf: Arc<AtomicBool>,
}

/// Standard output goes to this file of the folder.
const STDOUT: &str = "stdout";

/// A start-up line is `listening on http://127.0.0.1:8080 (listener "web")`.
const LISTENING: &str = "listening on ";

impl Ringway {
    /// Starts with this configuration and waits until every listener of it accepts.
    ///
    /// `io_driver` of the environment variable RINGWAY_TEST_IO_DRIVER goes into `[process]`, unless the
    /// configuration says something of it. Addresses may have port 0; [`Ringway::address`] tells the real one.
    pub(crate) fn start(configuration: &str) -> Ringway {
        let mut ringway = Ringway::spawn(configuration);
        let listeners = addresses_in(configuration);
        ringway.wait_for_listeners(listeners);
        ringway
    }

    /// Starts with these files beside the configuration.
    pub(crate) fn start_with(configuration: &str, files: &[(String, String)]) -> Ringway {
        let mut ringway = Ringway::spawn_with(configuration, files);
        ringway.wait_for_listeners(addresses_in(configuration));
        ringway
    }

    /// The same without waiting.
    pub(crate) fn spawn_with(configuration: &str, files: &[(String, String)]) -> Ringway {
        let (folder, file) = folder_with(&with_tested_driver(configuration));
        for (name, content) in files {
            write_private(&folder.path().join(name), content);
        }
        Ringway::launch(folder, &["run", "-c", &file.display().to_string()])
    }

    /// Starts with these variables of the environment, and waits until every listener accepts.
    pub(crate) fn start_with_environment(configuration: &str, variables: &[(&str, String)]) -> Ringway {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.envs(variables.iter().cloned());
        Ringway::start_by(command, configuration)
    }

    pub(super) fn start_by(mut command: Command, configuration: &str) -> Ringway {
        let (folder, file) = folder_with(&with_tested_driver(configuration));
        command.arg("run").arg("-c").arg(&file);
        let mut ringway = Ringway::run(folder, command);
        ringway.wait_for_listeners(addresses_in(configuration));
        ringway
    }

    /// One plain listener `web` that forwards everything to these backends.
    pub(crate) fn in_front_of(backends: &[SocketAddr]) -> Ringway {
        Ringway::start(&configuration_for(backends))
    }

    /// Starts without waiting, for configurations that must fail.
    pub(crate) fn spawn(configuration: &str) -> Ringway {
        Ringway::spawn_with(configuration, &[])
    }

    /// Starts in a process for which every local port is taken, as far as it can tell, and waits until it
    /// accepts.
    pub(crate) fn start_without_local_ports(configuration: &str) -> Ringway {
        let configuration = with_tested_driver(configuration);
        let mut ringway = Ringway::spawn_filtered(&configuration, || {
            forbid(&forbidden_call(libc::SYS_connect, libc::EADDRNOTAVAIL))?;
            forbid(&forbidden_datagrams())
        });
        ringway.wait_for_listeners(addresses_in(&configuration));
        ringway
    }

    pub(super) fn spawn_filtered(
        configuration: &str,
        filter: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Ringway {
        let (folder, file) = folder_with(configuration);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.arg("run").arg("-c").arg(&file);
        // SAFETY: between fork and exec, only system calls are made.
        unsafe { command.pre_exec(filter) };
        Ringway::run(folder, command)
    }

    /// Runs the binary with these arguments, such as `["demo"]`, without waiting.
    pub(crate) fn with_arguments(arguments: &[&str]) -> Ringway {
        Ringway::launch(tempfile::tempdir().expect("a temporary folder can be made"), arguments)
    }

    fn launch(folder: TempDir, arguments: &[&str]) -> Ringway {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(arguments);
        Ringway::run(folder, command)
    }

    pub(super) fn run(folder: TempDir, mut command: Command) -> Ringway {
        let stdout = File::create(folder.path().join(STDOUT)).expect("a file can be made");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let errors = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        let (sender, lines) = channel();
        let is_deaf = Arc::new(AtomicBool::new(false));
        let is_deaf_now = is_deaf.clone();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                while is_deaf_now.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                if sender.send(without_stamp(&line).to_owned()).is_err() {
                    return;
                }
            }
        });
        Ringway { child, folder, lines, seen: RefCell::new(Vec::new()), is_deaf }
    }

    /// The address of the only listener.
    pub(crate) fn address(&self) -> SocketAddr {
        let all = self.listeners();
        assert_eq!(all.len(), 1, "one listener: {all:?}");
        all[0].1
    }

    /// The first address of a listener.
    pub(crate) fn address_of(&self, listener: &str) -> SocketAddr {
        let found = self.listeners().into_iter().find(|(name, _)| name == listener);
        found.unwrap_or_else(|| panic!("no listener {listener} in:\n{}", self.stderr())).1
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The folder of the configuration file `ringway.toml`.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Puts this configuration in the place of the one before and waits until it is in service.
    pub(crate) fn reload(&self, configuration: &str) {
        let epoch = self.epoch() + 1;
        self.replace_configuration(configuration);
        self.signal("HUP");
        self.wait_for_line(&format!("reloaded: config generation {epoch},"));
    }

    /// Puts this configuration in the place of the one before; nobody is told.
    pub(crate) fn replace_configuration(&self, configuration: &str) {
        write_files(&self.folder, &with_tested_driver(configuration));
    }

    /// The epoch that the process has told last.
    fn epoch(&self) -> usize {
        self.take_lines();
        let seen = self.seen.borrow();
        let epochs = seen
            .iter()
            .filter_map(|line| line.strip_prefix("reloaded: config generation ")?.split(',').next());
        epochs.filter_map(|epoch| epoch.parse().ok()).max().unwrap_or(1)
    }

    /// What came on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.take_lines();
        self.seen.borrow().join("\n")
    }

    /// What came on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(STDOUT)).expect("the file is there")
    }

    /// Waits for a line on standard error that contains `text`, and returns it.
    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        let line = within(PATIENCE, || {
            self.take_lines();
            self.seen.borrow().iter().find(|line| line.contains(text)).cloned()
        });
        line.unwrap_or_else(|| panic!("no line with `{text}` in:\n{}", self.stderr()))
    }

    /// Sends a signal by its name, such as `TERM` or `USR1`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("`kill` runs");
        assert!(status.success(), "kill -s {name} {id} failed");
    }

    /// How many descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("it runs").count()
    }

    /// Limits the descriptors of the running process.
    pub(crate) fn limit_descriptors(&self, limit: usize) {
        let status = Command::new("prlimit")
            .args([format!("--pid={}", self.id()), format!("--nofile={limit}:")])
            .status()
            .expect("`prlimit` of util-linux runs");
        assert!(status.success());
    }

    /// Sends TERM and waits for the end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit(PATIENCE)
    }

    /// Waits until the process ends by itself.
    pub(crate) fn wait_for_exit(&mut self, bound: Duration) -> ExitStatus {
        let status = within(bound, || self.child.try_wait().expect("a child can be waited for"));
        status.unwrap_or_else(|| panic!("still running after {bound:?}:\n{}", self.stderr()))
    }

    /// Standard error to its end, which comes soon after that of the process.
    pub(crate) fn stderr_to_end(&self) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.borrow_mut().push(line);
        }
        self.stderr()
    }

    /// Lets whoever reads standard error go away with the next line.
    pub(crate) fn close_stderr(&mut self) {
        let (_, nobody) = channel();
        self.take_lines();
        self.lines = nobody;
    }

    /// From now on nobody reads standard error, and the pipe is full.
    pub(crate) fn stop_reading(&self) {
        self.is_deaf.store(true, Ordering::SeqCst);
        // A description of our own, so that the process does not notice that this one does not block.
        let pipe = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(format!("/proc/{}/fd/2", self.id()))
            .expect("the pipe can be opened");
        let line = [".".repeat(511), "\n".to_owned()].concat();
        // Whoever reads may be about to read for the last time.
        for _ in 0..2 {
            while (&pipe).write(line.as_bytes()).is_ok() {}
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Standard error is read again.
    pub(crate) fn read_again(&self) {
        self.is_deaf.store(false, Ordering::SeqCst);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Waits until this many addresses listen; fails when the process ends before.
    pub(crate) fn wait_for_listeners(&mut self, count: usize) {
        let ready = within(PATIENCE, || {
            let is_over = !self.is_running();
            (self.listeners().len() >= count || is_over).then_some(())
        });
        let is_complete = self.listeners().len() >= count && ready.is_some();
        assert!(is_complete, "{count} addresses should listen, standard error says:\n{}", self.stderr());
    }

    /// Waits until this many addresses listen or the process has ended.
    pub(crate) fn wait_for_listeners_or_exit(&mut self, count: usize) {
        let ready =
            within(PATIENCE, || (self.listeners().len() >= count || !self.is_running()).then_some(()));
        assert!(ready.is_some(), "neither, standard error says:\n{}", self.stderr());
    }

    /// Names and addresses from the start-up lines.
    pub(crate) fn listeners(&self) -> Vec<(String, SocketAddr)> {
        self.take_lines();
        let seen = self.seen.borrow();
        let mut listeners = Vec::new();
        for (listener, line) in seen.iter().filter_map(|line| Some((parse_listening(line)?, line))) {
            note(listener.1, line.contains("https://") || line.contains("quic://"));
            // A successor says it again.
            if !listeners.contains(&listener) {
                listeners.push(listener);
            }
        }
        listeners
    }

    fn take_lines(&self) {
        self.seen.borrow_mut().extend(self.lines.try_iter());
    }
}

impl Drop for Ringway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A successor may have been begun even where nothing was said of it.
        end_all_of(self.folder());
        // Whoever gets the ports next speaks for itself.
        self.listeners().iter().for_each(|(_, address)| note(*address, false));
        if std::thread::panicking() {
            eprintln!("standard error of ringway:\n{}", self.stderr());
        }
    }
}

/// The line without the time that it may begin with, such as `2026-01-31T12:00:00.123Z `.
fn without_stamp(line: &str) -> &str {
    const LENGTH: usize = "2026-01-31T12:00:00.123Z".len();
    match line.split_once(' ') {
        Some((stamp, rest)) if stamp.len() == LENGTH && stamp.ends_with('Z') && stamp.starts_with("20") => {
            rest
        }
        _ => line,
    }
}

/// Whether listeners in cleartext are to be listeners for HTTPS.
pub(crate) fn over_tls() -> bool {
    std::env::var("RINGWAY_TEST_TLS").is_ok_and(|value| value == "1")
}

/// A folder with this configuration, and its path.
pub(super) fn folder_with(configuration: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = write_files(&folder, configuration);
    (folder, file)
}

/// Writes a file that nobody else can read, as keys must be.
fn write_private(path: &Path, content: &str) {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes())).expect("the file can be written");
}

/// Writes this configuration into the folder.
fn write_files(folder: &TempDir, configuration: &str) -> PathBuf {
    let file = folder.path().join("ringway.toml");
    let mut configuration = configuration.to_owned();
    if over_tls()
        && let Some(secured) = with_tls(&configuration)
    {
        configuration = secured;
        let pair = own_pair();
        for (name, content) in [("kit.crt", &pair.certificate), ("kit.key", &pair.key)] {
            write_private(&folder.path().join(name), content);
        }
    }
    std::fs::write(&file, configuration).expect("the configuration can be written");
    file
}

/// A configuration with one plain listener `web` on a free port and one group `app` of these backends.
pub(crate) fn configuration_for(backends: &[SocketAddr]) -> String {
    let mut text = r#"config_version = 1

[process]
workers = 1
pin = false

[[listener]]
name = "web"
address = "127.0.0.1:0"
protocol = "http"
default_group = "app"

[[server_group]]
name = "app"
protocol = "http"
"#
    .to_owned();
    for backend in backends {
        text.push_str(&format!("\n[[server_group.backend]]\naddress = \"{backend}\"\n"));
    }
    text
}

/// How many addresses the listeners of a configuration name: one start-up line comes for each.
pub(super) fn addresses_in(configuration: &str) -> usize {
    let tables = configuration.split("[[listener]]").skip(1);
    tables
        .map(|table| {
            let table = table.split("\n[").next().unwrap_or(table);
            let line = table.lines().find(|line| line.trim_start().starts_with("address"));
            line.map_or(0, |line| line.split('#').next().unwrap_or(line).matches('"').count() / 2)
        })
        .sum()
}

pub(super) fn with_tested_driver(configuration: &str) -> String {
    with_io_driver(configuration, std::env::var("RINGWAY_TEST_IO_DRIVER").ok().as_deref())
}

fn with_io_driver(configuration: &str, driver: Option<&str>) -> String {
    let Some(driver) = driver.filter(|_| !configuration.contains("io_driver")) else {
        return configuration.to_owned();
    };
    let setting = format!("[process]\nio_driver = \"{driver}\"\n");
    if configuration.contains("[process]\n") {
        configuration.replacen("[process]\n", &setting, 1)
    } else {
        format!("{configuration}\n{setting}")
    }
}

/// Makes HTTPS of every listener, unless the configuration speaks of HTTPS or of the clear itself.
fn with_tls(configuration: &str) -> Option<String> {
    if ["\"https\"", "[[certificate]]", "in cleartext"].iter().any(|words| configuration.contains(words)) {
        return None;
    }
    let mut tables = configuration.split("[[listener]]\n");
    let mut text = tables.next()?.to_owned();
    for table in tables {
        let (own, others) = table.split_at(table.find("\n[").map_or(table.len(), |position| position + 1));
        let is_relayed = ["tcp", "tls", "udp"].iter().any(|word| own.contains(&format!("= \"{word}\"\n")));
        let secured = "[[listener]]\nprotocol = \"https\"\ncertificates = [\"kit\"]\n";
        let own = own.replacen("protocol = \"http\"\n", "", 1);
        text.extend([if is_relayed { "[[listener]]\n" } else { secured }, &own, others]);
    }
    text.push_str("\n[[certificate]]\nname = \"kit\"\nchain = \"kit.crt\"\nkey = \"kit.key\"\n");
    Some(text)
}

fn parse_listening(line: &str) -> Option<(String, SocketAddr)> {
    let (_, rest) = line.split_once(LISTENING)?;
    let (_, rest) = rest.split_once("://")?;
    let (addresses, rest) = rest.split_once(' ')?;
    let (_, name) = rest.split_once("(listener \"")?;
    let address = addresses.split('-').next()?;
    Some((name.split('"').next()?.to_owned(), address.parse().ok()?))
}

/// The tests of these text functions, called by the kit's own target; others would only repeat them.
pub(crate) fn check_text_functions() {
    assert_eq!(without_stamp("2026-01-31T12:00:00.123Z  a b"), " a b");
    assert_eq!(without_stamp("2026 a b"), "2026 a b");

    let (line, address) =
        ("listening on http://127.0.0.1:40123 (listener \"web\")", ([127, 0, 0, 1], 40_123).into());
    assert_eq!(parse_listening(line), Some(("web".to_owned(), address)));
    assert_eq!(parse_listening(&line.replace("123 ", "123-40130 ")), Some(("web".to_owned(), address)));
    let line = "ringway: listening on https://[::1]:443 (listener \"a b\")";
    assert_eq!(parse_listening(line).map(|(name, _)| name), Some("a b".to_owned()));
    assert_eq!(parse_listening("listening on nothing"), None);

    let two = "[[listener]]\naddress = [\"a:0\", \"b:0\"] # \"c\"\n[[listener]]\nname = \"x\"\naddress = \"c:0\"\n\
               [[server_group]]\n[[server_group.backend]]\naddress = \"d:1\"\n";
    assert_eq!(addresses_in(two), 3);

    let plain = "[[listener]]\nname = \"x\"\nprotocol = \"http\"\n[[server_group]]\nprotocol = \"http\"\n";
    let secured = "[[listener]]\nprotocol = \"https\"\ncertificates = [\"kit\"]\nname = \"x\"\n\
                   [[server_group]]\nprotocol = \"http\"\n\n\
                   [[certificate]]\nname = \"kit\"\nchain = \"kit.crt\"\nkey = \"kit.key\"\n";
    assert_eq!(with_tls(plain).as_deref(), Some(secured));
    assert_eq!(with_tls(secured), None);
    assert_eq!(with_tls(&format!("# in cleartext\n{plain}")), None);

    assert_eq!(with_io_driver("a = 1\n", None), "a = 1\n");
    assert_eq!(with_io_driver("a = 1\n", Some("epoll")), "a = 1\n\n[process]\nio_driver = \"epoll\"\n");
    let driven = with_io_driver("[process]\nworkers = 1\n", Some("epoll"));
    assert_eq!(driven, "[process]\nio_driver = \"epoll\"\nworkers = 1\n");
    assert_eq!(with_io_driver(&driven, Some("io_uring")), driven);
}
