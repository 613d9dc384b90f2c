//! Which changes of objects are refused whatever the configuration says: of what is protected, in use, or not what the client
//! has seen.

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::Loaded;
use crate::config::ObjectKind;
use crate::config::ObjectPath;
use crate::config::edit::order::EditAction;
use crate::config::etag;
use crate::config::users_of;
use crate::control::change::order::ChangeOrder;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::ObjectChange;
use crate::control::change::order::RefusalKind;
use crate::control::written_config::WrittenConfig;

const DELETION: &str = "deletion_protection";
const MODIFICATION: &str = "modification_protection";

/// Looks at changes before they are made.
///
/// # Errors
/// An object is protected, or has another entity tag.
pub(super) fn check_before(order: &ChangeOrder, written: &WrittenConfig) -> Result<(), ChangeRefusal> {
    for change in &order.changes {
        check_home(change, written)?;
        check_tag(change, written)?;
        if !order.is_forced {
            check_protection(change, written)?;
        }
    }
    Ok(())
}

/// Looks at what changes left, for what is deleted and still named by others.
///
/// # Errors
/// Something is.
pub(super) fn check_after(order: &ChangeOrder, loaded: &Loaded) -> Result<(), ChangeRefusal> {
    if !order.changes.iter().any(|change| matches!(change.action, EditAction::Delete)) {
        return Ok(());
    }
    let objects = loaded.objects();
    for change in &order.changes {
        let (EditAction::Delete, ObjectPath::Named { kind, name }) = (&change.action, &change.path) else {
            continue;
        };
        let is_there = objects.iter().any(|object| object.kind == *kind && object.name == *name);
        let used_by = if is_there { Vec::new() } else { users_of(&objects, *kind, name) };
        if let Some(first) = used_by.first() {
            let sentence = match used_by.len() {
                1 => format!("{} is used by {first}", change.path),
                more => format!("{} is used by {first} and {} more", change.path, more - 1),
            };
            let help = "change those first, or in the same change set";
            return Err(ChangeRefusal { used_by, ..ChangeRefusal::new(RefusalKind::InUse, sentence, help) });
        }
    }
    Ok(())
}

/// What another API has made is changed there.
fn check_home(change: &ObjectChange, written: &WrittenConfig) -> Result<(), ChangeRefusal> {
    let (kind, name) = match &change.path {
        ObjectPath::Named { kind, name } => (*kind, name),
        ObjectPath::Backend { group, .. } | ObjectPath::HealthCheck { group } => {
            (ObjectKind::ServerGroup, group)
        }
    };
    match written.find(kind, name).filter(|object| written.is_generated(object)) {
        Some(object) => {
            let sentence = format!("{} was made by the ELB API", object.path());
            Err(ChangeRefusal::new(RefusalKind::Elsewhere, sentence, "change it there: docs/elb_api.md"))
        }
        None => Ok(()),
    }
}

fn check_tag(change: &ObjectChange, written: &WrittenConfig) -> Result<(), ChangeRefusal> {
    let Some(wanted) = &change.if_match else { return Ok(()) };
    let Some(settings) = settings(&change.path, written) else {
        // That it is not there is said elsewhere, unless that was to be made sure of.
        return Ok(());
    };
    let tag = etag(&change.path, settings);
    let is_it = wanted.split(',').map(str::trim).any(|one| one == "*" || one == tag);
    if is_it {
        return Ok(());
    }
    let sentence = format!("{} is not as it was: its entity tag is {tag} now", change.path);
    Err(ChangeRefusal::new(RefusalKind::Stale, sentence, "get it again, and change that"))
}

fn check_protection(change: &ObjectChange, written: &WrittenConfig) -> Result<(), ChangeRefusal> {
    if matches!(change.action, EditAction::Create(_)) && matches!(change.path, ObjectPath::Named { .. }) {
        return Ok(());
    }
    let (kind, name) = match &change.path {
        ObjectPath::Named { kind, name } => (*kind, name),
        ObjectPath::Backend { group, .. } | ObjectPath::HealthCheck { group } => {
            (ObjectKind::ServerGroup, group)
        }
    };
    let Some(object) = written.find(kind, name) else { return Ok(()) };
    let is_whole = matches!(change.path, ObjectPath::Named { .. });
    let is_deletable = object.settings.get(DELETION) != Some(&Json::Bool(true));
    let is_deletion = is_whole && matches!(change.action, EditAction::Delete);
    let refuse = |sentence: String| {
        let help = "take the protection away, or force the change (--force, ?force=true)";
        Err(ChangeRefusal::new(RefusalKind::Protected, sentence, help))
    };
    if is_deletion && !is_deletable {
        return refuse(format!("{} is protected from deletion", object.path()));
    }
    if is_whole && !is_deletable {
        // Else the protection would end by the way, or stay with a name that nobody asks for.
        if let Some(name) = change.new_name() {
            return refuse(format!("{} is protected from deletion, and would become {name}", object.path()));
        }
        if matches!(&change.action, EditAction::Replace(settings) if !settings.contains_key(DELETION)) {
            let path = object.path();
            return refuse(format!(
                "{path} is protected from deletion, and the change leaves `{DELETION}` out"
            ));
        }
    }
    let is_about_protection = match &change.action {
        EditAction::Merge(patch) if is_whole => {
            patch.keys().all(|key| key == DELETION || key == MODIFICATION)
        }
        _ => false,
    };
    match object.settings.get(MODIFICATION).and_then(Json::as_str) {
        Some(reason) if !is_about_protection => {
            refuse(format!("{} is protected from changes: {reason}", object.path()))
        }
        _ => Ok(()),
    }
}

/// What an object says now.
fn settings<'w>(path: &ObjectPath, written: &'w WrittenConfig) -> Option<&'w Map<String, Json>> {
    match path {
        ObjectPath::Named { kind, name } => Some(&written.find(*kind, name)?.settings),
        ObjectPath::HealthCheck { group } => written.find(ObjectKind::ServerGroup, group)?.health_check(),
        ObjectPath::Backend { group, address } => {
            let mut backends = written.find(ObjectKind::ServerGroup, group)?.backends();
            backends.find(|(known, _)| known == address).map(|(_, settings)| settings)
        }
    }
}
