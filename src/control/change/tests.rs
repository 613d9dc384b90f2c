//! Changes as those who ask for them see them: a process without workers, over files in a folder.

mod failures;
mod uploads;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;
use serde_json::json;
use tempfile::TempDir;

use super::engine;
use super::journal::JournalReach;
use super::order::ChangeOrder;
use super::order::ChangeOutcome;
use super::order::ChangeRefusal;
use super::order::Changed;
use super::order::ObjectChange;
use super::order::RefusalKind;
use crate::config;
use crate::config::Object;
use crate::config::ObjectKind;
use crate::config::ObjectPath;
use crate::config::Report;
use crate::config::Source;
use crate::config::edit::order::EditAction;
use crate::config::etag;
use crate::control::active_config::ActiveConfig;
use crate::control::build::Host;
use crate::control::build::binding::BindError;
use crate::control::credentials;
use crate::control::credentials::certificates::read_file;
use crate::control::credentials::file_reload;
use crate::control::credentials::file_reload::FileReload;
use crate::control::discovery::Resolutions;
use crate::control::discovery::dns::WatchedNames;
use crate::control::installer::Installer;
use crate::control::origin::ConfigOrigin;
use crate::control::origin::NewObjects;
use crate::control::written_config::WrittenConfig;
use crate::net::clock::wall_now;
use crate::tls::x509::self_signed;

const MAIN: &str = "\
# The head.
config_version = 1

[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
default_group = \"app\" # all of it

[[server_group]]
name = \"app\"
# Its only backend.
[[server_group.backend]]
address = \"127.0.0.1:9\"
";

/// A folder with a configuration that is in service.
pub(super) struct Scene {
    folder: TempDir,
    installer: Installer,
    origin: ConfigOrigin,
}

fn read(folder: &Path) -> Vec<Source> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !is_hidden && path.extension().is_some_and(|ending| ending == "toml")
    });
    paths.sort();
    let text = |path: &PathBuf| fs::read_to_string(path).map_err(|error| error.to_string());
    paths.iter().map(|path| Source::file(path, folder.to_owned(), text(path))).collect()
}

impl Scene {
    /// `files` stand beside the main one.
    fn with(main: &str, files: &[(&str, &str)]) -> Scene {
        let folder = tempfile::tempdir().expect("there is room");
        for (name, text) in files.iter().chain(&[("main.toml", main)]) {
            fs::write(folder.path().join(name), text).expect("there is room");
        }
        let path = folder.path().to_owned();
        let (reads, looks) = (path.clone(), path.clone());
        let new = path.join("api.toml");
        let origin = ConfigOrigin {
            read: Box::new(move || read(&reads)),
            check: config::load,
            new_objects: Some(NewObjects { name: new.clone(), path: new, is_in_folder: true }),
            reach: Box::new(move || JournalReach {
                files: Vec::new(),
                folders: vec![looks.canonicalize().expect("it is there")],
            }),
        };
        let mut loaded = config::load(read(&path));
        let config = loaded.config.take().unwrap_or_else(|| panic!("{}", loaded.report.to_text(false)));
        let mut report = Report::default();
        let files = file_reload::files_of(&config);
        let credentials = credentials::load(&config, &read_file, &mut report);
        let host = Host { name: "here".to_owned(), connections: 100, workers: 1 };
        let active = ActiveConfig::start(config, credentials, &Resolutions::new(), host, &mut report);
        let active = active.unwrap_or_else(|refusal| panic!("{refusal}: {}", report.to_text(false)));
        active.channels().written.publish(Arc::new(WrittenConfig::new(loaded)));
        let file_reload = FileReload::new(&active, Box::new(read_file), files);
        Scene { folder, installer: Installer::new(active, file_reload, WatchedNames::new(&[])), origin }
    }

    fn start() -> Scene {
        Scene::with(MAIN, &[])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Names of everything in the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("it is there");
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn order(&mut self, order: ChangeOrder) -> ChangeOutcome {
        engine::change(&mut self.installer, Some(&self.origin), order, &mut |_, _| false)
    }

    fn change(&mut self, changes: Vec<ObjectChange>) -> ChangeOutcome {
        self.order(ChangeOrder { changes, is_dry_run: false, is_forced: false, actor: "test".to_owned() })
    }

    fn done(&mut self, changes: Vec<ObjectChange>) -> Changed {
        self.change(changes).unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    fn refused(&mut self, changes: Vec<ObjectChange>) -> ChangeRefusal {
        let before = (self.names(), self.text("main.toml"), self.generation());
        let refusal = self.change(changes).expect_err("it is refused");
        let after = (self.names(), self.text("main.toml"), self.generation());
        assert_eq!(before, after, "{refusal:?}");
        refusal
    }

    fn generation(&self) -> u64 {
        self.installer.active.epoch()
    }

    fn objects(&self) -> Vec<Object> {
        self.installer.active.channels().written.load().1.objects.clone()
    }

    /// What a restart would make of the files is what is in service.
    fn assert_files_are_in_service(&self) {
        let loaded = config::load(read(self.folder.path()));
        let report = loaded.report.to_text(false);
        assert!(!loaded.report.has_errors(), "{report}");
        let plain = |objects: Vec<Object>| -> Vec<_> {
            objects.into_iter().map(|object| (object.kind, object.name, object.settings)).collect()
        };
        assert_eq!(plain(loaded.objects()), plain(self.objects()));
        assert_eq!(loaded.config.as_ref(), Some(&self.installer.active.config));
    }
}

fn object(value: Json) -> serde_json::Map<String, Json> {
    value.as_object().cloned().expect("the test writes an object")
}

fn named(kind: ObjectKind, name: &str) -> ObjectPath {
    ObjectPath::Named { kind, name: name.to_owned() }
}

fn group(name: &str) -> ObjectPath {
    named(ObjectKind::ServerGroup, name)
}

fn web() -> ObjectPath {
    named(ObjectKind::Listener, "web")
}

fn backend(address: &str) -> ObjectPath {
    ObjectPath::Backend { group: "app".to_owned(), address: address.to_owned() }
}

fn with(path: ObjectPath, action: EditAction) -> ObjectChange {
    ObjectChange { path, action, if_match: None }
}

fn create(path: ObjectPath, settings: Json) -> ObjectChange {
    with(path, EditAction::Create(object(settings)))
}

fn merge(path: ObjectPath, patch: Json) -> ObjectChange {
    with(path, EditAction::Merge(object(patch)))
}

fn delete(path: ObjectPath) -> ObjectChange {
    with(path, EditAction::Delete)
}

fn backends() -> Json {
    json!({ "backend": [{ "address": "127.0.0.1:9" }] })
}

#[test]
fn a_change_is_in_service_and_in_its_file() {
    let mut scene = Scene::start();
    fs::set_permissions(scene.path("main.toml"), fs::Permissions::from_mode(0o604)).unwrap();
    let first = scene.generation();
    let changed = scene.done(vec![
        create(backend("127.0.0.1:10"), json!({ "weight": 5 })),
        create(group("other"), backends()),
        merge(web(), json!({ "default_group": "other" })),
    ]);
    assert_eq!((changed.is_applied, changed.generation, scene.generation()), (true, first + 1, first + 1));
    assert!(changed.sentence.starts_with("changed: config generation 2, 1 listener, 2 groups, 3 backends"));
    let main = scene.text("main.toml");
    let expected = MAIN.replace("\"app\" # all", "\"other\" # all")
        + "\n[[server_group.backend]]\naddress = \"127.0.0.1:10\"\nweight = 5\n";
    assert_eq!(main, expected);
    assert!(scene.text("api.toml").contains("[[server_group]]\nname = \"other\"\n"));
    assert_eq!(fs::metadata(scene.path("main.toml")).unwrap().mode() & 0o777, 0o604);
    assert_eq!(scene.names(), ["api.toml", "main.toml"]);
    assert!(
        changed
            .diff
            .contains("-default_group = \"app\" # all of it\n+default_group = \"other\" # all of it\n")
    );
    assert!(changed.diff.contains("--- /dev/null\n+++ "), "{}", changed.diff);
    // The group is served by nobody now, which was not so before.
    let warned: Vec<_> = changed.warnings.iter().map(|fault| fault.subject.object.clone()).collect();
    assert_eq!(warned, [Some(group("app"))], "{:?}", changed.warnings);
    scene.assert_files_are_in_service();
    let again = scene.done(vec![merge(web(), json!({ "default_group": "other" }))]);
    assert_eq!((again.is_applied, again.diff.as_str(), scene.generation()), (false, "", first + 1));
}

#[test]
fn a_trial_changes_nothing() {
    let mut scene = Scene::start();
    let changes = vec![merge(web(), json!({ "idle_timeout": "9s" })), create(group("b"), backends())];
    let order = ChangeOrder { changes, is_dry_run: true, is_forced: false, actor: "test".to_owned() };
    let tried = scene.order(order).unwrap();
    assert!(!tried.is_applied && tried.diff.contains("+idle_timeout = \"9s\""), "{tried:?}");
    assert!(tried.warnings.iter().any(|fault| fault.subject.object == Some(group("b"))), "{tried:?}");
    assert_eq!((scene.text("main.toml").as_str(), scene.names()), (MAIN, vec!["main.toml".to_owned()]));
    assert_eq!(scene.generation(), 1);
}

#[test]
fn what_check_says_of_a_change_names_object_key_and_place() {
    let mut scene = Scene::start();
    let refusal = scene.refused(vec![
        merge(backend("127.0.0.1:9"), json!({ "weight": 1_000 })),
        create(group("b"), json!({ "mistake": 1, "backend": [{ "address": "127.0.0.1:9" }] })),
    ]);
    assert_eq!(refusal.kind, RefusalKind::Invalid);
    let said = |object: ObjectPath, key: &str| {
        let found = refusal.faults.iter().find(|fault| fault.subject.object.as_ref() == Some(&object));
        let found = found.unwrap_or_else(|| panic!("{refusal:?}"));
        assert_eq!(found.subject.key.as_deref(), Some(key));
        (found.place.clone(), found.message.clone(), found.help.clone())
    };
    let (place, message, _) = said(backend("127.0.0.1:9"), "weight");
    assert!(place.ends_with("main.toml:14:10") && message.contains("weight"), "{place} {message}");
    let (place, _, help) = said(group("b"), "mistake");
    assert!(place.ends_with("api.toml:5:1") && !help.is_empty(), "{place}");
}

#[test]
fn files_that_changed_are_never_written() {
    let mut scene = Scene::start();
    let change = || vec![merge(web(), json!({ "idle_timeout": "9s" }))];
    let refusal = |scene: &mut Scene, what: &str| {
        let refusal = scene.refused(change());
        assert_eq!(refusal.kind, RefusalKind::Conflict, "{refusal:?}");
        assert!(refusal.sentence.contains(what), "{refusal:?}");
    };
    fs::write(scene.path("main.toml"), format!("{MAIN}# edited\n")).unwrap();
    refusal(&mut scene, "main.toml has changed since it was loaded");
    fs::write(scene.path("main.toml"), MAIN).unwrap();
    fs::write(scene.path("more.toml"), "").unwrap();
    refusal(&mut scene, "more.toml has come since it was loaded");
    fs::rename(scene.path("more.toml"), scene.path("api.toml")).unwrap();
    refusal(&mut scene, "api.toml has come since it was loaded");
    fs::rename(scene.path("api.toml"), scene.path(".hidden")).unwrap();
    fs::rename(scene.path("main.toml"), scene.path("main")).unwrap();
    let refused = scene.change(change()).expect_err("the file is gone");
    assert!(refused.sentence.contains("main.toml is gone since it was loaded"), "{refused:?}");
    fs::rename(scene.path("main"), scene.path("main.toml")).unwrap();
    scene.done(change());
    scene.assert_files_are_in_service();
}

#[test]
fn objects_in_use_protected_or_not_as_they_were_stay() {
    let protected = MAIN.replace("name = \"app\"", "name = \"app\"\nmodification_protection = \"it moves\"");
    let mut scene =
        Scene::with(&protected.replace("name = \"web\"", "name = \"web\"\ndeletion_protection = true"), &[]);
    let refusal = scene.refused(vec![merge(backend("127.0.0.1:9"), json!({ "weight": 1 }))]);
    assert_eq!(refusal.kind, RefusalKind::Protected);
    assert_eq!(refusal.sentence, "server-groups/app is protected from changes: it moves");
    assert_eq!(scene.refused(vec![delete(web())]).kind, RefusalKind::Protected);
    let changes = vec![merge(backend("127.0.0.1:9"), json!({ "weight": 1 }))];
    let forced = ChangeOrder { changes, is_dry_run: false, is_forced: true, actor: "test".to_owned() };
    assert!(scene.order(forced).unwrap().is_applied);
    // Protection itself can be taken away.
    scene.done(vec![merge(group("app"), json!({ "modification_protection": null }))]);
    let refusal = scene.refused(vec![delete(group("app"))]);
    assert_eq!((refusal.kind, refusal.used_by), (RefusalKind::InUse, vec![web()]));
    let app = scene.objects().into_iter().find(|object| object.path() == group("app")).unwrap();
    let tagged = |tag: String| {
        let change = merge(group("app"), json!({ "description": "tagged" }));
        vec![ObjectChange { if_match: Some(tag), ..change }]
    };
    assert_eq!(scene.refused(tagged("\"other\"".to_owned())).kind, RefusalKind::Stale);
    scene.done(tagged(etag(&app.path(), &app.settings)));
    assert_eq!(scene.refused(tagged(etag(&app.path(), &app.settings))).kind, RefusalKind::Stale);
    // All at once, the group can go.
    scene.done(vec![
        create(group("b"), backends()),
        merge(web(), json!({ "default_group": "b" })),
        delete(group("app")),
    ]);
    assert_eq!(scene.refused(vec![delete(group("app"))]).kind, RefusalKind::Missing);
    assert_eq!(scene.refused(vec![create(group("b"), backends())]).kind, RefusalKind::Exists);
    scene.assert_files_are_in_service();
}

#[test]
fn addresses_that_are_taken_leave_everything_as_it_was() {
    let mut scene = Scene::start();
    // An address of its own, so that no other test takes the port meanwhile.
    let other = std::net::TcpListener::bind("127.0.7.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let refusal = scene.refused(vec![merge(web(), json!({ "address": address }))]);
    assert_eq!(refusal.kind, RefusalKind::Bind, "{refusal:?}");
    assert!(refusal.sentence.contains(&address), "{refusal:?}");
    drop(other);
    scene.done(vec![merge(web(), json!({ "address": address }))]);
    scene.assert_files_are_in_service();
}

#[test]
fn protection_ends_only_where_that_is_said() {
    let protected = MAIN.replace("name = \"app\"", "name = \"app\"\ndeletion_protection = true");
    let mut scene = Scene::with(&protected, &[]);
    let replaced = with(group("app"), EditAction::Replace(object(backends())));
    for change in [replaced, merge(group("app"), json!({ "name": "b", "deletion_protection": null }))] {
        let refusal = scene.refused(vec![change]);
        assert_eq!(refusal.kind, RefusalKind::Protected, "{refusal:?}");
    }
    scene.done(vec![merge(group("app"), json!({ "description": "other" }))]);
    let mut settings = object(backends());
    settings.insert("deletion_protection".to_owned(), Json::Bool(false));
    scene.done(vec![with(group("app"), EditAction::Replace(settings))]);
    scene.assert_files_are_in_service();
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_anything_changes() {
    let mut scene = Scene::start();
    // Root may write everywhere, but not where a folder is in the way.
    fs::create_dir_all(scene.path(".main.toml.ringway-new/x")).unwrap();
    let refusal =
        scene.change(vec![merge(web(), json!({ "idle_timeout": "9s" }))]).expect_err("it is in the way");
    assert_eq!((scene.generation(), scene.text("main.toml").as_str()), (1, MAIN), "{refusal:?}");
}

#[test]
fn a_configuration_from_elsewhere_is_not_changed() {
    let mut scene = Scene::start();
    scene.origin.new_objects = None;
    assert_eq!(scene.refused(vec![delete(web())]).kind, RefusalKind::Elsewhere);
    let order =
        ChangeOrder { changes: Vec::new(), is_dry_run: false, is_forced: false, actor: "test".to_owned() };
    let outcome = engine::change(&mut scene.installer, None, order, &mut |_, _| false);
    assert_eq!(outcome.expect_err("it came from no file").kind, RefusalKind::Elsewhere);
}
