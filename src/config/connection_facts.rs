//! What the configuration wants to know of clients' TLS connections.

use crate::config::AccessLogFormat;
use crate::config::Config;
use crate::config::Listener;
use crate::config::log_fields;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::identity::Fact;

const FINGERPRINTS: [Fact; 2] = [Fact::TlsJa3, Fact::TlsJa4];

impl Config {
    /// What rules and edits of the listener with this index write into headers, each once.
    pub fn connection_facts(&self, listener: usize) -> Vec<Fact> {
        let of_rules = self
            .rules
            .iter()
            .filter(|rule| rule.listeners.contains(&listener))
            .flat_map(|rule| rule.actions.request_headers.iter().chain(&rule.actions.response_headers));
        let of_responses = self
            .response_rules
            .iter()
            .filter(|rule| rule.listeners.contains(&listener))
            .flat_map(|rule| &rule.headers);
        let http = self.listeners.get(listener).and_then(Listener::http);
        let own = http.into_iter().flat_map(|http| &http.response_headers);
        let mut facts = Vec::new();
        for fact in own.chain(of_rules).chain(of_responses).filter_map(HeaderEdit::connection_fact) {
            if !facts.contains(&fact) {
                facts.push(fact);
            }
        }
        facts
    }

    /// Whether the fingerprints of the clients of the listener with this index are wanted.
    pub fn wants_fingerprints(&self, listener: usize) -> bool {
        let of_log = self.access_logs.iter().flat_map(|log| &log.fields);
        let mut of_log = of_log.filter(|field| log_fields::FINGERPRINTS.contains(field));
        let http = self.listeners.get(listener).and_then(Listener::http);
        let told = http.into_iter().flat_map(|http| &http.forwarded.identity).map(|(fact, _)| *fact);
        let of_template = self.access_logs.iter().any(|log| match &log.format {
            AccessLogFormat::Template(template) => template.tells_fingerprints(),
            AccessLogFormat::Json | AccessLogFormat::Combined => false,
        });
        of_template
            || of_log.next().is_some()
            || told.chain(self.connection_facts(listener)).any(|fact| FINGERPRINTS.contains(&fact))
    }
}
