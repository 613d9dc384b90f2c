//! From a wish to a configuration in service that its files hold, or to everything as it was.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::config::Loaded;
use crate::config::Source;
use crate::control::build::binding::BindError;
use crate::control::change::order::ChangeOrder;
use crate::control::change::order::ChangeOutcome;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::Changed;
use crate::control::change::order::GeneratedChange;
use crate::control::change::order::RefusalKind;
use crate::control::change::plan;
use crate::control::change::plan::ChangePlan;
use crate::control::change::refusals;
use crate::control::credentials;
use crate::control::installer::Installer;
use crate::control::installer::NextConfig;
use crate::control::installer::Setback;
use crate::control::origin::ConfigOrigin;
use crate::control::written_config::WrittenConfig;
use crate::net::clock::instant_now;
use crate::net::clock::monotonic_ms;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;
use crate::telemetry::operator::log_line;

/// The files of the configuration, and what is in service of them.
///
/// # Errors
/// It came from elsewhere, or nothing is in service yet.
fn in_files<'o>(
    installer: &Installer,
    origin: Option<&'o ConfigOrigin>,
) -> Result<(&'o ConfigOrigin, Arc<WrittenConfig>), ChangeRefusal> {
    let origin = origin.ok_or_else(refusals::elsewhere)?;
    let (_, written) = installer.active.channels().written.load();
    match written.sources().is_empty() {
        true => Err(refusals::busy("the process does not serve yet")),
        false => Ok((origin, written)),
    }
}

/// Changes the configuration in service, then its files. `wait` is asked where an address is taken by another process; it
/// waits a moment, or says that it has waited long enough.
///
/// # Errors
/// Nothing is changed, for this reason.
pub(in crate::control) fn change(
    installer: &mut Installer,
    origin: Option<&ConfigOrigin>,
    order: ChangeOrder,
    wait: &mut dyn FnMut(&mut Installer, &BindError) -> bool,
) -> ChangeOutcome {
    let began = instant_now();
    let (origin, written) = in_files(installer, origin)?;
    origin.recover();
    let mut plan = ChangePlan::new(order, &written, origin)?;
    let loaded = plan.load(&written, origin);
    let candidate = examined(installer, &plan, loaded).map_err(|refusal| plan.in_sent_words(refusal))?;
    let mut changed = Changed {
        is_applied: false,
        generation: installer.active.epoch(),
        sentence: format!("nothing changes: {}", installer.summary()),
        warnings: plan.new_warnings(&candidate.loaded, &written),
        diff: plan.diff(&candidate.loaded, &written),
    };
    if plan.is_empty() {
        return Ok(changed);
    }
    if plan.order().is_dry_run {
        changed.sentence = "dry run: the change would be accepted".to_owned();
        return Ok(changed);
    }
    plan.stage()?;
    let before = named_files(&installer.active.config);
    put_into_service(installer, candidate, wait, &|| plan.load(&written, origin))?;
    let actor = plan.order().actor.clone();
    if let Err(refusal) = plan.commit(&before, &named_files(&installer.active.config)) {
        go_back(installer, plan::load_again(&written, origin));
        return Err(refusal);
    }
    tell(installer, &actor, began, &mut changed);
    Ok(changed)
}

/// Puts another text into the place of one that is made of something else, then keeps what it is made of. `wait` as above.
///
/// # Errors
/// Nothing is changed, for this reason.
pub(in crate::control) fn replace_generated(
    installer: &mut Installer,
    origin: Option<&ConfigOrigin>,
    change: GeneratedChange,
    wait: &mut dyn FnMut(&mut Installer, &BindError) -> bool,
) -> ChangeOutcome {
    let began = instant_now();
    let (origin, written) = in_files(installer, origin)?;
    let GeneratedChange { path, text, actor, keep } = change;
    let is_it = |source: &&Source| source.path().as_ref() == Some(&path);
    let before = written.sources().iter().find(is_it).map(Source::text);
    let mut changed = Changed {
        is_applied: true,
        generation: installer.active.epoch(),
        sentence: format!("nothing changes: {}", installer.summary()),
        warnings: Vec::new(),
        diff: String::new(),
    };
    if before == Some(text.as_str()) {
        keep().map_err(|error| refusals::of_writing(&path, &error))?;
        return Ok(changed);
    }
    if before.is_none() {
        return Err(refusals::conflict(&path, "was not there"));
    }
    let load = || {
        let sources = written.sources().iter();
        let of = |source: &Source| match source.path().as_ref() == Some(&path) {
            true => source.with_text(text.clone()),
            false => source.with_text(source.text().to_owned()),
        };
        (origin.check)(sources.map(of).collect())
    };
    let candidate = installer.examine(load()).map_err(|loaded| refusals::of_configuration(&loaded))?;
    if candidate.loaded.report.has_errors() {
        return Err(refusals::of_configuration(&candidate.loaded));
    }
    put_into_service(installer, candidate, wait, &load)?;
    if let Err(error) = keep() {
        go_back(installer, plan::load_again(&written, origin));
        return Err(refusals::of_writing(&path, &error));
    }
    tell(installer, &actor, began, &mut changed);
    Ok(changed)
}

/// A configuration that nothing is wrong with, with everything that it names.
fn examined(installer: &Installer, plan: &ChangePlan, loaded: Loaded) -> Result<NextConfig, ChangeRefusal> {
    plan.check_uses(&loaded)?;
    let candidate = installer.examine(loaded).map_err(|loaded| refusals::of_configuration(&loaded))?;
    match candidate.loaded.report.has_errors() {
        true => Err(refusals::of_configuration(&candidate.loaded)),
        false => Ok(candidate),
    }
}

fn put_into_service(
    installer: &mut Installer,
    candidate: NextConfig,
    wait: &mut dyn FnMut(&mut Installer, &BindError) -> bool,
    load: &dyn Fn() -> Loaded,
) -> Result<(), ChangeRefusal> {
    let mut candidate = candidate;
    loop {
        match installer.install(candidate) {
            Ok(_) => return Ok(()),
            Err(Setback::Taken(refused)) if wait(installer, &refused) => {}
            Err(setback) => return Err(refusals::of_service(setback)),
        }
        candidate = installer.examine(load()).map_err(|loaded| refusals::of_configuration(&loaded))?;
    }
}

/// The files could not be changed, so what they said goes into service again.
fn go_back(installer: &mut Installer, loaded: Loaded) {
    let outcome = match installer.examine(loaded) {
        Ok(candidate) => installer.install(candidate).map(drop),
        Err(loaded) => Err(Setback::Invalid(loaded)),
    };
    if let Err(setback) = outcome {
        log_line(&format!(
            "{setback}\nerror: a change is in service that its files do not hold; ringway reload brings back what they say"
        ));
    }
}

fn tell(installer: &Installer, actor: &str, began: Instant, changed: &mut Changed) {
    let (summary, took) = (installer.summary(), began.elapsed().as_millis());
    installer.active.channels().reloads.note(true, monotonic_ms());
    changed.is_applied = true;
    changed.generation = installer.active.epoch();
    changed.sentence = format!("changed: {summary}, in service after {took} ms");
    let line = format!("changed by {actor}: {summary}, in service after {took} ms");
    log_event(News::new(EventKind::ReloadDone, line));
    for warning in &changed.warnings {
        log_line(&format!("warning: {}: {}", warning.place, warning.message));
    }
}

fn named_files(config: &Config) -> BTreeSet<PathBuf> {
    credentials::named_files(config).into_iter().map(|file| file.path.clone()).collect()
}

/// What cannot be changed while the process hands over or stops.
pub(in crate::control) fn handing_over() -> ChangeRefusal {
    ChangeRefusal::new(
        RefusalKind::Busy,
        "the process hands over to another one, or stops",
        "try again with the process that serves then",
    )
}
