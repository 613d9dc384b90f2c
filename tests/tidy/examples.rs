//! The example configurations beside the files that they name, which every reader has to make.

use crate::tree;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A copy of `config/` with certificates, keys and secrets in its `tls/`, a page and a list of addresses.
pub(crate) fn write_files() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let copy = |path: String| {
        let target = folder.path().join(path.trim_start_matches("config/"));
        fs::copy(Path::new(tree::ROOT).join(&path), &target).expect("an example can be copied");
        target
    };
    let examples = tree::files_under("config", "toml").into_iter().map(copy).collect();
    let tls = folder.path().join("tls");
    fs::create_dir(&tls).expect("a folder can be made");
    make_files(&tls);
    fs::create_dir(folder.path().join("pages")).expect("a folder can be made");
    fs::write(folder.path().join("pages/503.html"), "<p>Later.\n").expect("a file can be written");
    fs::write(folder.path().join("pages/maintenance.html"), "<p>Closed.\n").expect("a file can be written");
    let tokens = format!("read monitoring {}\n", "0".repeat(64));
    fs::write(folder.path().join("admin.tokens"), tokens).expect("a file can be written");
    let secrets = [
        ("collector-headers", "Authorization: Bearer secret\n"),
        ("elb.keys", "AKEXAMPLE a-long-secret-key project1\n"),
    ];
    for (name, text) in secrets {
        let secret = folder.path().join(name);
        fs::write(&secret, text).expect("a file can be written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(secret, mode).expect("the mode can be set");
    }
    fs::write(folder.path().join("banned.txt"), "# nobody yet\n").expect("a file can be written");
    (folder, examples)
}

fn make_files(folder: &Path) {
    let self_signed = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9";
    let names = "-addext subjectAltName=DNS:www.example.com,DNS:*.shop.example.com";
    openssl(folder, &format!("{self_signed} -subj /CN=localhost {names} -keyout site.key -out site.crt"));
    for site in ["shop", "blog", "docs"] {
        let names = format!("-addext subjectAltName=DNS:{site}.example.com,DNS:www.{site}.example.com");
        let files = format!("-keyout {site}.key -out {site}.crt");
        openssl(folder, &format!("{self_signed} -subj /CN={site}.example.com {names} {files}"));
    }
    openssl(folder, &format!("{self_signed} -subj /CN=clients -keyout clients-ca.key -out clients-ca.crt"));
    openssl(
        folder,
        &format!("{self_signed} -subj /CN=backends -keyout backends-ca.key -out backends-ca.crt"),
    );
    openssl(
        folder,
        &format!("{self_signed} -subj /CN=collector -keyout collector-ca.key -out collector-ca.crt"),
    );
    openssl(folder, "rand -out ticket_seed 64");
    let serial = openssl(folder, "x509 -noout -serial -in site.crt");
    let serial = serial.trim().trim_start_matches("serial=");
    let index = format!("V\t350101000000Z\t\t{serial}\tunknown\t/CN=localhost\n");
    fs::write(folder.join("index.txt"), index).expect("a file can be written");
    let answer = "ocsp -index index.txt -rsigner site.crt -rkey site.key -CA site.crt -issuer site.crt";
    openssl(folder, &format!("{answer} -cert site.crt -noverify -ndays 7 -respout site.ocsp"));
    let hash = openssl(folder, "passwd -6 secret");
    fs::write(folder.join("users.htpasswd"), format!("ada:{hash}")).expect("a file can be written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.join("users.htpasswd"), mode).expect("the mode can be set");
    let seed = folder.join("ticket_seed");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(seed, mode).expect("the mode can be set");
}

/// What `openssl` prints for these words.
fn openssl(folder: &Path, words: &str) -> String {
    let output =
        Command::new("openssl").args(words.split(' ')).current_dir(folder).output().expect("openssl runs");
    assert!(output.status.success(), "openssl {words}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
