//! The keys of `[[listener]]` that are about datagrams that are relayed.

use std::time::Duration;

use crate::config::DatagramListener;
use crate::config::check::kind::Integer;
use crate::config::check::kind::seconds;
use crate::config::check::limits::BANDWIDTH;
use crate::config::check::section::Section;

/// Those of `[defaults.listener]` that are of use to listeners of datagrams, beside those of every listener.
pub(super) const KEYS: [&str; 3] = ["requests", "responses", "bandwidth_bytes_per_second"];

pub(super) fn datagram_listener(section: &mut Section<'_, '_>) -> DatagramListener {
    let idle_timeout = section.read("idle_timeout", &seconds(1, 4_000), Duration::from_secs(60));
    let requests = section.read("requests", &Integer(0..=1_000_000), 0);
    let unset = "a session ends when both sides are silent";
    let responses = section.read_optional("responses", &Integer(0..=1_000_000), unset);
    DatagramListener {
        idle_timeout,
        bandwidth_bytes_per_second: section.read("bandwidth_bytes_per_second", &BANDWIDTH, 0),
        requests,
        responses: responses.map(|(responses, _)| responses),
    }
}
