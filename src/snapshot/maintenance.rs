//! Rules and server groups that are not served for a while.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::policy::router::SourceTest;
use crate::snapshot::error_pages::PageContent;

/// What is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MaintenanceOwner {
    Rule,
    ServerGroup,
}

impl MaintenanceOwner {
    /// As the JSON of the admin socket says it.
    pub fn as_str(self) -> &'static str {
        match self {
            MaintenanceOwner::Rule => "rule",
            MaintenanceOwner::ServerGroup => "server_group",
        }
    }

    /// The same in a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            MaintenanceOwner::Rule => "rule",
            MaintenanceOwner::ServerGroup => "server group",
        }
    }
}

/// Whether something of this name is served; kept over reloads.
pub struct MaintenanceSwitch {
    pub owner: MaintenanceOwner,
    pub name: String,
    is_on: AtomicBool,
    /// When that was switched, in milliseconds of the monotonic clock; 0: at the start.
    since_ms: AtomicU64,
}

impl MaintenanceSwitch {
    pub fn new(owner: MaintenanceOwner, name: String, is_on: bool) -> MaintenanceSwitch {
        let since_ms = AtomicU64::new(0);
        MaintenanceSwitch { owner, name, is_on: AtomicBool::new(is_on), since_ms }
    }

    /// Maintenance begins or ends; true if that changes anything.
    pub fn turn(&self, is_on: bool, now_ms: u64) -> bool {
        let has_changed = self.is_on.swap(is_on, Ordering::Relaxed) != is_on;
        if has_changed {
            self.since_ms.store(now_ms, Ordering::Relaxed);
        }
        has_changed
    }

    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    pub fn since_ms(&self) -> u64 {
        self.since_ms.load(Ordering::Relaxed)
    }
}

/// The switch of a rule or a server group, and what clients get meanwhile.
pub struct Maintenance {
    pub switch: Arc<MaintenanceSwitch>,
    pub terms: Option<Box<MaintenanceTerms>>,
}

/// What clients get, where that is not what is usual.
pub struct MaintenanceTerms {
    pub status: u16,
    /// Seconds, as they are sent.
    pub retry_after: Option<String>,
    pub page: Option<Arc<PageContent>>,
    /// Clients that are served all the same.
    pub allow: SourceTest,
}

impl Maintenance {
    /// Whether this client is not served.
    #[inline]
    pub fn keeps_out(&self, client: IpAddr) -> bool {
        self.switch.is_on() && !self.terms.as_ref().is_some_and(|terms| terms.allow.holds(client))
    }

    pub fn status(&self) -> u16 {
        self.terms.as_ref().map_or(503, |terms| terms.status)
    }
}
