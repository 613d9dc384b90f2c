//! Keys of a rule that take the place of those of its listener and its group.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::SampleFraction;
use crate::config::check::kind::Size;
use crate::config::check::kind::Time;
use crate::config::check::kind::seconds;
use crate::config::check::limits::BANDWIDTH;
use crate::config::check::listener::MAX_BODY;
use crate::config::check::listener::WEEK;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::policy::overrides::LoggedRequests;
use crate::policy::overrides::Overrides;
use crate::policy::overrides::Sample;

const LOGGED: Choice<LoggedRequests> = Choice {
    words: &[("all", LoggedRequests::All), ("errors", LoggedRequests::Errors), ("off", LoggedRequests::Off)],
    aliases: &[],
    later: &[],
};

/// A rule may be for requests that take long, which a group cannot be.
const MAX_RESPONSE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

const BODY: Size = Size(0..=MAX_BODY);
const BODY_TIMEOUT: Time = seconds(1, 900);
const RESPONSE_TIMEOUT: Time = Time(Duration::from_millis(100)..=MAX_RESPONSE_TIMEOUT);
const TUNNEL_TIMEOUT: Time = seconds(0, WEEK);

/// What [`read`] takes for this key; None: the key is none of these.
pub(super) fn overrides_schema(key: &str) -> Option<Json> {
    Some(match key {
        "max_body_bytes" => BODY.schema(),
        "client_body_timeout" => BODY_TIMEOUT.schema(),
        "response_timeout" => RESPONSE_TIMEOUT.schema(),
        "tunnel_idle_timeout" => TUNNEL_TIMEOUT.schema(),
        "bandwidth_bytes_per_second" => BANDWIDTH.schema(),
        "sample" => SampleFraction.schema(),
        "log" => LOGGED.schema(),
        _ => return None,
    })
}

/// One of the keys.
#[derive(Clone, Copy)]
pub(super) enum Override {
    MaxBodyBytes(u64),
    ClientBodyTimeout(Duration),
    ResponseTimeout(Duration),
    TunnelIdleTimeout(Duration),
    Bandwidth(u64),
    Log(LoggedRequests),
    Sample(Sample),
}

/// None: the key is none of these, or it was reported what is wrong.
pub(super) fn read(key: &str, raw: &raw::Value, report: &mut Report) -> Option<Override> {
    match key {
        "max_body_bytes" => BODY.parse(key, raw, report).map(Override::MaxBodyBytes),
        "client_body_timeout" => BODY_TIMEOUT.parse(key, raw, report).map(Override::ClientBodyTimeout),
        "response_timeout" => RESPONSE_TIMEOUT.parse(key, raw, report).map(Override::ResponseTimeout),
        "tunnel_idle_timeout" => TUNNEL_TIMEOUT.parse(key, raw, report).map(Override::TunnelIdleTimeout),
        "bandwidth_bytes_per_second" => BANDWIDTH.parse(key, raw, report).map(Override::Bandwidth),
        "sample" => SampleFraction.parse(key, raw, report).map(Override::Sample),
        "log" => LOGGED.parse(key, raw, report).map(Override::Log),
        _ => None,
    }
}

/// What the keys of one rule say.
#[derive(Default)]
pub(super) struct ReadOverrides {
    pub(super) overrides: Overrides,
    /// Where one stands that has an effect only on requests that are forwarded.
    backends: Option<(&'static str, Location)>,
}

impl ReadOverrides {
    /// Reports a key that is there already.
    pub(super) fn add(&mut self, one: Override, location: Location, report: &mut Report) {
        let ReadOverrides { overrides, backends } = self;
        let is_second = match one {
            Override::MaxBodyBytes(bytes) => overrides.max_body_bytes.replace(bytes).is_some(),
            Override::ClientBodyTimeout(time) => overrides.client_body_timeout.replace(time).is_some(),
            Override::ResponseTimeout(time) => {
                *backends = Some(("response_timeout", location));
                overrides.response_timeout.replace(time).is_some()
            }
            Override::TunnelIdleTimeout(time) => {
                *backends = Some(("tunnel_idle_timeout", location));
                overrides.tunnel_idle_timeout.replace(time).is_some()
            }
            Override::Bandwidth(bytes) => overrides.bandwidth_bytes_per_second.replace(bytes).is_some(),
            Override::Log(logged) => overrides.log.replace(logged).is_some(),
            Override::Sample(sample) => overrides.sample.replace(sample).is_some(),
        };
        if is_second {
            report.error(location, "the rule says this twice", "keep one of the two");
        }
    }

    /// Reports what has no effect on a rule that does not forward.
    pub(super) fn check_use(&self, forwards: bool, report: &mut Report) {
        if let Some((key, location)) = self.backends.filter(|_| !forwards) {
            let message = format!("`{key}` has no effect: the rule does not forward its requests");
            report.warning(location, message, "remove it");
        }
    }
}
