//! What is left behind by any sequence of changes, and by what fails in the midst of one.

use super::*;

/// Texts that change one by one, and nothing else.
struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    /// A change that may be right, or name what is not there, or be wrong.
    fn change(&mut self) -> ObjectChange {
        let number = self.roll(3);
        let name = format!("g{number}");
        let address = format!("127.0.0.1:{}", self.roll(3) + 1);
        let of_group = ObjectPath::Backend { group: name.clone(), address: address.clone() };
        let rule = named(ObjectKind::Rule, &format!("r{}", self.roll(4)));
        match self.roll(11) {
            0 => {
                create(group(&name), json!({ "backend": [{ "address": address, "weight": self.roll(101) }] }))
            }
            1 => delete(group(&name)),
            2 => create(of_group, json!({ "weight": self.roll(110) })),
            3 => delete(of_group),
            4 => merge(of_group, json!({ "weight": self.roll(101), "description": "it's \"one\"" })),
            5 => with(
                ObjectPath::HealthCheck { group: name },
                EditAction::Replace(object(json!({ "interval": format!("{}s", self.roll(9) + 1) }))),
            ),
            6 => delete(ObjectPath::HealthCheck { group: name }),
            7 => create(
                rule,
                json!({ "listener": "web", "priority": self.roll(30) + 1, "path": "/x", "group": name }),
            ),
            8 => merge(rule, json!({ "path_prefix": "/y/", "path": null, "tags": { "team": "edge" } })),
            9 => delete(rule),
            _ => merge(
                web(),
                json!({ "default_group": name, "idle_timeout": format!("{}s", self.roll(60) + 1) }),
            ),
        }
    }
}

#[test]
fn after_any_sequence_a_restart_serves_what_is_served() {
    let (mut done, mut refused) = (0, 0);
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let inline = "rule = [ # all\n    { name = \"r0\", listener = \"web\", priority = 99, path = \"/\", group = \"app\" }, # r0\n]\n";
        let mut scene = Scene::with(MAIN, &[("b.toml", inline)]);
        for _ in 0..60 {
            let changes: Vec<ObjectChange> = (0..=dice.roll(2)).map(|_| dice.change()).collect();
            match scene.change(changes) {
                Ok(_) => done += 1,
                Err(refusal) => {
                    assert_ne!(refusal.kind, RefusalKind::System, "{refusal:?}");
                    assert_ne!(refusal.kind, RefusalKind::Conflict, "{refusal:?}");
                    refused += 1;
                }
            }
            scene.assert_files_are_in_service();
            assert!(scene.text("main.toml").starts_with("# The head.\nconfig_version = 1\n"));
        }
    }
    assert!(done > 20 && refused > 20, "{done} {refused}");
}

#[test]
fn a_full_disk_leaves_everything_as_it_was() {
    let mut scene = Scene::start();
    let mounted = |arguments: &[&str]| {
        let path = scene.path("");
        let outcome = std::process::Command::new(arguments[0]).args(&arguments[1..]).arg(&path).output();
        outcome.is_ok_and(|outcome| outcome.status.success())
    };
    if !mounted(&["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs"]) {
        println!("no small file system can be mounted here");
        return;
    }
    fs::write(scene.path("main.toml"), MAIN).unwrap();
    let large = "x".repeat(20_000);
    let pages: Vec<ObjectChange> = (0..3)
        .map(|number| {
            let page = json!({ "status": 500 + number, "content": format!("{large}{number}") });
            create(named(ObjectKind::ErrorPage, &format!("p{number}")), page)
        })
        .collect();
    let refusal = scene.change(pages);
    let described = scene.change(vec![merge(group("app"), json!({ "description": "fits" }))]);
    fs::write(scene.path("filler"), "x".repeat(40_000)).expect_err("it is full");
    let full = scene.change(vec![create(group("b"), backends())]);
    let left = (scene.names(), scene.text("main.toml"));
    let is_gone = std::process::Command::new("umount")
        .arg(scene.path(""))
        .status()
        .is_ok_and(|status| status.success());
    assert!(is_gone);
    let refusal = refusal.expect_err("it is too large");
    assert_eq!(
        (refusal.kind, refusal.help.contains("make room")),
        (RefusalKind::NoSpace, true),
        "{refusal:?}"
    );
    described.expect("there is room for that");
    assert_eq!(full.expect_err("it is full").kind, RefusalKind::NoSpace);
    assert!(left.1.contains("description = \"fits\""), "{}", left.1);
    assert_eq!(left.0, ["filler", "main.toml"]);
    assert_eq!(scene.generation(), 2);
}

#[test]
fn what_is_saved_meanwhile_is_not_overwritten() {
    let mut scene = Scene::start();
    scene.origin.check = |sources| {
        // Somebody saves it, once it was read.
        let main = sources.iter().filter_map(Source::path).find(|path| path.ends_with("main.toml"));
        main.into_iter().for_each(|path| fs::write(path, "# saved\n").expect("there is room"));
        config::load(sources)
    };
    let before = scene.installer.active.config.clone();
    let refusal =
        scene.change(vec![merge(web(), json!({ "idle_timeout": "9s" }))]).expect_err("it was saved");
    assert_eq!(refusal.kind, RefusalKind::Conflict, "{refusal:?}");
    assert_eq!(scene.text("main.toml"), "# saved\n");
    assert_eq!((scene.names(), &scene.installer.active.config), (vec!["main.toml".to_owned()], &before));
}

#[test]
fn files_that_cannot_be_put_in_place_bring_the_old_configuration_back() {
    let mut scene = Scene::start();
    let before = scene.installer.active.config.clone();
    let mut taken = Some(std::net::TcpListener::bind("127.0.7.2:0").expect("there is a port"));
    let address = taken.as_ref().and_then(|taken| taken.local_addr().ok()).expect("it is bound").to_string();
    let changes = vec![merge(web(), json!({ "address": address })), create(group("b"), backends())];
    let order = ChangeOrder { changes, is_dry_run: false, is_forced: false, actor: "test".to_owned() };
    // When the address is free at last, one of the files that were written is gone.
    let staged = scene.path(".api.toml.ringway-new");
    let mut wait = |_: &mut Installer, _: &BindError| {
        let was_taken = taken.take().is_some();
        was_taken && fs::remove_file(&staged).is_ok()
    };
    let outcome = engine::change(&mut scene.installer, Some(&scene.origin), order, &mut wait);
    let refusal = outcome.expect_err("a file is gone");
    assert_eq!(refusal.kind, RefusalKind::System, "{refusal:?}");
    assert!(refusal.sentence.contains("api.toml"), "{refusal:?}");
    assert_eq!(scene.installer.active.config, before, "{refusal:?}");
    assert_eq!((scene.text("main.toml").as_str(), scene.names()), (MAIN, vec!["main.toml".to_owned()]));
}
