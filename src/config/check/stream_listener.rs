//! The keys of `[[listener]]` that are about connections that are relayed.

use std::time::Duration;

use crate::config::StreamListener;
use crate::config::check::kind::seconds;
use crate::config::check::limits::BANDWIDTH;
use crate::config::check::section::Section;

/// Those of `[defaults.listener]` that are of use to listeners that do not speak HTTP. Others pass them by.
pub(super) const KEYS: [&str; 15] = [
    "enabled",
    "protocol",
    "default_group",
    "description",
    "tags",
    "deletion_protection",
    "modification_protection",
    "max_connections",
    "connections_per_second",
    "per_client",
    "proxy_protocol",
    "allow",
    "deny",
    "idle_timeout",
    "bandwidth_bytes_per_second",
];

pub(super) fn stream_listener(section: &mut Section<'_, '_>) -> StreamListener {
    StreamListener {
        idle_timeout: section.read("idle_timeout", &seconds(10, 4_000), Duration::from_secs(900)),
        bandwidth_bytes_per_second: section.read("bandwidth_bytes_per_second", &BANDWIDTH, 0),
    }
}
