//! Control commands: a unix socket, a thread that accepts, and an answer to each command; and an address for HTTP, where
//! metrics and health are read.
//!
//! `docs/admin.md` describes the protocol.

pub mod access;
mod api;
mod backend;
mod audit;
pub mod client;
mod client_slots;
mod collect;
mod commands;
mod command_server;
mod connection;
mod console;
mod elb;
pub mod events;
pub mod maintenance;
mod http;
pub mod http_client;
mod load;
mod pages;
pub mod reply;
pub mod status;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use crate::control::active_config::Channels;
use crate::control::admin::client_slots::ClientSlots;
pub use crate::control::admin::command_server::BACKEND;
use crate::control::admin::command_server::CommandServer;
pub use crate::control::admin::command_server::EVENTS;
pub use crate::control::admin::command_server::EXPLAIN;
pub use crate::control::admin::command_server::MAINTENANCE;
pub use crate::control::admin::command_server::RELOAD_TIMEOUT;
pub use crate::control::admin::command_server::TAKE_OVER;
pub use crate::control::admin::command_server::UPGRADE;
pub use crate::control::admin::command_server::UPGRADE_TIMEOUT;
pub use crate::control::admin::command_server::UpgradeOrder;
use crate::control::admin::connection::CommandAnswer;
use crate::control::admin::http::HttpServer;
use crate::control::admin::pages::Pages;
use crate::control::admin::reply::error;
use crate::control::admin::status::Status;
use crate::control::json_reader;
use crate::control::reload::Command;
use crate::net::unix_listener::ListenError;
use crate::net::unix_listener::PrivateListener;
use crate::telemetry::operator::log_line;

/// Clients that are answered at a time.
const MAX_CLIENTS: usize = 8;

/// How long the process at the other end of an old socket has to say whether it is about to end.
const GIVE_WAY_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the running process is asked: the socket of the control commands, and an address for HTTP. Dropping it removes
/// the socket's file.
pub struct Admin {
    socket: Option<PrivateListener>,
    http: Option<HttpServer>,
    server: Arc<CommandServer>,
    /// What the threads that accept wait for.
    doors: Vec<Sender<()>>,
}

/// Why there can be no control commands.
#[derive(Debug)]
pub struct AdminError {
    path: PathBuf,
    error: ListenError,
}

impl Admin {
    /// Not reachable yet.
    pub fn new(channels: Channels, commands: Sender<Command>) -> Admin {
        let server = CommandServer::new(channels, commands);
        Admin { socket: None, http: None, server: Arc::new(server), doors: Vec::new() }
    }

    /// Prepares the socket beside that of the process before, whose place it takes with [`Admin::serve`].
    pub fn bind_socket_beside(&mut self, path: &Path) -> Result<(), AdminError> {
        let listener = PrivateListener::bind_beside(path)
            .map_err(|error| AdminError { path: path.to_owned(), error: error.into() })?;
        self.socket = Some(listener);
        Ok(())
    }

    /// Makes the socket. Commands wait in it until [`Admin::serve`].
    pub fn bind_socket(&mut self, path: &Path) -> Result<(), AdminError> {
        let listener = PrivateListener::bind(path, gives_way)
            .map_err(|error| AdminError { path: path.to_owned(), error })?;
        self.socket = Some(listener);
        Ok(())
    }

    /// Listens for HTTP. Clients wait until [`Admin::serve`]. Returns the address with its port.
    pub fn bind_address(&mut self, address: SocketAddr, hosts: &[String]) -> io::Result<SocketAddr> {
        let http = HttpServer::bind(address, hosts)?;
        let address = http.address();
        self.http = Some(http);
        Ok(address)
    }

    /// The same with the listening socket of the process before.
    pub fn inherit_address(
        &mut self,
        (address, socket): (SocketAddr, OwnedFd),
        hosts: &[String],
    ) -> io::Result<SocketAddr> {
        let http = HttpServer::inherit(address, socket, hosts)?;
        self.http = Some(http);
        Ok(address)
    }

    /// Prepares to answer, in threads of its own.
    ///
    /// All of them start here: where memory has become short, a thread that starts later takes the process
    /// with it, because the standard library gives up when it finds no room for its signal stack.
    pub fn serve(&mut self) -> io::Result<()> {
        let pages = Arc::new(Pages::new(&self.server));
        if let Some(http) = &self.http {
            self.doors.push(http.serve(&pages, &self.server.channels().succession)?);
        }
        let Some(socket) = &self.socket else { return Ok(()) };
        let acceptor = socket.acceptor()?;
        let server = Arc::clone(&self.server);
        let serve = move |stream| {
            let answer = |command: &str, stream: &UnixStream| match command {
                TAKE_OVER => server.offer(stream),
                command => CommandAnswer::Document(commands::answer(&server, command, stream)),
            };
            // A client that went away gets no more.
            connection::handle(stream, answer, |stream, received| {
                drop(http::serve_unix(stream, received, &pages))
            });
        };
        let slots = ClientSlots::start(MAX_CLIENTS, "ringway-command", serve)?;
        let reject = |stream| {
            connection::reject(stream, &error("too many clients at a time, try again".to_owned()));
        };
        let (door, opened) = mpsc::channel();
        self.doors.push(door);
        let body = move || {
            // Whoever holds the door ends with the process.
            opened.recv().unwrap_or_default();
            slots.fill(|| Ok(Some(acceptor.accept()?.0)), reject);
        };
        thread::Builder::new().name("ringway-admin".to_owned()).spawn(body).map(drop)
    }

    /// Accepts clients from now on, in the place of the process before if there is one. Nothing that can fail ends anything.
    pub fn open(&self) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.take_place()
        {
            let path = socket.path().display();
            log_line(&format!("error: control commands cannot reach this process at {path}: {error}"));
        }
        self.doors.iter().for_each(|door| door.send(()).unwrap_or_default());
    }
}

impl AdminError {
    /// Whether another process has the address, which may pass.
    pub fn is_taken(&self) -> bool {
        matches!(self.error, ListenError::Taken)
    }
}

/// Whether a process that still listens has begun to stop.
fn gives_way(stream: UnixStream) -> bool {
    let answer = client::send_over(stream, "status", GIVE_WAY_TIMEOUT);
    // By reference, as commands read it: the code that reads it is then there once.
    answer.is_ok_and(|answer| json_reader::read(&answer).is_ok_and(|status: Status| status.stopping))
}

impl fmt::Display for AdminError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(out, "cannot take commands at {path}: ")?;
        match &self.error {
            ListenError::Taken => {
                write!(out, "another process listens there (see: ss -lxp src {path}); ")?;
                out.write_str("stop it or change admin.socket")
            }
            ListenError::NoSocket => {
                out.write_str("what is there is no socket; remove it or change admin.socket")
            }
            ListenError::System(error) => {
                let folder = self.path.parent().unwrap_or(Path::new("/")).display();
                write!(out, "{error}; ")?;
                match error.kind() {
                    io::ErrorKind::NotFound => {
                        write!(out, "make the folder {folder} (systemd: RuntimeDirectory=)")
                    }
                    io::ErrorKind::PermissionDenied => write!(
                        out,
                        "let the user of ringway write to {folder} (systemd: RuntimeDirectory=) or change \
                         admin.socket"
                    ),
                    _ => out.write_str("change admin.socket"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_named_with_a_fix() {
        let path = PathBuf::from("/run/ringway/admin.sock");
        for (error, words) in [
            (ListenError::Taken, "admin.sock: another process listens there (see: ss -lxp src /run/"),
            (ListenError::NoSocket, "what is there is no socket; remove it"),
            (io::Error::from_raw_os_error(2).into(), "make the folder /run/ringway (systemd"),
            (io::Error::from_raw_os_error(13).into(), "write to /run/ringway (systemd"),
            (io::Error::from_raw_os_error(5).into(), "change admin.socket"),
        ] {
            let text = AdminError { path: path.clone(), error }.to_string();
            assert!(text.contains(words), "{text}");
        }
    }
}
