//! Certificates, keys, CAs and revocation lists that change on disk, brought into service while the
//! process serves. Established connections keep what they were made with.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::config::NamedFile;
use crate::config::Verify;
use crate::control::authorities;
use crate::control::certificates;
use crate::control::certificates::KeptReadFile;
use crate::control::expiry::Expiry;
use crate::control::files::Files;
use crate::control::tls::Security;
use crate::net::clock::wall_now;
use crate::snapshot::Snapshot;
use crate::telemetry::operator::tell;

/// How often files are looked at. A thousand files then cost half a per cent of a CPU.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

const LOOKS_PER_MINUTE: u32 = 240;

/// Looks that something may fail before it is reported: a certificate and its key are seldom replaced
/// in the same moment.
const PATIENT_LOOKS: u32 = 4;

/// What has files of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    /// Index in [`Config::certificates`].
    Certificate(usize),
    /// Index in [`Config::authorities`].
    Authority(usize),
}

struct Reloader {
    config: Config,
    read_file: KeptReadFile,
    security: Security,
    snapshot: Arc<Snapshot>,
    files: Files,
    /// Who uses a file.
    users: BTreeMap<PathBuf, Vec<Item>>,
    /// What could not be read, and how often that was tried since its files changed.
    failing: BTreeMap<Item, u32>,
    expiry: Expiry,
    looks: u32,
}

/// Starts the thread that keeps the snapshot's credentials current. What is returned makes it read
/// everything anew, and never waits.
pub fn start(
    config: Config,
    security: Security,
    snapshot: Arc<Snapshot>,
    read_file: KeptReadFile,
) -> io::Result<Box<dyn Fn() + Send>> {
    let (bell, orders) = mpsc::channel();
    let mut reloader = Reloader::new(config, security, snapshot, read_file);
    let body = move || {
        loop {
            match orders.recv_timeout(LOOK_INTERVAL) {
                Ok(()) => reloader.read_everything(),
                Err(RecvTimeoutError::Timeout) => reloader.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    thread::Builder::new().name("ringway-reload".to_owned()).spawn(body)?;
    Ok(Box::new(move || {
        // The thread lives as long as the process.
        let _ = bell.send(());
    }))
}

impl Reloader {
    fn new(config: Config, security: Security, snapshot: Arc<Snapshot>, read_file: KeptReadFile) -> Reloader {
        let mut users: BTreeMap<PathBuf, Vec<Item>> = BTreeMap::new();
        let mut note = |file: &NamedFile, item| users.entry(file.path.clone()).or_default().push(item);
        for (index, certificate) in config.certificates.iter().enumerate() {
            let files = [Some(&certificate.chain), Some(&certificate.key), certificate.ocsp.as_ref()];
            files.into_iter().flatten().for_each(|file| note(file, Item::Certificate(index)));
        }
        for (index, authority) in config.authorities.iter().enumerate() {
            let files = [&authority.bundle].into_iter().chain(&authority.crl);
            files.for_each(|file| note(file, Item::Authority(index)));
        }
        let files = Files::new(users.keys().cloned());
        let now = i64::try_from(wall_now().as_secs()).unwrap_or(i64::MAX);
        let expiry = Expiry::new(&config, &security.credentials, now);
        let failing = BTreeMap::new();
        Reloader { config, read_file, security, snapshot, files, users, failing, expiry, looks: 0 }
    }

    /// Tells what comes to its end while it serves.
    fn tell_expiry(&mut self) {
        let now = i64::try_from(wall_now().as_secs()).unwrap_or(i64::MAX);
        for sentence in self.expiry.news(&self.config, &self.security.credentials, now) {
            tell(&format!("warning: {sentence}"));
        }
    }

    /// Reads what changed, and again what could not be read a moment ago.
    fn look(&mut self) {
        self.looks = (self.looks + 1) % LOOKS_PER_MINUTE;
        if self.looks == 0 {
            self.tell_expiry();
        }
        let changed = self.files.changed();
        let mut items: BTreeSet<Item> =
            self.failing.iter().filter(|(_, tries)| **tries < PATIENT_LOOKS).map(|(item, _)| *item).collect();
        let mut since = wall_now();
        if let Some((paths, last)) = changed {
            for item in paths.iter().filter_map(|path| self.users.get(path)).flatten() {
                self.failing.remove(item);
                items.insert(*item);
            }
            since = last.unwrap_or(since);
        }
        if items.is_empty() {
            return;
        }
        let fresh: BTreeSet<Item> = items.into_iter().filter(|item| self.read(*item)).collect();
        for (item, took) in self.publish(&fresh, since) {
            tell(&format!("{}: in service {} ms after the change", self.name(item), took.as_millis()));
        }
    }

    /// Reads every file, changed or not.
    fn read_everything(&mut self) {
        let began = wall_now();
        self.files.changed();
        self.failing.clear();
        let certificates = (0..self.config.certificates.len()).map(Item::Certificate);
        let items: Vec<Item> =
            certificates.chain((0..self.config.authorities.len()).map(Item::Authority)).collect();
        let whole = items.len();
        // Nobody replaces files while asking for them to be read, so a failure is told at once.
        let fresh: BTreeSet<Item> = items
            .into_iter()
            .filter(|item| {
                self.failing.insert(*item, PATIENT_LOOKS - 1);
                self.read(*item)
            })
            .collect();
        let read = fresh.len();
        self.publish(&fresh, began);
        let took = wall_now().saturating_sub(began).as_millis();
        tell(&format!("read {read} of {whole} certificates and CAs anew: in service after {took} ms"));
    }

    /// Reads the files of one item; false, after telling why, when the old one has to stay.
    fn read(&mut self, item: Item) -> bool {
        let (found, errors, warnings) = match item {
            Item::Certificate(index) => self.read_certificate(index),
            Item::Authority(index) => self.read_authority(index),
        };
        if found {
            self.failing.remove(&item);
            warnings.iter().for_each(|text| tell(&format!("warning: {text}")));
            return true;
        }
        let tries = self.failing.entry(item).or_insert(0);
        *tries += 1;
        if *tries == PATIENT_LOOKS {
            let name = self.name(item);
            for text in errors {
                tell(&format!("error: {name} stays as it was: {text}"));
            }
        }
        false
    }

    fn read_certificate(&mut self, index: usize) -> (bool, Vec<String>, Vec<String>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let Some(wanted) = self.config.certificates.get(index) else { return (false, errors, warnings) };
        let outcome = certificates::read_one(wanted, &self.read_file);
        for finding in &outcome.findings {
            let text = format!("{}; {}", finding.message(), finding.cure());
            if finding.is_warning() { &mut warnings } else { &mut errors }.push(text);
        }
        let found = outcome.certificate.is_some();
        if let (Some(slot), true) = (self.security.credentials.certificates.get_mut(index), found) {
            *slot = outcome.certificate;
        }
        (found, errors, warnings)
    }

    fn read_authority(&mut self, index: usize) -> (bool, Vec<String>, Vec<String>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let Some(wanted) = self.config.authorities.get(index) else { return (false, errors, warnings) };
        let loaded = authorities::load_one(wanted);
        for complaint in &loaded.complaints {
            let text = format!("{}; {}", complaint.message, complaint.help);
            if complaint.is_error { &mut errors } else { &mut warnings }.push(text);
        }
        let found = loaded.authority.is_some();
        if let (Some(slot), true) = (self.security.credentials.authorities.get_mut(index), found) {
            *slot = loaded;
        }
        (found, errors, warnings)
    }

    /// Brings fresh items into service wherever they are used; returns how long after `since`.
    fn publish(&mut self, fresh: &BTreeSet<Item>, since: Duration) -> Vec<(Item, Duration)> {
        let uses = |certificate: &usize| fresh.contains(&Item::Certificate(*certificate));
        let trusts = |authority: &usize| fresh.contains(&Item::Authority(*authority));
        for (index, listener) in self.config.listeners.iter().enumerate() {
            let Some(tls) = &listener.tls else { continue };
            if !tls.certificates.iter().any(uses) && !listener.client_auth.ca.iter().any(trusts) {
                continue;
            }
            self.security.credentials.index_anew(index, tls);
            let terms = self.security.server_terms(index, listener);
            let serving = self.snapshot.listeners.get(index).and_then(|listener| listener.tls.as_ref());
            if let (Some(terms), Some(serving)) = (terms, serving) {
                serving.terms.publish(terms);
            }
        }
        for (group, serving) in self.config.server_groups.iter().zip(&self.snapshot.groups) {
            let (Some(tls), Some(serving)) = (&group.tls, &serving.tls) else { continue };
            let authority = match &tls.verify {
                Verify::Ca(index) => Some(index),
                _ => None,
            };
            let is_affected = tls.client_certificate.iter().any(uses) || authority.is_some_and(trusts);
            if is_affected && let Some(terms) = self.security.client_terms(tls) {
                serving.publish(terms);
            }
        }
        let took = wall_now().saturating_sub(since);
        fresh.iter().map(|item| (*item, took)).collect()
    }

    fn name(&self, item: Item) -> String {
        let certificate = |index: usize| self.config.certificates.get(index).map(|one| &one.name);
        let authority = |index: usize| self.config.authorities.get(index).map(|one| &one.name);
        match item {
            Item::Certificate(index) => {
                format!("certificate \"{}\"", certificate(index).map_or("", String::as_str))
            }
            Item::Authority(index) => format!("CA \"{}\"", authority(index).map_or("", String::as_str)),
        }
    }
}
