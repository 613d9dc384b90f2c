//! Listening sockets that the service manager has opened, or kept of a process that has ended (sd_listen_fds(3)).

use std::env;

use crate::control::build::binding::InheritedSockets;
use crate::control::process::socket_store::index_in;
use crate::net::listen::PassedSocket;
use crate::telemetry::operator::log_line;

/// The first descriptor of those that are passed.
const FIRST: i32 = 3;

/// More than a process may have open is nonsense.
const MAX_PASSED: i32 = 100_000;

/// EBADF of Linux.
const NOT_OPEN: i32 = 9;

/// The sockets that are passed to this process, by address, and in the order of the index in their names. To be called before anything else is opened. What is no listening socket of TCP or UDP is closed, and told.
pub fn sockets() -> Vec<InheritedSockets> {
    let count = passed(env::var("LISTEN_PID").ok(), env::var("LISTEN_FDS").ok());
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = Vec::new();
    for number in FIRST..FIRST + count {
        let index = names.next().and_then(index_in);
        match PassedSocket::inherited(number) {
            Ok(socket) => passed.push((index, socket)),
            Err(error) if error.raw_os_error() == Some(NOT_OPEN) => {
                log_line(&format!(
                    "warning: the service manager passes fewer sockets than it says (LISTEN_FDS={count}): {number} is not open"
                ));
                break;
            }
            Err(error) => log_line(&format!(
                "warning: descriptor {number} of the service manager is of no use: {error} (LISTEN_FDS)"
            )),
        }
    }
    passed.sort_by_key(|(index, _)| *index);
    by_address(passed.into_iter().map(|(_, socket)| socket))
}

fn by_address(passed: impl Iterator<Item = PassedSocket>) -> Vec<InheritedSockets> {
    let mut sockets: Vec<InheritedSockets> = Vec::new();
    for PassedSocket { socket, kind, address, dual_stack } in passed {
        let known = sockets
            .iter_mut()
            .find(|known| (known.kind, known.address, known.dual_stack) == (kind, address, dual_stack));
        match known {
            Some(known) => known.sockets.push(socket),
            None => sockets.push(InheritedSockets {
                kind,
                wanted: address,
                dual_stack,
                address,
                listener: String::new(),
                sockets: vec![socket],
            }),
        }
    }
    sockets
}

/// How many descriptors are passed to this process.
fn passed(process: Option<String>, count: Option<String>) -> i32 {
    let is_for_us = process.and_then(|id| id.parse().ok()) == Some(std::process::id());
    let count = count.and_then(|count| count.parse().ok()).filter(|count| (0..=MAX_PASSED).contains(count));
    if is_for_us { count.unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_what_is_for_this_process_counts() {
        let own = std::process::id().to_string();
        let passed =
            |process: &str, count: &str| super::passed(Some(process.to_owned()), Some(count.to_owned()));
        assert_eq!(passed(&own, "2"), 2);
        assert_eq!([passed("1", "2"), passed(&own, "-1"), passed(&own, "many"), passed("", "2")], [0; 4]);
        assert_eq!(super::passed(None, None), 0);
    }
}
