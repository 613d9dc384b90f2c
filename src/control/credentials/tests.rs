//! What a start and a check tell about the files that a configuration names.

use std::io;
use std::path::Path;

use super::*;
use crate::config::Source;
use crate::net::clock;
use crate::tls::x509::self_signed;

const GROUP: &str =
    "[[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9001\"\n";

/// Files that no disk holds: `a.b.crt` and `a.b.key` are a certificate for `a.b` and its key.
struct Shelf {
    pairs: Vec<(String, (String, String))>,
}

impl Shelf {
    fn new(names: &[&str]) -> Shelf {
        let now = clock::wall_now().as_secs();
        let make =
            |name: &&str| ((*name).to_owned(), self_signed::for_names(&[name], now).expect("it can be made"));
        Shelf { pairs: names.iter().map(make).collect() }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = path.display().to_string();
        let found =
            self.pairs.iter().find_map(|(name, (chain, key))| match path.strip_prefix(name.as_str())? {
                ".crt" => Some(chain),
                ".key" => Some(key),
                _ => None,
            });
        match (found, path.as_str()) {
            (Some(text), _) => Ok(text.clone().into_bytes()),
            (None, "seed") => Ok(vec![7; 31]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn load(&self, text: &str) -> (Credentials, Report) {
        let text = format!("config_version = 1\n{text}{GROUP}");
        let loaded = config::load(vec![Source::made_up("ringway.toml", text)]);
        let mut report = loaded.report;
        let config = loaded.config.unwrap_or_else(|| panic!("{}", report.to_text(false)));
        (load(&config, &|path: &Path| self.read(path), &mut report), report)
    }

    fn report(&self, text: &str) -> String {
        self.load(text).1.to_text(false)
    }
}

fn certificate(name: &str, chain: &str, key: &str) -> String {
    format!("[[certificate]]\nname = \"{name}\"\nchain = \"{chain}.crt\"\nkey = \"{key}.key\"\n")
}

fn listener(more: &str) -> String {
    format!(
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\ndefault_group = \"app\"\n{more}\n"
    )
}

fn assert_snapshot(name: &str, text: String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("snapshots");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn what_is_right_is_loaded() {
    let shelf = Shelf::new(&["a.org", "b.org"]);
    let both = certificate("a", "a.org", "a.org") + &certificate("b", "b.org", "b.org");
    let (credentials, report) = shelf.load(&format!("{both}{}", listener("certificates = [\"b\", \"a\"]")));
    assert_eq!(report.to_text(false), "");
    assert!(credentials.certificates.iter().all(Option::is_some));
    let listener = credentials.listeners[0].as_ref().expect("it speaks TLS");
    assert_eq!(listener.index.certificates()[0].names, ["b.org"]);
    assert_eq!(listener.offer.suites.len(), 7);
    assert!(credentials.ticket_seed.is_none());
}

#[test]
fn messages_of_files_and_policies() {
    let shelf = Shelf::new(&["a.org", "b.org", "test*.org"]);
    let site = certificate("a", "a.org", "a.org");
    let own = "certificates = [\"a\"]";
    let policy = |versions: &str, suites: &str| {
        format!(
            "{site}[[tls_policy]]\nname = \"edge\"\nversions = {versions}\ncipher_suites = {suites}\n{}",
            listener(&format!("{own}\ntls_policy = \"edge\""))
        )
    };
    let cases = [
        ("missing files", certificate("a", "none", "none") + &listener(own)),
        ("the key of another", certificate("a", "a.org", "b.org") + &listener(own)),
        ("a useless name", certificate("a", "test*.org", "test*.org") + &listener(own)),
        (
            "the same name twice",
            format!(
                "{site}{}{}",
                certificate("b", "a.org", "a.org"),
                listener("certificates = [\"a\", \"b\"]")
            ),
        ),
        ("a short seed", format!("[process]\nticket_seed_file = \"seed\"\n{site}{}", listener(own))),
        ("a missing seed", format!("[process]\nticket_seed_file = \"none\"\n{site}{}", listener(own))),
        ("the default policy", format!("{site}{}", listener(own))),
        (
            "the default policy by name",
            site.clone()
                + &listener(&format!("{own}\ntls_policy = \"tls_cipher_policy_1_2_strict_with_1_3\"")),
        ),
        ("a predefined policy", site.clone() + &listener(&format!("{own}\ntls_policy = \"tls-1-2-fs\""))),
        (
            "a complete policy",
            site.clone() + &listener(&format!("{own}\ntls_policy = \"tls-1-2-strict-no-cbc\"")),
        ),
        ("an old policy", site.clone() + &listener(&format!("{own}\ntls_policy = \"tls-1-0-with-1-3\""))),
        ("an own policy", policy("[\"1.1\", \"1.3\"]", "[\"TLS_AES_128_GCM_SHA256\", \"AES128-SHA\"]")),
        ("nothing left", policy("[\"1.0\", \"1.2\"]", "[\"AES128-SHA\"]")),
        ("no suite for the keys", policy("[\"1.2\"]", "[\"ECDHE-RSA-AES128-GCM-SHA256\"]")),
    ];
    let text = cases.map(|(what, text)| format!("──── {what}\n{}", shelf.report(&text)));
    assert_snapshot("credentials", text.concat());
}

#[test]
fn a_policy_is_reported_once_and_names_only_where_clients_ask_by_them() {
    let shelf = Shelf::new(&["a.org", "test*.org"]);
    let second = listener("certificates = [\"a\"]\ntls_policy = \"tls-1-2\"").replace("\"web\"", "\"web2\"");
    let text =
        format!("{}{}{second}", certificate("a", "a.org", "a.org"), second.replace("\"web2\"", "\"web\""));
    assert_eq!(shelf.report(&text).matches("note: ").count(), 1);
    let group = "[[server_group]]\nname = \"inner\"\nprotocol = \"https\"\n[server_group.tls]\n\
                 client_certificate = \"odd\"\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"\n";
    let text = format!(
        "{}{group}[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\ndefault_group = \"inner\"\n",
        certificate("odd", "test*.org", "test*.org")
    );
    assert!(!shelf.report(&text).contains("test*"), "{}", shelf.report(&text));
}

#[test]
fn a_seed_that_others_can_read_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("seed");
    fs::write(&path, [7; 32]).expect("a file can be written");
    let shelf = Shelf::new(&["a.org"]);
    let text = format!(
        "[process]\nticket_seed_file = {}\n{}{}{GROUP}",
        config::toml_string(&path.display().to_string()),
        certificate("a", "a.org", "a.org"),
        listener("certificates = [\"a\"]")
    );
    for (mode, expected) in [(0o600, ""), (0o640, "can be read by other users"), (0o604, "chmod 600")] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
        let loaded = config::load(vec![Source::made_up("a", format!("config_version = 1\n{text}"))]);
        let mut report = loaded.report;
        let config = loaded.config.expect("the configuration is valid");
        let read = |path: &Path| match path.is_absolute() {
            true => certificates::read_file(path),
            false => shelf.read(path),
        };
        let credentials = load(&config, &read, &mut report);
        assert_eq!(credentials.ticket_seed, Some(vec![7; 32]));
        let said = report.to_text(false);
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{mode:o}: {said}");
    }
}

/// A measurement, not a check: `cargo test --release -- --ignored --nocapture ten_thousand_load`.
#[test]
#[ignore = "measures"]
fn ten_thousand_load_in_two_seconds() {
    const COUNT: usize = 10_000;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: String| folder.path().join(name);
    let openssl = |words: &str| {
        let output = std::process::Command::new("openssl").args(words.split_whitespace()).output();
        assert!(output.expect("openssl is installed").status.success());
    };
    let rsa = path("rsa".to_owned()).display().to_string();
    openssl(&format!(
        "req -x509 -newkey rsa:2048 -nodes -keyout {rsa}.key -out {rsa}.crt -days 9 -subj /CN=rsa.org"
    ));
    let now = clock::wall_now().as_secs();
    for kind in ["ecdsa", "rsa"] {
        let mut text = format!("config_version = 1\n{GROUP}");
        let mut names = Vec::new();
        for number in 0..COUNT {
            let (chain, key) = match kind {
                "rsa" => ["crt", "key"]
                    .map(|end| fs::read_to_string(format!("{rsa}.{end}")).expect("it is there"))
                    .into(),
                _ => self_signed::for_names(&[&format!("h{number}.org")], now).expect("it can be made"),
            };
            fs::write(path(format!("{number}.crt")), chain).expect("a file can be written");
            fs::write(path(format!("{number}.key")), key).expect("a file can be written");
            let stem = path(number.to_string()).display().to_string();
            text += &certificate(&format!("c{number}"), &stem, &stem);
            names.push(format!("\"c{number}\""));
        }
        text += &listener(&format!("certificates = [\n{}]", names.join(",\n")));
        let started = clock::instant_now();
        let loaded = config::load(vec![Source::made_up("a", text)]);
        let parsed = started.elapsed();
        let mut report = loaded.report;
        let config = loaded.config.expect("the configuration is valid");
        let credentials = load(&config, &certificates::read_file, &mut report);
        println!("{kind}: configuration {parsed:?}, with {COUNT} certificates {:?}", started.elapsed());
        assert!(credentials.certificates.iter().all(Option::is_some));
    }
}
