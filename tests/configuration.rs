//! The commands that look at a configuration, as a script sees them: exit codes and outputs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

const VALID: &str = "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\
    default_group = \"app\"\n[[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9001\"\n";

fn ringway(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    (status.code().expect("the program ends by itself"), text(stdout), text(stderr))
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }
    folder
}

#[test]
fn a_valid_configuration_gives_one_line_and_0() {
    let folder = folder(&[("a.toml", VALID)]);
    let expected = "configuration is valid: 1 listener, 1 server group, 1 backend\n".to_owned();
    for arguments in [&["check", "-c", "a.toml"], &["-t", "-c", "a.toml"]] {
        assert_eq!(ringway(folder.path(), arguments), (0, expected.clone(), String::new()));
    }
}

#[test]
fn an_invalid_configuration_gives_its_errors_and_3() {
    let folder = folder(&[("a.toml", &VALID.replace("default_group", "defaultgroup"))]);
    let (code, stdout, stderr) = ringway(folder.path(), &["check", "-c", "a.toml"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.starts_with("a.toml:3:8: warning: "), "{stderr}");
    assert!(stderr.contains("\na.toml:5:1: error: unknown key `defaultgroup`"), "{stderr}");
    assert!(stderr.ends_with("configuration is invalid: errors: 1, warnings: 2\n"), "{stderr}");
    let (code, stdout, _) = ringway(folder.path(), &["config", "show", "-c", "a.toml", "--effective"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
}

#[test]
fn warnings_are_errors_only_when_strict() {
    let folder = folder(&[("a.toml", &format!("{VALID}weight = 0\n"))]);
    let (code, stdout, stderr) = ringway(folder.path(), &["check", "-c", "a.toml"]);
    assert!(code == 0 && stdout.contains("is valid") && stderr.contains("a.toml:7:8: warning: "), "{stderr}");
    let (code, stdout, stderr) = ringway(folder.path(), &["check", "--strict", "-c", "a.toml"]);
    assert!(code == 3 && stdout.is_empty() && stderr.contains("a.toml:7:8: error: "), "{stderr}");
}

#[test]
fn json_goes_to_stdout() {
    let folder = folder(&[("a.toml", VALID), ("b.toml", "config_version = 2")]);
    let (code, stdout, stderr) = ringway(folder.path(), &["check", "--format", "json", "-c", "a.toml"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "[]\n", ""));
    let (code, stdout, stderr) = ringway(folder.path(), &["check", "--format", "json", "-c", "b.toml"]);
    assert_eq!((code, stderr.as_str()), (3, ""));
    let list: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
    assert_eq!(
        (&list[1]["file"], &list[1]["line"], &list[1]["column"]),
        (&"b.toml".into(), &1.into(), &18.into())
    );
    assert_eq!(list[1]["severity"], "error");
    let show = ["config", "show", "--effective", "--json", "-c", "a.toml"];
    let (code, stdout, _) = ringway(folder.path(), &show);
    let shown: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
    assert_eq!((code, &shown["config"]["listener"][0]["idle_timeout"]), (0, &"15s".into()));
    assert_eq!(shown["origins"]["listener[0].name"], "a.toml:3");
}

/// An https listener with a certificate that `openssl` makes.
fn folder_with_https(more: &str) -> tempfile::TempDir {
    let https = "protocol = \"https\"\ncertificates = [\"site\"]\n";
    let site = "[[certificate]]\nname = \"site\"\nchain = \"tls/site.crt\"\nkey = \"tls/site.key\"\n";
    let listener = VALID.replacen("default_group", &format!("{https}{more}default_group"), 1);
    let folder = folder(&[("a.toml", &format!("{listener}{site}")), ("tls/readme", "")]);
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=a.org \
                 -addext subjectAltName=DNS:a.org -keyout tls/site.key -out tls/site.crt";
    let output = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output();
    assert!(output.expect("openssl runs").status.success());
    folder
}

#[test]
fn the_files_of_certificates_are_checked_too() {
    let folder = folder_with_https("");
    let check =
        |arguments: &[&str]| ringway(folder.path(), &[&["check", "-c", "a.toml"], arguments].concat());
    let (code, _, stderr) = check(&["--strict"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    fs::copy(folder.path().join("tls/site.key"), folder.path().join("tls/site.crt")).expect("it is there");
    let (code, stdout, stderr) = check(&[]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.starts_with("a.toml:14:9: error: "), "{stderr}");
    assert!(stderr.contains("/tls/site.crt holds a private key, but no certificate"), "{stderr}");
    fs::remove_file(folder.path().join("tls/site.key")).expect("it is there");
    let (code, stdout, _) = check(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
    let message = report[0]["message"].as_str().expect("there is a diagnostic");
    assert!(code == 3 && message.contains("/tls/site.key: No such file"), "{message}");
    // A start finds the same.
    let (code, _, run) = ringway(folder.path(), &["run", "-c", "a.toml"]);
    assert!(code == 3 && run.contains("/tls/site.key: No such file"), "{run}");
}

#[test]
fn what_is_really_offered_is_shown() {
    let folder = folder_with_https("tls_policy = \"tls-1-2-fs\"\n");
    let (code, _, stderr) = ringway(folder.path(), &["check", "--strict", "-c", "a.toml"]);
    assert!(code == 0 && stderr.starts_with("a.toml:7:14: note: not offered of the TLS policy"), "{stderr}");
    let show = ["config", "show", "--effective", "-c", "a.toml"];
    let (code, stdout, _) = ringway(folder.path(), &show);
    let offered =
        "# offered versions: TLS 1.2\n# offered cipher suites: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ";
    assert!(code == 0 && stdout.contains(offered), "{stdout}");
    assert!(stdout.contains("# offered key exchange groups: X25519MLKEM768, X25519, "), "{stdout}");
    let (_, stdout, _) = ringway(folder.path(), &[&show[..], &["--json"]].concat());
    let shown: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
    assert_eq!(shown["offered"]["listener[0]"]["versions"], serde_json::json!(["TLS 1.2"]));
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = folder(&[("empty/readme.md", ""), ("binary.toml", "")]);
    fs::write(folder.path().join("binary.toml"), b"a = 1\nb = \"\xff\"\n").expect("a file can be written");
    let cases = [
        ("missing.toml", "missing.toml:1:1: error: cannot read the file: No such file"),
        ("empty", "empty:1:1: error: the folder has no *.toml file"),
        ("binary.toml", "binary.toml:1:1: error: the file is not UTF-8 text: line 2"),
    ];
    for (path, expected) in cases {
        let (code, stdout, stderr) = ringway(folder.path(), &["check", "-c", path]);
        assert_eq!((code, stdout.as_str()), (3, ""));
        assert!(stderr.starts_with(expected), "{stderr}");
        assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
        let (code, _, stderr) = ringway(folder.path(), &["fmt", path]);
        assert!(code == 3 && stderr.contains(expected.split("error: ").nth(1).unwrap_or("?")), "{stderr}");
    }
}

#[test]
fn a_credential_at_rest_is_explained() {
    let key = "[[certificate]]\nname = \"site\"\nchain = \"site.crt\"\nkey = \"credential:no-such-key\"\n";
    let folder = folder(&[("a.toml", &format!("{VALID}{key}"))]);
    let (code, _, stderr) = ringway(folder.path(), &["check", "-c", "a.toml"]);
    assert!(code == 3 && stderr.contains("`CREDENTIALS_DIRECTORY=FOLDER ringway check -c FILE`"), "{stderr}");
}

#[test]
fn a_state_folder_that_cannot_be_made_is_a_warning() {
    let folder = folder(&[("a.toml", &format!("{VALID}[process]\nstate_folder = \"a.toml/state\"\n"))]);
    for verb in ["check", "doctor"] {
        let (_, stdout, stderr) = ringway(folder.path(), &[verb, "-c", "a.toml"]);
        let said = format!("{stdout}{stderr}");
        assert!(said.contains("a.toml/state cannot be made: ") && said.contains("is no folder"), "{said}");
    }
}

#[test]
fn the_files_of_a_folder_are_one_configuration() {
    let (listener, group) = VALID.split_at(VALID.find("[[server_group]]").expect("it has a group"));
    let files = [
        ("conf/20.toml", group),
        ("conf/10.toml", listener),
        ("conf/.hidden.toml", "?"),
        ("conf/x.txt", "?"),
    ];
    let folder = folder(&files);
    let (code, stdout, stderr) = ringway(folder.path(), &["check", "-c", "conf"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("1 listener, 1 server group"), "{stdout}");
    let (code, _, stderr) = ringway(folder.path(), &["check", "-c", "conf", "-c", "conf/20.toml"]);
    assert_eq!(code, 3);
    let twice = "conf/20.toml:2:8: error: the server group \"app\" is defined twice, first at conf/20.toml:2";
    assert!(stderr.contains(twice), "{stderr}");
}

#[test]
fn a_missing_log_folder_is_a_warning() {
    let folder = folder(&[("a.toml", &format!("{VALID}[access_log]\npath = \"logs/access.log\"\n"))]);
    let (code, _, stderr) = ringway(folder.path(), &["check", "-c", "a.toml"]);
    assert!(
        code == 0 && stderr.starts_with("a.toml:11:8: warning: the folder of the access log"),
        "{stderr}"
    );
    fs::create_dir(folder.path().join("logs")).expect("a folder can be made");
    let (code, _, stderr) = ringway(folder.path(), &["check", "-c", "a.toml"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn what_the_start_will_meet_is_found_before() {
    let with = |text: &str| format!("{VALID}{text}\n");
    let web = VALID.replace("127.0.0.1:8080", "0.0.0.0:8080");
    let cases = [
        (
            with("[admin]\nsocket = \"run/admin.sock\""),
            0,
            "a.toml:11:10: warning: the folder of the admin socket",
        ),
        (with("[admin]\nsocket = \"file\""), 3, "a.toml:11:10: error: what is at"),
        (with("[access_log]\npath = \".\""), 3, "error: the access log"),
        (
            with("[[access_log]]\npath = \"file\"\n[[access_log]]\npath = \"/proc/self/cwd/file\""),
            3,
            "a.toml:13:8: error: the access logs file and /proc/self/cwd/file are the same file",
        ),
        (
            VALID.replace("127.0.0.1:9001", "127.0.0.1:8080"),
            0,
            "a.toml:9:11: warning: this backend is the listener \"web\" of this Ringway",
        ),
        (web.replace("127.0.0.1:9001", "localhost:8080"), 0, "warning: this backend is the listener \"web\""),
    ];
    for (text, expected, words) in cases {
        let folder = folder(&[("a.toml", &text), ("file", "")]);
        let (code, _, stderr) = ringway(folder.path(), &["check", "-c", "a.toml"]);
        assert!(code == expected && stderr.contains(words), "{words}: {code} {stderr}");
        let (code, _, _) = ringway(folder.path(), &["check", "--strict", "-c", "a.toml"]);
        assert_eq!(code, 3, "{words}");
    }
}

#[test]
fn a_key_that_everybody_can_read_and_a_certificate_that_ends_soon_are_warnings() {
    let text = "[[certificate]]\nname = \"site\"\nchain = \"site.crt\"\nkey = \"site.key\"\n";
    let secured =
        VALID.replace("default_group", "protocol = \"https\"\ncertificates = [\"site\"]\ndefault_group");
    let folder = folder(&[("a.toml", &format!("{secured}{text}"))]);
    for (days, mode, words) in [
        (90, 0o644, Some("can be read by every user")),
        (3, 0o600, Some("expires within")),
        (90, 0o640, None),
    ] {
        let mut request = Command::new("openssl");
        request.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        request.args(["-keyout", "site.key", "-out", "site.crt", "-subj", "/CN=a", "-addext"]);
        request.args(["subjectAltName=DNS:a.example", "-days", &format!("{days}")]);
        let made = request.current_dir(folder.path()).output().expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = folder.path().join("site.key");
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).expect("the key is ours");
        let (code, _, stderr) = ringway(folder.path(), &["check", "-c", "a.toml"]);
        assert_eq!((code, stderr.is_empty()), (0, words.is_none()), "{stderr}");
        assert!(stderr.contains(words.unwrap_or_default()), "{stderr}");
    }
}

#[test]
fn few_descriptors_are_a_warning() {
    let folder = folder(&[("a.toml", VALID)]);
    let output = Command::new("prlimit")
        .args(["--nofile=300:300", env!("CARGO_BIN_EXE_ringway"), "check", "-c", "a.toml"])
        .current_dir(folder.path())
        .output()
        .expect("`prlimit` of util-linux runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the descriptor limit of 300 leaves 172"), "{said}");
}

#[test]
fn a_check_as_another_user_finds_what_that_user_may_not_do() {
    let key = "[[certificate]]\nname = \"site\"\nchain = \"site.crt\"\nkey = \"site.key\"\n";
    let text = format!("{VALID}{key}[admin]\nsocket = \"run/admin.sock\"\n");
    let folder = folder(&[("a.toml", &text), ("site.crt", ""), ("site.key", ""), ("run/other", "")]);
    let open = |name: &str, mode| {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    open(".", 0o755);
    open("run", 0o755);
    open("site.key", 0o600);
    let (code, _, stderr) = ringway(folder.path(), &["check", "--user", "no-such-user", "-c", "a.toml"]);
    assert!(code == 2 && stderr.contains("this host has no user no-such-user"), "{stderr}");
    let (_, _, stderr) = ringway(folder.path(), &["check", "--user", "nobody", "-c", "a.toml"]);
    if !stderr.contains("cannot check as the user nobody") {
        assert!(stderr.contains("error: the user nobody may not make the admin socket"), "{stderr}");
        assert!(stderr.contains("site.key: Permission denied"), "{stderr}");
        assert!(stderr.contains("has the mode 0600") && stderr.contains("`setfacl -m u:"), "{stderr}");
    }
}

#[test]
fn wrong_usage_gives_2_and_help_gives_0() {
    let here = Path::new(".");
    let wrong: [&[&str]; 4] = [&[], &["check"], &["chekc"], &["config", "show", "-c", "x"]];
    for arguments in wrong {
        let (code, stdout, stderr) = ringway(here, arguments);
        assert_eq!((code, stdout.as_str()), (2, ""));
        assert!(stderr.contains("Usage"), "{stderr}");
    }
    let (code, stdout, _) = ringway(here, &["--help"]);
    assert!(code == 0 && stdout.contains("check"), "{stdout}");
}

#[test]
fn the_schema_is_that_in_docs() {
    let (code, stdout, stderr) = ringway(Path::new("."), &["schema"]);
    let in_docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ringway.schema.json"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(in_docs.ok().as_ref() == Some(&stdout), "docs/ringway.schema.json is not what is printed");
}

#[test]
fn fmt_lays_files_out_and_keeps_their_mode_owner_and_links() {
    let untidy = "config_version=1 # kept\r\n\r\n\r\n[process]\r\n  workers = 1\r\n";
    let tidy = "config_version = 1 # kept\n\n[process]\nworkers = 1\n";
    let folder = folder(&[("a/b.toml", untidy), ("a/c.toml", tidy)]);
    let path = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("a/b.toml", path("link.toml")).expect("a link can be made");
    fs::set_permissions(path("a/b.toml"), PermissionsExt::from_mode(0o640)).expect("the mode can be set");
    let inode = |name: &str| fs::metadata(path(name)).expect("it is there").ino();
    let unchanged = inode("a/c.toml");
    // Root alone can give files away.
    let gives_away = std::os::unix::fs::chown(path("a/b.toml"), Some(12_345), Some(23_456)).is_ok();

    assert_eq!(ringway(folder.path(), &["fmt", "--check", "a"]), (1, "a/b.toml\n".to_owned(), String::new()));
    assert_eq!(fs::read_to_string(path("a/b.toml")).ok().as_deref(), Some(untidy));

    assert_eq!(ringway(folder.path(), &["fmt", "link.toml", "a"]), (0, String::new(), String::new()));
    assert_eq!(fs::read_to_string(path("a/b.toml")).ok().as_deref(), Some(tidy));
    let metadata = fs::metadata(path("a/b.toml")).expect("it is there");
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert!(!gives_away || (metadata.uid(), metadata.gid()) == (12_345, 23_456), "{metadata:?}");
    assert!(path("link.toml").is_symlink());
    assert_eq!(inode("a/c.toml"), unchanged, "what is laid out already is left alone");
    assert_eq!(fs::read_dir(path("a")).expect("it is a folder").count(), 2, "nothing is left over");
    assert_eq!(ringway(folder.path(), &["fmt", "--check", "a"]), (0, String::new(), String::new()));
}

#[test]
fn fmt_leaves_alone_what_is_no_toml() {
    let folder = folder(&[("a.toml", "a = \n"), ("b.toml", "b=1\n")]);
    let (code, stdout, stderr) = ringway(folder.path(), &["fmt", "a.toml", "b.toml", "gone.toml"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.starts_with("a.toml:1:5: error: not valid TOML: "), "{stderr}");
    assert!(stderr.contains("gone.toml:1:1: error: cannot read the file"), "{stderr}");
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).expect("it is there");
    assert_eq!([text("a.toml"), text("b.toml")], ["a = \n", "b = 1\n"]);
}

#[test]
fn fmt_passes_standard_input_on() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["fmt", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("it is a pipe");
    input.write_all(b"[process]\nworkers=1").expect("it can be written to");
    drop(input);
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"[process]\nworkers = 1\n".to_vec()));
}
