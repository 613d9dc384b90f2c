//! The access logs that the process opened at its start, and which listeners write to them.

use crate::config::AccessLog;
use crate::config::Config;
use crate::telemetry::log_set::LogSet;

/// The access logs of the process, in the order in which workers have them. A reload changes who writes to them, no more.
pub struct OpenLogs(Vec<OpenLog>);

struct OpenLog {
    name: String,
    /// What the configuration said at the start; None: all.
    listeners: Option<Vec<String>>,
}

impl OpenLogs {
    pub fn of(config: &Config) -> OpenLogs {
        let name_of = |index: &usize| Some(config.listeners.get(*index)?.name.clone());
        let open = |log: &AccessLog| OpenLog {
            name: log.name.clone(),
            listeners: log.listeners.as_ref().map(|listeners| listeners.iter().filter_map(name_of).collect()),
        };
        OpenLogs(config.access_logs.iter().map(open).collect())
    }

    /// The logs that the listener with this index writes to.
    pub(super) fn of_listener(&self, index: usize, config: &Config) -> LogSet {
        let names: Vec<&str> = self.0.iter().map(|log| log.name.as_str()).collect();
        let name = config.listeners.get(index).map_or("", |listener| listener.name.as_str());
        LogSet::of(self.0.iter().enumerate().map(|(place, log)| {
            match successor(&names, place, &config.access_logs) {
                Some(log) => log.listeners.as_ref().is_none_or(|listeners| listeners.contains(&index)),
                // It stays open until the next start.
                None => {
                    let is_it = |listener: &String| listener == name;
                    log.listeners.as_ref().is_none_or(|listeners| listeners.iter().any(is_it))
                }
            }
        }))
    }
}

/// What another configuration says of the log at this place: the log of the same name, else the one at its place with a
/// name that is new, if there are as many as before.
pub fn successor<'w>(open: &[&str], place: usize, wanted: &'w [AccessLog]) -> Option<&'w AccessLog> {
    let name = open.get(place)?;
    wanted.iter().find(|log| log.name == *name).or_else(|| {
        let renamed = wanted.get(place).filter(|log| !open.contains(&log.name.as_str()));
        renamed.filter(|_| open.len() == wanted.len())
    })
}
