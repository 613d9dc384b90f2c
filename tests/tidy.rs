//! The rules of the source tree that no compiler checks. Each finding is a sentence that names the file.
//!
//! The tables stand first, so that a new module, package or exception is one line here.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/examples.rs"]
mod examples;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/types.rs"]
mod types;

use rules::{Absence, Door, Layer};
use std::process::Command;
use types::Shared;

/// The top-level modules in reading order, the bottom layer first, and what each may import.
const LAYERS: &[Layer] = &[
    Layer { module: "http", may_import: &[] },
    Layer { module: "net", may_import: &[] },
    Layer { module: "proto", may_import: &["http"] },
    Layer { module: "policy", may_import: &["http"] },
    // What sockets have counted is added up beside the rest.
    Layer { module: "telemetry", may_import: &["http", "net::traffic"] },
    Layer { module: "tls", may_import: &["net"] },
    Layer { module: "quic", may_import: &["net", "tls"] },
    // What a template for the log may name is known to who writes it.
    Layer {
        module: "config",
        may_import: &[
            "http",
            "policy",
            "telemetry::log_set",
            "telemetry::log_template",
            "telemetry::log_variables",
        ],
    },
    // The address of a backend is a plain value, and so is what was counted of it.
    Layer {
        module: "snapshot",
        may_import: &[
            "http",
            "policy",
            "tls",
            "net::address",
            "net::traffic",
            "telemetry::backend_counters",
            "telemetry::group_counters",
            "telemetry::listener_counters",
            "telemetry::log_set",
            "telemetry::relay_counters",
            "telemetry::route_counters",
        ],
    },
    Layer {
        module: "upstream",
        may_import: &["http", "proto", "policy", "net", "tls", "telemetry", "snapshot"],
    },
    Layer {
        module: "control",
        // What workers hand each other is made with the sockets that it is for.
        may_import: &[
            "http",
            "proto",
            "policy",
            "config",
            "net",
            "tls",
            "quic::forwarding",
            "quic::group_hold",
            "telemetry",
            "snapshot",
        ],
    },
    Layer { module: "worker", may_import: &["net", "telemetry", "snapshot", "upstream"] },
    // Memory, time, and futures side by side, but no sockets.
    Layer {
        module: "exchange",
        may_import: &[
            "http",
            "policy",
            "telemetry",
            "snapshot",
            "upstream",
            "worker",
            "net::buffer",
            "net::clock",
            "net::task",
        ],
    },
    Layer {
        module: "relay",
        may_import: &["policy", "net", "tls", "telemetry", "snapshot", "upstream", "worker"],
    },
    // A session chooses and is logged as a relayed connection is.
    Layer {
        module: "datagram",
        may_import: &["policy", "net", "telemetry", "snapshot", "upstream", "worker", "relay"],
    },
    Layer {
        module: "downstream",
        may_import: &[
            "http",
            "proto",
            "net",
            "tls",
            "quic",
            "telemetry",
            "snapshot",
            "worker",
            "exchange",
            "relay",
        ],
    },
    Layer {
        module: "runtime",
        may_import: &["net", "telemetry", "snapshot", "worker", "datagram", "downstream", "control"],
    },
    Layer { module: "command", may_import: rules::EVERYTHING },
];

/// One door per package: the only places under `src/` that may name it. A trailing `/` means a folder.
const DOORS: &[Door] = &[
    Door { package: "monoio", rooms: &["net/", "runtime/"] },
    Door { package: "io_uring", rooms: &["runtime/ring.rs", "runtime/ring_restrictions.rs"] },
    Door { package: "socket2", rooms: &["net/"] },
    Door {
        package: "libc",
        rooms: &[
            "net/",
            "runtime/",
            "control/process/rlimits.rs",
            "control/process/users.rs",
            "control/process/launcher.rs",
        ],
    },
    Door { package: "core_affinity", rooms: &["runtime/pin.rs"] },
    Door { package: "signal_hook", rooms: &["control/process/signals.rs"] },
    Door { package: "rustls", rooms: &["tls/"] },
    Door { package: "rustls_native_certs", rooms: &["tls/"] },
    // A digest of WebSocket's handshake is no secret.
    Door {
        package: "aws_lc_rs",
        rooms: &[
            "tls/",
            "policy/websocket.rs",
            "policy/basic_auth/",
            "policy/bearer_tokens.rs",
            "control/discovery/dns_client.rs",
            "control/elb/ids.rs",
            "control/elb/signature.rs",
        ],
    },
    Door { package: "arc_swap", rooms: &["tls/", "telemetry/events.rs"] },
    Door { package: "x509_parser", rooms: &["tls/"] },
    Door { package: "rcgen", rooms: &["tls/"] },
    Door { package: "argon2", rooms: &["policy/basic_auth/password_hash.rs"] },
    Door { package: "bcrypt", rooms: &["policy/basic_auth/password_hash.rs"] },
    Door { package: "sha_crypt", rooms: &["policy/basic_auth/password_hash.rs"] },
    Door { package: "httparse", rooms: &["proto/h1/head.rs"] },
    Door { package: "memchr", rooms: &["proto/", "telemetry/log_file.rs", "telemetry/log_writer.rs"] },
    // Rules are matched by what they say.
    Door { package: "regex_automata", rooms: &["policy/router/"] },
    Door { package: "regex_syntax", rooms: &["policy/router/regex.rs"] },
    Door { package: "brotlic_sys", rooms: &["http/brotli_encoder.rs"] },
    // Its tests read what was written.
    Door { package: "brotli", rooms: &["http/content_coding.rs"] },
    Door { package: "flate2", rooms: &["http/content_coding.rs", "config/embedded.rs"] },
    Door { package: "toml", rooms: &["config/raw.rs"] },
    Door { package: "toml_edit", rooms: &["config/format.rs"] },
    Door { package: "toml_parser", rooms: &["config/edit/syntax.rs"] },
    Door { package: "similar", rooms: &["config/edit/diff.rs"] },
    Door { package: "strsim", rooms: &["config/check/nearest.rs"] },
    Door {
        package: "serde",
        rooms: &[
            "control/admin/",
            "control/change/",
            "control/handover/",
            "control/backend_order.rs",
            "control/elb/object_set.rs",
            "control/explain/",
            "control/json_reader.rs",
            "command/",
        ],
    },
    Door {
        package: "serde_json",
        rooms: &[
            "config/",
            "control/admin/",
            "control/change/",
            "control/elb/",
            "control/handover/",
            "control/json_reader.rs",
            "command/",
        ],
    },
    // Networks are values that the configuration holds and a policy looks up.
    Door { package: "ipnet", rooms: &["config/", "policy/"] },
    Door { package: "landlock", rooms: &["control/process/lock.rs"] },
    Door { package: "jiff", rooms: &["telemetry/date.rs"] },
    Door {
        package: "crossbeam",
        rooms: &[
            "snapshot/rcu_cell.rs",
            "net/mailbox.rs",
            "telemetry/log_writer.rs",
            "telemetry/operator.rs",
            "telemetry/span_queue.rs",
        ],
    },
    Door { package: "resolv_conf", rooms: &["control/discovery/sources.rs"] },
    Door { package: "sd_notify", rooms: &["control/process/systemd.rs"] },
    Door { package: "schemars", rooms: &["control/admin/status.rs"] },
    Door { package: "siphasher", rooms: &["snapshot/keyed_hash.rs", "quic/connection_id.rs"] },
    Door { package: "quinn_proto", rooms: &["quic/"] },
    Door { package: "bytes", rooms: &["quic/"] },
    Door {
        package: "rustix",
        rooms: &["net/packet_socket.rs", "net/memory_file.rs", "net/clock.rs", "net/udp/handed.rs"],
    },
    Door { package: "clap", rooms: &["command/"] },
    Door { package: "clap_complete", rooms: &["command/completions.rs"] },
    Door { package: "clap_mangen", rooms: &["command/man/"] },
    Door { package: "ratatui", rooms: &["command/top/"] },
];

/// What a module must do without, because its tests and its readers rely on the absence.
const ABSENCES: &[Absence] = &[
    Absence { module: "proto", text: "async fn", why: "codecs take bytes and `now`" },
    Absence { module: "proto", text: ".await", why: "codecs take bytes and `now`" },
    Absence { module: "proto", text: "std::fs", why: "codecs do no I/O" },
    Absence { module: "policy", text: "async fn", why: "a decision never waits" },
    Absence { module: "policy", text: ".await", why: "a decision never waits" },
    Absence { module: "policy", text: "std::fs", why: "a decision does no I/O" },
    Absence { module: "telemetry", text: "async fn", why: "a worker never waits for its own figures" },
    Absence { module: "exchange", text: "h1::", why: "what carries an exchange knows its version" },
    Absence { module: "exchange", text: "h2::", why: "what carries an exchange knows its version" },
    Absence { module: "exchange", text: "::Http1", why: "an exchange branches on no version of HTTP" },
    Absence { module: "exchange", text: "::Http2", why: "an exchange branches on no version of HTTP" },
    Absence { module: "exchange", text: "Versions", why: "an exchange branches on no version of HTTP" },
    Absence { module: "config", text: "std::fs", why: "configuration is read from text, never from files" },
];

/// The crates whose files import no circles: the folder of each crate's first file, and where its files are.
const CRATES: &[(&str, &str)] =
    &[("src/", "src"), ("bench/load/", "bench/load"), ("bench/load/harness/", "bench/load/harness")];

/// Words that say nothing about a module or a type.
const BANNED_WORDS: &[&str] =
    &["manager", "handler", "helper", "util", "common", "misc", "base", "context", "data", "info"];

/// Where a banned word is a word of a standard: (folder or file, the name).
const STANDARD_WORDS: &[(&str, &str)] = &[
    ("src/data_path.rs", "data_path"),
    ("src/proto/h2/frame/", "data"),
    ("src/proto/h2/frame/", "Data"),
    ("src/proto/h2/frame/", "DataFrame"),
];

/// The names of types that stand more than once in `src/`.
const SHARED_TYPE_NAMES: &[Shared] = &[
    Shared { why: "each command has its own", names: &["Arguments"] },
    // The layers are walls: neither side may import the other.
    Shared {
        why: "what the operator wrote, and what is made of it",
        names: &[
            "AccessLog",
            "Admin",
            "Backend",
            "BasicAuth",
            "Certificate",
            "ClientAuth",
            "ClientAuthMode",
            "DatagramListener",
            "FinalAction",
            "FingerprintHash",
            "FixedResponse",
            "Forwarded",
            "Gates",
            "Http2Limits",
            "HttpListener",
            "Listener",
            "Maintenance",
            "RequestId",
            "StreamListener",
            "Rule",
            "SniMatch",
            "Sticky",
        ],
    },
    Shared {
        why: "each side and each version of HTTP has its own, and what they have in common",
        names: &[
            "Body",
            "Budgets",
            "ClientPresence",
            "Connection",
            "ErrorCode",
            "Fault",
            "FrameKind",
            "Inbox",
            "Limit",
            "Local",
            "Peer",
            "Received",
            "Reply",
            "ResponseReader",
            "Stream",
            "StreamState",
        ],
    },
    Shared { why: "what a step of the codec gives, private to each of its files", names: &["Outcome"] },
    Shared { why: "a kind of value in TOML, and what checks it", names: &["Kind"] },
];

/// Files may have this many lines before their tests.
const MAX_LINES: usize = 500;

#[test]
fn modules_import_lower_layers_only() {
    report(tree::sources("src").iter().flat_map(|file| rules::check_imports(file, LAYERS)));
}

#[test]
fn no_file_imports_itself_through_others() {
    report(CRATES.iter().flat_map(|(root, folder)| circles::check_circles(&tree::sources(folder), root)));
}

#[test]
fn packages_have_one_door() {
    report(tree::sources("src").iter().flat_map(|file| rules::check_doors(file, DOORS)));
}

#[test]
fn modules_do_without_what_they_promised() {
    report(tree::sources("src").iter().flat_map(|file| rules::check_absences(file, ABSENCES)));
}

#[test]
fn files_are_short_and_finished() {
    let files = tree::sources("");
    let long = files.iter().filter_map(|file| rules::check_length(file, MAX_LINES));
    report(long.chain(files.iter().flat_map(rules::check_unfinished)));
}

#[test]
fn names_say_something() {
    let files = tree::sources("");
    report(files.iter().flat_map(|file| rules::check_names(file, BANNED_WORDS, STANDARD_WORDS)));
}

#[test]
fn each_type_has_a_name_of_its_own() {
    report(types::check_type_names(&tree::sources("src"), SHARED_TYPE_NAMES));
}

#[test]
fn the_map_lists_every_module_in_layer_order() {
    let files = tree::sources("src");
    report(rules::check_map(&files, LAYERS).into_iter().chain(rules::check_reachable(&files)));
}

#[test]
fn documents_name_files_that_exist() {
    report(tree::documents().iter().flat_map(|page| documents::check_links(page, tree::exists)));
}

#[test]
fn documents_are_of_one_version() {
    report(tree::documents().iter().flat_map(documents::check_merged));
}

/// Who gives the words of reasons, and the page that explains them.
const REASONS: &[(&str, &[&str])] = &[
    (
        "docs/access_log.md",
        &[
            "src/telemetry/reason.rs",
            "src/proto/h1/",
            "src/proto/h2/fault.rs",
            "src/proto/h2/limits.rs",
            "src/proto/h3/",
            "src/proto/fields/",
            "src/proto/proxy_protocol/",
            "src/upstream/",
            "src/exchange/",
            "src/downstream/",
            "src/tls/accept.rs",
            "src/tls/x509/client_error.rs",
            "src/tls/connect.rs",
        ],
    ),
    ("docs/events.md", &["src/telemetry/events.rs"]),
    ("docs/health_checks.md", &["src/snapshot/backend.rs"]),
    ("docs/admin.md", &["src/control/admin/collect.rs", "src/snapshot/group.rs"]),
];

#[test]
fn every_reason_is_explained() {
    let (files, pages) = (tree::sources("src"), tree::documents());
    report(REASONS.iter().flat_map(|(path, speakers)| {
        let page = pages.iter().find(|page| page.path == *path).expect("the page is there");
        let files = files.iter().filter(|file| speakers.iter().any(|place| file.path.starts_with(place)));
        files.flat_map(|file| documents::check_reasons(file, page))
    }));
}

#[test]
fn no_reason_is_explained_that_nothing_gives() {
    let files = tree::sources("src");
    let is_given = |word: &str| files.iter().any(|file| file.text.contains(&format!("\"{word}\"")));
    report(tree::documents().iter().flat_map(|page| documents::check_explained(page, is_given)));
}

#[test]
fn every_example_configuration_is_valid() {
    let (_folder, paths) = examples::write_files();
    for path in paths {
        let output = Command::new(env!("CARGO_BIN_EXE_ringway"))
            .args(["check", "--strict", "-c"])
            .arg(&path)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: `ringway check --strict` fails:\n{said}", path.display());
    }
}

#[test]
fn every_example_configuration_is_named_in_the_docs() {
    let pages = tree::documents();
    let examples = tree::files_under("config", "toml");
    report(documents::check_examples(&pages, &examples));
}

/// Fails with all findings at once.
fn report(findings: impl IntoIterator<Item = String>) {
    let findings: Vec<String> = findings.into_iter().collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
