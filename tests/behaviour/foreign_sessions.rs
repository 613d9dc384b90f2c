//! Clients that come with a session of another server, as after a migration: what they hold is worth nothing
//! here, and costs them nothing but a full handshake.

use crate::support::tls::Issuer;
use crate::support::tools::{Said, has, run};
use crate::support::{Backend, Ringway, Scenario};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const NAME: &str = "site.example";
const REQUEST: &str = "GET /after HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n";

/// Another server for the same name, with keys for tickets of its own.
struct Other {
    child: Child,
    address: SocketAddr,
}

impl Other {
    fn start(folder: &Path) -> Other {
        let mut child = Command::new("timeout")
            .args(["60", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "other.crt"])
            .args(["-key", "other.key", "-www", "-no_anti_replay", "-max_early_data", "16384"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`timeout` of coreutils runs");
        let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let told = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ACCEPT ")?.parse().ok());
        Other { child, address: told.expect("it tells its address") }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // `timeout` passes the signal on, as it does not when it is killed.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let _ = self.child.wait();
    }
}

struct Site {
    ringway: Ringway,
    _backend: Backend,
}

impl Site {
    fn new(more: &str) -> Site {
        let issuer = Issuer::new("sites");
        let backend = Backend::echo_head();
        let scenario = Scenario::of(&backend).certificate("site", &issuer.server(&[NAME]));
        let ringway = scenario.listener(more).start();
        let other = issuer.server(&[NAME]);
        std::fs::write(ringway.folder().join("other.crt"), &other.certificate).expect("it can be written");
        std::fs::write(ringway.folder().join("other.key"), &other.key).expect("it can be written");
        Site { ringway, _backend: backend }
    }

    fn client(&self, address: SocketAddr, more: &[&str], input: &str) -> Said {
        let address = address.to_string();
        let arguments = [&["s_client", "-connect", &address, "-servername", NAME, "-ign_eof"], more].concat();
        run(self.ringway.folder(), "openssl", &arguments, input)
    }

    /// Takes a session of `other` into this file.
    fn session_of(&self, other: &Other, file: &str, more: &[&str]) {
        let arguments = [&["-sess_out", file], more].concat();
        let said = self.client(other.address, &arguments, "GET / HTTP/1.0\r\n\r\n");
        assert!(said.success && self.ringway.folder().join(file).is_file(), "{}", said.all());
    }

    /// Comes to Ringway with the session and so many bytes of early data.
    fn comes(&self, file: &str, early: usize, more: &[&str]) -> Said {
        std::fs::write(self.ringway.folder().join("early"), vec![b'e'; early]).expect("it can be written");
        let early: &[&str] = if early == 0 { &[] } else { &["-early_data", "early"] };
        let arguments = [&["-sess_in", file], early, more].concat();
        self.client(self.ringway.address(), &arguments, REQUEST)
    }
}

#[test]
fn rejected_early_data_is_skipped() {
    if !has("openssl") {
        return;
    }
    let site = Site::new("");
    let other = Other::start(site.ringway.folder());
    for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
        site.session_of(&other, "session", &["-ciphersuites", suite]);
        // The first share of a key of the second list is none of ours: a HelloRetryRequest follows.
        for groups in ["X25519:P-256", "X448:P-384"] {
            for early in [1, 3_000, 6_000, 16_384] {
                let said = site.comes("session", early, &["-groups", groups]);
                let words = format!("{suite}, {groups}, {early} bytes: {}", said.all());
                assert!(said.stdout.contains("Early data was rejected"), "{words}");
                assert!(said.stdout.contains("GET /after HTTP/1.1"), "{words}");
            }
        }
    }
}

#[test]
fn sessions_of_any_kind_cost_a_full_handshake_and_no_more() {
    if !has("openssl") {
        return;
    }
    let site = Site::new("");
    let other = Other::start(site.ringway.folder());
    for (file, more) in [
        ("tls12", &["-tls1_2"][..]),
        ("sha256", &["-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
        ("sha384", &["-ciphersuites", "TLS_AES_256_GCM_SHA384"]),
    ] {
        site.session_of(&other, file, more);
        for more in [
            &[][..],
            &["-groups", "X448:P-384"],
            &["-groups", "X448:P-384", "-ciphersuites", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"],
            &["-no_ticket"],
            &["-tls1_2"],
        ] {
            let said = site.comes(file, 0, more);
            assert!(said.stdout.contains("GET /after HTTP/1.1"), "{file} {more:?}: {}", said.all());
            assert!(!said.stdout.contains("Reused, "), "{file} {more:?}: {}", said.all());
        }
    }
}
