//! Rules and server groups that are not served for a while: their switches stay over reloads, by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config;
use crate::config::Config;
use crate::control::build::conditions;
use crate::control::build::parts::Parts;
use crate::control::credentials::error_pages;
use crate::control::handover::state::CarriedSwitch;
use crate::snapshot::maintenance::Maintenance;
use crate::snapshot::maintenance::MaintenanceOwner;
use crate::snapshot::maintenance::MaintenanceSwitch;
use crate::snapshot::maintenance::MaintenanceTerms;
use crate::telemetry::events::maintenance_news;
use crate::telemetry::operator::note_event;

/// The switches of all rules and server groups.
#[derive(Default)]
pub(super) struct Switches {
    by_name: HashMap<(MaintenanceOwner, String), KnownSwitch>,
}

struct KnownSwitch {
    switch: Arc<MaintenanceSwitch>,
    /// What the configuration said last.
    configured: bool,
}

impl Switches {
    fn switch(&mut self, owner: MaintenanceOwner, name: &str, configured: bool) -> Arc<MaintenanceSwitch> {
        let known = self.by_name.entry((owner, name.to_owned())).or_insert_with(|| KnownSwitch {
            switch: Arc::new(MaintenanceSwitch::new(owner, name.to_owned(), configured)),
            configured,
        });
        Arc::clone(&known.switch)
    }

    /// What a successor of the process takes over.
    pub(super) fn carried(&self) -> Vec<CarriedSwitch> {
        let known = self.by_name.iter().map(|((owner, name), known)| CarriedSwitch {
            kind: owner.as_str().to_owned(),
            name: name.clone(),
            configured: known.configured,
            is_on: known.switch.is_on(),
            since_ms: known.switch.since_ms(),
        });
        known.collect()
    }

    /// Goes on with what was switched by command in another process, where the configuration says the same as there.
    pub(super) fn inherit(&self, carried: &CarriedSwitch) {
        let owners = [MaintenanceOwner::Rule, MaintenanceOwner::ServerGroup];
        let owner = owners.into_iter().find(|owner| owner.as_str() == carried.kind);
        let known = owner.and_then(|owner| self.by_name.get(&(owner, carried.name.clone())));
        if let Some(known) = known.filter(|known| known.configured == carried.configured) {
            known.switch.turn(carried.is_on, carried.since_ms);
        }
    }

    /// What a rule or a server group of this name is served by.
    pub(super) fn build(
        &mut self,
        (owner, name): (MaintenanceOwner, &str),
        wanted: Option<&config::Maintenance>,
        parts: &Parts<'_>,
    ) -> Maintenance {
        let credentials = &parts.security.credentials;
        let terms = wanted.map(|wanted| {
            let retry_after = wanted.retry_after.map(|wait| wait.as_secs().to_string());
            Box::new(MaintenanceTerms {
                status: wanted.status,
                retry_after,
                page: error_pages::page_of(wanted, &credentials.error_pages),
                allow: conditions::filled_sources(&wanted.allow, &credentials.ip_groups),
            })
        });
        let switch = self.switch(owner, name, wanted.is_some_and(|wanted| wanted.enabled));
        Maintenance { switch, terms }
    }

    /// Takes over what a configuration says that goes into service, and gives the switches of all that it has for requests,
    /// rules first; connections and datagrams cannot be answered with a page. What was switched by command stays until the configuration says something else than before.
    pub(super) fn adopt(&mut self, config: &Config, now_ms: u64) -> Vec<Arc<MaintenanceSwitch>> {
        let rules = config
            .rules
            .iter()
            .filter(|rule| rule.listeners.iter().any(|index| takes_requests(config, *index)))
            .map(|rule| (MaintenanceOwner::Rule, rule.name.as_str(), rule.maintenance.as_ref()));
        let groups =
            config.server_groups.iter().filter(|group| group.protocol.is_http()).map(|group| {
                (MaintenanceOwner::ServerGroup, group.name.as_str(), group.maintenance.as_ref())
            });
        let mut staying = HashMap::with_capacity(config.rules.len() + config.server_groups.len());
        let mut switches = Vec::with_capacity(staying.capacity());
        for (owner, name, wanted) in rules.chain(groups) {
            let configured = wanted.is_some_and(|wanted| wanted.enabled);
            let switch = self.switch(owner, name, configured);
            let key = (owner, name.to_owned());
            let before = self.by_name.get(&key).map(|known| known.configured);
            if before.is_some_and(|before| before != configured) && switch.turn(configured, now_ms) {
                let (word, whose) = (if configured { "on" } else { "off" }, owner.in_words());
                let message = format!("maintenance of {whose} \"{name}\" is {word}, by configuration");
                note_event(maintenance_news(configured, message).of(owner.as_str(), name));
            }
            switches.push(Arc::clone(&switch));
            staying.insert(key, KnownSwitch { switch, configured });
        }
        self.by_name = staying;
        switches
    }
}

fn takes_requests(config: &Config, listener: usize) -> bool {
    config.listeners.get(listener).is_some_and(|listener| listener.http().is_some())
}
