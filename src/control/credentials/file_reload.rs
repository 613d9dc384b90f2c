//! Certificates, keys, CAs, revocation lists, lists of addresses, password files and pages that change on disk, brought
//! into service while the process serves. Established connections keep what they were made with.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::config::NamedFile;
use crate::config::Verify;
use crate::control::active_config::ActiveConfig;
use crate::control::credentials::admin_access;
use crate::control::credentials::admin_access::AdminAccess;
use crate::control::credentials::authorities;
use crate::control::credentials::authorities::Complaint;
use crate::control::credentials::certificates;
use crate::control::credentials::certificates::KeptReadFile;
use crate::control::credentials::elb_keys;
use crate::control::credentials::error_pages;
use crate::control::credentials::expiry::Expiry;
use crate::control::credentials::inventory::AuthorityEntry;
use crate::control::credentials::inventory::Broken;
use crate::control::credentials::inventory::CertificateEntry;
use crate::control::credentials::inventory::Inventory;
use crate::control::credentials::ip_groups;
use crate::control::credentials::password_files;
use crate::control::files::Files;
use crate::net::clock::wall_now;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;
use crate::telemetry::operator::log_line;

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
    /// Index in [`Config::ip_groups`].
    IpGroup(usize),
    /// Index in the files that [`password_files::named`] gives.
    PasswordFile(usize),
    /// Index in the pages that [`error_pages::named`] gives.
    Page(usize),
    /// The tokens of the admin address.
    AdminTokens,
    /// The access keys of the ELB API.
    ElbKeys,
}

/// Files that cannot be taken into service.
#[derive(Default)]
struct ReadFailure {
    /// How often that was tried since they changed.
    tries: u32,
    /// Known once it is told.
    broken: Option<Broken>,
}

/// What is known of the files that the configuration in service names.
pub struct FileReload {
    read_file: KeptReadFile,
    files: Files,
    /// Who uses a file.
    users: BTreeMap<PathBuf, Vec<Item>>,
    /// What could not be read.
    failing: BTreeMap<Item, ReadFailure>,
    /// When what serves was read, where that was after `began`.
    read: BTreeMap<Item, Duration>,
    /// When the configuration went into service, since the Unix epoch.
    began: Duration,
    expiry: Expiry,
    looks: u32,
}

impl FileReload {
    /// `files` are [`files_of`] the configuration, from before they were read.
    pub fn new(active: &ActiveConfig, read_file: KeptReadFile, files: Files) -> FileReload {
        let users = users(&active.config);
        let expiry = expiry(active);
        let file_reload = FileReload {
            read_file,
            files,
            users,
            failing: BTreeMap::new(),
            read: BTreeMap::new(),
            began: wall_now(),
            expiry,
            looks: 0,
        };
        file_reload.take_stock(active);
        file_reload
    }

    /// Publishes what is known now.
    fn take_stock(&self, active: &ActiveConfig) {
        let since = |item| self.read.get(&item).copied().unwrap_or(self.began);
        let broken = |item| self.failing.get(&item).and_then(|failure| failure.broken.clone());
        let ActiveConfig { config, security, .. } = active;
        let shows = |index: usize| {
            let listeners = config.listeners.iter();
            let shows = |tls: &crate::config::ListenerTls| tls.certificates.contains(&index);
            let shown = listeners.filter(move |listener| listener.tls.as_ref().is_some_and(shows));
            shown.map(|listener| listener.name.clone()).collect()
        };
        let certificates = config.certificates.iter().zip(&security.credentials.certificates).enumerate();
        let certificates = certificates.filter_map(|(index, (wanted, certificate))| {
            let certificate = certificate.as_ref()?;
            Some(CertificateEntry {
                name: wanted.name.clone(),
                names: certificate.names.clone(),
                not_after: certificate.not_after,
                since: since(Item::Certificate(index)),
                listeners: shows(index),
                broken: broken(Item::Certificate(index)),
            })
        });
        let authorities = config.authorities.iter().zip(&security.credentials.authorities).enumerate();
        let authorities = authorities.map(|(index, (wanted, loaded))| AuthorityEntry {
            name: wanted.name.clone(),
            lists_end: loaded.authority.as_ref().and_then(|authority| authority.lists_end()),
            since: since(Item::Authority(index)),
            broken: broken(Item::Authority(index)),
        });
        let inventory =
            Inventory { certificates: certificates.collect(), authorities: authorities.collect() };
        active.channels().inventory.publish(Arc::new(inventory));
        let known = &security.credentials;
        let trust = (known.certificates.as_slice(), known.authorities.as_slice());
        let access = AdminAccess::new(config, (&known.admin_tokens, &known.elb_keys), trust);
        active.channels().admin_access.publish(Arc::new(access));
    }

    pub(in crate::control) fn read_file(&self) -> &KeptReadFile {
        &self.read_file
    }

    /// Looks at the files of another configuration from now on; `files` as with [`FileReload::new`].
    pub(in crate::control) fn follow(&mut self, active: &ActiveConfig, files: Files) {
        self.users = users(&active.config);
        self.files = files;
        self.failing.clear();
        self.read.clear();
        self.began = wall_now();
        self.expiry = expiry(active);
        self.take_stock(active);
    }

    /// Tells what comes to its end while it serves.
    fn log_expiry(&mut self, active: &ActiveConfig) {
        let now = i64::try_from(wall_now().as_secs()).unwrap_or(i64::MAX);
        for (noun, name, sentence) in self.expiry.news(&active.config, &active.security.credentials, now) {
            let line = format!("warning: {sentence}");
            log_event(News::new(EventKind::Expiry, line).of(noun, name));
        }
    }

    /// Reads what changed, and again what could not be read a moment ago.
    pub(in crate::control) fn look(&mut self, active: &mut ActiveConfig) {
        self.looks = (self.looks + 1) % LOOKS_PER_MINUTE;
        if self.looks == 0 {
            self.log_expiry(active);
        }
        let changed = self.files.changed();
        let mut items: BTreeSet<Item> = self
            .failing
            .iter()
            .filter(|(_, failure)| failure.tries < PATIENT_LOOKS)
            .map(|(item, _)| *item)
            .collect();
        let mut since = wall_now();
        if let Some((paths, last)) = changed {
            for item in paths.iter().filter_map(|path| self.users.get(path)).flatten() {
                if let Some(failure) = self.failing.get_mut(item) {
                    failure.tries = 0;
                }
                items.insert(*item);
            }
            since = last.unwrap_or(since);
        }
        if items.is_empty() {
            return;
        }
        let fresh: BTreeSet<Item> = items.into_iter().filter(|item| self.read(*item, active)).collect();
        for (item, took) in publish(&fresh, since, active) {
            let name = name(item, &active.config);
            let line = format!("{name}: in service {} ms after the change", took.as_millis());
            log_event(news(EventKind::FilesRead, line, item, &active.config));
        }
        self.take_stock(active);
    }

    /// Reads every file, changed or not.
    pub(in crate::control) fn read_everything(&mut self, active: &mut ActiveConfig) {
        let began = wall_now();
        self.files.changed();
        let certificates = (0..active.config.certificates.len()).map(Item::Certificate);
        let groups = (0..active.config.ip_groups.len()).map(Item::IpGroup);
        let passwords = (0..password_files::named(&active.config).len()).map(Item::PasswordFile);
        let pages = (0..error_pages::named(&active.config).len()).map(Item::Page);
        let items: Vec<Item> = certificates
            .chain((0..active.config.authorities.len()).map(Item::Authority))
            .chain(groups)
            .chain(passwords)
            .chain(pages)
            .chain(active.config.admin.tokens_file.iter().map(|_| Item::AdminTokens))
            .chain(active.config.admin.elb_api.iter().map(|_| Item::ElbKeys))
            .collect();
        let whole = items.len();
        // Files are not replaced while they are asked to be read, so a failure is told at once.
        let fresh: BTreeSet<Item> = items
            .into_iter()
            .filter(|item| {
                self.failing.entry(*item).or_default().tries = PATIENT_LOOKS - 1;
                self.read(*item, active)
            })
            .collect();
        let read = fresh.len();
        publish(&fresh, began, active);
        self.take_stock(active);
        let took = wall_now().saturating_sub(began).as_millis();
        let line = format!(
            "read {read} of {whole} certificates, CAs, IP groups, password files and pages again: in service after {took} ms"
        );
        log_event(News::new(EventKind::FilesRead, line));
    }

    /// Reads the files of one item; false, after telling why, when the old one has to stay.
    fn read(&mut self, item: Item, active: &mut ActiveConfig) -> bool {
        let (found, errors, warnings) = match item {
            Item::Certificate(index) => self.read_certificate(index, active),
            Item::Authority(index) => read_authority(index, active),
            Item::IpGroup(index) => read_ip_group(index, active),
            Item::PasswordFile(index) => read_password_file(index, active),
            Item::Page(index) => self.read_page(index, active),
            Item::AdminTokens => read_tokens(active),
            Item::ElbKeys => read_elb_keys(active),
        };
        if found {
            self.failing.remove(&item);
            self.read.insert(item, wall_now());
            warnings.iter().for_each(|text| log_line(&format!("warning: {text}")));
            return true;
        }
        let failure = self.failing.entry(item).or_default();
        failure.tries += 1;
        if failure.tries == PATIENT_LOOKS {
            let name = name(item, &active.config);
            for text in &errors {
                let line = format!("error: {name} stays as it was: {text}");
                log_event(news(EventKind::FilesBroken, line, item, &active.config));
            }
            // Files that were broken before and are broken otherwise now have been so all the time.
            let since = failure.broken.take().map_or_else(wall_now, |broken| broken.since);
            failure.broken = Some(Broken { since, errors });
        }
        false
    }

    fn read_certificate(&self, index: usize, active: &mut ActiveConfig) -> (bool, Vec<String>, Vec<String>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let Some(wanted) = active.config.certificates.get(index) else { return (false, errors, warnings) };
        let outcome = certificates::read_one(wanted, &self.read_file);
        for finding in &outcome.findings {
            let text = format!("{}; {}", finding.message(), finding.fix());
            if finding.is_warning() { &mut warnings } else { &mut errors }.push(text);
        }
        let found = outcome.certificate.is_some();
        if let (Some(slot), true) = (active.security.credentials.certificates.get_mut(index), found) {
            *slot = outcome.certificate;
        }
        (found, errors, warnings)
    }

    fn read_page(&self, index: usize, active: &mut ActiveConfig) -> (bool, Vec<String>, Vec<String>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let named = error_pages::named(&active.config);
        let Some(wanted) = named.get(index) else { return (false, errors, warnings) };
        let loaded = error_pages::load_one(*wanted, &self.read_file);
        sort(&loaded.complaints, &mut errors, &mut warnings);
        let found = loaded.content.is_some();
        if let (Some(slot), true) = (active.security.credentials.error_pages.get_mut(index), found) {
            *slot = loaded;
        }
        (found, errors, warnings)
    }
}

fn read_authority(index: usize, active: &mut ActiveConfig) -> (bool, Vec<String>, Vec<String>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let Some(wanted) = active.config.authorities.get(index) else { return (false, errors, warnings) };
    let loaded = authorities::load_one(wanted);
    sort(&loaded.complaints, &mut errors, &mut warnings);
    let found = loaded.authority.is_some();
    if let (Some(slot), true) = (active.security.credentials.authorities.get_mut(index), found) {
        *slot = loaded;
    }
    (found, errors, warnings)
}

fn read_ip_group(index: usize, active: &mut ActiveConfig) -> (bool, Vec<String>, Vec<String>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let Some(wanted) = active.config.ip_groups.get(index) else { return (false, errors, warnings) };
    let loaded = ip_groups::load_one(wanted);
    sort(&loaded.complaints, &mut errors, &mut warnings);
    let found = loaded.networks.is_some();
    if let (Some(slot), true) = (active.security.credentials.ip_groups.get_mut(index), found) {
        *slot = loaded;
    }
    (found, errors, warnings)
}

fn read_password_file(index: usize, active: &mut ActiveConfig) -> (bool, Vec<String>, Vec<String>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let named = password_files::named(&active.config);
    let Some(wanted) = named.get(index) else { return (false, errors, warnings) };
    let loaded = password_files::load_one(wanted);
    sort(&loaded.complaints, &mut errors, &mut warnings);
    let found = loaded.users.is_some();
    if let (Some(slot), true) = (active.security.credentials.password_files.get_mut(index), found) {
        *slot = loaded;
    }
    (found, errors, warnings)
}

fn read_tokens(active: &mut ActiveConfig) -> (bool, Vec<String>, Vec<String>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let Some(wanted) = &active.config.admin.tokens_file else { return (false, errors, warnings) };
    let loaded = admin_access::load_file(wanted);
    sort(&loaded.complaints, &mut errors, &mut warnings);
    let found = errors.is_empty();
    if found {
        active.security.credentials.admin_tokens = loaded;
    }
    (found, errors, warnings)
}

fn read_elb_keys(active: &mut ActiveConfig) -> (bool, Vec<String>, Vec<String>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let Some(api) = &active.config.admin.elb_api else { return (false, errors, warnings) };
    let loaded = elb_keys::load_file(&api.keys_file);
    sort(&loaded.complaints, &mut errors, &mut warnings);
    let found = errors.is_empty();
    if found {
        active.security.credentials.elb_keys = loaded;
    }
    (found, errors, warnings)
}

/// Complaints as sentences.
fn sort(complaints: &[Complaint], errors: &mut Vec<String>, warnings: &mut Vec<String>) {
    for Complaint { is_error, message, help, .. } in complaints {
        if *is_error { &mut *errors } else { &mut *warnings }.push(format!("{message}; {help}"));
    }
}

/// Brings fresh items into service wherever they are used; returns how long after `since`.
fn publish(fresh: &BTreeSet<Item>, since: Duration, active: &mut ActiveConfig) -> Vec<(Item, Duration)> {
    let uses = |certificate: &usize| fresh.contains(&Item::Certificate(*certificate));
    let trusts = |authority: &usize| fresh.contains(&Item::Authority(*authority));
    for (index, listener) in active.config.listeners.iter().enumerate() {
        let Some(tls) = &listener.tls else { continue };
        if !tls.certificates.iter().any(uses) && !listener.client_auth.ca.iter().any(trusts) {
            continue;
        }
        active.security.credentials.index_anew(index, tls);
        let terms = active.security.downstream_tls(index, &active.config);
        let mut serving = active.registry.listeners.iter();
        let serving = serving.find(|one| one.name == listener.name).and_then(|one| one.tls.as_ref());
        if let (Some(terms), Some(serving)) = (terms, serving) {
            serving.terms.publish(terms);
        }
    }
    for (group, serving) in active.config.server_groups.iter().zip(&active.registry.groups) {
        let (Some(tls), Some(serving)) = (&group.tls, &serving.group.tls) else { continue };
        let authority = match &tls.verify {
            Verify::Ca(index) => Some(index),
            _ => None,
        };
        let is_affected = tls.client_certificate.iter().any(uses) || authority.is_some_and(trusts);
        if is_affected && let Some(terms) = active.security.upstream_tls(group) {
            serving.publish(terms);
        }
    }
    if fresh.iter().any(|item| matches!(item, Item::IpGroup(_) | Item::PasswordFile(_) | Item::Page(_))) {
        active.build_anew();
    }
    let took = wall_now().saturating_sub(since);
    fresh.iter().map(|item| (*item, took)).collect()
}

fn name(item: Item, config: &Config) -> String {
    let name = own_name(item, config);
    match item {
        Item::Certificate(_) => format!("certificate \"{name}\""),
        Item::Authority(_) => format!("CA \"{name}\""),
        Item::PasswordFile(_) => format!("password file {name}"),
        Item::Page(_) => format!("page {name}"),
        Item::AdminTokens => format!("tokens file {name}"),
        Item::ElbKeys => format!("keys file {name}"),
        Item::IpGroup(_) => format!("IP group \"{name}\""),
    }
}

/// What the configuration calls it, or the path of its file.
fn own_name(item: Item, config: &Config) -> String {
    let path = |path: Option<&Path>| path.unwrap_or(Path::new("")).display().to_string();
    let name = match item {
        Item::Certificate(index) => config.certificates.get(index).map(|one| &one.name),
        Item::Authority(index) => config.authorities.get(index).map(|one| &one.name),
        Item::IpGroup(index) => config.ip_groups.get(index).map(|one| &one.name),
        Item::PasswordFile(index) => {
            return path(password_files::named(config).get(index).map(|file| file.path.as_path()));
        }
        Item::Page(index) => {
            return path(error_pages::named(config).get(index).map(|page| page.file.path.as_path()));
        }
        Item::AdminTokens => return path(config.admin.tokens_file.as_ref().map(|file| file.path.as_path())),
        Item::ElbKeys => return path(config.admin.elb_api.as_ref().map(|api| api.keys_file.path.as_path())),
    };
    name.cloned().unwrap_or_default()
}

/// What happened to its files.
fn news(kind: EventKind, line: String, item: Item, config: &Config) -> News {
    let noun = match item {
        Item::Certificate(_) => "certificate",
        Item::Authority(_) => "ca",
        Item::IpGroup(_) => "ip_group",
        Item::PasswordFile(_) => "password_file",
        Item::Page(_) => "page",
        Item::AdminTokens => "tokens_file",
        Item::ElbKeys => "keys_file",
    };
    News::new(kind, line).of(noun, own_name(item, config))
}

/// The files that a configuration names, as they are now. To be asked for before they are read: what changes
/// between the two is noticed later then.
pub fn files_of(config: &Config) -> Files {
    Files::new(users(config).into_keys())
}

fn users(config: &Config) -> BTreeMap<PathBuf, Vec<Item>> {
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
    for (index, group) in config.ip_groups.iter().enumerate() {
        group.file.iter().for_each(|file| note(file, Item::IpGroup(index)));
    }
    let passwords = password_files::named(config).into_iter().enumerate();
    passwords.for_each(|(index, file)| note(file, Item::PasswordFile(index)));
    let pages = error_pages::named(config).into_iter().enumerate();
    pages.for_each(|(index, page)| note(page.file, Item::Page(index)));
    config.admin.tokens_file.iter().for_each(|file| note(file, Item::AdminTokens));
    config.admin.elb_api.iter().for_each(|api| note(&api.keys_file, Item::ElbKeys));
    users
}

fn expiry(active: &ActiveConfig) -> Expiry {
    let now = i64::try_from(wall_now().as_secs()).unwrap_or(i64::MAX);
    Expiry::new(&active.config, &active.security.credentials, now)
}
