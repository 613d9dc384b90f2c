//! What is asked of a request beside its rule, and what is done beside it, in words.

use crate::policy::overrides::LoggedRequests;
use crate::policy::overrides::Overrides;
use crate::policy::pacing::Bandwidth;
use crate::policy::rate_limit::RateLimit;
use crate::snapshot::Listener;
use crate::snapshot::bandwidth::ListenerBandwidth;
use crate::snapshot::request_limit::RequestLimit;
use crate::snapshot::rules::Rule;

/// Each with its key and what it says.
pub(super) fn details(listener: &Listener, rule: Option<&Rule>) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let mut tell = |key: &str, text: String| told.push((key.to_owned(), text));
    let http = listener.http();
    if let Some(limit) = http.and_then(|http| http.limit.as_ref()) {
        tell("listener limit", limit_text(limit));
    }
    if let Some(bandwidth) = http.and_then(|http| http.bandwidth.as_ref()) {
        tell("listener bandwidth", bandwidth_text(bandwidth));
    }
    let Some(rule) = rule else { return told };
    if let Some(limit) = &rule.limit {
        tell("limit", limit_text(limit));
    }
    let group_name = |index| listener.group(index).map_or("", |group| group.name.as_str());
    if let Some(gates) = &rule.gates {
        if let Some(auth) = &gates.basic_auth {
            tell("basic_auth", format!("401 with {} for who is no user", auth.challenge));
        }
        if let Some(auth) = &gates.forward_auth {
            let failure = if auth.passes_on_failure { "passes" } else { "gets 503" };
            let text = format!(
                "asks \"{}\" for {} first; what it does not answer within {:?} {failure}",
                group_name(auth.group),
                auth.path,
                auth.timeout
            );
            tell("forward_auth", text);
        }
    }
    if let Some(mirror) = &rule.mirror {
        let content = if mirror.with_content { "with" } else { "without" };
        let text = format!(
            "{} % of requests to \"{}\", {content} content",
            mirror.percent,
            group_name(mirror.group)
        );
        tell("mirror", text);
    }
    told.extend(overrides(&rule.overrides));
    told
}

/// What the rule says in the place of listener and group.
fn overrides(overrides: &Overrides) -> impl Iterator<Item = (String, String)> {
    let Overrides { max_body_bytes, client_body_timeout, response_timeout, tunnel_idle_timeout, .. } =
        *overrides;
    let Overrides { bandwidth_bytes_per_second, log, sample, .. } = *overrides;
    let timeouts = [
        ("client_body_timeout", client_body_timeout),
        ("response_timeout", response_timeout),
        ("tunnel_idle_timeout", tunnel_idle_timeout),
    ];
    let timeouts = timeouts.into_iter().filter_map(|(key, time)| Some((key, format!("{:?}", time?))));
    let content = max_body_bytes.map(|bytes| match bytes {
        0 => "unlimited".to_owned(),
        bytes => format!("{bytes} bytes"),
    });
    let log = log.map(|log| match log {
        LoggedRequests::All => "all",
        LoggedRequests::Errors => "errors",
        LoggedRequests::Off => "off",
    });
    let content = content.map(|text| ("max_body_bytes", text));
    let log = log.map(|word| ("log", word.to_owned()));
    let sample = sample.map(|sample| ("sample", sample.fraction().to_string()));
    let bandwidth = bandwidth_bytes_per_second.map(|bytes| ("bandwidth_bytes_per_second", bytes.to_string()));
    content
        .into_iter()
        .chain(timeouts)
        .chain(bandwidth)
        .chain(log)
        .chain(sample)
        .map(|(key, text)| (key.to_owned(), text))
}

fn bandwidth_text(limits: &ListenerBandwidth) -> String {
    let text = |bandwidth: Bandwidth, whose: &str| {
        format!("{} bytes per second{whose}, in each direction", bandwidth.bytes_per_second())
    };
    let total = limits.total.as_ref().map(|limit| text(limit.bandwidth, ""));
    let per_client = limits.per_client.as_ref().map(|limit| text(limit.bandwidth, " of each client"));
    total.into_iter().chain(per_client).collect::<Vec<_>>().join("; ")
}

fn limit_text(limit: &RequestLimit) -> String {
    let rate = |limit: &RateLimit, whose: &str| {
        let burst =
            if limit.burst == 0 { String::new() } else { format!(" with a burst of {}", limit.burst) };
        format!("{} requests per second{whose}{burst}", limit.per_second)
    };
    let total = limit.total.as_ref().map(|(limit, _)| rate(limit, ""));
    let per_client = limit.per_client.as_ref().map(|limit| rate(&limit.limit, " of each client"));
    total.into_iter().chain(per_client).collect::<Vec<_>>().join(", ")
}
