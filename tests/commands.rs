//! The verbs that serve, as a stranger meets them: the real binary, its words and its exit codes.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use support::{Backend, Client, PATIENCE, Ringway, eventually, within};

const SUCCESS: i32 = 0;
const FAILURE: i32 = 1;
const USAGE: i32 = 2;
const CONFIGURATION_INVALID: i32 = 3;
const CANNOT_START: i32 = 4;

const DEMO: [&str; 5] = ["demo", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0"];

fn demo() -> Ringway {
    let mut ringway = Ringway::with_arguments(&DEMO);
    ringway.wait_for_listeners(2);
    ringway
}

fn http_of(demo: &Ringway) -> SocketAddr {
    demo.address_of("demo")
}

fn started(arguments: &[&str]) -> Ringway {
    let mut ringway = Ringway::with_arguments(arguments);
    ringway.wait_for_listeners(1);
    ringway
}

/// Runs a command that must end by itself: its exit code and its standard error.
fn ends(arguments: &[&str]) -> (i32, String) {
    let mut ringway = Ringway::with_arguments(arguments);
    let code = ringway.wait_for_exit(PATIENCE).code().expect("no signal ended it");
    (code, ringway.stderr_to_end())
}

#[test]
fn the_demo_balances_over_both_backends_on_kept_connections() {
    let mut ringway = demo();
    let mut client = Client::connect(http_of(&ringway));
    let first_line = |text: String| text.lines().next().map(str::to_owned);
    let answers: Vec<_> = (0..6).map(|_| first_line(client.get("/").text())).collect();
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[1], answers[3]);
    let mut both = [answers[4].as_deref(), answers[5].as_deref()];
    both.sort_unstable();
    assert_eq!(both, [Some("hello from backend one"), Some("hello from backend two")]);
    assert_eq!(ringway.terminate().code(), Some(SUCCESS));
    let log = ringway.stdout();
    assert_eq!(log.lines().filter(|line| line.contains("\"request_uri\":\"/\"")).count(), 6, "{log}");
}

#[test]
fn the_demo_echoes_what_reaches_a_backend() {
    let ringway = demo();
    let mut client = Client::connect(http_of(&ringway));
    let body = "x".repeat(5000);
    client.send(format!(
        "POST /a?b HTTP/1.1\r\nHost: h\r\nX-Real-IP: spoofed\r\nContent-Length: 5000\r\n\r\n{body}"
    ));
    let response = client.read_response();
    assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
    let text = response.text();
    for line in ["POST /a?b HTTP/1.1", "Host: h", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"] {
        assert!(text.lines().any(|its| its == line), "no {line} in:\n{text}");
    }
    assert!(text.contains("a body of 5000 bytes, which begins with:\nxxx"), "{text}");

    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_response().status, 100);
    client.send("3\r\nabc\r\n0\r\n\r\n");
    assert!(client.read_response().text().contains("a body of 3 bytes:\nabc\n"));
}

#[test]
fn the_demo_has_paths_worth_trying() {
    let ringway = demo();
    let mut client = Client::connect(http_of(&ringway));
    assert_eq!(client.get("/status/503").status, 503);
    let empty = client.get("/status/204");
    assert_eq!((empty.status, empty.field("content-length")), (204, None));
    assert_eq!(client.get("/status/99").status, 400);
    assert_eq!(client.get("/bytes/100000").body.len(), 100_000);
    assert_eq!(client.get("/bytes/many").status, 400);
    let streamed = client.get("/stream");
    assert_eq!(streamed.field("transfer-encoding"), Some("chunked"));
    assert_eq!(streamed.text().lines().count(), 5);
    for path in ["/", "/bytes/1000", "/stream", "/status/404"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let response = client.read_response_to("HEAD");
        assert_eq!(response.body.len(), 0, "{path}");
    }
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn the_lines_to_try_work_as_they_stand() {
    let ringway = demo();
    ringway.wait_for_line("Ctrl-C");
    let said = ringway.stderr();
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.len() >= 6, "{said}");
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    for line in lines {
        let url = line.split(' ').find(|word| word.starts_with("http")).expect("a line names a URL");
        if let Some(path) = url.strip_prefix(&format!("http://{}", http_of(&ringway))) {
            assert!(Client::connect(http_of(&ringway)).get(path).status >= 200, "{line}");
        } else {
            let secure = ringway.address_of("demo-secure");
            assert!(url.starts_with(&format!("https://{secure}")), "the URL is the demo's: {line}");
        }
        if has_curl {
            let output = Command::new("sh").args(["-c", line]).output().expect("a shell runs");
            assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {output:?}");
        }
    }
}

#[test]
fn the_demo_can_be_spoken_to_directly_and_badly() {
    let ringway = demo();
    let log = |ringway: &Ringway| ringway.stdout();
    Client::connect(http_of(&ringway)).get("/");
    eventually("the log has the exchange", || log(&ringway).contains("upstream_addr"));
    let log = log(&ringway);
    let (_, rest) = log.split_once("\"upstream_addr\":\"").expect("the log names the backend");
    let backend: SocketAddr = rest.split('"').next().and_then(|text| text.parse().ok()).expect("an address");

    let mut client = Client::connect(backend);
    client.send("GET /stream HTTP/1.0\r\n\r\n");
    let response = client.read_response();
    assert!(response.is_close_delimited && response.text().ends_with('\n'), "{response:?}");

    let mut client = Client::connect(backend);
    client.send("GET / HTTP/1.1\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.text().as_str()), (400, "missing_host\n"));
    client.expect_closed();
}

#[test]
fn a_second_demo_tells_the_fix() {
    let first = demo();
    let address = http_of(&first).to_string();
    let (code, said) = ends(&["demo", "--http", &address, "--https", "127.0.0.1:0"]);
    assert_eq!(code, CANNOT_START, "{said}");
    let port = http_of(&first).port();
    assert!(said.contains(&format!("cannot bind {address}: Address already in use")), "{said}");
    assert!(said.contains(&format!("ringway demo --http 127.0.0.1:{}", port.wrapping_add(1))), "{said}");
}

#[test]
fn proxy_balances_over_tcp_and_unix_backends() {
    let backend = Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntcp");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let socket = folder.path().join("app.sock");
    let listener = UnixListener::bind(&socket).expect("the path is free");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let mut request = [0; 4096];
            while stream.read(&mut request).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix");
            }
        }
    });
    let to = format!("{},unix:{}", backend.address(), socket.display());
    let mut ringway = started(&["proxy", "--from", "127.0.0.1:0", "--to", &to]);
    let mut client = Client::connect(ringway.address());
    let mut answers: Vec<_> = (0..4).map(|_| client.get("/").text()).collect();
    answers.sort_unstable();
    assert_eq!(answers, ["tcp", "tcp", "unix", "unix"]);
    assert_eq!(ringway.terminate().code(), Some(SUCCESS));
    assert_eq!(ringway.stdout(), "", "the access log is off");
}

#[test]
fn proxy_writes_an_access_log_when_asked() {
    let backend = Backend::echo_head();
    let to = backend.address().to_string();
    let mut ringway = started(&["proxy", "--from", "127.0.0.1:0", "--to", &to, "--access-log", "stdout"]);
    Client::connect(ringway.address()).get("/logged");
    assert_eq!(ringway.terminate().code(), Some(SUCCESS));
    assert!(ringway.stdout().contains("\"request_uri\":\"/logged\""), "{}", ringway.stdout());
}

#[test]
fn wrong_usage_is_explained_in_terms_of_the_command_line() {
    for (arguments, said) in [
        (&["proxy", "--from", "8080", "--to", "127.0.0.1:1"][..], "--from \"8080\" has no IP address"),
        (&["proxy", "--from", "127.0.0.1:0", "--to", "127.0.0.1:1,http://a"], "--to \"http://a\" is a URL"),
        (&["proxy", "--from", "127.0.0.1:0", "--to", "unix:"], "--to \"unix:\" has no usable path"),
        (&["proxy", "--from", "127.0.0.1:0"], "--to <ADDR>"),
        (&["demo", "--http", "8080"], "write an IP address and a port"),
        (&["demo", "--https", "8443"], "write an IP address and a port"),
        (&["proxy", "--from", "127.0.0.1:0", "--to", "127.0.0.1:1", "--cert", "a.crt"], "--key <FILE>"),
        (&["serve"], "unrecognized subcommand"),
        (&["run"], "--config <FILE>"),
    ] {
        let (code, text) = ends(arguments);
        assert_eq!(code, USAGE, "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
        assert!(!text.contains("<proxy>"), "{arguments:?}: {text}");
    }
}

#[test]
fn what_a_configuration_or_the_system_refuses_has_its_exit_code() {
    let (code, text) = ends(&["run", "-c", "/nonexistent/ringway.toml"]);
    assert_eq!(code, CONFIGURATION_INVALID, "{text}");
    assert!(text.contains("cannot read the file"), "{text}");

    let to = ["--to", "127.0.0.1:1"];
    let (code, text) = ends(&[&["proxy", "--from", "192.0.2.1:8080"], &to[..]].concat());
    assert_eq!(code, CANNOT_START, "{text}");
    assert!(text.contains("no interface of this host has that address"), "{text}");

    let (code, text) =
        ends(&[&["proxy", "--from", "127.0.0.1:0", "--access-log", "/nonexistent/log"], &to[..]].concat());
    assert_eq!(code, CANNOT_START, "{text}");
    assert!(text.contains("cannot open the access log /nonexistent/log"), "{text}");
}

#[test]
fn a_configuration_may_come_by_standard_input_and_then_only_once() {
    let backend = Backend::echo_head();
    let text = format!(
        "config_version = 1\n[process]\nworkers = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         default_group = \"app\"\n[[server_group]]\nname = \"app\"\n[[server_group.backend]]\n\
         address = \"{}\"\n",
        backend.address()
    );
    // It passes signals on, and bounds every wait.
    let mut child = Command::new("timeout")
        .args(["--foreground", "20", env!("CARGO_BIN_EXE_ringway"), "run", "-c", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ringway starts");
    child.stdin.take().expect("it is a pipe").write_all(text.as_bytes()).expect("it is read");
    let mut lines = BufReader::new(child.stderr.take().expect("it is a pipe")).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line.contains("listening on http://127.0.0.1:")));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill runs").success());
    let refusal = lines.by_ref().find(|line| line.contains("standard input"));
    let refusal = refusal.expect("it refuses to reload");
    assert!(refusal.contains("cannot be read again"), "{refusal}");
    assert!(Command::new("kill").arg(&pid).status().expect("kill runs").success());
    // Its last words are read, or it would wait for that.
    lines.for_each(drop);
    assert_eq!(child.wait().expect("it ends").code(), Some(SUCCESS));
}

#[test]
fn a_file_that_is_named_twice_is_named() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("a.toml");
    std::fs::write(&file, "config_version = 1\n").expect("it can be written");
    let name = file.to_str().expect("it is text");
    let other = format!("{}/./a.toml", folder.path().display());
    let (code, said) = ends(&["check", "-c", name, "-c", &other]);
    assert_eq!(code, CONFIGURATION_INVALID, "{said}");
    assert!(said.contains("it is named twice with -c"), "{said}");
}

#[test]
fn what_the_api_wrote_beside_the_first_file_is_read_too_and_once() {
    let folder = tempfile::tempdir().expect("there is room");
    let other = tempfile::tempdir().expect("there is room");
    let write = |path: &std::path::Path, text: &str| std::fs::write(path, text).expect("it can be written");
    let name = |path: &std::path::Path| path.to_str().expect("it is text").to_owned();
    let group = |name: &str| {
        format!("[[server_group]]\nname = \"{name}\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9\"\n")
    };
    let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\ndefault_group = \"app\"\n";
    let (main, api, site) =
        (folder.path().join("main.toml"), folder.path().join("api.toml"), other.path().join("site.toml"));
    write(&main, &format!("config_version = 1\n{listener}"));
    write(&site, &format!("config_version = 1\n{listener}"));
    let checked = |paths: &[&std::path::Path]| {
        let arguments = paths.iter().flat_map(|path| ["-c".to_owned(), name(path)]);
        let arguments: Vec<String> = std::iter::once("check".to_owned()).chain(arguments).collect();
        ends(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(checked(&[&main]).0, CONFIGURATION_INVALID);
    write(&api, &group("app"));
    // Read twice, it would define the group twice.
    for paths in [&[&*main][..], &[&main, &api], &[&api, &main], &[folder.path()]] {
        let (code, said) = checked(paths);
        assert_eq!(code, SUCCESS, "{paths:?}: {said}");
    }
    // It stands beside another file than the first.
    write(&main, "");
    let (code, said) = checked(&[&site, &main]);
    assert_eq!(code, CONFIGURATION_INVALID, "{said}");
    write(&other.path().join("api.toml"), &group("app"));
    let (code, said) = checked(&[&site, &main]);
    assert_eq!(code, SUCCESS, "{said}");
    write(&other.path().join("api.toml"), "mistake = 1\n");
    let (code, said) = checked(&[&site, &main]);
    assert_eq!(code, CONFIGURATION_INVALID, "{said}");
    assert!(
        said.contains(&format!("{}/api.toml:1:1: error: unknown key `mistake`", other.path().display())),
        "{said}"
    );
}

#[test]
fn help_and_version_are_successes_on_standard_output() {
    for arguments in [
        &["--help"][..],
        &["help", "run"],
        &["demo", "--help"],
        &["reload", "--help"],
        &["status", "--help"],
        &["proxy", "--help"],
        &["version", "-v"],
    ] {
        let mut ringway = Ringway::with_arguments(arguments);
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(SUCCESS), "{arguments:?}");
        assert!(!ringway.stdout().is_empty() && ringway.stderr().is_empty(), "{arguments:?}");
        assert!(!ringway.stdout().contains('\x1b'), "colour is for terminals: {arguments:?}");
    }
}

#[test]
fn what_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("ringway.toml");
    let address = ([127, 0, 0, 1], 9).into();
    std::fs::write(&file, support::configuration_for(&[address])).expect("it can be written");
    let file = file.display().to_string();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["version", "-v"],
        &["check", "-c", &file],
        &["check", "--format", "json", "-c", &file],
        &["config", "show", "--effective", "-c", &file],
        &["config", "show", "--effective", "--json", "-c", &file],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        let output = command.args(arguments).stdout(full).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(FAILURE), "{arguments:?}: {said}");
        assert!(said.contains("error: cannot write to standard output: No space left"), "{said}");
    }
}

#[test]
fn version_tells_what_is_built_in() {
    let mut ringway = Ringway::with_arguments(&["version", "-v"]);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(SUCCESS));
    for words in [
        "HTTP/2",
        "tls: TLS 1.3 and TLS 1.2",
        "TLS_AES_128_GCM_SHA256",
        "X25519MLKEM768",
        "io_uring: ",
        "\ncpus: ",
        "\ncpu quota: ",
        " with workers = \"auto\"\n",
        "\nnuma: ",
    ] {
        assert!(ringway.stdout().contains(words), "{words} in {}", ringway.stdout());
    }
}

#[test]
fn a_signal_ends_the_demo_and_nothing_is_left() {
    for signal in ["TERM", "INT", "QUIT"] {
        let mut ringway = demo();
        let address = http_of(&ringway);
        assert_eq!(Client::connect(address).get("/").status, 200);
        ringway.signal(signal);
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(SUCCESS), "{signal}");
        eventually("the port is free again", || TcpListener::bind(address).is_ok());
    }
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_process() {
    let address = free_address();
    let child = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["demo", "--https", "127.0.0.1:0", "--http", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Killed(child.expect("the binary starts"));
    eventually("the demo listens", || TcpStream::connect(address).is_ok());
    let mut client = Client::connect(address);
    // More than the 64 KiB that a pipe holds.
    let path = format!("/{}", "x".repeat(8000));
    for _ in 0..30 {
        assert_eq!(client.get(&path).status, 200);
    }
    let id = child.0.id().to_string();
    assert!(Command::new("kill").arg(&id).status().is_ok_and(|status| status.success()));
    let status = within(PATIENCE, || child.0.try_wait().expect("a child can be waited for"));
    assert_eq!(status.and_then(|status| status.code()), Some(SUCCESS));
}

/// A process that does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of loopback that was free a moment ago.
/// The verbs that `ringway help` lists.
fn verbs() -> Vec<String> {
    let output = ringway_says(&["--help"]);
    let commands =
        output.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    commands
        .lines()
        .filter_map(|line| line.split([' ', ',']).find(|word| !word.is_empty()))
        .map(str::to_owned)
        .collect()
}

fn ringway_says(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(arguments)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is UTF-8")
}

#[test]
fn every_verb_has_its_manual_page_and_is_completed() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().to_str().expect("the path is UTF-8");
    ringway_says(&["man", path]);
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let verbs = verbs();
    assert!(verbs.len() > 14, "{verbs:?}");
    for verb in verbs.iter().filter(|verb| *verb != "help") {
        let text = page(&format!("ringway-{verb}.8"));
        assert!(
            text.contains("2023-11-14") && text.contains(&format!("ringway\\-{}", verb.replace('-', "\\-"))),
            "{text}"
        );
        for shell in ["bash", "zsh", "fish"] {
            assert!(ringway_says(&["completions", shell]).contains(verb.as_str()), "{shell}: {verb}");
        }
    }
    assert!(page("ringway.8").contains(".SH \"EXIT STATUS\"\n") && !page("ringway.8").contains("Exit codes"));
    assert!(page("ringway-man.8").contains("\n\\fBringway\\fR(8), "));
    assert!(page("ringway.toml.5").contains("\n\\fBclient_header_timeout\\fR\n"));
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a listener has an address")
}
