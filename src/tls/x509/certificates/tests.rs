//! Files as people make them: with rcgen and with the `openssl` command.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::net::clock;

/// The files of a test, made by `openssl` in a folder of their own.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Workshop {
        Workshop { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    /// Runs `openssl` with these words.
    fn openssl(&self, words: &str) -> &Workshop {
        let output = Command::new("openssl")
            .args(words.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        self
    }

    /// A self-signed certificate `site` with a new key.
    fn site(&self, key: &str) -> &Workshop {
        self.openssl(&format!(
            "req -x509 -newkey {key} -nodes -keyout site.key -out site.crt -days 9 -subj /CN=x \
             -addext subjectAltName=DNS:Site.Example.com,DNS:*.site.example.com"
        ))
    }

    /// `root` issues `middle`, which issues `leaf`.
    fn chain(&self) -> &Workshop {
        self.write("ca.cnf", b"basicConstraints=critical,CA:true\n");
        self.write("leaf.cnf", b"basicConstraints=CA:false\nsubjectAltName=DNS:leaf.example.com\n");
        let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        self.openssl(&format!("req -x509 {ec} -keyout root.key -out root.crt -days 9 -subj /CN=root"))
            .openssl(&format!("req -new {ec} -keyout middle.key -out middle.csr -subj /CN=middle"))
            .openssl("x509 -req -in middle.csr -CA root.crt -CAkey root.key -days 9 -extfile ca.cnf -out middle.crt")
            .openssl(&format!("req -new {ec} -keyout leaf.key -out leaf.csr -subj /CN=leaf"))
            .openssl("x509 -req -in leaf.csr -CA middle.crt -CAkey middle.key -days 9 -extfile leaf.cnf -out leaf.crt")
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file can be written");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("a file can be read")
    }

    /// Several files in one.
    fn join(&self, names: &[&str], into: &str) {
        let bytes: Vec<u8> = names.iter().flat_map(|name| self.read(name)).collect();
        self.write(into, &bytes);
    }

    fn check(&self, chain: &str, key: &str) -> Result<CheckedFiles, Vec<CertificateFinding>> {
        self.check_with_staple(chain, key, None)
    }

    fn check_with_staple(
        &self,
        chain: &str,
        key: &str,
        staple: Option<&str>,
    ) -> Result<CheckedFiles, Vec<CertificateFinding>> {
        let bytes = [chain, key].map(|name| self.read(name));
        let staple_bytes = staple.map(|name| self.read(name));
        let files = CertificateFiles {
            chain: CertificateFile { name: chain, bytes: &bytes[0] },
            key: CertificateFile { name: key, bytes: &bytes[1] },
            staple: staple.zip(staple_bytes.as_deref()).map(|(name, bytes)| CertificateFile { name, bytes }),
        };
        read(&files, now())
    }

    /// The report of what is wrong.
    fn faults(&self, chain: &str, key: &str) -> String {
        match self.check(chain, key) {
            Ok(checked) => told(&checked.remarks),
            Err(findings) => told(&findings),
        }
    }
}

fn now() -> i64 {
    i64::try_from(clock::wall_now().as_secs()).expect("it fits")
}

fn told(findings: &[CertificateFinding]) -> String {
    findings
        .iter()
        .map(|finding| {
            let severity = match finding.is_warning() {
                true if finding.is_note() => "note",
                true => "warning",
                false => "error",
            };
            format!("{severity}: {}\nhelp: {}\n", finding.message(), finding.fix())
        })
        .collect()
}

fn assert_snapshot(name: &str, text: String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../snapshots");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn every_kind_of_key_serves() {
    let kinds = [
        ("rsa:2048", false),
        ("rsa:3072", false),
        ("ec -pkeyopt ec_paramgen_curve:P-256", true),
        ("ec -pkeyopt ec_paramgen_curve:P-384", true),
        ("ec -pkeyopt ec_paramgen_curve:P-521", true),
        ("ed25519", true),
    ];
    for (kind, is_ecdsa) in kinds {
        let workshop = Workshop::new();
        let checked = workshop.site(kind).check("site.crt", "site.key").expect("it is valid");
        assert_eq!(checked.remarks, [], "{kind}");
        assert_eq!(checked.certificate.names, ["site.example.com", "*.site.example.com"], "{kind}");
        assert_eq!(checked.certificate.is_ecdsa, is_ecdsa, "{kind}");
        let key = &checked.certificate.certified.key;
        let offered = checked.certificate.schemes;
        let schemes: Vec<_> =
            offered.iter().filter_map(|one| Some(key.choose_scheme(&[*one])?.scheme())).collect();
        assert_eq!(schemes, offered, "{kind}: it signs with what it says");
    }
}

#[test]
fn every_form_of_a_key_is_read() {
    let workshop = Workshop::new();
    workshop.site("rsa:2048").openssl("rsa -in site.key -traditional -out pkcs1.key");
    assert_eq!(workshop.faults("site.crt", "pkcs1.key"), "");
    workshop.openssl("ecparam -name prime256v1 -genkey -out sec1.key");
    workshop.openssl("req -x509 -new -key sec1.key -days 9 -subj /CN=a.example.com -out sec1.crt");
    assert!(workshop.read("sec1.key").starts_with(b"-----BEGIN EC PARAMETERS"));
    let named = workshop.check("sec1.crt", "sec1.key").expect("it is valid").certificate;
    assert_eq!(named.names, ["a.example.com"]);
    // One file for both, with a byte order mark and the line ends of another system.
    let both = [workshop.read("sec1.crt"), workshop.read("sec1.key")].concat();
    let text = String::from_utf8(both).expect("it is text").replace('\n', "\r\n");
    workshop.write("both.pem", format!("\u{feff}{text}").as_bytes());
    assert_eq!(workshop.faults("both.pem", "both.pem"), by_common_name("both.pem"));
}

/// `openssl x509 -req` without extensions makes X.509 v1, as many a tutorial does.
#[test]
fn certificates_of_version_1_serve_under_their_common_name() {
    let workshop = Workshop::new();
    workshop
        .openssl("genrsa -out ca.key 2048")
        .openssl("req -new -key ca.key -subj /CN=ca -out ca.csr")
        .openssl("x509 -req -sha256 -in ca.csr -signkey ca.key -days 9 -out ca.crt")
        .openssl("genrsa -out server.key 2048")
        .openssl("req -new -key server.key -subj /C=cn/O=test/CN=www.Example.com -out server.csr")
        .openssl("x509 -req -sha256 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 9 -out server.crt");
    let checked = workshop.check("server.crt", "server.key").expect("it is valid");
    assert_eq!(
        (told(&checked.remarks).as_str(), checked.certificate.names),
        (by_common_name("server.crt").as_str(), vec!["www.example.com".to_owned()])
    );
    workshop.join(&["server.crt", "ca.crt"], "chain.crt");
    assert_eq!(workshop.faults("chain.crt", "server.key"), by_common_name("chain.crt"));
}

/// What is said of a certificate without alternative names.
fn by_common_name(file: &str) -> String {
    let said = "the certificate has no subjectAltName; browsers and others refuse it";
    let fix = "get one with the names of the site (openssl: -addext subjectAltName=DNS:www.example.com)";
    format!("note: {file}: {said}\nhelp: {fix}\n")
}

#[test]
fn a_chain_is_in_order() {
    let workshop = Workshop::new();
    workshop.chain();
    workshop.join(&["leaf.crt", "middle.crt", "root.crt"], "whole.crt");
    let checked = workshop.check("whole.crt", "leaf.key").expect("it is valid");
    assert_eq!((told(&checked.remarks).as_str(), checked.certificate.certified.cert.len()), ("", 3));
    // Another authority of the same name.
    workshop.openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.crt -days 9 \
         -subj /CN=middle",
    );
    let mut text = String::new();
    for order in [
        &["leaf.crt", "other.crt"][..],
        &["middle.crt", "leaf.crt"],
        &["leaf.crt", "root.crt"],
        &["leaf.crt", "middle.crt", "leaf.crt"],
        &["leaf.crt", "leaf.crt"],
        &[
            "leaf.crt",
            "middle.crt",
            "root.crt",
            "root.crt",
            "root.crt",
            "root.crt",
            "root.crt",
            "root.crt",
            "root.crt",
            "root.crt",
            "root.crt",
            "root.crt",
        ],
    ] {
        workshop.join(order, "chain.crt");
        text += &format!("──── {}\n{}", order.join(" + "), workshop.faults("chain.crt", "leaf.key"));
    }
    assert_snapshot("chain_order", text);
}

/// Whatever is in a file, there is a report and never a panic.
#[test]
fn no_file_makes_it_panic() {
    let workshop = Workshop::new();
    workshop.chain();
    let key = workshop.read("leaf.key");
    let key = CertificateFile { name: "key", bytes: &key };
    let pem = workshop.read("leaf.crt");
    let der = pem::read(&pem).expect("it is PEM").remove(0).der;
    let check = |bytes: &[u8]| {
        let _ = read(
            &CertificateFiles { chain: CertificateFile { name: "chain", bytes }, key, staple: None },
            now(),
        );
        let _ = read(
            &CertificateFiles {
                chain: CertificateFile { name: "chain", bytes: &pem },
                key: CertificateFile { name: "key", bytes },
                staple: None,
            },
            now(),
        );
    };
    for position in 0..pem.len() {
        let mut changed = pem.clone();
        changed[position] = b"-=\nA\0"[position % 5];
        check(&changed);
        check(&pem[..position]);
    }
    for position in 0..der.len() {
        for flip in [0x01, 0x20, 0xff] {
            let mut changed = der.clone();
            changed[position] ^= flip;
            let section = || PemSection {
                label: "CERTIFICATE".to_owned(),
                line: 1,
                is_encrypted: false,
                der: changed.clone(),
            };
            if let Ok(chain) = Chain::parse(&[section()]) {
                let leaf = &chain.parsed[0];
                let certificate = &leaf.certificate;
                let _ =
                    (names(leaf), validity(1, certificate, 0), is_signed_with_sha1(certificate), chain.der());
                if let Ok(twice) = Chain::parse(&[section(), section()]) {
                    let _ = check_order(&twice.parsed);
                }
            }
        }
    }
}

#[test]
fn messages_of_files() {
    let workshop = Workshop::new();
    workshop
        .site("rsa:2048")
        .openssl("genrsa -out other.key 2048")
        .openssl("ecparam -name prime256v1 -genkey -noout -out ec.key")
        .openssl("pkcs8 -topk8 -in site.key -passout pass:x -out pkcs8_encrypted.key")
        .openssl("rsa -in site.key -traditional -aes128 -passout pass:x -out encrypted.key")
        .openssl("x509 -in site.crt -outform DER -out der.crt")
        .openssl("req -new -key site.key -subj /CN=x -out site.csr")
        .openssl("rsa -in site.key -pubout -out public.key")
        .openssl("req -x509 -newkey rsa:1024 -nodes -keyout weak.key -out weak.crt -days 9 -subj /CN=x")
        .openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout k1.key -out k1.crt -days 9 -subj /CN=x")
        .openssl("req -x509 -newkey ed448 -nodes -keyout ed448.key -out ed448.crt -days 9 -subj /CN=x");
    let whole = String::from_utf8(workshop.read("site.crt")).expect("it is text");
    let lines: Vec<&str> = whole.lines().collect();
    workshop.write("cut.crt", lines[..5].join("\n").as_bytes());
    workshop.write("typo.crt", whole.replacen(lines[3], "MII!", 1).as_bytes());
    workshop.write("less.crt", whole.replacen(lines[3], "", 1).as_bytes());
    workshop.write("short.crt", whole.replacen(lines[3], &lines[3][1..], 1).as_bytes());
    workshop.write("empty.crt", b"\n");
    workshop.write("text.crt", b"a certificate\n");
    workshop.write("large.crt", &vec![b'\n'; MAX_FILE_BYTES + 1]);
    let dh = b"-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n";
    workshop.write("dh.crt", &[dh.to_vec(), workshop.read("site.crt")].concat());
    workshop.join(&["site.key", "other.key"], "two.key");
    let damaged = b"-----BEGIN PRIVATE KEY-----\nMAYCAQcCAQI=\n-----END PRIVATE KEY-----\n";
    workshop.write("damaged.key", damaged);
    let pairs = [
        ("site.crt", "site.key"),
        ("site.key", "site.crt"),
        ("site.crt", "other.key"),
        ("site.crt", "ec.key"),
        ("site.crt", "pkcs8_encrypted.key"),
        ("site.crt", "encrypted.key"),
        ("site.crt", "two.key"),
        ("site.crt", "public.key"),
        ("site.crt", "damaged.key"),
        ("site.csr", "site.key"),
        ("public.key", "site.key"),
        ("der.crt", "site.key"),
        ("cut.crt", "site.key"),
        ("typo.crt", "site.key"),
        ("less.crt", "site.key"),
        ("short.crt", "site.key"),
        ("empty.crt", "site.key"),
        ("text.crt", "site.key"),
        ("large.crt", "site.key"),
        ("dh.crt", "site.key"),
        ("weak.crt", "weak.key"),
        ("k1.crt", "k1.key"),
        ("ed448.crt", "ed448.key"),
    ];
    let text = pairs.map(|(chain, key)| format!("──── {chain} {key}\n{}", workshop.faults(chain, key)));
    assert_snapshot("certificate_files", text.concat());
}

#[test]
fn messages_of_what_works_but_not_as_meant() {
    let workshop = Workshop::new();
    workshop.site("ec -pkeyopt ec_paramgen_curve:P-256");
    let with = |subject: &str, more: &str, at: i64| {
        workshop.openssl(&format!("req -x509 -key site.key -out odd.crt -days 9 -subj {subject} {more}"));
        let bytes = ["odd.crt", "site.key"].map(|name| workshop.read(name));
        let files = CertificateFiles {
            chain: CertificateFile { name: "odd.crt", bytes: &bytes[0] },
            key: CertificateFile { name: "site.key", bytes: &bytes[1] },
            staple: None,
        };
        let checked = read(&files, now() + at * 86_400).expect("it is valid");
        // The days move on, the sentences do not.
        let text = told(&checked.remarks);
        text.lines()
            .map(|line| {
                let words = line.split(' ').map(|word| {
                    let is_day = word.starts_with("20") && word.matches('-').count() == 2;
                    if is_day { format!("DAY{}", &word[10..]) } else { word.to_owned() }
                });
                words.collect::<Vec<_>>().join(" ") + "\n"
            })
            .collect::<String>()
    };
    let mut text = with("/CN=a.org", "", 10);
    text += &with("/CN=a.org", "", -2);
    text += &with("/CN=A_Title", "-addext subjectAltName=IP:127.0.0.1", 0);
    text += &with("/O=nobody", "", 0);
    text += &with("/CN=a.org", "-addext subjectAltName=DNS:test*.example.com,DNS:a.org", 0);
    assert_snapshot("certificate_remarks", text);
}

#[test]
fn staples_are_of_their_certificate() {
    let workshop = Workshop::new();
    workshop.chain();
    workshop.write("index.txt", b"");
    let serial = |name: &str| {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-serial", "-in", name])
            .current_dir(workshop.folder.path())
            .output()
            .expect("openssl is installed");
        let text = String::from_utf8(output.stdout).expect("it is text");
        text.trim().trim_start_matches("serial=").to_owned()
    };
    let number = serial("leaf.crt");
    let respond = |state: &str, name: &str, more: &str| {
        workshop.write("index.txt", format!("{state}\t{number}\tunknown\t/CN=leaf\n").as_bytes());
        workshop.openssl(&format!(
            "ocsp -index index.txt -rsigner middle.crt -rkey middle.key -CA middle.crt -issuer middle.crt \
             -cert leaf.crt -noverify -respout {name} {more}"
        ));
    };
    respond("V\t350101000000Z\t", "good.ocsp", "-ndays 7");
    respond("R\t350101000000Z\t260101000000Z", "revoked.ocsp", "-ndays 7");
    respond("V\t350101000000Z\t", "endless.ocsp", "");
    workshop.write("pem.ocsp", b"-----BEGIN OCSP RESPONSE-----\n");
    workshop.write("broken.ocsp", &workshop.read("good.ocsp")[..100]);
    workshop.join(&["leaf.crt", "middle.crt"], "chain.crt");
    let check = |chain, key, staple| workshop.check_with_staple(chain, key, Some(staple));
    for staple in ["good.ocsp", "endless.ocsp"] {
        let good = check("chain.crt", "leaf.key", staple).expect("it is valid");
        assert_eq!(
            (good.remarks, good.certificate.certified.ocsp.clone()),
            (vec![], Some(workshop.read(staple)))
        );
    }
    let mut text = String::new();
    for (chain, key, staple) in [
        ("chain.crt", "leaf.key", "revoked.ocsp"),
        ("chain.crt", "leaf.key", "pem.ocsp"),
        ("chain.crt", "leaf.key", "broken.ocsp"),
        ("middle.crt", "middle.key", "good.ocsp"),
    ] {
        let findings = check(chain, key, staple).map_or_else(|findings| findings, |checked| checked.remarks);
        text += &format!("──── {chain} {staple}\n{}", told(&findings));
    }
    assert_snapshot("staples", text);
    // Cut anywhere, it is refused and never a panic.
    let whole = workshop.read("good.ocsp");
    for cut in 0..whole.len() {
        let _ = ocsp::read(&whole[..cut], b"\x01");
    }
    assert!(Path::new(&workshop.path("good.ocsp")).exists());
}
