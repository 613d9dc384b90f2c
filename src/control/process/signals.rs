//! Signals, as sentences of the operator.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGQUIT;
use signal_hook::consts::SIGTERM;
use signal_hook::consts::SIGUSR1;
use signal_hook::consts::SIGUSR2;
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::iterator::SignalsInfo;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// TERM or INT: end gracefully within `shutdown_timeout`; a second one ends at once.
    Stop,
    /// QUIT: end gracefully, however long it takes.
    StopWithoutBound,
    /// USR1: reopen log files.
    ReopenLogs,
    /// USR2: hand everything over to a new process.
    Upgrade,
    /// HUP: read the configuration, and every file that it names, again.
    Reload,
}

/// Signals that wait until a thread listens.
pub struct Noticed(SignalsInfo);

/// From now on HUP, USR1 and USR2 do not end the process, as they would by default. The signals that are to end it
/// still do so at once, until a thread listens. Nor does XFSZ: a log that reaches the largest size of a file
/// (`LimitFSIZE=`) is a log that cannot be written, as on a full disk.
pub fn notice() -> io::Result<Noticed> {
    Ok(Noticed(Signals::new([SIGUSR1, SIGUSR2, SIGHUP, SIGXFSZ])?))
}

/// Calls `obey` with each order, on a thread of its own, for as long as the process lives.
pub fn listen(noticed: Noticed, obey: impl Fn(SignalAction) + Send + 'static) -> io::Result<()> {
    let Noticed(mut signals) = noticed;
    for signal in [SIGTERM, SIGINT, SIGQUIT] {
        signals.handle().add_signal(signal)?;
    }
    let relay = move || {
        for signal in &mut signals {
            match signal {
                SIGQUIT => obey(SignalAction::StopWithoutBound),
                SIGUSR1 => obey(SignalAction::ReopenLogs),
                SIGUSR2 => obey(SignalAction::Upgrade),
                SIGHUP => obey(SignalAction::Reload),
                SIGXFSZ => {}
                _ => obey(SignalAction::Stop),
            }
        }
    };
    std::thread::Builder::new().name("ringway-signals".to_owned()).spawn(relay).map(drop)
}

/// From now on HUP, INT, QUIT and TERM end nothing: they set what is returned, for a command that has to tidy up.
pub fn note_ending() -> io::Result<Arc<AtomicBool>> {
    let is_ending = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        flag::register(signal, Arc::clone(&is_ending))?;
    }
    Ok(is_ending)
}
