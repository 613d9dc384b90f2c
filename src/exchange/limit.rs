//! Limits on requests: of the listener, and of the rule that takes one.

use crate::exchange::message::Origin;
use crate::policy::forwarded::Client;
use crate::snapshot::request_limit::ExceededLimit;
use crate::snapshot::request_limit::RequestLimit;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Counts a request against the limits of its listener.
#[inline]
pub(super) fn by_listener(client: &Client<'_>, origin: &Origin<'_>, worker: &Worker) -> Result<(), Reason> {
    match &origin.http.limit {
        None => Ok(()),
        Some(limit) => admit(limit, client, worker).map_err(|exceeded| {
            let word = match exceeded {
                ExceededLimit::Total => "listener_rate_limit",
                ExceededLimit::PerClient => "client_rate_limit",
            };
            Reason::RateLimited(word, origin.http.limit_status)
        }),
    }
}

/// Counts a request against the limits of the rule with this index.
#[inline]
pub(super) fn by_rule(
    rule: Option<u32>,
    client: &Client<'_>,
    origin: &Origin<'_>,
    worker: &Worker,
) -> Result<(), Reason> {
    match rule.and_then(|rule| origin.http.rule(rule)).and_then(|rule| rule.limit.as_ref()) {
        None => Ok(()),
        Some(limit) => admit(limit, client, worker).map_err(|exceeded| {
            let word = match exceeded {
                ExceededLimit::Total => "rule_rate_limit",
                ExceededLimit::PerClient => "rule_client_rate_limit",
            };
            Reason::RateLimited(word, origin.http.limit_status)
        }),
    }
}

fn admit(limit: &RequestLimit, client: &Client<'_>, worker: &Worker) -> Result<(), ExceededLimit> {
    limit.admit(client.address, worker.clock.shared_ns(worker.clock.now()))
}
