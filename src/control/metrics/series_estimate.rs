//! How many series a configuration makes.

use crate::config::Config;
use crate::config::FinalAction;
use crate::config::Listener;
use crate::control::metrics::exposition::BUCKETS;
use crate::telemetry::quic_counters::QuicEvent;

/// Buckets, the one without a bound, count and sum.
const OF_HISTOGRAM: usize = BUCKETS.len() + 3;
/// Statuses of two protocols, such as 200, 304, 404 and 502.
const STATUSES: usize = 8;
const COUNTERS_OF_WAY: usize = 3;
const HISTOGRAMS_OF_WAY: usize = 3;
/// Connections, bytes, reasons, handshakes and their durations.
const OF_LISTENER: usize = 40 + OF_HISTOGRAM;
/// Classes of responses, bytes, connections, and how long three steps took.
const OF_GROUP: usize = 15 + 3 * OF_HISTOGRAM;
const OF_BACKEND: usize = 7;
const OF_CERTIFICATE: usize = 2;

/// About how many series there are once every rule has taken requests.
pub fn most_series(config: &Config) -> usize {
    let of_rules = config.rules.iter().map(|rule| match &rule.actions.last {
        FinalAction::Forward(targets) => rule.listeners.len() * targets.len(),
        FinalAction::Redirect(_) | FinalAction::Respond(_) => rule.listeners.len(),
    });
    let ways = of_rules.sum::<usize>() + 2 * config.listeners.len();
    let histograms = if config.metrics.histograms { HISTOGRAMS_OF_WAY * OF_HISTOGRAM } else { 0 };
    let counted = match config.metrics.enabled {
        true => {
            ways * (STATUSES + COUNTERS_OF_WAY + histograms)
                + config.listeners.len() * OF_LISTENER
                + config.server_groups.len() * OF_GROUP
        }
        false => 0,
    };
    let of_quic = |listener: &&Listener| listener.http().is_some_and(|http| http.carriers.has_udp());
    let quic_listeners = config.listeners.iter().filter(of_quic).count();
    let counted = counted + if config.metrics.enabled { quic_listeners * QuicEvent::ALL.len() } else { 0 };
    let backends: usize = config.server_groups.iter().map(|group| group.backends.len()).sum();
    counted + backends * OF_BACKEND + config.certificates.len() * OF_CERTIFICATE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::Source;

    /// `tests/behaviour/http3_metrics.rs` counts as many at a process.
    #[test]
    fn a_listener_with_http3_has_thirteen_series_more() {
        let series = |lines: &str| {
            let text = format!(
                "config_version = 1\n[[certificate]]\nname = \"site\"\nchain = \"/c\"\nkey = \"/k\"\n[[listener]]\n\
                 name = \"web\"\naddress = \"127.0.0.1:443\"\nprotocol = \"https\"\ncertificates = [\"site\"]\n{lines}\n"
            );
            most_series(&config::load(vec![Source::made_up("<test>", text)]).config.unwrap())
        };
        assert_eq!(series("http3 = true") - series("http3 = false"), 13);
        let off = "[metrics]\nenabled = false";
        assert_eq!(series(&format!("http3 = true\n{off}")), series(off));
    }
}
