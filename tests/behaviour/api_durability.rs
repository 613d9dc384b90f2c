//! Changes by the API, and what becomes of files and requests when it is not a quiet day: several writers, load, a process that
//! is killed in the middle, a folder that may not be written.

use crate::support::api::{call, request};
use crate::support::call_stops::{CallStops, Stopped};
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario, eventually};
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"\n";

fn scenario(backend: &Backend) -> Scenario {
    Scenario::of(backend).workers(1).table(ADMIN)
}

fn rule(name: &str, priority: usize, code: u16) -> String {
    let rule = json!({
        "name": name, "listener": "web", "priority": priority, "path": format!("/{name}"), "respond": { "code": code },
    });
    rule.to_string()
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// What `check` says of a folder's configuration.
fn check(folder: &Path) -> (Option<i32>, String) {
    let file = folder.join("ringway.toml").display().to_string();
    let mut checked = Ringway::with_arguments(&["check", "-c", &file]);
    let code = checked.wait_for_exit(PATIENCE).code();
    (code, checked.stderr_to_end())
}

#[test]
fn several_writers_all_get_what_they_want_and_no_file_is_torn() {
    const WRITERS: usize = 4;
    const CHANGES: usize = 10;
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    let socket = ringway.folder().join("admin.sock");
    let write = |writer: usize| {
        for change in 0..CHANGES {
            let name = format!("r{writer}-{change}");
            let content = rule(&name, 1 + writer * CHANGES + change, 201);
            loop {
                let told = answer(&socket, ("POST", "/api/v1/rules"), &content);
                match told.split(' ').nth(1) {
                    Some("201") => break,
                    // Too many wait.
                    Some("429" | "503") => std::thread::yield_now(),
                    _ => panic!("{told}"),
                }
            }
        }
    };
    let write = &write;
    std::thread::scope(|scope| {
        (0..WRITERS).for_each(|writer| drop(scope.spawn(move || write(writer))));
    });
    let told = call(&ringway, "GET", "/api/v1/rules?limit=1000", "");
    assert_eq!(told.json()["total"], WRITERS * CHANGES);
    let written = text(&ringway.folder().join("api.toml")).expect("it was made");
    assert_eq!(written.matches("[[rule]]").count(), WRITERS * CHANGES);
    assert_eq!(check(ringway.folder()).0, Some(0));
    for path in ["/r0-0", "/r3-9"] {
        assert_eq!(Client::connect(ringway.address()).get(path).status, 201);
    }
}

#[test]
fn no_request_fails_while_the_configuration_changes() {
    const CHANGES: usize = 200;
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    let is_over = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    let address = ringway.address();
    let ask = || {
        while !is_over.load(Ordering::SeqCst) {
            let mut client = Client::connect(address);
            for _ in 0..20 {
                assert_eq!(client.get("/").status, 200);
                served.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    std::thread::scope(|scope| {
        let askers = [scope.spawn(ask), scope.spawn(ask)];
        let group = call(&ringway, "GET", "/api/v1/server-groups", "").json()["items"][0]["name"].clone();
        let path = format!("/api/v1/server-groups/{}", group.as_str().expect("it has a name"));
        for change in 0..CHANGES {
            let told = match change % 4 {
                0 => call(&ringway, "POST", "/api/v1/rules", &rule("r", 1, 201)),
                1 => {
                    call(&ringway, "PATCH", "/api/v1/rules/r", &json!({ "priority": 2 + change }).to_string())
                }
                2 => call(&ringway, "DELETE", "/api/v1/rules/r", ""),
                _ => {
                    call(&ringway, "PATCH", &path, &json!({ "description": format!("{change}") }).to_string())
                }
            };
            assert!(matches!(told.status, 200 | 201), "{change}: {}", told.text);
            let before = served.load(Ordering::SeqCst);
            if change % 20 == 0 {
                eventually("requests are served", || served.load(Ordering::SeqCst) > before);
            }
        }
        is_over.store(true, Ordering::SeqCst);
        askers.into_iter().for_each(|asker| asker.join().expect("every request was served"));
    });
    assert_eq!(check(ringway.folder()).0, Some(0));
}

/// Changes of two files, of which one may come into being.
fn change_set() -> String {
    let group = json!({ "name": "second", "backend": [{ "address": "127.0.0.1:9" }] });
    let set = json!({ "changes": [
        { "do": "create", "kind": "server-groups", "settings": group },
        { "do": "patch", "kind": "listeners", "name": "web", "settings": { "default_group": "second" } },
    ] });
    set.to_string()
}

/// What is answered, as far as it comes.
fn answer(socket: &Path, call: (&str, &str), content: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    let request = request(call, "localhost", &[], content);
    let mut answer = Vec::new();
    // The process may be gone.
    drop(stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer)));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether the files hold the change; they hold all of it, or nothing.
fn holds_change(folder: &Path, before: &(String, Option<String>)) -> bool {
    let now = (text(&folder.join("ringway.toml")).unwrap_or_default(), text(&folder.join("api.toml")));
    if now == *before {
        return false;
    }
    let api = now.1.unwrap_or_default();
    assert!(
        now.0.contains("default_group = \"second\"") && api.contains("name = \"second\""),
        "{}{api}",
        now.0
    );
    true
}

#[test]
fn a_process_that_is_killed_at_any_call_leaves_old_or_new_files() {
    let backend = Backend::echo_head();
    let (mut outcomes, mut journals) = ([0, 0], 0);
    for number in 0.. {
        let mut ringway = scenario(&backend).start();
        let folder = ringway.folder().to_owned();
        let before =
            (text(&folder.join("ringway.toml")).expect("it is there"), text(&folder.join("api.toml")));
        let Some(stops) = CallStops::of_thread(&ringway, "ringway-reload") else {
            println!("no process can be traced here");
            return;
        };
        let socket = folder.join("admin.sock");
        let caller = std::thread::spawn(move || answer(&socket, ("POST", "/api/v1/changes"), &change_set()));
        let stopped = stops.kill_at(number, || caller.is_finished());
        let answer = caller.join().expect("it ends");
        if stopped == Stopped::Never {
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert!(number > 10, "only {number} calls of that thread change files");
            break;
        }
        ringway.wait_for_exit(PATIENCE);
        let journal = folder.join(".ringway-change.json");
        if journal.exists() {
            let (_, said) = check(&folder);
            assert!(said.contains("a change of the files was interrupted") && journal.exists(), "{said}");
            journals += 1;
        }
        let file = folder.join("ringway.toml").display().to_string();
        // The admin socket is still there, and nobody listens at it.
        let mut again = Ringway::with_arguments(&["run", "-c", &file]);
        again.wait_for_listeners(1);
        outcomes[usize::from(holds_change(&folder, &before))] += 1;
        assert!(!journal.exists());
        drop(again);
        let (code, said) = check(&folder);
        assert_eq!(code, Some(0), "{number}: {said}");
    }
    assert!(outcomes.iter().all(|count| *count > 0) && journals > 1, "{outcomes:?} {journals}");
}

#[test]
fn a_folder_that_the_user_may_not_write_is_named_with_its_cure() {
    if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return;
    }
    let backend = Backend::echo_head();
    let others = tempfile::tempdir().expect("a temporary folder can be made");
    fs::set_permissions(others.path(), Permissions::from_mode(0o777)).expect("it can be changed");
    let socket = others.path().join("admin.sock");
    let admin = format!("[admin]\nsocket = \"{}\"\n", socket.display());
    let ringway = Scenario::of(&backend).workers(1).process("user = \"nobody\"").table(&admin).start();
    let folder = ringway.folder();
    let file = folder.join("ringway.toml");
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("it can be changed");
    for entry in fs::read_dir(folder).expect("it can be read") {
        let path = entry.expect("it is there").path();
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("it can be changed");
    }
    let before = text(&file);
    let create = || answer(&socket, ("POST", "/api/v1/rules"), &rule("r", 1, 201));
    let told = create();
    assert!(told.starts_with("HTTP/1.1 409 "), "{told}");
    assert!(
        told.contains("chown -R nobody: ") && told.contains("config/ringway.service.d/api.conf"),
        "{told}"
    );
    assert_eq!((text(&file), text(&folder.join("api.toml"))), (before, None));
    assert_eq!(Client::connect(ringway.address()).get("/r").status, 200);
    // Given the folder, it may.
    let given = std::process::Command::new("chown").args(["-R", "nobody:"]).arg(folder).status();
    assert!(given.expect("chown runs").success());
    let told = create();
    assert!(told.starts_with("HTTP/1.1 201 "), "{told}");
    assert_eq!(Client::connect(ringway.address()).get("/r").status, 201);
}
