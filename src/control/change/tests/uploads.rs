//! Files that are made of what a change sends.

use super::*;

#[test]
fn certificates_are_sent_and_replaced() {
    let now = wall_now().as_secs();
    let pair = |name: &str| self_signed::for_names(&[name], now).expect("there is one");
    let mut scene = Scene::start();
    let site = named(ObjectKind::Certificate, "site");
    let (chain, key) = pair("one.example");
    let sent = json!({ "chain_pem": chain, "key_pem": key });
    let changed = scene.done(vec![
        create(site.clone(), sent.clone()),
        merge(web(), json!({ "protocol": "https", "certificates": ["site"] })),
    ]);
    assert!(!changed.diff.contains("PRIVATE"), "{}", changed.diff);
    let files = |scene: &Scene| -> Vec<PathBuf> {
        let entries = fs::read_dir(scene.path("certificates")).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    let first = files(&scene);
    assert_eq!(first.len(), 2, "{first:?}");
    let key_file = first.iter().find(|path| path.extension().is_some_and(|ending| ending == "key")).unwrap();
    assert_eq!(fs::metadata(key_file).unwrap().mode() & 0o777, 0o600);
    assert!(scene.text("api.toml").contains("chain = \"certificates/site-"), "{}", scene.text("api.toml"));
    scene.assert_files_are_in_service();
    // What does not fit is refused, and leaves no file.
    let (other, _) = pair("two.example");
    let refusal = scene.refused(vec![merge(site.clone(), json!({ "chain_pem": other }))]);
    assert_eq!(refusal.kind, RefusalKind::Invalid, "{refusal:?}");
    assert_eq!(files(&scene), first);
    let (chain, key) = pair("two.example");
    scene.done(vec![merge(site.clone(), json!({ "chain_pem": chain, "key_pem": key }))]);
    let second = files(&scene);
    assert!(second.len() == 2 && second.iter().all(|path| !first.contains(path)), "{second:?}");
    scene.assert_files_are_in_service();
    scene.done(vec![merge(web(), json!({ "protocol": null, "certificates": null })), delete(site)]);
    assert_eq!(files(&scene), Vec::<PathBuf>::new());
}

/// The files of certificates.
fn certificate_files(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.path("certificates")).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it is there").path()).collect();
    files.sort();
    files
}

fn site() -> ObjectPath {
    named(ObjectKind::Certificate, "site")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

#[test]
fn files_that_others_made_or_name_are_not_removed() {
    let (chain, key) = self_signed::for_names(&["one.example"], wall_now().as_secs()).expect("there is one");
    let mut scene = Scene::start();
    // An operator's own, with a name that only looks like one of ours.
    fs::create_dir(scene.path("certificates")).unwrap();
    let own = ["site-0123456789abcdef.crt", "site-0123456789abcdef.key"]
        .map(|name| scene.path("certificates").join(name));
    fs::write(&own[0], &chain).unwrap();
    fs::write(&own[1], &key).unwrap();
    scene.done(vec![create(
        site(),
        json!({ "chain": own[0].display().to_string(), "key": own[1].display().to_string() }),
    )]);
    scene.done(vec![delete(site())]);
    assert_eq!(certificate_files(&scene), own);
    // Ours, which the configuration of another process in this folder names, too.
    scene.done(vec![create(site(), json!({ "chain_pem": chain, "key_pem": key }))]);
    let all = certificate_files(&scene);
    let named = scene.text("api.toml");
    scene.done(vec![delete(site())]);
    assert_eq!(certificate_files(&scene), own);
    scene.done(vec![create(site(), json!({ "chain_pem": chain, "key_pem": key }))]);
    let theirs = scene.path("theirs.toml");
    let read_before = std::mem::replace(&mut scene.origin.read, Box::new(Vec::new));
    let skipped = theirs.clone();
    scene.origin.read = Box::new(move || {
        let sources = read_before().into_iter();
        sources.filter(|source| source.path().as_ref() != Some(&skipped)).collect()
    });
    fs::write(&theirs, named).unwrap();
    scene.done(vec![delete(site())]);
    assert_eq!(certificate_files(&scene), all);
    // When they name it no more, it goes once it is not new any more.
    fs::remove_file(&theirs).unwrap();
    scene.done(vec![merge(web(), json!({ "idle_timeout": "9s" }))]);
    assert_eq!(certificate_files(&scene), all);
    let unfinished = scene.path("certificates").join(".site-0123456789abcdef.key.ringway-new");
    fs::write(&unfinished, "part").unwrap();
    for path in all.iter().chain([&unfinished]) {
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
        fs::File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    scene.done(vec![merge(web(), json!({ "idle_timeout": "8s" }))]);
    assert_eq!(certificate_files(&scene), own);
}

#[test]
fn keys_are_for_their_owner_alone() {
    let (chain, key) = self_signed::for_names(&["one.example"], wall_now().as_secs()).expect("there is one");
    let mut scene = Scene::start();
    scene.done(vec![create(site(), json!({ "chain_pem": chain, "key_pem": key }))]);
    let files = certificate_files(&scene);
    // The digests decide the order of their names.
    let of_key = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "key");
    let key_file = files.iter().find(of_key).expect("there is one");
    let crt = files.iter().find(|path| !of_key(path)).expect("there is one");
    assert_eq!((mode(crt), mode(key_file)), (0o644, 0o600));
    // The same again, where somebody has opened it.
    fs::set_permissions(key_file, fs::Permissions::from_mode(0o644)).unwrap();
    scene.done(vec![create(
        named(ObjectKind::Certificate, "other"),
        json!({ "chain_pem": chain, "key_pem": key }),
    )]);
    scene.done(vec![merge(site(), json!({ "chain_pem": chain, "key_pem": key }))]);
    assert_eq!(mode(key_file), 0o600);
    // A key where everybody reads is none.
    for (path, settings) in [
        (site(), json!({ "chain_pem": format!("{chain}{key}"), "key_pem": key })),
        (named(ObjectKind::Authority, "ca"), json!({ "bundle_pem": format!("{chain}{key}") })),
    ] {
        let changes = if path == site() { vec![merge(path, settings)] } else { vec![create(path, settings)] };
        let refusal = scene.refused(changes);
        assert_eq!(refusal.kind, RefusalKind::Invalid, "{refusal:?}");
        assert!(refusal.sentence.contains("_pem` of ") && refusal.help.contains("key_pem"), "{refusal:?}");
        assert!(!format!("{refusal:?}").contains("BEGIN"), "{refusal:?}");
    }
}

#[test]
fn what_is_wrong_with_what_was_sent_names_the_keys_it_was_sent_under() {
    let now = wall_now().as_secs();
    let pair = |name: &str| self_signed::for_names(&[name], now).expect("there is one");
    let (chain, _) = pair("one.example");
    let (_, key) = pair("two.example");
    let mut scene = Scene::start();
    for (chain, key, said) in [
        (chain.as_str(), key.as_str(), "is not the key of the certificate in chain_pem ("),
        (chain.as_str(), "no PEM", "key_pem"),
        ("no PEM", key.as_str(), "chain_pem"),
    ] {
        let refusal = scene.refused(vec![create(site(), json!({ "chain_pem": chain, "key_pem": key }))]);
        assert!(refusal.sentence.contains(said), "{refusal:?}");
        let all = format!("{refusal:?}");
        assert!(!all.contains("certificates/site-") && !all.contains("api.toml"), "{all}");
    }
}
