//! Signals, as sentences of the operator.

use std::io;

use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGQUIT;
use signal_hook::consts::SIGTERM;
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// TERM or INT: end gracefully within `shutdown_timeout`; a second one ends at once.
    Stop,
    /// QUIT: end gracefully, however long it takes.
    StopWithoutBound,
    /// USR1: open log files anew.
    ReopenLogs,
    /// HUP: read certificates and what belongs to them anew.
    Reload,
}

/// Calls `obey` with each order, on a thread of its own, for as long as the process lives.
pub fn listen(obey: impl Fn(Order) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGHUP])?;
    let relay = move || {
        for signal in &mut signals {
            match signal {
                SIGQUIT => obey(Order::StopWithoutBound),
                SIGUSR1 => obey(Order::ReopenLogs),
                SIGHUP => obey(Order::Reload),
                _ => obey(Order::Stop),
            }
        }
    };
    std::thread::Builder::new().name("ringway-signals".to_owned()).spawn(relay).map(drop)
}
