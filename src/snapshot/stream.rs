//! A listener that relays connections, and the rules by which it chooses among groups.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::http::headers::Headers;
use crate::policy::router::Condition;
use crate::policy::router::Router;
use crate::policy::router::RoutingFacts;
use crate::policy::router::RuleVerdict;
use crate::snapshot::bandwidth::ListenerBandwidth;
use crate::snapshot::routes::RouteSeries;
use crate::snapshot::rules::Targets;
use crate::telemetry::relay_counters::RelayCounters;

/// How connections are relayed.
pub struct StreamListener {
    /// How long neither side may say anything.
    pub idle_timeout: Duration,
    /// Bytes per second; None: unlimited.
    pub bandwidth: Option<Box<ListenerBandwidth>>,
    /// Clients speak TLS with the backend; their first message tells where they want to go.
    pub passthrough: bool,
    /// None: every connection goes to the default group.
    pub rules: Option<StreamRules>,
    /// The counters of connections that no rule takes.
    pub series: RouteSeries<RelayCounters>,
}

/// What is known of a connection that is to be relayed.
#[derive(Clone, Copy, Debug)]
pub struct StreamFacts<'f> {
    /// The name that the client asked for in its TLS handshake, in lower case; empty without.
    pub server_name: &'f str,
    /// The protocols that it offered there, each behind a byte that tells its length.
    pub alpn: &'f [u8],
    pub source: IpAddr,
}

/// Rules, in the order in which they are asked.
pub struct StreamRules {
    router: Router,
    rules: Box<[StreamRule]>,
}

/// Which groups share the connections that a rule takes.
pub struct StreamRule {
    pub name: Arc<str>,
    pub priority: u32,
    pub targets: Targets,
    /// The counters of the connections that it takes.
    pub series: RouteSeries<RelayCounters>,
}

impl StreamRules {
    /// `router` asks the same rules in the same order, by the name as by a host.
    pub fn new(router: Router, rules: Vec<StreamRule>) -> StreamRules {
        StreamRules { router, rules: rules.into() }
    }

    pub fn iter(&self) -> impl Iterator<Item = &StreamRule> {
        self.rules.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut StreamRule> {
        self.rules.iter_mut()
    }

    pub fn get(&self, index: usize) -> Option<&StreamRule> {
        self.rules.get(index)
    }

    /// The index of the rule that takes a connection.
    pub fn find(&self, facts: &StreamFacts<'_>) -> Option<usize> {
        let headers = Headers::new();
        self.router.find(&routing_facts(facts, &headers), &mut self.router.scratch())
    }

    /// What each rule says of a connection, whichever takes it.
    pub fn explain(&self, facts: &StreamFacts<'_>) -> Vec<RuleVerdict> {
        let headers = Headers::new();
        self.router.explain(&routing_facts(facts, &headers), &mut self.router.scratch())
    }

    /// What a condition of a rule asks for, as it stands in a configuration.
    pub fn describe(&self, rule: usize, condition: usize) -> Option<String> {
        // The router knows names as hosts.
        Some(match self.router.conditions(rule).get(condition)? {
            Condition::Host(tests) => Condition::Sni(tests.clone()).describe(),
            other => other.describe(),
        })
    }
}

/// The same as the router sees it: a name is to a connection what the host is to a request.
fn routing_facts<'f>(facts: &StreamFacts<'f>, headers: &'f Headers<'f>) -> RoutingFacts<'f, 'f> {
    RoutingFacts {
        host: facts.server_name.as_bytes(),
        path: b"",
        query: b"",
        method: b"",
        headers,
        source: facts.source,
        alpn: facts.alpn,
    }
}
